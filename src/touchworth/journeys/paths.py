"""The commonest paths, and how long journeys are in touches and in days."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from touchworth.errors import DataError, RequestError
from touchworth.journeys.build import GroupedJourneys, Journeys
from touchworth.journeys.counts import count_paths
from touchworth.results import Result, join_groups

__all__ = ["Paths", "check_delimiter", "paths"]

DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, repr=False)
class Paths(Result):
    """Conversion paths.

    Attributes
    ----------
    table
        path, touches, conversions, value, nulls, conversion_rate: by falling conversions, then nulls, then path.
    lengths
        touches, conversions, nulls: journeys by number of touches.
    lags
        days, conversions: conversions by whole days from the first touch; None where there are no times.
    unique_paths
        Number of distinct paths, shown or not.
    """

    table: pa.Table
    lengths: pa.Table
    lags: pa.Table | None
    unique_paths: int
    shown: ClassVar[tuple[str, ...]] = ("path", "touches", "conversions", "value", "nulls", "conversion_rate")


def paths(journeys: Journeys | GroupedJourneys, top: int | None = 100) -> Paths:
    """The `top` paths by conversions (all: None), the lengths of all journeys and the time lags of conversions.

    Raises
    ------
    RequestError
        A `top` below 1.
    DataError
        A channel whose name contains the delimiter: its paths could not be read back.
    """
    if top is not None and top < 1:
        raise RequestError(f"--top is {top}; it must be 1 or more")
    if isinstance(journeys, GroupedJourneys):
        return join_paths(journeys.column, {name: paths(part, top) for name, part in journeys.groups.items()})
    check_delimiter(journeys)
    counts = count_paths(journeys)
    text = path_texts(journeys, counts.offsets, counts.symbol)
    order = np.lexsort((text, -counts.nulls, -counts.conversions))[:top]
    journeys_on = counts.conversions + counts.nulls
    table = pa.table(
        {
            "path": pa.array(text[order], pa.string()),
            "touches": np.diff(counts.offsets)[order],
            "conversions": counts.conversions[order],
            "value": counts.value[order],
            "nulls": counts.nulls[order],
            "conversion_rate": (counts.conversions / journeys_on)[order],
        }
    )
    length = journeys.stop - journeys.start
    by_length = {
        "conversions": np.bincount(length, journeys.conversions),
        "nulls": np.bincount(length, journeys.nulls),
    }
    seen = np.flatnonzero(by_length["conversions"] + by_length["nulls"])
    lengths = pa.table({"touches": seen} | {name: column[seen] for name, column in by_length.items()})
    return Paths(table, lengths, time_lags(journeys), int(text.size))


def time_lags(journeys: Journeys) -> pa.Table | None:
    """Conversions by whole days between the journey's first touch and the conversion."""
    if not journeys.has_times:
        return None
    converted = journeys.conversions > 0
    days = (journeys.closing_time[converted] - journeys.first_time[converted]) // DAY
    number = np.bincount(days) if days.size else np.empty(0, np.int64)
    seen = np.flatnonzero(number)
    return pa.table({"days": seen, "conversions": number[seen]})


def path_texts(journeys: Journeys, offsets: Any, symbol: Any) -> Any:
    """Paths as texts, object array (paths,): touches joined by the delimiter."""
    names = np.array(journeys.symbols, dtype=object)[symbol].tolist()
    join = journeys.delimiter.join
    ends = offsets.tolist()
    out = np.empty(len(ends) - 1, dtype=object)
    out[:] = [join(names[a:b]) for a, b in pairwise(ends)]
    return out


def check_delimiter(journeys: Journeys) -> None:
    """Refuse to join touches by a text that stands in a channel's own name."""
    for name in journeys.symbols:
        if journeys.delimiter in name:
            raise DataError(
                f"channel {name!r} contains the path delimiter {journeys.delimiter!r}, so that its paths could not be "
                "read back; give another with --delimiter, or rename the channel with --regroup"
            )


def join_paths(column: str, groups: dict[str, Paths]) -> Paths:
    """The paths of all groups, the group's name in the first column."""
    return Paths(
        join_groups({name: part.table for name, part in groups.items()}, column),
        join_groups({name: part.lengths for name, part in groups.items()}, column),
        join_groups({name: part.lags for name, part in groups.items()}, column),
        sum(part.unique_paths for part in groups.values()),
    )
