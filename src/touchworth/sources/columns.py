"""Which column plays which role: by name, checked against the contents; never a guess between two."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from touchworth.errors import RequestError, not_one_of
from touchworth.sources.kinds import is_number_type
from touchworth.sources.tables import Tables, find_files, head_of, kind_of_file, need_column, open_tables
from touchworth.sources.times import looks_like_time

__all__ = ["SHAPES", "Roles", "detect_shape", "event_roles", "find_role", "path_roles"]

# Names of each role in tiers: a column of an earlier tier wins; two of one tier are ambiguous.
NAMES: dict[str, tuple[str, ...]] = {
    "user": (
        "user user_id userid uid customer customer_id customerid visitor visitor_id cookie cookie_id client_id",
        "full_visitor_id fullvisitorid user_pseudo_id anonymous_id device_id person_id contact_id lead_id account_id",
        "id",
    ),
    "time": (
        "time timestamp datetime date_time event_time event_timestamp event_datetime touch_time touch_timestamp",
        "date ts event_date day created_at occurred_at visit_start_time visit_time session_time click_time date_served",
        "conversion_time conversion_timestamp conversion_date converted_at order_time order_date purchase_time",
    ),
    "channel": (
        "channel marketing_channel touch_channel touchpoint touch_point channel_name channel_grouping",
        "source utm_source source_medium medium campaign campaign_name touch interaction_channel",
    ),
    "conversion": (
        "conversion converted is_conversion is_converted conversion_flag has_converted converts",
        "purchase purchased is_purchase transaction ordered revenue_flag",
    ),
    "value": (
        "conversion_value value total_conversion_value total_value",
        "revenue conversion_revenue total_revenue amount order_value purchase_value transaction_revenue",
    ),
    "cost": ("cost", "spend", "touch_cost"),
    "sequence": ("sequence sequence_number seq",),
    "path": (
        "path paths channel_path journey conversion_path journey_path",
        "top_conversion_paths top_conversion_path touchpoints channels sequence",
    ),
    "conversions": (
        "conversions total_conversions conversion total_conversion num_conversions",
        "converted converted_users orders purchases",
    ),
    "nulls": ("nulls null total_null total_nulls non_conversions nonconversions no_conversions",),
    "target": (
        "converted conversion is_conversion is_converted has_converted conversion_flag converts target y label",
        "purchase purchased is_purchase ordered bought sale transaction revenue outcome response",
    ),
    "coalition": ("coalition coalitions", "players set subset members"),
    "coalition value": ("value v worth coalition_value", "score average_score payoff mean"),
}
# Rows of a Spark data frame that are looked at.
EXAMPLES = 2_000
FLAGS = {"0", "1", "0.0", "1.0", "yes", "no", "true", "false", "t", "f", "y", "n"}
IDS = re.compile(rb"\d+(?:[ \t,]+\d+)*,?")
IDS_APART = re.compile(rb"[ \t,]+")
SHAPES = ("events", "touches", "paths", "sessions", "long", "transactions", "game")
PATH_MARK = re.compile(r"\S\s*(>|→|\|)\s*\S")


@dataclass(frozen=True, slots=True)
class Roles:
    """Role -> column, and which of them were detected rather than named."""

    columns: dict[str, str]
    detected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Texts of the first rows of each column that are not blank, and the share of cells that are blank."""

    cells: Mapping[str, list[str]]
    types: Mapping[str, str]


def sample_of(tables: Tables, where: Mapping[str, str] | None = None) -> Sample:
    """Examples of every column, from the first part that has it; of rows that the filter keeps, if there are any."""
    cells: dict[str, list[str]] = {}
    types: dict[str, str] = {}
    for part in tables.parts:
        rows = tables.sample(part) if any(name not in cells for name in part.columns) else []
        wanted = [(part.columns.index(name), value) for name, value in (where or {}).items() if part.has(name)]
        rows = [row for row in rows if all(same_cell(row[i], value) for i, value in wanted)] or rows
        for i, name in enumerate(part.columns):
            if name not in cells:
                cells[name] = [str(row[i]).strip() for row in rows if row[i] is not None and str(row[i]).strip()]
                types[name] = part.types[i]
    return Sample(cells, types)


