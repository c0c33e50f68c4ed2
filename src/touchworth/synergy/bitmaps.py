"""Sessions packed for counting: one bit a session and player, rows ordered so that popcounts give all sums.

Rows are cut into segments. In a segment every row counts the same: `n_scale` towards the support and
`s_scale` towards the sum of y. With binary y there are two, the rows with y = 1 first, so that one AND and
popcount gives conversions (first segment) and support (both). An integer weight of 5 = 4 + 1 puts its row
into the segments of scale 4 and of scale 1, which keeps weighted counts exact and as cheap as plain ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import ArrayLike, NDArray

from touchworth.errors import DataError
from touchworth.kernels import kernel
from touchworth.sources.records import Sessions
from touchworth.synergy.instructions import VECTOR_WORDS, extract_bits, floats_at, ints_at, ones, words_at, zeros_below

__all__ = ["Layout", "PackedSessions", "pack_columns", "pack_pairs", "pack_sessions", "pack_transactions"]

WORD = 64
WORD_BITS = 6
"""To shift by: the division of a place, which may be negative for all that the compiler knows, takes longer."""
Words = NDArray[np.uint64]


PLACE_BITS = 32
"""Bits that a place takes in a list: where more than one session in so many holds a player, bitmaps are smaller."""


class Layout(NamedTuple):
    """How the places of a bitmap count (a tuple, since kernels take it).

    Attributes
    ----------
    bounds
        int64 (segments + 1,): first word of each segment and the number of words; multiples of
        `VECTOR_WORDS`.
    n_scale, s_scale
        int64 (segments,): what a set bit adds to the support and to the sum of y (0 where y is summed from
        `values`).
    values
        float64 (0, 2 or 3; places): for real y the rows y and y squared, times the weight; a third row
        holds the weights where they are not integers (popcounts then only bound the support).
    value_words
        Words that have values: the segments with y = 0 come last and are not read.
    """

    bounds: NDArray[np.int64]
    n_scale: NDArray[np.int64]
    s_scale: NDArray[np.int64]
    values: NDArray[np.float64]
    value_words: int


@dataclass(frozen=True, slots=True)
class PackedSessions:
    """Sessions as bits, in segment order; exactly one of `bitmaps` and `lists` is there.

    Attributes
    ----------
    players
        Names.
    rows
        Number of sessions.
    bitmaps
        uint64 (players, words): bit b of a player's bitmap is 1 where the session at place b holds it.
    list_starts, lists
        The same for sparse data: the places of player p, ascending, are
        ``lists[list_starts[p]:list_starts[p + 1]]`` (int64 (players + 1,), int32).
    layout
        How the places count.
    largest_weight
        Largest weight where weights are not integers, else 1.
    sums
        float64 (players, 3): sums of the weight, weight times y and weight times y squared over each player's
        sessions.
    total_n, total_s, total_q
        Sums over all sessions of the weight, weight times y, weight times y squared.
    binary
        Whether y is 0 or 1 in every session.
    """

    players: tuple[str, ...]
    rows: int
    bitmaps: Words | None
    list_starts: NDArray[np.int64] | None
    lists: NDArray[np.int32] | None
    layout: Layout
    largest_weight: float
    sums: NDArray[np.float64]
    total_n: float
    total_s: float
    total_q: float
    binary: bool

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = (self.bitmaps, self.list_starts, self.lists, self.layout.values)
        return sum(array.nbytes for array in held if array is not None)


@dataclass(frozen=True, slots=True)
class _Segments:
    """The order of the rows: which session stands at which place (see `PackedSessions` for the rest)."""

    rows: list[NDArray[np.int64]]  # of each segment: its sessions, ascending; empty where `bits` are given
    layout: Layout
    largest_weight: float
    totals: tuple[float, float, float]
    binary: bool
    bits: tuple[Words, ...] = ()  # of each segment: 1 where the session is in it

    def masks(self, rows: int) -> Sequence[Words]:
        """Bits of each segment's sessions."""
        return self.bits or [_as_words(_indicator(chosen, rows)) for chosen in self.rows]


