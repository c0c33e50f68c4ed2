"""The reduction on Spark: rows cleaned batch by batch, parted by user, reduced, added - the code of one machine.

Spark carries rows and results; every rule, also that of a bad row, is the library's own, run by ``mapInArrow`` in
Python workers. Rows go to a partition by the text of their user's id.
"""

import os
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from touchworth.errors import DataError, RequestError
from touchworth.journeys.build import GroupedJourneys, Journeys
from touchworth.journeys.counts import PathCounts, count_paths, merge_paths
from touchworth.journeys.partitioned import (
    Frame,
    NoPaths,
    PartitionedJourneys,
    PathParts,
    grouped_paths,
    partition_journeys,
    paths_of_batch,
)
from touchworth.journeys.rules import Rules
from touchworth.output import TemporaryFolder
from touchworth.sources.distributed import (
    Recipe,
    clean,
    clean_schema,
    finish_report,
    gather_events,
    merge_facts,
    settle,
)
from touchworth.sources.events import Common
from touchworth.sources.memory import parse_size
from touchworth.sources.records import Dimension, Events, ReadReport
from touchworth.sources.tables import Tables, kind_of_frame, open_tables

__all__ = ["SparkPartitions", "is_spark_frame", "read_spark", "spark_session"]

T = TypeVar("T")
EXAMPLES = 2_000
# Rows of one Arrow batch, and rows that a partition of users should hold: under 1 GB of one worker, and few results.
BATCH_ROWS = 200_000
PARTITION_ROWS = 5_000_000
# A task that fails, or whose worker dies, is tried so often; Spark's local mode would give up at once.
ATTEMPTS = 4
SQL_TYPES = {pa.string(): "string", pa.int64(): "bigint", pa.int8(): "tinyint", pa.float64(): "double"}
REDUCED = "place int, part int, payload binary"
# Place of a part in which a result stands rather than paths.
RESULT = -1


def is_spark_frame(source: Any) -> bool:
    """Whether a source is a Spark data frame."""
    return type(source).__module__.startswith("pyspark.sql") and hasattr(source, "mapInArrow")


# --- the session ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SparkOptions:
    """Master (``spark`` or ``spark://host:port``), local threads, memory of the local driver, temporary folder."""

    engine: str
    threads: int
    memory: str | None
    temp: str | Path | None


def spark_session(options: SparkOptions) -> Any:
    """The running session, else one of its own: local for ``spark``, at a master for ``spark://host:port``.

    Raises
    ------
    RequestError
        PySpark or Java is missing, or the session does not start.
    """
    missing = [name for name in ("pyspark", "pandas") if find_spec(name) is None]
    if missing:
        raise RequestError(
            f"--engine spark needs the package {missing[0]}; install it with pip install 'touchworth[spark]'"
        )
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    # The active session is one of the thread; there is one context in the process, whatever thread began it.
    if SparkContext._active_spark_context is not None:
        return SparkSession.builder.getOrCreate()
    local = options.engine == "spark"
    # Workers must run this interpreter: another one may lack the packages, or have another Python.
    os.environ["PYSPARK_PYTHON"] = sys.executable if local else os.environ.get("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    folder = TemporaryFolder(options.temp)
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.local.dir": str(folder.path),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
        "spark.driver.maxResultSize": "0",
    }
    if local:
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        if options.memory is not None:
            settings["spark.driver.memory"] = f"{max(512, parse_size(options.memory) // 2**20)}m"
    master = f"local[{options.threads},{ATTEMPTS}]" if local else options.engine
    builder = SparkSession.builder.master(master).appName("touchworth")
    for name, value in settings.items():
        builder = builder.config(name, value)
    log = folder.path / "spark.log"
    try:
        with standard_error_to(log):
            session = builder.getOrCreate()
    except Exception as error:
        said = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
        folder.close()
        why = said[-1] if said else str(error).splitlines()[0]
        raise RequestError(
            f"--engine {options.engine}: Spark does not start ({why}); it needs Java 17 or newer"
        ) from error
    FOLDERS.append(folder)
    return session


# The folder of a session that was started here lives as long as the process.
FOLDERS: list[TemporaryFolder] = []


