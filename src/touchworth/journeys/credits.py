"""Credit of single journeys: the weights of every model that is a rule for one journey (models.md, sections 2, 4)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel

__all__ = [
    "FIRST",
    "LAST",
    "LAST_OTHER",
    "LINEAR",
    "PARTICIPATION",
    "POSITION",
    "SHAPLEY",
    "TIME_DECAY",
    "JourneyArrays",
    "Weighting",
    "add_credits",
    "journey_weights",
]

FIRST, LAST, LAST_OTHER, LINEAR, POSITION, TIME_DECAY, PARTICIPATION, SHAPLEY = range(8)


@dataclass(frozen=True, slots=True)
class Weighting:
    """A rule that weighs the touches of a journey: its kind and up to two parameters.

    POSITION takes the first and last weight, TIME_DECAY the half-life (microseconds, or touches without times).
    """

    kind: int
    a: float = 0.0
    b: float = 0.0


@dataclass(frozen=True, slots=True)
class JourneyArrays:
    """What the kernels read of journeys: touches as symbols, the channel of each symbol, times, slices.

    Attributes
    ----------
    symbol, time
        int32 and int64 (t,); time is empty where there are no times.
    symbol_channel
        int32 (symbols,).
    start, stop, touches_taken
        int64 (j,).
    channels
        Number of channels.
    direct
        uint8 (channels,): 1 where last_non_direct passes over the channel.
    """

    symbol: NDArray[np.int32]
    time: NDArray[np.int64]
    symbol_channel: NDArray[np.int32]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    touches_taken: NDArray[np.int64]
    channels: int
    direct: NDArray[np.uint8]


@kernel
def weigh(
    kind: int,
    a: float,
    b: float,
    channel: NDArray[np.int64],
    time: NDArray[np.int64],
    begin: int,
    m: int,
    direct: NDArray[np.uint8],
    count: NDArray[np.int64],
    distinct: int,
    weight: NDArray[np.float64],
) -> None:
    """Weights of touches 0..m-1 of one journey; `count` holds how often each channel stands in it."""
    for i in range(m):
        weight[i] = 0.0
    if kind == FIRST:
        weight[0] = 1.0
    elif kind == LAST:
        weight[m - 1] = 1.0
    elif kind == LAST_OTHER:
        i = m - 1
        while i > 0 and direct[channel[i]]:
            i -= 1
        if direct[channel[i]]:
            i = m - 1
        weight[i] = 1.0
    elif kind == LINEAR:
        for i in range(m):
            weight[i] = 1.0 / m
    elif kind == POSITION:
        if m == 1:
            weight[0] = 1.0
        elif m == 2:
            weight[0] = a / (a + b) if a + b > 0 else 0.5
            weight[1] = b / (a + b) if a + b > 0 else 0.5
        else:
            for i in range(1, m - 1):
                weight[i] = (1.0 - a - b) / (m - 2)
            weight[0] = a
            weight[m - 1] = b
    elif kind == TIME_DECAY:
        # Ages are taken from the last touch: the common factor cancels, and nothing underflows to 0 / 0.
        total = 0.0
        for i in range(m):
            age = np.float64(time[begin + m - 1] - time[begin + i]) if time.size else np.float64(m - 1 - i)
            weight[i] = 2.0 ** (-age / a)
            total += weight[i]
        for i in range(m):
            weight[i] /= total
    elif kind == PARTICIPATION:
        for i in range(m):
            weight[i] = 1.0 / count[channel[i]]
    else:
        for i in range(m):
            weight[i] = 1.0 / (distinct * count[channel[i]])


@kernel
def add_credits(
    symbol: NDArray[np.int32],
    time: NDArray[np.int64],
    symbol_channel: NDArray[np.int32],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    touches_taken: NDArray[np.int64],
    direct: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    bucket: NDArray[np.int32],
    conversions: NDArray[np.float64],
    value: NDArray[np.float64],
    kinds: NDArray[np.int64],
    first_parameter: NDArray[np.float64],
    second_parameter: NDArray[np.float64],
    loyal_touches: int,
    first: int,
    last: int,
    credit: NDArray[np.float64],
    credit_value: NDArray[np.float64],
    position: NDArray[np.float64],
    position_value: NDArray[np.float64],
    totals: NDArray[np.float64],
) -> None:
    """Add the credits of journeys first..last-1.

    credit, credit_value: float64 (weightings, segments, channels, buckets); position, position_value: float64
    (channels, longest path) by Shapley weights, empty when not wanted; totals: float64 (2, segments, buckets) of
    conversions and value. Segment 1 holds journeys of more than `loyal_touches` touches.
    """
    channels = direct.size
    count = np.zeros(channels, np.int64)
    longest = 0
    for j in range(first, last):
        longest = max(longest, stop[j] - start[j])
    channel = np.empty(longest, np.int64)
    weight = np.empty(longest)
    for j in range(first, last):
        converted = 0.0
        for e in range(offsets[j], offsets[j + 1]):
            converted += conversions[e]
        if converted == 0.0:
            continue
        begin = start[j]
        m = stop[j] - begin
        segment = 1 if 0 <= loyal_touches < touches_taken[j] else 0
        distinct = 0
        for i in range(m):
            c = np.int64(symbol_channel[symbol[begin + i]])
            channel[i] = c
            if count[c] == 0:
                distinct += 1
            count[c] += 1
        for e in range(offsets[j], offsets[j + 1]):
            totals[0, segment, bucket[e]] += conversions[e]
            totals[1, segment, bucket[e]] += value[e]
        for w in range(kinds.size):
            weigh(
                kinds[w], first_parameter[w], second_parameter[w],
                channel, time, begin, m, direct, count, distinct, weight,
            )  # fmt: skip
            for e in range(offsets[j], offsets[j + 1]):
                if conversions[e] == 0.0:
                    continue
                b = bucket[e]
                for i in range(m):
                    if weight[i] != 0.0:
                        credit[w, segment, channel[i], b] += weight[i] * conversions[e]
                        credit_value[w, segment, channel[i], b] += weight[i] * value[e]
            if kinds[w] == SHAPLEY and position.size:
                worth = 0.0
                for e in range(offsets[j], offsets[j + 1]):
                    worth += value[e]
                for i in range(m):
                    position[channel[i], i] += weight[i] * converted
                    position_value[channel[i], i] += weight[i] * worth
        for i in range(m):
            count[channel[i]] = 0


@kernel
def journey_weights(
    symbol: NDArray[np.int32],
    time: NDArray[np.int64],
    symbol_channel: NDArray[np.int32],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    direct: NDArray[np.uint8],
    chosen: NDArray[np.int64],
    kind: int,
    a: float,
    b: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Credit shares of the chosen journeys by distinct channel: (place in `chosen`, channel, share), in path order."""
    size = 0
    longest = 0
    for j in chosen:
        size += stop[j] - start[j]
        longest = max(longest, stop[j] - start[j])
    place = np.empty(size, np.int64)
    out_channel = np.empty(size, np.int64)
    share = np.empty(size)
    count = np.zeros(direct.size, np.int64)
    sums = np.zeros(direct.size)
    channel = np.empty(longest, np.int64)
    weight = np.empty(longest)
    at = 0
    for p in range(chosen.size):
        j = chosen[p]
        begin = start[j]
        m = stop[j] - begin
        distinct = 0
        for i in range(m):
            c = np.int64(symbol_channel[symbol[begin + i]])
            channel[i] = c
            if count[c] == 0:
                distinct += 1
            count[c] += 1
        weigh(kind, a, b, channel, time, begin, m, direct, count, distinct, weight)
        for i in range(m):
            sums[channel[i]] += weight[i]
        for i in range(m):
            c = channel[i]
            if count[c] > 0:
                place[at] = p
                out_channel[at] = c
                share[at] = sums[c]
                at += 1
                count[c] = 0
                sums[c] = 0.0
    return place[:at].copy(), out_channel[:at].copy(), share[:at].copy()
