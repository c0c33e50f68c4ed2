"""The reduction on one machine: ranges of journeys on threads, then the sum."""

from concurrent.futures import ThreadPoolExecutor
from functools import reduce as fold

import numpy as np

from touchworth.journeys.build import Journeys
from touchworth.journeys.counts import Counts, Plan, count_journeys, merge_counts
from touchworth.journeys.deal import Dealt, deal_paths, deal_users
from touchworth.journeys.order import split_evenly

__all__ = ["deal", "reduce_journeys"]


def deal(journeys: Journeys, buckets: int, seed: int = 0, users: int | None = None) -> Dealt:
    """Deal journeys to jackknife buckets: by user where there are users, else by seeded multinomial.

    `users` is the number of all users where `journeys` are those of a part of them.
    """
    if journeys.users is not None:
        who = journeys.users
        return deal_users(
            who.hash, who.present, who.of_journey,
            journeys.conversions, journeys.nulls, journeys.value, buckets, users,
        )  # fmt: skip
    keys = journeys.path_key ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    return deal_paths(keys, journeys.conversions, journeys.nulls, journeys.value, buckets)


def reduce_journeys(journeys: Journeys, dealt: Dealt, plan: Plan, threads: int = 1) -> Counts:
    """Reduce journeys to counts on `threads` threads; the kernels release the GIL."""
    lengths = np.concatenate(([0], np.cumsum(journeys.stop - journeys.start)))
    ranges = split_evenly(lengths, threads) or [(0, len(journeys))]
    with ThreadPoolExecutor(len(ranges)) as pool:
        parts = list(pool.map(lambda bounds: count_journeys(journeys, dealt, plan, *bounds), ranges))
    return fold(merge_counts, parts)
