"""From events or a path table to journeys: regroup, order, cut, drop, shorten, transform."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import RequestError
from touchworth.journeys import cut as cutting
from touchworth.journeys.cut import cut_journeys
from touchworth.journeys.deal import name_hashes, path_keys
from touchworth.journeys.order import order_rows
from touchworth.journeys.rules import Rules, Transform
from touchworth.journeys.transform import Steps, change_touches, encode_steps
from touchworth.kernels import kernel
from touchworth.sources.records import Events, PathTable, ReadReport

if TYPE_CHECKING:
    from touchworth.journeys.partitioned import PartitionedJourneys

__all__ = [
    "GroupedJourneys",
    "Journeys",
    "Users",
    "events_of_group",
    "journeys_by_group",
    "journeys_from_events",
    "journeys_from_paths",
    "symbol_keys",
]

# A symbol's key is channel * FREQUENCIES + frequency.
FREQUENCIES = np.int64(2**32)


@dataclass(frozen=True, slots=True)
class Users:
    """Who took the journeys (``u`` users; only those with at least one row count).

    Attributes
    ----------
    ids
        Arrow strings (u,).
    hash
        uint64 (u,): XXH64 of the id.
    present
        bool (u,): whether the user has any row in these data.
    of_journey
        int64 (j,): user of each journey.
    """

    ids: pa.Array
    hash: NDArray[np.uint64]
    present: NDArray[np.bool_]
    of_journey: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Journeys:
    """Journeys of touches with their outcomes (``j`` journeys); what every model reads.

    A touch is a *symbol*: its channel, or channel and frequency after the `frequency` transform.

    Attributes
    ----------
    channels
        Names in byte order; all that were read, also those without a touch in any journey.
    symbols
        Names of the symbols; equal to `channels` without the `frequency` transform.
    symbol_channel
        int32 (symbols,): the channel credited for a symbol.
    symbol
        int32: touches; those of journey i are ``symbol[start[i]:stop[i]]``.
    start, stop
        int64 (j,).
    time
        int64, as `symbol`: microseconds UTC; empty where the input has no times.
    closing_time
        int64 (j,): time of the conversion, or of a null journey's last touch; empty without times.
    first_time
        int64 (j,): time of the first touch before transforms; empty without times.
    touches_taken
        int64 (j,): touches before transforms.
    conversions, nulls, value
        float64 (j,): weights: 1 and 0 for logs, numbers of the row for path tables.
    touches
        float64 (channels,): touches of each channel in all journeys before transforms, weighted.
    touches_read, cost
        float64 (channels,): touches read in the period and their summed cost (None without a cost column).
    users
        Who they belong to; None for path tables.
    row
        int64 (j,): for path tables the input row of the path (0-based); empty for logs.
    path_key
        uint64 (j,): for path tables a random stream's key made from the path as read; empty for logs.
    accounting
        Name -> number for everything that is in no journey, and totals as read.
    rules, report, notices
        How they were made.
    delimiter
        What joins touches in path texts.
    has_value
        Whether the input has values of conversions.
    """

    channels: tuple[str, ...]
    symbols: tuple[str, ...]
    symbol_channel: NDArray[np.int32]
    symbol: NDArray[np.int32]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    time: NDArray[np.int64]
    closing_time: NDArray[np.int64]
    first_time: NDArray[np.int64]
    touches_taken: NDArray[np.int64]
    conversions: NDArray[np.float64]
    nulls: NDArray[np.float64]
    value: NDArray[np.float64]
    touches: NDArray[np.float64]
    touches_read: NDArray[np.float64]
    cost: NDArray[np.float64] | None
    users: Users | None
    row: NDArray[np.int64]
    path_key: NDArray[np.uint64]
    accounting: dict[str, float]
    rules: Rules
    report: ReadReport
    notices: tuple[str, ...] = ()
    delimiter: str = " > "
    has_value: bool = True

    @property
    def has_times(self) -> bool:
        """Whether touches have times."""
        return self.users is not None

    def __len__(self) -> int:
        return self.start.size

    def __repr__(self) -> str:
        journeys = self.conversions.sum() + self.nulls.sum()
        return (
            f"Journeys({journeys:,.0f} journeys, {self.conversions.sum():,.6g} conversions, "
            f"{len(self.channels)} channels)"
        )


@dataclass(frozen=True, slots=True)
class GroupedJourneys:
    """Journeys of each value of one dimension; every analysis is repeated for each."""

    column: str
    groups: "Mapping[str, Journeys | PartitionedJourneys]"
    report: ReadReport = field(repr=False)


def journeys_from_events(
    events: Events,
    rules: Rules,
    threads: int = 1,
    delimiter: str = " > ",
    end: int | None = None,
    symbols: NDArray[np.int64] | None = None,
) -> Journeys:
    """Cut `events` into journeys by `rules` (models.md, section 1).

    For a partition of the users, `end` is the end of all data (microseconds), which decides what is open, and
    `symbols` the keys of all symbols, ascending (see `symbol_keys`); None takes both from `events`.
    """
    channel, channels = regroup_channels(events.channel, events.channels, rules.regroup)
    rows = order_rows(events, channel, threads)
    cut = cut_journeys(rows, events.value, rules, end)
    closed = cut.closing >= 0
    closing_row = np.where(closed, cut.closing, cut.stop - 1)
    value = np.zeros(cut.start.size)
    value[closed] = events.value[rows.row[cut.closing[closed]]]
    in_period = np.ones(events.time.size, np.bool_)
    if rules.since is not None:
        in_period &= events.time >= rules.since
    if rules.until is not None:
        in_period &= events.time <= rules.until
    paid = in_period & (channel >= 0)
    counters, values = cut.counters, cut.values
    present = np.diff(rows.offsets) > 0
    converting = events.converts > 0
    accounting = {
        "users": float(present.sum()),
        "conversions": float(converting.sum() - counters[cutting.CONVERSIONS_OUTSIDE]),
        "value": float(events.value[converting].sum() - values[cutting.VALUE_OUTSIDE]),
        "unattributed_conversions": float(counters[cutting.UNATTRIBUTED]),
        "unattributed_value": float(values[cutting.VALUE_UNATTRIBUTED]),
        "later_conversions": float(counters[cutting.LATER]),
        "later_value": float(values[cutting.VALUE_LATER]),
        "conversions_outside_period": float(counters[cutting.CONVERSIONS_OUTSIDE]),
        "touches_read": float((channel >= 0).sum()),
        "touches_outside_period": float(counters[cutting.TOUCHES_OUTSIDE]),
        "touches_left_out": float(counters[cutting.TOUCHES_LEFT_OUT]),
        "touches_outside_lookback": float(counters[cutting.TOUCHES_BEFORE_LOOKBACK]),
        "open_journeys": float(counters[cutting.OPEN]),
        "touches_in_open_journeys": float(counters[cutting.TOUCHES_IN_OPEN]),
    }
    return finish(
        channels=channels,
        channel=rows.channel,
        time=rows.time,
        start=cut.start,
        stop=cut.stop,
        rules=rules,
        conversions=closed.astype(np.float64),
        nulls=(~closed).astype(np.float64),
        value=value,
        rest={
            "closing_time": rows.time[closing_row],
            "touches_read": np.bincount(channel[paid], minlength=len(channels)).astype(np.float64),
            "cost": None
            if events.cost is None
            else np.bincount(channel[paid], events.cost[paid], minlength=len(channels)),
            "users": Users(events.user_ids, events.user_hash, present, cut.user),
            "row": np.empty(0, np.int64),
            "path_key": np.empty(0, np.uint64),
            "report": events.report,
            "delimiter": delimiter,
            "has_value": "value" in events.report.columns,
        },
        accounting=accounting,
        notices=open_notice(accounting["open_journeys"], float((~closed).sum()), rules),
        known_symbols=symbols,
    )


def journeys_from_paths(table: PathTable, rules: Rules) -> Journeys:
    """Journeys of a path table; of the rules only regroup, drop, steps and transforms apply."""
    channel, channels = regroup_channels(table.channel, table.channels, rules.regroup)
    weight = table.conversions + table.nulls
    accounting = {
        "conversions": float(table.conversions.sum()),
        "value": float(table.value.sum()),
        "touches_read": float((np.diff(table.offsets) * weight).sum()),
    }
    return finish(
        channels=channels,
        channel=channel,
        time=np.empty(0, np.int64),
        start=table.offsets[:-1],
        stop=table.offsets[1:],
        rules=rules,
        conversions=table.conversions,
        nulls=table.nulls,
        value=table.value,
        rest={
            "closing_time": np.empty(0, np.int64),
            "touches_read": None,
            "cost": None,
            "users": None,
            "row": table.row,
            "path_key": path_keys(table.channel, table.offsets, name_hashes(table.channels)),
            "report": table.report,
            "delimiter": table.delimiter,
            "has_value": table.has_value,
        },
        accounting=accounting,
    )


def journeys_by_group(events: Events, rules: Rules, threads: int = 1, delimiter: str = " > ") -> GroupedJourneys:
    """Journeys of each value of the ``by`` column, each from its own rows alone."""
    groups = {
        name: journeys_from_events(events_of_group(events, code), rules, threads, delimiter)
        for code, name in enumerate(events.by_values)
    }
    return GroupedJourneys(events.report.columns["by"], groups, events.report)


def events_of_group(events: Events, group: int) -> Events:
    """The rows of one value of the ``by`` column."""
    if events.by is None:
        raise RequestError("there is no column to repeat the analysis by; name one with --by")
    mine = events.by == group
    return Events(
        user=events.user[mine],
        time=events.time[mine],
        channel=events.channel[mine],
        converts=events.converts[mine],
        value=events.value[mine],
        sequence=None if events.sequence is None else events.sequence[mine],
        cost=None if events.cost is None else events.cost[mine],
        by=None,
        user_ids=events.user_ids,
        user_hash=events.user_hash,
        channels=events.channels,
        by_values=(),
        report=events.report,
    )


def finish(
    *,
    channels: tuple[str, ...],
    channel: NDArray[np.int32],
    time: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    rules: Rules,
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    rest: dict[str, Any],
    accounting: dict[str, float],
    notices: tuple[str, ...] = (),
    known_symbols: NDArray[np.int64] | None = None,
) -> Journeys:
    """Drop, shorten and transform the touches, count them, and assemble the record."""
    weight = conversions + nulls
    before = float(((stop - start) * weight).sum())
    # The order is: drop, lookback_steps, then the transforms as given.
    shortening = [Transform("remove_if_not_all", channel=name) for name in rules.drop]
    if rules.lookback_steps is not None:
        shortening.append(Transform("trim_long", number=rules.lookback_steps))
    if shortening:
        changed = change_touches(channel, time, start, stop, encode_steps(shortening, channels), len(channels))
        channel, start, stop = changed.channel, changed.offsets[:-1], changed.offsets[1:]
        time = changed.time if time.size else time
    accounting["touches_dropped"] = before - float(((stop - start) * weight).sum())
    touches = count_touches(channel, start, stop, weight, len(channels))
    accounting["touches"] = float(touches.sum())
    if rest["touches_read"] is None:
        rest["touches_read"] = touches
    first_time = time[start] if time.size else np.empty(0, np.int64)
    taken = stop - start
    symbols, symbol_channel, symbol = channels, np.arange(len(channels), dtype=np.int32), channel
    steps: Steps = encode_steps(rules.transforms, channels)
    if steps.operation.size:
        changed = change_touches(channel, time, start, stop, steps, len(channels))
        start, stop = changed.offsets[:-1], changed.offsets[1:]
        time = changed.time if time.size else time
        symbol = changed.channel
        if changed.frequency.any() or known_symbols is not None:
            keys = changed.channel * FREQUENCIES + changed.frequency
            known = np.unique(keys) if known_symbols is None else known_symbols
            symbol_channel = (known // FREQUENCIES).astype(np.int32)
            counts = known % FREQUENCIES
            symbols = tuple(f"{channels[c]}({k})" for c, k in zip(symbol_channel, counts, strict=True))
            symbol = np.searchsorted(known, keys).astype(np.int32)
    return Journeys(
        channels=channels,
        symbols=symbols,
        symbol_channel=symbol_channel,
        symbol=symbol,
        start=start,
        stop=stop,
        time=time,
        first_time=first_time,
        touches_taken=taken,
        conversions=conversions,
        nulls=nulls,
        value=value,
        touches=touches,
        accounting=accounting,
        rules=rules,
        notices=notices,
        **rest,
    )


def symbol_keys(journeys: Journeys) -> NDArray[np.int64]:
    """Channel and frequency of each symbol as one number, ascending; empty where symbols are the channels."""
    if journeys.symbols == journeys.channels:
        return np.empty(0, np.int64)
    names = (journeys.channels[c] for c in journeys.symbol_channel)
    frequency = [int(symbol[len(name) + 1 : -1]) for symbol, name in zip(journeys.symbols, names, strict=True)]
    return journeys.symbol_channel * FREQUENCIES + np.array(frequency, np.int64)


@kernel
def count_touches(
    channel: NDArray[np.int32],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    weight: NDArray[np.float64],
    channels: int,
) -> NDArray[np.float64]:
    """Touches of each channel over all journeys, weighted: float64 (channels,)."""
    touches = np.zeros(channels)
    for j in range(start.size):
        for i in range(start[j], stop[j]):
            touches[channel[i]] += weight[j]
    return touches


def regroup_channels(
    channel: NDArray[np.int32], channels: Sequence[str], patterns: Sequence[tuple[str, str]]
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Rename channels by exact name first, then by the first pattern that fits (``*`` and ``?``, case kept)."""
    if not patterns:
        return channel, tuple(channels)
    exact = dict(patterns)

    def name_of(raw: str) -> str:
        if raw in exact:
            return exact[raw]
        return next((new for pattern, new in patterns if fnmatchcase(raw, pattern)), raw)

    renamed = [name_of(raw) for raw in channels]
    if renamed == list(channels):
        raise RequestError(
            f"--regroup changes no channel: none of {[p for p, _ in patterns][:5]} fits {list(channels)[:5]}"
        )
    names = tuple(sorted(set(renamed), key=lambda name: name.encode()))
    place = {name: code for code, name in enumerate(names)}
    # The last entry serves code -1: a conversion without a touch stays one.
    codes = np.array([*(place[name] for name in renamed), -1], np.int32)
    return codes[channel], names


def open_notice(opened: float, nulls: float, rules: Rules) -> tuple[str, ...]:
    """What to tell about null journeys that may still convert."""
    if not opened:
        return ()
    if rules.open_journeys == "exclude":
        return (f"{opened:,.0f} open journeys, which may still convert, are left out",)
    return (
        f"{opened:,.0f} of {nulls:,.0f} null journeys ({opened / nulls:.1%}) are still open: their last touch is "
        "younger than the lookback at the end of the data; they count as null (--open exclude leaves them out)",
    )
