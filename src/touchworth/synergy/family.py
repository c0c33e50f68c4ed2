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
from touchworth.synergy.bitmaps import Layout, PackedSessions, Words, sums_at_bits, sums_at_common_bits
from touchworth.synergy.counting import (
    Node,
    bitmaps_of_lists,
    compress_columns,
    descend,
    pair_counts,
    project_layout,
    projected_bounds,
)
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
    for i in range(first, last):
        start, count = trie.child_start[i], trie.child_count[i]
        if count == 0 or stop[0] != 0:
            continue
        items = trie.rank[start : start + count]
        bounds = projected_bounds(columns[i], layout.bounds)
        below = compress_columns(columns, i, items, layout.bounds, bounds)
        below_layout = project_layout(layout, columns[i], bounds)
        deeper = False
        for t in range(count):
            counted = sums_at_bits(below[t], below_layout)
            sums[0, start + t], sums[1, start + t], sums[2, start + t] = counted[0], counted[1], counted[2]
            deeper |= trie.child_count[start + t] > 0
        if deeper:
            zero = int(np.int64(0))
            counts = pair_counts(below, zero, count, below_layout, stop)
            node = Node(below, items, np.arange(start, start + count), below_layout, counts, zero, 2)
            _count_node(trie, node, sums, stop)


@kernel
def _count_node(trie: Trie, node: Node, sums: NDArray[np.float64], stop: Ints) -> None:
    """Count the family below a prefix; the stack holds the prefixes on the way down."""
    cursor = np.zeros(trie.largest + 2, np.int64)
    buffer = np.empty(node.columns.shape[0], np.int64)
    stack = [node]
    while len(stack) > 0:
        level = len(stack) - 1
        i = cursor[level]
        if i >= stack[level].items.size or stop[0] != 0:
            stack.pop()
            continue
        cursor[level] += 1
        entry = stack[level].entries[i]
        start, count = trie.child_start[entry], trie.child_count[entry]
        if count == 0:
            continue
        deeper = _fill_pairs(trie, stack[level], i, start, count, buffer, sums)
        if deeper:
            chosen = buffer[:count].copy()
            stack.append(descend(stack[level], i, chosen, np.arange(start, start + count), stop))
            cursor[level + 1] = 0


@kernel
def _fill_pairs(
    trie: Trie, node: Node, i: int, start: int, count: int, chosen: Ints, sums: NDArray[np.float64]
) -> bool:
    """Counts of the children start.. of the node's i-th coalition; whether any of them has children."""
    values = node.layout.values
    deeper = False
    j = i
    for t in range(count):
        j += 1
        # A child's last member is a later sibling of its parent: the family is downward closed.
        while node.items[j] != trie.rank[start + t]:
            j += 1
        chosen[t] = j
        n = float(node.counts[0, i, j])
        s = q = float(node.counts[1, i, j])
        if values.shape[0] > 0:
            s, q, mass = sums_at_common_bits(node.columns[i], node.columns[j], values, node.layout.value_words)
            if values.shape[0] == 3:
                n = mass
        sums[0, start + t], sums[1, start + t], sums[2, start + t] = n, s, q
        deeper |= trie.child_count[start + t] > 0
    return deeper
