"""Chunks made on several threads, kept in order, and written one after another in bounded memory."""

import csv as text_csv
import io
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from touchworth.errors import RequestError, not_one_of
from touchworth.output import format_of, replace_file
from touchworth.results import Result

__all__ = ["Progress", "Simulated", "in_order", "stream_format", "table_writer"]

Task = TypeVar("Task")
Made = TypeVar("Made")
#: Called as progress(done, total) after each chunk.
Progress = Callable[[int, int], None]
FORMATS = ("csv", "parquet")
#: As a path: CSV to standard output.
STANDARD_OUTPUT = "-"


def in_order(tasks: Iterable[Task], make: Callable[[Task], Made], threads: int) -> Iterator[Made]:
    """make(task) for every task, in the order of the tasks, with at most `threads` + 1 results waiting."""
    if threads < 2:
        yield from map(make, tasks)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(make, task))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def stream_format(path: str | Path, given: str | None = None) -> str:
    """The format of a streamed file: csv or parquet.

    Raises
    ------
    RequestError
        Another format.
    """
    found = given or "csv" if str(path) == STANDARD_OUTPUT else format_of(path, given)
    if found not in FORMATS or (str(path) == STANDARD_OUTPUT and found != "csv"):
        raise not_one_of("the format of a simulation", found, FORMATS)
    return found


@contextmanager
def table_writer(
    path: str | Path,
    schema: pa.Schema,
    format: str,  # noqa: A002
    *,
    names: Iterable[str] = (),
    force: bool = False,
) -> Iterator[Callable[[pa.Table], None]]:
    """A function that appends a table to the file; the file takes its place only if all goes well.

    The path - is standard output. `names` are all texts that cells can hold.
    """
    if str(path) == STANDARD_OUTPUT:
        with csv_writer(sys.stdout.buffer, schema, names) as write:
            yield write
        return
    with replace_file(path, force=force) as temporary:
        if format == "csv":
            with temporary.open("wb") as target, csv_writer(target, schema, names) as write:
                yield write
            return
        from pyarrow import parquet

        # A hundred distinct costs or flags are worth a dictionary, times and ids are not.
        distinct = [field.name for field in schema if not pa.types.is_timestamp(field.type) and field.name != "user_id"]
        with parquet.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=distinct) as writer:
            yield lambda table: writer.write_table(table, row_group_size=len(table) or None)


@contextmanager
def csv_writer(target: Any, schema: pa.Schema, names: Iterable[str]) -> Iterator[Callable[[pa.Table], None]]:
    """CSV with quotes only where texts need them; Arrow writes no dictionaries, so they are decoded."""
    from pyarrow import csv

    plain = pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])
    # Arrow would quote every text and every column name.
    head = io.StringIO()
    text_csv.writer(head, lineterminator="\n").writerow(schema.names)
    target.write(head.getvalue().encode())
    quoting = "needed" if any(mark in name for name in names for mark in ',"\r\n') else "none"
    style = csv.WriteOptions(include_header=False, quoting_style=quoting, batch_size=65_536)
    with csv.CSVWriter(target, plain, write_options=style) as writer:
        yield lambda table: writer.write_table(table.cast(plain))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


class Simulated(Result):
    """Base of simulated data: `table` is None where the rows were streamed to `path`."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from html import escape

        rows = "" if self.table is None else super()._repr_html_()
        return f"<p>{escape(repr(self))}</p>{rows}"

    def to_arrow(self) -> pa.Table:
        """The rows (pyarrow)."""
        if self.table is None:
            raise RequestError(f"the rows were written to {str(getattr(self, 'path', None))!r}; read them from there")
        return self.table

    def to_pandas(self) -> Any:
        """The rows as a pandas data frame (needs pandas)."""
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """The rows as a Polars data frame (needs polars)."""
        import polars

        return polars.from_arrow(self.to_arrow())

    def write(self, path: str | Path, *, format: str | None = None, force: bool = False) -> None:  # noqa: A002
        """Write the rows as CSV or Parquet, by `format` or the file's extension."""
        kind = stream_format(path, format)
        rows = self.to_arrow()
        texts = [column.combine_chunks().dictionary for column in rows.columns if pa.types.is_dictionary(column.type)]
        names = [name for column in texts for name in column.to_pylist()]
        with table_writer(path, rows.schema, kind, names=names, force=force) as write:
            write(rows)
