"""Counts by bucket of users, which clustered standard errors are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError
from touchworth.games.game import Game
from touchworth.sources.records import Sessions
from touchworth.synergy.bitmaps import pack_sessions
from touchworth.synergy.family import count_family, trie_of
from touchworth.synergy.threads import Progress, run_threaded

__all__ = ["BucketCounts", "count_buckets", "user_buckets"]

BUCKETS = 100
ONE_USER = "all sessions are of one user; standard errors by user need at least two - leave --user out"


@dataclass(frozen=True, slots=True)
class BucketCounts:
    """n and s of each coalition in each bucket of users: float64 (F, G), and over all sessions (G,)."""

    n: NDArray[np.float64]
    s: NDArray[np.float64]
    total_n: NDArray[np.float64]
    total_s: NDArray[np.float64]


def user_buckets(user_hash: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bucket of each session, and the users of each bucket: the hash of the id modulo min(100, users).

    Raises
    ------
    DataError
        All sessions are of one user.
    """
    users = np.unique(user_hash)
    if users.size < 2:
        raise DataError(ONE_USER)
    buckets = min(BUCKETS, users.size)
    of_user = (users % np.uint64(buckets)).astype(np.int64)
    counts = np.bincount(of_user, minlength=buckets).astype(np.float64)
    return (user_hash % np.uint64(buckets)).astype(np.int64), counts


def count_buckets(
    sessions: Sessions, game: Game, *, threads: int = 1, progress: Progress | None = None, buckets: int | None = None
) -> BucketCounts:
    """Count a family by bucket of users (see `user_buckets`); `buckets` is their number if these are not all users."""
    assert sessions.user_hash is not None
    if buckets is None:
        bucket, users = user_buckets(sessions.user_hash)
        buckets = users.size
    else:
        bucket = (sessions.user_hash % np.uint64(buckets)).astype(np.int64)
    order = np.argsort(bucket, kind="stable")
    starts = np.searchsorted(bucket[order], np.arange(buckets + 1))
    trie = trie_of(game)
    counts = BucketCounts(
        np.zeros((game.size.size, buckets)),
        np.zeros((game.size.size, buckets)),
        np.zeros(buckets),
        np.zeros(buckets),
    )

    def count(b: int) -> None:
        rows = order[starts[b] : starts[b + 1]]
        if rows.size == 0 or (sessions.weight is not None and not sessions.weight[rows].any()):
            return
        packed = pack_sessions(sessions, rows)
        sums = count_family(trie, packed)
        counts.n[:, b], counts.s[:, b] = sums[0], sums[1]
        counts.total_n[b], counts.total_s[b] = packed.total_n, packed.total_s

    run_threaded([lambda b=b: count(b) for b in range(buckets)], threads, progress)  # type: ignore[misc]
    return counts
