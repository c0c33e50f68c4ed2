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
    journeys: Sequence[AnyJourneys], function: Callable[[Journeys], T], merge: Callable[[T, T], T]
) -> list[tuple[T, PathParts]]:
    """The function of each partition of users, merged, and the distinct paths; one result for each of `journeys`.

    Partitioned journeys that share their partitions are folded together, so that each partition is read once.
    """
    first = journeys[0]
    if isinstance(first, PartitionedJourneys):
        shared = [one for one in journeys if isinstance(one, PartitionedJourneys)]
        results: list[tuple[T, PathParts]] = []
        results += first.partitions.fold([one.frame for one in shared], function, merge)
        return results
    held = [one for one in journeys if isinstance(one, Journeys)]
    return [(function(one), HeldPaths(count_paths(one))) for one in held]


def reduce_all(
    journeys: Sequence[AnyJourneys], plan: Plan, buckets: int, seed: int, threads: int
) -> list[tuple[Reduction, PathParts]]:
    """Reduction and distinct paths of each of `journeys`.

    The number of buckets is that of users where there are fewer. How many users partitions hold is known only once
    they are reduced; should they be too few, which is rare and quick, they are reduced again.
    """
    if isinstance(journeys[0], Journeys):
        work = partial(reduce_journeys_of, plan=plan, buckets=buckets, seed=seed, threads=threads)
        return fold(journeys, work, merge_reductions)
    work = partial(reduce_journeys_of, plan=plan, buckets=buckets, seed=seed, threads=threads, users=buckets)
    found = fold(journeys, work, merge_reductions)
    for place, (reduction, paths) in enumerate(found):
        users = int(reduction.overview.accounting["users"])
        if users < buckets:
            paths.close()
            work = partial(reduce_journeys_of, plan=plan, buckets=buckets, seed=seed, threads=threads, users=users)
            found[place] = fold([journeys[place]], work, merge_reductions)[0]
    return found


def parts_of(journeys: AnyJourneys | GroupedJourneys) -> dict[str, AnyJourneys]:
    """Group -> its journeys; one group "" where the analysis is not repeated."""
    return dict(journeys.groups) if isinstance(journeys, GroupedJourneys) else {"": journeys}
