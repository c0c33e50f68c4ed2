"""Counts of a given family in any sessions: by bucket of users, by block of rows, by partition of an engine.

Mining finds which coalitions reach the minimum support; where the sessions come in parts no part knows that. Here
the family is given and only counted, so that the counts of parts add up to those of the whole.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import RequestError
from touchworth.games.game import Game
from touchworth.kernels import kernel
from touchworth.synergy.bitmaps import Layout, PackedSessions, Words
from touchworth.synergy.counting import bitmaps_of_lists
from touchworth.synergy.descent import (
    NUMBER,
    Buffers,
    Nodes,
    column_sums,
    columns_of,
    common_sums,
    count_pairs,
    descend,
    empty_buffers,
    entries_of,
    has_room,
    hold,
    nodes_in,
    pair_counts,
    whole_node,
    with_room,
    words_of_prefix,
)
from touchworth.synergy.instructions import ints_at
from touchworth.synergy.threads import Stop, threaded

__all__ = ["Trie", "count_family", "trie_of"]

Ints = NDArray[np.int64]


class Trie(NamedTuple):
    """A family as the kernels read it: players by rank, which is the position of their single.

    Attributes
    ----------
    rank
        int64 (F,): rank of each coalition's last member.
    child_start, child_count
        int64 (F,): its children, contiguous and by rising rank.
    players
        int64: the player of each rank, an index into the sessions' players.
    largest
        Largest size.
    """

    rank: Ints
    child_start: Ints
    child_count: Ints
    players: Ints
    largest: int


def trie_of(game: Game) -> Trie:
    """The trie of a game's family."""
    singles = int(np.searchsorted(game.size, 1, side="right"))
    return Trie(
        game.rank[game.item].astype(np.int64),
        game.child_start.astype(np.int64),
        game.child_count.astype(np.int64),
        game.item[:singles].astype(np.int64),
        int(game.size.max(initial=1)),
    )


