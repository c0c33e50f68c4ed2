"""Writing: every file is written beside its place and moved there, so that none is ever half written."""

import glob
import importlib
import json
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from touchworth.errors import RequestError, not_one_of

__all__ = [
    "FORMATS",
    "TemporaryFolder",
    "check_output",
    "format_of",
    "print_table",
    "remove_temporary",
    "replace_file",
    "table_text",
    "temporary_file",
    "write_json",
    "write_table",
]

FORMATS = ("csv", "json", "jsonl", "parquet", "arrow")
EXTENSIONS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
              ".arrow": "arrow", ".feather": "arrow"}  # fmt: skip


def format_of(path: str | Path, given: str | None = None) -> str:
    """The format of a file to write: the one given, else by the file's extension."""
    if given is not None:
        if given not in FORMATS:
            raise not_one_of("--format", given, FORMATS)
        return given
    suffix = Path(path).suffix.lower()
    if suffix not in EXTENSIONS:
        raise RequestError(
            f"the extension of {str(path)!r} names no format; use one of {', '.join(EXTENSIONS)} or give --format"
        )
    return EXTENSIONS[suffix]


def check_output(path: str | Path, *, force: bool) -> None:
    """Refuse early, before any work, an output that cannot or may not be written."""
    place = Path(path)
    if place.is_dir():
        raise RequestError(f"{str(path)!r} is a folder; name a file to write")
    if not place.parent.is_dir():
        raise RequestError(f"the folder of {str(path)!r} does not exist; make it first or name another")
    for left in place.parent.glob(f".{glob.escape(place.name)}.*.part"):
        remove_abandoned(left, left)
    if place.exists() and not force:
        raise RequestError(f"{str(path)!r} exists; give --force to replace it")


# Temporary files and folders in use: an interrupted run removes them before it ends.
TEMPORARY: set[Path] = set()
PREFIX = "touchworth-"
LOCK = "in-use"
GONE = ".gone"


def take_lock(handle: int) -> bool:
    """Lock an open file without waiting; False where another process holds it or the platform has no such locks.

    The system lets go of the lock however the process ends, so that a file nobody holds was left by a killed run.
    """
    try:
        locks = importlib.import_module("fcntl")
    except ImportError:
        return False
    try:
        locks.flock(handle, locks.LOCK_EX | locks.LOCK_NB)
    except OSError:
        return False
    return True


def remove_abandoned(path: Path, lock: Path) -> None:
    """Remove a temporary file or folder of a run that was killed: its lock is there and nobody holds it."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError:
        return
    try:
        if take_lock(handle):
            remove(path)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir():
        # Renamed first, so that a thread that still works can put nothing new into it.
        gone = path.with_name(path.name + GONE)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class TemporaryFolder:
    """A folder for temporary files, removed by `close`, at exit, when interrupted; by the next run if this is killed.

    Parameters
    ----------
    parent
        Where to make it; None: the system's folder for temporary files.

    Raises
    ------
    RequestError
        The parent is no folder that can be written to.
    """

    def __init__(self, parent: str | Path | None) -> None:
        where = Path(tempfile.gettempdir() if parent is None else parent)
        for left in where.glob(f"{PREFIX}*"):
            if left.suffix == GONE:
                # A run was killed while it removed this.
                shutil.rmtree(left, ignore_errors=True)
            else:
                remove_abandoned(left, left / LOCK)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
        except OSError as error:
            why = error.strerror or str(error)
            raise RequestError(f"--temp is {str(where)!r}: {why}; it must be a folder that can be written to") from None
        handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        take_lock(handle)
        TEMPORARY.add(self.path)
        self._end = weakref.finalize(self, TemporaryFolder._remove, self.path, handle)

    @staticmethod
    def _remove(path: Path, handle: int) -> None:
        remove(path)
        os.close(handle)
        TEMPORARY.discard(path)

    def close(self) -> None:
        """Remove the folder; a second call does nothing."""
        self._end()


def remove_temporary() -> None:
    """Remove every temporary file and folder."""
    for path in list(TEMPORARY):
        remove(path)


@contextmanager
def temporary_file(folder: Path | None, prefix: str, suffix: str) -> Iterator[Path]:
    """An empty file that is removed at the end, also when the run is interrupted."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=prefix, suffix=suffix)
    path = Path(name)
    TEMPORARY.add(path)
    # Held to the end, the lock tells other runs that the file is in use. Without locks, an open file may not move.
    if not take_lock(handle):
        os.close(handle)
        handle = -1
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        TEMPORARY.discard(path)
        if handle >= 0:
            os.close(handle)


@contextmanager
def replace_file(path: str | Path, *, force: bool) -> Iterator[Path]:
    """A temporary file beside `path` to write to; it takes the place of `path` only if all went well."""
    check_output(path, force=force)
    place = Path(path)
    with temporary_file(place.parent, f".{place.name}.", ".part") as temporary:
        yield temporary
        # mkstemp makes files private; a result has the mode that any other new file would have.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(place)


def write_table(table: pa.Table, path: str | Path, *, format: str | None = None, force: bool = False) -> None:  # noqa: A002
    """Write a table as CSV, JSON, JSON lines, Parquet or Arrow, chosen by `format` or the extension."""
    writer = WRITERS[format_of(path, format)]
    with replace_file(path, force=force) as temporary:
        writer(table, temporary)


def write_json(document: dict[str, Any], path: str | Path, *, force: bool = False) -> None:
    """Write one JSON document."""
    with replace_file(path, force=force) as temporary:
        temporary.write_text(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def table_text(table: pa.Table, format: str) -> str:  # noqa: A002
    """A table as text: csv, json or jsonl."""
    if format == "csv":
        import csv
        import io

        out = io.StringIO()
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(table.column_names)
        for batch in table.to_batches(max_chunksize=65_536):
            lines.writerows(zip(*(cells(column) for column in batch.columns), strict=True))
        return out.getvalue()
    if format == "json":
        return json.dumps(table.to_pylist(), indent=1, ensure_ascii=False, default=str) + "\n"
    if format == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in table.to_pylist())
    raise RequestError(f"format {format!r} is not text; write it to a file with -o FILE")


def cells(column: pa.Array) -> list[object]:
    """Cells of a column for CSV: blank for missing, true/false for flags, shortest exact text for numbers."""
    values = column.to_pylist()
    if pa.types.is_boolean(column.type):
        return ["" if value is None else str(value).lower() for value in values]
    return ["" if value is None else repr(value) if isinstance(value, float) else value for value in values]


def write_text(format: str) -> Callable[[pa.Table, Path], None]:  # noqa: A002
    """Writer of a text format."""
    return lambda table, path: (path.write_text(table_text(table, format), "utf-8"), None)[1]


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write Parquet with zstd, as readers of the field expect."""
    from pyarrow import parquet

    parquet.write_table(table, path, compression="zstd")


def write_arrow(table: pa.Table, path: Path) -> None:
    """Write the Arrow file format, uncompressed so that every reader maps it."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[pa.Table, Path], None]] = {
    "csv": write_text("csv"),
    "json": write_text("json"),
    "jsonl": write_text("jsonl"),
    "parquet": write_parquet,
    "arrow": write_arrow,
}


def print_table(table: pa.Table, format: str) -> None:  # noqa: A002
    """Write a table to standard output as text."""
    sys.stdout.write(table_text(table, format))
