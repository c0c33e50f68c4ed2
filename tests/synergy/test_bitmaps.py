"""Packing: places, segments, refusals; bit extraction by both ways."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchworth.errors import DataError
from touchworth.kernels import kernel
from touchworth.synergy.bitmaps import compress_words, pack_columns, pack_pairs, pack_transactions
from touchworth.synergy.instructions import (
    add_block_counts,
    extract_bits,
    extract_bits_portable,
    write_block_counts,
    write_triangle_counts,
)

WORD = st.integers(0, 2**64 - 1)


@kernel
def extracted_both_ways(words, masks):
    out = np.zeros((2, words.size), np.uint64)
    for i in range(words.size):
        out[0, i] = extract_bits(words[i], masks[i])
        out[1, i] = extract_bits_portable(words[i], masks[i])
    return out


@kernel
def counted(bitmaps, words, scales, half):
    counts = np.ones((2, 4, 7), np.int64)
    base, stride = bitmaps.ctypes.data, bitmaps.shape[1] * 8
    rows = (base, base + stride, base + 2 * stride, base + 3 * stride)
    others = (base + 4 * stride, base + 5 * stride, base + 6 * stride, base + 7 * stride)
    n, s = counts[0].ctypes.data + 8, counts[1].ctypes.data + 8
    add_block_counts(rows, others, words, n, s, 56, scales[0], scales[1], half)
    return counts


@kernel
def counted_by_y(bitmaps, words, s_words, half):
    counts = np.ones((2, 4, 7), np.int64)
    base, stride = bitmaps.ctypes.data, bitmaps.shape[1] * 8
    rows = (base, base + stride, base + 2 * stride, base + 3 * stride)
    others = (base + 4 * stride, base + 5 * stride, base + 6 * stride, base + 7 * stride)
    n, s = counts[0].ctypes.data + 8, counts[1].ctypes.data + 8
    write_block_counts(rows, others, None, s_words, words, n, s, 56, half)
    return counts


def extracted(word, mask):
    kept = [word >> bit & 1 for bit in range(64) if mask >> bit & 1]
    return sum(value << place for place, value in enumerate(kept))


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(WORD, WORD), min_size=1, max_size=20))
def test_bit_extraction_both_ways(cases):
    words, masks = (np.array(part, np.uint64) for part in zip(*cases, strict=True))
    expected = [extracted(word, mask) for word, mask in cases]
    native, portable = extracted_both_ways(words, masks)
    assert native.tolist() == expected
    assert portable.tolist() == expected


@kernel
def counted_triangle(bitmaps, words, s_words, mask):
    counts = np.ones((2, 7, 7), np.int64)
    base, stride = bitmaps.ctypes.data, bitmaps.shape[1] * 8
    four = (base, base + stride, base + 2 * stride, base + 3 * stride)
    n, s = counts[0].ctypes.data, counts[1].ctypes.data
    if mask < 0:
        write_triangle_counts(four, None, s_words, words, n, s, 56)
    else:
        write_triangle_counts(four, base + mask * stride, s_words, words, n, s, 56)
    return counts


@kernel
def counted_by_y_below(bitmaps, words, s_words):
    counts = np.ones((2, 4, 7), np.int64)
    base, stride = bitmaps.ctypes.data, bitmaps.shape[1] * 8
    rows = (base, base + stride, base + 2 * stride, base + 3 * stride)
    others = (base + 4 * stride, base + 5 * stride, base + 6 * stride, base + 7 * stride)
    n, s = counts[0].ctypes.data + 8, counts[1].ctypes.data + 8
    write_block_counts(rows, others, base + 5 * stride, s_words, words, n, s, 56, False)
    return counts


def bitmaps_of(words):
    bitmaps = np.random.default_rng(words).integers(0, 2**64, (8, words), np.uint64)
    bitmaps[0] = 0
    bitmaps[1] = bitmaps[4] = np.uint64(2**64 - 1)
    return bitmaps, np.bitwise_count(bitmaps[:4, None] & bitmaps[None, 4:]).astype(int)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("words", [8, 16, 24, 64])
def test_block_of_counts_is_added(words, half):
    bitmaps, common = bitmaps_of(words)
    expected = np.ones((2, 4, 7), int)
    rows = slice(0, 2 if half else 4)
    expected[0, rows, 1:5] += 3 * common.sum(axis=2)[rows]
    expected[1, rows, 1:5] += 5 * common.sum(axis=2)[rows]
    assert counted(bitmaps, words, (3, 5), half).tolist() == expected.tolist()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(("words", "s_words"), [(16, 8), (24, 8), (24, 16), (80, 64)])
def test_block_of_counts_of_a_binary_y_is_written(words, s_words, half):
    bitmaps, common = bitmaps_of(words)
    expected = np.ones((2, 4, 7), int)
    rows = slice(0, 2 if half else 4)
    expected[0, rows, 1:5] = common.sum(axis=2)[rows]
    expected[1, rows, 1:5] = common[:, :, :s_words].sum(axis=2)[rows]
    assert counted_by_y(bitmaps, words, s_words, half).tolist() == expected.tolist()


@pytest.mark.parametrize(("words", "s_words"), [(16, 8), (24, 8), (80, 64)])
def test_masked_counts(words, s_words):
    bitmaps, _ = bitmaps_of(words)
    both = np.bitwise_count(bitmaps[:4, None] & bitmaps[None, 4:] & bitmaps[5]).astype(int)
    expected = np.ones((2, 4, 7), int)
    expected[0, :, 1:5], expected[1, :, 1:5] = both.sum(axis=2), both[:, :, :s_words].sum(axis=2)
    assert counted_by_y_below(bitmaps, words, s_words).tolist() == expected.tolist()


@pytest.mark.parametrize("mask", [-1, 6])
@pytest.mark.parametrize(("words", "s_words"), [(16, 8), (24, 16), (80, 64)])
def test_counts_above_the_diagonal(words, s_words, mask):
    bitmaps, _ = bitmaps_of(words)
    kept = bitmaps[mask] if mask >= 0 else np.uint64(2**64 - 1)
    both = np.bitwise_count(bitmaps[:4, None] & bitmaps[None, :4] & kept).astype(int)
    n, s = counted_triangle(bitmaps, words, s_words, mask)
    for i, j in combinations(range(4), 2):
        assert (n[i, j], s[i, j]) == (both[i, j].sum(), both[i, j, :s_words].sum())


def test_dense_transactions_are_kept_as_bitmaps_and_sparse_ones_as_lists():
    dense, sparse = np.tile([0, 1], 100), np.arange(200) % 90
    offsets = np.arange(0, 201, 2)
    y = np.arange(100) % 2
    for items, players in ((dense, 2), (sparse, 90)):
        packed = pack_transactions(offsets, items, y, [str(i) for i in range(players)])
        columns = np.zeros((100, players), bool)
        columns[np.repeat(np.arange(100), 2), items] = True
        expected = pack_columns(columns, y, packed.players)
        assert (packed.bitmaps is None) == (players == 90)
        np.testing.assert_array_equal(packed.sums, expected.sums)
        if packed.bitmaps is not None:
            np.testing.assert_array_equal(packed.bitmaps, expected.bitmaps)


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(1, 5))
def test_compress_keeps_the_masked_bits_in_order(seed, density, words):
    rng = np.random.default_rng(seed)
    mask, column = rng.random(64 * words) < density, rng.random(64 * words) < 0.5
    out = np.zeros(words + 1, np.uint64)
    as_words = [np.packbits(bits, bitorder="little").view(np.uint64) for bits in (column, mask)]
    compress_words(as_words[0], as_words[1], out)
    bits = np.unpackbits(out.view(np.uint8), bitorder="little")
    assert bits[: mask.sum()].tolist() == column[mask].astype(int).tolist()
    assert not bits[mask.sum() :].any()


def test_conversions_come_first():
    columns = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.uint8)
    packed = pack_columns(columns, [0, 1, 1, 0], ["a", "b"])
    assert packed.bitmaps is not None
    assert packed.layout.bounds.tolist() == [0, 8, 16]
    assert packed.layout.s_scale.tolist() == [1, 0]
    assert packed.bitmaps[:, [0, 8]].tolist() == [[0b10, 0b01], [0b11, 0b00]]
    assert packed.sums.tolist() == [[2, 1, 1], [2, 2, 2]]
    assert (packed.total_n, packed.total_s, packed.total_q, packed.binary) == (4, 2, 2, True)


def test_weights_are_spread_over_their_binary_digits():
    packed = pack_columns([[1, 1, 0]], [1, 0, 0], ["a"], [5, 2, 9])
    assert packed.layout.n_scale.tolist() == [1, 4, 1, 2, 8]
    assert packed.sums.tolist() == [[7, 5, 5]]
    assert packed.total_n == 16


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64, object])
def test_any_type_of_zero_and_one(dtype):
    columns = np.array([[1, 0], [0, 1], [1, 1]]).astype(dtype)
    assert pack_columns(columns, [0, 1, 1], ["a", "b"]).sums[:, 0].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("columns", "y", "players", "weights", "message"),
    [
        ([[0, 2, 3]], [0, 1, 1], ["clicks"], None, "player 'clicks' must be 0 or 1 .* 2 sessions hold 2, 3"),
        ([[0, np.nan, 1]], [0, 1, 1], ["a"], None, "player 'a' must be 0 or 1 .* 1 sessions hold nan"),
        ([[0, 1]], [0, 1, 1], ["a"], None, "player 'a' has 2 rows, but the target has 3"),
        ([[0, 1, 1]], [0, np.nan, 1], ["a"], None, "target is missing or not finite in 1 of 3 sessions"),
        ([[0, 1, 1]], [0, 1, 1], ["a", "b"], None, "there are 1 columns but 2 player names"),
        ([[0], [1]], [1], ["a", "a"], None, "player 'a' is named twice"),
        ([[]], [], ["a"], None, "there are no sessions"),
        ([], [1], [], None, "there are no players"),
        (
            [[0, 1]],
            [0, 1],
            ["a"],
            [1, -2],
            "weights must be finite and not negative, but 1 are not, such as -2",
        ),
        ([[0, 1]], [0, 1], ["a"], [1], "there are 1 weights for 2 sessions"),
        ([[0, 1]], [0, 1], ["a"], [0, 0], "all weights are 0"),
    ],
)
def test_bad_columns(columns, y, players, weights, message):
    with pytest.raises(DataError, match=message):
        pack_columns(columns, y, players, weights)


def test_bad_transactions_and_pairs():
    with pytest.raises(DataError, match="item 2 is not a player: items are indices from 0 to 1"):
        pack_transactions(np.array([0, 1]), np.array([2]), [1], ["a", "b"])
    with pytest.raises(DataError, match="item -1 is not a player"):
        pack_transactions(np.array([0, 1]), np.array([-1]), [1], ["a", "b"])
    with pytest.raises(DataError, match="2 sessions of 1 items need 3 offsets that rise from 0 to 1"):
        pack_transactions(np.array([0, 1]), np.array([0]), [1, 0], ["a", "b"])
    with pytest.raises(DataError, match="session 4 has no outcome: sessions are indices from 0 to 1"):
        pack_pairs(np.array([4]), np.array([0]), [1, 0], ["a"])
    with pytest.raises(DataError, match="there are 1 sessions but 2 players in the pairs"):
        pack_pairs(np.array([0]), np.array([0, 0]), [1, 0], ["a"])
