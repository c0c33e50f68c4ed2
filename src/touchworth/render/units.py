"""Numbers as people read them in plots: percent, percentage points, money, and the titles of their axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from touchworth.errors import not_one_of
from touchworth.results import round_for_people

__all__ = ["METRICS", "UNITS", "Unit", "column", "unit_named"]


@dataclass(frozen=True, slots=True)
class Unit:
    """How a quantity is shown.

    Attributes
    ----------
    title
        Of its axis, with the unit.
    factor
        From the number in a table to the number shown.
    suffix
        Behind the number shown.
    """

    title: str
    factor: float = 1.0
    suffix: str = ""

    def text(self, value: float | None, digits: int = 3) -> str:
        """A number with its unit; a dash where there is none."""
        if value is None:
            return "–"
        return round_for_people(float(value) * self.factor, digits) + self.suffix

    def between(self, low: float | None, high: float | None) -> str:
        """An interval with its unit, an open end as such; nothing where both ends are missing."""
        if low is None and high is None:
            return ""
        if low is None:
            return f"at most {self.text(high)}"
        if high is None:
            return f"at least {self.text(low)}"
        return f"{self.text(low)} to {self.text(high)}"

    def shown(self, values: Sequence[float | None]) -> list[float | None]:
        """Numbers as drawn."""
        return [None if value is None else float(value) * self.factor for value in values]


UNITS = {
    "rate": (Unit("percentage points", 100, " pp"), Unit("% of sessions that convert", 100, " %")),
    "log_rate": (Unit("log of ratios of rates"), Unit("log of the rate")),
    "log_odds": (Unit("log odds"), Unit("log odds to convert")),
    "value": (Unit("units of the target"), Unit("units of the target")),
}
"""Scale of a game -> unit of its dividends, unit of its values."""

METRICS = {
    "conversions": Unit("Conversions credited"),
    "value": Unit("Revenue credited (currency of the data)"),
    "conversion_rate": Unit("Conversions per touch (%)", 100, " %"),
    "share": Unit("Share of conversions (%)", 100, " %"),
    "cost_per_conversion": Unit("Cost per conversion (currency of the data)"),
    "roas": Unit("ROAS (revenue per unit of spend)"),
    "spend": Unit("Spend (currency of the data)"),
    "touches": Unit("Touches"),
}
"""Metric of the credit table -> how it is shown."""


def unit_named(scale: str) -> tuple[Unit, Unit]:
    """Units of dividends and of values on a scale: rate, log_rate, log_odds, or value for a real target."""
    if scale not in UNITS:
        raise not_one_of("the scale", scale, UNITS)
    return UNITS[scale]


def column(table: Any, name: str) -> list[Any]:
    """A column as Python numbers, None where missing or not finite; empty cells for a column that is not there."""
    if name not in table.column_names:
        return [None] * len(table)
    return [None if value is None or value != value else value for value in table[name].to_pylist()]  # noqa: PLR0124
