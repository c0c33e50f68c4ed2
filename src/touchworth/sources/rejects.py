"""Rows that cannot be used: why, counted by reason, and written with line numbers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from touchworth.errors import TooManyRejectsError
from touchworth.output import write_table

__all__ = ["REASONS", "Reason", "Reject", "Rejects"]


class Reason(NamedTuple):
    """Why a row is rejected: the words, and the role of the column to blame (None: the row as a whole)."""

    text: str
    role: str | None


# Codes of what becomes of a row: 0 keeps it, those below reject it, those above 250 leave it out.
NO_USER, NO_TIME, NOT_A_TIME, FAR_TIME, NOT_A_FLAG, NO_CHANNEL, BAD_VALUE, BAD_COST, LOW_COST, BAD_SEQUENCE = range(
    1, 11
)
NO_PATH, EMPTY_CHANNEL, BAD_CONVERSIONS, LOW_CONVERSIONS, BAD_NULLS, LOW_NULLS = range(11, 17)
WRONG_CELLS, BROKEN_QUOTES, NOT_UTF8, LONE_RETURN, TOO_LONG, NOT_JSON = range(17, 23)
NO_TARGET, TARGET_NO_FLAG, BAD_TARGET, NO_VALUE, BAD_WEIGHT, LOW_WEIGHT, PLAYER_NO_FLAG = range(23, 30)
NO_SESSION, NO_FEATURE, SESSION_UNKNOWN, SESSION_AGAIN, OTHER_OUTCOME = range(30, 35)
REPEATED_PLAYER, EMPTY_PLAYER, NO_GAME_VALUE, BAD_GAME_VALUE = range(35, 39)
NO_OUTCOME, DUPLICATE, LEFT_OUT = 253, 254, 255

REASONS: dict[int, Reason] = {
    NO_USER: Reason("user is missing", "user"),
    NO_TIME: Reason("time is missing", "time"),
    NOT_A_TIME: Reason("time is not a time", "time"),
    FAR_TIME: Reason("time is outside the years 1970 to 2200", "time"),
    NOT_A_FLAG: Reason("conversion is not a flag", "conversion"),
    NO_CHANNEL: Reason("channel is missing", "channel"),
    BAD_VALUE: Reason("value is not a number", "value"),
    BAD_COST: Reason("cost is not a number", "cost"),
    LOW_COST: Reason("cost is negative", "cost"),
    BAD_SEQUENCE: Reason("sequence is not a number", "sequence"),
    NO_PATH: Reason("path is missing", "path"),
    EMPTY_CHANNEL: Reason("a channel of the path is empty", "path"),
    BAD_CONVERSIONS: Reason("conversions is not a number", "conversions"),
    LOW_CONVERSIONS: Reason("conversions is negative", "conversions"),
    BAD_NULLS: Reason("nulls is not a number", "nulls"),
    LOW_NULLS: Reason("nulls is negative", "nulls"),
    NO_TARGET: Reason("target is missing", "target"),
    TARGET_NO_FLAG: Reason("target is not a flag", "target"),
    BAD_TARGET: Reason("target is not a number", "target"),
    NO_VALUE: Reason("value is missing", "value"),
    BAD_WEIGHT: Reason("weight is not a number", "weight"),
    LOW_WEIGHT: Reason("weight is negative", "weight"),
    PLAYER_NO_FLAG: Reason("a player is not a flag", "player"),
    NO_SESSION: Reason("session is missing", "session"),
    NO_FEATURE: Reason("feature is missing", "feature"),
    SESSION_UNKNOWN: Reason("session has no outcome", "session"),
    SESSION_AGAIN: Reason("session has an outcome in an earlier row", "session"),
    OTHER_OUTCOME: Reason("outcome is not that of an earlier row of the session", "target"),
    REPEATED_PLAYER: Reason("coalition names a player twice", "coalition"),
    EMPTY_PLAYER: Reason("coalition has an empty player", "coalition"),
    NO_GAME_VALUE: Reason("value is missing", "value"),
    BAD_GAME_VALUE: Reason("value is not a number", "value"),
    WRONG_CELLS: Reason("wrong number of cells", None),
    BROKEN_QUOTES: Reason("quotes are broken", None),
    NOT_UTF8: Reason("text is not UTF-8", None),
    LONE_RETURN: Reason("a carriage return stands inside the row", None),
    TOO_LONG: Reason("row is longer than 2 MB", None),
    NOT_JSON: Reason("line is not a JSON object", None),
}


class Reject(NamedTuple):
    """One rejected row; `column`, `value` and `raw` are texts."""

    file: str
    line: int
    column: str
    reason: str
    value: str
    raw: str


@dataclass(slots=True)
class Rejects:
    """Collector of rejected rows.

    Attributes
    ----------
    path
        File to write them to, or None: then they are counted only.
    force
        Whether an existing file may be replaced.
    counts
        Code of the reason -> rows.
    """

    path: str | Path | None = None
    force: bool = False
    counts: dict[int, int] = field(default_factory=dict)
    _tables: list[pa.Table] = field(default_factory=list)

    def count(self, code: int, rows: int) -> None:
        """Count rows rejected for a reason."""
        if rows:
            self.counts[code] = self.counts.get(code, 0) + rows

    def add(self, rows: Iterable[Reject]) -> None:
        """Keep rows for the file, packed: a tuple of Python texts takes four times the memory."""
        for some in chunks(rows, 50_000):
            self._tables.append(table_of(some))

    @property
    def total(self) -> int:
        """Rows rejected."""
        return sum(self.counts.values())

    def by_reason(self) -> dict[str, int]:
        """Reason -> rows, most frequent first."""
        ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return {REASONS[code].text: rows for code, rows in ranked}

    def write(self) -> None:
        """Write the rows, in order of file and line, to the file asked for; nothing where none was."""
        if self.path is not None:
            table = pa.concat_tables([table_of([]), *self._tables])
            write_table(table, self.path, force=self.force)

    def judge(self, rows_read: int, max_rejects: float) -> None:
        """Write the rejects, then end the run if there are more than `max_rejects` (a share of the rows)."""
        self.write()
        if self.total > max_rejects * rows_read:
            share = self.total / rows_read
            why = ", ".join(f"{rows:,} {reason}" for reason, rows in self.by_reason().items())
            where = f"they are in {str(self.path)!r}" if self.path else "--rejects FILE lists them"
            raise TooManyRejectsError(
                f"{self.total:,} of {rows_read:,} rows ({share:.2%}) are rejected ({why}), more than "
                f"--max-rejects {max_rejects:g} allows; {where}"
            )


def chunks(rows: Iterable[Reject], size: int) -> Iterator[list[Reject]]:
    """Lists of at most `size` rows."""
    some: list[Reject] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def table_of(rows: list[Reject]) -> pa.Table:
    """Arrow table of rejected rows."""
    types: Mapping[str, pa.DataType] = {name: pa.string() for name in Reject._fields} | {"line": pa.int64()}
    return pa.table({name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in types.items()})
