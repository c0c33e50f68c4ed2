"""Wide tables of sessions on Spark: batches become sessions on the workers, families are counted where they lie."""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa

from touchworth.errors import DataError
from touchworth.journeys.spark import (
    REDUCED,
    RESULT,
    SparkOptions,
    is_spark_frame,
    map_batches,
    merge_task,
    one_sentence,
    open_on_spark,
    payloads,
    plain_names,
    spark_session,
)
from touchworth.sources.columns import sample_of
from touchworth.sources.distributed import opened_batch
from touchworth.sources.expressions import filter_columns
from touchworth.sources.outcomes import Plan
from touchworth.sources.records import ReadReport, Sessions
from touchworth.sources.rejects import Rejects
from touchworth.sources.sessions import (
    WideTally,
    left_out_notice,
    sessions_of_tables,
    settle_wide,
    user_notice,
)
from touchworth.synergy.blocks import SessionBlocks
from touchworth.synergy.select import keep_players
from touchworth.synergy.wide import settle_blocks

__all__ = ["SparkSessions", "read_sessions_on_spark"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WideRecipe:
    """How batches of a wide table become sessions; see `touchworth.sources.distributed.Recipe`."""

    players: tuple[str, ...]
    plan: Plan
    where: Mapping[str, str]
    columns: tuple[str, ...]
    header: bytes
    report: ReadReport


def sessions_task(batches: Iterator[pa.RecordBatch], recipe: WideRecipe) -> Iterator[pa.RecordBatch]:
    """The sessions of each batch (part 0), and one row with the tally and the repeated headers (`RESULT`)."""
    tally, headers = WideTally(), 0
    for batch in batches:
        if not batch.num_rows:
            continue
        with opened_batch(batch, recipe.columns, recipe.header, "UTC") as (tables, repeated):
            headers += repeated
            if tables is None:
                continue
            found, told = sessions_of_tables(tables, recipe.players, recipe.plan, recipe.where, recipe.report)
        tally += told
        yield payloads(0, [(0, sessions) for sessions in found])
    yield payloads(0, [(RESULT, (tally, headers))])


def fold_task(
    batches: Iterator[pa.RecordBatch],
    function: Callable[[Sessions], Any],
    merge: Callable[[Any, Any], Any],
    players: Sequence[str] | None,
) -> Iterator[pa.RecordBatch]:
    """The function of all sessions of a partition, merged."""
    found: list[Any] = []
    for batch in batches:
        for payload in batch.column("payload").to_pylist():
            sessions = pickle.loads(payload)
            result = function(sessions if players is None else keep_players(sessions, players))
            found = [merge(found[0], result)] if found else [result]
    if found:
        yield payloads(0, [(RESULT, found[0])])


@dataclass(frozen=True, slots=True)
class SparkSessions:
    """Sessions on Spark, in blocks.

    Attributes
    ----------
    frame
        Rows of `REDUCED` with pickled sessions.
    players
        Those to keep; None for all.
    names
        Names of the sources, for messages.
    """

    frame: Any
    players: tuple[str, ...] | None
    names: tuple[str, ...]

    def fold(self, function: Callable[[Sessions], T], merge: Callable[[T, T], T]) -> T:
        """The function of every block, merged on the workers as a tree."""
        task = partial(fold_task, function=function, merge=merge, players=self.players)
        results = map_batches(self.frame.filter(f"part <> {RESULT}"), task, REDUCED)
        with one_sentence(self.names):
            branches = int(self.frame.rdd.getNumPartitions() ** 0.5)
            if branches > 1:
                results = map_batches(results.repartition(branches), partial(merge_task, merge=merge), REDUCED)
            found: list[T] = []
            for row in results.toLocalIterator():
                result = pickle.loads(row.payload)
                found = [merge(found[0], result)] if found else [result]
        if not found:
            raise DataError("there are no sessions; nothing can be compared")
        return found[0]

    def close(self) -> None:
        """Let Spark forget them."""
        self.frame.unpersist()


def read_sessions_on_spark(
    source: Any,
    asked: Mapping[str, str | None],
    players: Sequence[str] | None,
    where: Mapping[str, str] | None,
    max_rejects: float,
    options: SparkOptions,
) -> SessionBlocks:
    """Read a wide table of sessions on Spark; columns are settled on its first rows.

    Raises
    ------
    RequestError, DataError
        As `read_sessions`.
    """
    from pyspark import StorageLevel

    session = source.sparkSession if is_spark_frame(source) else spark_session(options)
    opened = open_on_spark(source, session, "UTC")
    left: dict[str, str] = {}
    with opened.examples as examples:
        wanted = filter_columns(examples, where)
        sample = sample_of(examples, wanted)
        named, candidates, plan = settle_wide(examples, sample, asked, players, left)
        notices = [*examples.notices, *([left_out_notice(left)] if left else [])]
        if not asked["user"]:
            notices += user_notice(sample, left)
    report = ReadReport(
        shape="sessions",
        sources=opened.names,
        columns=dict(plan.columns),
        detected=plan.detected if named else (*plan.detected, "players"),
    )
    recipe = WideRecipe(tuple(candidates), plan, wanted, tuple(opened.frame.columns), opened.header, report)
    task = partial(sessions_task, recipe=recipe)
    frame = map_batches(plain_names(opened.frame), task, REDUCED).persist(StorageLevel.DISK_ONLY)
    tally, headers = WideTally(), 0
    with one_sentence(opened.names):
        for row in frame.filter(f"part = {RESULT}").collect():
            told, repeated = pickle.loads(row.payload)
            tally, headers = tally + told, headers + repeated
    rejects = Rejects()
    for code, rows in tally.rejected.items():
        rejects.count(code, rows)
    rejects.judge(tally.rows, max_rejects)
    if headers > opened.files:
        notices.append(f"{headers - opened.files:,} lines that repeat the header are left out")
    blocks = SparkSessions(frame, None, opened.names)
    kept, whole = settle_blocks(blocks, candidates, tally, rejects, report, notices)
    return SessionBlocks(SparkSessions(frame, kept, opened.names), kept, whole)
