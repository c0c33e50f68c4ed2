"""Kernels that count coalitions: pairs by popcounts, projection onto a prefix's rows, the descent below it.

All release the GIL and read `stop` often, so that the caller can thread and interrupt them. Coalitions found
are rows of one growing float64 table, in which every number is exact; its columns are PARENT, ITEM, SIZE and
the sums N, S, Q. Players are known here by their rank, the place in the order of mining.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.synergy.bitmaps import WORD, WORD_BITS, Layout, Words
from touchworth.synergy.descent import (
    COLUMNS,
    NUMBER,
    VALUE_WORDS,
    WORDS,
    Buffers,
    Nodes,
    columns_of,
    common_sums,
    count_pairs,
    counts_below,
    descend,
    empty_buffers,
    entries_of,
    has_room,
    hold,
    next_column,
    nodes_in,
    open_node,
    padded_words,
    pair_counts,
    proceed,
    whole_node,
    with_room,
    words_of,
    words_of_prefix,
)
from touchworth.synergy.instructions import floats_at, int16s_at, int32s_at, ints_at, ones, words_at, zeros_below

__all__ = [
    "ITEM",
    "OUT_OF_MEMORY",
    "PARENT",
    "SIZE",
    "TABLE_COLUMNS",
    "Limits",
    "N",
    "Pairs",
    "Q",
    "RowLists",
    "S",
    "Unit",
    "bitmaps_of_lists",
    "common_neighbours",
    "family_of_masks",
    "index_pairs",
    "lists_of_bitmaps",
    "mine_bitmaps",
    "mine_rows",
    "pairs_of_bitmaps",
    "pairs_of_rows",
    "place_coalitions",
    "row_lists",
    "sums_by_mask",
]

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Floats = NDArray[np.float64]

PARENT, ITEM, SIZE, N, S, Q = range(6)
TABLE_COLUMNS = 6
LEVEL, LENGTH = range(2)
MORE_ROWS, MORE_ROOM = 1, 2
OUT_OF_MEMORY = 2
"""What `stop` holds when the table grows past its limit; 1 says that the caller interrupts."""


class Limits(NamedTuple):
    """What is retained: a support of `min_count` and more, up to `max_size` players, `max_rows` table rows.

    A popcount times `largest_weight` bounds a support that is a sum of fractional weights.
    """

    min_count: float
    largest_weight: float
    max_size: int
    max_rows: int


class Pairs(NamedTuple):
    """Retained pairs: those of first player i have the second players ``items[starts[i]:starts[i + 1]]``."""

    starts: Ints
    items: Ints


class Unit(NamedTuple):
    """Work of one call: first players [first, last), of a single one only pairs [child_first, child_last)."""

    first: int
    last: int
    child_first: int
    child_last: int


class RowLists(NamedTuple):
    """Sessions as lists both ways: the places of each player and the players of each place.

    Attributes
    ----------
    starts, places
        Places of player i, ascending: ``places[starts[i]:starts[i + 1]]``.
    row_starts, row_items
        Players at place p, ascending: ``row_items[row_starts[p]:row_starts[p + 1]]``.
    after
        For each entry of `places`, the index in `row_items` just after that player.
    """

    starts: Ints
    places: Places
    row_starts: Ints
    row_items: Places
    after: Ints


@kernel
def _append_pairs(
    table: int, length: int, nodes: Nodes, level: int, first: int, last: int, size: int, limits: Limits, chosen: int
) -> int:
    """Write the coalitions prefix + {i, j}, first <= i < last and i < j, that are retained; returns how many.

    They go to the row `length` and those after it of the table at an address; `chosen` receives the j of the last i.
    """
    rows, picked, entries = floats_at(table), ints_at(chosen), ints_at(entries_of(nodes, level))
    columns, row = columns_of(nodes, level), length * TABLE_COLUMNS
    for i in range(first, last):
        n_at, s_at = pair_counts(nodes, level, i)
        ns, ss = ints_at(n_at), ints_at(s_at)
        entry, found = float(entries[2 * i]), 0
        for j in range(i + 1, columns):
            n = float(ns[j])
            if n * limits.largest_weight < limits.min_count:
                continue
            s = q = float(ss[j])
            if nodes.kinds > 0:
                s, q, mass = common_sums(nodes, level, i, j)
                if nodes.kinds == 3:
                    n = mass
                    if n < limits.min_count:
                        continue
            rows[row + PARENT], rows[row + ITEM], rows[row + SIZE] = entry, float(entries[2 * j + 1]), float(size)
            rows[row + N], rows[row + S], rows[row + Q] = n, s, q
            row += TABLE_COLUMNS
            picked[found] = j
            found += 1
    return row // TABLE_COLUMNS - length


@kernel
def _new_table(rows: int) -> tuple[Floats, int]:
    """Empty table and its length."""
    # A literal 0 would have a type of its own: Numba compiles each function that it goes to once more.
    return np.empty((rows, TABLE_COLUMNS), np.float64), int(np.int64(0))


@kernel
def _larger(table: Floats, length: int, more: int) -> Floats:
    """The table with room for `more` rows."""
    larger = np.empty((max(2 * table.shape[0], length + more), table.shape[1]), np.float64)
    # Element by element: an assignment of slices makes Numba compile its error texts for two seconds.
    for row in range(length):
        for column in range(table.shape[1]):
            larger[row, column] = table[row, column]
    return larger


@kernel
def _mine_below(
    table: Floats, length: int, by_size: Ints, buffers: Buffers, layout: Layout, limits: Limits, stop: Ints
) -> tuple[Floats, int, Buffers]:
    """Append every coalition of 3 and more below the node at level 0, a prefix of one player; count them by size."""
    nodes = nodes_in(buffers, layout)
    state = np.zeros(2, np.int64)
    state[LEVEL], state[LENGTH] = -1, length
    places = np.empty(buffers.shape[0, COLUMNS], np.int64)
    lacking = MORE_ROWS
    while lacking != 0:
        lacking = _advance(
            table.ctypes.data,
            table.shape[0],
            by_size.ctypes.data,
            nodes,
            state.ctypes.data,
            limits,
            places.ctypes.data,
            stop.ctypes.data,
        )
        columns = buffers.shape[state[LEVEL], COLUMNS]
        if lacking == MORE_ROWS:
            table = _larger(table, state[LENGTH], 2 * columns * columns)
        elif lacking == MORE_ROOM:
            words = buffers.shape[state[LEVEL], WORDS]
            buffers = with_room(buffers, state[LEVEL] + 1, columns, words, columns)
            nodes = nodes_in(buffers, layout)
    return table, state[LENGTH], buffers


@kernel
def _advance(
    table: int, room: int, by_size: int, nodes: Nodes, state: int, limits: Limits, chosen: int, stop: int
) -> int:
    """Go on with the descent until all is counted (0) or something lacks that the caller must enlarge.

    The levels are a stack (see `touchworth.kernels` on recursion: there is none). All arguments are numbers: what
    holds arrays counts references to them, which would cost more than most nodes.
    """
    now, stopped, sizes = ints_at(state), ints_at(stop), ints_at(by_size)
    level, length = now[LEVEL], now[LENGTH]
    lacking = 0
    if level < 0:
        level = 0
        count_pairs(nodes, level, stop)
    while level >= 0 and stopped[0] == 0:
        i, last = next_column(nodes, level)
        if i >= last:
            level -= 1
            continue
        columns, deepest = columns_of(nodes, level), level + 3 == limits.max_size
        if not deepest:
            last = i + 1
        # Of the deepest level all coalitions are written at once.
        if length + (last - i) * columns + columns * columns > room:
            lacking = MORE_ROWS
            break
        if not deepest and not has_room(nodes, level + 1, columns, words_of(nodes, level), columns):
            lacking = MORE_ROOM
            break
        count = _append_pairs(table, length, nodes, level, i, last, level + 3, limits, chosen)
        proceed(nodes, level, last)
        start = length
        length += count
        sizes[level + 3] += count
        if not deepest and count > 1:
            below = level + 1
            if (count == 2 or below + 3 == limits.max_size) and counts_below(
                nodes, level, i, chosen, count, nodes, below
            ):
                _enter_rows(table, start, nodes, below)
                found = _append_pairs(table, length, nodes, below, 0, count, below + 3, limits, chosen)
                length += found
                sizes[below + 3] += found
            else:
                words_of_prefix(nodes, level, nodes, below, i)
                descend(nodes, level, nodes, below, i, chosen, count, 0, count)
                _enter_rows(table, start, nodes, below)
                count_pairs(nodes, below, stop)
                level = below
        if length > limits.max_rows:
            stopped[0] = OUT_OF_MEMORY
    now[LEVEL], now[LENGTH] = level, length
    return lacking


@kernel
def _enter_rows(table: int, start: int, nodes: Nodes, level: int) -> None:
    """Entries of a node whose columns are the coalitions in the table from a row on."""
    entries, rows = ints_at(entries_of(nodes, level)), floats_at(table)
    for t in range(columns_of(nodes, level)):
        entries[2 * t], entries[2 * t + 1] = start + t, int(rows[(start + t) * TABLE_COLUMNS + ITEM])


@kernel
def _enter_pairs(pairs: Pairs, i: int, buffers: Buffers) -> None:
    """Entries of the node at level 0: the pairs of first player i."""
    start = pairs.starts[i]
    for t in range(pairs.starts[i + 1] - start):
        buffers.entries[2 * t], buffers.entries[2 * t + 1] = -1 - (start + t), pairs.items[start + t]


@kernel
def pairs_of_bitmaps(columns: Words, first: int, last: int, layout: Layout, limits: Limits, stop: Ints) -> Floats:
    """Retained pairs (i, j) with first <= i < last, as table rows; PARENT is i, ITEM is j."""
    whole, k = whole_node(columns, layout, first, last), columns.shape[0]
    node, zero = nodes_in(whole, layout), int(np.int64(0))
    count_pairs(node, zero, stop.ctypes.data)
    table, length = _new_table(4 * k)
    places = np.empty(k, np.int64)
    for i in range(first, last):
        if stop[0] != 0:
            break
        if length + k > table.shape[0]:
            table = _larger(table, length, k)
        length += _append_pairs(table.ctypes.data, length, node, zero, i, i + 1, 2, limits, places.ctypes.data)
    hold(whole)
    return table[:length].copy()


@kernel
def _levels(unit: Unit, pairs: Pairs, limits: Limits) -> int:
    """Levels that the descent below the first players of a unit can take."""
    most = 0
    for i in range(unit.first, unit.last):
        most = max(most, pairs.starts[i + 1] - pairs.starts[i])
    return int(max(1, min(limits.max_size - 2, most)))


@kernel
def _trimmed(table: Floats, length: int) -> Floats:
    """The rows in use; without the others, where these are most."""
    return table[:length] if 2 * length > table.shape[0] else table[:length].copy()


@kernel
def _append_triple(table: Floats, length: int, by_size: Ints, nodes: Nodes, limits: Limits) -> tuple[Floats, int]:
    """Append the one coalition of the two columns of the node at level 0, if it is retained."""
    if length + 2 > table.shape[0]:
        table = _larger(table, length, 2)
    places, zero = np.empty(2, np.int64), int(np.int64(0))
    found = _append_pairs(table.ctypes.data, length, nodes, zero, zero, 2, 3, limits, places.ctypes.data)
    places[0] = 0
    by_size[3] += found
    return table, length + found


@kernel
def mine_bitmaps(
    unit: Unit, pairs: Pairs, columns: Words, layout: Layout, limits: Limits, stop: Ints
) -> tuple[Floats, Ints]:
    """Retained coalitions of size 3 and more of a unit of work, as table rows, and how many there are of each size.

    PARENT is a row of the table, or -1 - p for the pair at position p.
    """
    table, length = _new_table(1 << 14)
    by_size = np.zeros(limits.max_size + 1, np.int64)
    zero = int(np.int64(0))
    whole, buffers = whole_node(columns, layout, zero, zero), empty_buffers(layout, _levels(unit, pairs, limits))
    source = nodes_in(whole, layout)
    for i in range(unit.first, unit.last):
        start, count = pairs.starts[i], pairs.starts[i + 1] - pairs.starts[i]
        if count < 2 or stop[0] != 0:
            continue
        first, last = min(unit.child_first, count), min(unit.child_last, count)
        nodes = nodes_in(buffers, layout)
        words = words_of_prefix(source, zero, nodes, zero, i)
        if not has_room(nodes, zero, count, words, last - first):
            buffers = with_room(buffers, zero, count, words, last - first)
            nodes = nodes_in(buffers, layout)
        if count == 2 and counts_below(source, zero, i, pairs.items.ctypes.data + NUMBER * start, count, nodes, zero):
            _enter_pairs(pairs, i, buffers)
            table, length = _append_triple(table, length, by_size, nodes, limits)
            continue
        descend(source, zero, nodes, zero, i, pairs.items.ctypes.data + NUMBER * start, count, first, last)
        _enter_pairs(pairs, i, buffers)
        table, length, buffers = _mine_below(table, length, by_size, buffers, layout, limits, stop)
    hold(whole)
    return _trimmed(table, length), by_size


@kernel
def row_lists(starts: Ints, places: Places, all_places: int) -> RowLists:
    """Transpose each player's list of places into each place's list of players."""
    row_starts = np.zeros(all_places + 1, np.int64)
    for place in places:
        row_starts[place + 1] += 1
    for place in range(all_places):
        row_starts[place + 1] += row_starts[place]
    ends = row_starts[:-1].copy()
    row_items, after = np.empty(places.size, np.int32), np.empty(places.size, np.int64)
    for item in range(starts.size - 1):
        for entry in range(starts[item], starts[item + 1]):
            at = ends[places[entry]]
            row_items[at] = item
            ends[places[entry]] = at + 1
            after[entry] = at + 1
    return RowLists(starts, places, row_starts, row_items, after)


@kernel
def pairs_of_rows(rows: RowLists, first: int, last: int, layout: Layout, limits: Limits, stop: Ints) -> Floats:
    """As `pairs_of_bitmaps`, counted row by row: every row of player i adds to all its players after i."""
    k = rows.starts.size - 1
    values = layout.values
    table, length = _new_table(4 * k)
    n, sums = np.zeros(k, np.int64), np.zeros((3, k))
    for i in range(first, last):
        if stop[0] != 0:
            break
        segment = 0
        for entry in range(rows.starts[i], rows.starts[i + 1]):
            place = rows.places[entry]
            while place >= layout.bounds[segment + 1] * WORD:
                segment += 1
            others = rows.row_items[rows.after[entry] : rows.row_starts[place + 1]]
            n_scale, s_scale = layout.n_scale[segment], layout.s_scale[segment]
            for j in others:
                n[j] += n_scale
            if s_scale != 0:
                for j in others:
                    sums[0, j] += s_scale
            if place < layout.value_words * WORD:
                for j in others:
                    for c in range(values.shape[0]):
                        sums[c, j] += values[c, place]
        if length + k > table.shape[0]:
            table = _larger(table, length, k)
        for j in range(i + 1, k):
            if n[j] == 0:
                continue
            support = sums[2, j] if values.shape[0] == 3 else float(n[j])
            if support >= limits.min_count:
                row = table[length]
                row[PARENT], row[ITEM], row[SIZE], row[N], row[S] = i, j, 2, support, sums[0, j]
                row[Q] = sums[1, j] if values.shape[0] > 0 else sums[0, j]
                length += 1
            n[j] = 0
            sums[0, j] = sums[1, j] = sums[2, j] = 0.0
    return table[:length].copy()


@kernel
def mine_rows(
    unit: Unit, pairs: Pairs, rows: RowLists, layout: Layout, limits: Limits, stop: Ints
) -> tuple[Floats, Ints]:
    """As `mine_bitmaps`, each first node gathered from the rows of the prefix instead of closed up."""
    table, length = _new_table(1 << 14)
    by_size = np.zeros(limits.max_size + 1, np.int64)
    zero = int(np.int64(0))
    column_of = np.full(rows.starts.size - 1, -1, np.int64)
    buffers = empty_buffers(layout, _levels(unit, pairs, limits))
    for i in range(unit.first, unit.last):
        items = pairs.items[pairs.starts[i] : pairs.starts[i + 1]]
        if items.size < 2 or stop[0] != 0:
            continue
        for column in range(items.size):
            column_of[items[column]] = column
        first, last = min(unit.child_first, items.size), min(unit.child_last, items.size)
        ends = _segment_ends(rows, i, layout, buffers)
        words = int(buffers.bounds[0, -1])
        nodes = nodes_in(buffers, layout)
        if not has_room(nodes, zero, items.size, words, last - first):
            buffers = with_room(buffers, zero, items.size, words, last - first)
            nodes = nodes_in(buffers, layout)
        open_node(nodes, zero, items.size, first, last)
        _gather_rows(rows, i, column_of, layout, ends, buffers)
        for item in items:
            column_of[item] = -1
        _enter_pairs(pairs, i, buffers)
        table, length, buffers = _mine_below(table, length, by_size, buffers, layout, limits, stop)
    return _trimmed(table, length), by_size


@kernel
def _segment_ends(rows: RowLists, i: int, layout: Layout, buffers: Buffers) -> Ints:
    """Where each segment's rows begin in the list of player i; sets the bounds of the node at level 0."""
    ends = np.searchsorted(rows.places[rows.starts[i] : rows.starts[i + 1]], layout.bounds * WORD)
    buffers.shape[0, VALUE_WORDS] = 0
    for segment in range(layout.bounds.size - 1):
        kept = ends[segment + 1] - ends[segment]
        buffers.bounds[0, segment + 1] = buffers.bounds[0, segment] + padded_words(kept)
        if layout.bounds[segment + 1] <= layout.value_words:
            buffers.shape[0, VALUE_WORDS] = buffers.bounds[0, segment + 1]
    return ends


