"""Changing the touches of journeys: drop, lookback steps and the named path transforms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import RequestError
from touchworth.journeys.rules import Transform
from touchworth.kernels import kernel

__all__ = ["Steps", "Touches", "change_touches", "encode_steps"]

KEEP_LAST, EXPOSURE, FIRST, FREQUENCY, REMOVE, REMOVE_AT_END = range(6)


@dataclass(frozen=True, slots=True)
class Steps:
    """Operations encoded for the kernel: int64 (steps,) operation and its argument (number or channel code)."""

    operation: NDArray[np.int64]
    argument: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Touches:
    """Touches of ``j`` journeys one after another (``t`` in all).

    Attributes
    ----------
    offsets
        int64 (j + 1,).
    channel
        int32 (t,).
    frequency
        int32 (t,): how many touches a merged touch stands for under `frequency`; 0 otherwise.
    time
        int64 (t,): time of the touch (0 where the input has no times).
    """

    offsets: NDArray[np.int64]
    channel: NDArray[np.int32]
    frequency: NDArray[np.int32]
    time: NDArray[np.int64]


def encode_steps(transforms: Sequence[Transform], channels: Sequence[str]) -> Steps:
    """Encode transforms for the kernel; a channel that the data does not have is an error."""
    codes = {name: code for code, name in enumerate(channels)}
    steps: list[tuple[int, int]] = []
    for transform in transforms:
        if transform.channel and transform.channel not in codes:
            known = ", ".join(repr(name) for name in list(channels)[:20])
            raise RequestError(f"{transform} names a channel that does not occur; the channels are {known}")
        match transform.name:
            case "unique":
                continue
            case "exposure":
                steps.append((EXPOSURE, 0))
            case "first":
                steps.append((FIRST, 0))
            case "frequency":
                steps.append((FREQUENCY, 0))
            case "trim_long":
                steps.append((KEEP_LAST, transform.number))
            case "remove_if_not_all":
                steps.append((REMOVE, codes[transform.channel]))
            case "remove_if_last_and_not_all":
                steps.append((REMOVE_AT_END, codes[transform.channel]))
            case other:
                raise AssertionError(other)
    pairs = np.array(steps, np.int64).reshape(-1, 2)
    return Steps(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))


@kernel
def run_steps(
    channel: NDArray[np.int32],
    time: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    operation: NDArray[np.int64],
    argument: NDArray[np.int64],
    channels: int,
    offsets: NDArray[np.int64],
    out_channel: NDArray[np.int32],
    out_frequency: NDArray[np.int32],
    out_time: NDArray[np.int64],
) -> None:
    """Apply the steps to every journey, each in place at the end of what is written so far."""
    at = 0
    has_time = time.size > 0
    place = np.empty(channels, np.int64)
    for j in range(start.size):
        m = stop[j] - start[j]
        for i in range(m):
            out_channel[at + i] = channel[start[j] + i]
            out_time[at + i] = time[start[j] + i] if has_time else 0
            out_frequency[at + i] = 0
        for s in range(operation.size):
            op = operation[s]
            c = argument[s]
            kept = 0
            if op == KEEP_LAST:
                skip = max(0, m - c)
                for i in range(skip, m):
                    out_channel[at + kept] = out_channel[at + i]
                    out_time[at + kept] = out_time[at + i]
                    out_frequency[at + kept] = out_frequency[at + i]
                    kept += 1
            elif op == EXPOSURE:
                for i in range(m):
                    if kept > 0 and out_channel[at + kept - 1] == out_channel[at + i]:
                        # A merged run keeps its last touch's time.
                        out_time[at + kept - 1] = out_time[at + i]
                    else:
                        out_channel[at + kept] = out_channel[at + i]
                        out_time[at + kept] = out_time[at + i]
                        out_frequency[at + kept] = out_frequency[at + i]
                        kept += 1
            elif op == FIRST or op == FREQUENCY:
                for i in range(m):
                    place[out_channel[at + i]] = -1
                for i in range(m):
                    known = place[out_channel[at + i]]
                    count = max(np.int32(1), out_frequency[at + i])
                    if known < 0:
                        place[out_channel[at + i]] = kept
                        out_channel[at + kept] = out_channel[at + i]
                        out_time[at + kept] = out_time[at + i]
                        out_frequency[at + kept] = count if op == FREQUENCY else out_frequency[at + i]
                        kept += 1
                    elif op == FREQUENCY:
                        out_frequency[at + known] += count
                        out_time[at + known] = out_time[at + i]
            else:
                others = 0
                for i in range(m):
                    if out_channel[at + i] != c:
                        others += 1
                if others == 0:
                    kept = m
                elif op == REMOVE:
                    for i in range(m):
                        if out_channel[at + i] != c:
                            out_channel[at + kept] = out_channel[at + i]
                            out_time[at + kept] = out_time[at + i]
                            out_frequency[at + kept] = out_frequency[at + i]
                            kept += 1
                else:
                    kept = m
                    while out_channel[at + kept - 1] == c:
                        kept -= 1
            m = kept
        at += m
        offsets[j + 1] = at


def change_touches(
    channel: NDArray[np.int32],
    time: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    steps: Steps,
    channels: int,
) -> Touches:
    """Touches of the journeys ``start:stop`` after `steps`; `time` is empty where there are no times."""
    size = int((stop - start).sum())
    offsets = np.zeros(start.size + 1, np.int64)
    out_channel = np.empty(size, np.int32)
    frequency = np.empty(size, np.int32)
    out_time = np.empty(size, np.int64)
    run_steps(
        channel, time, start, stop, steps.operation, steps.argument, channels,
        offsets, out_channel, frequency, out_time,
    )  # fmt: skip
    end = int(offsets[-1])
    return Touches(offsets, out_channel[:end], frequency[:end], out_time[:end])
