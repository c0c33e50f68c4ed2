"""Kernels that count coalitions: pairs by popcounts, projection onto a prefix's rows, the descent below it.

All release the GIL and read `stop` often, so that the caller can thread and interrupt them. Coalitions found
are rows of one growing float64 table, in which every number is exact; its columns are PARENT, ITEM, the sums N and
S and, of a real y, Q. PARENT is a row of the table, or -1 - p for the coalition at position p of the size before the
table's first. Players are known here by their rank, the place in the order of mining.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.synergy.bitmaps import WORD, WORD_BITS, Layout, Words, padded_words
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
    "rank_players",
    "row_lists",
    "sums_by_mask",
]

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Floats = NDArray[np.float64]

PARENT, ITEM, N, S, Q = range(5)
LEVEL, LENGTH, ROOT, NEED_LEVEL, NEED_ROWS, NEED_WORDS = range(6)
STATE_FIELDS = 6
MORE_ROWS, MORE_ROOM = 1, 2
FIRST_ROWS = 1 << 14
"""Rows of a new table, half a megabyte; it doubles as needed."""

LEAF_ROWS = 1 << 10
"""Rows of the table that there must be room for at a leaf, whose columns are at most `FEW_COLUMNS`."""

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


class Walk(NamedTuple):
    """Addresses of what the descent writes to, good for as long as the kernel holds the arrays.

    Attributes
    ----------
    table, room
        Table and how many rows it has room for.
    by_size
        int64: coalitions of each size so far.
    state
        int64: where the descent is and what it lacks. LEVEL (-1 between first players), LENGTH (rows in use), ROOT
        (first player whose turn it is), and NEED_LEVEL, NEED_ROWS, NEED_WORDS of `_ask`.
    chosen
        int64: columns picked last.
    stop
        The caller's flag.
    """

    table: int
    room: int
    by_size: int
    state: int
    chosen: int
    stop: int


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
    table: int, length: int, nodes: Nodes, level: int, first: int, last: int, limits: Limits, chosen: int
) -> int:
    """Write the coalitions prefix + {i, j}, first <= i < last and i < j, that are retained; returns how many.

    They go to the row `length` and those after it of the table at an address; `chosen` receives the j of the last i.
    """
    width = _width(nodes.kinds)
    rows, picked, entries = floats_at(table), ints_at(chosen), ints_at(entries_of(nodes, level))
    columns, row = columns_of(nodes, level), length * width
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
            rows[row + PARENT], rows[row + ITEM] = entry, float(entries[2 * j + 1])
            rows[row + N], rows[row + S] = n, s
            if nodes.kinds > 0:
                rows[row + Q] = q
            row += width
            picked[found] = j
            found += 1
    return row // width - length


@kernel
def _width(kinds: int) -> int:
    """Columns of a table: Q only where y has values of so many kinds."""
    return Q + 1 if kinds > 0 else Q


@kernel
def _new_table(layout: Layout) -> Floats:
    """Empty table."""
    return np.empty((FIRST_ROWS, _width(layout.values.shape[0])), np.float64)


@kernel
def _new_state(unit: Unit) -> Ints:
    """State before the first player of a unit."""
    state = np.zeros(STATE_FIELDS, np.int64)
    state[LEVEL], state[ROOT] = -1, unit.first
    return state


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
def _walk(table: Floats, by_size: Ints, state: Ints, places: Ints, stop: Ints) -> Walk:
    """Addresses of what the descent writes to."""
    return Walk(
        table.ctypes.data, table.shape[0], by_size.ctypes.data, state.ctypes.data, places.ctypes.data, stop.ctypes.data
    )


@kernel
def _enlarged(lacking: int, table: Floats, buffers: Buffers, state: Ints) -> tuple[Floats, Buffers]:
    """Table and buffers, the one that lacks room with what the state asks for."""
    if lacking == MORE_ROWS:
        return _larger(table, state[LENGTH], state[NEED_ROWS]), buffers
    return table, with_room(buffers, state[NEED_LEVEL], state[NEED_ROWS], state[NEED_WORDS], state[NEED_ROWS])


@kernel
def _ask(walk: Walk, lacking: int, level: int, rows: int, words: int) -> int:
    """Note what lacks: rows of the table, or room for a node of so many columns."""
    now = ints_at(walk.state)
    now[NEED_LEVEL], now[NEED_ROWS], now[NEED_WORDS] = level, rows, words
    return lacking


@kernel
def _advance_roots(source: Nodes, unit: Unit, starts: int, items: int, nodes: Nodes, walk: Walk, limits: Limits) -> int:
    """Go on through the first players of a unit and all below them, as `_advance`.

    `source` holds all columns; `starts` and `items` are the addresses of `Pairs`.
    """
    now, stopped, first_of = ints_at(walk.state), ints_at(walk.stop), ints_at(starts)
    whole = int(np.int64(0))
    while stopped[0] == 0:
        if now[LEVEL] < 0:
            i = now[ROOT]
            if i >= unit.last:
                return 0
            start, count = first_of[i], first_of[i + 1] - first_of[i]
            if count < 2:
                now[ROOT] = i + 1
                continue
            first, last, chosen = min(unit.child_first, count), min(unit.child_last, count), items + NUMBER * start
            words = words_of_prefix(source, whole, nodes, whole, i)
            if not has_room(nodes, 0, count, words, last - first):
                return _ask(walk, MORE_ROOM, 0, count, words)
            if now[LENGTH] + LEAF_ROWS > walk.room:
                return _ask(walk, MORE_ROWS, 0, LEAF_ROWS, 0)
            is_leaf = (count == 2 or limits.max_size == 3) and last - first == count
            if is_leaf and counts_below(source, whole, i, chosen, count, nodes, whole):
                _enter_pairs(start, items, nodes)
                found = _append_pairs(walk.table, now[LENGTH], nodes, whole, 0, count, limits, walk.chosen)
                now[LENGTH] += found
                ints_at(walk.by_size)[3] += found
            else:
                descend(source, whole, nodes, whole, i, chosen, count, first, last)
                _enter_pairs(start, items, nodes)
                count_pairs(nodes, whole, walk.stop)
                now[LEVEL] = 0
            now[ROOT] = i + 1
        lacking = _advance(nodes, walk, limits)
        if lacking != 0:
            return lacking
    return 0


@kernel
def _advance(nodes: Nodes, walk: Walk, limits: Limits) -> int:
    """Go on with the descent until all below level 0 is counted (0), or until the caller must enlarge something.

    The levels are a stack (see `touchworth.kernels` on recursion: there is none). All arguments are numbers: what
    holds arrays counts references to them, which would cost more than most nodes.
    """
    now, stopped, sizes = ints_at(walk.state), ints_at(walk.stop), ints_at(walk.by_size)
    table, chosen = walk.table, walk.chosen
    level, length = now[LEVEL], now[LENGTH]
    lacking = 0
    while level >= 0 and stopped[0] == 0:
        i, last = next_column(nodes, level)
        if i >= last:
            level -= 1
            continue
        columns, deepest = columns_of(nodes, level), level + 3 == limits.max_size
        # Of the deepest level many coalitions are written at once.
        last = min(last, i + max(1, LEAF_ROWS // columns)) if deepest else i + 1
        rows = (last - i) * columns + LEAF_ROWS
        if length + rows > walk.room:
            lacking = _ask(walk, MORE_ROWS, level, rows, 0)
            break
        below = level + 1
        if not deepest and not has_room(nodes, below, columns, words_of(nodes, level), columns):
            lacking = _ask(walk, MORE_ROOM, below, columns, words_of(nodes, level))
            break
        count = _append_pairs(table, length, nodes, level, i, last, limits, chosen)
        proceed(nodes, level, last)
        start = length
        length += count
        sizes[level + 3] += count
        if not deepest and count > 1:
            if (count == 2 or below + 3 == limits.max_size) and counts_below(
                nodes, level, i, chosen, count, nodes, below
            ):
                _enter_rows(table, start, nodes, below)
                found = _append_pairs(table, length, nodes, below, 0, count, limits, chosen)
                length += found
                sizes[below + 3] += found
            else:
                words_of_prefix(nodes, level, nodes, below, i)
                descend(nodes, level, nodes, below, i, chosen, count, 0, count)
                _enter_rows(table, start, nodes, below)
                count_pairs(nodes, below, walk.stop)
                level = below
        if length > limits.max_rows:
            stopped[0] = OUT_OF_MEMORY
    now[LEVEL], now[LENGTH] = level, length
    return lacking


@kernel
def _enter_rows(table: int, start: int, nodes: Nodes, level: int) -> None:
    """Entries of a node whose columns are the coalitions in the table from a row on."""
    entries, rows, width = ints_at(entries_of(nodes, level)), floats_at(table), _width(nodes.kinds)
    for t in range(columns_of(nodes, level)):
        entries[2 * t], entries[2 * t + 1] = start + t, int(rows[(start + t) * width + ITEM])


@kernel
def _enter_pairs(start: int, items: int, nodes: Nodes) -> None:
    """Entries of the node at level 0: the pairs from a position on; `items` is the address of `Pairs.items`."""
    entries, players = ints_at(nodes.entries), ints_at(items)
    for t in range(columns_of(nodes, 0)):
        entries[2 * t], entries[2 * t + 1] = -1 - (start + t), players[start + t]


@kernel
def pairs_of_bitmaps(columns: Words, first: int, last: int, layout: Layout, limits: Limits, stop: Ints) -> Floats:
    """Retained pairs (i, j) with first <= i < last, as table rows; ITEM is j."""
    whole, k = whole_node(columns, layout, first, last), columns.shape[0]
    node, zero = nodes_in(whole, layout), int(np.int64(0))
    count_pairs(node, zero, stop.ctypes.data)
    table, length = _new_table(layout), int(np.int64(0))
    places = np.empty(k, np.int64)
    for i in range(first, last):
        if stop[0] != 0:
            break
        if length + k > table.shape[0]:
            table = _larger(table, length, k)
        length += _append_pairs(table.ctypes.data, length, node, zero, i, i + 1, limits, places.ctypes.data)
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
def mine_bitmaps(
    unit: Unit, pairs: Pairs, columns: Words, layout: Layout, limits: Limits, stop: Ints
) -> tuple[Floats, Ints]:
    """Retained coalitions of size 3 and more of a unit of work, as table rows, and how many there are of each size."""
    zero, places = int(np.int64(0)), np.empty(columns.shape[0], np.int64)
    table, by_size, state = _new_table(layout), np.zeros(limits.max_size + 1, np.int64), _new_state(unit)
    whole, buffers = whole_node(columns, layout, zero, zero), empty_buffers(layout, _levels(unit, pairs, limits))
    starts, items = pairs.starts.ctypes.data, pairs.items.ctypes.data
    source, nodes, walk = (
        nodes_in(whole, layout),
        nodes_in(buffers, layout),
        _walk(table, by_size, state, places, stop),
    )
    lacking = _advance_roots(source, unit, starts, items, nodes, walk, limits)
    while lacking != 0:
        table, buffers = _enlarged(lacking, table, buffers, state)
        nodes, walk = nodes_in(buffers, layout), _walk(table, by_size, state, places, stop)
        lacking = _advance_roots(source, unit, starts, items, nodes, walk, limits)
    # Addresses hold nothing: this is the last use of what lies behind them.
    places[:1] = hold(whole) + hold(buffers)
    return _trimmed(table, state[LENGTH]), by_size


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
    table, length = _new_table(layout), int(np.int64(0))
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
                row[PARENT], row[ITEM], row[N], row[S] = -1 - i, j, support, sums[0, j]
                if values.shape[0] > 0:
                    row[Q] = sums[1, j]
                length += 1
            n[j] = 0
            sums[0, j] = sums[1, j] = sums[2, j] = 0.0
    return table[:length].copy()


@kernel
def mine_rows(
    unit: Unit, pairs: Pairs, rows: RowLists, layout: Layout, limits: Limits, stop: Ints
) -> tuple[Floats, Ints]:
    """As `mine_bitmaps`, each first node gathered from the rows of the prefix instead of closed up."""
    zero, places = int(np.int64(0)), np.empty(rows.starts.size - 1, np.int64)
    table, by_size, state = _new_table(layout), np.zeros(limits.max_size + 1, np.int64), _new_state(unit)
    column_of = np.full(rows.starts.size - 1, -1, np.int64)
    buffers = empty_buffers(layout, _levels(unit, pairs, limits))
    for i in range(unit.first, unit.last):
        start = pairs.starts[i]
        items = pairs.items[start : pairs.starts[i + 1]]
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
        _enter_pairs(start, pairs.items.ctypes.data, nodes)
        count_pairs(nodes, zero, stop.ctypes.data)
        state[LEVEL] = 0
        lacking = _advance(nodes, _walk(table, by_size, state, places, stop), limits)
        while lacking != 0:
            table, buffers = _enlarged(lacking, table, buffers, state)
            nodes = nodes_in(buffers, layout)
            lacking = _advance(nodes, _walk(table, by_size, state, places, stop), limits)
    places[:1] = hold(buffers)
    return _trimmed(table, state[LENGTH]), by_size


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
    places = int32s_at(lists.ctypes.data)
    for t in range(players.size):
        start, end = list_starts[players[t]], list_starts[players[t] + 1]
        bitmap = words_at(bitmaps.ctypes.data + NUMBER * words * t)
        for entry in range(start, end):
            place = places[entry]
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
        starts[-int(table[p, PARENT])] += 1
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
def family_of_masks(sums: Floats, players: int, layout: Layout, limits: Limits) -> tuple[Floats, Ints]:
    """Retained sets of `sums_by_mask` in size-major trie order, as table rows, and how many there are of each size."""
    table, length = _new_table(layout), int(np.int64(0))
    masks, sizes = np.zeros(1 << players, np.int64), np.zeros(1 << players, np.int64)
    by_size = np.zeros(limits.max_size + 1, np.int64)
    mask, last, size = 0, -1, 0
    parent = -1
    while parent < length:
        if length + players > table.shape[0]:
            table = _larger(table, length, players)
        if size < limits.max_size:
            for t in range(last + 1, players):
                extended = mask | 1 << t
                if sums[0, extended] >= limits.min_count:
                    masks[length], sizes[length] = extended, size + 1
                    by_size[size + 1] += 1
                    table[length, PARENT], table[length, ITEM] = parent, t
                    for column in range(N, table.shape[1]):
                        table[length, column] = sums[column - N, extended]
                    length += 1
        parent += 1
        if parent < length:
            mask, last, size = masks[parent], int(table[parent, ITEM]), sizes[parent]
    return table[:length].copy(), by_size


@kernel
def rank_players(order: Ints, players: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Player of each rank and rank of each player: first those in the order of mining, then all others."""
    in_order, rank = np.empty(players, np.int32), np.full(players, -1, np.int32)
    for place in range(order.size):
        in_order[place], rank[order[place]] = order[place], place
    following = order.size
    for player in range(players):
        if rank[player] < 0:
            in_order[following], rank[player] = player, following
            following += 1
    return in_order, rank


