"""Kernels that count coalitions: pairs by popcounts, projection onto a prefix's rows, the descent below it.

All release the GIL and read `stop` often, so that the caller can thread and interrupt them. Coalitions found
are rows of one growing float64 table, in which every number is exact; its columns are PARENT, ITEM, SIZE and
the sums N, S, Q. Players are known here by their rank, the place in the order of mining.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.synergy.bitmaps import WORD, Layout, Words, compress_words, sums_at_common_bits
from touchworth.synergy.instructions import VECTOR_WORDS, block_counts, extract_bits, ones, zeros_below

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
OUT_OF_MEMORY = 2
"""What `stop` holds when the table grows past its limit; 1 says that the caller interrupts."""

TILE_WORDS = 1 << 16
"""Words of all columns together in a tile of the Gram matrix: half a megabyte stays in the L2 cache."""


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


class Node(NamedTuple):
    """A prefix on the way down: its columns, already restricted to its rows, and what is known of them.

    Attributes
    ----------
    columns
        uint64 (columns, words).
    items
        Player of each column.
    entries
        Where the coalition prefix + {player} stands: a table row, or -1 - p for the pair at position p.
    layout
        How the columns' places count.
    counts
        `pair_counts` of the columns from column `first` on.
    size
        Players of the coalitions of `entries`.
    """

    columns: Words
    items: Ints
    entries: Ints
    layout: Layout
    counts: Ints
    first: int
    size: int


@kernel
def pair_counts(columns: Words, first: int, last: int, layout: Layout, stop: Ints) -> Ints:
    """Gram matrix: n and s of every pair (i, j) with first <= i < last and i < j.

    Returns int64 (2, last - first + 3, columns + 7). Cells below the diagonal and in the margin are no
    result.
    """
    k = columns.shape[0]
    counts = np.zeros((2, last - first + 3, k + 7), np.int64)
    block = np.empty((4, 4), np.int64)
    base, stride, target = columns.ctypes.data, columns.shape[1] * 8, block.ctypes.data
    tile = max(VECTOR_WORDS, min(4096, TILE_WORDS // max(k, 1) // VECTOR_WORDS * VECTOR_WORDS))
    for segment in range(layout.n_scale.size):
        n_scale, s_scale = layout.n_scale[segment], layout.s_scale[segment]
        segment_end = layout.bounds[segment + 1]
        for start in range(layout.bounds[segment], segment_end, tile):
            words = min(tile, segment_end - start)
            here = base + start * 8
            for i in range(first, last, 4):
                if stop[0] != 0:
                    return counts
                rows = _four_addresses(here, stride, i, k)
                for j in range(i + 1, k, 4):
                    block_counts(rows, _four_addresses(here, stride, j, k), words, target)
                    _add_block(counts[0], i - first, j, block, n_scale)
                    if s_scale != 0:
                        _add_block(counts[1], i - first, j, block, s_scale)
    return counts


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
def _add_block(counts: Ints, i: int, j: int, block: Ints, scale: int) -> None:
    for a in range(4):
        for b in range(4):
            counts[i + a, j + b] += scale * block[a, b]


@kernel
def _append_pairs(table: Floats, length: int, node: Node, i: int, limits: Limits, chosen: Ints) -> tuple[Floats, int]:
    """Append the coalitions prefix + {i, j}, j > i, that are retained; ``chosen`` receives their j."""
    columns, values = node.columns, node.layout.values
    table = _room_for(table, length, columns.shape[0])
    found = 0
    for j in range(i + 1, columns.shape[0]):
        n = float(node.counts[0, i - node.first, j])
        if n * limits.largest_weight < limits.min_count:
            continue
        s = q = float(node.counts[1, i - node.first, j])
        if values.shape[0] > 0:
            s, q, mass = sums_at_common_bits(columns[i], columns[j], values, node.layout.value_words)
            if values.shape[0] == 3:
                n = mass
                if n < limits.min_count:
                    continue
        row = table[length + found]
        row[PARENT], row[ITEM], row[SIZE] = node.entries[i], node.items[j], node.size + 1
        row[N], row[S], row[Q] = n, s, q
        chosen[found] = j
        found += 1
    return table, length + found


@kernel
def _new_table(rows: int) -> tuple[Floats, int]:
    """Empty table and its length."""
    # A literal 0 would have a type of its own: Numba compiles each function that it goes to once more.
    return np.empty((rows, TABLE_COLUMNS), np.float64), int(np.int64(0))


@kernel
def _room_for(table: Floats, length: int, more: int) -> Floats:
    if length + more <= table.shape[0]:
        return table
    larger = np.empty((max(2 * table.shape[0], length + more), table.shape[1]), np.float64)
    # Element by element: an assignment of slices makes Numba compile its error texts for two seconds.
    for row in range(length):
        for column in range(table.shape[1]):
            larger[row, column] = table[row, column]
    return larger


@kernel
def projected_bounds(row: Words, bounds: Ints) -> Ints:
    """Segment bounds after only the rows set in `row` are kept."""
    projected = np.zeros(bounds.size, np.int64)
    for segment in range(bounds.size - 1):
        total = 0
        for word in row[bounds[segment] : bounds[segment + 1]]:
            total += int(ones(word))
        projected[segment + 1] = projected[segment] + _padded_words(total)
    return projected


@kernel
def _padded_words(rows: int) -> int:
    return (rows + WORD * VECTOR_WORDS - 1) // (WORD * VECTOR_WORDS) * VECTOR_WORDS


@kernel
def compress_columns(columns: Words, i: int, chosen: Ints, bounds: Ints, projected: Ints) -> Words:
    """Columns `chosen` restricted to the rows of column i and closed up (see `compress_words`).

    Four columns share each mask word, its popcount and the branch on a full word.
    """
    out = np.zeros((chosen.size, projected[-1]), np.uint64)
    full, one = np.uint64(WORD), np.uint64(1)
    for segment in range(bounds.size - 1):
        start, end, target = bounds[segment], bounds[segment + 1], projected[segment]
        if target == projected[segment + 1]:
            continue
        mask = columns[i, start:end]
        t = 0
        while t + 4 <= chosen.size:
            a, b = columns[chosen[t], start:end], columns[chosen[t + 1], start:end]
            c, d = columns[chosen[t + 2], start:end], columns[chosen[t + 3], start:end]
            out_a, out_b, out_c, out_d = (
                out[t, target:],
                out[t + 1, target:],
                out[t + 2, target:],
                out[t + 3, target:],
            )
            pending_a = pending_b = pending_c = pending_d = filled = np.uint64(0)
            place = 0
            for w in range(mask.size):
                m = mask[w]
                taken_a, taken_b = extract_bits(a[w], m), extract_bits(b[w], m)
                taken_c, taken_d = extract_bits(c[w], m), extract_bits(d[w], m)
                pending_a |= taken_a << filled
                pending_b |= taken_b << filled
                pending_c |= taken_c << filled
                pending_d |= taken_d << filled
                after = filled + ones(m)
                if after >= full:
                    out_a[place], out_b[place], out_c[place], out_d[place] = (
                        pending_a,
                        pending_b,
                        pending_c,
                        pending_d,
                    )
                    place += 1
                    after -= full
                    rest = full - one - filled
                    pending_a, pending_b = (taken_a >> rest) >> one, (taken_b >> rest) >> one
                    pending_c, pending_d = (taken_c >> rest) >> one, (taken_d >> rest) >> one
                filled = after
            if filled > np.uint64(0):
                out_a[place], out_b[place], out_c[place], out_d[place] = (
                    pending_a,
                    pending_b,
                    pending_c,
                    pending_d,
                )
            t += 4
        while t < chosen.size:
            compress_words(columns[chosen[t], start:end], mask, out[t, target:])
            t += 1
    return out


@kernel
def _restrict_columns(columns: Words, i: int, chosen: Ints) -> Words:
    """Columns `chosen` restricted to the rows of column i, every row left in its place."""
    out = np.empty((chosen.size, columns.shape[1]), np.uint64)
    mask = columns[i]
    for t in range(chosen.size):
        column, target = columns[chosen[t]], out[t]
        for w in range(mask.size):
            target[w] = column[w] & mask[w]
    return out


@kernel
def project_layout(layout: Layout, row: Words, bounds: Ints) -> Layout:
    """Layout after only the rows set in `row` are kept and closed up (see `compress_columns`)."""
    values = layout.values
    segments = np.searchsorted(layout.bounds, layout.value_words)
    kept = np.zeros((values.shape[0], bounds[segments] * WORD))
    for segment in range(segments):
        place = bounds[segment] * WORD
        for w in range(layout.bounds[segment], layout.bounds[segment + 1]):
            word = row[w]
            while word != np.uint64(0):
                at = w * WORD + int(zeros_below(word))
                for c in range(values.shape[0]):
                    kept[c, place] = values[c, at]
                place += 1
                word &= word - np.uint64(1)
    return Layout(bounds, layout.n_scale, layout.s_scale, kept, int(bounds[segments]))


@kernel
def descend(node: Node, i: int, chosen: Ints, entries: Ints, stop: Ints) -> Node:
    """The node of prefix + {i} with the columns `chosen`."""
    bounds = projected_bounds(node.columns[i], node.layout.bounds)
    if 2 * bounds[-1] < node.columns.shape[1]:
        columns = compress_columns(node.columns, i, chosen, node.layout.bounds, bounds)
        layout = project_layout(node.layout, node.columns[i], bounds)
    else:
        # Closing up would not halve the words: it costs more than it saves.
        columns, layout = _restrict_columns(node.columns, i, chosen), node.layout
    first = int(np.int64(0))
    counts = pair_counts(columns, first, chosen.size, layout, stop)
    return Node(columns, node.items[chosen], entries, layout, counts, first, node.size + 1)


@kernel
def _mine_below(
    table: Floats, length: int, node: Node, first: int, last: int, limits: Limits, stop: Ints
) -> tuple[Floats, int]:
    """Append every coalition of 3 and more that extends pair {prefix, i} of a node, first <= i < last.

    The stack holds the prefixes on the way down (see the module on recursion: kernels have none).
    """
    levels = min(limits.max_size, node.columns.shape[0] + 1)
    cursor, end = np.zeros(levels + 1, np.int64), np.zeros(levels + 1, np.int64)
    cursor[0], end[0] = first, last
    buffer = np.empty(node.columns.shape[0], np.int64)
    stack = [node]
    while len(stack) > 0:
        level = len(stack) - 1
        i = cursor[level]
        if i >= end[level] or stop[0] != 0:
            stack.pop()
            continue
        cursor[level] += 1
        start = length
        table, length = _append_pairs(table, length, stack[level], i, limits, buffer)
        if length > limits.max_rows:
            stop[0] = OUT_OF_MEMORY
        elif stack[level].size + 1 < limits.max_size and length - start > 1:
            chosen = buffer[: length - start].copy()
            stack.append(descend(stack[level], i, chosen, np.arange(start, length), stop))
            cursor[level + 1], end[level + 1] = 0, chosen.size
    return table, length


@kernel
def pairs_of_bitmaps(columns: Words, first: int, last: int, layout: Layout, limits: Limits, stop: Ints) -> Floats:
    """Retained pairs (i, j) with first <= i < last, as table rows; PARENT is i, ITEM is j."""
    players = np.arange(columns.shape[0])
    counts = pair_counts(columns, first, last, layout, stop)
    node = Node(columns, players, players, layout, counts, first, 1)
    table, length = _new_table(4 * columns.shape[0])
    chosen = np.empty(columns.shape[0], np.int64)
    for i in range(first, last):
        if stop[0] != 0:
            break
        table, length = _append_pairs(table, length, node, i, limits, chosen)
    return table[:length].copy()


@kernel
def mine_bitmaps(unit: Unit, pairs: Pairs, columns: Words, layout: Layout, limits: Limits, stop: Ints) -> Floats:
    """Retained coalitions of size 3 and more of a unit of work, as table rows.

    PARENT is a row of the table, or -1 - p for the pair at position p.
    """
    table, length = _new_table(1024)
    for i in range(unit.first, unit.last):
        start, end = pairs.starts[i], pairs.starts[i + 1]
        if end - start < 2 or stop[0] != 0:
            continue
        items = pairs.items[start:end]
        bounds = projected_bounds(columns[i], layout.bounds)
        below = compress_columns(columns, i, items, layout.bounds, bounds)
        below_layout = project_layout(layout, columns[i], bounds)
        first, last = min(unit.child_first, items.size), min(unit.child_last, items.size)
        counts = pair_counts(below, first, last, below_layout, stop)
        node = Node(below, items, -1 - np.arange(start, end), below_layout, counts, first, 2)
        table, length = _mine_below(table, length, node, first, last, limits, stop)
    return table[:length].copy()


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
        table = _room_for(table, length, k)
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
def mine_rows(unit: Unit, pairs: Pairs, rows: RowLists, layout: Layout, limits: Limits, stop: Ints) -> Floats:
    """As `mine_bitmaps`, each first projection gathered from the rows of the prefix instead of compressed."""
    table, length = _new_table(1024)
    column_of = np.full(rows.starts.size - 1, -1, np.int64)
    for i in range(unit.first, unit.last):
        start, end = pairs.starts[i], pairs.starts[i + 1]
        if end - start < 2 or stop[0] != 0:
            continue
        items = pairs.items[start:end]
        for column in range(items.size):
            column_of[items[column]] = column
        below, below_layout = _gather_rows(rows, i, column_of, items.size, layout)
        for item in items:
            column_of[item] = -1
        first, last = min(unit.child_first, items.size), min(unit.child_last, items.size)
        counts = pair_counts(below, first, last, below_layout, stop)
        node = Node(below, items, -1 - np.arange(start, end), below_layout, counts, first, 2)
        table, length = _mine_below(table, length, node, first, last, limits, stop)
    return table[:length].copy()


@kernel
def _gather_rows(rows: RowLists, i: int, column_of: Ints, columns: int, layout: Layout) -> tuple[Words, Layout]:
    """Bitmaps of the players with a column, over the rows of player i only, and their layout."""
    values = layout.values
    own = rows.places[rows.starts[i] : rows.starts[i + 1]]
    after = rows.after[rows.starts[i] : rows.starts[i + 1]]
    segment_ends = np.searchsorted(own, layout.bounds * WORD)
    bounds = np.zeros(layout.bounds.size, np.int64)
    for segment in range(bounds.size - 1):
        kept = segment_ends[segment + 1] - segment_ends[segment]
        bounds[segment + 1] = bounds[segment] + _padded_words(kept)
    value_words = int(bounds[np.searchsorted(layout.bounds, layout.value_words)])
    bitmaps = np.zeros((columns, bounds[-1]), np.uint64)
    gathered = np.zeros((values.shape[0], value_words * WORD))
    for segment in range(bounds.size - 1):
        place = bounds[segment] * WORD
        for entry in range(segment_ends[segment], segment_ends[segment + 1]):
            bit = np.uint64(1) << np.uint64(place % WORD)
            for at in range(after[entry], rows.row_starts[own[entry] + 1]):
                column = column_of[rows.row_items[at]]
                if column >= 0:
                    bitmaps[column, place // WORD] |= bit
            if place < value_words * WORD:
                for c in range(values.shape[0]):
                    gathered[c, place] = values[c, own[entry]]
            place += 1
    return bitmaps, Layout(bounds, layout.n_scale, layout.s_scale, gathered, value_words)


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
        for entry in range(list_starts[players[t]], list_starts[players[t] + 1]):
            place = lists[entry]
            bitmaps[t, place // WORD] |= np.uint64(1) << np.uint64(place % WORD)
    return bitmaps


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
    table, length = _new_table(1024)
    masks = np.zeros(1 << players, np.int64)
    mask, last, size = 0, -1, 0
    parent = -1
    while parent < length:
        table = _room_for(table, length, players)
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
    first_pair: int,
    is_family: bool,
) -> None:
    """Write the rows of a table at the next free position of their size (``following``), links included.

    ``links`` has the rows parent, item, first child, number of children; ``sums`` n, s, q. PARENT is a
    position in the whole result for singles, pairs and a family of masks, else as in `mine_bitmaps`.
    """
    parent, item, child_start, child_count = links[0], links[1], links[2], links[3]
    position = np.empty(table.shape[0], np.int64)
    for t in range(table.shape[0]):
        row = table[t]
        players = int(row[SIZE])
        at = following[players]
        following[players] += 1
        position[t] = at
        up = int(row[PARENT])
        if players > 2 and not is_family:
            up = first_pair - 1 - up if up < 0 else position[up]
        parent[at], item[at], size[at] = up, int(row[ITEM]), players
        sums[0, at], sums[1, at], sums[2, at] = row[N], row[S], row[Q]
        if up >= 0:
            if child_count[up] == 0:
                child_start[up] = at
            child_count[up] += 1
