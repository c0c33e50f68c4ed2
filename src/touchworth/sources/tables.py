"""Opening any source as tables in DuckDB, one part a file, columns named ``c0, c1, ...`` inside.

Names of columns never enter the queries: a header may hold quotes, blanks or two spellings of one name.
DuckDB works with what is built into it; no extension is ever fetched.
"""

import csv
import glob
import gzip
import io
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError, missing_column, not_one_of
from touchworth.output import TemporaryFolder
from touchworth.sources.lines import Records, cells_of, copy_sound, records_of_csv, records_of_lines
from touchworth.sources.rejects import NOT_JSON, REASONS, Reject, Rejects

__all__ = ["Part", "Tables", "find_files", "need_column", "open_tables", "text"]

DELIMITERS = (",", ";", "\t", "|")
# The most that is looked at to find the header, the delimiter and examples of each column.
HEAD = 1 << 20
BATCH_ROWS = 1_000_000
# Bytes of a stream that are held rather than written to a temporary file.
HOLD = 2**30
# How much larger a compressed log is taken to be when it is unpacked.
PACKED = 8
EXTENSIONS = {
    ".csv": "text", ".tsv": "text", ".tab": "text", ".txt": "text", ".parquet": "parquet", ".pq": "parquet",
    ".json": "json", ".jsonl": "json", ".ndjson": "json", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".duckdb": "duckdb", ".ddb": "duckdb", ".sqlite": "sqlite", ".sqlite3": "sqlite",
}  # fmt: skip
KINDS = {
    "text": "text", "json": "JSON", "parquet": "a Parquet file", "arrow": "an Arrow file",
    "duckdb": "a DuckDB database", "sqlite": "an SQLite database",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How a CSV file is laid out: delimiter, lines before the header, byte and line after it, its text."""

    delimiter: str
    skip: int
    first: int
    first_line: int
    header: bytes


@dataclass(slots=True)
class Part:
    """One file, table or frame of a source.

    Attributes
    ----------
    name
        File name, or the kind of frame.
    relation
        SQL that stands after FROM; its columns are ``c0, c1, ...``.
    columns, types
        Names as the source has them; DuckDB's type of each.
    place
        The file, or None.
    layout
        Layout of a CSV file, else None.
    records
        Records of a text file, once they were looked at.
    used
        Columns that are read, by position: elsewhere broken text does no harm.
    is_copy, alone
        Whether a CSV file is read from a copy without its broken records, and on one thread.
    head
        First rows of a CSV file.
    """

    name: str
    relation: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    place: Path | None = None
    layout: CsvLayout | None = None
    records: Records | None = None
    used: set[int] = field(default_factory=set)
    is_copy: bool = False
    alone: bool = False
    head: tuple[tuple[str, ...], ...] = ()

    def has(self, name: str) -> bool:
        """Whether the part has a column."""
        return name in self.columns

    def sql(self, name: str) -> str:
        """SQL name of a column."""
        return f"c{self.columns.index(name)}"

    def type(self, name: str) -> str:
        """DuckDB's type of a column."""
        return self.types[self.columns.index(name)]


class BrokenTextError(Exception):
    """DuckDB cannot read a text file as it is; it is read again without its broken records."""


class Tables:
    """Parts of one source and the DuckDB connection that reads them; a context manager.

    Attributes
    ----------
    parts
        The parts in order.
    notices
        Plain sentences about what was found.
    """

    def __init__(self, timezone: str, threads: int | None, memory: str | None, temp: str | Path | None) -> None:
        self._folder = TemporaryFolder(temp)
        self.folder = self._folder.path
        self.parts: list[Part] = []
        self.notices: list[str] = []
        self.frames = 0
        self.batch_rows = BATCH_ROWS
        self.con = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
        try:
            self._set("TimeZone", timezone, "--timezone", "a zone such as UTC or Europe/Berlin")
            self.con.execute(f"SET temp_directory={text(str(self.folder))}")
            # Queries of more than two seconds would draw a bar on standard output, in the midst of a table in a pipe.
            self.con.execute("SET enable_progress_bar=false")
            if threads is not None:
                self._set("threads", threads, "--threads", "a whole number from 1")
            if memory is not None:
                self._set("memory_limit", memory, "--memory", "a size such as 2GB")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Tables":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and remove every temporary file."""
        self.con.close()
        self._folder.close()

    def _set(self, name: str, value: object, option: str, right: str) -> None:
        try:
            self.con.execute(f"SET {name}={text(str(value))}")
        except duckdb.Error as error:
            raise RequestError(f"{option} is {str(value)!r}; it must be {right}") from error

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all parts' columns, each once, in order of first appearance."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.columns))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts."""
        return tuple(part.name for part in self.parts)

    def limit(self, memory: int, batch_rows: int | None = None) -> None:
        """Bound the memory (bytes) of DuckDB, and the rows of a batch."""
        self._set("memory_limit", f"{memory}B", "--memory", "a size such as 2GB")
        self.batch_rows = min(batch_rows or BATCH_ROWS, BATCH_ROWS)

    def count_rows(self) -> int:
        """Number of rows, estimated where only reading a file would tell."""
        return sum(self._count_rows(part) for part in self.parts)

    def _count_rows(self, part: Part) -> int:
        if part.records is not None:
            return int(part.records.line.size)
        if part.layout is None:
            try:
                return int(self.con.sql(f"SELECT count(*) FROM {part.relation}").fetchall()[0][0])
            except duckdb.Error as error:
                raise DataError(f"{part.name} cannot be read: {first_line(error)}") from error
        place = cast(Path, part.place)
        cells = sum(sum(map(len, row)) + len(row) for row in part.head)
        size = place.stat().st_size * (1 if compression(place) is None else PACKED)
        return int(size / (cells / len(part.head))) if cells else 0

    def note_missing_columns(self) -> None:
        """Say which files lack columns that others have."""
        for part in self.parts:
            lacking = [name for name in self.columns if not part.has(name)]
            if lacking:
                self.notices.append(
                    f"{part.name} has no column {', '.join(map(repr, lacking))}; its rows are read as blank there"
                )

    def use(self, columns: Iterable[str]) -> None:
        """Say which columns will be read, before any part is."""
        wanted = set(columns)
        for part in self.parts:
            part.used |= {i for i, name in enumerate(part.columns) if name in wanted}

    def sample(self, part: Part, rows: int = 2000) -> list[tuple[str | None, ...]]:
        """The first rows of a part as texts."""
        if part.head:
            return list(part.head[:rows])
        if part.layout is not None:
            return []
        found = self.query(lambda relation: f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM {relation} LIMIT {rows}", part)
        return [tuple(row) for row in found]

    def query(self, sql: Callable[[str], str], part: Part) -> list[tuple[Any, ...]]:
        """All rows of a small query ``sql(relation)`` on a part."""
        found: list[pa.RecordBatch] = []
        self.read(sql, part, found.append, found.clear)
        return [row for batch in found for row in zip(*(one.to_pylist() for one in batch.columns), strict=True)]

    def read(
        self,
        sql: Callable[[str], str],
        part: Part,
        take: Callable[[pa.RecordBatch], None],
        restart: Callable[[], None],
        rows_with_lines: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Run ``sql(relation)`` on a part and hand each batch to `take`, in the order of the part's rows.

        A CSV file that DuckDB refuses is read again from a copy without its broken records, then on one thread;
        `restart` is called before, and what `take` saw until then is void. The same happens when
        `rows_with_lines` gives the number of rows taken (it does when their lines will be asked for) and the
        file's records are not these rows, one for one.
        """
        while True:
            try:
                for batch in self._stream(sql(part.relation), part):
                    take(batch)
                rows = rows_with_lines()
                if rows is None or part.layout is None or part.is_copy:
                    return
                records = self.records(part)
                if records.line.size == rows and not records.flaw.any():
                    return
            except BrokenTextError:
                pass
            restart()
            self.set_broken_aside(part)

    def _stream(self, sql: str, part: Part) -> Iterator[pa.RecordBatch]:
        """Batches of a query on a part; what goes wrong becomes one sentence."""
        try:
            # DuckDB refuses a query while a result is open, and a reader stays open until it is closed.
            with self.con.sql(sql).to_arrow_reader(self.batch_rows) as reader:
                yield from reader
        except duckdb.InterruptException as error:
            raise KeyboardInterrupt from error
        # What breaks in the middle of a stream comes through Arrow, some of it as an error of the system.
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            about_text = isinstance(error, duckdb.InvalidInputException) or "CSV" in str(error)
            if part.layout is not None and not part.alone and about_text:
                raise BrokenTextError from error
            raise DataError(f"{part.name} cannot be read: {first_line(error)}") from error

    def set_broken_aside(self, part: Part) -> None:
        """Read a CSV part from a copy without its broken records from now on; the second time, on one thread."""
        layout = cast(CsvLayout, part.layout)
        copy = self.folder / f"sound-{self.parts.index(part)}.csv"
        part.alone = part.is_copy
        if not part.is_copy:
            header = layout.delimiter.join(f"c{i}" for i in range(len(part.columns))).encode()
            copy_sound(self.records(part), header, copy)
            part.is_copy = True
        part.relation = csv_relation(copy, layout.delimiter, len(part.columns), 0, None, parallel=not part.alone)

    def records(self, part: Part) -> Records:
        """Records of a text part, scanned at the first call."""
        if part.records is None:
            layout, place = cast(CsvLayout, part.layout), cast(Path, part.place)
            used = np.zeros(len(part.columns), np.uint8)
            used[sorted(part.used)] = 1
            part.records = records_of_csv(self.plain(place), layout.first, layout.first_line, layout.delimiter, used)
        return part.records

    def plain(self, place: Path) -> Path:
        """The file itself, or an uncompressed copy of it."""
        if compression(place) is None:
            return place
        copy = self.folder / f"plain-{abs(hash(str(place)))}"
        if not copy.exists():
            with open_bytes(place) as packed, copy.open("wb") as out:
                read_all(place, lambda: shutil.copyfileobj(packed, out, 1 << 20))
        return copy

    def broken(self, part: Part) -> int:
        """Number of records that could not be read as rows."""
        if part.layout is not None and not part.is_copy:
            return 0
        return 0 if part.records is None else int(np.count_nonzero(part.records.flaw))

    def collect_rejects(
        self,
        part: Part,
        rows: NDArray[np.int64],
        codes: NDArray[np.uint8],
        role_columns: dict[str, str],
        rejects: Rejects,
        blamed: Sequence[str] = (),
    ) -> None:
        """Count a part's rejected rows and its broken records, and keep them for the file if one is asked for.

        `rows` are 0-based positions among the rows that were read, `codes` their reasons; `blamed` names a column
        for each row where the role of the reason does not tell ("" where it does).
        """
        for code, count in zip(*np.unique(codes, return_counts=True), strict=True):
            rejects.count(int(code), int(count))
        if self.broken(part):
            flaws = cast(Records, part.records).flaw
            for code, count in zip(*np.unique(flaws[flaws > 0], return_counts=True), strict=True):
                rejects.count(int(code), int(count))
        if rejects.path is None or (rows.size == 0 and not self.broken(part)):
            return
        if part.layout is not None or part.records is not None:
            rejects.add(self.rejected_records(part, rows, codes, role_columns, blamed))
        else:
            rejects.add(self.rejected_rows(part, rows, codes, role_columns, blamed))

    def rejected_records(
        self,
        part: Part,
        rows: NDArray[np.int64],
        codes: NDArray[np.uint8],
        role_columns: dict[str, str],
        blamed: Sequence[str] = (),
    ) -> Iterator[Reject]:
        """Rejected rows and broken records of a text part, by line."""
        records = self.records(part)
        read = np.arange(records.line.size) if part.layout and not part.is_copy else np.flatnonzero(records.flaw == 0)
        why = np.zeros(records.line.size, np.uint8)
        if part.layout is None or part.is_copy:
            why[:] = records.flaw
        why[read[rows]] = codes
        named = dict(zip(read[rows].tolist(), blamed, strict=True)) if blamed else {}
        for index in np.flatnonzero(why).tolist():
            reason = REASONS[int(why[index])]
            raw = records.raw(index)
            column = named.get(index) or role_columns.get(reason.role or "", "")
            if reason.role is None and 0 <= records.cell[index] < len(part.columns):
                column = part.columns[int(records.cell[index])]
            yield Reject(part.name, int(records.line[index]), column, reason.text, self._cell(part, raw, column), raw)

    def _cell(self, part: Part, raw: str, column: str) -> str:
        """Text of one column in a record, "" where it cannot be told."""
        if not part.has(column):
            return ""
        if part.layout is None:
            try:
                value = json.loads(raw).get(column)
            except (ValueError, AttributeError):
                return ""
            return value if isinstance(value, str) else "" if value is None else json.dumps(value)
        cells = cells_of(raw, part.layout.delimiter)
        at = part.columns.index(column)
        return cells[at] if at < len(cells) else ""

    def rejected_rows(
        self,
        part: Part,
        rows: NDArray[np.int64],
        codes: NDArray[np.uint8],
        role_columns: dict[str, str],
        blamed: Sequence[str] = (),
    ) -> Iterator[Reject]:
        """Rejected rows of a part without lines, by row number from 1."""
        wanted = pa.table({"wanted": rows, "code": codes.astype(np.int64)})
        self.con.register("wanted_rows", wanted)
        names = ", ".join(f"CAST(c{i} AS VARCHAR) AS c{i}" for i in range(len(part.columns)))
        found = self.query(
            lambda relation: (
                f"SELECT code, wanted, {names} FROM "
                f"(SELECT *, row_number() OVER () - 1 AS row_of_part FROM {relation}) "
                "JOIN wanted_rows ON wanted = row_of_part ORDER BY wanted"
            ),
            part,
        )
        self.con.unregister("wanted_rows")
        named = dict(zip(rows.tolist(), blamed, strict=True)) if blamed else {}
        for code, row, *cells in found:
            reason = REASONS[code]
            column = named.get(row) or role_columns.get(reason.role or "", "")
            values = dict(zip(part.columns, cells, strict=True))
            raw = json.dumps(values, ensure_ascii=False)
            yield Reject(part.name, row + 1, column, reason.text, values.get(column) or "", raw)


def text(value: str) -> str:
    """An SQL literal of a text."""
    return "'" + value.replace("'", "''") + "'"


def name_of(value: str) -> str:
    """An SQL identifier."""
    return '"' + value.replace('"', '""') + '"'


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def open_tables(
    source: Any,
    *,
    table: str | None = None,
    query: str | None = None,
    timezone: str = "UTC",
    threads: int | None = None,
    memory: str | None = None,
    temp: str | Path | None = None,
    hold: int = HOLD,
) -> Tables:
    """Open any source as tables.

    Parameters
    ----------
    source
        A file name or glob, a list of them, ``-`` for standard input, a frame (pandas, Polars, PyArrow,
        anything with ``__arrow_c_stream__``, ``to_pyarrow`` or ``toArrow``), or a stream of Arrow batches (a reader,
        a generator, an Ibis table, the result of an ADBC cursor).
    table, query
        Table of a DuckDB or SQLite file, or a query on it.
    timezone
        Zone of times that name none.
    threads, memory, temp
        Limits of the scan, and the folder for temporary files.
    hold
        Bytes of a stream that are held in memory; a longer one goes to a temporary file.

    Raises
    ------
    RequestError, DataError
        With one sentence.
    """
    if table is not None and query is not None:
        raise RequestError("table and query are both given; give one of them")
    tables = Tables(timezone, threads, memory, temp)
    try:
        if isinstance(source, str | os.PathLike):
            open_name(tables, os.fspath(source), table, query)
        elif isinstance(source, list | tuple):
            if not source:
                raise RequestError("the list of sources is empty; name at least one file")
            for one in source:
                if isinstance(one, str | os.PathLike):
                    open_name(tables, os.fspath(one), table, query)
                else:
                    add_arrow(tables, kind_of_frame(one), frame_as_arrow(one))
        else:
            if table is not None or query is not None:
                raise RequestError("table and query are for DuckDB and SQLite files; the source is a frame")
            stream = stream_of(source)
            if stream is None:
                add_arrow(tables, kind_of_frame(source), frame_as_arrow(source))
            else:
                add_stream(tables, kind_of_frame(source), stream, hold)
        for part in tables.parts:
            check_names(part)
    except BaseException:
        tables.close()
        raise
    return tables


def check_names(part: Part) -> None:
    """Refuse a header that has a name twice."""
    twice = sorted({name for name in part.columns if part.columns.count(name) > 1})
    if twice:
        raise DataError(f"{part.name} has the column {', '.join(map(repr, twice))} more than once; rename one of them")


# --- frames ---------------------------------------------------------------------------------------


def kind_of_frame(frame: Any) -> str:
    """Name of a frame for messages: pandas DataFrame, polars LazyFrame, ..."""
    kind = type(frame)
    return f"{kind.__module__.split('.')[0]} {kind.__name__}"


def frame_as_arrow(frame: Any) -> pa.Table:
    """Any frame as an Arrow table."""
    room = type(frame).__module__.split(".")[0]
    try:
        if isinstance(frame, pa.Table):
            return frame
        if isinstance(frame, pa.RecordBatch):
            return pa.Table.from_batches([frame])
        if isinstance(frame, pa.RecordBatchReader):
            return frame.read_all()
        if room == "pandas" and hasattr(frame, "columns"):
            twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
            if twice:
                raise DataError(
                    f"the frame has the column {', '.join(map(repr, twice))} more than once; rename one of them"
                )
            return pa.Table.from_pandas(frame, preserve_index=False)
        if room == "polars" and hasattr(frame, "collect"):
            frame = frame.collect()
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(frame).read_all()
        for method in ("to_pyarrow", "toArrow"):
            if hasattr(frame, method):
                found = getattr(frame, method)()
                return found if isinstance(found, pa.Table) else found.read_all()
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"the {kind_of_frame(frame)} cannot be read as columns of one type each: {first_line(error)}"
        ) from error
    raise RequestError(
        f"the source is a {kind_of_frame(frame)}; give a file name, a frame of pandas, Polars or PyArrow, "
        "or anything with __arrow_c_stream__"
    )


def stream_of(source: Any) -> pa.RecordBatchReader | None:
    """A source that can be read once, batch by batch, as a reader; None for any other."""
    room = type(source).__module__.split(".")[0]
    try:
        if isinstance(source, pa.RecordBatchReader):
            return source
        if hasattr(source, "to_pyarrow_batches"):
            return source.to_pyarrow_batches()
        if hasattr(source, "fetch_record_batch"):
            return source.fetch_record_batch()
        if isinstance(source, Iterator):
            first = next(source, None)
            if not isinstance(first, pa.RecordBatch):
                kind = "nothing" if first is None else kind_of_frame(first)
                raise RequestError(f"the source is a {kind_of_frame(source)} of {kind}; it must give Arrow batches")
            return pa.RecordBatchReader.from_batches(first.schema, chain([first], source))
        if hasattr(source, "__arrow_c_stream__") and room not in ("pandas", "polars") and not hasattr(source, "schema"):
            return pa.RecordBatchReader.from_stream(source)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"the {kind_of_frame(source)} gives no Arrow batches: {first_line(error)}") from error
    return None


def add_stream(tables: Tables, name: str, stream: pa.RecordBatchReader, hold: int) -> None:
    """Add a stream: held while it is small, else a temporary file, since it is looked at before it is read."""
    held: list[pa.RecordBatch] = []
    size = 0
    try:
        with stream:
            for batch in stream:
                held.append(batch)
                size += batch.nbytes
                if size > hold:
                    break
            else:
                add_arrow(tables, name, pa.Table.from_batches(held, stream.schema))
                return
            place = tables.folder / f"stream-{len(tables.parts)}.parquet"
            write_stream(place, chain(held, stream), stream.schema)
    except pa.ArrowException as error:
        raise DataError(f"{name} cannot be read: {first_line(error)}") from error
    add_parquet(tables, place, name)


def write_stream(place: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> None:
    """Write batches to a Parquet file."""
    from pyarrow import parquet

    try:
        with parquet.ParquetWriter(place, schema, compression="zstd") as out:
            for batch in batches:
                out.write_batch(batch)
    except OSError as error:
        why = (error.strerror or first_line(error)).lower()
        raise DataError(
            f"temporary files cannot be written to {place.parent.parent}: {why}; free some or name another --temp"
        ) from error


def add_arrow(tables: Tables, name: str, content: pa.Table, place: Path | None = None) -> Part:
    """Add an Arrow table as a part."""
    columns = tuple(str(column) for column in content.column_names)
    if not columns:
        raise DataError(f"{name} is empty; it must have columns and rows")
    view = f"frame_{tables.frames}"
    tables.frames += 1
    tables.con.register(view, content.rename_columns([f"c{i}" for i in range(len(columns))]))
    part = Part(name, view, columns, (), place)
    part.types = types_of(tables, part)
    tables.parts.append(part)
    return part


def types_of(tables: Tables, part: Part) -> tuple[str, ...]:
    """DuckDB's types of a part's columns."""
    try:
        described = tables.con.sql(f"DESCRIBE SELECT * FROM {part.relation}").fetchall()
    except duckdb.Error as error:
        raise DataError(f"{part.name} cannot be read: {first_line(error)}") from error
    return tuple(row[1] for row in described)


# --- files ----------------------------------------------------------------------------------------


def standard_input() -> Path:
    """Standard input as a file, which can be opened again: a stream is read once, but looked at before it is read."""
    global _spooled  # noqa: PLW0603 - there is one standard input
    stream = sys.stdin.buffer
    if _spooled is None or _spooled[0] is not stream:
        folder = TemporaryFolder(None)
        place = folder.path / "standard-input"
        with place.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        _spooled = stream, place, folder
    return _spooled[1]


_spooled: tuple[BinaryIO, Path, TemporaryFolder] | None = None


def open_name(tables: Tables, name: str, table: str | None, query: str | None) -> None:
    """Add the part or parts that a name stands for."""
    for place, shown in files_of_name(name):
        add_file(tables, place, shown, table, query)


def files_of_name(name: str) -> list[tuple[Path, str]]:
    """Files that a name, a glob or ``-`` stands for, each with the name to show."""
    if name == "-":
        return [(standard_input(), "-")]
    place = Path(name)
    if place.exists() or not glob.has_magic(name):
        return [(place, name)]
    found = sorted(one for one in glob.glob(name, recursive=True) if Path(one).is_file())
    if not found:
        raise DataError(f"no file matches {name!r}; check the pattern and the folder")
    return [(Path(one), one) for one in found]


def find_files(source: Any) -> list[tuple[Path, str]]:
    """Readable files of a source that must be files: a name, a glob, ``-`` or a list of them.

    Raises
    ------
    RequestError, DataError
        A frame, an empty list, or a file that is missing or empty.
    """
    names = source if isinstance(source, list | tuple) else [source]
    if not names:
        raise RequestError("the list of sources is empty; name at least one file")
    for name in names:
        if not isinstance(name, str | os.PathLike):
            raise RequestError(f"the source is a {kind_of_frame(name)}; this shape is read from text files only")
    found = [one for name in names for one in files_of_name(os.fspath(name))]
    for place, name in found:
        check_file(place, name)
    return found


def add_file(tables: Tables, place: Path, name: str, table: str | None, query: str | None) -> None:
    """Add one file, by its extension and its content."""
    check_file(place, name)
    kind = kind_of_file(place, name)
    if kind in ("duckdb", "sqlite"):
        (add_duckdb if kind == "duckdb" else add_sqlite)(tables, place, name, table, query)
        return
    if table is not None or query is not None:
        raise RequestError(f"table and query are for DuckDB and SQLite files; {name} is {KINDS[kind]}")
    {"text": add_csv, "json": add_json, "parquet": add_parquet, "arrow": add_arrow_file}[kind](tables, place, name)


def check_file(place: Path, name: str) -> None:
    """Refuse what is no readable, filled file."""
    if not place.exists():
        near = [one.name for one in place.parent.iterdir()] if place.parent.is_dir() else []
        from difflib import get_close_matches

        close = get_close_matches(place.name, near, n=3, cutoff=0.6)
        hint = f"; did you mean {', '.join(map(repr, close))}?" if close else ""
        raise DataError(f"there is no file {name!r}{hint}")
    if place.is_dir():
        raise DataError(f"{name!r} is a folder; name its files, such as {os.path.join(name, '*.csv')!r}")
    try:
        with place.open("rb") as probe:
            probe.read(1)
    except OSError as error:
        raise DataError(f"{name!r} cannot be opened: {error.strerror}") from error


def compression(place: Path) -> str | None:
    """``gzip``, ``zstd`` or None, by the first bytes."""
    with place.open("rb") as file:
        magic = file.read(4)
    return "gzip" if magic[:2] == b"\x1f\x8b" else "zstd" if magic == b"\x28\xb5\x2f\xfd" else None


def open_bytes(place: Path) -> BinaryIO:
    """The uncompressed bytes of a file."""
    packed = compression(place)
    if packed == "gzip":
        return cast(BinaryIO, gzip.open(place, "rb"))
    if packed == "zstd":
        return cast(BinaryIO, pa.CompressedInputStream(pa.OSFile(str(place)), "zstd"))
    return place.open("rb")


def read_all(place: Path, action: Callable[[], Any]) -> Any:
    """Run an action that uncompresses a file; damage becomes one sentence."""
    import zlib

    try:
        return action()
    except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
        raise DataError(f"{place.name} is damaged: it cannot be uncompressed ({first_line(error)})") from error


def head_of(place: Path, size: int = HEAD) -> bytes:
    """The first uncompressed bytes of a file."""
    with open_bytes(place) as file:
        return cast(bytes, read_all(place, lambda: file.read(size)))


def kind_of_file(place: Path, name: str) -> str:
    """Kind of a file: its content decides, and an extension that says otherwise is an error."""
    head = head_of(place, 64)
    suffixes = [one.lower() for one in Path(name).suffixes]
    while suffixes and suffixes[-1] in (".gz", ".zst", ".gzip", ".zstd"):
        suffixes.pop()
    said = EXTENSIONS.get(suffixes[-1]) if suffixes else None
    if not head:
        raise DataError(f"{name} is empty; it must have a header and rows")
    found = None
    for magic, at, kind in (
        (b"PAR1", 0, "parquet"), (b"ARROW1", 0, "arrow"), (b"FEA1", 0, "arrow"), (b"\xff\xff\xff\xff", 0, "arrow"),
        (b"DUCK", 8, "duckdb"), (b"SQLite format 3\x00", 0, "sqlite"), (b"PK\x03\x04", 0, "zip"),
    ):  # fmt: skip
        if head[at : at + len(magic)] == magic:
            found = kind
    if found == "zip":
        raise DataError(f"{name} is a spreadsheet or zip archive; save it as CSV first")
    if said is not None and said in ("text", "json") and found is not None:
        raise DataError(f"{name} is named as {KINDS[said]} but holds {KINDS[found]}; give it the right extension")
    if said is not None and said not in ("text", "json") and found != said:
        raise DataError(f"{name} is named as {KINDS[said]} but is not one: it is damaged or has the wrong extension")
    if found is None and head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name} is UTF-16 text; save it as UTF-8")
    if found is None and b"\x00" in head:
        raise DataError(f"{name} is neither text nor a format that can be read")
    if found is not None or said is not None:
        return found or cast(str, said)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json" if start[:1] in (b"{", b"[") else "text"


def add_parquet(tables: Tables, place: Path, name: str) -> None:
    """Add a Parquet file."""
    from pyarrow import parquet

    try:
        columns = tuple(parquet.read_schema(place).names)
        scan = f"read_parquet({text(str(place))})"
        described = tables.con.sql(f"DESCRIBE SELECT * FROM {scan}").fetchall()
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise DataError(
            f"{name} is named as a Parquet file but cannot be read: it is damaged ({first_line(error)})"
        ) from error
    inner = ", ".join(f"{name_of(row[0])} AS c{i}" for i, row in enumerate(described))
    part = Part(name, f"(SELECT {inner} FROM {scan})", columns, tuple(row[1] for row in described), place)
    tables.parts.append(part)


def add_arrow_file(tables: Tables, place: Path, name: str) -> None:
    """Add an Arrow file, an Arrow stream or a Feather file."""
    try:
        with place.open("rb") as file:
            magic = file.read(6)
        if magic[:4] == b"FEA1":
            from pyarrow import feather

            content = feather.read_table(place)
        else:
            source = pa.memory_map(str(place))
            opened = pa.ipc.open_file(source) if magic == b"ARROW1" else pa.ipc.open_stream(source)
            content = opened.read_all()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{name} is named as an Arrow file but cannot be read: it is damaged ({first_line(error)})"
        ) from error
    add_arrow(tables, name, content, place)


# --- CSV ------------------------------------------------------------------------------------------


def add_csv(tables: Tables, place: Path, name: str) -> None:
    """Add a delimited text file."""
    head = head_of(place)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name} is UTF-16 text; save it as UTF-8")
    layout, columns = csv_layout(head, name)
    if b"\n" not in head[: layout.first] and b"\r" in head:
        raise DataError(f"{name} ends its lines with a carriage return alone; save it with line feeds")
    packed = compression(place)
    relation = csv_relation(place, layout.delimiter, len(columns), layout.skip, packed)
    part = Part(name, relation, columns, ("VARCHAR",) * len(columns), place, layout)
    part.head = csv_head(head, layout, len(columns))
    if not part.head and not head[layout.first :].strip():
        raise DataError(f"{name} has a header and no rows")
    tables.parts.append(part)


def csv_layout(head: bytes, name: str) -> tuple[CsvLayout, tuple[str, ...]]:
    """Layout and column names from the first bytes of a CSV file."""
    at = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    skip = 0
    said: str | None = None
    while True:
        stop = end_of_record(head, at)
        record = head[at:stop].strip(b"\r\n")
        if record[:4].lower() == b"sep=" and len(record) <= 5 and skip == 0:
            # Spreadsheets write and read this line before the header.
            said = record[4:5].decode("latin-1") or "\t"
        elif record.strip():
            break
        if stop >= len(head):
            raise DataError(f"{name} is empty; it must have a header and rows")
        skip += 1
        at = stop
    try:
        line = record.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"the header of {name} is not UTF-8; save the file as UTF-8") from error
    delimiter = said or best_delimiter(line)
    names = [cell.strip() for cell in next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter))]
    if len(names) > 1 and not names[-1] and line.rstrip().endswith(delimiter):
        names.pop()
    columns = tuple(cell or f"column_{i + 1}" for i, cell in enumerate(names))
    lines = skip + record.count(b"\n") + 2
    return CsvLayout(delimiter, skip, stop, lines, record), columns


def end_of_record(data: bytes, at: int) -> int:
    """Byte after the record that starts at `at`; a newline inside quotes ends no record."""
    stop = at
    while True:
        found = data.find(b"\n", stop)
        if found < 0:
            return len(data)
        stop = found + 1
        if data.count(b'"', at, stop) % 2 == 0:
            return stop


def best_delimiter(header: str) -> str:
    """The delimiter that cuts the header into most cells."""
    cells = {mark: len(next(csv.reader(io.StringIO(header, newline=""), delimiter=mark))) for mark in DELIMITERS}
    return max(DELIMITERS, key=lambda mark: cells[mark])


def csv_head(head: bytes, layout: CsvLayout, width: int) -> tuple[tuple[str, ...], ...]:
    """The first whole rows that have the right number of cells."""
    content = head[layout.first :]
    if len(head) == HEAD:
        content = content[: content.rfind(b"\n") + 1]
    lines = io.StringIO(content.decode("utf-8", "replace"), newline="")
    rows: list[tuple[str, ...]] = []
    reader = csv.reader(lines, delimiter=layout.delimiter)
    try:
        for row in reader:
            if len(row) == width or (len(row) == width + 1 and not row[-1]):
                rows.append(tuple(row[:width]))
            if len(rows) == 2000:
                break
    except csv.Error:
        pass  # an oversized cell: the rows before it are examples enough
    return tuple(rows)


def csv_relation(
    place: Path, delimiter: str, width: int, skip: int, packed: str | None, *, parallel: bool = True
) -> str:
    """SQL of a CSV file whose columns are all text; anything irregular is an error, never a guess."""
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(width))
    return (
        f"read_csv({text(str(place))}, auto_detect=false, header=true, skip={skip}, delim={text(delimiter)}, "
        f"quote='\"', escape='\"', strict_mode=true, columns={{{columns}}}, "
        f"compression='{packed or 'none'}'{'' if parallel else ', parallel=false'})"
    )


# --- JSON -----------------------------------------------------------------------------------------


def add_json(tables: Tables, place: Path, name: str) -> None:
    """Add JSON lines, or one JSON array of objects. Every value is read as text."""
    plain = tables.plain(place)
    head = head_of(plain, 64)
    first = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    view = f"json_{len(tables.parts)}"
    records: Records | None = None
    if head[first:].lstrip()[:1] == b"[":
        objects = json_array(plain, name)
    else:
        records = records_of_lines(plain, first)
        objects = json_objects(tables, records)
    if len(objects) == 0 and (records is None or records.line.size == 0):
        raise DataError(f"{name} has no rows")
    tables.con.register(view, pa.table({"line": objects}))
    try:
        found = tables.con.sql(
            f"SELECT json_keys(line) AS keys, min(n) FROM (SELECT line, row_number() OVER () AS n FROM {view}) "
            "GROUP BY ALL ORDER BY 2"
        ).fetchall()
    except duckdb.Error as error:
        raise DataError(f"{name} is not JSON: {first_line(error)}") from error
    columns = tuple(dict.fromkeys(key for keys, _ in found for key in keys))
    if not columns:
        raise DataError(f'{name} holds no JSON object; each line must be one, such as {{"user": "a"}}')
    picked = ", ".join(
        f"json_extract_string(line, {text('/' + key.replace('~', '~0').replace('/', '~1'))}) AS c{i}"
        for i, key in enumerate(columns)
    )
    relation = f"(SELECT {picked} FROM {view})"
    tables.parts.append(Part(name, relation, columns, ("VARCHAR",) * len(columns), plain, None, records))


def json_array(plain: Path, name: str) -> pa.Array:
    """Objects of a JSON array, as texts."""
    try:
        objects = json.loads(plain.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{name} is not JSON: {first_line(error)}") from error
    if not all(isinstance(one, dict) for one in objects):
        raise DataError(f"{name} is a JSON array of other things than objects; each item must be one")
    return pa.array([json.dumps(one, ensure_ascii=False) for one in objects], pa.string())


def json_objects(tables: Tables, records: Records) -> pa.Array:
    """The lines that are JSON objects, as texts; the flaw of the others is noted in `records`."""
    bounds = np.append(records.start, records.data.size)
    lines = pa.Array.from_buffers(
        pa.large_binary(), records.line.size, [None, pa.py_buffer(bounds), pa.py_buffer(records.data)]
    )
    readable = lines.filter(pa.array(records.flaw == 0)).view(pa.large_string())
    tables.con.register("json_lines", pa.table({"line": readable}))
    judged = tables.con.sql(
        "SELECT CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' ELSE false END AS good FROM json_lines"
    ).to_arrow_table()
    tables.con.unregister("json_lines")
    good = judged.column(0).combine_chunks()
    records.flaw[np.flatnonzero(records.flaw == 0)[~np.asarray(good)]] = NOT_JSON
    return readable.filter(good)


# --- databases ------------------------------------------------------------------------------------


def pick_table(names: Sequence[str], table: str | None, name: str) -> str:
    """The table asked for, or the only one."""
    if table is not None:
        if table not in names:
            raise not_one_of(f"the table of {name}", table, names) if names else DataError(f"{name} has no table")
        return table
    if not names:
        raise DataError(f"{name} has no table")
    if len(names) > 1:
        shown = ", ".join(map(repr, names[:20]))
        raise RequestError(f"{name} has {len(names)} tables ({shown}); name one with --table, or give --query")
    return names[0]


def add_duckdb(tables: Tables, place: Path, name: str, table: str | None, query: str | None) -> None:
    """Add a table or a query of a DuckDB file."""
    base = f"base_{len(tables.parts)}"
    try:
        tables.con.execute(f"ATTACH {text(str(place))} AS {base} (READ_ONLY)")
        found = tables.con.sql(
            "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = '" + base + "' UNION ALL "
            "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal AND database_name = '"
            + base
            + "' ORDER BY ALL"
        ).fetchall()
    except duckdb.Error as error:
        raise DataError(f"{name} cannot be opened as a DuckDB database: {first_line(error)}") from error
    known = {(one if schema == "main" else f"{schema}.{one}"): (schema, one) for schema, one in found}
    if query is not None:
        relation = f"query_{base}"
        try:
            tables.con.execute(f"USE {base}")
            tables.con.execute(f"CREATE TEMP TABLE {relation} AS SELECT * FROM ({query.rstrip().rstrip(';')})")
        except duckdb.Error as error:
            raise RequestError(f"--query cannot be run on {name}: {first_line(error)}") from error
        relation = f"temp.{relation}"
    else:
        schema, one = known[pick_table(sorted(known), table, name)]
        relation = f"{base}.{name_of(schema)}.{name_of(one)}"
    described = tables.con.sql(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    inner = ", ".join(f"{name_of(row[0])} AS c{i}" for i, row in enumerate(described))
    tables.parts.append(
        Part(
            name, f"(SELECT {inner} FROM {relation})", tuple(row[0] for row in described),
            tuple(row[1] for row in described), place,
        )
    )  # fmt: skip


def add_sqlite(tables: Tables, place: Path, name: str, table: str | None, query: str | None) -> None:
    """Add a table or a query of an SQLite file, all columns as text (SQLite has no types of columns)."""
    try:
        with closing(sqlite3.connect(f"{place.resolve().as_uri()}?mode=ro", uri=True)) as base:
            found = base.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
            sql = query or f"SELECT * FROM {name_of(pick_table(sorted(row[0] for row in found), table, name))}"
            try:
                cursor = base.execute(sql)
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise RequestError(f"--query cannot be run on {name}: {error}") from error
            if cursor.description is None:
                raise RequestError(f"--query on {name} gives no rows; it must be a SELECT")
            columns = tuple(row[0] for row in cursor.description)
            chunks = [sqlite_chunk(rows, len(columns)) for rows in iter(lambda: cursor.fetchmany(100_000), [])]
    except sqlite3.Error as error:
        raise DataError(f"{name} cannot be read as an SQLite database: {error}") from error
    schema = pa.schema([(f"c{i}", pa.string()) for i in range(len(columns))])
    content = pa.Table.from_batches(chunks, schema).rename_columns(list(columns))
    add_arrow(tables, name, content, place)


def sqlite_chunk(rows: list[tuple[Any, ...]], width: int) -> pa.RecordBatch:
    """Rows of SQLite as columns of text."""
    columns = [[sqlite_text(row[i]) for row in rows] for i in range(width)]
    return pa.RecordBatch.from_arrays([pa.array(one, pa.string()) for one in columns], [f"c{i}" for i in range(width)])


def sqlite_text(value: object) -> str | None:
    """A value of SQLite as text."""
    if value is None or isinstance(value, str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value)


def need_column(tables: Tables, name: str, role: str) -> str:
    """The column asked for, or an error with the nearest names."""
    if name not in tables.columns:
        stripped = {column.strip(): column for column in tables.columns}
        if name.strip() in stripped:
            return stripped[name.strip()]
        raise missing_column(name, tables.columns, role)
    return name
