"""The rate game of journeys and its Shapley value (models.md, section 4, `shapley_rate`).

v(S) is the conversion rate (or value per journey) of the journeys whose set of channels is a non-empty subset of S, and
0 where there is none.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel

__all__ = ["EXACT_CHANNELS", "RateShapley", "rate_shapley"]

EXACT_CHANNELS = 20
PERMUTATION_PAIRS = 1000


@dataclass(frozen=True, slots=True)
class RateShapley:
    """Shapley values of the rate game.

    Attributes
    ----------
    phi, phi_value
        float64 (channels,): of the conversion rate and of the value per journey.
    replicates, replicates_value
        float64 (buckets, channels): the same with each bucket left out.
    sampling_error, sampling_error_value
        float64 (channels,): standard error of permutation sampling; 0 where the value is exact.
    permutations
        Permutations drawn; 0 where the value is exact.
    """

    phi: NDArray[np.float64]
    phi_value: NDArray[np.float64]
    replicates: NDArray[np.float64]
    replicates_value: NDArray[np.float64]
    sampling_error: NDArray[np.float64]
    sampling_error_value: NDArray[np.float64]
    permutations: int


@kernel
def subset_sums(values: NDArray[np.float64], players: int) -> None:
    """In place: values[S] becomes the sum of values[T] over all T within S."""
    for p in range(players):
        bit = 1 << p
        for s in range(values.size):
            if s & bit:
                values[s] += values[s ^ bit]


@kernel
def shapley_of_game(v: NDArray[np.float64], players: int, by_size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shapley value of a complete game: phi(c) = sum of |S|! (C - |S| - 1)! / C! (v(S with c) - v(S)).

    v: float64 (2^players,), indexed by bit mask; by_size: float64 (players,), the weight of a coalition of each size.
    """
    phi = np.zeros(players)
    for s in range(v.size):
        size = 0
        for p in range(players):
            size += (s >> p) & 1
        for p in range(players):
            if s & (1 << p):
                phi[p] += by_size[size - 1] * v[s]
            else:
                phi[p] -= by_size[size] * v[s]
    return phi


def rate_values(amount: NDArray[np.float64], journeys: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amount per journey of each coalition; 0 where no journey lies within it."""
    return np.divide(amount, journeys, out=np.zeros_like(amount), where=journeys > 0)


def rate_shapley(
    offsets: NDArray[np.int64],
    channel: NDArray[np.int32],
    set_of: NDArray[np.int64],
    bucket: NDArray[np.int64],
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    channels: int,
    buckets: int,
    seed: int,
) -> RateShapley:
    """Shapley value of the rate game: exact by subset sums to 20 channels, beyond by antithetic permutations.

    Sets are CSR (offsets, channel); rows carry the set, the bucket and the weights. Channels in no set get 0.
    """
    present = np.unique(channel)
    place = np.full(channels, -1, np.int64)
    place[present] = np.arange(present.size)
    members = place[channel]
    weights = (conversions, nulls, value)
    solve = exact if present.size <= EXACT_CHANNELS else sampled
    part = solve(offsets, members, set_of, bucket, weights, int(present.size), buckets, seed)

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros((*values.shape[:-1], channels))
        out[..., present] = values
        return out

    return RateShapley(
        spread(part.phi),
        spread(part.phi_value),
        spread(part.replicates),
        spread(part.replicates_value),
        spread(part.sampling_error),
        spread(part.sampling_error_value),
        part.permutations,
    )


def exact(
    offsets: NDArray[np.int64],
    members: NDArray[np.int64],
    set_of: NDArray[np.int64],
    bucket: NDArray[np.int64],
    weights: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    players: int,
    buckets: int,
    seed: int,
) -> RateShapley:
    """Subset-sum transform of conversions, journeys and value, then the sum over coalitions."""
    from scipy.special import gammaln

    sizes = np.arange(players)
    by_size = np.exp(gammaln(sizes + 1) + gammaln(players - sizes) - gammaln(players + 1))
    masks = np.add.reduceat(1 << members, offsets[:-1])
    mask = masks[set_of]
    conversions, nulls, value = weights
    replicates = np.empty((2, buckets, players))

    def solve(kept: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        sums = [
            np.bincount(mask[kept], amount[kept], minlength=1 << players).astype(np.float64)
            for amount in (conversions, conversions + nulls, value)
        ]
        for amount in sums:
            subset_sums(amount, players)
        rate, worth = rate_values(sums[0], sums[1]), rate_values(sums[2], sums[1])
        return shapley_of_game(rate, players, by_size), shapley_of_game(worth, players, by_size)

    phi, phi_value = solve(np.ones(mask.size, np.bool_))
    for b in range(buckets):
        replicates[0, b], replicates[1, b] = solve(bucket != b)
    return RateShapley(phi, phi_value, replicates[0], replicates[1], np.zeros(players), np.zeros(players), 0)


@kernel
def prefix_sums(
    offsets: NDArray[np.int64],
    members: NDArray[np.int64],
    set_of: NDArray[np.int64],
    bucket: NDArray[np.int64],
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    rank: NDArray[np.int64],
    sums: NDArray[np.float64],
) -> None:
    """sums[bucket, what, r] += weights of the sets whose last member in the permutation has rank r."""
    sums[:] = 0.0
    last = np.empty(offsets.size - 1, np.int64)
    for t in range(last.size):
        r = np.int64(0)
        for k in range(offsets[t], offsets[t + 1]):
            r = max(r, rank[members[k]])
        last[t] = r
    for i in range(set_of.size):
        r = last[set_of[i]]
        b = bucket[i]
        sums[b, 0, r] += conversions[i]
        sums[b, 1, r] += conversions[i] + nulls[i]
        sums[b, 2, r] += value[i]


def sampled(
    offsets: NDArray[np.int64],
    members: NDArray[np.int64],
    set_of: NDArray[np.int64],
    bucket: NDArray[np.int64],
    weights: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    players: int,
    buckets: int,
    seed: int,
) -> RateShapley:
    """Antithetic permutations (each and its reverse); every replicate uses the same ones."""
    stream = np.random.default_rng(seed)
    sums = np.empty((buckets, 3, players))
    mean = np.zeros((2, buckets + 1, players))
    squares = np.zeros((2, players))
    for _ in range(PERMUTATION_PAIRS):
        forward = stream.permutation(players)
        pair = np.zeros((2, buckets + 1, players))
        for order in (forward, forward[::-1]):
            rank = np.empty(players, np.int64)
            rank[order] = np.arange(players)
            prefix_sums(offsets, members, set_of, bucket, *weights, rank, sums)
            whole = sums.sum(0)
            cumulated = np.cumsum(np.concatenate((whole[None], whole[None] - sums)), axis=2)
            for what, amount in enumerate((cumulated[:, 0], cumulated[:, 2])):
                v = rate_values(amount, cumulated[:, 1])
                pair[what][:, order] += np.diff(v, axis=1, prepend=0.0) / 2
        mean += pair
        squares += pair[:, 0] ** 2
    mean /= PERMUTATION_PAIRS
    variance = np.maximum(squares / PERMUTATION_PAIRS - mean[:, 0] ** 2, 0.0) / (PERMUTATION_PAIRS - 1)
    error = np.sqrt(variance)
    return RateShapley(mean[0, 0], mean[1, 0], mean[0, 1:], mean[1, 1:], error[0], error[1], 2 * PERMUTATION_PAIRS)