@kernel
def _gather_rows(rows: RowLists, i: int, column_of: Ints, layout: Layout, ends: Ints, buffers: Buffers) -> None:
    """Fill the node at level 0: bitmaps of the players with a column, over the rows of player i only."""
    values, words = layout.values, buffers.shape[0, WORDS]
    own = rows.places[rows.starts[i] : rows.starts[i + 1]]
    after = rows.after[rows.starts[i] : rows.starts[i + 1]]
    bitmaps = words_at(buffers.words.ctypes.data)
    for w in range(buffers.shape[0, COLUMNS] * words):
        bitmaps[w] = np.uint64(0)
    for segment in range(layout.bounds.size - 1):
        place = buffers.bounds[0, segment] * WORD
        for entry in range(ends[segment], ends[segment + 1]):
            word, bit = place >> WORD_BITS, np.uint64(1) << np.uint64(place & (WORD - 1))
            for at in range(after[entry], rows.row_starts[own[entry] + 1]):
                column = column_of[rows.row_items[at]]
                if column >= 0:
                    bitmaps[column * words + word] |= bit
            if own[entry] < layout.value_words * WORD:
                for c in range(values.shape[0]):
                    buffers.values[c, place] = values[c, own[entry]]
            place += 1


@kernel
def lists_of_bitmaps(bitmaps: Words, players: Ints) -> tuple[Ints, Places]:
    """Places of the set bits of the bitmaps of `players`, in that order."""
    starts = np.zeros(players.size + 1, np.int64)
    for t in range(players.size):
        total = 0
        for word in bitmaps[players[t]]:
            total += int(ones(word))
        starts[t + 1] = starts[t] + total
    lists, at = np.empty(starts[-1], np.int32), 0
    for player in players:
        for w in range(bitmaps.shape[1]):
            word = bitmaps[player, w]
            while word != np.uint64(0):
                lists[at] = w * WORD + int(zeros_below(word))
                at += 1
                word &= word - np.uint64(1)
    return starts, lists


