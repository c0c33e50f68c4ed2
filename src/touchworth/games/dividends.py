"""Harsanyi dividends of a downward-closed family: facets found through its trie, the Moebius transform in place.

D(S) = sum over T subset of S of (-1)^(|S| - |T|) v(T)   (Harsanyi 1963). No hash table and no sum over all subsets:
the facet S minus one member is a child of a facet of the parent, and the transform runs player by player at the cost
of the family's size times the mean size of its coalitions.
"""

import numpy as np
from numpy.typing import NDArray

from touchworth.games.game import Game, size_slices
from touchworth.kernels import kernel

__all__ = ["dividends_of", "facet_links", "game_values", "moebius", "zeta"]


def facet_links(game: Game) -> NDArray[np.int32]:
    """Where each coalition's facets stand: int32 (F, largest size).

    ``links[i, b]`` is the position of coalition i without its b-th member (by rising rank); -1 for the empty set and
    beyond the coalition's size. Source: the order of mining is a trie, so that S without j is the child, by the last
    member of S, of the parent of S without j.
    """
    largest = int(game.size.max(initial=1))
    links = np.full((game.size.size, largest), -1, np.int32)
    ranks = game.rank[game.item]
    for size, where in size_slices(game):
        if size > 1:
            _link_level(game.parent, ranks, game.child_start, game.child_count, size, where.start, where.stop, links)
    return links


@kernel
def _link_level(
    parent: NDArray[np.int32],
    ranks: NDArray[np.int32],
    child_start: NDArray[np.int32],
    child_count: NDArray[np.int32],
    size: int,
    first: int,
    last: int,
    links: NDArray[np.int32],
) -> None:
    """Links of the coalitions first..last-1, all of one size; those of their parents are known."""
    after = np.zeros(size, np.int64)
    previous = -1
    for s in range(first, last):
        p = parent[s]
        links[s, size - 1] = p
        if size == 2:
            # Singles stand in the order of their ranks.
            links[s, 0] = ranks[s]
            continue
        if p != previous:
            after[:] = 0
            previous = p
        for b in range(size - 1):
            facet = links[p, b]
            # Siblings rise in rank, so the search goes on where the last sibling's ended.
            low, high = child_start[facet] + after[b], child_start[facet] + child_count[facet]
            while low < high:
                middle = (low + high) >> 1
                if ranks[middle] < ranks[s]:
                    low = middle + 1
                else:
                    high = middle
            links[s, b] = low
            after[b] = low + 1 - child_start[facet]


def moebius(game: Game, links: NDArray[np.int32], f: NDArray[np.float64], empty: float) -> NDArray[np.float64]:
    """Dividends of the values `f` (F,) with v(empty) = `empty`; float64 (F,).

    D(empty) is `empty` itself and has no place in the result.
    """
    return _transform(links, game.rank[game.item], game.size, game.parent, np.array(f, np.float64), empty, -1.0)


def zeta(game: Game, links: NDArray[np.int32], dividends: NDArray[np.float64], empty: float) -> NDArray[np.float64]:
    """Values v(S) = sum of the dividends of all subsets of S, the empty one included: the inverse of `moebius`."""
    return _transform(links, game.rank[game.item], game.size, game.parent, np.array(dividends, np.float64), empty, 1.0)


@kernel
def _transform(
    links: NDArray[np.int32],
    ranks: NDArray[np.int32],
    size: NDArray[np.int16],
    parent: NDArray[np.int32],
    f: NDArray[np.float64],
    empty: float,
    sign: float,
) -> NDArray[np.float64]:
    """Add `sign` times the facet without j to every coalition that holds j, for one player j after another."""
    players = 0
    for s in range(f.size):
        if size[s] == 1:
            players += 1
    starts = np.zeros(players + 1, np.int64)
    for s in range(f.size):
        at = s
        while at >= 0:
            starts[ranks[at] + 1] += 1
            at = parent[at]
    for j in range(players):
        starts[j + 1] += starts[j]
    # Which coalitions hold j, and which of their members it is: one counting sort instead of a pass a player.
    holder, facet = np.empty(starts[players], np.int32), np.empty(starts[players], np.int32)
    ends = starts[:-1].copy()
    for s in range(f.size):
        at = s
        for b in range(size[s] - 1, -1, -1):
            place = ends[ranks[at]]
            ends[ranks[at]] = place + 1
            holder[place], facet[place] = s, links[s, b]
            at = parent[at]
    for place in range(holder.size):
        below = facet[place]
        f[holder[place]] += sign * (f[below] if below >= 0 else empty)
    return f


def game_values(game: Game) -> NDArray[np.float64]:
    """v(S) of every coalition: float64 (F,), the mean of y where the game counts sessions."""
    if game.values is not None:
        return game.values
    values: NDArray[np.float64] = game.s / game.n
    return values


def dividends_of(game: Game, empty: float | None = None) -> NDArray[np.float64]:
    """Dividends of a game with v(empty) = `empty`, by default the game's own; float64 (F,)."""
    return moebius(game, facet_links(game), game_values(game), game.empty_value if empty is None else empty)
