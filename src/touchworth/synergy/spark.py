"""Wide tables of sessions on Spark: batches become sessions on the workers, families are counted where they lie."""

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, TypeVar

import pyarrow as pa

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
from touchworth.sources.distributed import opened_batch
from touchworth.sources.outcomes import Plan
from touchworth.sources.records import ReadReport, Sessions
from touchworth.sources.rejects import Rejects
from touchworth.sources.sessions import (
    WideTally,
    sessions_of_tables,
    settle_wide,
)
from touchworth.synergy.blocks import SessionBlocks, merge_all
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
    players: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """The function of all sessions of a partition, merged."""
    blocks = (pickle.loads(payload) for batch in batches for payload in batch.column("payload").to_pylist())
    results = (function(keep_players(sessions, players)) for sessions in blocks)
    for first in results:
        yield payloads(0, [(RESULT, reduce(merge, results, first))])


@dataclass(frozen=True, slots=True)
class SparkSessions:
    """Sessions on Spark, in blocks.

    Attributes
    ----------
    frame
        Rows of `REDUCED` with pickled sessions.
    players
        Those to keep.
    names
        Names of the sources, for messages.
    """

    frame: Any
    players: tuple[str, ...]
    names: tuple[str, ...]

    def fold(self, function: Callable[[Sessions], T], merge: Callable[[T, T], T]) -> T:
        """The function of every block, merged on the workers as a tree."""
        task = partial(fold_task, function=function, merge=merge, players=self.players)
        results = map_batches(self.frame.filter(f"part <> {RESULT}"), task, REDUCED)
        with one_sentence(self.names):
            branches = int(self.frame.rdd.getNumPartitions() ** 0.5)
            if branches > 1:
                results = map_batches(results.repartition(branches), partial(merge_task, merge=merge), REDUCED)
            found: T = merge_all((pickle.loads(row.payload) for row in results.toLocalIterator()), merge)
        return found

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
    session = source.sparkSession if is_spark_frame(source) else spark_session(options)
    # After the session, which says in one sentence that there is no such package.
    from pyspark import StorageLevel

    opened = open_on_spark(source, session, "UTC")
    with opened.examples as examples:
        settled = settle_wide(examples, asked, players, where)
        notices = [*examples.notices, *settled.notices(asked["user"])]
    report = settled.report(opened.names, settled.plan)
    recipe = WideRecipe(
        tuple(settled.candidates),
        settled.plan,
        settled.wanted,
        tuple(opened.frame.columns),
        opened.header,
        report,
    )
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
    blocks = SparkSessions(frame, tuple(settled.candidates), opened.names)
    kept, whole = settle_blocks(blocks, settled.candidates, tally, rejects, report, notices)
    return SessionBlocks(SparkSessions(frame, kept, opened.names), kept, whole)
