"""The way down a family: prefixes as nodes, one a level, with their columns restricted to the prefix's rows.

Mining and the counting of a given family go down the same way. All levels share a few buffers, so that a step
allocates nothing, and the kernels below take addresses: most nodes are so small that an allocation, or the counting
of references to arrays, would cost more than the node.
"""

from collections.abc import MutableSequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.synergy.bitmaps import WORD, Layout, Words, close_up, padded_words, sums_at_common_bits, sums_of_column
from touchworth.synergy.instructions import (
    VECTOR_WORDS,
    add_block_counts,
    extract_bits,
    floats_at,
    ints_at,
    ones,
    words_at,
    write_block_counts,
    write_triangle_counts,
    zeros_below,
)

__all__ = [
    "Buffers",
    "Nodes",
    "column_sums",
    "columns_of",
    "common_sums",
    "count_pairs",
    "counts_below",
    "descend",
    "empty_buffers",
    "entries_of",
    "has_room",
    "hold",
    "next_column",
    "nodes_in",
    "open_node",
    "pair_counts",
    "proceed",
    "whole_node",
    "with_room",
    "words_of",
    "words_of_prefix",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NUMBER = 8
"""Bytes of a word, a count or a value."""

TILE_WORDS = 1 << 16
"""Words of all columns together in a tile of the Gram matrix: half a megabyte stays in the L2 cache."""

FEW_COLUMNS = 16
"""Up to so many columns a node that nothing lies below is not made: to close its columns up costs more."""

MARGIN = 3
"""Rows and columns beyond a matrix of pair counts: its blocks are four by four."""

COLUMNS, FIRST, ROWS, NEXT, WORDS, VALUE_WORDS, WORD_AT, COUNT_AT, ENTRY_AT, VALUE_AT = range(10)
SHAPE_FIELDS = 10


class Buffers(NamedTuple):
    """The memory of the nodes; what belongs to one level lies behind what belongs to the levels above.

    Attributes
    ----------
    words
        uint64: the columns of each node, ``WORDS`` words each.
    counts
        int64: of each node the matrix of n and that of s, ``ROWS + MARGIN`` rows of ``COLUMNS + MARGIN``; row r
        holds the pairs of column ``FIRST + r`` with the columns after it, the other cells are no result.
    entries
        int64: of each column of each node, two numbers: where the coalition prefix + {its player} stands in the
        caller's book, and its player.
    values
        float64 (0, 2 or 3; room): of each node what `Layout.values` holds, on its rows.
    bounds
        int64 (levels, segments + 1): as `Layout.bounds`, of each node.
    shape
        int64 (levels + 1, 10): COLUMNS, FIRST, ROWS, WORDS and VALUE_WORDS of each node, the column whose turn it
        is (NEXT), and where its parts begin in the buffers: WORD_AT, COUNT_AT, ENTRY_AT, VALUE_AT.
    """

    words: Words
    counts: Ints
    entries: Ints
    values: Floats
    bounds: Ints
    shape: Ints


class Nodes(NamedTuple):
    """Addresses of the nodes' buffers, good for as long as someone holds these (see `hold`).

    Attributes
    ----------
    words, counts, entries, values, bounds, shape
        Of the array of that name in `Buffers`.
    n_scale, s_scale
        Of those in `Layout`.
    segments
        Their length.
    plain
        Whether the segments are two, of a binary y without weights: 1 in the first, 0 in the second.
    kinds
        Rows of the values.
    word_room, count_room, entry_room, value_room
        How many of each there is room for, of values in a row.
    """

    words: int
    counts: int
    entries: int
    values: int
    bounds: int
    shape: int
    n_scale: int
    s_scale: int
    segments: int
    plain: bool
    kinds: int
    word_room: int
    count_room: int
    entry_room: int
    value_room: int


@kernel
def empty_buffers(layout: Layout, levels: int) -> Buffers:
    """Buffers for so many levels; they grow as needed (`with_room`)."""
    kinds = layout.values.shape[0]
    return Buffers(
        np.empty(1 << 12, np.uint64),
        np.empty(1 << 10, np.int64),
        np.empty(1 << 8, np.int64),
        np.empty((kinds, 1 << 10 if kinds > 0 else 0), np.float64),
        np.zeros((levels, layout.bounds.size), np.int64),
        np.zeros((levels + 1, SHAPE_FIELDS), np.int64),
    )


@kernel
def whole_node(columns: Words, layout: Layout, first: int, last: int) -> Buffers:
    """All columns as one node, the empty prefix, to count the pairs of columns [first, last) and to descend from."""
    k = columns.shape[0]
    entries = np.empty(2 * k, np.int64)
    for column in range(k):
        entries[2 * column], entries[2 * column + 1] = -1 - column, column
    shape = np.zeros((2, SHAPE_FIELDS), np.int64)
    shape[0, COLUMNS], shape[0, FIRST], shape[0, ROWS] = k, first, last - first
    shape[0, WORDS], shape[0, VALUE_WORDS] = columns.shape[1], layout.value_words
    return Buffers(
        columns.reshape(columns.size),
        np.empty(_count_room(k, last - first), np.int64),
        entries,
        layout.values,
        layout.bounds.copy().reshape(1, layout.bounds.size),
        shape,
    )


@kernel
def nodes_in(buffers: Buffers, layout: Layout) -> Nodes:
    """Addresses of the buffers."""
    return Nodes(
        buffers.words.ctypes.data,
        buffers.counts.ctypes.data,
        buffers.entries.ctypes.data,
        buffers.values.ctypes.data,
        buffers.bounds.ctypes.data,
        buffers.shape.ctypes.data,
        layout.n_scale.ctypes.data,
        layout.s_scale.ctypes.data,
        layout.n_scale.size,
        _is_plain(layout),
        buffers.values.shape[0],
        buffers.words.size,
        buffers.counts.size,
        buffers.entries.size,
        buffers.values.shape[1],
    )


@kernel
def _is_plain(layout: Layout) -> bool:
    if layout.n_scale.size != 2 or layout.values.shape[0] > 0:
        return False
    return bool(layout.n_scale[0] == 1 and layout.n_scale[1] == 1 and layout.s_scale[0] == 1 and layout.s_scale[1] == 0)


@kernel
def hold(buffers: Buffers) -> int:
    """Bytes of the buffers; as the last line of a kernel it keeps them, which no address does."""
    return NUMBER * (buffers.words.size + buffers.counts.size + buffers.values.size + buffers.entries.size) + (
        NUMBER * (buffers.bounds.size + buffers.shape.size)
    )


@kernel
def _count_room(columns: int, rows: int) -> int:
    return 2 * (rows + MARGIN) * (columns + MARGIN)


@kernel
def with_room(buffers: Buffers, level: int, columns: int, words: int, rows: int) -> Buffers:
    """The same content in buffers that a node of this shape fits into."""
    word_at, count_at = buffers.shape[level, WORD_AT], buffers.shape[level, COUNT_AT]
    entry_at, value_at = buffers.shape[level, ENTRY_AT], buffers.shape[level, VALUE_AT]
    kinds = buffers.values.shape[0]
    larger = Buffers(
        np.empty(max(buffers.words.size, 2 * (word_at + columns * words)), np.uint64),
        np.empty(max(buffers.counts.size, 2 * (count_at + _count_room(columns, rows))), np.int64),
        np.empty(max(buffers.entries.size, 2 * (entry_at + 2 * columns)), np.int64),
        np.empty((kinds, max(buffers.values.shape[1], 2 * (value_at + words * WORD)) if kinds > 0 else 0), np.float64),
        buffers.bounds,
        buffers.shape,
    )
    # Element by element: an assignment of slices makes Numba compile its error texts for two seconds.
    for w in range(word_at):
        larger.words[w] = buffers.words[w]
    for c in range(count_at):
        larger.counts[c] = buffers.counts[c]
    for e in range(entry_at):
        larger.entries[e] = buffers.entries[e]
    for kind in range(kinds):
        for v in range(value_at):
            larger.values[kind, v] = buffers.values[kind, v]
    return larger


@kernel
def _shape(nodes: Nodes, level: int) -> int:
    """Address of a level's shape."""
    return nodes.shape + NUMBER * SHAPE_FIELDS * level


@kernel
def _bounds(nodes: Nodes, level: int) -> int:
    """Address of a level's bounds."""
    return nodes.bounds + NUMBER * (nodes.segments + 1) * level


@kernel
def _column(nodes: Nodes, level: int, column: int) -> int:
    """Address of a node's column."""
    shape = ints_at(_shape(nodes, level))
    return nodes.words + NUMBER * (shape[WORD_AT] + column * shape[WORDS])


@kernel
def words_of_prefix(source: Nodes, above: int, nodes: Nodes, level: int, i: int) -> int:
    """Set the bounds of the node below column i of a node of `source`; returns the words of a column in it."""
    mask = words_at(_column(source, above, i))
    old, new = ints_at(_bounds(source, above)), ints_at(_bounds(nodes, level))
    value_words, shape = ints_at(_shape(source, above))[VALUE_WORDS], ints_at(_shape(nodes, level))
    shape[VALUE_WORDS] = new[0] = end = 0
    for segment in range(source.segments):
        total = np.uint64(0)
        for w in range(old[segment], old[segment + 1]):
            total += ones(mask[w])
        end += padded_words(int(total))
        new[segment + 1] = end
        if old[segment + 1] <= value_words:
            shape[VALUE_WORDS] = end
    if 2 * end > old[source.segments]:
        # Closing up would not halve the words: it costs more than it saves. Every row stays in its place.
        for segment in range(1, source.segments + 1):
            new[segment] = old[segment]
        shape[VALUE_WORDS] = value_words
        end = old[source.segments]
    return end


@kernel
def has_room(nodes: Nodes, level: int, columns: int, words: int, rows: int) -> bool:
    """Whether a node of so many columns, words a column and rows of pairs fits at this level."""
    at = ints_at(_shape(nodes, level))
    return (
        at[WORD_AT] + columns * words <= nodes.word_room
        and at[COUNT_AT] + _count_room(columns, rows) <= nodes.count_room
        and at[ENTRY_AT] + 2 * columns <= nodes.entry_room
        and (nodes.kinds == 0 or at[VALUE_AT] + words * WORD <= nodes.value_room)
    )


@kernel
def open_node(nodes: Nodes, level: int, columns: int, first: int, last: int) -> None:
    """Take the room of a node whose bounds are set, to count the pairs of its columns [first, last).

    Its columns and entries are the caller's to fill.
    """
    at, below = ints_at(_shape(nodes, level)), ints_at(_shape(nodes, level + 1))
    words = ints_at(_bounds(nodes, level))[nodes.segments]
    at[COLUMNS], at[FIRST], at[ROWS], at[NEXT], at[WORDS] = columns, first, last - first, first, words
    below[WORD_AT] = at[WORD_AT] + columns * words
    below[COUNT_AT] = at[COUNT_AT] + _count_room(columns, last - first)
    below[ENTRY_AT] = at[ENTRY_AT] + 2 * columns
    below[VALUE_AT] = at[VALUE_AT] + at[VALUE_WORDS] * WORD


@kernel
def descend(
    source: Nodes, above: int, nodes: Nodes, level: int, i: int, chosen: int, count: int, first: int, last: int
) -> None:
    """Fill the node below column i of a node of `source`: as columns the `count` chosen ones on the rows of i.

    `chosen` is an address of int64. `words_of_prefix` has set the bounds, and there is room. The entries are left to
    the caller; the pairs of columns [first, last) are to be counted.
    """
    open_node(nodes, level, count, first, last)
    columns, mask = ints_at(chosen), _column(source, above, i)
    old, new = ints_at(_bounds(source, above)), ints_at(_bounds(nodes, level))
    closed = new[source.segments] != old[source.segments]
    if closed:
        stride = NUMBER * new[source.segments]
        for segment in range(source.segments):
            start, words = NUMBER * old[segment], old[segment + 1] - old[segment]
            room = new[segment + 1] - new[segment]
            out = _column(nodes, level, 0) + NUMBER * new[segment]
            t = 0
            while t + 4 <= count and room > 0:
                four = _four_of(source, above, columns, t, count - 1)
                close_up_four(four, start, mask, words, out + t * stride, stride, room)
                t += 4
            while t < count and room > 0:
                close_up(_column(source, above, columns[t]) + start, mask + start, words, out + t * stride, room)
                t += 1
    else:
        kept = words_at(mask)
        for t in range(count):
            column, target = words_at(_column(source, above, columns[t])), words_at(_column(nodes, level, t))
            for w in range(new[source.segments]):
                target[w] = column[w] & kept[w]
    if source.kinds > 0:
        _close_up_values(source, above, nodes, level, mask, closed)


@kernel
def close_up_four(
    four: tuple[int, int, int, int], start: int, mask: int, words: int, out: int, stride: int, room: int
) -> None:
    """As `close_up` for four columns, which share each mask word, its popcount and the branch on a full word.

    The columns and the mask are read from byte `start` on; those written lie `stride` bytes apart.
    """
    words_a, words_b = words_at(four[0] + start), words_at(four[1] + start)
    words_c, words_d, masks = words_at(four[2] + start), words_at(four[3] + start), words_at(mask + start)
    out_a, out_b, out_c = words_at(out), words_at(out + stride), words_at(out + 2 * stride)
    out_d = words_at(out + 3 * stride)
    full, one = np.uint64(WORD), np.uint64(1)
    pending_a = pending_b = pending_c = pending_d = filled = np.uint64(0)
    place = 0
    for w in range(words):
        m = masks[w]
        taken_a, taken_b = extract_bits(words_a[w], m), extract_bits(words_b[w], m)
        taken_c, taken_d = extract_bits(words_c[w], m), extract_bits(words_d[w], m)
        pending_a |= taken_a << filled
        pending_b |= taken_b << filled
        pending_c |= taken_c << filled
        pending_d |= taken_d << filled
        after = filled + ones(m)
        if after >= full:
            out_a[place], out_b[place], out_c[place], out_d[place] = pending_a, pending_b, pending_c, pending_d
            place += 1
            after -= full
            rest = full - one - filled
            pending_a, pending_b = (taken_a >> rest) >> one, (taken_b >> rest) >> one
            pending_c, pending_d = (taken_c >> rest) >> one, (taken_d >> rest) >> one
        filled = after
    if filled > np.uint64(0):
        out_a[place], out_b[place], out_c[place], out_d[place] = pending_a, pending_b, pending_c, pending_d
        place += 1
    while place < room:
        out_a[place] = out_b[place] = out_c[place] = out_d[place] = np.uint64(0)
        place += 1


@kernel
def _close_up_values(source: Nodes, above: int, nodes: Nodes, level: int, mask: int, closed: bool) -> None:
    """Copy the values of the rows that the mask keeps to the places where `descend` puts these rows."""
    shape = ints_at(_shape(source, above))
    old, new = ints_at(_bounds(source, above)), ints_at(_bounds(nodes, level))
    masks = words_at(mask)
    taken = floats_at(source.values + NUMBER * shape[VALUE_AT])
    target = floats_at(nodes.values + NUMBER * ints_at(_shape(nodes, level))[VALUE_AT])
    for segment in range(source.segments):
        if old[segment + 1] > shape[VALUE_WORDS]:
            break
        place = new[segment] * WORD
        for w in range(old[segment], old[segment + 1]):
            word = masks[w]
            while word != np.uint64(0):
                at = w * WORD + int(zeros_below(word))
                to = place if closed else at
                for kind in range(source.kinds):
                    target[kind * nodes.value_room + to] = taken[kind * source.value_room + at]
                place += 1
                word &= word - np.uint64(1)


@kernel
def count_pairs(nodes: Nodes, level: int, stop: int) -> None:
    """Count n and s of the node's pairs into its matrices; `stop` is the address of the caller's flag."""
    at, bounds = ints_at(_shape(nodes, level)), ints_at(_bounds(nodes, level))
    k, rows, stopped = at[COLUMNS], at[ROWS], ints_at(stop)
    n_scales, s_scales = ints_at(nodes.n_scale), ints_at(nodes.s_scale)
    n = nodes.counts + NUMBER * at[COUNT_AT]
    line = NUMBER * (k + MARGIN)
    s = n + (rows + MARGIN) * line
    base, stride = _column(nodes, level, 0), NUMBER * at[WORDS]
    first, last = at[FIRST], at[FIRST] + rows
    if nodes.plain and 0 < bounds[1] < bounds[2] and k * bounds[2] <= TILE_WORDS:
        if k <= 4 and rows == k:
            write_triangle_counts(_four_addresses(base, stride, 0, k), None, bounds[1], bounds[2], n, s, line)
            return
        for i in range(first, last, 4):
            four, half = _four_addresses(base, stride, i, k), min(last, k - 1) - i <= 2
            for j in range(i + 1, k, 4):
                cell = (i - first) * line + NUMBER * j
                others = _four_addresses(base, stride, j, k)
                write_block_counts(four, others, None, bounds[1], bounds[2], n + cell, s + cell, line, half)
        return
    tile = max(VECTOR_WORDS, min(4096, TILE_WORDS // max(k, 1) // VECTOR_WORDS * VECTOR_WORDS))
    counts = ints_at(n)
    for cell in range(_count_room(k, rows)):
        counts[cell] = 0
    for segment in range(nodes.segments):
        n_scale, s_scale = n_scales[segment], s_scales[segment]
        segment_end = bounds[segment + 1]
        for start in range(bounds[segment], segment_end, tile):
            words = min(tile, segment_end - start)
            here = base + NUMBER * start
            for i in range(first, last, 4):
                if stopped[0] != 0:
                    return
                # The last column has none after it, so that the last rows of blocks often are not needed.
                four, half = _four_addresses(here, stride, i, k), min(last, k - 1) - i <= 2
                for j in range(i + 1, k, 4):
                    cell = (i - first) * line + NUMBER * j
                    others = _four_addresses(here, stride, j, k)
                    add_block_counts(four, others, words, n + cell, s + cell, line, n_scale, s_scale, half)


@kernel
def counts_below(source: Nodes, above: int, i: int, chosen: int, count: int, nodes: Nodes, level: int) -> bool:
    """Count the pairs of chosen columns on the rows of column i without a node of their own; whether that suits.

    It suits a binary y without weights and few columns: to restrict these would take longer than to read them in full.
    The matrices are those of the level, which has room, for `count` columns; `chosen` is as in `descend`.
    """
    at, bounds, columns = ints_at(_shape(nodes, level)), ints_at(_bounds(source, above)), ints_at(chosen)
    if not (nodes.plain and 0 < bounds[1] < bounds[2] and count <= FEW_COLUMNS and count * bounds[2] <= TILE_WORDS):
        return False
    mask, last = _column(source, above, i), count - 1
    n = nodes.counts + NUMBER * at[COUNT_AT]
    line = NUMBER * (count + MARGIN)
    s = n + (count + MARGIN) * line
    at[COLUMNS], at[FIRST], at[ROWS] = count, 0, count
    if count <= 4:
        four = _four_of(source, above, columns, 0, last)
        write_triangle_counts(four, mask, bounds[1], bounds[2], n, s, line)
        return True
    for a in range(0, last, 4):
        rows = _four_of(source, above, columns, a, last)
        for b in range(a + 1, count, 4):
            others = _four_of(source, above, columns, b, last)
            cell = a * line + NUMBER * b
            write_block_counts(rows, others, mask, bounds[1], bounds[2], n + cell, s + cell, line, last - a <= 2)
    return True


@kernel
def _four_of(
    nodes: Nodes, level: int, chosen: MutableSequence[int], first: int, last: int
) -> tuple[int, int, int, int]:
    """Addresses of four of the chosen columns, as `_four_addresses`."""
    return (
        _column(nodes, level, chosen[first]),
        _column(nodes, level, chosen[min(first + 1, last)]),
        _column(nodes, level, chosen[min(first + 2, last)]),
        _column(nodes, level, chosen[min(first + 3, last)]),
    )


@kernel
def _four_addresses(base: int, stride: int, first: int, count: int) -> tuple[int, int, int, int]:
    """Addresses of four columns from `first` on; past the end the last one stands in, its counts unread."""
    last = count - 1
    return (
        base + first * stride,
        base + min(first + 1, last) * stride,
        base + min(first + 2, last) * stride,
        base + min(first + 3, last) * stride,
    )


@kernel
def pair_counts(nodes: Nodes, level: int, i: int) -> tuple[int, int]:
    """Addresses of rows of n and of s in which entry j is that of the pair (i, j)."""
    at = ints_at(_shape(nodes, level))
    line = NUMBER * (at[COLUMNS] + MARGIN)
    n = nodes.counts + NUMBER * at[COUNT_AT] + (i - at[FIRST]) * line
    return n, n + (at[ROWS] + MARGIN) * line


@kernel
def columns_of(nodes: Nodes, level: int) -> int:
    """Columns of a node."""
    return ints_at(_shape(nodes, level))[COLUMNS]


@kernel
def words_of(nodes: Nodes, level: int) -> int:
    """Words of each of a node's columns."""
    return ints_at(_shape(nodes, level))[WORDS]


@kernel
def next_column(nodes: Nodes, level: int) -> tuple[int, int]:
    """The column whose turn it is, and the end of those whose pairs are counted."""
    at = ints_at(_shape(nodes, level))
    return at[NEXT], at[FIRST] + at[ROWS]


@kernel
def proceed(nodes: Nodes, level: int, column: int) -> None:
    """Make it the turn of a column."""
    ints_at(_shape(nodes, level))[NEXT] = column


@kernel
def entries_of(nodes: Nodes, level: int) -> int:
    """Address of a node's entries."""
    return nodes.entries + NUMBER * ints_at(_shape(nodes, level))[ENTRY_AT]


@kernel
def common_sums(nodes: Nodes, level: int, i: int, j: int) -> tuple[float, float, float]:
    """Sums of y, y squared and the weight over the rows of columns i and j, where y or the weight is real."""
    at = ints_at(_shape(nodes, level))
    return sums_at_common_bits(
        _column(nodes, level, i),
        _column(nodes, level, j),
        at[VALUE_WORDS],
        nodes.values + NUMBER * at[VALUE_AT],
        nodes.value_room,
        nodes.kinds,
    )


@kernel
def column_sums(nodes: Nodes, level: int, column: int) -> tuple[float, float, float]:
    """n, s and q of one column."""
    at = ints_at(_shape(nodes, level))
    return sums_of_column(
        _column(nodes, level, column),
        _bounds(nodes, level),
        nodes.n_scale,
        nodes.s_scale,
        nodes.segments,
        at[VALUE_WORDS],
        nodes.values + NUMBER * at[VALUE_AT],
        nodes.value_room,
        nodes.kinds,
    )
