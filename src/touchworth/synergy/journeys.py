"""Journeys as sessions: each holds the channels (and values of dimensions) that occur in it, whatever their order."""

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError
from touchworth.journeys.build import Journeys
from touchworth.kernels import kernel
from touchworth.sources.records import Sessions

__all__ = ["journey_sessions"]


def journey_sessions(journeys: Journeys) -> Sessions:
    """Journeys as sessions: y is the conversion, order values are kept, errors are by user.

    A row of a path table becomes up to two: its conversions, and its nulls, by their weights.

    Raises
    ------
    DataError
        There are no journeys, or nothing tells converted journeys from others.
    """
    if not len(journeys):
        raise DataError("there are no journeys; nothing can be compared")
    offsets, items = distinct_channels(
        journeys.symbol_channel[journeys.symbol], journeys.start, journeys.stop, len(journeys.channels)
    )
    players = journeys.channels
    if journeys.users is not None:
        return Sessions(
            players=players,
            rows=len(journeys),
            bits=None,
            offsets=offsets,
            items=items,
            converted=(journeys.conversions > 0).astype(np.uint8),
            value=journeys.value if journeys.has_value else None,
            value_is_target=False,
            weight=None,
            user_hash=journeys.users.hash[journeys.users.of_journey],
            report=journeys.report,
        )
    converts, lost = np.flatnonzero(journeys.conversions > 0), np.flatnonzero(journeys.nulls > 0)
    rows = np.concatenate([converts, lost])
    lengths = np.diff(offsets)[rows]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    members = items[np.repeat(offsets[rows] - starts[:-1], lengths) + np.arange(starts[-1])]
    # The value of a path is that of all its conversions; a session's is that of one.
    value = np.concatenate([journeys.value[converts] / journeys.conversions[converts], np.zeros(lost.size)])
    return Sessions(
        players=players,
        rows=rows.size,
        bits=None,
        offsets=starts,
        items=members,
        converted=np.concatenate([np.ones(converts.size, np.uint8), np.zeros(lost.size, np.uint8)]),
        value=value if journeys.has_value else None,
        value_is_target=False,
        weight=np.concatenate([journeys.conversions[converts], journeys.nulls[lost]]),
        user_hash=None,
        report=journeys.report,
    )


@kernel
def distinct_channels(
    channel: NDArray[np.int32], start: NDArray[np.int64], stop: NDArray[np.int64], channels: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Distinct channels of each journey, in order of first appearance, as CSR arrays."""
    seen = np.full(channels, -1, np.int64)
    offsets = np.zeros(start.size + 1, np.int64)
    longest = 0
    for j in range(start.size):
        longest += stop[j] - start[j]
    items = np.empty(longest, np.int32)
    at = 0
    for j in range(start.size):
        for i in range(start[j], stop[j]):
            if seen[channel[i]] != j:
                seen[channel[i]] = j
                items[at] = channel[i]
                at += 1
        offsets[j + 1] = at
    return offsets, items[:at].copy()
