"""Games from values that are given: a table of coalitions, or what the exact sets of journeys add up to."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from touchworth.errors import DataError, RequestError
from touchworth.games.dividends import facet_links, zeta
from touchworth.games.game import DELIMITER, Game
from touchworth.kernels import kernel

__all__ = ["Coalitions", "exact_amounts", "find_sets", "game_from_sets", "game_of_values"]

Ints = NDArray[np.int64]
Positions = NDArray[np.int32]

Coalitions = tuple[Ints, NDArray[np.int32]] | Sequence[Collection[str]]
"""Coalitions as CSR (offsets, indices into the players), or as one collection of names each."""

EMPTY = -2


class Trie(NamedTuple):
    """The links of a `Game`, with the rank of each coalition's last member in place of the player's index.

    ``retained`` players have a single, whose position is the player's rank.
    """

    parent: Positions
    last: Positions
    child_start: Positions
    child_count: Positions
    retained: int


def game_of_values(players: Sequence[str], coalitions: Coalitions, values: ArrayLike, empty_value: float = 0.0) -> Game:
    """Game of a table of values.

    Parameters
    ----------
    players
        Names, in the order in which the trie takes them.
    coalitions
        CSR arrays (offsets int64 (F + 1,), items indices into `players`) or F collections of names; members in any
        order. At most one may be empty: its value is then v(empty).
    values
        float64 (F,): v(S) of each coalition.
    empty_value
        v(empty) where no coalition is empty.

    Returns
    -------
    Game
        Kind ``table``, without counts. A player without a coalition stays among the players.

    Raises
    ------
    DataError
        A part of a coalition has no value (the family must be closed downwards), a coalition stands twice, names a
        player twice or one that is unknown, or a value is not a finite number.
    RequestError
        Two players have one name, or the numbers of values and coalitions differ.
    """
    players = tuple(players)
    _check_names(players)
    offsets, items = _as_arrays(players, coalitions)
    v = np.asarray(values, np.float64)
    sizes = np.diff(offsets)
    if v.shape != sizes.shape:
        raise RequestError(f"there are {sizes.size:,} coalitions and {v.size:,} values; give one value to each")
    rank, retained = _ranks(len(players), items[offsets[:-1][sizes == 1]])
    members = rank[items]
    repeating = sort_members(offsets, members)
    if repeating >= 0:
        raise DataError(f"coalition {_name(players, items, offsets, repeating)!r} names a player twice; once is enough")
    bad = np.flatnonzero(~np.isfinite(v))
    if bad.size:
        name = _name(players, items, offsets, bad[0])
        raise DataError(f"the value of coalition {name!r} is {v[bad[0]]}; it must be a finite number")
    order = np.argsort(sizes, kind="stable")
    empty, order = np.split(order, [np.count_nonzero(sizes == 0)])
    if empty.size > 1:
        raise DataError(f"the empty coalition stands {empty.size} times in the table; give its value once")
    in_order = np.argsort(rank, kind="stable").astype(np.int32)
    names = tuple(players[player] for player in in_order)
    trie, order = _build_trie(names, retained, offsets, members, order)
    size = sizes[order].astype(np.int16)
    # All subsets of the retained players are closed for sure.
    if size.size != 2**retained - 1 or trie.last.max(initial=-1) >= retained:
        _check_closed(names, trie, size)
    none = np.zeros(size.size)
    return Game(
        players=players,
        parent=trie.parent,
        item=in_order[trie.last],
        child_start=trie.child_start,
        child_count=trie.child_count,
        rank=rank,
        size=size,
        n=none,
        s=none,
        q=None,
        total_n=0.0,
        total_s=0.0,
        total_q=0.0,
        binary=False,
        max_size=int(size[-1]) if size.size else 0,
        min_support=0.0,
        min_count=0,
        kind="table",
        values=v[order],
        empty_value=float(v[empty[0]]) if empty.size else float(empty_value),
    )


def find_sets(game: Game, offsets: Ints, items: NDArray[np.int32]) -> Ints:
    """Position in the family of each set of players (CSR of distinct indices into ``game.players``, in any order).

    Returns
    -------
    int64 (sets,): -1 where the set is not retained, -2 for the empty set.
    """
    members = game.rank[items]
    sort_members(offsets, members)
    return find_members(_trie_of(game), offsets, members)


def exact_amounts(game: Game, offsets: Ints, items: NDArray[np.int32], amounts: NDArray[np.float64]) -> tuple[
    NDArray[np.float64], float, float
]:  # fmt: skip
    """Amounts by exact set, summed onto the family.

    Parameters
    ----------
    offsets, items
        CSR of sets (distinct indices into ``game.players``); sets may repeat.
    amounts
        float64 (sets,): conversions or value of the journeys whose set of players is exactly that.

    Returns
    -------
    amounts
        float64 (F,): R(S). They are the dividends of the game v(S) = sum of R(T) over T within S.
    empty
        R(empty).
    outside
        Sum over the sets that the family does not hold: they are in no v(S).
    """
    position = find_sets(game, offsets, items)
    inside = position >= 0
    placed = np.bincount(position[inside], amounts[inside], minlength=game.size.size).astype(np.float64)
    empty = float(amounts[position == EMPTY].sum())
    return placed, empty, float(amounts[~inside].sum()) - empty


def game_from_sets(game: Game, offsets: Ints, items: NDArray[np.int32], conversions: NDArray[np.float64]) -> Game:
    """The conversions game of journeys: v(S) = conversions of the journeys whose players all lie in S.

    Its dividends are the conversions R(S) of the exact sets (`exact_amounts`), and every v(S) of the family is
    complete: all subsets of S are in the family.

    Parameters
    ----------
    game
        Family counted on the journeys, n(S) = journeys that hold all of S, s(S) = their conversions.
    offsets, items, conversions
        Exact sets, as in `exact_amounts`.

    Returns
    -------
    Game
        The same family and counts, kind ``conversions``.
    """
    dividends, empty, _ = exact_amounts(game, offsets, items, conversions)
    values = zeta(game, facet_links(game), dividends, empty)
    return replace(game, kind="conversions", values=values, empty_value=empty)


@kernel
def sort_members(offsets: Ints, members: Positions) -> int:
    """Sort each slice in place; the first slice that holds a member twice, or -1."""
    repeating = -1
    for i in range(offsets.size - 1):
        for k in range(offsets[i] + 1, offsets[i + 1]):
            member = members[k]
            place = k
            while place > offsets[i] and members[place - 1] > member:
                members[place] = members[place - 1]
                place -= 1
            members[place] = member
            if repeating < 0 and place > offsets[i] and members[place - 1] == member:
                repeating = i
    return repeating


@kernel
def child_of(trie: Trie, position: int, member: int) -> int:
    """Position of the coalition at `position` with a member of a later rank; -1 where there is none."""
    low = int(trie.child_start[position])
    end = low + int(trie.child_count[position])
    high = end
    while low < high:
        middle = (low + high) // 2
        if trie.last[middle] < member:
            low = middle + 1
        else:
            high = middle
    if low < end and trie.last[low] == member:
        return low
    return -1


@kernel
def find_members(trie: Trie, offsets: Ints, members: Positions) -> Ints:
    """Position of each sorted slice of ranks; -1 where it is absent, -2 where it is empty."""
    found = np.empty(offsets.size - 1, np.int64)
    for i in range(found.size):
        position = -2
        for k in range(offsets[i], offsets[i + 1]):
            member = members[k]
            if k == offsets[i]:
                position = member if member < trie.retained else -1
            else:
                position = child_of(trie, position, member)
            if position < 0:
                break
        found[i] = position
    return found


@kernel
def facets_of(trie: Trie, size: NDArray[np.int16]) -> Positions:
    """Position of every coalition without its i-th member: int32 (F, largest size); -1 where absent or none.

    `facet_links` knows that all facets are there; this is how it is found out.
    """
    facets = np.full((size.size, size[-1] if size.size else 0), -1, np.int32)
    for p in range(size.size):
        if size[p] == 1:
            continue
        up = trie.parent[p]
        facets[p, size[p] - 1] = up
        if size[p] == 2:
            # A single's position is its rank.
            facets[p, 0] = trie.last[p] if trie.last[p] < trie.retained else -1
            continue
        for i in range(size[p] - 1):
            if facets[up, i] >= 0:
                facets[p, i] = child_of(trie, facets[up, i], trie.last[p])
    return facets


def _trie_of(game: Game) -> Trie:
    retained = int(np.searchsorted(game.size, 1, side="right"))
    return Trie(game.parent, game.rank[game.item], game.child_start, game.child_count, retained)


def _as_arrays(players: tuple[str, ...], coalitions: Coalitions) -> tuple[Ints, NDArray[np.int32]]:
    """CSR of coalitions whose members are known players."""
    if isinstance(coalitions, tuple) and len(coalitions) == 2 and isinstance(coalitions[1], np.ndarray):
        offsets, items = np.asarray(coalitions[0], np.int64), np.asarray(coalitions[1])
        if items.size and not 0 <= items.min() <= items.max() < len(players):
            raise RequestError(
                f"coalitions have members {items.min()}..{items.max()}; they must be indices of the {len(players)} "
                "players"
            )
        return offsets, items.astype(np.int32)
    groups: Sequence[Collection[str]] = coalitions
    text = next((group for group in groups if isinstance(group, str)), None)
    if text is not None:
        raise RequestError(f"coalition {text!r} is a text; give the names of its players as a list, such as ['a', 'b']")
    offsets = np.zeros(len(groups) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, groups), np.int64, len(groups)), out=offsets[1:])
    index = {name: player for player, name in enumerate(players)}
    members = np.fromiter((index.get(name, -1) for name in chain.from_iterable(groups)), np.int32, int(offsets[-1]))
    unknown = np.flatnonzero(members < 0)
    if unknown.size:
        where = int(np.searchsorted(offsets, unknown[0], side="right")) - 1
        stranger = list(groups[where])[unknown[0] - offsets[where]]
        coalition = DELIMITER.join(groups[where])
        raise DataError(f"coalition {coalition!r} names {stranger!r}, which is none of the players {_few(players)}")
    return offsets, members


def _check_names(players: tuple[str, ...]) -> None:
    if len(set(players)) < len(players):
        twice = next(name for i, name in enumerate(players) if name in players[:i])
        raise RequestError(f"player {twice!r} is named twice; every player needs a name of its own")


def _ranks(players: int, singles: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Rank of every player, those with a single first; and how many these are."""
    present = np.zeros(players, np.bool_)
    present[singles] = True
    order = np.concatenate([np.flatnonzero(present), np.flatnonzero(~present)])
    rank = np.empty(players, np.int32)
    rank[order] = np.arange(players)
    return rank, int(present.sum())