@contextmanager
def standard_error_to(path: Path) -> Iterator[None]:
    """What is started meanwhile writes its standard error to a file: the log of Java is not the user's."""
    sys.stderr.flush()
    kept = os.dup(2)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.dup2(handle, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(handle)


Task = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def map_batches(frame: Any, function: Task, schema: str) -> Any:
    """``mapInArrow`` without its warning about pandas, which it asks for and does not use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
        return frame.mapInArrow(function, schema)


@contextmanager
def one_sentence(names: Sequence[str]) -> Iterator[None]:
    """What fails on Spark becomes one sentence, with what the worker said last."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise DataError(f"{', '.join(names)} cannot be read on Spark: {cause_of(error)}") from error


def cause_of(error: Exception) -> str:
    """The sentence of a worker's own error, else the first line that Java says about the innermost cause."""
    raised = re.findall(r"^touchworth\.errors\.\w+: (.+)$", str(error), re.MULTILINE)
    if raised:
        return str(raised[-1])
    inner, said = getattr(error, "java_exception", None), str(error)
    while inner is not None:
        said, inner = str(inner.getMessage() or inner), inner.getCause()
    return next((line.strip() for line in said.splitlines() if line.strip()), type(error).__name__)


# --- tasks, which run on workers ------------------------------------------------------------------


def clean_task(batches: Iterator[pa.RecordBatch], recipe: Recipe) -> Iterator[pa.RecordBatch]:
    """Cleaned rows, and one row with the facts of the task."""
    facts = []
    for batch in batches:
        if not batch.num_rows:
            continue
        rows, told = clean(batch, recipe)
        facts.append(told)
        for cleaned in rows:
            yield cleaned.append_column("facts", pa.nulls(cleaned.num_rows, pa.binary()))
    schema = clean_schema(len(recipe.dimensions))
    blank = [pa.nulls(1, kind) for kind in schema.types]
    payload = pa.array([pickle.dumps(merge_facts(facts))], pa.binary())
    yield pa.RecordBatch.from_arrays([*blank, payload], [*schema.names, "facts"])


def cleaned_columns(dimensions: int) -> str:
    """Columns of `clean_task` for Spark."""
    columns = [f"{column.name} {SQL_TYPES[column.type]}" for column in clean_schema(dimensions)]
    return ", ".join([*columns, "facts binary"])


@dataclass(frozen=True, slots=True)
class Known:
    """What is settled for all partitions; see `PartitionedEvents`."""

    channels: tuple[str, ...]
    by_values: tuple[str, ...]
    ends: tuple[int, ...]
    dimensions: tuple[tuple[str, tuple[str, ...]], ...]
    report: ReadReport

    def events(self, batches: Iterable[pa.RecordBatch]) -> Events | None:
        """The events of cleaned rows; None where there are none."""
        return gather_events(batches, self.channels, self.by_values, self.dimensions, self.report)


def reduce_task(
    batches: Iterator[pa.RecordBatch],
    known: Known,
    frames: Sequence[Frame],
    functions: Sequence[Callable[[Journeys], Any]],
    parts: int,
) -> Iterator[pa.RecordBatch]:
    """For each frame its function of a partition's journeys, and its distinct paths by part (none for 0 parts)."""
    events = known.events(batches)
    if events is None:
        return
    for place, frame in enumerate(frames):
        journeys = frame.cut(events)
        yield payloads(place, [(RESULT, functions[place](journeys))])
        if not parts:
            continue
        paths, ends = grouped_paths(count_paths(journeys), parts)
        some = [part for part in range(parts) if ends[part + 1] > ends[part]]
        yield payloads(place, [(part, paths.slice(int(ends[part]), int(ends[part + 1] - ends[part]))) for part in some])


def journeys_task(batches: Iterator[pa.RecordBatch], known: Known, frame: Frame) -> Iterator[pa.RecordBatch]:
    """The journeys of a partition themselves."""
    events = known.events(batches)
    if events is not None:
        yield payloads(0, [(RESULT, frame.cut(events))])


def paths_task(batches: Iterator[pa.RecordBatch], function: Callable[[PathCounts], Any]) -> Iterator[pa.RecordBatch]:
    """The function of each part of the paths, all of whose rows are here."""
    found: dict[int, list[PathCounts]] = {}
    for batch in batches:
        for part, payload in zip(batch.column("part").to_pylist(), batch.column("payload").to_pylist(), strict=True):
            found.setdefault(part, []).append(paths_of_batch(pickle.loads(payload)))
    for part, paths in found.items():
        yield payloads(0, [(part, function(merge_paths(paths)))])


def merge_task(batches: Iterator[pa.RecordBatch], merge: Callable[[Any, Any], Any]) -> Iterator[pa.RecordBatch]:
    """The results of some partitions, merged for each place."""
    found: dict[int, Any] = {}
    for batch in batches:
        for place, payload in zip(batch.column("place").to_pylist(), batch.column("payload").to_pylist(), strict=True):
            result = pickle.loads(payload)
            found[place] = merge(found[place], result) if place in found else result
    for place, result in found.items():
        yield payloads(place, [(RESULT, result)])


def payloads(place: int, results: Sequence[tuple[int, Any]]) -> pa.RecordBatch:
    """Rows of `REDUCED`."""
    return pa.RecordBatch.from_pydict(
        {
            "place": pa.array([place] * len(results), pa.int32()),
            "part": pa.array([part for part, _ in results], pa.int32()),
            "payload": pa.array([pickle.dumps(result) for _, result in results], pa.binary()),
        }
    )


# --- the driver -----------------------------------------------------------------------------------


@dataclass(slots=True)
class SparkPaths:
    """Distinct paths on Spark."""

    frame: Any
    parts: int
    names: Sequence[str]
    place: int
    open_places: set[int]
    shared: Any

    def map(self, function: Callable[[PathCounts], T]) -> Iterator[T]:
        """The function of every part."""
        rows = map_batches(self.frame.repartition(self.parts, "part"), partial(paths_task, function=function), REDUCED)
        with one_sentence(self.names):
            found = {row.part: pickle.loads(row.payload) for row in rows.collect()}
        yield from (found[part] for part in sorted(found))
        if not found:
            yield function(NO_PATHS)

    def close(self) -> None:
        """Let Spark forget them, once those of all groups are done with."""
        self.open_places.discard(self.place)
        if not self.open_places:
            self.shared.unpersist()


NO_PATHS = PathCounts(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0), np.empty(0), np.empty(0))


