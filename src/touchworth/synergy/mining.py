"""All coalitions that the sessions support, with their counts: work predicted, threaded and put in order."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.games.game import Game
from touchworth.synergy import counting
from touchworth.synergy.bitmaps import WORD, Layout, PackedSessions, Words
from touchworth.synergy.counting import OUT_OF_MEMORY, Limits, Pairs, RowLists, Unit
from touchworth.synergy.threads import Progress, Stop, threaded

__all__ = ["Method", "Prediction", "Progress", "choose_method", "default_memory_limit", "mine", "predict"]

Method = Literal["bitmaps", "rows", "transform"]
Table = NDArray[np.float64]
Mined = tuple[Table, NDArray[np.int64]]
"""Coalitions, and how many there are of each size."""

ROWS_FROM_PLAYERS = 1_000
ROWS_BELOW_DENSITY = 0.01
"""Wide sparse data starts from its rows: fewer pairs occur than there are."""

TRANSFORM_PLAYERS = 20
"""Above, 2^players cells cost more than the coalitions that are retained."""

BYTES_A_COALITION = 120
"""Of a result: at most 42 in the game, 40 in the table of the kernel, the rest while they are put in order."""

UNIT_WORDS = 2_000_000_000
"""Words to AND in one unit of work, about 0.2 s: threads share the load and progress moves."""

QUICK_WORDS, QUICK_ROWS = 1 << 26, 1 << 17
"""Words to AND and coalitions (a few milliseconds) up to which work is done at once: threads would take longer."""

WEIGHT_ROUNDING = 1e-9
"""Relative slack of a support that is a sum of fractional weights, so that 10 * 0.1 still passes 1."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What counting will take, known before it starts; its text is a sentence for the user.

    Attributes
    ----------
    method
        ``bitmaps`` (Gram matrices of bitmaps), ``rows`` (first level counted row by row) or ``transform``
        (equal rows counted, then added up over supersets).
    players
        Players that reach the minimum support.
    candidate_pairs
        Pairs of them.
    pairs
        Pairs retained.
    candidate_triples
        Triples whose three pairs are all retained: an upper limit of the triples.
    words
        Bitmap words to AND for the triples.
    memory
        Upper estimate in bytes for sizes up to 3; larger sizes are watched while they are counted.
    """

    method: Method
    players: int
    candidate_pairs: int
    pairs: int
    candidate_triples: int
    words: int
    memory: int

    def __str__(self) -> str:
        how = {
            "bitmaps": "pair counts of bitmaps, projected on each prefix",
            "rows": "pairs counted row by row (wide sparse data), then bitmaps of each prefix",
            "transform": "equal rows counted, then added up over supersets",
        }[self.method]
        return (
            f"{self.players:,} players reach the minimum support; {self.pairs:,} of {self.candidate_pairs:,} "
            f"pairs do; at most {self.candidate_triples:,} triples can; about {_bytes(self.memory)} of "
            f"memory up to size 3; method: {how}"
        )


def mine(
    columns: PackedSessions,
    *,
    max_size: int,
    min_count: float,
    threads: int = 2,
    progress: Progress | None = None,
    memory_limit: int | None = None,
    min_support: float | None = None,
    method: Method | None = None,
    report: Callable[[Prediction], None] | None = None,
) -> Game:
    """Count every coalition of at most `max_size` players that at least `min_count` sessions hold.

    Parameters
    ----------
    columns
        Packed sessions.
    max_size
        Largest size, 1 or more; there is no upper limit.
    min_count
        Smallest support (a sum of weights) to retain, more than 0.
    threads
        Threads to count with; the result does not depend on it.
    progress
        Called with (work done, all work) after each unit, from the calling thread.
    memory_limit
        Bytes that counting may take; `default_memory_limit` if None.
    min_support
        Share to note in the game; ``min_count / total_n`` if None.
    method
        Overrides the choice made from the data's shape (see `Prediction`).
    report
        Called with the prediction before the start.

    Returns
    -------
    Game
        All retained coalitions with n, s and, for real y, q. Counts are exact whatever the method; sums of a
        real y are float64 sums in a fixed order, equal for any number of threads.

    Raises
    ------
    RequestError
        `max_size`, `min_count` or `threads` below what is possible.
    DataError
        The result, or the way to it, does not fit into `memory_limit`.
    KeyboardInterrupt
        Passed on within a second of the signal.
    """
    work = _prepare(
        columns,
        max_size=max_size,
        min_count=min_count,
        threads=threads,
        memory_limit=memory_limit,
        method=method,
    )
    if report is not None:
        report(work.prediction)
    _check_memory(work.prediction, work.memory_limit)
    tables = _run(work, threads, progress)
    share = min_count / columns.total_n if min_support is None else min_support
    return _assemble(work, tables, share, min_count)


def predict(
    columns: PackedSessions,
    *,
    max_size: int,
    min_count: float,
    threads: int = 2,
    memory_limit: int | None = None,
    method: Method | None = None,
) -> Prediction:
    """What `mine` would do and take; counts the pairs, a small part of the work.

    Raises
    ------
    RequestError, DataError
        As `mine`; only that coalitions of size 3 would not fit is no error here.
    """
    return _prepare(
        columns,
        max_size=max_size,
        min_count=min_count,
        threads=threads,
        memory_limit=memory_limit,
        method=method,
    ).prediction


def default_memory_limit() -> int:
    """Three quarters of the machine's memory, in bytes; 4 GB where it cannot be asked."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    except (AttributeError, OSError, ValueError):
        return 4_000_000_000