def _build_trie(
    names: tuple[str, ...], retained: int, offsets: Ints, members: Positions, order: Ints
) -> tuple[Trie, Ints]:
    """Trie of sorted coalitions, size by size, and `order` (by rising size) in the trie's order.

    Coalitions of one size are ordered by (position of the prefix, last member): children become contiguous.
    """
    sizes = np.diff(offsets)[order]
    parent, last, child_start, child_count = (np.zeros(order.size, np.int32) for _ in range(4))
    trie = Trie(parent, last, child_start, child_count, retained)
    order = order.copy()
    start = 0
    while start < order.size:
        size = int(sizes[start])
        stop = int(np.searchsorted(sizes, size, side="right"))
        chosen = order[start:stop]
        up = np.full(chosen.size, -1, np.int64)
        if size > 1:
            up = find_members(trie, *_prefixes(offsets, members, chosen, size))
        if size > 1 and up.min() < 0:
            orphan = members[offsets[chosen[up.argmin()]] :][:size]
            raise _missing(names, orphan, orphan[:-1])
        member = members[offsets[chosen] + size - 1]
        key = (up + 1) * len(names) + member
        by_key = np.argsort(key, kind="stable")
        _check_once(names, offsets, members, chosen, by_key, key)
        order[start:stop], up = chosen[by_key], up[by_key]
        parent[start:stop], last[start:stop] = up, member[by_key]
        if size > 1:
            parents, first, count = np.unique(up, return_index=True, return_counts=True)
            child_start[parents], child_count[parents] = start + first, count
        start = stop
    return trie, order


