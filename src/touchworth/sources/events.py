"""Reading events: touches with their conversions, or touches and conversions apart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from touchworth.errors import RequestError
from touchworth.kernels import kernel
from touchworth.output import check_output, format_of
from touchworth.sources.columns import Roles, conversion_roles, event_roles
from touchworth.sources.encode import Interner, compact, row_keys
from touchworth.sources.expressions import filter_columns, filter_sql, flag_sql, number_sql, row_sql, text_sql
from touchworth.sources.memory import MemoryPlan, free_memory, make_plan, parse_size
from touchworth.sources.partitions import PartitionedDimension, PartitionedEvents, Rows, Spill
from touchworth.sources.records import Dimension, Events, ReadReport
from touchworth.sources.rejects import (
    BAD_COST,
    BAD_SEQUENCE,
    BAD_VALUE,
    DUPLICATE,
    FAR_TIME,
    LEFT_OUT,
    LOW_COST,
    NO_CHANNEL,
    NO_OUTCOME,
    NO_TIME,
    NO_USER,
    NOT_A_FLAG,
    NOT_A_TIME,
    Rejects,
)
from touchworth.sources.tables import Part, Tables, need_column, open_tables, text
from touchworth.sources.times import (
    FAR,
    MISSING,
    TimeForm,
    check_order,
    form_of,
    proves_order_sql,
    settle_order,
    time_sql,
)

__all__ = ["load_events"]

LAST_MICROSECOND = FAR * 10**6
# A spreadsheet holds 2^20 rows, one of them the header.
SPREADSHEET_ROWS = 2**20 - 1
ABSENT = np.empty(0, np.float64)
ABSENT_FLAGS = np.empty(0, np.int8)


@dataclass(slots=True)
class Chunk:
    """Encoded rows of one batch; ``status`` is 0 where the row is kept.

    Only where repeated rows are looked for on disk: ``key`` holds two hashes of each whole row, ``odd`` the oddities
    it counts for, one bit each in the order of `judge_rows`.
    """

    user: NDArray[np.int32]
    time: NDArray[np.int64]
    channel: NDArray[np.int32]
    converts: NDArray[np.uint8]
    value: NDArray[np.float64]
    cost: NDArray[np.float64]
    sequence: NDArray[np.float64]
    by: NDArray[np.int32]
    status: NDArray[np.uint8]
    counts: NDArray[np.int64]
    dimensions: tuple[NDArray[np.int32], ...] = ()
    key: tuple[NDArray[np.uint64], ...] = ()
    odd: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))


@dataclass(slots=True)
class Names:
    """Codes of users, channels, values of the ``by`` column and of dimensions, and whole rows, over all parts."""

    users: Interner = field(default_factory=Interner)
    channels: Interner = field(default_factory=Interner)
    by: Interner = field(default_factory=Interner)
    rows: Interner = field(default_factory=lambda: Interner(trim=False))
    dimensions: tuple[Interner, ...] = ()


@dataclass(slots=True)
class Tally:
    """What became of rows, without the rows.

    Attributes
    ----------
    rows
        Rows read.
    duplicates, left_out
        Of them, repeated ones and those that the filter left out.
    oddities
        int64 (4,): see `judge_rows`.
    bad, codes
        Positions of the rejected rows, and why, batch by batch.
    """

    rows: int = 0
    duplicates: int = 0
    left_out: int = 0
    oddities: NDArray[np.int64] = field(default_factory=lambda: np.zeros(4, np.int64))
    bad: list[NDArray[np.int64]] = field(default_factory=list)
    codes: list[NDArray[np.uint8]] = field(default_factory=list)

    def add(self, chunk: Chunk) -> None:
        """Count the rows of one batch."""
        status = chunk.status
        place = np.flatnonzero((status > 0) & (status < DUPLICATE))
        if place.size:
            self.bad.append(place + self.rows)
            self.codes.append(status[place])
        self.rows += status.size
        self.duplicates += int(np.count_nonzero(status == DUPLICATE))
        self.left_out += int(np.count_nonzero(status == LEFT_OUT))
        self.oddities += chunk.counts

    def rejected(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Positions of the rejected rows and their reasons."""
        return np.concatenate([np.empty(0, np.int64), *self.bad]), np.concatenate([np.empty(0, np.uint8), *self.codes])


class Sink(Protocol):
    """What takes the rows that are kept."""

    def mark(self) -> None:
        """A part begins."""

    def restart(self) -> None:
        """The part is read again: forget its rows."""

    def take(self, chunk: Chunk) -> None:
        """Take the kept rows of one batch."""

    def discard(self) -> None:
        """The reading failed: let go of everything."""


