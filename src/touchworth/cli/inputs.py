"""From the flags of a command to journeys."""

import os
from typing import TYPE_CHECKING, Any

from touchworth.cli.options import NO_COLUMNS, Common, JourneyInput, SessionColumns
from touchworth.cli.run import Console, describe, let_pandas_in, parse_where
from touchworth.errors import RequestError, not_one_of

if TYPE_CHECKING:
    from touchworth.journeys.build import GroupedJourneys
    from touchworth.journeys.reduction import AnyJourneys

__all__ = ["JOURNEY_SHAPES", "read_journeys", "session_options", "settle_shape", "thread_count"]

EVENTS_ONLY = (
    "user", "time", "channel", "conversion", "cost", "sequence", "conversions_file", "conversion_user",
    "conversion_time", "conversion_value", "strip_prefix", "missing_channel", "date_order", "since", "until", "by",
)  # fmt: skip
ENGINES = ("local", "partitions", "spark")
PATHS_ONLY = ("path", "conversions", "nulls", "delimiter")
JOURNEY_SHAPES = ("events", "touches", "paths")
OUTCOME = ("target", "player", "value", "order_value", "user", "weight")
# Flags that have a meaning for each shape besides those of every input.
MEANINGFUL = {
    "sessions": OUTCOME,
    "long": (*OUTCOME, "session", "feature", "outcomes"),
    "transactions": ("player", "target_item"),
    "game": ("value", "coalition", "coalition_delimiter"),
}
CUTTING = ("regroup", "drop", "lookback_steps", "transform")


def thread_count(common: Common) -> int:
    """Threads asked for, else all cores of this process."""
    if common.threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if common.threads < 1:
        raise RequestError(f"--threads is {common.threads}; it must be 1 or more")
    return common.threads


def check_common(common: Common) -> None:
    """Refuse what no engine does."""
    if common.engine not in ENGINES and not common.engine.startswith("spark://"):
        raise not_one_of("--engine", common.engine, (*ENGINES, "spark://host:port"))
    if common.engine.startswith("spark"):
        let_pandas_in()


def settle_shape(given: JourneyInput, columns: SessionColumns = NO_COLUMNS) -> str:
    """The shape asked for, told by the named columns, or detected."""
    from touchworth.sources.columns import detect_shape

    names = ("path", "conversions", "nulls", "user", "time", "channel")
    own = ("target", "player", "order_value", "weight", "session", "feature", "outcomes", "target_item", "coalition")
    return detect_shape(
        given.source,
        shape=given.shape,
        conversions_source=given.conversions_file,
        table=given.table,
        query=given.query,
        **{name: getattr(given, name) for name in names},
        **{name: getattr(columns, name) for name in own},
    )


def session_options(given: JourneyInput, columns: SessionColumns, common: Common, shape: str) -> dict[str, Any]:
    """Options of the reader of sessions or of a game, without `max_rejects`; flags without a meaning are refused."""
    values = {
        name: getattr(record, name)
        for record, names in (
            (given, (*EVENTS_ONLY, *PATHS_ONLY, *CUTTING, "value")),
            (columns, tuple(columns.__dataclass_fields__)),
        )
        for name in names
    }
    check_common(common)
    for name, value in values.items():
        if value is not None and name not in MEANINGFUL[shape]:
            raise RequestError(
                f"--{name.replace('_', '-')} has no meaning for the shape {shape}; leave it out or give --shape"
            )
    found = {name: values[name] for name in MEANINGFUL[shape] if values[name] is not None}
    for flag, parameter in (("player", "players"), ("coalition_delimiter", "delimiter")):
        if flag in found:
            found[parameter] = found.pop(flag)
    found |= {"rejects": given.rejects, "force": common.force}
    if shape == "transactions":
        for name in ("where", "table", "query"):
            if getattr(given, name):
                raise RequestError(f"--{name} has no meaning for the shape {shape}; leave it out or give --shape")
        return found
    return found | {
        "where": parse_where(given.where), "table": given.table, "query": given.query,
        "threads": thread_count(common), "memory": common.memory, "temp": common.temp,
    }  # fmt: skip


def read_journeys(
    given: JourneyInput, common: Common, console: Console, columns: SessionColumns = NO_COLUMNS
) -> "AnyJourneys | GroupedJourneys":
    """Detect the shape, read the input and cut it into journeys."""
    from touchworth.journeys.read import read_events, read_paths

    check_common(common)
    where = parse_where(given.where)
    shape = settle_shape(given, columns)
    source: Any = given.source
    dimensions = tuple(columns.dimension or ())
    for name in columns.__dataclass_fields__:
        if getattr(columns, name) is not None and (name != "dimension" or shape == "paths"):
            raise RequestError(f"--{name.replace('_', '-')} has no meaning for {shape}; leave it out or give --shape")
    shared: dict[str, Any] = {
        "value": given.value,
        "where": where,
        "max_rejects": given.max_rejects,
        "rejects": given.rejects,
        "force": common.force,
        "table": given.table,
        "query": given.query,
        "lookback_steps": given.lookback_steps,
        "regroup": given.regroup,
        "drop": given.drop or (),
        "transforms": given.transform or (),
        "threads": thread_count(common),
        "memory": common.memory,
        "temp": common.temp,
        "progress": console.stage,
    }
    journeys: AnyJourneys | GroupedJourneys
    if shape == "paths":
        refuse(given, EVENTS_ONLY, "a path table")
        if common.engine != "local":
            raise RequestError(f"--engine {common.engine} has no meaning for a path table, which is reduced already")
        journeys = read_paths(
            source,
            path=given.path,
            conversions=given.conversions,
            nulls=given.nulls,
            delimiter=given.delimiter,
            duplicates=given.duplicates,
            **shared,
        )
    elif shape in ("events", "touches"):
        refuse(given, tuple(name for name in PATHS_ONLY if name != "delimiter"), "an event log")
        journeys = read_events(
            source,
            user=given.user,
            time=given.time,
            channel=given.channel,
            conversion=given.conversion,
            cost=given.cost,
            sequence=given.sequence,
            by=given.by,
            dimensions=dimensions,
            conversions_source=given.conversions_file,
            conversion_user=given.conversion_user,
            conversion_time=given.conversion_time,
            conversion_value=given.conversion_value,
            strip_prefix=given.strip_prefix,
            missing_channel=given.missing_channel,
            deduplicate=given.deduplicate,
            timezone=given.timezone,
            date_order=given.date_order,
            lookback=given.lookback,
            conversion_rule=given.conversion_rule,
            open_journeys=given.open_journeys,
            since=given.since,
            until=given.until,
            delimiter=given.delimiter,
            engine=common.engine,
            **shared,
        )
    else:
        raise RequestError(
            f"the input has the shape {shape}, which has no journeys: touchworth synergy reads it (--shape says else)"
        )
    console.notice(describe(journeys.report))
    return journeys


def refuse(given: JourneyInput, names: tuple[str, ...], what: str) -> None:
    """Refuse options that have no meaning for this kind of input."""
    for name in names:
        if getattr(given, name) is not None:
            raise RequestError(f"--{name.replace('_', '-')} has no meaning for {what}; leave it out or give --shape")