def _prefixes(offsets: Ints, members: Positions, chosen: Ints, size: int) -> tuple[Ints, Positions]:
    block = members[offsets[chosen][:, None] + np.arange(size - 1)]
    return np.arange(chosen.size + 1) * (size - 1), block.ravel()


def _check_once(
    names: tuple[str, ...], offsets: Ints, members: Positions, chosen: Ints, by_key: Ints, key: Ints
) -> None:
    equal = np.flatnonzero(np.diff(key[by_key]) == 0)
    if equal.size:
        rows = sorted(int(chosen[by_key[equal[0] + step]]) for step in range(2))
        slice_ = members[offsets[rows[0]] : offsets[rows[0] + 1]]
        raise DataError(
            f"coalition {_joined(names, slice_)!r} stands twice in the table (rows {rows[0] + 1} and {rows[1] + 1}); "
            "give each coalition once"
        )


def _check_closed(names: tuple[str, ...], trie: Trie, size: NDArray[np.int16]) -> None:
    facets = facets_of(trie, size)
    columns = np.arange(facets.shape[1])
    holes = np.flatnonzero(((facets < 0) & (columns < size[:, None]) & (size[:, None] > 1)).any(axis=1))
    if holes.size:
        position = int(holes[0])
        whole = []
        at = position
        while at >= 0:
            whole.append(int(trie.last[at]))
            at = int(trie.parent[at])
        whole.reverse()
        gone = int(np.flatnonzero(facets[position, : len(whole)] < 0)[0])
        raise _missing(names, np.array(whole), np.array(whole[:gone] + whole[gone + 1 :]))


def _missing(names: tuple[str, ...], whole: NDArray[np.int32], part: NDArray[np.int32]) -> DataError:
    given, absent = _joined(names, whole), _joined(names, part)
    return DataError(
        f"coalition {given!r} has a value but its part {absent!r} has none; add a row for {absent!r}, "
        "since every part of a coalition needs a value"
    )


def _joined(names: tuple[str, ...], ranks: NDArray[np.int32]) -> str:
    return DELIMITER.join(sorted(names[rank] for rank in ranks))


def _name(players: tuple[str, ...], items: NDArray[np.int32], offsets: Ints, row: int) -> str:
    return DELIMITER.join(sorted(players[item] for item in items[offsets[row] : offsets[row + 1]])) or "(empty)"


def _few(names: Iterable[str], most: int = 10) -> str:
    shown = list(names)
    return ", ".join(repr(name) for name in shown[:most]) + (
        f", ... ({len(shown)} in all)" if len(shown) > most else ""
    )
