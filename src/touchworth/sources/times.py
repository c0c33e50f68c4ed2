"""Times of every form that real files hold, as SQL that gives microseconds since 1970 UTC."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from touchworth.errors import DataError, RequestError, not_one_of
from touchworth.sources.kinds import is_number_type

__all__ = ["FAR", "MISSING", "NOT_A_TIME", "TimeForm", "form_of", "looks_like_time", "proves_order_sql", "time_sql"]

# What stands in the column of microseconds where there is no time.
MISSING = -(2**63)
NOT_A_TIME = MISSING + 1
# 2201-01-01 in seconds: no time of an event is later, so larger numbers are of a finer unit.
FAR = 7_289_654_400
UNITS = (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
ISO = re.compile(r"^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]|$)")
DAY_MONTH = re.compile(r"^(\d{1,2})([/.-])(\d{1,2})[/.-](\d{4}|\d{2})(\D.*)?$")
COMPACT = re.compile(r"^(19[7-9]\d|20\d\d|21\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$")
NUMBER = re.compile(r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$")
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")


@dataclass(frozen=True, slots=True)
class TimeForm:
    """How one column writes times.

    Attributes
    ----------
    family
        ``typed``, ``iso``, ``day_month``, ``compact`` (YYYYMMDD) or ``number`` (an epoch).
    per_second
        Epochs: units in a second.
    marks
        ``day_month``: what stands between day and month.
    example
        One cell.
    """

    family: str
    per_second: int = 1
    marks: tuple[str, ...] = ()
    example: str = ""


def family_of(cell: str) -> str | None:
    """Family of one text, None if it is no time."""
    if COMPACT.match(cell):
        return "compact"
    if NUMBER.match(cell):
        return "number"
    if ISO.match(cell):
        return "iso"
    return "day_month" if DAY_MONTH.match(cell) else None


def looks_like_time(cell: str) -> bool:
    """Whether a text can be a time; a number can from 1973 on (as seconds)."""
    family = family_of(cell)
    return family is not None and (family != "number" or 1e8 <= abs(float(cell)) < 1e19)


def form_of(kind: str, cells: Sequence[str], column: str) -> TimeForm:
    """Form of a column, from DuckDB's type and examples of its texts.

    Raises
    ------
    RequestError
        When the type cannot hold times.
    DataError
        When no example is one.
    """
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return TimeForm("typed")
    if kind != "VARCHAR" and not kind.startswith("ENUM") and not is_number_type(kind):
        raise RequestError(f"the time column {column!r} has the type {kind}; it must hold times, texts or numbers")
    families = Counter(family for family in map(family_of, cells) if family is not None)
    if not families:
        if not cells:
            return TimeForm("iso")
        raise DataError(
            f"the time column {column!r} holds no times, such as {cells[0]!r}; "
            "write them as 2026-11-24T10:30:00Z, or name another column with --time"
        )
    family = families.most_common(1)[0][0]
    mine = [cell for cell in cells if family_of(cell) == family]
    if family == "number":
        size = median(abs(float(cell)) for cell in mine)
        per_second = next((unit for _, unit in UNITS if size < FAR * unit), UNITS[-1][1])
        return TimeForm("number", per_second, (), mine[0])
    marks = tuple(sorted({match.group(2) for match in map(DAY_MONTH.match, mine) if match}))
    return TimeForm(family, 1, marks, mine[0])


def text_of(column: str) -> str:
    """SQL of a column as text without blanks around it, NULL when empty."""
    return f"nullif(trim(CAST({column} AS VARCHAR), ' \t\r\n'), '')"


def proves_order_sql(column: str, relation: str) -> str:
    """SQL that counts the times that can only be day/month, and those that can only be month/day."""
    parts = rf"regexp_extract({text_of(column)}, '^(\d{{1,2}})[/.-](\d{{1,2}})[/.-]\d', ['a', 'b'])"
    return (
        "SELECT count(*) FILTER (a > 12 AND b <= 12) AS dmy, count(*) FILTER (b > 12 AND a <= 12) AS mdy "
        "FROM (SELECT TRY_CAST(p.a AS INTEGER) AS a, TRY_CAST(p.b AS INTEGER) AS b "
        f"FROM (SELECT {parts} AS p FROM {relation}))"
    )


def settle_order(date_order: str | None, day_first: int, month_first: int, column: str, example: str) -> str:
    """``dmy`` or ``mdy``: as asked for, else as the data proves."""
    if date_order is not None:
        return date_order
    if day_first and month_first:
        raise DataError(
            f"the time column {column!r} has {day_first:,} times that can only be day/month and {month_first:,} that "
            "can only be month/day; say which order holds with --date-order dmy or --date-order mdy"
        )
    if not day_first and not month_first:
        raise RequestError(
            f"times such as {example!r} in column {column!r} can be day/month or month/day and no row proves which; "
            "say it with --date-order dmy or --date-order mdy"
        )
    return "dmy" if day_first else "mdy"


def check_order(date_order: str | None) -> None:
    """Refuse an unknown order of day and month."""
    if date_order not in (None, "dmy", "mdy"):
        raise not_one_of("--date-order", date_order, ("dmy", "mdy"))


def time_sql(column: str, kind: str, form: TimeForm, order: str, timezone: str) -> str:
    """SQL of a column's microseconds since 1970 UTC; MISSING and NOT_A_TIME where there is none.

    Parameters
    ----------
    column, kind
        SQL name and DuckDB type of the column.
    form
        How it writes times.
    order
        ``dmy`` or ``mdy``, for the family ``day_month``.
    timezone
        Zone of naive times; the connection's TimeZone is set to it.
    """
    if form.family == "typed":
        zoned = "WITH TIME ZONE" in kind or (timezone == "UTC" and kind == "TIMESTAMP")
        moment = column if zoned else f"CAST({column} AS TIMESTAMPTZ)"
        return f"coalesce(epoch_us({moment}), CASE WHEN {column} IS NULL THEN {MISSING} ELSE {NOT_A_TIME} END)"
    cell = text_of(column)
    if form.family == "number":
        micros = number_sql(column, kind, form.per_second)
    elif form.family == "day_month":
        micros = f"epoch_us(CAST(try_strptime({cell}, [{', '.join(formats(form.marks, order))}]) AS TIMESTAMPTZ))"
    elif form.family == "compact":
        micros = f"epoch_us(CAST(try_strptime({cell}, '%Y%m%d') AS TIMESTAMPTZ))"
    else:
        micros = iso_sql(f"CAST({column} AS VARCHAR)")
    # An expression that stands twice in a query is computed for all rows, also in a branch: so none does here.
    return (
        f"coalesce({micros}, CASE WHEN {column} IS NULL OR CAST({column} AS VARCHAR) SIMILAR TO '\\s*' "
        f"THEN {MISSING} ELSE {NOT_A_TIME} END)"
    )


def iso_sql(cell: str) -> str:
    """SQL of ISO times: as they stand, and for those that fail without blanks around them."""
    plain = f"regexp_extract({cell}, '^\\s*(\\d.*?)\\s*$', 1)"
    # The text "epoch" is a time to DuckDB and to nobody else; 0 is looked at again, as a text that has digits.
    return f"nullif(epoch_us(TRY_CAST({cell} AS TIMESTAMPTZ)), 0), epoch_us(TRY_CAST({plain} AS TIMESTAMPTZ))"


def number_sql(column: str, kind: str, per_second: int) -> str:
    """SQL of the microseconds of an epoch; one that is small enough for a coarser unit is out of all years."""
    number = column if is_number_type(kind) else f"TRY_CAST({text_of(column)} AS DOUBLE)"
    double = f"CAST({number} AS DOUBLE)"
    if per_second == 10**9 and is_number_type(kind):
        micros = f"TRY_CAST({number} // 1000 AS BIGINT)"
    else:
        micros = f"TRY_CAST(round({double} * {10**6 / per_second!r}) AS BIGINT)"
    if per_second == 1:
        return micros
    return f"CASE WHEN abs({double}) < {FAR * per_second // 1000} THEN -1 ELSE {micros} END"


def formats(marks: Sequence[str], order: str) -> list[str]:
    """SQL literals of the strptime formats of day and month in an order."""
    first, second = ("%d", "%m") if order == "dmy" else ("%m", "%d")
    # %y stands before %Y: DuckDB would read the year 18 of 07/22/18 as the year 18.
    return [
        f"'{first}{mark}{second}{mark}{year}{clock}'" for mark in marks for clock in CLOCKS for year in ("%y", "%Y")
    ]