def choose_method(sessions: PackedSessions, order: NDArray[np.int64], max_size: int) -> Method:
    """Way to count, from the shape of the retained players' sessions (`order` names the players)."""
    if order.size <= TRANSFORM_PLAYERS and max_size >= order.size and 2**order.size <= max(1024, sessions.rows):
        return "transform"
    if order.size < ROWS_FROM_PLAYERS:
        return "bitmaps"
    density = sessions.sums[order, 0].mean() / sessions.total_n
    return "rows" if density < ROWS_BELOW_DENSITY else "bitmaps"


class _Source(Protocol):
    """The retained players' sessions in one of two forms, each with its kernels."""

    @property
    def words(self) -> int: ...

    def pairs(self, first: int, last: int, limits: Limits, stop: Stop) -> Table: ...

    def mine(self, unit: Unit, pairs: Pairs, limits: Limits, stop: Stop) -> Mined: ...


@dataclass(frozen=True, slots=True)
class _Bitmaps:
    columns: Words
    layout: Layout

    @property
    def words(self) -> int:
        return int(self.layout.bounds[-1])

    def pairs(self, first: int, last: int, limits: Limits, stop: Stop) -> Table:
        return counting.pairs_of_bitmaps(self.columns, first, last, self.layout, limits, stop)

    def mine(self, unit: Unit, pairs: Pairs, limits: Limits, stop: Stop) -> Mined:
        return counting.mine_bitmaps(unit, pairs, self.columns, self.layout, limits, stop)


@dataclass(frozen=True, slots=True)
class _Rows:
    rows: RowLists
    layout: Layout

    @property
    def words(self) -> int:
        return int(self.layout.bounds[-1])

    def pairs(self, first: int, last: int, limits: Limits, stop: Stop) -> Table:
        return counting.pairs_of_rows(self.rows, first, last, self.layout, limits, stop)

    def mine(self, unit: Unit, pairs: Pairs, limits: Limits, stop: Stop) -> Mined:
        return counting.mine_rows(unit, pairs, self.rows, self.layout, limits, stop)


@dataclass(frozen=True, slots=True)
class _Work:
    """State before the descent.

    ``order`` holds the retained players by rank; ``first`` the tables of singles and pairs, or of the whole
    family where the transform counted it; ``source`` is None where nothing is left to descend into. ``words``
    are those to AND for the triples below each first player, ``largest`` the most words of one's columns.
    """

    sessions: PackedSessions
    max_size: int
    order: NDArray[np.int64]
    limits: Limits
    source: _Source | None
    pairs: Pairs
    words: NDArray[np.int64]
    largest: int
    first: tuple[Mined, ...]
    prediction: Prediction
    memory_limit: int