@kernel
def bitmaps_of_lists(list_starts: Ints, lists: Places, players: Ints, words: int) -> Words:
    """Bitmaps of `players`, in that order."""
    bitmaps = np.zeros((players.size, words), np.uint64)
    for t in range(players.size):
        start, end = list_starts[players[t]], list_starts[players[t] + 1]
        bitmap = words_at(bitmaps.ctypes.data + NUMBER * words * t)
        for entry in range(start, end):
            place = lists[entry]
            bitmap[place >> WORD_BITS] |= np.uint64(1) << np.uint64(place & (WORD - 1))
    return bitmaps


@kernel
def index_pairs(table: Floats, singles: Floats, words: int) -> tuple[Pairs, Ints, int]:
    """Pairs of a table of them; words to AND for the triples below each first player; most words of one's columns.

    A first player's words are its candidate triples times the words of its rows, at most `words`.
    """
    k = singles.shape[0]
    starts, items = np.zeros(k + 1, np.int64), np.empty(table.shape[0], np.int64)
    for p in range(table.shape[0]):
        starts[int(table[p, PARENT]) + 1] += 1
        items[p] = int(table[p, ITEM])
    work, most = np.empty(k, np.int64), 1
    for i in range(k):
        children = starts[i + 1]
        own = min(int(np.ceil(singles[i, N] / WORD)), words)
        work[i] = children * (children - 1) // 2 * own
        most = max(most, children * own)
        starts[i + 1] += starts[i]
    return Pairs(starts, items), work, most