@dataclass(slots=True)
class Held:
    """Holds all rows in memory."""

    chunks: list[Chunk] = field(default_factory=list)
    _begun: int = 0

    def mark(self) -> None:
        """A part begins."""
        self._begun = len(self.chunks)

    def restart(self) -> None:
        """Forget the rows of the part that is read again."""
        del self.chunks[self._begun :]

    def take(self, chunk: Chunk) -> None:
        """Keep the rows of one batch."""
        self.chunks.append(chunk)

    def discard(self) -> None:
        """Let go of the rows."""
        self.chunks.clear()


@dataclass(slots=True)
class Spilled:
    """Writes rows to partitions on disk, one run whenever enough have gathered.

    A run never holds rows of a part that may be read again together with others, so that it can be dropped.
    """

    spill: Spill
    names: Names
    run_rows: int
    chunks: list[Chunk] = field(default_factory=list)
    _begun: int = 0
    _runs: int = 0

    def mark(self) -> None:
        """A part begins."""
        self._begun, self._runs = len(self.chunks), len(self.spill.runs)

    def restart(self) -> None:
        """Forget the rows of the part that is read again."""
        self.spill.drop(self._runs)
        del self.chunks[self._begun :]

    def take(self, chunk: Chunk) -> None:
        """Gather the rows of one batch; write them when there are enough."""
        self.chunks.append(chunk)
        if sum(one.user.size for one in self.chunks) >= self.run_rows:
            self.flush()

    def discard(self) -> None:
        """Remove the files."""
        self.spill.folder.close()

    def flush(self) -> None:
        """Write what has gathered, and begin with new codes of users: their ids are on disk."""
        before, self.chunks = self.chunks[: self._begun], self.chunks[self._begun :]
        self._write(before)
        self._begun, self._runs = 0, len(self.spill.runs)
        self._write(self.chunks)
        self.chunks = []
        self.names.users = Interner()

    def _write(self, chunks: list[Chunk]) -> None:
        if not any(chunk.user.size for chunk in chunks):
            return
        value = joined(chunks, lambda chunk: chunk.value, np.float64)
        optional = {
            "value": value if value.any() else None,
            "cost": filled(chunks, lambda chunk: chunk.cost, 0.0),
            "sequence": filled(chunks, lambda chunk: chunk.sequence, np.inf),
            "by": joined(chunks, lambda chunk: chunk.by, np.int32),
        }
        for place in range(len(chunks[0].key)):
            optional[f"key{place}"] = joined(chunks, lambda chunk, place=place: chunk.key[place], np.uint64)  # type: ignore[misc]
        if chunks[0].key:
            optional["odd"] = joined(chunks, lambda chunk: chunk.odd, np.uint8)
        for place in range(len(self.names.dimensions)):
            optional[f"dimension{place}"] = dimension_of(chunks, place)
        rows = Rows(
            user=joined(chunks, lambda chunk: chunk.user, np.int32),
            time=joined(chunks, lambda chunk: chunk.time, np.int64),
            channel=joined(chunks, lambda chunk: chunk.channel, np.int32),
            converts=joined(chunks, lambda chunk: chunk.converts, np.uint8),
            optional={name: column for name, column in optional.items() if column is not None and column.size},
            ids=self.names.users.texts(),
            hashes=self.names.users.hashes(),
        )
        self.spill.write(rows, tuple(rounded_ids(rows.ids).to_pylist()))