def _prepare(
    sessions: PackedSessions,
    *,
    max_size: int,
    min_count: float,
    threads: int,
    memory_limit: int | None,
    method: Method | None,
) -> _Work:
    """Count singles and pairs (or everything, by the transform) and predict the rest."""
    _check_request(max_size, min_count, threads)
    limit = default_memory_limit() if memory_limit is None else memory_limit
    fractional = len(sessions.layout.values) == 3
    passing = min_count * (1 - WEIGHT_ROUNDING) if fractional else float(min_count)
    retained = np.flatnonzero(sessions.sums[:, 0] >= passing)
    order = retained[np.argsort(sessions.sums[retained, 0], kind="stable")]
    chosen = method or choose_method(sessions, order, max_size)
    base = sessions.nbytes + _working_memory(sessions, order, chosen)
    _check_base_memory(sessions, order.size, base, limit)
    max_rows = max(1, (limit - base) // BYTES_A_COALITION)
    limits = Limits(passing, sessions.largest_weight, min(max_size, order.size), max_rows)
    none, no_words = Pairs(np.zeros(order.size + 1, np.int64), np.empty(0, np.int64)), np.zeros(order.size, np.int64)
    if chosen == "transform":
        sums = counting.sums_by_mask(_bitmaps_of(sessions, order), sessions.layout)
        family = counting.family_of_masks(sums, order.size, sessions.layout, limits)
        prediction = _predict_family(family[1], order.size, base)
        return _Work(sessions, max_size, order, limits, None, none, no_words, 1, (family,), prediction, limit)
    singles = _singles(sessions, order, limits)
    if limits.max_size < 2:
        prediction = _predict_pairs(chosen, pairs=none, triples=0, players=order.size, words=0, base=base)
        return _Work(sessions, max_size, order, limits, None, none, no_words, 1, (singles,), prediction, limit)
    source = _source(sessions, order, chosen)
    stop = np.zeros(1, np.int64)
    table = _count_pairs(source, order.size, limits, threads, stop)
    pairs, words, largest = counting.index_pairs(table, singles[0], source.words)
    deeper = limits.max_size > 2
    triples = counting.common_neighbours(pairs, stop) if deeper else 0
    prediction = _predict_pairs(
        chosen,
        pairs=pairs,
        triples=triples,
        players=order.size,
        words=int(words.sum()) if deeper else 0,
        base=base,
    )
    first = (singles, (table, _all_of_size(2, len(table), limits)))
    return _Work(
        sessions, max_size, order, limits, source if deeper else None, pairs, words, largest, first, prediction, limit
    )  # fmt: skip


def _check_request(max_size: int, min_count: float, threads: int) -> None:
    if max_size < 1:
        raise RequestError(f"the largest coalition size is {max_size}; it must be 1 or more")
    if not 0 < min_count < np.inf:
        raise RequestError(f"the minimum support is {min_count} sessions; it must be a finite number above 0")
    if threads < 1:
        raise RequestError(f"the number of threads is {threads}; it must be 1 or more")


def _check_base_memory(sessions: PackedSessions, players: int, need: int, limit: int) -> None:
    if need > limit:
        raise DataError(
            f"counting {players:,} players in {sessions.rows:,} sessions needs about {_bytes(need)}, more "
            f"than the memory limit of {_bytes(limit)}; raise min_support, leave players out or raise the "
            "limit"
        )


def _check_memory(prediction: Prediction, limit: int) -> None:
    """Refuse what would not fit, before anything is counted further."""
    if prediction.memory > limit:
        raise DataError(
            f"counting needs about {_bytes(prediction.memory)} ({prediction.pairs:,} pairs, up to "
            f"{prediction.candidate_triples:,} triples), more than the memory limit of {_bytes(limit)}; "
            "raise min_support, lower max_size or raise the limit"
        )


def _working_memory(sessions: PackedSessions, order: NDArray[np.int64], method: Method) -> int:
    """Bytes beside the packed sessions: the retained players' sessions in the form the method reads."""
    words = int(sessions.layout.bounds[-1])
    if method == "rows":
        # Integer weights are at least 1, but may be huge; with fractional ones every cell might be held.
        cells = order.size * words * WORD
        fractional = len(sessions.layout.values) == 3
        held = cells if fractional else min(cells, int(sessions.sums[order, 0].sum()))
        entries = held if sessions.lists is None else sessions.lists.size
        return 20 * entries + 8 * WORD * words
    sums = 4 * 8 * 2**order.size if method == "transform" else 0
    return 8 * order.size * words + sums


def _predict_family(by_size: NDArray[np.int64], players: int, base: int) -> Prediction:
    pairs, triples = (int(by_size[size : size + 1].sum()) for size in (2, 3))
    memory = base + BYTES_A_COALITION * int(by_size.sum())
    return Prediction("transform", players, players * (players - 1) // 2, pairs, triples, 0, memory)


def _predict_pairs(method: Method, *, pairs: Pairs, triples: int, players: int, words: int, base: int) -> Prediction:
    memory = base + BYTES_A_COALITION * (players + pairs.items.size + triples)
    return Prediction(method, players, players * (players - 1) // 2, pairs.items.size, triples, words, memory)


def _bytes(count: int) -> str:
    """Number of bytes in the largest unit that leaves at least one before the point."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _lists(sessions: PackedSessions) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    assert sessions.list_starts is not None
    assert sessions.lists is not None
    return sessions.list_starts, sessions.lists


def _bitmaps_of(sessions: PackedSessions, order: NDArray[np.int64]) -> Words:
    if sessions.bitmaps is not None:
        return sessions.bitmaps[order]
    starts, lists = _lists(sessions)
    return counting.bitmaps_of_lists(starts, lists, order, int(sessions.layout.bounds[-1]))


def _lists_of(sessions: PackedSessions, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    if sessions.bitmaps is not None:
        return counting.lists_of_bitmaps(sessions.bitmaps, order)
    all_starts, all_lists = _lists(sessions)
    starts = np.zeros(order.size + 1, np.int64)
    np.cumsum(np.diff(all_starts)[order], out=starts[1:])
    parts = [all_lists[all_starts[player] : all_starts[player + 1]] for player in order]
    return starts, np.concatenate(parts) if parts else np.empty(0, np.int32)


def _source(sessions: PackedSessions, order: NDArray[np.int64], method: Method) -> _Source:
    if method == "bitmaps":
        return _Bitmaps(_bitmaps_of(sessions, order), sessions.layout)
    starts, lists = _lists_of(sessions, order)
    places = int(sessions.layout.bounds[-1]) * WORD
    return _Rows(counting.row_lists(starts, lists, places), sessions.layout)


def _singles(sessions: PackedSessions, order: NDArray[np.int64], limits: Limits) -> Mined:
    """Table rows of the retained players, by rank."""
    sums = sessions.sums[order] if len(sessions.layout.values) else sessions.sums[order, :2]
    table = np.empty((order.size, counting.N + sums.shape[1]))
    table[:, counting.PARENT], table[:, counting.ITEM] = -1, np.arange(order.size)
    table[:, counting.N :] = sums
    return table, _all_of_size(1, order.size, limits)


def _all_of_size(size: int, count: int, limits: Limits) -> NDArray[np.int64]:
    """How many coalitions there are of each size, where all are of one."""
    by_size = np.zeros(limits.max_size + 1, np.int64)
    by_size[size : size + 1] = count
    return by_size


def _count_pairs(source: _Source, players: int, limits: Limits, threads: int, stop: Stop) -> Table:
    """Count the pairs in blocks of first players, whose Gram matrices stay small however many there are."""
    if players * players // 2 * source.words <= QUICK_WORDS:
        return source.pairs(0, players, limits, stop)
    block = 4 * max(1, min(64, -(-players // (16 * threads))))
    calls = [
        partial(source.pairs, first, min(first + block, players), limits, stop) for first in range(0, players, block)
    ]
    return np.concatenate([table for _, table in sorted(threaded(calls, threads, stop), key=_index)])


def _index(result: tuple[int, Table]) -> int:
    return result[0]


def _units(pairs: Pairs, work: NDArray[np.int64], threads: int) -> list[tuple[Unit, int]]:
    """Cut the work into units of at most `UNIT_WORDS`, enough of them to keep the threads busy.

    Each unit comes with its share of the work.
    """
    target = max(1, min(UNIT_WORDS, int(work.sum()) // (8 * threads)))
    units: list[tuple[Unit, int]] = []
    first, gathered = 0, 0
    for prefix in np.flatnonzero(work).tolist():
        own, children = int(work[prefix]), int(pairs.starts[prefix + 1] - pairs.starts[prefix])
        if gathered and gathered + own > target:
            units.append((_whole(first, prefix, pairs), gathered))
            first, gathered = prefix, 0
        if own > target:
            units.extend(_parts(prefix, children, own, target))
            first = prefix + 1
        else:
            gathered += own
    if gathered:
        units.append((_whole(first, work.size, pairs), gathered))
    return units


def _whole(first: int, last: int, pairs: Pairs) -> Unit:
    return Unit(first, last, 0, max(1, pairs.items.size))


def _parts(prefix: int, children: int, work: int, target: int) -> list[tuple[Unit, int]]:
    """Cut one prefix by its pairs, each part with about the same number of candidate triples."""
    below = np.concatenate([[0], np.cumsum(np.arange(children - 1, -1, -1))])
    parts = max(1, min(children // 4, -(-work // max(target, UNIT_WORDS // 4))))
    cuts = np.unique(np.searchsorted(below, below[-1] * np.arange(parts + 1) / parts))
    cuts[0], cuts[-1] = 0, children
    share = work // (cuts.size - 1)
    return [(Unit(prefix, prefix + 1, first, last), share) for first, last in pairwise(cuts.tolist())]


def _run(work: _Work, threads: int, progress: Progress | None) -> list[Mined]:
    """Tables of the coalitions of size 3 and more, in the order of the units."""
    if work.source is None:
        return []
    quick = _run_at_once(work)
    if quick is not None:
        if progress is not None:
            progress(1, 1)
        return [quick]
    units = _units(work.pairs, work.words, threads)
    stop = np.zeros(1, np.int64)
    calls = [partial(work.source.mine, unit, work.pairs, work.limits, stop) for unit, _ in units]
    tables: dict[int, Mined] = {}
    total, done, rows = sum(share for _, share in units), 0, 0
    for index, table in threaded(calls, threads, stop):
        tables[index] = table
        rows += len(table[0])
        done += units[index][1]
        if stop[0] == OUT_OF_MEMORY or rows > work.limits.max_rows:
            raise DataError(
                f"there are more than {work.limits.max_rows:,} coalitions, all that the memory limit of "
                f"{_bytes(work.memory_limit)} has room for; raise min_support, lower max_size "
                f"({work.max_size}) or raise the limit"
            )
        if progress is not None:
            progress(done, total)
    return [tables[index] for index in range(len(units))]


def _run_at_once(work: _Work) -> Mined | None:
    """The table of a small family, counted on this thread; None where it is not small.

    How many coalitions of size 4 and more there are is not known before, only what one costs at most: so many are
    tried as cost no more than `QUICK_WORDS`.
    """
    assert work.source is not None
    if work.prediction.words > QUICK_WORDS:
        return None
    # A node has at most `largest` words, and half its columns' pairs belong to one of its coalitions.
    rows = min(QUICK_ROWS, 2 * QUICK_WORDS // work.largest)
    if work.prediction.candidate_triples > rows:
        return None
    stop = np.zeros(1, np.int64)
    limits = work.limits._replace(max_rows=min(rows, work.limits.max_rows))
    mined = work.source.mine(_whole(0, work.order.size, work.pairs), work.pairs, limits, stop)
    return None if stop[0] == OUT_OF_MEMORY else mined


def _assemble(work: _Work, mined: Sequence[Mined], min_support: float, min_count: float) -> Game:
    """Put all tables into one family in size-major order."""
    sessions = work.sessions
    by_size = np.sum([sizes for _, sizes in (*work.first, *mined)], axis=0)
    following = np.cumsum(by_size) - by_size
    family = int(by_size.sum())
    links = np.zeros((4, family), np.int32)
    size, sums = np.empty(family, np.int16), np.empty((3 if len(sessions.layout.values) else 2, family))
    in_order, rank = counting.rank_players(work.order, len(sessions.players))
    for first_size, tables in enumerate((*((part,) for part in work.first), mined), 1):
        before = int(by_size[1 : first_size - 1].sum())
        for table, _ in tables:
            counting.place_coalitions(table, first_size, before, following, links, size, sums, in_order)
    parent, item, child_start, child_count = links
    return Game(
        players=sessions.players,
        parent=parent,
        item=item,
        child_start=child_start,
        child_count=child_count,
        rank=rank,
        size=size,
        n=sums[0],
        s=sums[1],
        q=None if sessions.binary else sums[2],
        total_n=sessions.total_n,
        total_s=sessions.total_s,
        total_q=sessions.total_q,
        binary=sessions.binary,
        max_size=work.max_size,
        min_support=min_support,
        min_count=int(np.ceil(min_count - WEIGHT_ROUNDING)),
    )
