"""Kernels that draw journeys: every user from a stream of numbers of their own."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.simulate.random import GAMMA, beta, exponential, mix, normal, uniform

__all__ = ["CHANNEL_SLOT", "Law", "Walked", "walk"]

# Slots of a journey's stream; touch i takes its channel from slot CHANNEL_SLOT + 2 i and its gap from the next.
TOUCHES_SLOT, OUTCOME_SLOT, VALUE_SLOT, REPEAT_SLOT, START_SLOT = 0, 1, 2, 4, 5
CHANNEL_SLOT, GAP_SLOT = 8, 9
BETA_MARK = np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True, slots=True)
class Law:
    """A recipe as arrays (``k`` channels).

    Attributes
    ----------
    poisson
        float64: cumulative probabilities of 0, 1, 2 ... touches, the last 1.
    cumulative
        float64 (k + 1, k): cumulative probabilities of a touch's channel; row 0 for a touch that nothing steers, row
        1 + c after a touch of channel c.
    steers
        bool (k,): whether the row of a channel differs from row 0.
    strength
        float64 (k,): what a touch adds to the conversion probability.
    pair
        float64 (k, k), symmetric: what joint presence adds; (0, 0) without interactions.
    organic, repeat
        Probabilities.
    half_life
        Of a touch's contribution, microseconds; 0: it does not decay.
    shape_a, shape_b
        Parameters of the beta multiplier; 0: none.
    start, window, gap
        Microseconds: beginning and length of the window of first touches, mean gap.
    aov, sd
        float64 (k,): of normal order values.
    mean_value
        float64 (k,): their mean after cutting at 0.
    idle_value
        Order value of a journey in which no touch acts, where values follow the last that does: the channels' mean.
    """

    poisson: NDArray[np.float64]
    cumulative: NDArray[np.float64]
    steers: NDArray[np.bool_]
    strength: NDArray[np.float64]
    pair: NDArray[np.float64]
    organic: float
    repeat: float
    half_life: float
    shape_a: float
    shape_b: float
    start: int
    window: float
    gap: float
    aov: NDArray[np.float64]
    sd: NDArray[np.float64]
    mean_value: NDArray[np.float64]
    idle_value: float


@dataclass(frozen=True, slots=True)
class Walked:
    """Journeys of consecutive users (``t`` touches, ``j`` journeys).

    Attributes
    ----------
    user, number, time, channel, conversion, value
        (t,): user's number (int64), number of the touch within the user from 1 (int32), microseconds UTC (int64),
        channel (int32), conversion on this touch (int8), order value (float64, NaN where none).
    start
        int64 (j + 1,): touches of journey i are start[i]:start[i + 1].
    owner, factor, key
        (j,): user (int64), beta multiplier (float64), key of the journey's stream (uint64).
    without_touches, clipped_users, clipped_low, values_cut
        Counts: users without a touch; users of a journey whose probability was cut at 1, and at 0; order values cut
        at 0.
    """

    user: NDArray[np.int64]
    number: NDArray[np.int32]
    time: NDArray[np.int64]
    channel: NDArray[np.int32]
    conversion: NDArray[np.int8]
    value: NDArray[np.float64]
    start: NDArray[np.int64]
    owner: NDArray[np.int64]
    factor: NDArray[np.float64]
    key: NDArray[np.uint64]
    without_touches: int
    clipped_users: int
    clipped_low: int
    values_cut: int


def walk(law: Law, key: np.uint64, first: int, users: int) -> Walked:
    """Draw the journeys of the users first, first + 1, ... (numbered from 0; any range gives the same users)."""
    size = np.zeros(6, np.int64)
    arguments = (
        key, first, users, law.poisson, law.cumulative, law.strength, law.pair, law.organic, law.repeat, law.half_life,
        law.shape_a, law.shape_b, law.start, law.window, law.gap, law.aov, law.sd,
    )  # fmt: skip
    if law.repeat > 0:
        # How many touches there are depends on every outcome: walk once without writing.
        walk_users(*arguments, False, *blank(0, 0), size)
    else:
        count_touches(key, first, users, law.poisson, size)
    out = blank(int(size[0]), int(size[1]))
    size[:] = 0
    walk_users(*arguments, True, *out, size)
    return Walked(*out, *(int(count) for count in size[2:]))


def blank(
    touches: int, journeys: int
) -> tuple[
    NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int8], NDArray[np.float64],
    NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.uint64],
]:  # fmt: skip
    """Arrays for `walk_users` to fill, in the order of `Walked`."""
    return (
        np.empty(touches, np.int64), np.empty(touches, np.int32), np.empty(touches, np.int64),
        np.empty(touches, np.int32), np.zeros(touches, np.int8), np.full(touches, np.nan),
        np.zeros(journeys + 1, np.int64), np.empty(journeys, np.int64), np.empty(journeys),
        np.empty(journeys, np.uint64),
    )  # fmt: skip


@kernel
def user_key(key: np.uint64, user: int) -> np.uint64:
    """Key of a user's stream."""
    return mix(key + np.uint64(user + 1) * GAMMA)


