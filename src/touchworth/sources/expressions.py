"""SQL of the cells of one column: numbers, flags, texts, filters."""

from collections.abc import Mapping, Sequence

from touchworth.errors import RequestError
from touchworth.sources.kinds import is_number_type, is_text_type
from touchworth.sources.tables import Part, Tables, need_column, text

__all__ = ["filter_sql", "flag_sql", "number_sql", "row_sql", "text_sql"]

# Codes of a flag.
NO, YES, BLANK_FLAG, NO_FLAG = 0, 1, 2, 3
FLAG_WORDS = {
    NO: ("0", "no", "false", "n", "f", "0.0"),
    YES: ("1", "yes", "true", "y", "t", "1.0"),
    BLANK_FLAG: ("",),
}


def text_sql(column: str, kind: str) -> str:
    """A column as text; whole numbers have no decimals, also where a missing one made the column real."""
    if kind == "VARCHAR":
        return column
    if kind in ("DOUBLE", "FLOAT"):
        whole = f"isfinite({column}) AND {column} = trunc({column}) AND abs({column}) < 9007199254740992"
        return (
            f"CASE WHEN {column} IS NULL OR isnan({column}) THEN NULL "
            f"WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE CAST({column} AS VARCHAR) END"
        )
    return f"CAST({column} AS VARCHAR)"


def number_sql(column: str, kind: str, *, blank: str = "0.0") -> str:
    """A column as DOUBLE; NaN where it is no number, `blank` where it is blank."""
    if is_number_type(kind) or kind == "BOOLEAN":
        return f"coalesce(CAST({column} AS DOUBLE), {blank})"
    cell = f"CAST({column} AS VARCHAR)"
    return (
        f"coalesce(TRY_CAST({cell} AS DOUBLE), "
        f"CASE WHEN {column} IS NULL OR trim({cell}) = '' THEN {blank} ELSE CAST('nan' AS DOUBLE) END)"
    )


def flag_sql(column: str, kind: str) -> str:
    """A column as a flag: 0, 1, 2 where it is blank, 3 where it is no flag."""
    if kind == "BOOLEAN":
        return f"coalesce(CAST({column} AS TINYINT), CAST({BLANK_FLAG} AS TINYINT))"
    if is_number_type(kind):
        cases = f"WHEN {column} = 0 THEN {NO} WHEN {column} = 1 THEN {YES} WHEN {column} IS NULL THEN {BLANK_FLAG}"
        return f"CAST(CASE {cases} ELSE {NO_FLAG} END AS TINYINT)"
    cell = column if is_text_type(kind) else f"CAST({column} AS VARCHAR)"
    words = {word: flag for flag, some in FLAG_WORDS.items() for word in some}
    # The common spellings first; each expression once, as one that stands twice is computed for all rows.
    return (
        f"CAST(coalesce(CASE WHEN {cell} = '0' THEN {NO} WHEN {cell} = '1' THEN {YES} "
        f"WHEN {cell} IS NULL THEN {BLANK_FLAG} END, "
        f"list_extract({list(words.values())}, list_position({list(words)}, lower(trim({cell}, ' \t\r\n')))), "
        f"{NO_FLAG}) AS TINYINT)"
    )


def filter_columns(tables: Tables, where: Mapping[str, str] | None) -> dict[str, str]:
    """The filter with the columns' exact names."""
    return {need_column(tables, name, "--where"): value for name, value in (where or {}).items()}


def filter_sql(part: Part, where: Mapping[str, str]) -> str | None:
    """1 where a row is left out by the filter, None without a filter."""
    if not where:
        return None
    tests = []
    for name, value in where.items():
        if not part.has(name):
            tests.append("false")
            continue
        column, kind = part.sql(name), part.type(name)
        cell = text_sql(column, kind)
        test = f"trim({cell}) = {text(value.strip())}"
        if is_number_type(kind):
            try:
                test = f"{column} = {float(value)!r}"
            except ValueError:
                raise RequestError(f"--where {name}={value}: the column {name!r} holds numbers") from None
        elif kind == "BOOLEAN":
            test = f"{cell} = {text(value.strip().lower())}"
        tests.append(f"coalesce({test}, false)")
    return f"CAST(NOT ({' AND '.join(tests)}) AS TINYINT)"


def row_sql(part: Part, columns: Sequence[str]) -> str:
    """A text that is equal for rows that are equal in all columns, and for no others."""
    cells = ", ".join(f"CAST({part.sql(name)} AS VARCHAR)" if part.has(name) else "NULL" for name in columns)
    return f"CAST(to_json([{cells}]) AS VARCHAR)"