def pack_columns(
    columns: NDArray[np.bool_ | np.uint8] | Sequence[ArrayLike],
    y: ArrayLike,
    players: Sequence[str],
    weights: ArrayLike | None = None,
) -> PackedSessions:
    """Pack wide 0/1 columns.

    Parameters
    ----------
    columns
        (sessions, players) of booleans or 0/1 numbers, or one such column for each player.
    y
        (sessions,): 0/1 conversions or a real target.
    players
        Names.
    weights
        (sessions,): how often each session counts; integers are exact, 1 each if None.

    Raises
    ------
    DataError
        Not one name a column, lengths differ, a column is not 0/1, y or a weight is not a finite number,
        a weight is negative, or there are no sessions.
    """
    if isinstance(columns, np.ndarray) and columns.ndim == 2:
        columns = list(columns.T)
    names = _checked_names(players, len(columns))
    y_numbers, weight_numbers = _checked_target(y, weights)
    rows = y_numbers.size
    segments = _segment(y_numbers, weight_numbers)
    packed = (
        _as_words(_checked_column(name, np.asarray(column), rows)) for name, column in zip(names, columns, strict=True)
    )
    return _packed_bitmaps(names, rows, segments, packed)


def pack_sessions(sessions: Sessions, rows: NDArray[np.int64] | None = None) -> PackedSessions:
    """Pack sessions that were read.

    Parameters
    ----------
    sessions
        The record; y is its value where that is the target, else who converted, else 0.
    rows
        int64: sessions to pack, in any order and as often as they stand there; None packs all.

    Raises
    ------
    DataError
        There are no sessions, or all weights are 0.
    """
    chosen = slice(None) if rows is None else rows
    count = sessions.rows if rows is None else rows.size
    given = sessions.value if sessions.value_is_target else sessions.converted
    weight = None if sessions.weight is None else sessions.weight[chosen]
    if sessions.bits is None:
        offsets, items = _chosen_lists(sessions, rows)
        return pack_transactions(
            offsets, items, np.zeros(count) if given is None else given[chosen], sessions.players, weight
        )
    if weight is None and (given is None or given.dtype == np.uint8) and count:
        y_bits = np.zeros(count, np.bool_) if given is None else given[chosen].view(np.bool_)
        segments = _segment_bits(_as_words(y_bits), count)
    else:
        segments = _segment(*_checked_target(np.zeros(count) if given is None else given[chosen], weight))
    packed = (_words_of(bits if rows is None else gather_bits(bits, rows)) for bits in sessions.bits)
    return _packed_bitmaps(sessions.players, count, segments, packed)


