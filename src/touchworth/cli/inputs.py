"""From the flags of a command to journeys."""

import os
from typing import TYPE_CHECKING, Any

from touchworth.cli.options import Common, JourneyInput
from touchworth.cli.run import Console, describe, parse_where
from touchworth.errors import RequestError, not_one_of

if TYPE_CHECKING:
    from touchworth.journeys.build import GroupedJourneys
    from touchworth.journeys.reduction import AnyJourneys

__all__ = ["read_journeys", "thread_count"]

EVENTS_ONLY = (
    "user", "time", "channel", "conversion", "cost", "sequence", "conversions_file", "conversion_user",
    "conversion_time", "conversion_value", "strip_prefix", "missing_channel", "date_order", "since", "until", "by",
)  # fmt: skip
ENGINES = ("local", "partitions", "spark")
PATHS_ONLY = ("path", "conversions", "nulls", "delimiter")


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


def read_journeys(given: JourneyInput, common: Common, console: Console) -> "AnyJourneys | GroupedJourneys":
    """Detect the shape, read the input and cut it into journeys."""
    from touchworth.journeys.read import read_events, read_paths
    from touchworth.sources.columns import detect_shape

    check_common(common)
    where = parse_where(given.where)
    shape = given.shape
    if shape is None and given.conversions_file is not None:
        shape = "touches"
    if shape is None and any(getattr(given, name) is not None for name in ("path", "conversions", "nulls")):
        shape = "paths"
    if shape is None and any(getattr(given, name) is not None for name in ("user", "time", "channel")):
        shape = "events"
    source: Any = given.source
    if shape is None:
        shape = detect_shape(source, table=given.table, query=given.query)
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
        raise not_one_of("--shape", shape, ("events", "touches", "paths"))
    console.notice(describe(journeys.report))
    return journeys


def refuse(given: JourneyInput, names: tuple[str, ...], what: str) -> None:
    """Refuse options that have no meaning for this kind of input."""
    for name in names:
        if getattr(given, name) is not None:
            raise RequestError(f"--{name.replace('_', '-')} has no meaning for {what}; leave it out or give --shape")
