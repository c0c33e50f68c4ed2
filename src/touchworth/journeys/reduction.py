"""The reduction of complete users to what every model needs, and its sum: the same wherever the users are.

`reduce_journeys_of` is what an engine runs on each partition of the users, `merge_reductions` adds two results. Engines
differ only in how a partition comes about: all users in memory, a partition read from disk, one of Spark's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from touchworth.journeys.build import GroupedJourneys, Journeys
from touchworth.journeys.counts import Counts, PathCounts, Plan, count_paths, merge_counts
from touchworth.journeys.deal import TOO_FEW_USERS
from touchworth.journeys.local import deal, reduce_journeys
from touchworth.journeys.overview import Overview, merge_overviews, overview
from touchworth.journeys.partitioned import PartitionedJourneys, PathParts

__all__ = ["AnyJourneys", "PathParts", "Reduction", "fold", "merge_reductions", "reduce_all", "reduce_journeys_of"]

T = TypeVar("T")
AnyJourneys = Journeys | PartitionedJourneys


@dataclass(frozen=True, slots=True)
class HeldPaths:
    """All distinct paths, in memory."""

    paths: PathCounts

    def map(self, function: Callable[[PathCounts], T]) -> Iterator[T]:
        """The function of all paths."""
        yield function(self.paths)

    def close(self) -> None:
        """Nothing has to be removed."""


@dataclass(frozen=True, slots=True)
class Reduction:
    """What models need of journeys.

    Attributes
    ----------
    overview, counts
        Names and totals; counts by bucket.
    units
        float64 (buckets,): see `Dealt`.
    why_not
        Empty, or the reason why no interval can be given.
    """

    overview: Overview
    counts: Counts
    units: NDArray[np.float64]
    why_not: str


def reduce_journeys_of(
    journeys: Journeys, plan: Plan, buckets: int, seed: int, threads: int, users: int | None = None
) -> Reduction:
    """Deal `journeys` of complete users to buckets and count them; `users` is the number of all users."""
    dealt = deal(journeys, buckets, seed, users)
    counts = reduce_journeys(journeys, dealt, plan, threads)
    return Reduction(overview(journeys), counts, dealt.units, dealt.why_not)


def merge_reductions(a: Reduction, b: Reduction) -> Reduction:
    """Add the reductions of two disjoint sets of users."""
    units = a.units + b.units
    why_not = "" if (units > 0).sum() > 1 else TOO_FEW_USERS
    counts = merge_counts(a.counts, b.counts)
    return Reduction(merge_overviews(a.overview, b.overview), counts, units, why_not)


def fold(
    journeys: Sequence[AnyJourneys],
    function: Callable[[Journeys], T] | Sequence[Callable[[Journeys], T]],
    merge: Callable[[T, T], T],
) -> list[tuple[T, PathParts]]:
    """The function of each partition of users, merged, and the distinct paths; one result for each of `journeys`.

    There may be a function for each of them. Partitioned journeys that share their partitions are folded together, so
    that each partition is read once.
    """
    first = journeys[0]
    functions = [function] * len(journeys) if callable(function) else list(function)
    if isinstance(first, PartitionedJourneys):
        shared = [one for one in journeys if isinstance(one, PartitionedJourneys)]
        results: list[tuple[T, PathParts]] = []
        results += first.partitions.fold([one.frame for one in shared], functions, merge)
        return results
    held = [one for one in journeys if isinstance(one, Journeys)]
    return [(work(one), HeldPaths(count_paths(one))) for one, work in zip(held, functions, strict=True)]


def reduce_all(
    journeys: Sequence[AnyJourneys], plan: Plan, buckets: int, seed: int, threads: int
) -> list[tuple[Reduction, PathParts]]:
    """Reduction and distinct paths of each of `journeys`.

    The number of buckets is that of users where there are fewer. How many users partitions hold is known only once
    they are reduced; groups that hold too few are reduced again, all of them in one pass.
    """
    work = partial(reduce_journeys_of, plan=plan, buckets=buckets, seed=seed, threads=threads)
    if isinstance(journeys[0], Journeys):
        return fold(journeys, work, merge_reductions)
    found = fold(journeys, partial(work, users=buckets), merge_reductions)
    users = [int(reduction.overview.accounting["users"]) for reduction, _ in found]
    few = [place for place, number in enumerate(users) if number < buckets]
    for place in few:
        found[place][1].close()
    if few:
        anew = [partial(work, users=users[place]) for place in few]
        for place, result in zip(few, fold([journeys[place] for place in few], anew, merge_reductions), strict=True):
            found[place] = result
    return found


def parts_of(journeys: AnyJourneys | GroupedJourneys) -> dict[str, AnyJourneys]:
    """Group -> its journeys; one group "" where the analysis is not repeated."""
    return dict(journeys.groups) if isinstance(journeys, GroupedJourneys) else {"": journeys}