def same_cell(cell: str | None, value: str) -> bool:
    """Whether a cell is what a filter asks for: the same text, or the same number."""
    if cell is None:
        return False
    cell, value = cell.strip(), value.strip()
    return cell == value or (is_number(cell) and is_number(value) and float(cell) == float(value))


def plain_name(name: str) -> str:
    """A name in lower case with underscores: ``fullVisitorId`` and ``Full visitor-ID`` are the same."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^0-9a-zA-Z]+", "_", name).strip("_").lower()


def is_number(cell: str) -> bool:
    """Whether a text is a number (of any kind, also NaN: judging it is for later)."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def mostly(cells: Sequence[str], test: Callable[[str], bool]) -> bool:
    """Whether most examples pass a test; no example disproves nothing."""
    return not cells or 2 * sum(map(test, cells)) > len(cells)


def fits(role: str, name: str, sample: Sample) -> bool:
    """Whether the contents of a column can play a role."""
    cells, kind = sample.cells[name], sample.types[name]
    if role == "time":
        return kind.startswith(("TIMESTAMP", "DATE")) or mostly(cells, looks_like_time)
    if role == "conversion":
        return mostly(cells, lambda cell: cell.lower() in FLAGS or is_number(cell))
    if role in ("value", "cost", "sequence", "conversions", "nulls", "coalition value"):
        return mostly(cells, is_number)
    if role == "path":
        return not mostly(cells, is_number) or not cells
    return True


def find_role(role: str, sample: Sample, taken: Iterable[str], option: str | None = None) -> str | None:
    """The column that plays a role, None if there is none.

    Raises
    ------
    RequestError
        When two columns could equally well.
    """
    free = [name for name in sample.cells if name not in set(taken)]
    for tier in NAMES[role]:
        names = set(tier.split())
        found = [name for name in free if plain_name(name) in names]
        if len(found) > 1:
            # A lone name is taken whatever it holds: wrong contents must be rejected aloud, not passed over.
            found = [name for name in found if fits(role, name, sample)] or found
        if len(found) > 1:
            exact = [name for name in found if plain_name(name) == role]
            found = exact if len(exact) == 1 else found
        if len(found) > 1:
            raise ambiguous(role, found, option)
        if found:
            return found[0]
    found = by_content(role, sample, free)
    if len(found) > 1:
        raise ambiguous(role, found, option)
    return found[0] if found else None


def by_content(role: str, sample: Sample, free: Sequence[str]) -> list[str]:
    """Columns that only their contents betray: times that are no plain numbers, and paths."""
    if role == "time":
        return [
            name
            for name in free
            if sample.types[name].startswith(("TIMESTAMP", "DATE"))
            or (
                sample.cells[name]
                and mostly(sample.cells[name], lambda cell: looks_like_time(cell) and not is_number(cell))
            )
        ]
    if role == "path":
        return [
            name
            for name in free
            if sample.cells[name] and mostly(sample.cells[name], lambda cell: PATH_MARK.search(cell) is not None)
        ]
    return []


def is_binary(name: str, sample: Sample) -> bool:
    """Whether the examples of a column are flags: most of them, and no other number; no example disproves nothing."""
    return mostly(sample.cells[name], lambda cell: is_flag(cell, sample.types[name])) and not other_numbers(
        name, sample
    )


def is_flag(cell: str, kind: str) -> bool:
    """Whether a cell is a flag."""
    return float(cell) in (0, 1) if is_number_type(kind) else cell.lower() in FLAGS


