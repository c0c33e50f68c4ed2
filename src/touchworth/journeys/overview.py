"""What is known of journeys as a whole, without the journeys: it adds up over partitions of the users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.journeys.build import Journeys, open_notice
from touchworth.journeys.rules import Rules
from touchworth.sources.records import ReadReport

__all__ = ["Overview", "merge_overviews", "overview"]


@dataclass(frozen=True, slots=True)
class Overview:
    """Names, totals and the account of journeys; see `Journeys` for the fields of the same name.

    Attributes
    ----------
    conversions, nulls, value
        Sums over all journeys.
    longest
        Touches of the longest journey.
    period
        Time of the first and of the last touch in microseconds; None where there is none.
    """

    channels: tuple[str, ...]
    symbols: tuple[str, ...]
    symbol_channel: NDArray[np.int32]
    touches: NDArray[np.float64]
    touches_read: NDArray[np.float64]
    cost: NDArray[np.float64] | None
    conversions: float
    nulls: float
    value: float
    longest: int
    period: tuple[int, int] | None
    accounting: dict[str, float]
    rules: Rules
    report: ReadReport
    delimiter: str
    has_times: bool
    has_value: bool

    @property
    def notices(self) -> tuple[str, ...]:
        """What to tell about the journeys."""
        return open_notice(self.accounting.get("open_journeys", 0.0), self.nulls, self.rules)


def overview(journeys: Journeys) -> Overview:
    """Overview of `journeys`."""
    times = journeys.time
    return Overview(
        channels=journeys.channels,
        symbols=journeys.symbols,
        symbol_channel=journeys.symbol_channel,
        touches=journeys.touches,
        touches_read=journeys.touches_read,
        cost=journeys.cost,
        conversions=float(journeys.conversions.sum()),
        nulls=float(journeys.nulls.sum()),
        value=float(journeys.value.sum()),
        longest=int((journeys.stop - journeys.start).max(initial=0)),
        period=(int(times.min()), int(times.max())) if times.size else None,
        accounting=journeys.accounting,
        rules=journeys.rules,
        report=journeys.report,
        delimiter=journeys.delimiter,
        has_times=journeys.has_times,
        has_value=journeys.has_value,
    )


def merge_overviews(a: Overview, b: Overview) -> Overview:
    """Overview of the journeys of two disjoint sets of users (same names, same rules)."""
    edges = [edge for part in (a, b) if part.period is not None for edge in part.period]
    return Overview(
        channels=a.channels,
        symbols=a.symbols,
        symbol_channel=a.symbol_channel,
        touches=a.touches + b.touches,
        touches_read=a.touches_read + b.touches_read,
        cost=None if a.cost is None or b.cost is None else a.cost + b.cost,
        conversions=a.conversions + b.conversions,
        nulls=a.nulls + b.nulls,
        value=a.value + b.value,
        longest=max(a.longest, b.longest),
        period=(min(edges), max(edges)) if edges else None,
        accounting={name: number + b.accounting[name] for name, number in a.accounting.items()},
        rules=a.rules,
        report=a.report,
        delimiter=a.delimiter,
        has_times=a.has_times,
        has_value=a.has_value,
    )
