"""`validate`: what was understood of an input, what is wrong with it, what will be rejected."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.journeys.build import GroupedJourneys
from touchworth.journeys.overview import Overview, merge_overviews, overview
from touchworth.journeys.read import read_events, read_paths
from touchworth.journeys.reduction import AnyJourneys, fold, parts_of
from touchworth.results import Result
from touchworth.sources.columns import detect_shape
from touchworth.sources.records import GameTable, ReadReport, Sessions

__all__ = ["Validation", "validate", "validation_of"]


@dataclass(frozen=True, slots=True, repr=False)
class Validation(Result):
    """What an input holds.

    Attributes
    ----------
    table
        section, item, value (texts): input, columns, rows, rejected, then journeys and channels (or sessions and
        players, or coalitions and players), notices.
    acceptable
        Whether an analysis would run: rejected rows within the share allowed.
    """

    table: pa.Table
    acceptable: bool
    shown: ClassVar[tuple[str, ...]] = ("section", "item", "value")


def validate(source: Any, *, shape: str | None = None, max_rejects: float = 0.01, **options: Any) -> Validation:
    """Read an input without computing anything and tell what was understood and what is wrong.

    Parameters
    ----------
    source, options
        As in `read_events`, `read_paths` or `read_sessions`; for a game the columns `coalition` and `value`, and
        `delimiter`.
    shape
        One of ``events``, ``touches``, ``paths``, ``sessions``, ``long``, ``transactions`` and ``game``; detected where
        not given.
    max_rejects
        Share of rejected rows above which an analysis would refuse the input; here all rows are looked at.

    Raises
    ------
    RequestError, DataError
        Where nothing can be read or analysed at all: a missing file, an unknown column, a target that never varies.
    """
    shape = detect_shape(
        source,
        shape=shape,
        conversions_source=options.get("conversions_source"),
        table=options.get("table"),
        query=options.get("query"),
        player=options.get("players"),
        **{name: value for name, value in options.items() if name not in ("conversions_source", "table", "query")},
    )
    return validation_of(read_leniently(source, shape, max_rejects, options), max_rejects)


def read_leniently(
    source: Any, shape: str, max_rejects: float, options: Mapping[str, Any]
) -> AnyJourneys | GroupedJourneys | Sessions | GameTable:
    """Read an input of a known shape and let every rejected row pass."""
    if shape == "paths":
        return read_paths(source, max_rejects=1.0, **options)
    if shape == "sessions":
        from touchworth.sources.sessions import load_sessions

        return load_sessions(source, max_rejects=1.0, player_rejects=max_rejects, **options)
    if shape == "long":
        from touchworth.sources.long import load_long

        return load_long(source, max_rejects=1.0, **({"session": "", "feature": ""} | dict(options)))
    if shape == "transactions":
        from touchworth.sources.transactions import load_transactions

        return load_transactions(source, max_rejects=1.0, **options)
    if shape == "game":
        from touchworth.sources.game import load_game

        return load_game(source, max_rejects=1.0, **options)
    return read_events(source, max_rejects=1.0, **options)


def validation_of(found: AnyJourneys | GroupedJourneys | Sessions | GameTable, max_rejects: float) -> Validation:
    """The account of an input that was read with every rejected row let pass."""
    report: ReadReport = found.report
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
        "exact duplicates removed" if report.shape != "long" else "pairs that repeat one": report.duplicates_removed,
        "without conversions and nulls, ignored": report.rows_without_outcome,
        (
            "blank cells of players, read as no" if report.shape == "sessions" else "blank conversion flags, read as no"
        ): report.blank_flags,
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
    if isinstance(found, Sessions):
        rows += account_of_sessions(found)
    elif isinstance(found, GameTable):
        rows += account_of_game(found)
    else:
        rows += account_of_journeys(found)
    rows += [("notices", str(place), text) for place, text in enumerate(report.notices, 1)]
    columns = zip(*rows, strict=True)
    table = pa.table(dict(zip(("section", "item", "value"), (list(column) for column in columns), strict=True)))
    return Validation(table, acceptable)


def account_of_journeys(journeys: AnyJourneys | GroupedJourneys) -> list[tuple[str, str, str]]:
    """The account of each group, or of all."""
    groups = parts_of(journeys)
    found = fold(list(groups.values()), overview, merge_overviews) if groups else []
    rows = []
    for name, (part, paths) in zip(groups, found, strict=True):
        paths.close()
        of_group = f" ({name})" if isinstance(journeys, GroupedJourneys) else ""
        rows += [(f"{section}{of_group}", item, value) for section, item, value in account(part)]
    return rows


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
    rows += players_by_count(journeys.dimension_players, journeys.journeys_met, "journeys")
    order = np.argsort(-journeys.touches_read, kind="stable")
    rows += [("channels", journeys.channels[c], f"{journeys.touches_read[c]:,.6g} touches") for c in order]
    return rows


def account_of_sessions(sessions: Sessions) -> list[tuple[str, str, str]]:
    """Sessions, conversions, values and players in words."""
    rows = [("sessions", "sessions", f"{sessions.rows:,}"), ("sessions", "players", f"{len(sessions.players):,}")]
    if sessions.weight is not None:
        rows.append(("sessions", "weight", f"{sessions.weight.sum():,.6g}"))
    if sessions.converted is not None:
        converted = int(sessions.converted.sum())
        rows.append(("sessions", "converted", f"{converted:,} ({converted / sessions.rows:.2%})"))
    if sessions.value is not None:
        rows.append(("sessions", "value", f"{sessions.value.sum():,.2f}"))
    if sessions.converted is None and sessions.value is None:
        rows.append(("sessions", "outcome", "none: only the support of coalitions can be counted"))
    else:
        rows.append(("sessions", "y", "the value" if sessions.value_is_target else "the conversion"))
    if sessions.user_hash is not None:
        rows.append(("sessions", "users", f"{np.unique(sessions.user_hash).size:,}"))
    if sessions.bits is not None:
        counts = np.array([np.bitwise_count(bits).sum(dtype=np.int64) for bits in sessions.bits])
    else:
        counts = np.bincount(sessions.items, minlength=len(sessions.players))  # type: ignore[arg-type]
    return rows + players_by_count(sessions.players, counts, "sessions")


def account_of_game(game: GameTable) -> list[tuple[str, str, str]]:
    """Coalitions, their sizes and their players in words."""
    sizes = np.diff(game.members_offsets)
    rows = [("coalitions", "coalitions", f"{sizes.size:,}")]
    rows += [("coalitions", f"of size {size}", f"{int((sizes == size).sum()):,}") for size in np.unique(sizes).tolist()]
    empty = "not given" if game.empty_value is None else f"{game.empty_value:g}"
    rows += [("coalitions", "value of the empty one", empty)]
    rows += [("coalitions", "values", f"{game.values.min():g} to {game.values.max():g}")]
    counts = np.bincount(game.members_items, minlength=len(game.players))
    return rows + players_by_count(game.players, counts, "coalitions")


def players_by_count(
    players: Iterable[str], counts: NDArray[np.int64], unit: str, most: int = 100
) -> list[tuple[str, str, str]]:
    """The most frequent players, and how many there are besides."""
    names = list(players)
    order = np.argsort(-counts, kind="stable")
    rows = [("players", names[p], f"{counts[p]:,} {unit}") for p in order[:most].tolist()]
    return rows + ([("players", "more", f"{len(names) - most:,}")] if len(names) > most else [])
