"""What reading produces: encoded arrays and a report of what was understood, kept and rejected."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["Dimension", "Events", "GameTable", "PathTable", "ReadReport", "Sessions"]


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What was read and what became of it.

    Attributes
    ----------
    shape
        ``events``, ``touches``, ``paths``, ``sessions``, ``long``, ``transactions`` or ``game``.
    sources
        Names of the files (or kinds of frames) read, in order.
    columns
        Role -> column name, as detected or as asked for.
    detected
        The roles that were detected rather than named by the caller.
    rows_read, rows_rejected
        Rows of all inputs; rejected rows are part of the rows read.
    rejected_by_reason
        Reason -> number of rows; sums to ``rows_rejected``.
    duplicates_removed, rows_left_out
        Rows dropped by ``deduplicate``, or long pairs that repeat one; rows that the ``where`` filter left out.
    blank_flags, conversions_without_channel, values_without_conversion
        Counts of the oddities of these names; a value without conversion is ignored.
    rows_without_outcome
        Path tables: rows with neither conversions nor nulls, ignored.
    notices
        Plain sentences for the user, in order.
    """

    shape: str
    sources: tuple[str, ...]
    columns: dict[str, str]
    detected: tuple[str, ...] = ()
    rows_read: int = 0
    rows_rejected: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    duplicates_removed: int = 0
    rows_left_out: int = 0
    blank_flags: int = 0
    conversions_without_channel: int = 0
    values_without_conversion: int = 0
    rows_without_outcome: int = 0
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dimension:
    """A column of an event log whose values become players beside the channels.

    Attributes
    ----------
    column
        Its name.
    codes
        int32 (n,): index into ``values``; -1 where blank.
    values
        Its values in the order of their UTF-8 bytes; every one occurs.
    """

    column: str
    codes: NDArray[np.int32]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Events:
    """Touches and conversions of users, encoded, in the order read (``n`` rows).

    Attributes
    ----------
    user
        int64 (n,): dense user code, 0 .. users-1, in order of first appearance.
    time
        int64 (n,): microseconds since 1970-01-01 UTC.
    channel
        int32 (n,): index into ``channels``; -1 where the row is a conversion without a touch.
    converts
        uint8 (n,): 1 where the row is (also) a conversion.
    value
        float64 (n,): value of the conversion; 0 where the row does not convert.
    sequence
        float64 (n,): explicit order of rows of equal time, or None.
    cost
        float64 (n,): cost of the touch, or None.
    by
        int32 (n,): index into ``by_values`` (a dimension to repeat the analysis by), or None.
    user_ids
        Arrow string array (users,): the ids as text.
    user_hash
        uint64 (users,): XXH64 (seed 0) of the id's UTF-8 text.
    channels
        Channel names in the order of their UTF-8 bytes; every one occurs.
    by_values
        Values of the ``by`` column in the order of their UTF-8 bytes.
    dimensions
        Further columns whose values are players of games; none unless asked for.
    """

    user: NDArray[np.int64]
    time: NDArray[np.int64]
    channel: NDArray[np.int32]
    converts: NDArray[np.uint8]
    value: NDArray[np.float64]
    sequence: NDArray[np.float64] | None
    cost: NDArray[np.float64] | None
    by: NDArray[np.int32] | None
    user_ids: pa.Array
    user_hash: NDArray[np.uint64]
    channels: tuple[str, ...]
    by_values: tuple[str, ...]
    report: ReadReport
    dimensions: tuple[Dimension, ...] = ()


@dataclass(frozen=True, slots=True)
class PathTable:
    """Aggregated journeys: one row a path (``p`` rows, each path once, ``t`` touches in all).

    Attributes
    ----------
    offsets
        int64 (p + 1,): row i's touches are ``channel[offsets[i]:offsets[i + 1]]``.
    channel
        int32 (t,): index into ``channels``.
    conversions, nulls, value
        float64 (p,): weights of the path; nulls and value are 0 where the input has no such column.
    row
        int64 (p,): 0-based row of the input at which the path first stands.
    delimiter
        What separates the touches of a path.
    channels
        Channel names in the order of their UTF-8 bytes; every one occurs.
    has_value, has_nulls
        Whether the input has those columns.
    """

    offsets: NDArray[np.int64]
    channel: NDArray[np.int32]
    conversions: NDArray[np.float64]
    nulls: NDArray[np.float64]
    value: NDArray[np.float64]
    row: NDArray[np.int64]
    delimiter: str
    channels: tuple[str, ...]
    has_value: bool
    has_nulls: bool
    report: ReadReport


@dataclass(frozen=True, slots=True, repr=False)
class Sessions:
    """Sessions and the players each holds, in the order read (``n`` sessions); exactly one form is there.

    Attributes
    ----------
    players
        Names of the players, in the order of the input.
    rows
        n.
    bits
        One uint8 (ceil(n / 8),) array a player: bit i (little end first) is 1 where session i holds it; None for
        lists.
    offsets, items
        int64 (n + 1,) and int32: session i holds the players ``items[offsets[i]:offsets[i + 1]]``; None for bits.
    converted
        uint8 (n,): 1 where the session converted; None where nothing tells (pure transactions, a real target).
    value
        float64 (n,): the real target, or the order values; None without a value column.
    value_is_target
        Whether y is `value` (a real target) rather than `converted`.
    weight
        float64 (n,): how many sessions each row stands for, or None for 1 each.
    user_hash
        uint64 (n,): XXH64 (seed 0) of the user's id as UTF-8 text, or None without a user column.
    report
        What was read and rejected.
    """

    players: tuple[str, ...]
    rows: int
    bits: tuple[NDArray[np.uint8], ...] | None
    offsets: NDArray[np.int64] | None
    items: NDArray[np.int32] | None
    converted: NDArray[np.uint8] | None
    value: NDArray[np.float64] | None
    value_is_target: bool
    weight: NDArray[np.float64] | None
    user_hash: NDArray[np.uint64] | None
    report: ReadReport

    def __repr__(self) -> str:
        told = ""
        if self.converted is not None:
            told = f", {int(self.converted.sum(dtype=np.int64)):,} converted"
        if self.value is not None:
            told += f", value {self.value.sum():,.6g}"
        return f"Sessions({self.rows:,} sessions, {len(self.players):,} players{told})"


@dataclass(frozen=True, slots=True, repr=False)
class GameTable:
    """Values of coalitions, each once (``f`` coalitions without the empty one).

    Attributes
    ----------
    players
        Names, in order of first appearance.
    members_offsets, members_items
        int64 (f + 1,) and int32: coalition i holds the players ``members_items[members_offsets[i]:members_offsets[i +
        1]]``, ascending.
    values
        float64 (f,).
    empty_value
        Value of the empty coalition, or None where no row gives it.
    report
        What was read and rejected.
    """

    players: tuple[str, ...]
    members_offsets: NDArray[np.int64]
    members_items: NDArray[np.int32]
    values: NDArray[np.float64]
    empty_value: float | None
    report: ReadReport

    def __repr__(self) -> str:
        return f"GameTable({self.values.size:,} coalitions, {len(self.players):,} players)"
