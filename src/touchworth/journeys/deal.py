"""Dealing journeys to buckets, the units that the jackknife leaves out one at a time (models.md, section 6)."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel

__all__ = ["TOO_FEW_USERS", "Dealt", "deal_paths", "deal_users", "path_keys"]

TOO_FEW_USERS = "intervals need at least two users"
# Rows with more journeys than this are dealt by a multinomial draw, the others journey by journey.
ONE_BY_ONE = 4096


@dataclass(frozen=True, slots=True)
class Dealt:
    """Weights of ``j`` journeys by bucket: ``e`` entries, those of journey i at ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    offsets
        int64 (j + 1,).
    bucket
        int32 (e,).
    conversions, nulls, value
        float64 (e,).
    units
        float64 (buckets,): users (logs) or journeys (path tables) in each bucket.
    why_not
        Empty, or the reason why no interval can be given.
    """

    offsets: NDArray[np.int64]
    bucket: NDArray[np.int32]
    conversions: NDArray[np.float64]
    nulls: NDArray[np.float64]
    value: NDArray[np.float64]
    units: NDArray[np.float64]
    why_not: str = ""


def deal_users(
    user_hash: NDArray[np.uint64],
    present: NDArray[np.bool_],
    user: NDArray[np.int64],
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    buckets: int,
    users: int | None = None,
) -> Dealt:
    """Give each journey to its user's bucket: hash of the id modulo min(buckets, users).

    `users` is their number where these are a part of them.
    """
    size = max(1, min(buckets, int(present.sum()) if users is None else users))
    of_user = (user_hash % np.uint64(size)).astype(np.int32)
    units = np.bincount(of_user[present], minlength=size).astype(np.float64)
    why_not = "" if (units > 0).sum() > 1 else TOO_FEW_USERS
    return Dealt(np.arange(user.size + 1), of_user[user], conversions, nulls, value, units, why_not)


@kernel
def path_keys(
    channel: NDArray[np.int32], offsets: NDArray[np.int64], name_hash: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """A random stream's key for each path: depends on its text, not on its row."""
    out = np.empty(offsets.size - 1, np.uint64)
    for i in range(out.size):
        h = np.uint64(0x632BE59BD9B4E019)
        for k in range(offsets[i], offsets[i + 1]):
            h = (h ^ name_hash[channel[k]]) * np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(31)
        out[i] = h
    return out


def name_hashes(names: tuple[str, ...]) -> NDArray[np.uint64]:
    """uint64 (names,): a hash of each name that is the same in every process."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), np.uint64) if digests else np.empty(0, np.uint64)


@kernel
def deal_rows(
    key: NDArray[np.uint64],
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    large: NDArray[np.int64],
    large_draws: NDArray[np.int64],
    buckets: int,
    fill: bool,
    offsets: NDArray[np.int64],
    bucket: NDArray[np.int32],
    out_conversions: NDArray[np.float64],
    out_nulls: NDArray[np.float64],
    out_value: NDArray[np.float64],
) -> None:
    """Deal every row's journeys to buckets, each bucket equally likely; a row's entries are ascending in bucket."""
    drawn = np.zeros((2, buckets), np.int64)
    at = 0
    for i in range(key.size):
        if large[i] >= 0:
            drawn[0] = large_draws[large[i], 0]
            drawn[1] = large_draws[large[i], 1]
        else:
            # Keys that differ by a multiple of the generator's step would walk the same stream: mix them first.
            state = (key[i] ^ (key[i] >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
            state ^= state >> np.uint64(33)
            for outcome in range(2):
                for _ in range(np.int64(conversions[i] if outcome == 0 else nulls[i])):
                    # splitmix64 (Steele, Lea, Flood 2014), then the high bits scaled to the buckets.
                    state += np.uint64(0x9E3779B97F4A7C15)
                    z = state
                    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                    z ^= z >> np.uint64(31)
                    drawn[outcome, np.int64(((z >> np.uint64(32)) * np.uint64(buckets)) >> np.uint64(32))] += 1
        for b in range(buckets):
            if drawn[0, b] == 0 and drawn[1, b] == 0:
                continue
            if fill:
                bucket[at] = b
                out_conversions[at] = drawn[0, b]
                out_nulls[at] = drawn[1, b]
                out_value[at] = value[i] * (drawn[0, b] / conversions[i]) if drawn[0, b] > 0 else 0.0
            at += 1
            drawn[0, b] = 0
            drawn[1, b] = 0
        offsets[i + 1] = at


def deal_paths(
    key: NDArray[np.uint64],
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    buckets: int,
) -> Dealt:
    """Split each row's conversions and nulls over the buckets by a multinomial seeded by its path.

    Rows are whole journeys added up: dealing whole rows would make errors 20 to 60 times too wide.
    Counts that are not whole cannot be dealt and get no interval.
    """
    total = conversions + nulls
    whole = bool((conversions == np.floor(conversions)).all() and (nulls == np.floor(nulls)).all())
    if not whole or total.sum() < 2:
        why = "intervals need whole numbers of conversions and nulls" if not whole else "intervals need two journeys"
        rows = np.arange(key.size + 1)
        bucket = np.zeros(key.size, np.int32)
        return Dealt(rows, bucket, conversions, nulls, value, np.array([total.sum()]), why)
    size = int(min(buckets, total.sum()))
    large = np.full(key.size, -1, np.int64)
    heavy = np.flatnonzero(total > ONE_BY_ONE)
    large[heavy] = np.arange(heavy.size)
    draws = np.empty((heavy.size, 2, size), np.int64)
    even = np.full(size, 1 / size)
    for place, i in enumerate(heavy):
        stream = np.random.Generator(np.random.Philox(key=int(key[i])))
        draws[place, 0] = stream.multinomial(int(conversions[i]), even)
        draws[place, 1] = stream.multinomial(int(nulls[i]), even)
    offsets = np.zeros(key.size + 1, np.int64)

    def run(entries: int, fill: bool) -> Dealt:
        dealt = Dealt(
            offsets, np.empty(entries, np.int32), np.empty(entries), np.empty(entries), np.empty(entries), np.empty(0)
        )
        deal_rows(
            key, conversions, nulls, value, large, draws, size, fill,
            offsets, dealt.bucket, dealt.conversions, dealt.nulls, dealt.value,
        )  # fmt: skip
        return dealt

    run(0, False)
    dealt = run(int(offsets[-1]), True)
    units = np.bincount(dealt.bucket, dealt.conversions + dealt.nulls, minlength=size).astype(np.float64)
    return Dealt(offsets, dealt.bucket, dealt.conversions, dealt.nulls, dealt.value, units)