def _chosen_lists(sessions: Sessions, rows: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Offsets and items of some sessions."""
    offsets, items = sessions.offsets, sessions.items
    if offsets is None or items is None:
        raise DataError("the sessions hold neither bits nor lists of players")
    if rows is None:
        return offsets, items
    lengths = np.diff(offsets)[rows]
    starts = np.append(np.int64(0), np.cumsum(lengths))
    picked = np.repeat(offsets[rows] - starts[:-1], lengths) + np.arange(starts[-1])
    return starts, items[picked]


def _packed_bitmaps(
    names: tuple[str, ...], rows: int, segments: "_Segments", packed: Iterable[Words]
) -> PackedSessions:
    """Order each player's bits by segment and count them."""
    bitmaps = np.zeros((len(names), int(segments.layout.bounds[-1])), np.uint64)
    masks = segments.masks(rows)
    for player, bits in enumerate(packed):
        for mask, (start, end) in zip(masks, pairwise(segments.layout.bounds), strict=True):
            compress_words(bits, mask, bitmaps[player, start:end])
    sums = _sums_of_bitmaps(bitmaps, segments.layout)
    return _packed(names, rows, segments, sums, bitmaps=bitmaps)


def pack_transactions(
    offsets: NDArray[np.integer],
    items: NDArray[np.integer],
    y: ArrayLike,
    players: Sequence[str],
    weights: ArrayLike | None = None,
) -> PackedSessions:
    """Pack transactions: session i holds the players ``items[offsets[i]:offsets[i + 1]]``.

    An item named twice in a session counts once. Sparse sessions are kept as lists, dense ones as bitmaps.
    Parameters and errors as in `pack_columns`; besides, an item that is no index into `players` is an error.
    """
    names = _checked_names(players, len(players))
    y_numbers, weight_numbers = _checked_target(y, weights)
    rows = y_numbers.size
    starts_of = np.ascontiguousarray(offsets, np.int64)
    members = np.ascontiguousarray(items, np.int32)
    if (
        starts_of.size != rows + 1
        or starts_of[0] != 0
        or starts_of[-1] != members.size
        or np.any(np.diff(starts_of) < 0)
    ):
        raise DataError(
            f"{rows} sessions of {members.size} items need {rows + 1} offsets that rise from 0 to "
            f"{members.size}; there are {starts_of.size}, or they do not rise so"
        )
    if members.size and not 0 <= int(members.min()) <= int(members.max()) < len(names):
        seen = members.min() if members.min() < 0 else members.max()
        raise DataError(f"item {seen} is not a player: items are indices from 0 to {len(names) - 1}")
    segments = _segment(y_numbers, weight_numbers)
    sessions = np.concatenate(segments.rows)
    places = np.concatenate(
        [
            start * WORD + np.arange(chosen.size)
            for start, chosen in zip(segments.layout.bounds[:-1], segments.rows, strict=True)
        ]
    )
    if members.size * PLACE_BITS > rows * len(names):
        bitmaps = _bitmaps_of_rows(starts_of, members, sessions, places, len(names), int(segments.layout.bounds[-1]))
        return _packed(names, rows, segments, _sums_of_bitmaps(bitmaps, segments.layout), bitmaps=bitmaps)
    starts, lists = _list_places(starts_of, members, sessions, places, len(names))
    sums = _sums_of_lists(starts, lists, segments.layout)
    return _packed(names, rows, segments, sums, list_starts=starts, lists=lists)


def pack_pairs(
    session: NDArray[np.integer],
    player: NDArray[np.integer],
    y: ArrayLike,
    players: Sequence[str],
    weights: ArrayLike | None = None,
) -> PackedSessions:
    """Pack (session, player) pairs in any order: ``session`` indexes `y`, ``player`` indexes `players`.

    A pair named twice counts once; sessions without a pair hold no player. Errors as in `pack_transactions`.
    """
    rows = np.asarray(y).size
    session = np.asarray(session, np.int64)
    if session.size != np.asarray(player).size:
        raise DataError(f"there are {session.size} sessions but {np.asarray(player).size} players in the pairs")
    if session.size and not 0 <= int(session.min()) <= int(session.max()) < rows:
        seen = session.min() if session.min() < 0 else session.max()
        raise DataError(f"session {seen} has no outcome: sessions are indices from 0 to {rows - 1}")
    order = np.argsort(session, kind="stable")
    offsets = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(session, minlength=rows), out=offsets[1:])
    return pack_transactions(offsets, np.asarray(player)[order], y, players, weights)


def _checked_names(players: Sequence[str], columns: int) -> tuple[str, ...]:
    names = tuple(players)
    if len(names) != columns:
        raise DataError(f"there are {columns} columns but {len(names)} player names; give one name a column")
    if not names:
        raise DataError("there are no players; give at least one 0/1 column")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"player {twice!r} is named twice; names must differ")
    return names


def _checked_column(name: str, column: NDArray[np.generic], rows: int) -> NDArray[np.bool_]:
    if column.size != rows:
        raise DataError(f"player {name!r} has {column.size} rows, but the target has {rows}")
    if column.dtype == np.bool_:
        return column.astype(np.bool_, copy=False)
    if column.dtype == np.uint8 and (rows == 0 or column.max() <= 1):
        return np.ascontiguousarray(column).view(np.bool_)
    wrong = column[~((column == 0) | (column == 1))]
    if wrong.size:
        seen = ", ".join(str(value) for value in list(dict.fromkeys(wrong.tolist()))[:5])
        raise DataError(f"player {name!r} must be 0 or 1 in every session, but {wrong.size} sessions hold {seen}")
    return column.astype(np.bool_)


