"""The commonest paths, and how long journeys are in touches and in days."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.journeys.build import GroupedJourneys, Journeys
from touchworth.journeys.counts import PathCounts, add_padded
from touchworth.journeys.overview import Overview, merge_overviews, overview
from touchworth.journeys.reduction import AnyJourneys, PathParts, fold, parts_of
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


def paths(journeys: AnyJourneys | GroupedJourneys, top: int | None = 100) -> Paths:
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
    groups = parts_of(journeys)
    found = {}
    for name, (spans, parts) in zip(groups, fold(list(groups.values()), spans_of, merge_spans), strict=True):
        found[name] = paths_of(spans, parts, top)
        parts.close()
    return join_paths(journeys.column, found) if isinstance(journeys, GroupedJourneys) else found[""]


@dataclass(frozen=True, slots=True)
class Spans:
    """Lengths and lags of journeys; they add up over partitions of the users.

    Attributes
    ----------
    lengths
        float64 (2, longest + 1): conversions and nulls by number of touches.
    lags
        float64 (1, most days + 1): conversions by whole days between the first touch and the conversion.
    """

    overview: Overview
    lengths: NDArray[np.float64]
    lags: NDArray[np.float64]


def spans_of(journeys: Journeys) -> Spans:
    """Lengths and lags of `journeys`."""
    length = journeys.stop - journeys.start
    weights = (journeys.conversions, journeys.nulls)
    days = np.empty(0, np.int64)
    if journeys.has_times:
        converted = journeys.conversions > 0
        days = (journeys.closing_time[converted] - journeys.first_time[converted]) // DAY
    return Spans(
        overview(journeys),
        np.array([np.bincount(length, weight) for weight in weights], np.float64).reshape(2, -1),
        np.bincount(days).astype(np.float64)[None, :],
    )


def merge_spans(a: Spans, b: Spans) -> Spans:
    """Add the spans of two disjoint sets of users."""
    return Spans(merge_overviews(a.overview, b.overview), add_padded(a.lengths, b.lengths), add_padded(a.lags, b.lags))


def paths_of(spans: Spans, parts: PathParts, top: int | None) -> Paths:
    """The tables of one group."""
    whole = spans.overview
    check_delimiter(whole)
    unique, tables = 0, []
    for number, table in parts.map(partial(top_paths, symbols=whole.symbols, delimiter=whole.delimiter, top=top)):
        unique += number
        tables.append(table)
    best = pa.concat_tables(tables)
    ranked = [("conversions", "descending"), ("nulls", "descending"), ("path", "ascending")]
    table = best.sort_by(ranked) if len(tables) > 1 else best
    conversions, nulls = spans.lengths
    seen = np.flatnonzero(conversions + nulls)
    lengths = pa.table({"touches": seen, "conversions": conversions[seen], "nulls": nulls[seen]})
    return Paths(table.slice(0, top), lengths, time_lags(spans), unique)


def top_paths(counts: PathCounts, symbols: tuple[str, ...], delimiter: str, top: int | None) -> tuple[int, pa.Table]:
    """Number of paths, and the table of the first `top` of them."""
    text = path_texts(symbols, delimiter, counts.offsets, counts.symbol)
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
    return text.size, table


def time_lags(spans: Spans) -> pa.Table | None:
    """Conversions by whole days between the journey's first touch and the conversion."""
    if not spans.overview.has_times:
        return None
    number = spans.lags[0].astype(np.int64)
    seen = np.flatnonzero(number)
    return pa.table({"days": seen, "conversions": number[seen]})


def path_texts(symbols: tuple[str, ...], delimiter: str, offsets: Any, symbol: Any) -> Any:
    """Paths as texts, object array (paths,): touches joined by the delimiter."""
    names = np.array(symbols, dtype=object)[symbol].tolist()
    join = delimiter.join
    ends = offsets.tolist()
    out = np.empty(len(ends) - 1, dtype=object)
    out[:] = [join(names[a:b]) for a, b in pairwise(ends)]
    return out


def check_delimiter(journeys: Journeys | Overview) -> None:
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