def other_numbers(name: str, sample: Sample) -> list[str]:
    """The examples of a column that are finite numbers, but neither 0 nor 1."""
    kind = sample.types[name]
    return [
        cell for cell in sample.cells[name] if not is_flag(cell, kind) and is_number(cell) and isfinite(float(cell))
    ]


def odd_example(name: str, sample: Sample) -> str:
    """An example of a column that is no flag, a number if there is one; "" where all are flags."""
    odd = other_numbers(name, sample) or [c for c in sample.cells[name] if not is_flag(c, sample.types[name])]
    return odd[0] if odd else ""


def find_target(sample: Sample, taken: Iterable[str]) -> str | None:
    """The binary column whose name says that it tells who converted, None if there is none.

    Raises
    ------
    RequestError
        When two columns could equally well.
    """
    free = [name for name in sample.cells if name not in set(taken) and sample.cells[name]]
    for tier in NAMES["target"]:
        found = [name for name in free if plain_name(name) in set(tier.split()) and is_binary(name, sample)]
        if len(found) > 1:
            exact = [name for name in found if plain_name(name) in ("target", "converted")]
            found = exact if len(exact) == 1 else found
        if len(found) > 1:
            raise ambiguous("target", found, None)
        if found:
            return found[0]
    return None


def ambiguous(role: str, found: Sequence[str], option: str | None) -> RequestError:
    """Error for a role that several columns could play."""
    return RequestError(
        f"the {role} could be any of the columns {', '.join(map(repr, found))}; say which with {option or '--' + role}"
    )


def settle(
    tables: Tables,
    asked: Mapping[str, str | None],
    required: Sequence[str],
    options: Mapping[str, str] | None = None,
) -> Roles:
    """Settle every role of `asked`: the column named, none for "", else what is detected."""
    options = options or {}
    sample = sample_of(tables)
    columns: dict[str, str] = {}
    for role, name in asked.items():
        if name:
            columns[role] = need_column(tables, name, options.get(role, f"--{role}"))
    detected = []
    for role, name in asked.items():
        if name is not None:
            continue
        found = find_role(role, sample, columns.values(), options.get(role))
        if found is not None:
            columns[role] = found
            detected.append(role)
    for role in required:
        if role not in columns:
            raise RequestError(
                f"no column of {tables.names[0]} looks like the {role}; name it with {options.get(role, '--' + role)} "
                f"(the columns are {', '.join(map(repr, tables.columns))})"
            )
    ordered = {role: columns[role] for role in asked if role in columns}
    return Roles(ordered, tuple(detected))


def event_roles(tables: Tables, asked: Mapping[str, str | None]) -> Roles:
    """Roles of an event table: user, time, channel [, conversion, value, cost, sequence]."""
    return settle(tables, asked, ("user", "time", "channel"))


def conversion_roles(tables: Tables, asked: Mapping[str, str | None]) -> Roles:
    """Roles of a table of conversions: user, time [, value]."""
    options = {role: f"--conversion-{role}" for role in asked}
    return settle(tables, asked, ("user", "time"), options)


def path_roles(tables: Tables, asked: Mapping[str, str | None]) -> Roles:
    """Roles of a path table: path, conversions [, value, nulls]."""
    return settle(tables, asked, ("path", "conversions"))


def game_roles(tables: Tables, asked: Mapping[str, str | None]) -> Roles:
    """Roles of a table of coalitions: coalition, coalition value."""
    return settle(tables, asked, ("coalition", "coalition value"), {"coalition value": "--value"})