def load_events(
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
    threads: int | None = None,
    memory: str | None = None,
    temp: str | Path | None = None,
    partitions: int | None = 0,
    progress: Callable[[str, int], None] | None = None,
) -> Events | PartitionedEvents:
    """Read touches and conversions of users from any source.

    Parameters
    ----------
    source
        See `touchworth.sources.tables.open_tables`.
    user, time, channel, conversion, value, cost, sequence
        Columns of these roles; None detects one, "" says that there is none.
    by
        A column to repeat the analysis by.
    dimensions
        Columns whose values are players of games beside the channels, each named ``COLUMN=VALUE``.
    conversions_source, conversion_user, conversion_time, conversion_value
        A table of conversions of its own, and its columns. Its rows become rows without a channel.
    strip_prefix
        Taken off user ids that begin with it, before joining.
    where
        Column -> text: rows with other cells are left out.
    missing_channel
        Name for rows without a channel. Without it they are rejected, unless they convert.
    deduplicate
        Drop rows that are equal to an earlier one in all columns.
    timezone, date_order
        Zone of naive times; ``dmy`` or ``mdy`` for slashed dates.
    max_rejects, rejects, force
        Largest share of rows that may be rejected; file that takes them; whether it may be replaced.
    table, query
        For DuckDB and SQLite files.
    threads, memory, temp
        Threads of the scan, the memory that the run may take (such as ``2GB``; default 70 % of what is free), and the
        folder for temporary files.
    partitions
        0 holds all rows in memory; None holds them while they fit into `memory`, else writes them to as many
        partitions on disk as that asks for; a number does the latter, with at least so many partitions.
    progress
        Called as progress(name of the part, rows read so far).

    Returns
    -------
    Events or PartitionedEvents
        Rows in the order read, touches before the rows of `conversions_source`.

    Raises
    ------
    RequestError
        When a column, option or file cannot be used as asked.
    DataError
        When the data cannot be read; `TooManyRejectsError` when too many rows are rejected.
    """
    check_options(max_rejects, rejects, force)
    check_order(date_order)
    wanted = check_dimensions(dimensions)
    collector, names = Rejects(rejects, force), Names(dimensions=tuple(Interner() for _ in wanted))
    limit = parse_size(memory) if memory is not None else free_memory()
    limits: dict[str, Any] = {"timezone": timezone, "threads": threads, "temp": temp, "hold": limit // 8}
    apart = conversions_source is not None
    asked = event_columns(user, time, channel, conversion, value, cost, sequence, apart=apart)
    common = Common(
        names, collector, where or {}, by, strip_prefix, missing_channel, deduplicate, timezone, date_order,
        max_rejects, progress, dimensions=wanted,
    )  # fmt: skip
    with ExitStack() as stack:
        opened = [stack.enter_context(open_tables(source, table=table, query=query, **limits))]
        if apart:
            opened.append(stack.enter_context(open_tables(conversions_source, **limits)))
        plan = make_plan(sum(tables.count_rows() for tables in opened), memory, partitions)
        for tables in opened:
            tables.limit(plan.scan, plan.run_rows if plan.partitions else None)
        sink = sink_of(plan, names, temp)
        common.on_disk = isinstance(sink, Spilled)
        try:
            return read_opened(opened, asked, (conversion_user, conversion_time, conversion_value), common, sink)
        except BaseException:
            sink.discard()
            raise


def event_columns(
    user: str | None,
    time: str | None,
    channel: str | None,
    conversion: str | None,
    value: str | None,
    cost: str | None,
    sequence: str | None,
    *,
    apart: bool,
) -> dict[str, str | None]:
    """Role -> column as asked for, of events with their conversions or `apart` from them."""
    asked = {
        "user": user, "time": time, "channel": channel, "conversion": conversion, "value": value, "cost": cost,
        "sequence": sequence,
    }  # fmt: skip
    # Conversions stand in the other table: a flag or value among the touches counts only when named.
    return asked | {"conversion": conversion or "", "value": value or ""} if apart else asked


def sink_of(plan: MemoryPlan, names: "Names", temp: str | Path | None) -> "Held | Spilled":
    """Where rows go by the plan."""
    return Spilled(Spill(plan.partitions, temp), names, plan.run_rows) if plan.partitions else Held()


def read_opened(
    opened: list[Tables],
    asked: Mapping[str, str | None],
    asked_of_conversions: tuple[str | None, str | None, str | None],
    common: "Common",
    sink: "Held | Spilled",
) -> Events | PartitionedEvents:
    """Read the opened table of events, and that of conversions if there is one, into `sink` and finish it."""
    roles = [event_roles(opened[0], asked)]
    read = [read_table(opened[0], roles[0], common, sink)]
    if len(opened) > 1:
        of_conversions = dict(zip(("user", "time", "value"), asked_of_conversions, strict=True))
        roles.append(conversion_roles(opened[1], of_conversions))
        common.missing_channel, common.conversions_only = None, True
        read.append(read_table(opened[1], roles[1], common, sink))
    if isinstance(sink, Spilled) and common.deduplicate:
        sink.mark()
        sink.flush()
        removed, oddities = sink.spill.leave_out_repeated()
        read[0].duplicates += removed
        read[0].oddities -= oddities
    notices = [notice for tables in opened for notice in tables.notices]
    sources = tuple(name for tables in opened for name in tables.names)
    report = report_of(sources, roles, read, common, notices)
    if isinstance(sink, Held):
        return assemble(sink.chunks, common.names, report, notices, by=common.by, dimensions=common.dimensions)
    return assemble_partitions(sink, report, notices, common.dimensions)


def report_of(
    sources: tuple[str, ...], roles: list[Roles], read: list[Tally], common: "Common", notices: list[str]
) -> ReadReport:
    """Judge the rejects and account for the rows of the events, and of the conversions if they are apart."""
    columns, detected = dict(roles[0].columns), list(roles[0].detected)
    apart = len(roles) > 1
    if apart:
        columns |= {f"conversion_{role}": name for role, name in roles[1].columns.items()}
        detected += [f"conversion_{role}" for role in roles[1].detected]
    elif "conversion" not in columns:
        notices.append("no column says which rows convert: none does; name one with --conversion")
    rows_read = sum(one.rows for one in read)
    common.rejects.judge(rows_read, common.max_rejects)
    counts = sum((one.oddities for one in read), np.zeros(4, np.int64))
    if counts[3]:
        notices.append(f"{counts[3]:,} negative values (refunds) are kept")
    return ReadReport(
        shape="touches" if apart else "events",
        sources=sources,
        columns=columns
        | ({"by": common.by} if common.by else {})
        | {f"dimension {place}": name for place, name in enumerate(common.dimensions, 1)},
        detected=tuple(detected),
        rows_read=rows_read,
        rows_rejected=common.rejects.total,
        rejected_by_reason=common.rejects.by_reason(),
        duplicates_removed=sum(one.duplicates for one in read),
        rows_left_out=sum(one.left_out for one in read),
        blank_flags=int(counts[0]),
        conversions_without_channel=int(counts[1]),
        values_without_conversion=int(counts[2]),
    )


def check_dimensions(dimensions: Sequence[str]) -> tuple[str, ...]:
    """The dimensions asked for, each once."""
    wanted = (dimensions,) if isinstance(dimensions, str) else tuple(dimensions)
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    if twice is not None:
        raise RequestError(f"--dimension {twice!r} is named twice; name each column once")
    return wanted


def check_options(max_rejects: float, rejects: str | Path | None, force: bool) -> None:
    """Refuse impossible options before anything is read."""
    if not 0 <= max_rejects <= 1:
        raise RequestError(f"--max-rejects is {max_rejects!r}; it must be a share from 0 to 1")
    if rejects is not None:
        format_of(rejects)
        check_output(rejects, force=force)


@dataclass(slots=True)
class Common:
    """What holds for every part: codes so far, collector and the caller's options."""

    names: Names
    rejects: Rejects
    where: Mapping[str, str]
    by: str | None
    strip_prefix: str | None
    missing_channel: str | None
    deduplicate: bool
    timezone: str
    date_order: str | None
    max_rejects: float
    progress: Callable[[str, int], None] | None
    conversions_only: bool = False
    dimensions: tuple[str, ...] = ()
    on_disk: bool = False


def read_table(tables: Tables, roles: Roles, common: Common, sink: Sink, clocks: Sequence[str] | None = None) -> Tally:
    """Read every part of one table of events or conversions into `sink`.

    `clocks` is the SQL of the time of each part, where that has been settled on other rows of the same columns.
    """
    tables.note_missing_columns()
    columns, by = roles.columns, common.by
    if common.conversions_only:
        where = {name: value for name, value in common.where.items() if name in tables.columns}
        for name in common.where:
            if name not in tables.columns:
                tables.notices.append(f"the conversions have no column {name!r}; --where leaves none of them out")
        if by is not None:
            by = need_column(tables, by, "--by in the table of conversions")
    else:
        where = filter_columns(tables, common.where)
        by = None if by is None else need_column(tables, by, "--by")
        for name in common.dimensions:
            need_column(tables, name, "--dimension")
    extra = [*common.dimensions, *([by] if by is not None else [])]
    tables.use([*columns.values(), *extra, *where, *(tables.columns if common.deduplicate else ())])
    for part in tables.parts:
        for role in ("user", "time"):
            if not part.has(columns[role]):
                raise RequestError(
                    f"{part.name} has no column {columns[role]!r}, which is the {role} of the other files"
                )
    if clocks is None:
        clocks = time_columns(tables, columns["time"], common)
    found = Tally()
    # Rows are compared with those of their own table.
    common.names.rows = Interner(trim=False)
    seen_rows = 0
    for part, clock in zip(tables.parts, clocks, strict=True):
        mine = [Tally()]
        before = seen_rows
        sink.mark()

        def take(batch: pa.RecordBatch, mine: list[Tally] = mine) -> None:
            nonlocal seen_rows
            chunk, seen_rows = encode_batch(batch, common, seen_rows)
            mine[0].add(chunk)
            sink.take(without_rejected(chunk))

        def restart(mine: list[Tally] = mine, before: int = before) -> None:
            nonlocal seen_rows
            mine[0] = Tally()
            seen_rows = before
            sink.restart()

        def rows_with_lines(mine: list[Tally] = mine) -> int | None:
            return mine[0].rows if common.rejects.path is not None and mine[0].bad else None

        picked = event_sql(tables, part, columns, clock, where, by, common)
        tables.read(select(picked), part, take, restart, rows_with_lines)
        settle_part(tables, part, mine[0], roles, common, found)
        if common.progress is not None:
            common.progress(part.name, found.rows)
    return found


def select(picked: str) -> Callable[[str], str]:
    """The query that picks columns from a relation."""
    return lambda relation: f"SELECT {picked} FROM {relation}"


def named_rows(statuses: list[NDArray[np.uint8]], rejects: Rejects) -> int | None:
    """Number of rows, when some are rejected and must be named by line; else None."""
    if rejects.path is None or not any(bool(((one > 0) & (one < NO_OUTCOME)).any()) for one in statuses):
        return None
    return sum(one.size for one in statuses)


def settle_part(tables: Tables, part: Part, mine: Tally, roles: Roles, common: Common, found: Tally) -> None:
    """Collect a part's rejects and add what became of its rows."""
    rejected, codes = mine.rejected()
    tables.collect_rejects(part, rejected, codes, roles.columns, common.rejects)
    rows = mine.rows + tables.broken(part)
    note_spreadsheet(tables, part, rows)
    found.rows += rows
    found.duplicates += mine.duplicates
    found.left_out += mine.left_out
    found.oddities += mine.oddities


def note_spreadsheet(tables: Tables, part: Part, rows: int) -> None:
    """A notice where a part has as many rows as a spreadsheet can hold."""
    if rows in (SPREADSHEET_ROWS, SPREADSHEET_ROWS + 1):
        tables.notices.append(
            f"{part.name} has exactly {rows:,} rows, as many as a spreadsheet holds: "
            "rows after them were probably cut off"
        )


def without_rejected(chunk: Chunk) -> Chunk:
    """A chunk of the rows that are kept."""
    if not chunk.status.any():
        return chunk
    kept = chunk.status == 0

    def of(array: NDArray[Any]) -> NDArray[Any]:
        return array[kept] if array.size else array

    return Chunk(
        of(chunk.user), of(chunk.time), of(chunk.channel), of(chunk.converts), of(chunk.value), of(chunk.cost),
        of(chunk.sequence), of(chunk.by), np.zeros(0, np.uint8), chunk.counts,
        tuple(of(codes) for codes in chunk.dimensions), tuple(of(key) for key in chunk.key), of(chunk.odd),
    )  # fmt: skip


def time_columns(tables: Tables, column: str, common: Common) -> list[str]:
    """SQL of the time of every part."""
    forms: list[TimeForm] = []
    for part in tables.parts:
        kind = part.type(column)
        at = part.columns.index(column)
        cells = [] if kind.startswith(("TIMESTAMP", "DATE")) else [row[at] for row in tables.sample(part)]
        forms.append(form_of(kind, [cell.strip() for cell in cells if cell is not None and cell.strip()], column))
    order = common.date_order or "dmy"
    open_order = [(part, form) for part, form in zip(tables.parts, forms, strict=True) if form.family == "day_month"]
    if open_order and common.date_order is None:
        proofs = np.zeros(2, np.int64)
        for part, _ in open_order:
            proofs += tables.query(partial(proves_order_sql, part.sql(column)), part)[0]
        order = settle_order(None, int(proofs[0]), int(proofs[1]), column, open_order[0][1].example)
        tables.notices.append(
            f"times such as {open_order[0][1].example!r} are read as {'day/month' if order == 'dmy' else 'month/day'}"
        )
    for form in forms:
        if form.family == "number":
            unit = {1: "seconds", 10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}[form.per_second]
            tables.notices.append(f"times such as {form.example!r} are read as {unit} since 1970")
            break
    return [
        time_sql(part.sql(column), part.type(column), form, order, common.timezone)
        for part, form in zip(tables.parts, forms, strict=True)
    ]


def event_sql(
    tables: Tables,
    part: Part,
    columns: Mapping[str, str],
    clock: str,
    where: Mapping[str, str],
    by: str | None,
    common: Common,
) -> str:
    """SQL of the columns that `encode_batch` reads, each named by its role."""

    def of(role: str, make: Callable[[str, str], str], absent: str) -> str:
        name = columns.get(role)
        return make(part.sql(name), part.type(name)) if name is not None and part.has(name) else absent

    user = of("user", text_sql, "NULL")
    if common.strip_prefix:
        prefix = text(common.strip_prefix)
        user = (
            f"CASE WHEN starts_with({user}, {prefix}) THEN substr({user}, {len(common.strip_prefix) + 1}) "
            f"ELSE {user} END"
        )
    picked = {"user": user, "time": clock}
    if not common.conversions_only:
        picked["channel"] = of("channel", text_sql, "CAST(NULL AS VARCHAR)")
    if "conversion" in columns:
        picked["flag"] = of("conversion", flag_sql, "CAST(2 AS TINYINT)")
    if "value" in columns:
        picked["value"] = of("value", number_sql, "CAST(0 AS DOUBLE)")
    for role, absent in (("cost", "CAST(0 AS DOUBLE)"), ("sequence", "CAST('nan' AS DOUBLE)")):
        if role in columns:
            picked[role] = of(role, lambda name, kind, blank=absent: number_sql(name, kind, blank=blank), absent)  # type: ignore[misc]
    if by is not None:
        cell = text_sql(part.sql(by), part.type(by)) if part.has(by) else "''"
        picked["by"] = f"coalesce(nullif(trim({cell}), ''), '(blank)')"
    for place, name in enumerate(common.dimensions):
        absent = "CAST(NULL AS VARCHAR)"
        picked[f"dimension{place}"] = text_sql(part.sql(name), part.type(name)) if part.has(name) else absent
    left_out = filter_sql(part, where)
    if left_out is not None:
        picked["left_out"] = left_out
    if common.deduplicate:
        picked["whole_row"] = row_sql(part, tables.columns)
    return ", ".join(f"{sql} AS {role}" for role, sql in picked.items())


def encode_batch(batch: pa.RecordBatch, common: Common, seen_rows: int) -> tuple[Chunk, int]:
    """Encode and judge one batch; `seen_rows` distinct whole rows were seen before."""
    names = common.names
    present = set(batch.schema.names)

    def numbers(role: str) -> NDArray[Any]:
        return batch.column(role).to_numpy() if role in present else ABSENT

    n = batch.num_rows
    user = names.users.codes(batch.column("user"))
    channel = names.channels.codes(batch.column("channel")) if "channel" in present else np.full(n, -1, np.int32)
    if common.missing_channel is not None and (channel < 0).any():
        channel[channel < 0] = names.channels.codes(pa.array([common.missing_channel]))[0]
    constant = 1 if common.conversions_only else 0
    flag = batch.column("flag").to_numpy() if "flag" in present else frozen(np.full(n, constant, np.int8))
    value = numbers("value") if "value" in present else frozen(np.zeros(n))
    left_out = batch.column("left_out").to_numpy() if "left_out" in present else ABSENT_FLAGS
    status, converts, kept_value, counts = judge_rows(
        user, batch.column("time").to_numpy(), channel, flag, value,
        frozen(numbers("cost")), frozen(numbers("sequence")), frozen(left_out), common.conversions_only,
    )  # fmt: skip
    key: tuple[NDArray[np.uint64], ...] = ()
    odd = np.empty(0, np.uint8)
    if "whole_row" in present:
        whole_row = batch.column("whole_row")
        # On disk equal rows meet in their user's partition: only rejected ones, which are few, are looked at here.
        looked_at = np.flatnonzero((status > 0) & (status < DUPLICATE)) if common.on_disk else np.arange(n)
        rows = names.rows.codes(whole_row.take(pa.array(looked_at)) if common.on_disk else whole_row)
        # Codes are given in order of appearance: a row is new exactly where its code beats all before it.
        highest = np.maximum.accumulate(np.append(np.int32(seen_rows - 1), rows))
        repeated = np.zeros(n, np.bool_)
        repeated[looked_at] = rows <= highest[:-1]
        repeated &= status != LEFT_OUT
        # Counts of oddities speak of rows that are kept: count again without the repeated ones.
        counts = counts - count_oddities(repeated & (status == 0), flag, channel, value, common.conversions_only)
        status[repeated] = DUPLICATE
        seen_rows = int(highest[-1]) + 1
        if common.on_disk:
            key, odd = row_keys(whole_row), odd_rows(flag, channel, value, common.conversions_only)
    by = names.by.codes(batch.column("by")) if "by" in present else np.empty(0, np.int32)
    chunk = Chunk(
        user, batch.column("time").to_numpy(), channel, converts, kept_value, numbers("cost"), numbers("sequence"), by,
        status, counts,
        tuple(one.codes(batch.column(f"dimension{place}")) for place, one in enumerate(names.dimensions)), key, odd,
    )  # fmt: skip
    return chunk, seen_rows


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array as read-only, as those of Arrow are: one compiled signature."""
    array = array.view()
    array.flags.writeable = False
    return array


def count_oddities(
    rows: NDArray[np.bool_], flag: NDArray[np.int8], channel: NDArray[np.int32], value: NDArray[np.float64], apart: bool
) -> NDArray[np.int64]:
    """Blank flags, conversions without channel, ignored values and negative values among some rows."""
    odd = odd_rows(flag[rows], channel[rows], value[rows], apart)
    return np.array([np.count_nonzero(odd & (1 << bit)) for bit in range(4)], np.int64)


def odd_rows(
    flag: NDArray[np.int8], channel: NDArray[np.int32], value: NDArray[np.float64], apart: bool
) -> NDArray[np.uint8]:
    """Oddities of each row, one bit each: blank flag, conversion without channel, ignored value, negative value."""
    converts = flag == 1
    odd = np.zeros(flag.size, np.uint8)
    odd[flag == 2] |= 1
    if not apart:
        odd[converts & (channel < 0)] |= 2
    odd[~converts & (value != 0)] |= 4
    odd[converts & (value < 0)] |= 8
    return odd


@kernel
def judge_rows(
    user: NDArray[np.int32],
    time: NDArray[np.int64],
    channel: NDArray[np.int32],
    flag: NDArray[np.int8],
    value: NDArray[np.float64],
    cost: NDArray[np.float64],
    sequence: NDArray[np.float64],
    left_out: NDArray[np.int8],
    apart: bool,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]:
    """What becomes of each row: status, whether it converts, its value, and counts of the oddities kept.

    The first reason found decides, in the order user, time, conversion, channel, value, cost, sequence.
    """
    n = user.size
    status = np.zeros(n, np.uint8)
    converts = np.zeros(n, np.uint8)
    kept = np.zeros(n, np.float64)
    counts = np.zeros(4, np.int64)
    for i in range(n):
        t = time[i]
        f = flag[i]
        v = value[i]
        if left_out.size and left_out[i]:
            status[i] = LEFT_OUT
        elif user[i] < 0:
            status[i] = NO_USER
        elif t == MISSING:
            status[i] = NO_TIME
        elif t == MISSING + 1:
            status[i] = NOT_A_TIME
        elif t < 0 or t >= LAST_MICROSECOND:
            status[i] = FAR_TIME
        elif f == 3:
            status[i] = NOT_A_FLAG
        elif channel[i] < 0 and f != 1:
            status[i] = NO_CHANNEL
        elif not np.isfinite(v):
            status[i] = BAD_VALUE
        elif cost.size and not np.isfinite(cost[i]):
            status[i] = BAD_COST
        elif cost.size and cost[i] < 0:
            status[i] = LOW_COST
        elif sequence.size and not np.isfinite(sequence[i]):
            status[i] = BAD_SEQUENCE
        elif f == 1:
            converts[i] = 1
            kept[i] = v
            if channel[i] < 0 and not apart:
                counts[1] += 1
            if v < 0:
                counts[3] += 1
        else:
            if f == 2:
                counts[0] += 1
            if v != 0:
                counts[2] += 1
    return status, converts, kept, counts


def assemble(
    chunks: list[Chunk],
    names: Names,
    report: ReadReport,
    notices: list[str],
    *,
    by: str | None,
    dimensions: Sequence[str] = (),
) -> Events:
    """Join the chunks, number users by first appearance and channels by the bytes of their names."""
    user = joined(chunks, lambda chunk: chunk.user, np.int32)
    user_ids, user_hash = names.users.texts(), names.users.hashes()
    # Without a rejected, repeated or left out row every code that was given occurs, in order of appearance.
    if report.rows_rejected or report.duplicates_removed or report.rows_left_out:
        user, old = compact(user, names.users.known)
        user_ids, user_hash = user_ids.take(pa.array(old)), user_hash[old]
    channel, channels = by_bytes(joined(chunks, lambda chunk: chunk.channel, np.int32), names.channels)
    groups: NDArray[np.int32] | None = None
    by_values: tuple[str, ...] = ()
    if by is not None:
        groups, by_values = by_bytes(joined(chunks, lambda chunk: chunk.by, np.int32), names.by)
    notices += notices_of_ids(rounded_ids(user_ids))
    return Events(
        user=user.astype(np.int64),
        time=joined(chunks, lambda chunk: chunk.time, np.int64),
        channel=channel,
        converts=joined(chunks, lambda chunk: chunk.converts, np.uint8),
        value=joined(chunks, lambda chunk: chunk.value, np.float64),
        sequence=filled(chunks, lambda chunk: chunk.sequence, np.inf),
        cost=filled(chunks, lambda chunk: chunk.cost, 0.0),
        by=groups,
        user_ids=user_ids,
        user_hash=user_hash,
        channels=channels,
        by_values=by_values,
        report=with_notices(report, notices),
        dimensions=tuple(
            Dimension(column, *by_bytes(dimension_of(chunks, place), names.dimensions[place]))
            for place, column in enumerate(dimensions)
        ),
    )


def dimension_of(chunks: Iterable[Chunk], place: int) -> NDArray[np.int32]:
    """Codes of one dimension in all chunks."""
    return joined(chunks, lambda chunk: chunk.dimensions[place], np.int32)


def assemble_partitions(
    sink: Spilled, report: ReadReport, notices: list[str], dimensions: Sequence[str] = ()
) -> PartitionedEvents:
    """Write what is left and settle what holds for all partitions: codes of channels and groups, ends, notices."""
    sink.mark()
    sink.flush()
    names, runs = sink.names, sink.spill.runs
    occurs = np.zeros(names.channels.known, np.bool_)
    ends: dict[int, int] = {}
    rounded: dict[str, None] = {}
    for run in runs:
        occurs[: run.channels.size] |= run.channels
        ends |= {code: max(end, ends.get(code, end)) for code, end in run.ends.items()}
        rounded |= dict.fromkeys(run.rounded)
    new_codes, channels = order_by_bytes(occurs, names.channels)
    new_by, by_values = np.zeros(1, np.int32), tuple[str, ...]()
    if "by" in report.columns:
        grouped = np.zeros(names.by.known, np.bool_)
        grouped[list(ends)] = True
        new_by, by_values = order_by_bytes(grouped, names.by)
        ends = {int(new_by[code]): end for code, end in ends.items()}
    further = []
    for place, column in enumerate(dimensions):
        met = np.zeros(names.dimensions[place].known, np.bool_)
        for run in runs:
            met[: run.dimensions[place].size] |= run.dimensions[place]
        further.append(PartitionedDimension(column, *order_by_bytes(met, names.dimensions[place])))
    notices += notices_of_ids(pa.array(list(rounded), pa.string()))
    return PartitionedEvents(
        spill=sink.spill,
        new_codes=new_codes,
        new_by=new_by,
        channels=channels,
        by_values=by_values,
        ends=tuple(ends[group] for group in sorted(ends)) or (0,),
        report=with_notices(report, notices),
        dimensions=tuple(further),
    )


def joined(chunks: Iterable[Chunk], pick: Callable[[Chunk], NDArray[Any]], dtype: Any) -> NDArray[Any]:
    """A column of all chunks."""
    found = [pick(chunk) for chunk in chunks]
    return np.concatenate(found).astype(dtype, copy=False) if found else np.empty(0, dtype)


def filled(
    chunks: Iterable[Chunk], pick: Callable[[Chunk], NDArray[np.float64]], absent: float
) -> NDArray[np.float64] | None:
    """A column that only some tables have, `absent` in the others; None where none has it."""
    chunks = list(chunks)
    if not any(pick(chunk).size for chunk in chunks):
        return None
    return np.concatenate([pick(c) if pick(c).size else np.full(c.user.size, absent) for c in chunks])


def by_bytes(codes: NDArray[np.int32], names: Interner) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Codes renumbered in the order of the UTF-8 bytes of their names, and the names that occur."""
    occurs = np.zeros(names.known + 1, bool)
    occurs[codes] = True  # -1 marks the last place, which stands for no name
    new, found = order_by_bytes(occurs[:-1], names)
    return new[codes], found


def order_by_bytes(occurs: NDArray[np.bool_], names: Interner) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """New code of each code that occurs, in the order of the UTF-8 bytes of the names (the last place is -1)."""
    texts = names.texts().to_pylist()
    used = sorted(np.flatnonzero(occurs).tolist(), key=lambda code: texts[code].encode())
    new = np.full(names.known + 1, -1, np.int32)
    new[used] = np.arange(len(used), dtype=np.int32)
    return new, tuple(texts[code] for code in used)


def with_notices(report: ReadReport, notices: list[str]) -> ReadReport:
    """The report with its notices, each once."""
    from dataclasses import replace

    return replace(report, notices=tuple(dict.fromkeys(notices)))


def rounded_ids(user_ids: pa.Array) -> pa.Array:
    """The ids that a spreadsheet has rounded to a few digits."""
    suspects = user_ids.filter(pc.match_substring(user_ids, "E+"))
    return suspects.filter(pc.match_substring_regex(suspects, r"^\d(\.\d+)?E\+\d+$"))


def notices_of_ids(rounded: pa.Array, kind: str = "user") -> list[str]:
    """A notice when a spreadsheet has rounded ids to a few digits."""
    if len(rounded) == 0:
        return []
    return [
        f"{len(rounded):,} {kind} ids such as {rounded[0].as_py()!r} were rounded by a spreadsheet: different {kind}s "
        "have become one; export the ids as text"
    ]
