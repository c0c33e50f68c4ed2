"""Sessions in blocks - partitions of journeys, blocks of rows, batches of an engine - counted as if they were held.

No block knows which coalitions reach the minimum support in all of them. So families grow level by level: the
candidates of one size are counted in every block, the counts added, and only then is it judged which are retained.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import pairwise
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.games.game import Game, coalition_items
from touchworth.games.tables import find_sets, game_from_sets
from touchworth.journeys.build import Journeys
from touchworth.journeys.partitioned import PartitionedJourneys
from touchworth.kernels import kernel
from touchworth.sources.records import ReadReport, Sessions
from touchworth.synergy.bitmaps import pack_sessions
from touchworth.synergy.clusters import BUCKETS, ONE_USER, BucketCounts, count_buckets
from touchworth.synergy.counting import rank_players
from touchworth.synergy.family import Trie, count_family, trie_of
from touchworth.synergy.journeys import ExactConversions, bucket_error, journey_sessions
from touchworth.synergy.mining import WEIGHT_ROUNDING, default_memory_limit
from touchworth.synergy.threads import Progress

__all__ = [
    "Blocks",
    "Facts",
    "JourneyBlocks",
    "RowBlocks",
    "SessionBlocks",
    "blocks_within",
    "conversions_only",
    "count_in_blocks",
    "count_users_in_blocks",
    "exact_conversions_in_blocks",
    "facts_of_blocks",
    "merge_all",
    "mine_blocks",
    "values_as_target",
]

T = TypeVar("T")
Change = Callable[[Sessions], Sessions]
Ints = NDArray[np.int64]
Sums = NDArray[np.float64]

FEWEST_ROWS = 1 << 10
"""Of a block of rows."""

BYTES_A_CANDIDATE = 120
"""Of the counts of a candidate in one block and of their sum, with its links."""


class Blocks(Protocol):
    """Sessions in blocks with the same players; those of a user may lie in several blocks."""

    def fold(self, function: Callable[[Sessions], T], merge: Callable[[T, T], T]) -> T:
        """The function of every block that has sessions, merged.

        Raises
        ------
        DataError
            There are no sessions.
        """


@dataclass(frozen=True, slots=True)
class JourneyBlocks:
    """The journeys of each partition of users as sessions; on whatever engine they lie."""

    journeys: PartitionedJourneys

    def fold(self, function: Callable[[Sessions], T], merge: Callable[[T, T], T]) -> T:
        """The function of the sessions of every partition, merged."""
        partitions, frame = self.journeys.partitions, self.journeys.frame
        mine, both = partial(of_journeys, function=function), partial(merge_some, merge=merge)
        ((found, _),) = partitions.fold([frame], [mine], both, paths=False)
        if found is None:
            raise DataError("there are no journeys; nothing can be compared")
        result: T = found
        return result


def of_journeys(journeys: Journeys, function: Callable[[Sessions], T]) -> T | None:
    """The function of journeys as sessions; None where there are none."""
    return function(journey_sessions(journeys)) if len(journeys) else None


def merge_all(results: Iterable[T], merge: Callable[[T, T], T]) -> T:
    """Results of blocks, merged as they come.

    Raises
    ------
    DataError
        There are none.
    """
    each = iter(results)
    for first in each:
        return reduce(merge, each, first)
    raise DataError("there are no sessions; nothing can be compared")


def merge_some(a: T | None, b: T | None, merge: Callable[[T, T], T]) -> T | None:
    """Two results merged, either of which may be missing."""
    if a is None or b is None:
        return b if a is None else a
    return merge(a, b)


@dataclass(frozen=True, slots=True, repr=False)
class SessionBlocks:
    """Sessions that lie elsewhere, in blocks; `synergies` takes them as any others.

    Attributes
    ----------
    blocks
        Where they lie.
    players, report
        As in `Sessions`; the report of a block is not that of the whole.
    """

    blocks: Blocks
    players: tuple[str, ...]
    report: ReadReport

    def __repr__(self) -> str:
        return f"SessionBlocks({self.report.rows_read:,} rows read, {len(self.players)} players)"


@dataclass(frozen=True, slots=True)
class RowBlocks:
    """Sessions that are held, taken `rows` at a time: only one block is packed for counting."""

    sessions: Sessions
    rows: int

    def fold(self, function: Callable[[Sessions], T], merge: Callable[[T, T], T]) -> T:
        """The function of every block of rows, merged."""
        return merge_all(map(function, self.blocks()), merge)

    def blocks(self) -> Iterator[Sessions]:
        """The blocks in turn; a block begins where a byte of bits does."""
        whole = self.sessions
        step = max(8, self.rows // 8 * 8)
        for first, last in pairwise([*range(0, whole.rows, step), whole.rows]):
            rows = slice(first, last)
            offsets, items = whole.offsets, whole.items
            if offsets is not None and items is not None:
                items = items[offsets[first] : offsets[last]]
                offsets = offsets[first : last + 1] - offsets[first]
            yield replace(
                whole,
                rows=last - first,
                bits=None if whole.bits is None else tuple(bits[first // 8 : -(-last // 8)] for bits in whole.bits),
                offsets=offsets,
                items=items,
                converted=None if whole.converted is None else whole.converted[rows],
                value=None if whole.value is None else whole.value[rows],
                weight=None if whole.weight is None else whole.weight[rows],
                user_hash=None if whole.user_hash is None else whole.user_hash[rows],
            )


def packed_bytes(sessions: Sessions) -> int:
    """Bytes that counting takes beside the sessions: them packed, and in the order of mining."""
    bits = 2 * len(sessions.players) * -(-sessions.rows // 8)
    entries = 0 if sessions.items is None else 8 * sessions.items.size
    amounts = 16 * sessions.rows if sessions.value_is_target or sessions.weight is not None else 0
    return amounts + (entries if sessions.bits is None else bits)


def blocks_within(sessions: Sessions, memory_limit: int | None) -> RowBlocks | None:
    """Blocks of rows of sessions that would not fit when they are packed; None where they do."""
    limit = default_memory_limit() if memory_limit is None else memory_limit
    need = packed_bytes(sessions)
    if 4 * need <= limit:
        return None
    return RowBlocks(sessions, max(FEWEST_ROWS, int(sessions.rows * limit / (8 * need))))


# --- what is known before counting ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """Totals of all sessions, which add up over blocks.

    Attributes
    ----------
    players, value_is_target, report
        As in `Sessions`.
    has_converted, has_value, has_users
        Whether the sessions have these.
    conversions
        Weight of the sessions that converted.
    sums
        float64 (players, 3): weight, weight times y and weight times y squared of each player's sessions.
    totals
        float64 (3,): the same over all sessions.
    binary, fractional
        Whether y is 0 or 1 everywhere; whether any weight is no whole number.
    users
        Some hashes of users: all of them, or `BUCKETS`.
    """

    players: tuple[str, ...]
    value_is_target: bool
    report: ReadReport
    has_converted: bool
    has_value: bool
    has_users: bool
    conversions: float
    sums: Sums
    totals: Sums
    binary: bool
    fractional: bool
    users: NDArray[np.uint64]


def facts_of(sessions: Sessions, change: Change | None = None) -> Facts:
    """Facts of one block."""
    sessions = sessions if change is None else change(sessions)
    players = len(sessions.players)
    weight = np.ones(sessions.rows) if sessions.weight is None else sessions.weight
    sums, totals, binary, fractional = np.zeros((players, 3)), np.zeros(3), True, False
    if weight.any():
        packed = pack_sessions(sessions)
        sums, binary = packed.sums, packed.binary
        totals = np.array([packed.total_n, packed.total_s, packed.total_q])
        fractional = len(packed.layout.values) == 3
    users = np.empty(0, np.uint64) if sessions.user_hash is None else np.unique(sessions.user_hash)[:BUCKETS]
    return Facts(
        players=sessions.players,
        value_is_target=sessions.value_is_target,
        report=sessions.report,
        has_converted=sessions.converted is not None,
        has_value=sessions.value is not None,
        has_users=sessions.user_hash is not None,
        conversions=0.0 if sessions.converted is None else float((weight * sessions.converted).sum()),
        sums=sums,
        totals=totals,
        binary=binary,
        fractional=fractional,
        users=users,
    )


def merge_facts(a: Facts, b: Facts) -> Facts:
    """Facts of both."""
    return replace(
        a,
        conversions=a.conversions + b.conversions,
        sums=a.sums + b.sums,
        totals=a.totals + b.totals,
        binary=a.binary and b.binary,
        fractional=a.fractional or b.fractional,
        users=np.union1d(a.users, b.users)[:BUCKETS],
    )


def facts_of_blocks(blocks: Blocks, change: Change | None = None) -> Facts:
    """Facts of all blocks."""
    return blocks.fold(partial(facts_of, change=change), merge_facts)


def conversions_only(sessions: Sessions) -> Sessions:
    """The same sessions with the conversion as y."""
    return replace(sessions, value=None, value_is_target=False)


def values_as_target(sessions: Sessions) -> Sessions:
    """The same sessions with the value as y."""
    return replace(sessions, value_is_target=True)


# --- counting -------------------------------------------------------------------------------------


def count_block(sessions: Sessions, trie: Trie, threads: int, change: Change | None = None) -> Sums:
    """n, s and q of a family in one block: float64 (3, F)."""
    sessions = sessions if change is None else change(sessions)
    if sessions.weight is not None and not sessions.weight.any():
        return np.zeros((3, trie.rank.size))
    return count_family(trie, pack_sessions(sessions), threads)


def count_in_blocks(blocks: Blocks, trie: Trie, threads: int, change: Change | None = None) -> Sums:
    """n, s and q of a family in all blocks; `change` makes another y of each block."""
    return blocks.fold(partial(count_block, trie=trie, threads=threads, change=change), np.add)


def mine_blocks(
    blocks: Blocks,
    facts: Facts,
    *,
    max_size: int,
    min_count: float,
    min_support: float,
    threads: int = 2,
    memory_limit: int | None = None,
    progress: Progress | None = None,
) -> Game:
    """Every coalition of at most `max_size` players that at least `min_count` sessions of all blocks hold.

    The result is that of `touchworth.synergy.mining.mine` on all sessions; each size costs one pass over the blocks.

    Raises
    ------
    DataError
        The candidates of a size do not fit into `memory_limit` bytes.
    """
    passing = min_count * (1 - WEIGHT_ROUNDING) if facts.fractional else float(min_count)
    retained = np.flatnonzero(facts.sums[:, 0] >= passing)
    order = retained[np.argsort(facts.sums[retained, 0], kind="stable")]
    limit = default_memory_limit() if memory_limit is None else memory_limit
    game = family(facts, order, np.full(order.size, -1, np.int64), np.arange(order.size), facts.sums[order].T)
    size = 1
    while size < min(max_size, order.size):
        if progress is not None:
            progress(size, min(max_size, order.size))
        parent, item = candidates(game, size, limit)
        if not parent.size:
            break
        known = game.size.size
        widened = family(
            facts,
            order,
            np.concatenate([game.parent, parent]),
            np.concatenate([game.rank[game.item], item]),
            np.zeros((3, known + parent.size)),
        )
        sums = count_in_blocks(blocks, trie_of(widened), threads)
        kept = np.concatenate([np.ones(known, np.bool_), sums[0, known:] >= passing])
        if kept.sum() == known:
            break
        game = family(
            facts, order, widened.parent[kept].astype(np.int64), widened.rank[widened.item[kept]], sums[:, kept]
        )
        size += 1
    return replace(
        game, max_size=max_size, min_support=min_support, min_count=int(np.ceil(min_count - WEIGHT_ROUNDING))
    )


def family(facts: Facts, order: Ints, parent: NDArray[np.integer], item: NDArray[np.integer], sums: Sums) -> Game:
    """A game from the links of its coalitions in size-major order: parents' positions and ranks of last members."""
    links: Ints = parent.astype(np.int64)
    size = np.ones(links.size, np.int16)
    depth_of(links, size)
    below = links[links >= 0]
    count = np.bincount(below, minlength=links.size)
    start = np.zeros(links.size, np.int64)
    # Children are contiguous: the first one is where its parent first stands.
    parents, first = np.unique(below, return_index=True)
    start[parents] = first + np.count_nonzero(links < 0)
    in_order, rank = rank_players(order, len(facts.players))
    n, s, q = sums
    return Game(
        players=facts.players,
        parent=links.astype(np.int32),
        item=in_order[item],
        child_start=start.astype(np.int32),
        child_count=count.astype(np.int32),
        rank=rank,
        size=size,
        n=n,
        s=s,
        q=None if facts.binary else q,
        total_n=float(facts.totals[0]),
        total_s=float(facts.totals[1]),
        total_q=float(facts.totals[2]),
        binary=facts.binary,
        max_size=int(size.max(initial=1)),
        min_support=0.0,
        min_count=0,
    )