@kernel
def common_neighbours(pairs: Pairs, stop: Ints) -> int:
    """Number of triples all of whose pairs are retained: no other triple can be."""
    k = pairs.starts.size - 1
    later = np.zeros((k, (k + WORD - 1) // WORD), np.uint64)
    for i in range(k):
        for j in pairs.items[pairs.starts[i] : pairs.starts[i + 1]]:
            later[i, j // WORD] |= np.uint64(1) << np.uint64(j % WORD)
    total = 0
    for i in range(k):
        if stop[0] != 0:
            break
        for j in pairs.items[pairs.starts[i] : pairs.starts[i + 1]]:
            for w in range(j // WORD, later.shape[1]):
                total += int(ones(later[i, w] & later[j, w]))
    return total


@kernel
def sums_by_mask(columns: Words, layout: Layout) -> Floats:
    """n, s and q of every non-empty set of the players: count equal rows, then add up over supersets.

    Returns float64 (3, 2^players); bit t of an index is player t. The empty set's entry counts padding and is
    no result.
    """
    k, values = columns.shape[0], layout.values
    sums = np.zeros((3, 1 << k))
    codes = np.zeros(WORD, np.int64)
    segment = 0
    for w in range(columns.shape[1]):
        while w >= layout.bounds[segment + 1]:
            segment += 1
        codes[:] = 0
        for t in range(k):
            word = columns[t, w]
            while word != np.uint64(0):
                codes[zeros_below(word)] |= 1 << t
                word &= word - np.uint64(1)
        for b in range(WORD):
            if values.shape[0] < 3:
                sums[0, codes[b]] += layout.n_scale[segment]
                sums[1, codes[b]] += layout.s_scale[segment]
                sums[2, codes[b]] += layout.s_scale[segment]
            if w < layout.value_words:
                sums[1, codes[b]] += values[0, w * WORD + b]
                sums[2, codes[b]] += values[1, w * WORD + b]
                if values.shape[0] == 3:
                    sums[0, codes[b]] += values[2, w * WORD + b]
    for c in range(3):
        for t in range(k):
            for mask in range(1 << k):
                if mask >> t & 1 == 0:
                    sums[c, mask] += sums[c, mask | 1 << t]
    return sums


@kernel
def family_of_masks(sums: Floats, players: int, limits: Limits) -> Floats:
    """Retained sets of `sums_by_mask` in size-major trie order, as table rows (PARENT -1 for singles)."""
    table, length = _new_table(1 << 14)
    masks = np.zeros(1 << players, np.int64)
    mask, last, size = 0, -1, 0
    parent = -1
    while parent < length:
        if length + players > table.shape[0]:
            table = _larger(table, length, players)
        if size < limits.max_size:
            for t in range(last + 1, players):
                extended = mask | 1 << t
                if sums[0, extended] >= limits.min_count:
                    masks[length] = extended
                    table[length, PARENT], table[length, ITEM], table[length, SIZE] = parent, t, size + 1
                    table[length, N:] = sums[:, extended]
                    length += 1
        parent += 1
        if parent < length:
            mask, last, size = masks[parent], int(table[parent, ITEM]), int(table[parent, SIZE])
    return table[:length].copy()


@kernel
def place_coalitions(
    table: Floats,
    following: Ints,
    links: NDArray[np.int32],
    size: NDArray[np.int16],
    sums: Floats,
    players: NDArray[np.int32],
    first_pair: int,
    is_family: bool,
) -> None:
    """Write the rows of a table at the next free position of their size (``following``), links included.

    ``links`` has the rows parent, item, first child, number of children; ``sums`` n, s, q; ``players`` the player
    of each rank. PARENT is a
    position in the whole result for singles, pairs and a family of masks, else as in `mine_bitmaps`.
    """
    family = links.shape[1]
    parent, sizes, player = int32s_at(links.ctypes.data), int16s_at(size.ctypes.data), int32s_at(players.ctypes.data)
    n = floats_at(sums.ctypes.data)
    rows, next_of = floats_at(table.ctypes.data), ints_at(following.ctypes.data)
    positions = np.empty(table.shape[0], np.int64)
    position = ints_at(positions.ctypes.data)
    for t in range(table.shape[0]):
        row = t * TABLE_COLUMNS
        own_size = int(rows[row + SIZE])
        at = next_of[own_size]
        next_of[own_size] = at + 1
        position[t] = at
        up = int(rows[row + PARENT])
        if own_size > 2 and not is_family:
            up = first_pair - 1 - up if up < 0 else position[up]
        parent[at], parent[family + at], sizes[at] = up, player[int(rows[row + ITEM])], own_size
        n[at], n[family + at], n[2 * family + at] = rows[row + N], rows[row + S], rows[row + Q]
        if up >= 0:
            if parent[3 * family + up] == 0:
                parent[2 * family + up] = at
            parent[3 * family + up] += 1
    positions[:1] = 0