@kernel
def place_coalitions(
    table: Floats,
    size: int,
    before: int,
    following: Ints,
    links: NDArray[np.int32],
    sizes: NDArray[np.int16],
    sums: Floats,
    players: NDArray[np.int32],
) -> None:
    """Write the rows of a table at the next free position of their size (``following``), links included.

    Rows whose parent is not in the table are of the given size; the coalitions of the size before begin at position
    `before`. ``links`` has the rows parent, item, first child, number of children; ``sums`` n, s and, of a real y,
    q; ``players`` the player of each rank.
    """
    family, width = links.shape[1], table.shape[1]
    out, size_of, player = int32s_at(links.ctypes.data), int16s_at(sizes.ctypes.data), int32s_at(players.ctypes.data)
    rows, next_of, out_sums = floats_at(table.ctypes.data), ints_at(following.ctypes.data), floats_at(sums.ctypes.data)
    positions = np.empty(table.shape[0], np.int64)
    position = ints_at(positions.ctypes.data)
    for t in range(table.shape[0]):
        row = t * width
        up, own = int(rows[row + PARENT]), size
        if up >= 0:
            up = position[up]
            own = size_of[up] + 1
        else:
            up = before - 1 - up if size > 1 else -1
        at = next_of[own]
        next_of[own] = at + 1
        position[t] = at
        out[at], out[family + at], size_of[at] = up, player[int(rows[row + ITEM])], own
        out_sums[at], out_sums[family + at] = rows[row + N], rows[row + S]
        if width > Q:
            out_sums[2 * family + at] = rows[row + Q]
        if up >= 0:
            if out[3 * family + up] == 0:
                out[2 * family + up] = at
            out[3 * family + up] += 1
    # Addresses hold nothing: this is the last use of the positions.
    positions[:1] = 0
