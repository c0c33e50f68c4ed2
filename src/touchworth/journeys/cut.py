"""Cutting each user's rows into journeys (models.md, section 1, rules 2 to 5)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.journeys.order import OrderedRows
from touchworth.journeys.rules import Rules
from touchworth.kernels import kernel

__all__ = ["Cut", "cut_journeys"]

EVER = 2**62

# Places of the counters that the kernel fills.
(
    JOURNEYS,
    UNATTRIBUTED,
    LATER,
    CONVERSIONS_OUTSIDE,
    TOUCHES_OUTSIDE,
    TOUCHES_LEFT_OUT,
    TOUCHES_BEFORE_LOOKBACK,
    OPEN,
    TOUCHES_IN_OPEN,
    COUNTERS,
) = range(10)
# Places of the value sums.
VALUE_UNATTRIBUTED, VALUE_LATER, VALUE_OUTSIDE, VALUES = range(4)


@dataclass(frozen=True, slots=True)
class Cut:
    """Journeys as slices of ordered rows (``j`` journeys), and what became of everything else.

    Attributes
    ----------
    start, stop
        int64 (j,): touches of the journey are ``rows[start:stop]``.
    closing
        int64 (j,): position of the converting row; -1 for a null journey.
    user
        int64 (j,): user code.
    counters, values
        int64 and float64 sums over the rows that no journey took, by the constants of this module.
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    closing: NDArray[np.int64]
    user: NDArray[np.int64]
    counters: NDArray[np.int64]
    values: NDArray[np.float64]


@kernel
def emit_nulls(
    time: NDArray[np.int64],
    a: int,
    b: int,
    user: int,
    lookback: int,
    since: int,
    until: int,
    end: int,
    exclude_open: bool,
    before_lookback: bool,
    fill: bool,
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    closing: NDArray[np.int64],
    users: NDArray[np.int64],
    counters: NDArray[np.int64],
) -> None:
    """Null journeys of the touches a..b-1: split where the gap exceeds the lookback, chosen by the last touch."""
    i = a
    while i < b:
        j = i + 1
        while j < b and time[j] - time[j - 1] <= lookback:
            j += 1
        final = time[j - 1]
        is_open = lookback < EVER and end - final < lookback
        if final < since or final > until:
            counters[TOUCHES_OUTSIDE] += j - i
        else:
            if before_lookback:
                counters[TOUCHES_BEFORE_LOOKBACK] += j - i
            if is_open:
                counters[OPEN] += 1
            if is_open and exclude_open:
                counters[TOUCHES_IN_OPEN] += j - i
            else:
                k = counters[JOURNEYS]
                if fill:
                    start[k] = i
                    stop[k] = j
                    closing[k] = -1
                    users[k] = user
                counters[JOURNEYS] = k + 1
        i = j


@kernel
def cut_users(
    offsets: NDArray[np.int64],
    time: NDArray[np.int64],
    channel: NDArray[np.int32],
    converts: NDArray[np.uint8],
    row: NDArray[np.int64],
    value: NDArray[np.float64],
    lookback: int,
    first_only: bool,
    exclude_open: bool,
    since: int,
    until: int,
    end: int,
    fill: bool,
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    closing: NDArray[np.int64],
    users: NDArray[np.int64],
    counters: NDArray[np.int64],
    values: NDArray[np.float64],
) -> None:
    """Walk every user's rows once; with `fill` the journeys are written, without they are counted."""
    for u in range(offsets.size - 1):
        a = offsets[u]
        b = offsets[u + 1]
        begin = a
        i = a
        while i < b:
            if not converts[i]:
                i += 1
                continue
            at = time[i]
            worth = value[row[i]]
            inside = since <= at <= until
            touch_stop = i + 1 if channel[i] >= 0 else i
            recent = begin
            while recent < touch_stop and at - time[recent] > lookback:
                recent += 1
            emit_nulls(
                time, begin, recent, u, lookback, since, until, end, exclude_open, True,
                fill, start, stop, closing, users, counters,
            )  # fmt: skip
            if not inside:
                counters[CONVERSIONS_OUTSIDE] += 1
                counters[TOUCHES_OUTSIDE] += touch_stop - recent
                values[VALUE_OUTSIDE] += worth
            elif recent == touch_stop:
                counters[UNATTRIBUTED] += 1
                values[VALUE_UNATTRIBUTED] += worth
            else:
                k = counters[JOURNEYS]
                if fill:
                    start[k] = recent
                    stop[k] = touch_stop
                    closing[k] = i
                    users[k] = u
                counters[JOURNEYS] = k + 1
            i += 1
            begin = i
            if first_only:
                while i < b:
                    if channel[i] >= 0:
                        counters[TOUCHES_LEFT_OUT] += 1
                    if converts[i]:
                        if since <= time[i] <= until:
                            counters[LATER] += 1
                            values[VALUE_LATER] += value[row[i]]
                        else:
                            counters[CONVERSIONS_OUTSIDE] += 1
                            values[VALUE_OUTSIDE] += value[row[i]]
                    i += 1
                begin = b
        emit_nulls(
            time, begin, b, u, lookback, since, until, end, exclude_open, False,
            fill, start, stop, closing, users, counters,
        )  # fmt: skip


def cut_journeys(rows: OrderedRows, value: NDArray[np.float64], rules: Rules, end: int | None = None) -> Cut:
    """Cut ordered rows into journeys by `rules`; `value` is indexed by ``rows.row``.

    `end` is the end of the data where the rows are a part of them. Every conversion and every touch ends up in a
    journey or in one of the counters.
    """
    latest = int(rows.time.max(initial=0))
    limits = (
        EVER if rules.lookback is None else rules.lookback,
        rules.conversion_rule == "first",
        rules.open_journeys == "exclude",
        -EVER if rules.since is None else rules.since,
        EVER if rules.until is None else rules.until,
        latest if end is None else end,
    )

    def run(size: int, fill: bool) -> Cut:
        cut = Cut(
            start=np.empty(size, np.int64),
            stop=np.empty(size, np.int64),
            closing=np.empty(size, np.int64),
            user=np.empty(size, np.int64),
            counters=np.zeros(COUNTERS, np.int64),
            values=np.zeros(VALUES),
        )
        cut_users(
            rows.offsets, rows.time, rows.channel, rows.converts, rows.row, value, *limits, fill,
            cut.start, cut.stop, cut.closing, cut.user, cut.counters, cut.values,
        )  # fmt: skip
        return cut

    # The number of journeys is not known before; counting first costs one more pass and no memory.
    return run(int(run(0, False).counters[JOURNEYS]), True)