@dataclass(slots=True)
class SparkPartitions:
    """Partitions of users on Spark.

    Attributes
    ----------
    rows
        Cleaned rows, a Spark data frame for each table.
    known
        What is settled for all partitions.
    partitions
        Their number.
    """

    rows: Sequence[Any]
    known: Known
    partitions: int

    def fold(
        self,
        frames: Sequence[Frame],
        functions: Sequence[Callable[[Journeys], T]],
        merge: Callable[[T, T], T],
        *,
        paths: bool = True,
    ) -> list[tuple[T, PathParts]]:
        """For each frame its function of all partitions, merged as a tree, and the distinct paths if wanted."""
        from pyspark import StorageLevel

        parts = self.partitions if paths else 0
        task = partial(reduce_task, known=self.known, frames=frames, functions=functions, parts=parts)
        reduced = map_batches(self._by_user(), task, REDUCED)
        if paths:
            reduced = reduced.persist(StorageLevel.DISK_ONLY)
        results = reduced.filter(f"part = {RESULT}")
        # The driver adds the square root of the number of results, the workers the rest.
        branches = int(self.partitions**0.5)
        if branches > 1:
            results = map_batches(results.repartition(branches), partial(merge_task, merge=merge), REDUCED)
        # A partition without rows gives no result; neither may all of them.
        none = gather_nothing(self.known)
        merged = [function(frame.cut(none)) for frame, function in zip(frames, functions, strict=True)]
        with one_sentence(self.known.report.sources):
            for row in results.toLocalIterator():
                merged[row.place] = merge(merged[row.place], pickle.loads(row.payload))
        if not paths:
            return [(result, NoPaths()) for result in merged]
        listed = reduced.filter(f"part <> {RESULT}")
        places, names = set(range(len(frames))), self.known.report.sources
        return [
            (result, SparkPaths(listed.filter(f"place = {place}"), self.partitions, names, place, places, reduced))
            for place, result in enumerate(merged)
        ]

    def journeys(self, frame: Frame) -> Iterator[Journeys]:
        """The journeys of each partition in turn, brought to the driver."""
        found = map_batches(self._by_user(), partial(journeys_task, known=self.known, frame=frame), REDUCED)
        with one_sentence(self.known.report.sources):
            for row in found.toLocalIterator():
                yield pickle.loads(row.payload)

    def close(self) -> None:
        """Let Spark forget what it keeps."""
        for frame in self.rows:
            frame.unpersist()

    def _by_user(self) -> Any:
        rows = reduce(lambda one, other: one.unionAll(other), self.rows)
        return rows.filter("facts IS NULL").drop("facts").repartition(self.partitions, "user")


