"""The recipe of simulated journeys: a frozen record that is checked when made and reads and writes TOML and JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from touchworth.errors import RequestError, missing_column, not_one_of
from touchworth.simulate.channels import (
    DEFAULT_CHANNELS,
    SUM_TOLERANCE,
    Channel,
    channel_dict,
    check_channels,
    read_channels,
)
from touchworth.simulate.documents import check_keys, dump_toml, number, parse_json, parse_toml, read_document, text

__all__ = ["Cohort", "Interaction", "JourneySpec", "make_recipe"]

VALUE_RULES = ("factual", "reassigned")
MOST_TOUCHES = 1000.0
Matrix = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two channels whose joint presence in a journey adds `effect` (may be negative) to its conversion probability."""

    channels: tuple[str, str]
    effect: float


@dataclass(frozen=True, slots=True)
class Cohort:
    """A run of its own: part of the users with some parameters changed.

    Attributes
    ----------
    name
        Label in the column cohort.
    share
        Share of the users; those of all cohorts sum to 1.
    changes
        Fields of `JourneySpec` and their values for this cohort (not rate, value_rule or cohorts).
    """

    name: str
    share: float
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JourneySpec:
    """How journeys are drawn; see docs/simulators.md for the recipe.

    Attributes
    ----------
    channels
        The channel table.
    touches
        Mean of the Poisson number of touches of a journey, above 0.
    start
        First day (ISO date, UTC) of the window in which users begin.
    window_days
        Length of that window; the first touch is uniform in it.
    gap_days
        Mean of the exponential time between touches.
    cvr_scale
        Factor on every CVR.
    rate
        Wanted conversion rate of journeys; solved for `cvr_scale` before rows are drawn. None: CVRs as they are.
    transitions
        Channel -> channel -> probability of the next touch; a channel without a row steers nothing, and an empty
        mapping means that touches are independent. Each row sums to 1.
    interactions
        Pairs whose joint presence changes the conversion probability.
    half_life_days
        A touch's contribution halves with every so many days between it and the decision (at the last touch).
    repeat
        Probability that a user who converted begins a new journey.
    organic
        Conversion probability that no channel earns.
    heterogeneity
        (a, b): each user's channel effects are multiplied by a Beta(a, b) number divided by its mean.
    value_rule
        What the order value of a counterfactual journey follows: the `factual` last touch, or the last that remains
        (`reassigned`).
    cohorts
        Runs with changed parameters; empty: one run.
    """

    channels: tuple[Channel, ...] = DEFAULT_CHANNELS
    touches: float = 10.0
    start: str = "2026-01-01"
    window_days: float = 90.0
    gap_days: float = 1.0
    cvr_scale: float = 1.0
    rate: float | None = None
    transitions: Matrix = field(default_factory=dict)
    interactions: tuple[Interaction, ...] = ()
    half_life_days: float | None = None
    repeat: float = 0.0
    organic: float = 0.0
    heterogeneity: tuple[float, float] | None = None
    value_rule: str = "factual"
    cohorts: tuple[Cohort, ...] = ()

    def __post_init__(self) -> None:
        check_channels(self.channels)
        number(self.touches, "--touches", 0.0, MOST_TOUCHES, above=True)
        first_moment(self.start)
        number(self.window_days, "window_days", 0.0, 100_000.0)
        number(self.gap_days, "gap_days", 0.0, 10_000.0, above=True)
        number(self.cvr_scale, "cvr_scale", 0.0)
        # With cohorts these are checked run by run.
        for channel in () if self.cohorts else self.channels:
            if channel.cvr * self.cvr_scale > 1 + 1e-12:
                raise RequestError(
                    f"the cvr of {channel.name!r} times the cvr_scale {self.cvr_scale:g} is "
                    f"{channel.cvr * self.cvr_scale:g}; it must be at most 1"
                )
        if self.rate is not None:
            number(self.rate, "--rate", 0.0, 1.0)
        self._check_transitions()
        self._check_interactions()
        if self.half_life_days is not None:
            number(self.half_life_days, "half_life_days", 0.0, above=True)
        number(self.repeat, "repeat", 0.0, 0.99)
        number(self.organic, "organic", 0.0, 1.0)
        if self.heterogeneity is not None:
            for letter, value in zip("ab", self.heterogeneity, strict=True):
                number(value, f"{letter} of heterogeneity", 0.0, above=True)
        if self.value_rule not in VALUE_RULES:
            raise not_one_of("value_rule", self.value_rule, VALUE_RULES)
        self._check_cohorts()

    def _check_transitions(self) -> None:
        names = self.names
        for source, row in self.transitions.items():
            if source not in names:
                raise missing_column(source, names, "a row of transitions")
            for target, probability in row.items():
                if target not in names:
                    raise missing_column(target, names, f"transitions from {source!r}")
                number(probability, f"the transition from {source!r} to {target!r}", 0.0, 1.0)
            total = sum(row.values())
            if abs(total - 1) > SUM_TOLERANCE:
                raise RequestError(f"the transitions from {source!r} sum to {total:.10g}; they must sum to 1")

    def _check_interactions(self) -> None:
        seen = set()
        for pair in self.interactions:
            for name in pair.channels:
                if name not in self.names:
                    raise missing_column(name, self.names, "an interaction")
            if len(set(pair.channels)) != 2:
                raise RequestError(f"an interaction is of {list(pair.channels)}; it needs two different channels")
            if frozenset(pair.channels) in seen:
                raise RequestError(f"the interaction of {' and '.join(pair.channels)} stands twice; give it once")
            seen.add(frozenset(pair.channels))
            number(pair.effect, f"the effect of {' and '.join(pair.channels)}", -1.0, 1.0)

    def _check_cohorts(self) -> None:
        names = [cohort.name for cohort in self.cohorts]
        for cohort in self.cohorts:
            text(cohort.name, "the name of a cohort")
            if names.count(cohort.name) > 1:
                raise RequestError(f"the cohort {cohort.name!r} stands twice; names must be unique")
            number(cohort.share, f"the share of cohort {cohort.name!r}", 0.0, 1.0)
        total = sum(cohort.share for cohort in self.cohorts)
        if self.cohorts and abs(total - 1) > SUM_TOLERANCE:
            raise RequestError(f"the shares of the cohorts sum to {total:.10g}; they must sum to 1")
        for name, _, _ in self.runs():
            text(name, "the name of a cohort") if self.cohorts else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(channel.name for channel in self.channels)

    def runs(self) -> list[tuple[str, float, "JourneySpec"]]:
        """Name, share and spec of every run: the cohorts, or one without a name."""
        if not self.cohorts:
            return [("", 1.0, self)]
        return [(c.name, c.share, replace(self, cohorts=(), **dict(c.changes))) for c in self.cohorts]

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain lists and mappings; what is off is left out."""
        document: dict[str, Any] = plain_fields(
            {f.name: getattr(self, f.name) for f in fields(self) if f.name != "cohorts"}
        )
        if self.cohorts:
            document["cohorts"] = [{"name": c.name, "share": c.share} | plain_fields(c.changes) for c in self.cohorts]
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "JourneySpec":
        """The spec of a mapping as `to_dict` makes it; what is left out has its default.

        Raises
        ------
        RequestError
            An unknown key or an impossible value.
        """
        known = [f.name for f in fields(cls)]
        check_keys(document, known, "the spec of journeys")
        given = {name: value for name, value in document.items() if name != "cohorts"}
        names = [channel.name for channel in read_channels(given["channels"])] if "channels" in given else None
        changes = parse_fields(given, names or [channel.name for channel in DEFAULT_CHANNELS])
        cohorts = []
        for item in listed(document.get("cohorts", ()), "cohorts"):
            inner = [name for name in known if name not in ("cohorts", "rate", "value_rule")]
            check_keys(item, ("name", "share", *inner), "a cohort", ("name", "share"))
            own = {name: value for name, value in item.items() if name not in ("name", "share")}
            places = read_channels(own["channels"]) if "channels" in own else changes.get("channels", DEFAULT_CHANNELS)
            cohorts.append(Cohort(item["name"], item["share"], parse_fields(own, [c.name for c in places])))
        return cls(**changes, cohorts=tuple(cohorts))

    def to_toml(self) -> str:
        """The spec as TOML."""
        return dump_toml(self.to_dict())

    def to_json(self) -> str:
        """The spec as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_toml(cls, content: str) -> "JourneySpec":
        """The spec of a TOML text."""
        return cls.from_dict(parse_toml(content))

    @classmethod
    def from_json(cls, content: str) -> "JourneySpec":
        """The spec of a JSON text."""
        return cls.from_dict(parse_json(content))

    @classmethod
    def read(cls, path: str | Path) -> "JourneySpec":
        """The spec of a TOML or JSON file."""
        return cls.from_dict(read_document(path))


