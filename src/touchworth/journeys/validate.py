"""`validate`: what was understood of an input, what is wrong with it, what will be rejected."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from touchworth.journeys.build import GroupedJourneys
from touchworth.journeys.overview import Overview, merge_overviews, overview
from touchworth.journeys.read import read_events, read_paths
from touchworth.journeys.reduction import AnyJourneys, fold, parts_of
from touchworth.results import Result
from touchworth.sources.columns import detect_shape

__all__ = ["Validation", "validate", "validation_of"]


@dataclass(frozen=True, slots=True, repr=False)
class Validation(Result):
    """What an input holds.

    Attributes
    ----------
    table
        section, item, value (texts): input, columns, rows, rejected, journeys, channels, notices.
    acceptable
        Whether `attribute` would run: rejected rows within the share allowed.
    """

    table: pa.Table
    acceptable: bool
    shown: ClassVar[tuple[str, ...]] = ("section", "item", "value")


def validate(source: Any, *, shape: str | None = None, max_rejects: float = 0.01, **options: Any) -> Validation:
    """Read an input without computing anything and tell what was understood and what is wrong.

    Parameters
    ----------
    source, options
        As in `read_events` (or `read_paths` for a path table).
    shape
        ``events``, ``touches`` or ``paths``; detected where not given.
    max_rejects
        Share of rejected rows above which `attribute` would refuse the input; here all rows are looked at.

    Raises
    ------
    RequestError, DataError
        Where nothing can be read at all: a missing file, an unknown column.
    """
    if shape is None:
        shape = detect_shape(source, table=options.get("table"), query=options.get("query"))
    if shape == "paths":
        return validation_of(read_paths(source, max_rejects=1.0, **options), max_rejects)
    return validation_of(read_events(source, max_rejects=1.0, **options), max_rejects)


def validation_of(journeys: AnyJourneys | GroupedJourneys, max_rejects: float) -> Validation:
    """The account of journeys that were read with every rejected row let pass."""
    report = journeys.report
    rows: list[tuple[str, str, str]] = [("input", "shape", report.shape)]
    rows += [("input", "source", name) for name in report.sources]
    rows += [
        ("columns", role, column + (" (detected)" if role in report.detected else ""))
        for role, column in report.columns.items()
    ]
    counted = {
        "read": report.rows_read,
        "rejected": report.rows_rejected,
        "left out by --where": report.rows_left_out,
        "exact duplicates removed": report.duplicates_removed,
        "without conversions and nulls, ignored": report.rows_without_outcome,
        "blank conversion flags, read as no": report.blank_flags,
        "conversions without channel": report.conversions_without_channel,
        "values without conversion, ignored": report.values_without_conversion,
    }
    rows += [
        ("rows", name, f"{number:,}") for name, number in counted.items() if number or name in ("read", "rejected")
    ]
    rows += [("rejected", reason, f"{number:,}") for reason, number in report.rejected_by_reason.items()]
    acceptable = report.rows_rejected <= max_rejects * report.rows_read
    verdict = "accepted" if acceptable else "refused"
    rows.append(("rejected", "share", f"{report.rows_rejected / max(report.rows_read, 1):.2%} of the rows: {verdict}"))
    groups = parts_of(journeys)
    found = fold(list(groups.values()), overview, merge_overviews) if groups else []
    for name, (part, paths) in zip(groups, found, strict=True):
        paths.close()
        of_group = f" ({name})" if isinstance(journeys, GroupedJourneys) else ""
        rows += [(f"{section}{of_group}", item, value) for section, item, value in account(part)]
    rows += [("notices", str(place), text) for place, text in enumerate(report.notices, 1)]
    columns = zip(*rows, strict=True)
    table = pa.table(dict(zip(("section", "item", "value"), (list(column) for column in columns), strict=True)))
    return Validation(table, acceptable)


def account(journeys: Overview) -> list[tuple[str, str, str]]:
    """Journeys, conversions, times and channels in words."""
    numbers = journeys.accounting
    rows = [
        ("journeys", "journeys", f"{journeys.conversions + journeys.nulls:,.6g}"),
        ("journeys", "conversions", f"{numbers['conversions']:,.6g}"),
        ("journeys", "attributed conversions", f"{journeys.conversions:,.6g}"),
        ("journeys", "value", f"{numbers['value']:,.2f}"),
        ("journeys", "touches", f"{numbers['touches_read']:,.6g}"),
    ]
    if journeys.has_times:
        rows.append(("journeys", "users", f"{numbers['users']:,.0f}"))
    if journeys.period is not None:
        first, last = (datetime.fromtimestamp(edge / 1e6, UTC) for edge in journeys.period)
        rows.append(("journeys", "times", f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"))
    order = np.argsort(-journeys.touches_read, kind="stable")
    rows += [("channels", journeys.channels[c], f"{journeys.touches_read[c]:,.6g} touches") for c in order]
    return rows