def detect_shape(
    source: Any,
    *,
    shape: str | None = None,
    conversions_source: Any = None,
    table: str | None = None,
    query: str | None = None,
    **named: object,
) -> str:
    """Tell the shapes of input apart: one of `SHAPES`.

    Parameters
    ----------
    source, table, query
        As in `load_events`.
    shape
        Overrides the detection.
    conversions_source
        A table of conversions makes the source ``touches``.
    named
        Columns (or a target item) the caller named, such as ``path="route"`` or ``user="who"``; they decide first.

    Raises
    ------
    RequestError
        When the columns fit no shape.
    """
    if shape is not None:
        if shape not in SHAPES:
            raise not_one_of("--shape", shape, SHAPES)
        return shape
    if conversions_source is not None:
        return "touches"
    if hasattr(source, "mapInArrow") and hasattr(source, "limit"):
        # The first rows of a Spark data frame tell; all of them may not fit here.
        source = source.limit(EXAMPLES)
    # Players may be ids of transactions as well as columns.
    told = named_shape({role: name for role, name in named.items() if role != "player"})
    if told == "transactions":
        return told
    if told is None and table is None and query is None and are_transactions(source):
        return "transactions"
    with open_tables(source, table=table, query=query) as tables:
        return shape_of(tables, named)


def named_shape(named: Mapping[str, object]) -> str | None:
    """The shape that the named columns belong to, None where they do not tell."""
    for shape, roles in (
        ("game", ("coalition",)),
        ("long", ("session", "feature", "outcomes")),
        ("transactions", ("target_item",)),
        ("sessions", ("target", "order_value", "weight", "player")),
        ("paths", ("path", "conversions", "nulls")),
        ("events", ("user", "time", "channel")),
    ):
        if any(is_given(named.get(role)) for role in roles):
            return shape
    return None


def is_given(value: object) -> bool:
    """Whether an option was given: not None, nor an empty text or collection (a frame is given, also an empty one)."""
    return value is not None and not (isinstance(value, str | list | tuple | dict) and not value)


def shape_of(tables: Tables, named: Mapping[str, object]) -> str:
    """Shape of opened tables; see `detect_shape`."""
    told = named_shape(named)
    # Sessions have users as well: alone, a named user does not tell them from events.
    user_only = told == "events" and not is_given(named.get("time")) and not is_given(named.get("channel"))
    if told is not None and not user_only:
        return told
    sample = sample_of(tables)

    def present(role: str) -> bool:
        try:
            return find_role(role, sample, ()) is not None
        except RequestError:
            return True

    if user_only:
        events = present("time") and present("channel")
        return "sessions" if not events and are_sessions(sample, most=present("time")) else "events"
    event_like = present("user") and present("time") and present("channel")
    if event_like:
        return "events"
    if present("coalition") and present("coalition value"):
        return "game"
    if present("path") and present("conversions"):
        return "paths"
    if are_sessions(sample, most=present("time")):
        return "sessions"
    columns = ", ".join(map(repr, tables.columns))
    raise RequestError(
        f"the columns of {tables.names[0]} ({columns}) fit neither events (user, time, channel) nor paths "
        "(path, conversions), sessions (columns of 0 and 1, and a target) or a game (coalition, value); name them with "
        "--user, --time, --channel, or --path, --conversions, or --target, or --coalition, --value"
    )


def are_sessions(sample: Sample, *, most: bool) -> bool:
    """Whether one column is named as a target and holds flags, and some (with `most` half) of the others do."""
    try:
        target = find_target(sample, ())
    except RequestError:
        return True
    others = [name for name in sample.cells if name != target]
    binary = [name for name in others if sample.cells[name] and is_binary(name, sample)]
    return target is not None and bool(binary) and (not most or 2 * len(binary) >= len(others))


def are_transactions(source: Any) -> bool:
    """Whether a text file has no header and lines of whole numbers: by blanks, or of different numbers of ids."""
    first = source[0] if isinstance(source, list | tuple) and source else source
    if not isinstance(first, str | os.PathLike):
        return False
    place, name = find_files(first)[0]
    if kind_of_file(place, name) != "text":
        return False
    lines = [line.strip() for line in head_of(place, 1 << 16).removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1] or [b"x"]]
    lines = [line for line in lines if line][:200]
    if not lines or not all(IDS.fullmatch(line) for line in lines):
        return False
    return any(b" " in line for line in lines) or len({len(IDS_APART.split(line)) for line in lines}) > 1
