"""Reading long sessions: (session, feature) pairs with outcomes in a table of their own, or beside the pairs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import RequestError, missing_column
from touchworth.sources.columns import sample_of
from touchworth.sources.encode import Interner
from touchworth.sources.events import check_options, note_spreadsheet, notices_of_ids, rounded_ids, select
from touchworth.sources.expressions import filter_columns, filter_sql, text_sql
from touchworth.sources.lists import group_pairs, sessions_of_lists
from touchworth.sources.outcomes import (
    Outcomes,
    Plan,
    check_outcomes,
    join_outcomes,
    judge_outcomes,
    outcome_sql,
    plan_as_numbers,
    settle_plan,
)
from touchworth.sources.records import ReadReport, Sessions
from touchworth.sources.rejects import (
    LEFT_OUT,
    NO_FEATURE,
    NO_SESSION,
    OTHER_OUTCOME,
    SESSION_AGAIN,
    SESSION_UNKNOWN,
    Rejects,
)
from touchworth.sources.tables import Part, Tables, need_column, open_tables

__all__ = ["load_long"]


@dataclass(slots=True)
class Chunk:
    """Encoded rows of one batch: code of the session, of the feature (-1: missing), and the outcome."""

    session: NDArray[np.int32]
    feature: NDArray[np.int32]
    outcome: Outcomes


@dataclass(slots=True)
class Rows:
    """All rows of one table.

    Attributes
    ----------
    session, feature
        int32 (n,): codes; -1 where missing, and for every feature of a table that has none.
    outcome
        Outcomes of all rows; its status says what becomes of them.
    plan
        Columns of the outcome.
    part_rows
        Rows of each part.
    """

    session: NDArray[np.int32]
    feature: NDArray[np.int32]
    outcome: Outcomes
    plan: Plan
    part_rows: list[int]


@dataclass(slots=True)
class Common:
    """What holds for both tables: codes so far, collector, filter, and what they add to the report."""

    rejects: Rejects
    where: Mapping[str, str]
    progress: Callable[[str, int], None] | None
    sessions: Interner = field(default_factory=Interner)
    features: Interner = field(default_factory=Interner)
    filtered: set[str] = field(default_factory=set)
    notices: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    rows_read: int = 0
    left_out: int = 0


def load_long(
    source: Any,
    *,
    session: str,
    feature: str,
    outcomes: Any = None,
    target: str | None = None,
    players: Sequence[str] | None = None,
    value: str | None = None,
    order_value: str | None = None,
    user: str | None = None,
    weight: str | None = None,
    where: Mapping[str, str] | None = None,
    max_rejects: float = 0.01,
    rejects: str | Path | None = None,
    force: bool = False,
    table: str | None = None,
    query: str | None = None,
    threads: int | None = None,
    memory: str | None = None,
    temp: str | Path | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Sessions:
    """Read pairs of session and feature, and the outcomes of the sessions.

    Parameters
    ----------
    source, table, query, where, max_rejects, rejects, force, threads, memory, temp, progress
        As in `load_events`; `where` holds for each table that has the column.
    session, feature
        Columns of the pairs. A pair that stands there twice counts once.
    outcomes
        A table (any source) with the column `session` and those of the outcome, one row a session. Its sessions
        without a pair hold no player; pairs of other sessions are rejected. None: the outcome stands beside the pairs,
        the same in all rows of a session, or there is none.
    target, value, order_value, user, weight
        As in `load_sessions`.
    players
        The only features that are players; None takes all.

    Returns
    -------
    Sessions
        As lists, in the order of the outcomes (or of first appearance); players in order of first appearance.

    Raises
    ------
    RequestError, DataError
        With one sentence; `TooManyRejectsError` when too many rows are rejected.
    """
    check_options(max_rejects, rejects, force)
    for option, name in (("--session", session), ("--feature", feature)):
        if not name:
            raise RequestError(f"{option} is {name!r}; name the column")
    asked = {"target": target, "value": value, "order_value": order_value, "user": user, "weight": weight}
    limits: dict[str, Any] = {"threads": threads, "memory": memory, "temp": temp}
    common = Common(Rejects(rejects, force), where or {}, progress)
    apart = outcomes is not None
    told: Rows | None = None
    if apart:
        with open_tables(outcomes, **limits) as tables:
            told = read_rows(tables, {"session": session}, asked, common, optional=False)
            first = keep_first(told, common.sessions.known)
            settle(tables, told, {"session": session}, common)
    with open_tables(source, table=table, query=query, **limits) as tables:
        lacking = [name for name in common.where if name not in {*common.filtered, *tables.columns}]
        if lacking:
            raise missing_column(lacking[0], tables.columns, "--where")
        names = {"session": session, "feature": feature}
        none = dict.fromkeys(asked, "")
        pairs = read_rows(tables, names, none if apart else asked, common, optional=True)
        if told is None:
            told = pairs
            first = keep_equal(told, common.sessions.known)
        else:
            find_sessions(pairs, told, first, common.sessions.known)
        settle(tables, pairs, names, common)
    rejected = common.rejects
    rejected.judge(common.rows_read, max_rejects)
    report = ReadReport(
        shape="long",
        sources=tuple(common.sources),
        columns=names | told.plan.columns,
        detected=told.plan.detected,
        rows_read=common.rows_read,
        rows_rejected=rejected.total,
        rejected_by_reason=rejected.by_reason(),
        rows_left_out=common.left_out,
    )
    return assemble(pairs, told, first, common, report, players)


def read_rows(
    tables: Tables, names: Mapping[str, str], asked: Mapping[str, str | None], common: Common, *, optional: bool
) -> Rows:
    """Read every part of one table: its sessions, features and outcomes."""
    tables.note_missing_columns()
    mine = {name: value for name, value in common.where.items() if name in tables.columns}
    wanted = filter_columns(tables, mine)
    common.filtered |= set(mine)
    sample = sample_of(tables, wanted)
    roles = {
        role: need_column(tables, name, f"--{role}" + ("" if optional else " in the outcomes"))
        for role, name in names.items()
    }
    if len(set(roles.values())) < len(roles):
        raise RequestError(f"the column {roles['session']!r} is named for both --session and --feature")
    taken = {name: f"--{role}" for role, name in roles.items()}
    plan = settle_plan(tables, sample, asked, taken, optional=optional)
    tables.use([*roles.values(), *plan.columns.values(), *wanted])

    def read_all_parts() -> tuple[list[Chunk], list[int]]:
        chunks: list[Chunk] = []
        part_rows = []
        for part in tables.parts:
            some = read_part(tables, part, roles, plan, wanted, common)
            part_rows.append(sum(chunk.session.size for chunk in some))
            chunks += some
            if common.progress is not None:
                common.progress(part.name, common.rows_read + sum(part_rows))
        return chunks, part_rows

    chunks, part_rows = read_all_parts()
    numbers = plan_as_numbers(tables, plan, [chunk.outcome.status for chunk in chunks], wanted)
    if numbers is not None:
        plan = numbers
        chunks, part_rows = read_all_parts()
    outcome = join_outcomes([chunk.outcome for chunk in chunks], None)
    outcome.status = np.concatenate([np.zeros(0, np.uint8), *(chunk.outcome.status for chunk in chunks)])
    session = np.concatenate([np.zeros(0, np.int32), *(chunk.session for chunk in chunks)])
    feature = np.concatenate([np.zeros(0, np.int32), *(chunk.feature for chunk in chunks)])
    kept = outcome.status != LEFT_OUT
    outcome.status[kept & (session < 0)] = NO_SESSION
    return Rows(session, feature, outcome, plan, part_rows)


def read_part(
    tables: Tables,
    part: Part,
    roles: Mapping[str, str],
    plan: Plan,
    where: Mapping[str, str],
    common: Common,
) -> list[Chunk]:
    """Read and encode the rows of one part."""
    picked = outcome_sql(part, plan)
    for role, name in roles.items():
        if not part.has(name):
            raise RequestError(f"{part.name} has no column {name!r}, which is the {role} of the other files")
        picked[role] = text_sql(part.sql(name), part.type(name))
    left_out = filter_sql(part, where)
    if left_out is not None:
        picked["left_out"] = left_out
    sql = ", ".join(f"{one} AS {role}" for role, one in picked.items())
    chunks: list[Chunk] = []

    def take(batch: pa.RecordBatch) -> None:
        session = common.sessions.codes(batch.column("session"))
        feature = common.features.codes(batch.column("feature")) if "feature" in roles else np.empty(0, np.int32)
        chunks.append(Chunk(session, feature, judge_outcomes(batch, plan)))

    # Which rows are rejected shows only when all are read: where they must be named, lines are counted at once.
    tables.read(
        select(sql),
        part,
        take,
        chunks.clear,
        lambda: None if common.rejects.path is None else sum(chunk.session.size for chunk in chunks),
    )
    return chunks


def first_rows(session: NDArray[np.int32], rows: NDArray[np.int64], known: int) -> NDArray[np.int64]:
    """int64 (known,): the first of `rows` of each session, -1 where it has none."""
    first = np.full(known, -1, np.int64)
    first[session[rows[::-1]]] = rows[::-1]
    return first


def keep_first(told: Rows, known: int) -> NDArray[np.int64]:
    """Keep one outcome a session; returns its row, -1 where the session has none."""
    status = told.outcome.status
    kept = np.flatnonzero(status == 0)
    first = first_rows(told.session, kept, known)
    status[kept[first[told.session[kept]] != kept]] = SESSION_AGAIN
    return first


def keep_equal(told: Rows, known: int) -> NDArray[np.int64]:
    """Reject rows whose outcome is not that of the first row of their session; returns that row."""
    outcome = told.outcome
    kept = np.flatnonzero(outcome.status == 0)
    first = first_rows(told.session, kept, known)
    origin = first[told.session[kept]]
    differs = np.zeros(kept.size, np.bool_)
    for column in (outcome.converted, outcome.value, outcome.weight, outcome.user_hash):
        if column is not None:
            differs |= column[kept] != column[origin]
    outcome.status[kept[differs]] = OTHER_OUTCOME
    if not told.plan.columns:
        # Nothing but the pair: a row without a feature says nothing.
        blank = (outcome.status == 0) & (told.feature < 0)
        outcome.status[blank] = NO_FEATURE
        return first_rows(told.session, np.flatnonzero(outcome.status == 0), known)
    return first


def find_sessions(pairs: Rows, told: Rows, first: NDArray[np.int64], known: int) -> None:
    """Reject pairs without a feature, and those whose session has no outcome; leave out those whose session is."""
    status = pairs.outcome.status
    left = np.zeros(known + 1, np.bool_)
    left[told.session[told.outcome.status == LEFT_OUT]] = True
    has = np.zeros(known + 1, np.bool_)
    has[: first.size] = first >= 0
    open_rows = status == 0
    unknown = open_rows & ~has[pairs.session]
    status[open_rows & (pairs.feature < 0)] = NO_FEATURE
    status[unknown] = SESSION_UNKNOWN
    status[unknown & left[pairs.session]] = LEFT_OUT


def settle(tables: Tables, rows: Rows, names: Mapping[str, str], common: Common) -> None:
    """Collect the rejected rows of every part, and what the table adds to the report."""
    begin = 0
    blamed = dict(names) | rows.plan.blamed()
    for part, count in zip(tables.parts, rows.part_rows, strict=True):
        status = rows.outcome.status[begin : begin + count]
        bad = np.flatnonzero((status > 0) & (status < LEFT_OUT))
        tables.collect_rejects(part, bad, status[bad], blamed, common.rejects)
        read = count + tables.broken(part)
        note_spreadsheet(tables, part, read)
        common.rows_read += read
        common.left_out += int(np.count_nonzero(status == LEFT_OUT))
        begin += count
    common.notices += tables.notices
    common.sources += tables.names


def assemble(
    pairs: Rows,
    told: Rows,
    first: NDArray[np.int64],
    common: Common,
    report: ReadReport,
    players: Sequence[str] | None,
) -> Sessions:
    """Number the sessions by their rows and group the pairs by session."""
    held = np.sort(first[first >= 0])
    number = np.full(common.sessions.known + 1, -1, np.int64)
    number[told.session[held]] = np.arange(held.size)
    chosen = join_outcomes([told.outcome], held)
    check_outcomes(chosen, told.plan, held.size, report.rows_read)
    good = (pairs.outcome.status == 0) & (pairs.feature >= 0)
    offsets, items = group_pairs(number[pairs.session[good]], pairs.feature[good], held.size)
    blank = int(np.count_nonzero((pairs.outcome.status == 0) & (pairs.feature < 0)))
    if blank:
        common.notices.append(f"{blank:,} rows have no feature; their sessions count, without it")
    alone = int(np.count_nonzero(np.diff(offsets) == 0))
    if alone:
        common.notices.append(f"{alone:,} sessions hold no player")
    common.notices += notices_of_ids(rounded_ids(common.sessions.texts()), "session")
    names: list[str] = common.features.texts().to_pylist()
    return sessions_of_lists(
        names, offsets, items, chosen, report, common.notices,
        players=players, value_is_target=told.plan.value_is_target,
    )  # fmt: skip