@kernel
def journey_key(key: np.uint64, journey: int) -> np.uint64:
    """Key of the stream of a user's journey (from 0)."""
    return mix(key + np.uint64(journey + 1) * GAMMA)


@kernel
def pick(cumulative: NDArray[np.float64], number: float) -> int:
    """Index of the first cumulative probability above a uniform number."""
    low, high = 0, cumulative.size - 1
    while low < high:
        middle = (low + high) // 2
        if number < cumulative[middle]:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def count_touches(
    key: np.uint64, first: int, users: int, poisson: NDArray[np.float64], size: NDArray[np.int64]
) -> None:
    """Touches and journeys of users who take one journey each."""
    for user in range(first, first + users):
        touches = pick(poisson, uniform(journey_key(user_key(key, user), 0), TOUCHES_SLOT))
        size[0] += touches
        size[1] += touches > 0


@kernel
def walk_users(
    key: np.uint64,
    first: int,
    users: int,
    poisson: NDArray[np.float64],
    cumulative: NDArray[np.float64],
    strength: NDArray[np.float64],
    pair: NDArray[np.float64],
    organic: float,
    repeat: float,
    half_life: float,
    shape_a: float,
    shape_b: float,
    begin: int,
    window: float,
    gap: float,
    aov: NDArray[np.float64],
    sd: NDArray[np.float64],
    write: bool,
    out_user: NDArray[np.int64],
    out_number: NDArray[np.int32],
    out_time: NDArray[np.int64],
    out_channel: NDArray[np.int32],
    out_conversion: NDArray[np.int8],
    out_value: NDArray[np.float64],
    out_start: NDArray[np.int64],
    out_owner: NDArray[np.int64],
    out_factor: NDArray[np.float64],
    out_key: NDArray[np.uint64],
    size: NDArray[np.int64],
) -> None:
    """Walk users through their journeys; see `Law` and `Walked`.

    `size` counts touches, journeys, users without touches, users cut at 1, users cut at 0, order values cut at 0.
    """
    channels = np.empty(poisson.size, np.int32)
    times = np.empty(poisson.size, np.int64)
    present = np.zeros(strength.size, np.int8)
    own = np.empty(strength.size, np.int64)
    for user in range(first, first + users):
        stream = user_key(key, user)
        factor = 1.0
        if shape_a > 0.0:
            factor = beta(mix(stream ^ BETA_MARK), shape_a, shape_b) * (shape_a + shape_b) / shape_a
        journey = 0
        taken = 0
        cut_high = False
        cut_low = False
        time = begin
        while True:
            now = journey_key(stream, journey)
            touches = pick(poisson, uniform(now, TOUCHES_SLOT))
            if touches == 0:
                size[2] += journey == 0
                break
            row = 0
            for i in range(touches):
                if i == 0 and journey == 0:
                    time = begin + int(uniform(now, START_SLOT) * window)
                else:
                    # Times are whole microseconds and never tie within a user.
                    time += max(1, int(np.rint(exponential(now, GAP_SLOT + 2 * i) * gap)))
                number = uniform(now, CHANNEL_SLOT + 2 * i)
                channel = 0
                while number >= cumulative[row, channel]:
                    channel += 1
                channels[i] = channel
                times[i] = time
                row = 1 + channel
            chance = 0.0
            for i in range(touches):
                amount = strength[channels[i]]
                if half_life > 0.0:
                    amount *= math.exp(-math.log(2.0) * (time - times[i]) / half_life)
                chance += amount
            if pair.size > 0:
                count = 0
                for i in range(touches):
                    channel = channels[i]
                    if present[channel] == 0:
                        present[channel] = 1
                        for m in range(count):
                            chance += pair[channel, own[m]]
                        own[count] = channel
                        count += 1
                for m in range(count):
                    present[own[m]] = 0
            chance = organic + factor * chance
            cut_high |= chance > 1.0
            cut_low |= chance < 0.0
            converts = uniform(now, OUTCOME_SLOT) < chance
            last = channels[touches - 1]
            value = math.nan
            if converts:
                value = aov[last] + sd[last] * normal(now, VALUE_SLOT)
                if value < 0.0:
                    size[5] += 1
                    value = 0.0
                value = np.rint(value * 100.0) / 100.0
            if write:
                at = size[0]
                for i in range(touches):
                    out_user[at + i] = user + 1
                    out_number[at + i] = taken + i + 1
                    out_time[at + i] = times[i]
                    out_channel[at + i] = channels[i]
                at += touches
                out_conversion[at - 1] = converts
                out_value[at - 1] = value
                out_start[size[1] + 1] = at
                out_owner[size[1]] = user + 1
                out_factor[size[1]] = factor
                out_key[size[1]] = now
            size[0] += touches
            size[1] += 1
            taken += touches
            if not converts or uniform(now, REPEAT_SLOT) >= repeat:
                break
            journey += 1
        size[3] += cut_high
        size[4] += cut_low
