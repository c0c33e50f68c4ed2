"""What every result is: an immutable record around an Arrow table that converts, writes and shows itself."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

__all__ = ["Result", "join_groups", "round_for_people", "text_table"]


class Result:
    """Base of results: subclasses are frozen records with a field `table` (pyarrow.Table)."""

    __slots__ = ()
    table: pa.Table
    #: Columns that a reader sees first; the others are in the table.
    shown: ClassVar[tuple[str, ...]] = ()

    def to_arrow(self) -> pa.Table:
        """The table itself (pyarrow)."""
        return self.table

    def to_pandas(self) -> Any:
        """The table as a pandas data frame (needs pandas)."""
        return self.table.to_pandas()

    def to_polars(self) -> Any:
        """The table as a Polars data frame (needs polars)."""
        import polars

        return polars.from_arrow(self.table)

    def write(self, path: str | Path, *, format: str | None = None, force: bool = False) -> None:  # noqa: A002
        """Write the table as CSV, JSON, JSON lines, Parquet or Arrow, by `format` or the file's extension.

        The file is written beside and moved into place; an existing one is replaced only with `force`.
        """
        from touchworth.output import write_table

        write_table(self.table, path, format=format, force=force)

    @property
    def plot(self) -> Any:
        """The plots of this result (Plotly): ``result.plot.NAME()``; ``result.plot.save(folder)`` writes them all.

        Drawing lives in a room after all results, which is looked up only when a plot is asked for.
        """
        return import_module("touchworth.render.plots").plots_of(self)

    def __repr__(self) -> str:
        return text_table(self.table, [name for name in self.shown if name in self.table.column_names])

    def _repr_html_(self) -> str:
        from html import escape

        names = [name for name in self.shown if name in self.table.column_names] or self.table.column_names
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = self.table.select(names).slice(0, 50).to_pylist()
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(round_for_people(row[name]))}</td>" for name in names) + "</tr>"
            for row in rows
        )
        more = f"<p>{len(self.table):,} rows in all</p>" if len(self.table) > 50 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def round_for_people(value: object, digits: int = 5) -> str:
    """A cell as a person reads it: a few significant digits, thousands separated, blank for missing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value == 0:
            return "0"
        size = abs(value)
        if size >= 1000:
            return f"{value:,.0f}" if size >= 10 ** (digits - 1) else f"{value:,.1f}"
        return f"{value:.{digits - 1}g}" if size < 0.01 else f"{value:.{digits}g}"
    return str(value)


def text_table(table: pa.Table, names: list[str] | None = None, rows: int = 40) -> str:
    """A table as aligned plain text: numbers to the right, at most `rows` rows."""
    names = names or table.column_names
    part = table.select(names).slice(0, rows)
    columns = [[name, *(round_for_people(value) for value in part[name].to_pylist())] for name in names]
    widths = [max(len(cell) for cell in column) for column in columns]
    right = [pa.types.is_integer(part[name].type) or pa.types.is_floating(part[name].type) for name in names]
    lines = [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
    if len(table) > rows:
        lines.append(f"... {len(table):,} rows in all")
    return "\n".join(lines)


def join_groups(tables: Mapping[str, pa.Table | None], column: str) -> pa.Table | None:
    """Tables of groups one after another, the group's name in the first column; None where no group has one."""
    parts = [
        table.add_column(0, column, pa.array([name] * len(table), pa.string()))
        for name, table in tables.items()
        if table is not None
    ]
    return pa.concat_tables(parts) if parts else None