def gather_nothing(known: Known) -> Events:
    """Events of nobody."""
    roles = known.report.columns
    return Events(
        user=np.empty(0, np.int64),
        time=np.empty(0, np.int64),
        channel=np.empty(0, np.int32),
        converts=np.empty(0, np.uint8),
        value=np.empty(0),
        sequence=np.empty(0) if "sequence" in roles else None,
        cost=np.empty(0) if "cost" in roles else None,
        by=np.empty(0, np.int32) if "by" in roles else None,
        user_ids=pa.array([], pa.string()),
        user_hash=np.empty(0, np.uint64),
        channels=known.channels,
        by_values=known.by_values,
        report=known.report,
        dimensions=tuple(Dimension(column, np.empty(0, np.int32), values) for column, values in known.dimensions),
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A source on Spark: its rows (or lines, with their header), examples as tables, and names for messages."""

    frame: Any
    examples: Tables
    names: tuple[str, ...]
    header: bytes = b""
    files: int = 0


def open_on_spark(source: Any, session: Any, timezone: str) -> Opened:
    """A Spark data frame, or a Parquet or CSV file that Spark reads."""
    if is_spark_frame(source):
        with one_sentence([kind_of_frame(source)]):
            examples = source.limit(EXAMPLES).toArrow()
        return Opened(source, open_tables(examples, timezone=timezone), (kind_of_frame(source),))
    if not isinstance(source, str | os.PathLike) or os.fspath(source) == "-":
        raise RequestError(
            f"--engine spark reads Parquet and CSV files and Spark data frames; the source is {source!r}"
            if isinstance(source, str)
            else f"--engine spark reads files and Spark data frames; the source is a {kind_of_frame(source)}"
        )
    examples = open_tables(os.fspath(source), timezone=timezone)
    places = [str(Path(part.place).resolve()) for part in examples.parts if part.place is not None]
    layouts = [part.layout for part in examples.parts]
    if all(layout is not None for layout in layouts):
        headers = {layout.header for layout in layouts if layout is not None}
        if len(headers) > 1 or any(layout is not None and layout.skip for layout in layouts):
            examples.close()
            raise RequestError(
                f"--engine spark needs CSV files that begin with one and the same header, unlike {source}"
            )
        frame = session.read.text(places)
        return Opened(frame, examples, examples.names, headers.pop(), len(places))
    if not all(place.endswith((".parquet", ".pq")) for place in places):
        examples.close()
        raise RequestError(
            f"--engine spark reads Parquet and CSV files and Spark data frames, not {source}; write it as Parquet"
        )
    examples.close()
    with one_sentence([str(source)]):
        frame = session.read.option("mergeSchema", "true").parquet(*places)
        head = frame.limit(EXAMPLES).toArrow()
    return Opened(frame, open_tables(head, timezone=timezone), examples.names)


def plain_names(frame: Any) -> Any:
    """The frame with columns c0, c1, ...: a dot in a name would mean a field of a structure."""
    return frame.toDF(*(f"c{place}" for place in range(len(frame.columns))))


def read_spark(
    source: Any,
    conversions_source: Any,
    asked: dict[str, str | None],
    asked_of_conversions: dict[str, str | None],
    common: Common,
    rules: Rules,
    delimiter: str,
    options: "SparkOptions",
) -> PartitionedJourneys | GroupedJourneys:
    """Clean the rows of a source on Spark and settle what all partitions share.

    Raises
    ------
    RequestError, DataError
        As `read_events`.
    """
    session = source.sparkSession if is_spark_frame(source) else spark_session(options)
    # After the session, which says in one sentence that there is no such package.
    from pyspark import StorageLevel

    recipes: list[Recipe] = []
    names: list[str] = []
    frames, notices, files = [], [], []
    for one, roles in ((source, asked), (conversions_source, asked_of_conversions)):
        if one is None:
            continue
        opened = open_on_spark(one, session, common.timezone)
        with opened.examples as examples:
            recipe = settle(
                examples,
                roles,
                common,
                columns=tuple(opened.frame.columns),
                conversions_only=bool(recipes),
                header=opened.header,
            )
            names += opened.names
            notices += examples.notices
            files.append(opened.files)
        recipes.append(recipe)
        cleaned = map_batches(
            plain_names(opened.frame), partial(clean_task, recipe=recipe), cleaned_columns(len(recipe.dimensions))
        )
        frames.append(cleaned.persist(StorageLevel.DISK_ONLY))
    facts = []
    with one_sentence(names):
        for frame in frames:
            told = frame.filter("facts IS NOT NULL").select("facts").collect()
            facts.append(merge_facts(pickle.loads(row.facts) for row in told))
    for one, count in zip(facts, files, strict=True):
        if one.headers > count:
            notices.append(f"{one.headers - count:,} lines that repeat the header are left out")
    report = finish_report(tuple(names), recipes, facts, common, notices)
    whole = merge_facts(facts)
    in_bytes = str.encode
    by_values = tuple(sorted(whole.ends, key=in_bytes)) if common.by is not None else ()
    known = Known(
        channels=tuple(sorted(whole.channels, key=in_bytes)),
        by_values=by_values,
        ends=tuple(whole.ends[group] for group in by_values or whole.ends) or (0,),
        dimensions=tuple(
            (column, tuple(sorted(values, key=in_bytes)))
            for column, values in zip(common.dimensions, whole.dimensions, strict=False)
        ),
        report=report,
    )
    partitions = max(session.sparkContext.defaultParallelism, -(-report.rows_read // PARTITION_ROWS))
    # A worker is one of many on its machine: it cuts on one thread.
    return partition_journeys(SparkPartitions(frames, known, int(partitions)), known, rules, 1, delimiter)