def _checked_target(y: ArrayLike, weights: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    target = np.asarray(y, np.float64)
    if target.ndim != 1 or target.size == 0:
        raise DataError("there are no sessions; the target needs at least one value")
    if not np.isfinite(target).all():
        missing = int((~np.isfinite(target)).sum())
        raise DataError(f"the target is missing or not finite in {missing} of {target.size} sessions")
    if weights is None:
        return target, None
    weight = np.asarray(weights, np.float64)
    if weight.shape != target.shape:
        raise DataError(f"there are {weight.size} weights for {target.size} sessions; give one a session")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise DataError(
            f"weights must be finite and not negative, but {int(bad.sum())} are not, such as {weight[bad][0]}"
        )
    if not weight.any():
        raise DataError("all weights are 0; at least one session must count")
    return target, weight


def _segment(y: NDArray[np.float64], weight: NDArray[np.float64] | None) -> _Segments:
    """Order the rows: y != 0 first; inside, one segment for each binary digit of the weight."""
    binary = bool(np.all((y == 0) | (y == 1)))
    mass = np.ones(1) if weight is None else weight
    totals = _totals(y, mass)
    integer = bool(np.all(mass == np.floor(mass))) and float(mass.sum()) < 2**53
    rows, n_scale, s_scale, in_values = [], [], [], []
    for positive in (True, False):
        chosen = (y != 0) == positive
        for scale, digit in _digits(mass, integer):
            members = np.flatnonzero(chosen & digit)
            if members.size:
                rows.append(members)
                n_scale.append(scale)
                s_scale.append(scale if positive and binary and integer else 0)
                in_values.append(positive or not integer)
    bounds = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([padded_words(members.size) for members in rows], out=bounds[1:])
    last = max((i + 1 for i, held in enumerate(in_values) if held), default=0)
    counted = binary and integer
    value_words = 0 if counted else int(bounds[last])
    values = np.zeros((0 if counted else 2 if integer else 3, value_words * WORD))
    if not counted:
        for members, start, scale in zip(rows[:last], bounds[:-1], n_scale, strict=False):
            # An integer weight is already spread over the segments by its digits.
            part = float(scale) if integer else mass[members]
            place = slice(int(start) * WORD, int(start) * WORD + members.size)
            values[0, place] = part * y[members]
            values[1, place] = part * y[members] ** 2
            if not integer:
                values[2, place] = part
    layout = Layout(bounds, np.array(n_scale, np.int64), np.array(s_scale, np.int64), values, value_words)
    return _Segments(rows, layout, 1.0 if integer else float(mass.max()), totals, binary)


def _totals(y: NDArray[np.float64], mass: NDArray[np.float64]) -> tuple[float, float, float]:
    """Sums of the weight, weight times y and weight times y squared; refused where they are too large for a float."""
    with np.errstate(over="ignore"):
        total = float(np.broadcast_to(mass, y.shape).sum())
        squares = float((mass * y**2).sum())
    if not np.isfinite(total):
        raise DataError(f"the weights are as large as {mass.max():g}, too large to be added up; divide all of them")
    if not np.isfinite(squares):
        largest = np.abs(y).max()
        raise DataError(
            f"the target is as large as {largest:g}, too large to be squared and added up; use larger units"
        )
    return total, float((mass * y).sum()), squares


def _segment_bits(converted: Words, rows: int) -> _Segments:
    """The two segments of binary y without weights, from the bits of y alone."""
    rest = ~converted
    if rows % WORD:
        rest[-1] &= np.uint64((1 << rows % WORD) - 1)
    conversions = int(np.bitwise_count(converted).sum(dtype=np.int64))
    sizes = {1: conversions, 0: rows - conversions}
    held = [y for y, size in sizes.items() if size]
    bounds = np.zeros(len(held) + 1, np.int64)
    np.cumsum([padded_words(sizes[y]) for y in held], out=bounds[1:])
    layout = Layout(bounds, np.ones(len(held), np.int64), np.array(held, np.int64), np.zeros((0, 0)), 0)
    totals = (float(rows), float(conversions), float(conversions))
    return _Segments([], layout, 1.0, totals, True, tuple(converted if y else rest for y in held))


def _digits(mass: NDArray[np.float64], integer: bool) -> list[tuple[int, NDArray[np.bool_]]]:
    """Scale and rows of each binary digit of integer weights; other weights are one segment of scale 1."""
    if not integer:
        return [(1, mass > 0)]
    whole = mass.astype(np.int64)
    return [(1 << bit, (whole >> bit & 1).astype(np.bool_)) for bit in range(int(whole.max()).bit_length())]


@register_jitable
def padded_words(rows: int) -> int:
    """Words that so many rows take, a multiple of `VECTOR_WORDS`."""
    return (rows + WORD * VECTOR_WORDS - 1) // (WORD * VECTOR_WORDS) * VECTOR_WORDS


def _indicator(chosen: NDArray[np.int64], rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(rows, np.bool_)
    mask[chosen] = True
    return mask


def _as_words(column: NDArray[np.bool_]) -> Words:
    return _words_of(np.packbits(column, bitorder="little"))


def _words_of(packed: NDArray[np.uint8]) -> Words:
    padded = np.zeros(-(-packed.size // 8) * 8, np.uint8)
    padded[: packed.size] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def _sums_of_bitmaps(bitmaps: Words, layout: Layout) -> NDArray[np.float64]:
    sums = np.empty((len(bitmaps), 3))
    for player, bitmap in enumerate(bitmaps):
        sums[player] = sums_at_bits(bitmap, layout)
    return sums


def _packed(
    names: tuple[str, ...],
    rows: int,
    segments: _Segments,
    sums: NDArray[np.float64],
    *,
    bitmaps: Words | None = None,
    list_starts: NDArray[np.int64] | None = None,
    lists: NDArray[np.int32] | None = None,
) -> PackedSessions:
    total_n, total_s, total_q = segments.totals
    return PackedSessions(
        players=names,
        rows=rows,
        bitmaps=bitmaps,
        list_starts=list_starts,
        lists=lists,
        layout=segments.layout,
        largest_weight=segments.largest_weight,
        sums=sums,
        total_n=total_n,
        total_s=total_s,
        total_q=total_q,
        binary=segments.binary,
    )


@kernel
def compress_words(bitmap: Words, mask: Words, out: Words) -> None:
    """Write the bits of `bitmap` at the set bits of `mask` to `out`, closed up."""
    close_up(bitmap.ctypes.data, mask.ctypes.data, mask.size, out.ctypes.data, out.size)


@kernel
def close_up(column: int, mask: int, words: int, out: int, room: int) -> None:
    """Write the bits of a column at the set bits of the mask, closed up, and zeros up to `room` words.

    Takes addresses, and the words of the mask.
    """
    words_of, masks, target = words_at(column), words_at(mask), words_at(out)
    full, one = np.uint64(WORD), np.uint64(1)
    pending = filled = np.uint64(0)
    place = 0
    for w in range(words):
        m = masks[w]
        taken = extract_bits(words_of[w], m)
        pending |= taken << filled
        after = filled + ones(m)
        if after >= full:
            target[place] = pending
            place += 1
            after -= full
            # Two shifts, since one by all 64 places (filled = 0) is not defined.
            pending = (taken >> (full - one - filled)) >> one
        filled = after
    if filled > np.uint64(0):
        target[place] = pending
        place += 1
    while place < room:
        target[place] = np.uint64(0)
        place += 1


@kernel
def gather_bits(bits: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The bits at `rows`, closed up."""
    out = np.zeros((rows.size + 7) >> 3, np.uint8)
    for i in range(rows.size):
        bit = (bits[rows[i] >> 3] >> np.uint8(rows[i] & 7)) & np.uint8(1)
        out[i >> 3] |= bit << np.uint8(i & 7)
    return out


@kernel
def _bitmaps_of_rows(
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    sessions: NDArray[np.int64],
    places: NDArray[np.int64],
    players: int,
    words: int,
) -> Words:
    """Turn transactions into each player's bitmap."""
    bitmaps = np.zeros((players, words), np.uint64)
    all_words = words_at(bitmaps.ctypes.data)
    for at in range(sessions.size):
        word, bit = places[at] >> WORD_BITS, np.uint64(1) << np.uint64(places[at] & (WORD - 1))
        for i in range(offsets[sessions[at]], offsets[sessions[at] + 1]):
            all_words[items[i] * words + word] |= bit
    return bitmaps


@kernel
def _list_places(
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    sessions: NDArray[np.int64],
    places: NDArray[np.int64],
    players: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Turn transactions into each player's list of places, ascending and without repeats."""
    last = np.full(players, -1, np.int64)
    starts = np.zeros(players + 1, np.int64)
    for at in range(sessions.size):
        for i in range(offsets[sessions[at]], offsets[sessions[at] + 1]):
            if last[items[i]] != places[at]:
                last[items[i]] = places[at]
                starts[items[i] + 1] += 1
    for player in range(players):
        starts[player + 1] += starts[player]
    lists = np.empty(starts[players], np.int32)
    ends = starts[:-1].copy()
    last[:] = -1
    for at in range(sessions.size):
        for i in range(offsets[sessions[at]], offsets[sessions[at] + 1]):
            player = items[i]
            if last[player] != places[at]:
                last[player] = places[at]
                lists[ends[player]] = places[at]
                ends[player] += 1
    return starts, lists


@kernel
def sums_at_bits(bitmap: Words, layout: Layout) -> NDArray[np.float64]:
    """n, s and q over the set bits of one bitmap, in rising place."""
    values = layout.values
    sums = np.empty(3)
    sums[0], sums[1], sums[2] = sums_of_column(
        bitmap.ctypes.data,
        layout.bounds.ctypes.data,
        layout.n_scale.ctypes.data,
        layout.s_scale.ctypes.data,
        layout.n_scale.size,
        layout.value_words,
        values.ctypes.data,
        values.shape[1],
        values.shape[0],
    )
    return sums


@kernel
def sums_of_column(
    column: int,
    bounds: int,
    n_scale: int,
    s_scale: int,
    segments: int,
    value_words: int,
    values: int,
    room: int,
    kinds: int,
) -> tuple[float, float, float]:
    """n, s and q over the set bits of one bitmap; takes the addresses of what a `Layout` holds."""
    words, ends, n_scales, s_scales = words_at(column), ints_at(bounds), ints_at(n_scale), ints_at(s_scale)
    n = s = int(np.int64(0))
    for segment in range(segments):
        total = np.uint64(0)
        for w in range(ends[segment], ends[segment + 1]):
            total += ones(words[w])
        n += n_scales[segment] * int(total)
        s += s_scales[segment] * int(total)
    if kinds == 0:
        return float(n), float(s), float(s)
    y, yy, mass = sums_at_common_bits(column, column, value_words, values, room, kinds)
    return mass if kinds == 3 else float(n), y, yy


@kernel
def _sums_of_lists(starts: NDArray[np.int64], lists: NDArray[np.int32], layout: Layout) -> NDArray[np.float64]:
    """n, s and q over each player's places, in rising place."""
    bounds, values = layout.bounds, layout.values
    sums = np.zeros((starts.size - 1, 3))
    for player in range(starts.size - 1):
        segment = 0
        for place in lists[starts[player] : starts[player + 1]]:
            while place >= bounds[segment + 1] * WORD:
                segment += 1
            if values.shape[0] < 3:
                sums[player, 0] += layout.n_scale[segment]
                sums[player, 1] += layout.s_scale[segment]
                sums[player, 2] += layout.s_scale[segment]
            if place < layout.value_words * WORD:
                sums[player, 1] += values[0, place]
                sums[player, 2] += values[1, place]
                if values.shape[0] == 3:
                    sums[player, 0] += values[2, place]
    return sums


@kernel
def sums_at_common_bits(a: int, b: int, words: int, values: int, room: int, kinds: int) -> tuple[float, float, float]:
    """Sums of y, y squared and (of three kinds) the weight at the bits that two bitmaps hold, in rising place.

    `a`, `b` and `values` are addresses; the values of the next kind lie `room` numbers on.
    """
    left, right, numbers = words_at(a), words_at(b), floats_at(values)
    y = yy = mass = 0.0
    for w in range(words):
        word = left[w] & right[w]
        while word != np.uint64(0):
            at = w * WORD + int(zeros_below(word))
            y += numbers[at]
            yy += numbers[room + at]
            if kinds == 3:
                mass += numbers[2 * room + at]
            word &= word - np.uint64(1)
    return y, yy, mass
