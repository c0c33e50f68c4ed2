"""`read_events` and `read_paths`: from any source to journeys in one call."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from touchworth.errors import RequestError, not_one_of
from touchworth.journeys.build import GroupedJourneys, Journeys, journeys_by_group, journeys_from_events
from touchworth.journeys.build import journeys_from_paths as journeys_of_table
from touchworth.journeys.partitioned import LocalPartitions, PartitionedJourneys, partition_journeys
from touchworth.journeys.rules import make_rules
from touchworth.sources.partitions import PartitionedEvents
from touchworth.sources.small import read_pairs

__all__ = ["read_events", "read_paths"]

Stage = Callable[[str, float], None]
Rows = Callable[[str, int], None]
ENGINES = ("local", "partitions")
# What to do instead of what Spark does not offer.
INSTEAD = {
    "rejects": "it has no lines to name; validate the file, or a part of it, without --engine",
    "deduplicate": "drop duplicates there: frame.dropDuplicates()",
    "table": "name a file, or give a Spark data frame",
    "query": "name a file, or give a Spark data frame",
}
FEWEST_PARTITIONS = 4


def read_events(
    source: Any,
    *,
    user: str | None = None,
    time: str | None = None,
    channel: str | None = None,
    conversion: str | None = None,
    value: str | None = None,
    cost: str | None = None,
    sequence: str | None = None,
    by: str | None = None,
    dimensions: Sequence[str] = (),
    conversions_source: Any = None,
    conversion_user: str | None = None,
    conversion_time: str | None = None,
    conversion_value: str | None = None,
    strip_prefix: str | None = None,
    where: Mapping[str, str] | None = None,
    missing_channel: str | None = None,
    deduplicate: bool = False,
    timezone: str = "UTC",
    date_order: str | None = None,
    max_rejects: float = 0.01,
    rejects: str | Path | None = None,
    force: bool = False,
    table: str | None = None,
    query: str | None = None,
    delimiter: str | None = None,
    lookback: str | timedelta | None = "30d",
    lookback_steps: int | None = None,
    conversion_rule: str = "each",
    open_journeys: str = "null",
    since: str | date | None = None,
    until: str | date | None = None,
    regroup: Mapping[str, str] | str | Path | None = None,
    drop: Iterable[str] = (),
    transforms: Iterable[str] = (),
    threads: int = 2,
    memory: str | None = None,
    temp: str | Path | None = None,
    engine: str = "local",
    progress: Stage | None = None,
    reading: Rows | None = None,
) -> Journeys | PartitionedJourneys | GroupedJourneys:
    """Read an event log (or touches and conversions apart) and cut it into journeys.

    Parameters
    ----------
    source
        A file name or glob (CSV, TSV, semicolon text, also compressed; Parquet; JSON lines; Arrow/Feather), ``-`` for
        standard input, a DuckDB or SQLite file (with `table` or `query`), or a frame: pandas, Polars, PyArrow,
        anything with the Arrow PyCapsule interface.
    user, time, channel, conversion, value, cost, sequence
        Column names; detected from names and contents where not given.
    by
        A column; the analysis is repeated for each of its values.
    dimensions
        Columns whose values become players of games beside the channels, each named ``COLUMN=VALUE``.
    conversions_source, conversion_user, conversion_time, conversion_value, strip_prefix
        Conversions in a table of their own; `strip_prefix` is removed from the ids before joining.
    where
        Column -> value: only these rows are read.
    missing_channel
        Name for rows without a channel; without it they are rejected.
    deduplicate
        Drop exact duplicate rows.
    timezone, date_order
        Zone of times that name none; ``dmy`` or ``mdy`` for dates that could be either.
    max_rejects, rejects, force
        Largest share of rejected rows; a file to write them to; whether it may be replaced.
    lookback
        Longest age of a touch at its conversion (``30d``, ``12h``; None or ``none``: no limit).
    lookback_steps, conversion_rule, open_journeys, since, until, regroup, drop, transforms
        See the guide, "Journeys".
    delimiter
        What joins touches in path texts (default `` > ``).
    threads, memory, temp
        Threads; memory that the run may take (such as ``2GB``; default 70 % of what is free); the folder for temporary
        files.
    engine
        ``local``: rows are held while they fit into `memory`, else written to partitions of complete users on disk,
        which are reduced one after another (`PartitionedJourneys`); ``partitions``: always the latter; ``spark`` or
        ``spark://host:port``: Spark, on this machine or at a master. A Spark data frame is always reduced by Spark.
    progress
        Called as progress(stage, seconds) when a stage ends.
    reading
        Called as reading(name of the part, rows read so far) while the source is read in memory; what it raises ends
        the reading.

    Raises
    ------
    RequestError, DataError
        With one sentence: what was wrong, the value seen, what would be right.
    """
    from touchworth.sources.events import Common, Names, check_dimensions, event_columns, load_events
    from touchworth.sources.rejects import Rejects

    rules = make_rules(
        lookback=lookback,
        lookback_steps=lookback_steps,
        conversion_rule=conversion_rule,
        open_journeys=open_journeys,
        since=since,
        until=until,
        timezone=timezone,
        regroup=None if regroup is None else read_pairs(regroup, "pattern", "channel", "--regroup"),
        drop=drop,
        transforms=transforms,
    )
    on_spark = engine == "spark" or engine.startswith("spark://")
    if engine not in ENGINES and not on_spark:
        raise not_one_of("--engine", engine, (*ENGINES, "spark", "spark://host:port"))
    watch = Watch(progress)
    joint = delimiter or " > "
    if on_spark or type(source).__module__.startswith("pyspark."):
        from touchworth.journeys.spark import SparkOptions, read_spark

        for option, given in (("rejects", rejects), ("deduplicate", deduplicate), ("table", table), ("query", query)):
            if given:
                raise RequestError(f"--{option} is not for Spark; {INSTEAD[option]}")
        apart = conversions_source is not None
        on_workers = read_spark(
            source,
            conversions_source,
            event_columns(user, time, channel, conversion, value, cost, sequence, apart=apart),
            {"user": conversion_user, "time": conversion_time, "value": conversion_value},
            Common(
                names=Names(),
                dimensions=check_dimensions(dimensions),
                rejects=Rejects(),
                where=where or {},
                by=by,
                strip_prefix=strip_prefix,
                missing_channel=missing_channel,
                deduplicate=False,
                timezone=timezone,
                date_order=date_order,
                max_rejects=max_rejects,
                progress=None,
            ),
            rules,
            joint,
            SparkOptions(engine, threads, memory, temp),
        )
        watch.stage("read and encode")
        return on_workers
    events = load_events(
        source,
        user=user,
        time=time,
        channel=channel,
        conversion=conversion,
        value=value,
        cost=cost,
        sequence=sequence,
        by=by,
        dimensions=dimensions,
        conversions_source=conversions_source,
        conversion_user=conversion_user,
        conversion_time=conversion_time,
        conversion_value=conversion_value,
        strip_prefix=strip_prefix,
        where=where,
        missing_channel=missing_channel,
        deduplicate=deduplicate,
        timezone=timezone,
        date_order=date_order,
        max_rejects=max_rejects,
        rejects=rejects,
        force=force,
        table=table,
        query=query,
        threads=threads,
        memory=memory,
        temp=temp,
        progress=reading,
        partitions=FEWEST_PARTITIONS if engine == "partitions" else None,
    )
    watch.stage("read and encode")
    if isinstance(events, PartitionedEvents):
        return partition_journeys(LocalPartitions(events), events, rules, threads, joint)
    cut = journeys_from_events if by is None else journeys_by_group
    journeys = cut(events, rules, threads, joint)
    watch.stage("order and cut")
    return journeys


def read_paths(
    source: Any,
    *,
    path: str | None = None,
    conversions: str | None = None,
    value: str | None = None,
    nulls: str | None = None,
    delimiter: str | None = None,
    duplicates: str = "error",
    where: Mapping[str, str] | None = None,
    max_rejects: float = 0.01,
    rejects: str | Path | None = None,
    force: bool = False,
    table: str | None = None,
    query: str | None = None,
    lookback_steps: int | None = None,
    regroup: Mapping[str, str] | str | Path | None = None,
    drop: Iterable[str] = (),
    transforms: Iterable[str] = (),
    threads: int = 2,
    memory: str | None = None,
    temp: str | Path | None = None,
    progress: Stage | None = None,
    reading: Rows | None = None,
) -> Journeys:
    """Read a path table: one row a path with its conversions, value and nulls.

    Parameters
    ----------
    source, where, max_rejects, rejects, force, table, query, threads, memory, temp, progress, reading
        As in `read_events`.
    path, conversions, value, nulls
        Column names; detected where not given.
    delimiter
        What separates the touches of a path; detected where not given.
    duplicates
        ``error`` refuses a path that stands in two rows; ``sum`` adds them up.
    lookback_steps, regroup, drop, transforms
        See the guide, "Journeys".

    Raises
    ------
    RequestError, DataError
        With one sentence: what was wrong, the value seen, what would be right.
    """
    from touchworth.sources.paths import load_paths

    rules = make_rules(
        lookback=None,
        lookback_steps=lookback_steps,
        regroup=None if regroup is None else read_pairs(regroup, "pattern", "channel", "--regroup"),
        drop=drop,
        transforms=transforms,
    )
    watch = Watch(progress)
    loaded = load_paths(
        source,
        path=path,
        conversions=conversions,
        value=value,
        nulls=nulls,
        delimiter=delimiter,
        duplicates=duplicates,
        where=where,
        max_rejects=max_rejects,
        rejects=rejects,
        force=force,
        table=table,
        query=query,
        threads=threads,
        memory=memory,
        temp=temp,
        progress=reading,
    )
    watch.stage("read and encode")
    journeys = journeys_of_table(loaded, rules)
    watch.stage("journeys")
    return journeys


class Watch:
    """Tells a callback how long each stage took."""

    def __init__(self, progress: Stage | None) -> None:
        self._progress = progress
        self._begun = time.perf_counter()

    def stage(self, name: str) -> None:
        """End the stage that runs."""
        now = time.perf_counter()
        if self._progress is not None:
            self._progress(name, now - self._begun)
        self._begun = now