def make_recipe(spec: JourneySpec | Mapping[str, Any] | str | Path | None, changes: Mapping[str, Any]) -> JourneySpec:
    """The spec that a caller gave, in whatever form, with parameters given beside it (None: not given)."""
    if spec is None:
        base = JourneySpec()
    elif isinstance(spec, JourneySpec):
        base = spec
    else:
        base = JourneySpec.from_dict(spec) if isinstance(spec, Mapping) else JourneySpec.read(spec)
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        return base
    cohorts = given.pop("cohorts", None)
    channels = read_channels(given["channels"]) if "channels" in given else base.channels
    parsed = parse_fields(given, [channel.name for channel in channels])
    if cohorts is not None:
        document = {"cohorts": [c if isinstance(c, Mapping) else cohort_dict(c) for c in listed(cohorts, "cohorts")]}
        parsed["cohorts"] = JourneySpec.from_dict({"channels": list(channels)} | document).cohorts
    return replace(base, **parsed)


def cohort_dict(cohort: Any) -> dict[str, Any]:
    """A cohort as a plain mapping."""
    if not isinstance(cohort, Cohort):
        raise RequestError(f"a cohort is {cohort!r}; it must be a Cohort or a mapping with name and share")
    return {"name": cohort.name, "share": cohort.share} | plain_fields(cohort.changes)


