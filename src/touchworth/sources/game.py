"""Reading game tables: one row a coalition, with its value."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.sources.columns import game_roles
from touchworth.sources.encode import Interner, split_paths
from touchworth.sources.events import check_options, named_rows, select
from touchworth.sources.expressions import filter_columns, filter_sql, number_sql, text_sql
from touchworth.sources.paths import number_paths
from touchworth.sources.records import GameTable, ReadReport
from touchworth.sources.rejects import (
    BAD_GAME_VALUE,
    EMPTY_PLAYER,
    LEFT_OUT,
    NO_GAME_VALUE,
    REPEATED_PLAYER,
    Rejects,
)
from touchworth.sources.tables import Part, Tables, open_tables

__all__ = ["load_game"]

USUAL = " & "
# What may separate players, in the order in which it is looked for.
MARKS = ("&", "|", "+", ";", ",")
# How tables write the empty coalition, besides a blank cell.
EMPTY = ("{}", "∅")
Chunk = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.uint8]]


def load_game(
    source: Any,
    *,
    coalition: str | None = None,
    value: str | None = None,
    delimiter: str | None = None,
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
) -> GameTable:
    """Read a table of coalitions from any source.

    Parameters
    ----------
    source, table, query, where, max_rejects, rejects, force, threads, memory, temp, progress
        As in `load_events`.
    coalition, value
        Columns; None detects them. A blank coalition (or ``{}``, ``∅``) is the empty one.
    delimiter
        What separates the players; None takes `` & ``, or what the coalitions show, with a notice. Blanks around
        names are no part of them.

    Raises
    ------
    RequestError
        A column or option that cannot be used as asked.
    DataError
        A coalition in two rows, or none at all; `TooManyRejectsError` when too many rows are rejected.
    """
    check_options(max_rejects, rejects, force)
    if delimiter is not None and not delimiter.strip():
        raise RequestError(f"--coalition-delimiter is {delimiter!r}; it must hold more than blanks")
    collector, names = Rejects(rejects, force), Interner()
    with open_tables(source, table=table, query=query, threads=threads, memory=memory, temp=temp) as tables:
        roles = game_roles(tables, {"coalition": coalition, "coalition value": value})
        columns = {"coalition": roles.columns["coalition"], "value": roles.columns["coalition value"]}
        tables.note_missing_columns()
        wanted = filter_columns(tables, where)
        tables.use([*columns.values(), *wanted])
        mark = delimiter or detect_mark(tables, columns["coalition"])
        chunks: list[Chunk] = []
        rows_read = 0
        for part in tables.parts:
            mine = read_part(tables, part, columns, wanted, mark, names, collector)
            status = np.concatenate([np.empty(0, np.uint8), *(chunk[3] for chunk in mine)])
            bad = np.flatnonzero((status > 0) & (status < LEFT_OUT))
            tables.collect_rejects(part, bad, status[bad], columns, collector)
            rows_read += status.size + tables.broken(part)
            chunks += mine
            if progress is not None:
                progress(part.name, rows_read)
        notices, sources = tables.notices, tables.names
    collector.judge(rows_read, max_rejects)
    status = np.concatenate([np.empty(0, np.uint8), *(chunk[3] for chunk in chunks)])
    report = ReadReport(
        shape="game",
        sources=sources,
        columns=columns,
        detected=tuple("value" if role == "coalition value" else role for role in roles.detected),
        rows_read=rows_read,
        rows_rejected=collector.total,
        rejected_by_reason=collector.by_reason(),
        rows_left_out=int(np.count_nonzero(status == LEFT_OUT)),
        notices=tuple(dict.fromkeys(notices)),
    )
    return assemble(chunks, status, names, mark, report)


def detect_mark(tables: Tables, column: str) -> str:
    """What separates the players, from examples; noted when it is not " & "."""
    cells = [
        str(row[part.columns.index(column)])
        for part in tables.parts
        if part.has(column)
        for row in tables.sample(part)
        if row[part.columns.index(column)] is not None
    ]
    if any(USUAL in cell for cell in cells):
        return USUAL
    for mark in MARKS:
        if any(mark in cell for cell in cells):
            tables.notices.append(
                f"the players of a coalition are taken to be separated by {mark!r}; --coalition-delimiter says else"
            )
            return mark
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
    for role, name in columns.items():
        if not part.has(name):
            raise RequestError(f"{part.name} has no column {name!r}, which is the {role} of the other files")
    cell = text_sql(part.sql(columns["coalition"]), part.type(columns["coalition"]))
    picked = {
        # Nothing can be told apart by a trim: an empty coalition has no cells, as a missing path has none.
        "coalition": f"CASE WHEN trim({cell}) IN ('{EMPTY[0]}', '{EMPTY[1]}') THEN '' ELSE {cell} END",
        "value": number_sql(part.sql(columns["value"]), part.type(columns["value"]), blank="NULL"),
    }
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
        lambda: named_rows([chunk[3] for chunk in chunks], rejects),
    )
    return chunks


def encode_batch(batch: pa.RecordBatch, delimiter: str, names: Interner) -> Chunk:
    """Sizes, members (ascending), values and status of the coalitions of a batch."""
    offsets, members = split_paths(batch.column("coalition"), delimiter, names)
    sizes = np.diff(offsets)
    row = np.repeat(np.arange(batch.num_rows), sizes)
    members = members[np.lexsort((members, row))]
    repeated = np.flatnonzero((members[1:] == members[:-1]) & (row[1:] == row[:-1]))
    value = batch.column("value").to_numpy(zero_copy_only=False)
    status = np.zeros(batch.num_rows, np.uint8)
    status[~np.isfinite(value)] = BAD_GAME_VALUE
    status[np.asarray(batch.column("value").is_null())] = NO_GAME_VALUE
    status[row[repeated]] = REPEATED_PLAYER
    status[row[members < 0]] = EMPTY_PLAYER
    if "left_out" in batch.schema.names:
        status[batch.column("left_out").to_numpy() != 0] = LEFT_OUT
    return sizes, members, value, status


def assemble(
    chunks: list[Chunk], status: NDArray[np.uint8], names: Interner, delimiter: str, report: ReadReport
) -> GameTable:
    """Join the chunks, refuse coalitions that stand in two rows, take the empty one out."""
    kept = status == 0
    all_sizes = np.concatenate([np.empty(0, np.int64), *(chunk[0] for chunk in chunks)])
    codes = np.concatenate([np.empty(0, np.int32), *(chunk[1] for chunk in chunks)])[np.repeat(kept, all_sizes)]
    values = np.concatenate([np.empty(0), *(chunk[2] for chunk in chunks)])[kept]
    sizes, rows = all_sizes[kept], np.flatnonzero(kept)
    if rows.size == 0:
        raise DataError(f"none of the {report.rows_read:,} rows can be used: all are rejected or left out")
    offsets = np.append(np.int64(0), np.cumsum(sizes))
    numbers, different = number_paths(offsets, codes)
    texts: list[str] = names.texts().to_pylist()
    if different < rows.size:
        first = np.full(different, rows.size, np.int64)
        np.minimum.at(first, numbers, np.arange(rows.size))
        again = int(np.flatnonzero(first[numbers] != np.arange(rows.size))[0])
        earlier = int(first[numbers[again]])
        name = USUAL.join(texts[code] for code in codes[offsets[again] : offsets[again + 1]]) or "(empty)"
        raise DataError(
            f"{rows.size - different:,} rows give a coalition that an earlier row gives, such as {name!r} in rows "
            f"{rows[earlier] + 1} and {rows[again] + 1}; a coalition has one value"
        )
    full = sizes > 0
    if not full.any():
        raise DataError("the table holds no coalition besides the empty one; name at least one player")
    # Codes were given in order of appearance; rejected rows may have brought names that no coalition has.
    used, members = np.unique(codes, return_inverse=True)
    core = delimiter.strip()
    odd = next((texts[code] for code in used.tolist() if core in texts[code]), None)
    if odd is not None:
        notice = f"the player {odd!r} contains {core!r}, but not as the delimiter {delimiter!r}: it is read as one name"
        report = replace(report, notices=(*report.notices, notice))
    empty = values[~full]
    return GameTable(
        players=tuple(texts[code] for code in used.tolist()),
        members_offsets=np.append(np.int64(0), np.cumsum(sizes[full])),
        members_items=members.astype(np.int32),
        values=values[full],
        empty_value=float(empty[0]) if empty.size else None,
        report=report,
    )
