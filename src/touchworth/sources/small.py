"""Small side tables that users write by hand: spend, cost per click, regrouping."""

import csv
from collections.abc import Mapping
from pathlib import Path

from touchworth.errors import DataError, missing_column

__all__ = ["read_numbers", "read_pairs"]


def read_pairs(source: str | Path | Mapping[str, str], key: str, value: str, option: str) -> dict[str, str]:
    """Two text columns of a CSV file (delimiter , ; or tab) as a mapping; a mapping is passed on.

    Raises
    ------
    DataError
        A missing or unreadable file, a blank key, a key given twice with different values.
    RequestError
        A missing column.
    """
    if isinstance(source, Mapping):
        return dict(source)
    path = Path(source)
    if not path.is_file():
        raise DataError(f"{option}: there is no file {str(path)!r}")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{option}: {path.name} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    lines = text.splitlines()
    head = lines[0] if lines else ""
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(lines, delimiter=delimiter)
    columns = list(rows.fieldnames or [])
    for name in (key, value):
        if name not in columns:
            raise missing_column(name, columns, f"{option} {path.name}")
    pairs: dict[str, str] = {}
    for row in rows:
        name, cell = (row[key] or "").strip(), (row[value] or "").strip()
        if not name:
            raise DataError(f"{option}: {path.name}, line {rows.line_num}: {key} is blank")
        if pairs.get(name, cell) != cell:
            raise DataError(f"{option}: {path.name}, line {rows.line_num}: {name!r} stands there twice")
        pairs[name] = cell
    if not pairs:
        raise DataError(f"{option}: {path.name} has no rows below its header")
    return pairs


def read_numbers(source: str | Path | Mapping[str, float], key: str, value: str, option: str) -> dict[str, float]:
    """Like `read_pairs`, with numbers as values."""
    if isinstance(source, Mapping):
        return {name: float(number) for name, number in source.items()}
    numbers = {}
    for name, cell in read_pairs(source, key, value, option).items():
        try:
            numbers[name] = float(cell)
        except ValueError:
            raise DataError(
                f"{option}: the {value} of {name!r} is {cell!r}; write a plain number such as 1234.50"
            ) from None
    return numbers