@kernel
def depth_of(parent: Ints, size: NDArray[np.int16]) -> None:
    """Number of members of each coalition, parents first."""
    for i in range(parent.size):
        if parent[i] >= 0:
            size[i] = size[parent[i]] + 1


def candidates(game: Game, size: int, limit: int) -> tuple[Ints, Ints]:
    """Coalitions of one member more than `size`, all of whose parts are retained.

    Returns the position of each one's parent and the rank of its last member. Each extends a coalition by the last
    member of a later sibling.
    """
    first = int(np.searchsorted(game.size, size))
    parent = game.parent[first:].astype(np.int64)
    _, starts, counts = np.unique(parent, return_index=True, return_counts=True)
    number = int((counts * (counts - 1) // 2).sum())
    if number * BYTES_A_CANDIDATE > limit:
        raise DataError(
            f"{number:,} candidates of size {size + 1} need about {number * BYTES_A_CANDIDATE / 1e9:.1f} GB, more than "
            f"the memory limit of {limit / 1e9:.1f} GB; raise min_support, lower max_size or raise the limit"
        )
    left, right = sibling_pairs(starts, counts, number)
    left, right = left + first, right + first
    if size > 1 and left.size:
        offsets, items = coalition_items(game)
        # The parts without the last or the last but one are the two siblings; the others are looked up.
        for omitted in range(size - 1):
            kept = np.array([place for place in range(size) if place != omitted])
            members = np.column_stack([items[offsets[left][:, None] + kept], items[offsets[right] + size - 1]]).astype(
                np.int32
            )
            found = find_sets(game, np.arange(left.size + 1) * size, members.ravel())
            left, right = left[found >= 0], right[found >= 0]
            if not left.size:
                break
    return left, game.rank[game.item[right]].astype(np.int64)


@kernel
def sibling_pairs(starts: Ints, counts: Ints, number: int) -> tuple[Ints, Ints]:
    """All pairs of a coalition and a later one of the same parent."""
    left, right = np.empty(number, np.int64), np.empty(number, np.int64)
    at = 0
    for group in range(starts.size):
        end = starts[group] + counts[group]
        for i in range(starts[group], end):
            for j in range(i + 1, end):
                left[at], right[at] = i, j
                at += 1
    return left, right


# --- errors by user -------------------------------------------------------------------------------


def count_users_in_blocks(
    blocks: Blocks, facts: Facts, game: Game, threads: int, change: Change | None = None
) -> BucketCounts:
    """Counts of a family by bucket of users, as `count_buckets` gives them.

    Raises
    ------
    DataError
        All sessions are of one user.
    """
    if facts.users.size < 2:
        raise DataError(ONE_USER)
    task = partial(count_users, game=game, buckets=facts.users.size, threads=threads, change=change)
    return blocks.fold(task, merge_buckets)


def count_users(sessions: Sessions, game: Game, buckets: int, threads: int, change: Change | None) -> BucketCounts:
    """Counts by bucket in one block."""
    sessions = sessions if change is None else change(sessions)
    return count_buckets(sessions, game, threads=threads, buckets=buckets)


def merge_buckets(a: BucketCounts, b: BucketCounts) -> BucketCounts:
    """Add counts by bucket."""
    return BucketCounts(a.n + b.n, a.s + b.s, a.total_n + b.total_n, a.total_s + b.total_s)


@dataclass(frozen=True, slots=True)
class ExactCells:
    """Conversions by exact set and bucket: float64 (F + 1, G), the last row the empty set; users by bucket (G,)."""

    cells: Sums
    users: Sums


def exact_conversions_in_blocks(blocks: Blocks, facts: Facts, counted: Game) -> ExactConversions:
    """As `exact_conversions`; the sessions of a user must lie in one block, as those of journeys do."""
    if facts.users.size < 2:
        raise DataError(ONE_USER)
    found = blocks.fold(partial(exact_cells, counted=counted, buckets=facts.users.size), merge_cells)
    conversions = found.cells[:-1].sum(axis=1)
    offsets, items = coalition_items(counted)
    # The retained sets stand for the sessions that are exactly they; nothing else enters the values of the family.
    game = game_from_sets(
        counted, np.append(offsets, offsets[-1]), items, np.append(conversions, found.cells[-1].sum())
    )
    return ExactConversions(game, conversions, bucket_error(found.cells[:-1], conversions, found.users))


def exact_cells(sessions: Sessions, counted: Game, buckets: int) -> ExactCells:
    """Conversions by exact set and bucket of one block."""
    if sessions.offsets is None or sessions.items is None or sessions.converted is None or sessions.user_hash is None:
        raise RequestError("conversions of exact sets need journeys of users")
    position = find_sets(counted, sessions.offsets, sessions.items)
    family_size = counted.size.size
    position[position == -2] = family_size
    inside = position >= 0
    bucket = (sessions.user_hash % np.uint64(buckets)).astype(np.int64)
    cells = np.bincount(
        position[inside] * buckets + bucket[inside],
        sessions.converted[inside].astype(np.float64),
        minlength=(family_size + 1) * buckets,
    )
    users = np.unique(sessions.user_hash) % np.uint64(buckets)
    return ExactCells(
        cells.astype(np.float64).reshape(family_size + 1, buckets),
        np.bincount(users.astype(np.int64), minlength=buckets).astype(np.float64),
    )


def merge_cells(a: ExactCells, b: ExactCells) -> ExactCells:
    """Add cells and users."""
    return ExactCells(a.cells + b.cells, a.users + b.users)