def plain_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a spec as plain lists and mappings; what is off (None, empty) is left out."""
    document: dict[str, Any] = {}
    for name, value in values.items():
        if value is None or (name in ("transitions", "interactions") and not value):
            continue
        if name == "channels":
            document[name] = [channel_dict(channel) for channel in value]
        elif name == "interactions":
            document[name] = [{"channels": list(pair.channels), "effect": pair.effect} for pair in value]
        elif name == "transitions":
            document[name] = {source: dict(row) for source, row in value.items()}
        else:
            document[name] = list(value) if isinstance(value, tuple) else value
    return document


def parse_fields(values: Mapping[str, Any], channels: Sequence[str]) -> dict[str, Any]:
    """Values of fields in any form that a caller may write, as the spec holds them."""
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name == "channels":
            parsed[name] = read_channels(value)
        elif name == "transitions":
            parsed[name] = matrix_of(value, channels)
        elif name == "interactions":
            parsed[name] = pairs_of(value, channels)
        elif name == "heterogeneity":
            if value is not None and (not isinstance(value, (list, tuple)) or len(value) != 2):
                raise RequestError(f"heterogeneity is {value!r}; write the two parameters of a beta distribution")
            parsed[name] = None if value is None else tuple(number(v, "heterogeneity", 0.0, above=True) for v in value)
        elif name in ("start", "value_rule"):
            parsed[name] = value.isoformat() if isinstance(value, date) else text(value, name)
        else:
            option = {"touches": "--touches", "rate": "--rate"}.get(name, name)
            parsed[name] = None if value is None else number(value, option)
    return parsed


def matrix_of(value: Any, channels: Sequence[str]) -> Matrix:
    """Transitions: a mapping of mappings, or a square array in the order of the channels."""
    if isinstance(value, Mapping):
        for source, row in value.items():
            if not isinstance(row, Mapping):
                raise RequestError(f"the transitions from {source!r} are {row!r}; write channel = probability")
        return {source: {to: number(p, f"the transition from {source!r} to {to!r}", 0.0, 1.0) for to, p in row.items()}
                for source, row in value.items()}  # fmt: skip
    rows = square(value, "transitions", len(channels))
    return {
        source: {
            to: number(p, f"the transition from {source!r} to {to!r}", 0.0, 1.0)
            for to, p in zip(channels, row, strict=True)
        }
        for source, row in zip(channels, rows, strict=True)
    }


def square(value: Any, what: str, count: int) -> list[list[Any]]:
    """Rows of a matrix of count x count.

    Raises
    ------
    RequestError
        Another shape, which is stated.
    """
    rows = [
        list(row) if isinstance(row, Iterable) and not isinstance(row, str) else [row] for row in listed(value, what)
    ]
    widths = {len(row) for row in rows}
    if len(rows) != count or widths != {count}:
        width = " or ".join(str(width) for width in sorted(widths)) or "0"
        raise RequestError(
            f"{what} are a matrix of {len(rows)} x {width}; with {count} channels it must be {count} x {count}"
        )
    return rows


def pairs_of(value: Any, channels: Sequence[str]) -> tuple[Interaction, ...]:
    """Interactions in any form that a caller may write.

    Records, mappings (channels, effect), tuples (a, b, effect), a mapping (a, b) -> effect, or a symmetric square array
    in the order of the channels, whose diagonal is 0.
    """
    if getattr(value, "ndim", 0) == 2:
        value = value.tolist()
    is_matrix = isinstance(value, (list, tuple)) and any(
        isinstance(row, (list, tuple)) and row and not any(isinstance(cell, str) for cell in row) for row in value
    )
    if is_matrix:
        rows = square(value, "interactions", len(channels))
        value = []
        for a, first in enumerate(channels):
            if rows[a][a] != 0:
                raise RequestError(f"the interaction of {first!r} with itself is {rows[a][a]!r}; it must be 0")
            for b, second in enumerate(channels[:a]):
                if rows[a][b] != rows[b][a]:
                    raise RequestError(
                        f"the interactions of {second!r} and {first!r} are {rows[b][a]!r} and {rows[a][b]!r}; the "
                        "matrix must be symmetric"
                    )
                if rows[a][b] != 0:
                    value.append((second, first, rows[a][b]))
    if isinstance(value, Mapping):
        value = [(*pair, effect) if isinstance(pair, tuple) else (pair, effect) for pair, effect in value.items()]
    found = []
    for item in listed(value, "interactions"):
        if isinstance(item, Interaction):
            found.append(item)
            continue
        if isinstance(item, Mapping):
            check_keys(item, ("channels", "effect"), "an interaction", ("channels", "effect"))
            item = (*listed(item["channels"], "the channels of an interaction"), item["effect"])  # noqa: PLW2901
        if not isinstance(item, (tuple, list)) or len(item) != 3:
            raise RequestError(f"an interaction is {item!r}; it needs two channels and an effect")
        first, second, effect = item
        found.append(
            Interaction((str(first), str(second)), number(effect, f"the effect of {first} and {second}", -1.0, 1.0))
        )
    return tuple(found)


def listed(value: Any, what: str) -> list[Any]:
    """A sequence as a list."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise RequestError(f"{what} is {value!r}; it must be a list")
    return list(value)


def first_moment(day: str) -> int:
    """Microseconds UTC of the beginning of a day.

    Raises
    ------
    RequestError
        It is no ISO date.
    """
    try:
        return (date.fromisoformat(day) - date(1970, 1, 1)).days * 86_400_000_000
    except (TypeError, ValueError):
        raise RequestError(f"start is {day!r}; write a date such as 2026-01-31") from None