def count_family(trie: Trie, sessions: PackedSessions, threads: int = 1) -> NDArray[np.float64]:
    """n, s and q of every coalition of a family in these sessions: float64 (3, F).

    Coalitions that nobody holds count 0. The sessions' players must be those of the family's game, in its order.
    """
    family = trie.rank.size
    if trie.players.size and int(trie.players.max()) >= len(sessions.players):
        raise RequestError(
            f"the family has player {int(trie.players.max())}, but the sessions have {len(sessions.players)} players"
        )
    sums = np.zeros((3, family))
    singles = trie.players.size
    sums[:, :singles] = sessions.sums[trie.players].T
    if trie.largest < 2:
        return sums
    columns = _columns(trie, sessions)
    stop: Stop = np.zeros(1, np.int64)
    edges = np.unique(np.linspace(0, singles, 1 + (1 if threads == 1 else min(singles, 8 * threads))).astype(int))
    calls: list[Callable[[], None]] = [
        partial(_count_below, trie, columns, sessions.layout, first, last, sums, stop)
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
    if threads == 1:
        for call in calls:
            call()
    else:
        for _ in threaded(calls, threads, stop):
            pass
    return sums


def _columns(trie: Trie, sessions: PackedSessions) -> Words:
    """Bitmaps of the family's players by rank."""
    if sessions.bitmaps is not None:
        return sessions.bitmaps[trie.players]
    assert sessions.list_starts is not None
    assert sessions.lists is not None
    words = int(sessions.layout.bounds[-1])
    return bitmaps_of_lists(sessions.list_starts, sessions.lists, trie.players, words)


@kernel
def _count_below(
    trie: Trie, columns: Words, layout: Layout, first: int, last: int, sums: NDArray[np.float64], stop: Ints
) -> None:
    """Count every coalition of 2 and more whose first player is in [first, last)."""
    most = 1
    for i in range(first, last):
        most = max(most, trie.child_count[i])
    zero = int(np.int64(0))
    whole = whole_node(columns, layout, zero, zero)
    buffers = empty_buffers(layout, int(max(1, min(trie.largest, most))))
    source = nodes_in(whole, layout)
    for i in range(first, last):
        start, count = trie.child_start[i], trie.child_count[i]
        if count == 0 or stop[0] != 0:
            continue
        nodes = nodes_in(buffers, layout)
        words = words_of_prefix(source, zero, nodes, zero, i)
        if not has_room(nodes, zero, count, words, count):
            buffers = with_room(buffers, zero, count, words, count)
            nodes = nodes_in(buffers, layout)
        descend(source, zero, nodes, zero, i, trie.rank.ctypes.data + NUMBER * start, count, zero, count)
        deeper = False
        for t in range(count):
            sums[0, start + t], sums[1, start + t], sums[2, start + t] = column_sums(nodes, zero, t)
            deeper |= trie.child_count[start + t] > 0
        if deeper:
            _enter(trie.rank.ctypes.data, start, nodes, zero)
            buffers = _count_node(trie, buffers, layout, sums, stop)
    hold(whole)


@kernel
def _enter(rank: int, start: int, nodes: Nodes, level: int) -> None:
    """Entries of a node whose columns are the coalitions from `start` on; `rank` is the address of `Trie.rank`."""
    entries, ranks = ints_at(entries_of(nodes, level)), ints_at(rank)
    for t in range(columns_of(nodes, level)):
        entries[2 * t], entries[2 * t + 1] = start + t, ranks[start + t]


@kernel
def _count_node(trie: Trie, buffers: Buffers, layout: Layout, sums: NDArray[np.float64], stop: Ints) -> Buffers:
    """Count the family below the node at level 0; the levels are a stack."""
    nodes = nodes_in(buffers, layout)
    cursor = np.zeros(buffers.bounds.shape[0], np.int64)
    level = int(np.int64(0))
    places = np.empty(columns_of(nodes, level), np.int64)
    chosen, rank = places.ctypes.data, trie.rank.ctypes.data
    count_pairs(nodes, level, stop.ctypes.data)
    while level >= 0:
        i = cursor[level]
        if i >= columns_of(nodes, level) or stop[0] != 0:
            level -= 1
            continue
        cursor[level] += 1
        entry = ints_at(entries_of(nodes, level))[2 * i]
        start, count = trie.child_start[entry], trie.child_count[entry]
        if count > 0 and _fill_pairs(trie, nodes, level, i, start, count, places, sums):
            words = words_of_prefix(nodes, level, nodes, level + 1, i)
            if not has_room(nodes, level + 1, count, words, count):
                buffers = with_room(buffers, level + 1, count, words, count)
                nodes = nodes_in(buffers, layout)
            descend(nodes, level, nodes, level + 1, i, chosen, count, 0, count)
            level += 1
            _enter(rank, start, nodes, level)
            count_pairs(nodes, level, stop.ctypes.data)
            cursor[level] = 0
    return buffers


@kernel
def _fill_pairs(
    trie: Trie, nodes: Nodes, level: int, i: int, start: int, count: int, chosen: Ints, sums: NDArray[np.float64]
) -> bool:
    """Counts of the children start.. of the node's i-th coalition; whether any of them has children."""
    entries = ints_at(entries_of(nodes, level))
    n_at, s_at = pair_counts(nodes, level, i)
    ns, ss = ints_at(n_at), ints_at(s_at)
    deeper = False
    j = i
    for t in range(count):
        j += 1
        # A child's last member is a later sibling of its parent: the family is downward closed.
        while entries[2 * j + 1] != trie.rank[start + t]:
            j += 1
        chosen[t] = j
        n = float(ns[j])
        s = q = float(ss[j])
        if nodes.kinds > 0:
            s, q, mass = common_sums(nodes, level, i, j)
            if nodes.kinds == 3:
                n = mass
        sums[0, start + t], sums[1, start + t], sums[2, start + t] = n, s, q
        deeper |= trie.child_count[start + t] > 0
    return deeper
