"""Reading path tables: one row a path, with its conversions, value and nulls."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError, not_one_of
from touchworth.sources.columns import path_roles
from touchworth.sources.encode import Interner, split_paths
from touchworth.sources.events import by_bytes, check_options, named_rows, select
from touchworth.sources.expressions import filter_columns, filter_sql, number_sql, text_sql
from touchworth.sources.records import PathTable, ReadReport
from touchworth.sources.rejects import (
    BAD_CONVERSIONS,
    BAD_NULLS,
    BAD_VALUE,
    EMPTY_CHANNEL,
    LEFT_OUT,
    LOW_CONVERSIONS,
    LOW_NULLS,
    NO_OUTCOME,
    NO_PATH,
    Rejects,
)
from touchworth.sources.tables import Part, Tables, open_tables

__all__ = ["load_paths"]

# What may separate touches, in the order in which it is looked for; " > " is the field's own.
MARKS = ("->", "=>", ">", "→", "|", ";", ",", "/")
USUAL = " > "


@dataclass(slots=True)
class Chunk:
    """Encoded rows of one batch: cells of all paths, weights and what becomes of each row."""

    lengths: NDArray[np.int64]
    channel: NDArray[np.int32]
    conversions: NDArray[np.float64]
    nulls: NDArray[np.float64]
    value: NDArray[np.float64]
    status: NDArray[np.uint8]


def load_paths(
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
    threads: int | None = None,
    memory: str | None = None,
    temp: str | Path | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> PathTable:
    """Read a path table from any source.

    Parameters
    ----------
    source, table, query, where, max_rejects, rejects, force, threads, memory, temp, progress
        As in `load_events`.
    path, conversions, value, nulls
        Columns of these roles; None detects one, "" says that there is none.
    delimiter
        What separates the touches; None detects it. Blanks around names are no part of them.
    duplicates
        ``error`` refuses a path that stands in several rows; ``sum`` adds them up.

    Raises
    ------
    RequestError, DataError
        With one sentence; `TooManyRejectsError` when too many rows are rejected.
    """
    check_options(max_rejects, rejects, force)
    if duplicates not in ("error", "sum"):
        raise not_one_of("--duplicates", duplicates, ("error", "sum"))
    if delimiter is not None and not delimiter.strip():
        raise RequestError(f"--delimiter is {delimiter!r}; it must hold more than blanks")
    collector, names = Rejects(rejects, force), Interner()
    with open_tables(source, table=table, query=query, threads=threads, memory=memory, temp=temp) as tables:
        roles = path_roles(tables, {"path": path, "conversions": conversions, "value": value, "nulls": nulls})
        columns = roles.columns
        tables.note_missing_columns()
        wanted = filter_columns(tables, where)
        tables.use([*columns.values(), *wanted])
        mark = delimiter or detect_delimiter(tables, columns["path"])
        chunks: list[Chunk] = []
        rows_read = broken = 0
        status_of: list[NDArray[np.uint8]] = []
        for part in tables.parts:
            for role in ("path", "conversions"):
                if not part.has(columns[role]):
                    raise RequestError(
                        f"{part.name} has no column {columns[role]!r}, which is the {role} of the other files"
                    )
            mine = read_part(tables, part, columns, wanted, mark, names, collector)
            status = np.concatenate([chunk.status for chunk in mine]) if mine else np.empty(0, np.uint8)
            bad = np.flatnonzero((status > 0) & (status < NO_OUTCOME))
            tables.collect_rejects(part, bad, status[bad], columns, collector)
            rows_read += status.size + tables.broken(part)
            broken += tables.broken(part)
            chunks += mine
            status_of.append(status)
            if progress is not None:
                progress(part.name, rows_read)
        notices, sources = tables.notices, tables.names
    collector.judge(rows_read, max_rejects)
    status = np.concatenate(status_of)
    report = ReadReport(
        shape="paths",
        sources=sources,
        columns=columns,
        detected=roles.detected,
        rows_read=rows_read,
        rows_rejected=collector.total,
        rejected_by_reason=collector.by_reason(),
        rows_left_out=int(np.count_nonzero(status == LEFT_OUT)),
        rows_without_outcome=int(np.count_nonzero(status == NO_OUTCOME)),
    )
    return assemble(chunks, status, names, mark, duplicates, report, notices)


def detect_delimiter(tables: Tables, column: str) -> str:
    """What separates the touches of the paths, from examples; noted when it is not " > "."""
    cells = [
        str(row[part.columns.index(column)])
        for part in tables.parts
        for row in tables.sample(part)
        if part.has(column) and row[part.columns.index(column)] is not None
    ]
    if any(USUAL in cell for cell in cells):
        return USUAL
    for mark in MARKS:
        if any(mark in cell for cell in cells):
            spaced = f" {mark} "
            found = spaced if any(spaced in cell for cell in cells) else mark
            tables.notices.append(
                f"the touches of a path are taken to be separated by {found!r}; --delimiter says else"
            )
            return found
    return USUAL


def read_part(
    tables: Tables,
    part: Part,
    columns: Mapping[str, str],
    where: Mapping[str, str],
    delimiter: str,
    names: Interner,
    rejects: Rejects,
) -> list[Chunk]:
    """Read, encode and judge the rows of one part."""
    picked = {"path": text_sql(part.sql(columns["path"]), part.type(columns["path"]))}
    for role in ("conversions", "nulls", "value"):
        name = columns.get(role)
        if name is not None:
            picked[role] = number_sql(part.sql(name), part.type(name)) if part.has(name) else "CAST(0 AS DOUBLE)"
    left_out = filter_sql(part, where)
    if left_out is not None:
        picked["left_out"] = left_out
    sql = ", ".join(f"{one} AS {role}" for role, one in picked.items())
    chunks: list[Chunk] = []
    tables.read(
        select(sql),
        part,
        lambda batch: chunks.append(encode_batch(batch, delimiter, names)),
        chunks.clear,
        lambda: named_rows([chunk.status for chunk in chunks], rejects),
    )
    return chunks


def encode_batch(batch: pa.RecordBatch, delimiter: str, names: Interner) -> Chunk:
    """Split and encode the paths of a batch and judge its rows; the first reason found decides."""
    n = batch.num_rows
    present = set(batch.schema.names)

    def numbers(role: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = batch.column(role).to_numpy() if role in present else np.zeros(n)
        return found

    offsets, channel = split_paths(batch.column("path"), delimiter, names)
    lengths = np.diff(offsets)
    empty = np.zeros(n, bool)
    empty[np.repeat(np.arange(n), lengths)[channel < 0]] = True
    conversions, nulls, value = numbers("conversions"), numbers("nulls"), numbers("value")
    status = np.zeros(n, np.uint8)
    # From the last to decide to the first.
    for code, holds in (
        (NO_OUTCOME, (conversions == 0) & (nulls == 0)),
        (BAD_VALUE, ~np.isfinite(value)),
        (LOW_NULLS, nulls < 0),
        (BAD_NULLS, ~np.isfinite(nulls)),
        (LOW_CONVERSIONS, conversions < 0),
        (BAD_CONVERSIONS, ~np.isfinite(conversions)),
        (EMPTY_CHANNEL, empty),
        (NO_PATH, lengths == 0),
        (LEFT_OUT, batch.column("left_out").to_numpy() != 0 if "left_out" in present else np.zeros(n, bool)),
    ):
        status[holds] = code
    return Chunk(lengths, channel, conversions, nulls, value, status)


def assemble(
    chunks: list[Chunk],
    status: NDArray[np.uint8],
    names: Interner,
    delimiter: str,
    duplicates: str,
    report: ReadReport,
    notices: list[str],
) -> PathTable:
    """Join the chunks, add up or refuse repeated paths, number the channels by the bytes of their names."""

    def joined(pick: Callable[[Chunk], NDArray[Any]], dtype: Any) -> NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(pick(chunk) for chunk in chunks)])

    kept = status == 0
    all_lengths = joined(lambda chunk: chunk.lengths, np.int64)
    cells = joined(lambda chunk: chunk.channel, np.int32)[np.repeat(kept, all_lengths)]
    channel, channels = by_bytes(cells, names)
    lengths = all_lengths[kept]
    offsets = np.append(np.int64(0), np.cumsum(lengths))
    weights = {
        "conversions": joined(lambda chunk: chunk.conversions, np.float64)[kept],
        "nulls": joined(lambda chunk: chunk.nulls, np.float64)[kept],
        "value": joined(lambda chunk: chunk.value, np.float64)[kept],
    }
    rows = np.flatnonzero(kept).astype(np.int64)
    path, paths = number_paths(offsets, channel)
    if paths < rows.size:
        repeated = rows.size - paths
        if duplicates == "error":
            raise DataError(repeated_paths(path, rows, offsets, channel, channels, delimiter))
        notices.append(f"{repeated:,} rows repeat the path of an earlier row and are added to it")
        first = np.full(paths, rows.size, np.int64)
        np.minimum.at(first, path, np.arange(rows.size))
        weights = {name: np.bincount(path, weight, minlength=paths) for name, weight in weights.items()}
        channel = gather(channel, offsets, first)
        offsets = np.append(np.int64(0), np.cumsum(lengths[first]))
        rows = rows[first]
    core = delimiter.strip()
    odd = [name for name in channels if core in name]
    if odd:
        notices.append(
            f"the channel {odd[0]!r} contains {core!r}, but not as the delimiter {delimiter!r}: it is read as one name"
        )
    negative = int(np.count_nonzero(weights["value"] < 0))
    if negative:
        notices.append(f"{negative:,} negative values (refunds) are kept")
    without = int(np.count_nonzero((weights["value"] != 0) & (weights["conversions"] == 0)))
    if without:
        weights["value"] = np.where(weights["conversions"] == 0, 0.0, weights["value"])
    from dataclasses import replace

    report = replace(report, values_without_conversion=without, notices=tuple(dict.fromkeys(notices)))
    return PathTable(
        offsets=offsets,
        channel=channel,
        conversions=weights["conversions"],
        nulls=weights["nulls"],
        value=weights["value"],
        row=rows,
        delimiter=delimiter,
        channels=channels,
        has_value="value" in report.columns,
        has_nulls="nulls" in report.columns,
        report=report,
    )


def number_paths(offsets: NDArray[np.int64], channel: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Number of each path in order of first appearance, and how many there are."""
    paths = Interner(trim=False)
    codes = paths.codes_of_cells(offsets[:-1] * 4, offsets[1:] * 4, np.ascontiguousarray(channel).view(np.uint8))
    return codes, paths.known


def gather(channel: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """Channels of some rows, one row after the other."""
    lengths = np.diff(offsets)[rows]
    begin = np.repeat(offsets[rows] - np.append(0, np.cumsum(lengths)[:-1]), lengths)
    return channel[begin + np.arange(begin.size)]


def repeated_paths(
    path: NDArray[np.int32],
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    channel: NDArray[np.int32],
    channels: tuple[str, ...],
    delimiter: str,
) -> str:
    """The sentence that names the first repeated paths and their rows (from 1)."""
    count = np.bincount(path)
    shown = []
    for code in np.flatnonzero(count > 1)[:3]:
        mine = np.flatnonzero(path == code)
        names = [channels[c] for c in channel[offsets[mine[0]] : offsets[mine[0] + 1]]]
        label = delimiter.join(names if len(names) <= 6 else [*names[:5], "..."])
        more = ", ..." if mine.size > 3 else ""
        shown.append(f"{label!r} in rows {', '.join(str(row + 1) for row in rows[mine[:3]])}{more}")
    repeated = int((count - 1).sum())
    return (
        f"{repeated:,} rows repeat the path of an earlier row ({'; '.join(shown)}); "
        "add them up with --duplicates sum, or remove them"
    )
