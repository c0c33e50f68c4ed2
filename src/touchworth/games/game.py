"""The coalition game: a downward-closed family of coalitions with counts, stored as a trie."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import unknown_name
from touchworth.kernels import kernel

__all__ = [
    "DELIMITER",
    "Game",
    "Kind",
    "coalition_items",
    "coalition_labels",
    "coalition_names",
    "find_coalition",
    "size_slices",
]

DELIMITER = " & "
Kind = Literal["rate", "conversions", "markov", "table"]


@dataclass(frozen=True, slots=True)
class Game:
    """Downward-closed family of F coalitions stored as a trie in breadth-first (size-major) order.

    All singles come first, then all pairs, and so on, so that every facet of a coalition comes before it.

    Attributes
    ----------
    players
        Names; trie items are indices into them.
    parent
        int32 (F,): position of the coalition without its last item; -1 for singles.
    item
        int32 (F,): last item, index into ``players``.
    child_start
        int32 (F,): position of the first child (0 where there is none).
    child_count
        int32 (F,): number of children; children are contiguous, in ascending item rank.
    rank
        int32 (players,): place of each player in the order used by the trie. Singles are stored in rank
        order, so a retained player's rank is also its position; players not retained come last.
    size
        int16 (F,): number of players of the coalition.
    n
        float64 (F,): support, the sum of the weights of the sessions that hold the whole coalition.
    s
        float64 (F,): sum of y over them (conversions, or a real target).
    q
        float64 (F,): sum of y squared over them; None for binary y, where it equals ``s``.
    total_n, total_s, total_q
        The same three sums over all sessions.
    binary
        Whether y is 0 or 1 in every session.
    max_size
        Largest size asked for.
    min_support
        Smallest share of the sessions that was retained.
    min_count
        Smallest support that was retained.
    kind
        What v(S) is: ``rate`` (the mean of y where all of S are present, s / n), ``conversions`` (of journeys
        whose channels all lie in S), ``markov`` (probability to convert with only S acting) or ``table`` (as
        given).
    values
        float64 (F,): v(S) where it is not s / n; None for ``rate``.
    empty_value
        v(empty) of a game with ``values``; 0 by convention for ``rate``, whose mean is total_s / total_n.
    """

    players: tuple[str, ...]
    parent: NDArray[np.int32]
    item: NDArray[np.int32]
    child_start: NDArray[np.int32]
    child_count: NDArray[np.int32]
    rank: NDArray[np.int32]
    size: NDArray[np.int16]
    n: NDArray[np.float64]
    s: NDArray[np.float64]
    q: NDArray[np.float64] | None
    total_n: float
    total_s: float
    total_q: float
    binary: bool
    max_size: int
    min_support: float
    min_count: int
    kind: Kind = "rate"
    values: NDArray[np.float64] | None = None
    empty_value: float = 0.0

    @property
    def has_counts(self) -> bool:
        """Whether n and s hold counts; a table of values has none (they are 0)."""
        return self.total_n > 0


def size_slices(game: Game) -> Iterator[tuple[int, slice]]:
    """Each size of the family with the slice of its coalitions, by rising size."""
    largest = int(game.size[-1]) if game.size.size else 0
    ends = np.searchsorted(game.size, np.arange(largest + 1), side="right")
    for size in range(1, largest + 1):
        yield size, slice(int(ends[size - 1]), int(ends[size]))


def coalition_items(game: Game) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Members of every coalition, by rising rank, as CSR arrays.

    Returns
    -------
    offsets
        int64 (F + 1,): members of coalition i are ``items[offsets[i]:offsets[i + 1]]``.
    items
        int32 (sum of sizes,): indices into ``game.players``.
    """
    offsets = np.zeros(game.size.size + 1, np.int64)
    np.cumsum(game.size, out=offsets[1:])
    blocks = [members.ravel() for _, members in _members_by_size(game)]
    return offsets, np.concatenate(blocks) if blocks else np.empty(0, np.int32)


def coalition_labels(game: Game) -> pa.Array:
    """Name of every coalition as Arrow text: its players' names in alphabetical order, joined by " & "."""
    alphabetical = sorted(range(len(game.players)), key=game.players.__getitem__)
    place = np.empty(len(game.players), np.int32)
    place[alphabetical] = np.arange(len(game.players))
    encoded = [game.players[player].encode() for player in alphabetical]
    starts = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(name) for name in encoded], out=starts[1:])
    letters = np.frombuffer(b"".join(encoded) or b" ", np.uint8)
    mark = np.frombuffer(DELIMITER.encode(), np.uint8)
    lengths = np.diff(starts)
    parts = []
    for size, block in _members_by_size(game):
        members = np.sort(place[block], axis=1)
        offsets = np.zeros(len(members) + 1, np.int64)
        np.cumsum(lengths[members].sum(axis=1) + mark.size * (size - 1), out=offsets[1:])
        text = _joined(members, starts, letters, mark, offsets)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
        parts.append(pa.LargeStringArray.from_buffers(len(members), buffers[1], buffers[2]))
    labels = pa.concat_arrays(parts) if parts else pa.array([], pa.large_string())
    # Offsets of 32 bits are what every reader knows; they hold up to 2 GB of names.
    return labels.cast(pa.string()) if labels.nbytes < 2**31 else labels


@kernel
def _joined(
    members: NDArray[np.int32],
    starts: NDArray[np.int64],
    letters: NDArray[np.uint8],
    mark: NDArray[np.uint8],
    offsets: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Names of the members of each row, joined by `mark`, one row after the other."""
    text = np.empty(max(offsets[-1], 1), np.uint8)
    at = 0
    for row in range(members.shape[0]):
        for b in range(members.shape[1]):
            if b > 0:
                for letter in mark:
                    text[at] = letter
                    at += 1
            member = members[row, b]
            for i in range(starts[member], starts[member + 1]):
                text[at] = letters[i]
                at += 1
    return text


def coalition_names(game: Game) -> list[str]:
    """Name of every coalition as `coalition_labels`, as a list."""
    names: list[str] = coalition_labels(game).to_pylist()
    return names


def coalition_members(game: Game, position: int) -> tuple[str, ...]:
    """Names of one coalition's players, in alphabetical order."""
    names = []
    while position >= 0:
        names.append(game.players[game.item[position]])
        position = int(game.parent[position])
    return tuple(sorted(names))


def find_coalition(game: Game, names: Iterable[str]) -> int | None:
    """Position of the coalition of these players, in any order; None where it is not retained.

    Raises
    ------
    RequestError
        A name is not one of the players.
    """
    index = {name: player for player, name in enumerate(game.players)}
    wanted = set()
    for name in names:
        if name not in index:
            raise unknown_name("player", name, game.players)
        wanted.add(index[name])
    position, first, count = -1, 0, int(np.searchsorted(game.size, 1, side="right"))
    for rank in sorted(int(game.rank[player]) for player in wanted):
        ranks = game.rank[game.item[first : first + count]]
        step = int(np.searchsorted(ranks, rank))
        if step == count or ranks[step] != rank:
            return None
        position = first + step
        first, count = int(game.child_start[position]), int(game.child_count[position])
    return position if wanted else None


def _members_by_size(game: Game) -> Iterator[tuple[int, NDArray[np.int32]]]:
    # A coalition's members are its parent's and its own last item; only one size is held at a time.
    members = np.empty((0, 0), np.int32)
    start = 0
    for size, where in size_slices(game):
        item = game.item[where, None]
        members = item if size == 1 else np.hstack([members[game.parent[where] - start], item])
        start = where.start
        yield size, members
