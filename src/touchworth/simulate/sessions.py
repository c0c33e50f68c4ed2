"""Simulated shop sessions: 0/1 features and a conversion drawn from a logistic model with interactions.

The ranges of a `SessionSpec` are drawn first (`draw_sessions`), then rows from what was drawn; the truth is exact and
needs no rows (`touchworth.simulate.population`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import RequestError, missing_column
from touchworth.kernels import kernel
from touchworth.simulate.documents import (
    check_keys,
    dump_toml,
    number,
    parse_json,
    parse_toml,
    read_document,
    span,
    text,
)
from touchworth.simulate.population import DELIMITER, Population, draw_population
from touchworth.simulate.random import normal, stream_key, uniform
from touchworth.simulate.stream import Progress, Simulated, in_order, stream_format, table_writer

__all__ = [
    "Band",
    "Devices",
    "Feature",
    "OrderValue",
    "SessionSpec",
    "SessionTruth",
    "SimulatedSessions",
    "Term",
    "draw_sessions",
    "simulate_sessions",
]

Range = tuple[float, float]
CHUNK = 1 << 18
KINDS = ("channel", "page", "other")
LARGEST_ROWS = 1_000_000_000
RATES = (0.001, 0.5)
DRAWS, ROWS = 1, 2  # purposes of random streams


@dataclass(frozen=True, slots=True)
class Feature:
    """A 0/1 feature.

    Attributes
    ----------
    name
        Column of the feature.
    marginal
        Range of P(feature = 1).
    score
        Range of the propensity score, which `Band`s turn into a range of logistic coefficients.
    kind
        channel, page or other.
    """

    name: str
    marginal: Range
    score: Range
    kind: str = "other"


@dataclass(frozen=True, slots=True)
class Devices:
    """Two features of which exactly one is 1 in every row.

    Attributes
    ----------
    names
        The two columns.
    share
        Range of P(the first is 1).
    scores
        Propensity scores of the two.
    """

    names: tuple[str, str]
    share: Range
    scores: tuple[Range, Range]


@dataclass(frozen=True, slots=True)
class Band:
    """Scores of at most `up_to` (None: all others) have coefficients in the range `coefficient` (log-odds)."""

    up_to: float | None
    coefficient: Range


@dataclass(frozen=True, slots=True)
class Term:
    """An interaction: a coefficient (log-odds) from a range where all of `features` are 1."""

    features: tuple[str, ...]
    coefficient: Range


@dataclass(frozen=True, slots=True)
class OrderValue:
    """Log-normal value of an order on a device: its median (money) and the standard deviation of its logarithm."""

    device: str
    median: float
    sigma: float


def default_features() -> tuple[Feature, ...]:
    """Seven channels and eleven pages of a shop."""
    wide, middle = (0.20, 0.60), (0.10, 0.50)
    table = (
        ("channel", "email", (0.03, 0.15), 2), ("channel", "seo", (0.10, 0.60), 6),
        ("channel", "sem", (0.05, 0.40), 6), ("channel", "direct", (0.10, 0.50), 5),
        ("channel", "display", (0.01, 0.10), 1), ("channel", "social", (0.03, 0.20), 1),
        ("channel", "affiliate", (0.02, 0.15), 7),
        ("page", "product_page_a", wide, (5, 7)), ("page", "product_page_b", middle, (4, 8)),
        ("page", "product_page_c", wide, (5, 7)), ("page", "product_page_d", middle, (4, 8)),
        ("page", "product_page_e", wide, (5, 7)), ("page", "product_page_f", middle, (4, 8)),
        ("page", "deals_page", (0.10, 0.40), 6), ("page", "search_page", (0.15, 0.50), 5),
        ("page", "homepage", (0.50, 0.95), 4), ("page", "account_page", (0.05, 0.30), 7),
        ("page", "support_page", (0.01, 0.10), 3),
    )  # fmt: skip
    return tuple(Feature(name, marginal, span(score, name), kind) for kind, name, marginal, score in table)


def default_terms() -> tuple[Term, ...]:
    """Interactions of the shop: strong pairs, weaker ones, a negative one, two triples."""
    strong, weak = (1.0, 3.0), (0.5, 1.5)
    table: tuple[tuple[str, Range], ...] = (
        ("email deals_page", strong), ("seo search_page", strong), ("sem search_page", strong),
        ("affiliate deals_page", strong),
        ("email account_page", weak), ("sem product_page_a", weak), ("sem product_page_b", weak),
        ("direct homepage", weak), ("social product_page_b", weak), ("device_desktop account_page", weak),
        ("device_mobile deals_page", weak),
        ("display support_page", (-1.5, -0.3)),
        ("sem product_page_a deals_page", (1.5, 3.5)), ("seo product_page_c search_page", (0.7, 2.0)),
    )  # fmt: skip
    return tuple(Term(tuple(names.split()), coefficient) for names, coefficient in table)


DEFAULT_DEVICES = Devices(("device_desktop", "device_mobile"), (0.40, 0.70), ((6.0, 6.0), (3.0, 3.0)))
DEFAULT_BANDS = (
    Band(2.0, (-1.0, -0.3)),
    Band(4.0, (-0.3, 0.3)),
    Band(6.0, (0.3, 1.0)),
    Band(8.0, (1.0, 2.5)),
    Band(None, (2.5, 4.0)),
)
DEFAULT_ORDER_VALUES = (OrderValue("device_desktop", 80.0, 0.6), OrderValue("device_mobile", 55.0, 0.7))


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """Ranges from which sessions are drawn; the default is the shop of docs/simulators.md.

    Attributes
    ----------
    features
        Free features; drawn independently.
    devices
        The pair of which one is 1 in every row, or None.
    bands
        From scores to coefficients, by rising `up_to`; the last is open.
    interactions
        Terms added to the log-odds.
    order_values
        Log-normal values of orders per device; empty: no revenue.
    sessions_per_user
        Mean sessions of a user (geometric, at least 1); None: no users.
    """

    features: tuple[Feature, ...] = field(default_factory=default_features)
    devices: Devices | None = DEFAULT_DEVICES
    bands: tuple[Band, ...] = DEFAULT_BANDS
    interactions: tuple[Term, ...] = field(default_factory=default_terms)
    order_values: tuple[OrderValue, ...] = ()
    sessions_per_user: float | None = None

    def __post_init__(self) -> None:
        names = self.names
        if len(names) < 1:
            raise RequestError("the spec has no features; it needs at least one")
        reserved = {"converted", "value", "user_id"}
        for name in names:
            text(name, "the name of a feature")
            if names.count(name) > 1:
                raise RequestError(f"the feature {name!r} stands twice in the spec; names must be unique")
            if name in reserved or DELIMITER in name:
                raise RequestError(
                    f"a feature is named {name!r}; names must not be {', '.join(sorted(reserved))} "
                    f"nor hold {DELIMITER!r}"
                )
        for feature in self.features:
            span(feature.marginal, f"the marginal of {feature.name!r}", 0.0, 1.0)
            span(feature.score, f"the score of {feature.name!r}")
            if feature.kind not in KINDS:
                raise RequestError(f"the kind of {feature.name!r} is {feature.kind!r}; it must be {' or '.join(KINDS)}")
        if self.devices is not None:
            span(self.devices.share, "the share of devices", 0.0, 1.0)
        limits = [band.up_to for band in self.bands]
        if not limits or limits[-1] is not None or any(limit is None for limit in limits[:-1]):
            raise RequestError(f"the bands end at {limits}; the last band, and only that, has no up_to")
        closed = [limit for limit in limits if limit is not None]
        if closed != sorted(set(closed)):
            raise RequestError(f"the bands end at {closed}; they must rise")
        for band in self.bands:
            span(band.coefficient, "the coefficient of a band")
        self._check_terms(names)
        if self.sessions_per_user is not None:
            number(self.sessions_per_user, "sessions_per_user", 1.0)

    def _check_terms(self, names: tuple[str, ...]) -> None:
        for term in self.interactions:
            for name in term.features:
                if name not in names:
                    raise missing_column(name, names, "an interaction")
            if len(term.features) < 2 or len(set(term.features)) < len(term.features):
                raise RequestError(
                    f"an interaction is of {list(term.features)}; it needs two or more different features"
                )
            if self.devices is not None and set(self.devices.names) <= set(term.features):
                raise RequestError(f"an interaction is of both {' and '.join(self.devices.names)}; only one is ever 1")
            span(term.coefficient, f"the coefficient of {DELIMITER.join(term.features)}")
        if not self.order_values:
            return
        known = self.devices.names if self.devices is not None else ("all",)
        given = [order.device for order in self.order_values]
        if sorted(given) != sorted(known):
            raise RequestError(f"order values are given for {given}; they must be given for each of {list(known)}")
        for order in self.order_values:
            number(order.median, f"the median order value of {order.device!r}", 0.0, above=True)
            number(order.sigma, f"the sigma of order values of {order.device!r}", 0.0)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the features, the devices last."""
        return tuple(feature.name for feature in self.features) + (self.devices.names if self.devices else ())

    def to_dict(self) -> dict[str, Any]:
        """The spec as plain lists and mappings."""
        document: dict[str, Any] = {}
        if self.sessions_per_user is not None:
            document["sessions_per_user"] = self.sessions_per_user
        document["features"] = [
            {"name": f.name, "kind": f.kind, "marginal": list(f.marginal), "score": list(f.score)}
            for f in self.features
        ]
        if self.devices is not None:
            document["devices"] = {
                "names": list(self.devices.names),
                "share": list(self.devices.share),
                "scores": [list(score) for score in self.devices.scores],
            }
        document["bands"] = [
            ({} if band.up_to is None else {"up_to": band.up_to}) | {"coefficient": list(band.coefficient)}
            for band in self.bands
        ]
        document["interactions"] = [
            {"features": list(term.features), "coefficient": list(term.coefficient)} for term in self.interactions
        ]
        document["order_values"] = [
            {"device": order.device, "median": order.median, "sigma": order.sigma} for order in self.order_values
        ]
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "SessionSpec":
        """The spec of a mapping as `to_dict` makes it; what is left out has its default, but `devices = {}` is none.

        Raises
        ------
        RequestError
            An unknown key or an impossible value.
        """
        known = ("features", "devices", "bands", "interactions", "order_values", "sessions_per_user")
        check_keys(document, known, "the spec of sessions")
        changes: dict[str, Any] = {}
        if "features" in document:
            changes["features"] = tuple(feature_of(item) for item in document["features"])
        if "devices" in document:
            changes["devices"] = devices_of(document["devices"])
        elif "features" in document:
            changes["devices"] = None
        if "bands" in document:
            changes["bands"] = tuple(band_of(item) for item in document["bands"])
        if "interactions" in document:
            changes["interactions"] = tuple(term_of(item) for item in document["interactions"])
        elif "features" in document:
            changes["interactions"] = ()
        if "order_values" in document:
            changes["order_values"] = tuple(order_value_of(item) for item in document["order_values"])
        if "sessions_per_user" in document:
            changes["sessions_per_user"] = number(document["sessions_per_user"], "sessions_per_user", 1.0)
        return cls(**changes)

    def to_toml(self) -> str:
        """The spec as TOML."""
        return dump_toml(self.to_dict())

    def to_json(self) -> str:
        """The spec as JSON."""
        import json

        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_toml(cls, content: str) -> "SessionSpec":
        """The spec of a TOML text."""
        return cls.from_dict(parse_toml(content))

    @classmethod
    def from_json(cls, content: str) -> "SessionSpec":
        """The spec of a JSON text."""
        return cls.from_dict(parse_json(content))

    @classmethod
    def read(cls, path: str | Path) -> "SessionSpec":
        """The spec of a TOML or JSON file."""
        return cls.from_dict(read_document(path))


def feature_of(item: Any) -> Feature:
    """A feature of a spec's mapping."""
    check_keys(item, ("name", "kind", "marginal", "score"), "a feature", ("name", "marginal", "score"))
    name = text(item["name"], "the name of a feature")
    return Feature(
        name,
        span(item["marginal"], f"the marginal of {name!r}", 0.0, 1.0),
        span(item["score"], f"the score of {name!r}"),
        item.get("kind", "other"),
    )


def devices_of(item: Any) -> Devices | None:
    """The devices of a spec's mapping; an empty one means none."""
    if item is None or (isinstance(item, Mapping) and not item):
        return None
    check_keys(item, ("names", "share", "scores"), "devices", ("names", "share", "scores"))
    for key in ("names", "scores"):
        if not isinstance(item[key], (list, tuple)) or len(item[key]) != 2:
            raise RequestError(
                f"the {key} of devices are {item[key]!r}; write two, such as those of desktop and mobile"
            )
    first, second = (text(name, "the name of a device") for name in item["names"])
    return Devices(
        (first, second),
        span(item["share"], "the share of devices", 0.0, 1.0),
        (span(item["scores"][0], f"the score of {first!r}"), span(item["scores"][1], f"the score of {second!r}")),
    )


def band_of(item: Any) -> Band:
    """A band of a spec's mapping."""
    check_keys(item, ("up_to", "coefficient"), "a band", ("coefficient",))
    limit = item.get("up_to")
    return Band(
        None if limit is None else number(limit, "up_to of a band"),
        span(item["coefficient"], "the coefficient of a band"),
    )


def term_of(item: Any) -> Term:
    """An interaction of a spec's mapping."""
    check_keys(item, ("features", "coefficient"), "an interaction", ("features", "coefficient"))
    names = item["features"]
    if not isinstance(names, (list, tuple)):
        raise RequestError(f"the features of an interaction are {names!r}; write a list of names")
    return Term(
        tuple(map(str, names)), span(item["coefficient"], f"the coefficient of {DELIMITER.join(map(str, names))}")
    )


def order_value_of(item: Any) -> OrderValue:
    """An order value of a spec's mapping."""
    keys = ("device", "median", "sigma")
    check_keys(item, keys, "an order value", keys)
    return OrderValue(
        text(item["device"], "the device of an order value"),
        number(item["median"], "the median of an order value", 0.0, above=True),
        number(item["sigma"], "the sigma of an order value", 0.0),
    )


@dataclass(frozen=True, slots=True)
class SessionTruth:
    """What sessions were drawn from.

    Attributes
    ----------
    seed, spec, rate
        Seed, the ranges, the target rate.
    population
        What was drawn, and the exact expectations of it; `population.table(coalitions)` answers for any coalitions.
    """

    seed: int
    spec: SessionSpec
    rate: float
    population: Population

    def coalitions(self, coalitions: Any = None, *, max_size: int = 3) -> pa.Table:
        """Exact values: coalition, size, support_share, v, dividend, synergy, contrast (see `Population.table`)."""
        return self.population.table(coalitions, max_size=max_size)

    def to_dict(self) -> dict[str, Any]:
        """The truth as plain mappings; coalitions of up to three features that can occur together."""
        population = self.population
        rows = population.table(max_size=3).to_pylist()
        return {
            "seed": self.seed,
            "spec": self.spec.to_dict(),
            "rate": population.rate,
            "marginals": population.marginals,
            "coefficients": population.coefficients,
            "intercept": population.intercept,
            "coalitions": {
                row["coalition"]: {name: row[name] for name in ("v", "dividend", "synergy")}
                for row in rows
                if row["v"] is not None
            },
        }

    def to_json(self) -> str:
        """The truth as JSON with the keys of `to_dict`."""
        import json

        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def fixed_spec(self) -> SessionSpec:
        """A spec whose every range is the number drawn: other seeds then give other rows of the same population."""
        population = self.population
        marginal, weight = population.marginals, population.coefficients
        # One band a feature: score k means the k-th coefficient.
        names = self.spec.names
        bands = [Band(float(k), span(weight[name], name)) for k, name in enumerate(names)]
        devices = self.spec.devices
        if devices is not None:
            places = [float(names.index(name)) for name in devices.names]
            share = marginal[devices.names[0]]
            devices = Devices(devices.names, (share, share), ((places[0],) * 2, (places[1],) * 2))
        return replace(
            self.spec,
            features=tuple(
                replace(f, marginal=(marginal[f.name],) * 2, score=(float(k),) * 2)
                for k, f in enumerate(self.spec.features)
            ),
            devices=devices,
            bands=(*bands, Band(None, (0.0, 0.0))),
            interactions=tuple(
                Term(term.features, (population.term_weights[k],) * 2) for k, term in enumerate(self.spec.interactions)
            ),
        )


@dataclass(frozen=True, slots=True, repr=False)
class SimulatedSessions(Simulated):
    """Sessions and the truth they were drawn from.

    Attributes
    ----------
    table
        One row a session: the features as 0/1 (int8), converted, and where asked for value (money; 0 where nothing was
        ordered) and user_id; None where the rows were streamed to `path`.
    truth
        What they were drawn from.
    rows, conversions, value
        Sessions, converted sessions, and the sum of values (0 without revenue).
    path
        The file, where one was written.
    """

    table: pa.Table | None
    truth: SessionTruth
    rows: int
    conversions: int
    value: float
    path: str | None
    shown: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        money = f", worth {self.value:,.2f}" if self.truth.spec.order_values else ""
        return (
            f"{self.rows:,} sessions of {len(self.truth.spec.names)} features: {self.conversions:,} converted "
            f"({self.conversions / self.rows:.4%}; population {self.truth.population.rate:.4%}){money}"
        )


def coefficient_range(bands: tuple[Band, ...], score: float) -> Range:
    """Range of coefficients of a score."""
    return next(band.coefficient for band in bands if band.up_to is None or score <= band.up_to)


def draw_sessions(spec: SessionSpec | None = None, rate: float = 0.05, seed: int = 0) -> SessionTruth:
    """Draw marginals and coefficients from the ranges and solve the intercept for the rate; makes no rows.

    Parameters
    ----------
    spec
        Ranges; default the shop.
    rate
        Population mean of the conversion probability, 0.001 to 0.5; met to 1e-9 of itself.
    seed
        Of everything random.

    Raises
    ------
    RequestError
        A rate outside, or too many features that interact to enumerate.
    """
    spec = SessionSpec() if spec is None else spec
    number(rate, "--rate", *RATES)
    stream = np.random.Generator(np.random.PCG64(int(stream_key(seed, DRAWS))))
    scores = [stream.uniform(*feature.score) for feature in spec.features]
    marginals = [float(stream.uniform(*feature.marginal)) for feature in spec.features]
    share = None
    if spec.devices is not None:
        scores += [stream.uniform(*score) for score in spec.devices.scores]
        share = float(stream.uniform(*spec.devices.share))
    weights = [float(stream.uniform(*coefficient_range(spec.bands, score))) for score in scores]
    terms = [float(stream.uniform(*term.coefficient)) for term in spec.interactions]
    orders = {order.device: (order.median, order.sigma) for order in spec.order_values}
    population = draw_population(
        features=spec.names,
        marginals=np.array(marginals),
        device_share=share,
        weights=np.array(weights),
        terms=tuple(term.features for term in spec.interactions),
        term_weights=np.array(terms),
        rate=rate,
        order_values=tuple(orders[name] for name in (spec.devices.names if spec.devices else ("all",)))
        if orders
        else (),
    )
    return SessionTruth(seed, spec, rate, population)


def simulate_sessions(
    rows: int,
    rate: float = 0.05,
    spec: SessionSpec | Mapping[str, Any] | str | Path | None = None,
    seed: int = 0,
    path: str | Path | None = None,
    progress: Progress | None = None,
    *,
    revenue: bool = False,
    sessions_per_user: float | None = None,
    format: str | None = None,  # noqa: A002
    force: bool = False,
    threads: int = 1,
) -> SimulatedSessions:
    """Simulate sessions with a known truth.

    Parameters
    ----------
    rows
        Number of sessions.
    rate
        Population conversion rate, 0.001 to 0.5.
    spec
        Ranges: a `SessionSpec`, its mapping, or a TOML or JSON file; default the shop of docs/simulators.md.
    seed
        Of everything random: equal arguments give equal rows, on any number of threads.
    path
        Write the rows to this CSV or Parquet file, chunk by chunk, in bounded memory; default: keep them as a table.
    progress
        Called as progress(rows done, rows) after each chunk.
    revenue
        Add order values (column value), log-normal by device, where the spec has none.
    sessions_per_user
        Add users (column user_id) with this mean number of sessions each.
    format, force
        Of the file; an existing file is replaced only with `force`.
    threads
        Threads that make chunks.

    Raises
    ------
    RequestError, DataError
        With one sentence: what was wrong, the value seen, what would be right.
    """
    chosen = read_session_spec(spec)
    if revenue and not chosen.order_values:
        if chosen.devices is not None and chosen.devices.names != DEFAULT_DEVICES.names:
            raise RequestError(f"the spec has no order values for {list(chosen.devices.names)}; add [[order_values]]")
        plain = (OrderValue("all", 65.0, 0.65),)
        chosen = replace(chosen, order_values=DEFAULT_ORDER_VALUES if chosen.devices else plain)
    if sessions_per_user is not None:
        chosen = replace(chosen, sessions_per_user=sessions_per_user)
    if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or not 1 <= rows <= LARGEST_ROWS:
        raise RequestError(f"--rows is {rows!r}; it must be a whole number from 1 to {LARGEST_ROWS:,}")
    kind = "" if path is None else stream_format(path, format)
    truth = draw_sessions(chosen, rate, seed)
    maker = ChunkMaker(truth, int(rows))
    tasks = range(0, rows, CHUNK)
    kept: list[pa.Table] = []
    conversions, cents, done = 0, 0, 0

    def run(write: Any) -> None:
        nonlocal conversions, cents, done
        for part, converted, worth in in_order(tasks, maker.make, threads):
            write(part)
            conversions, cents, done = conversions + converted, cents + worth, done + len(part)
            if progress is not None:
                progress(done, int(rows))

    if path is None:
        run(kept.append)
    else:
        with table_writer(path, maker.schema, kind, force=force) as write:
            run(write)
    return SimulatedSessions(
        table=pa.concat_tables(kept) if path is None else None,
        truth=truth,
        rows=int(rows),
        conversions=conversions,
        value=cents / 100,
        path=None if path is None else str(path),
    )


def stream_sessions(truth: SessionTruth, rows: int, threads: int = 1) -> Any:
    """Tables of the rows, chunk after chunk."""
    maker = ChunkMaker(truth, rows)
    return (part for part, _, _ in in_order(range(0, rows, CHUNK), maker.make, threads))


def read_session_spec(spec: SessionSpec | Mapping[str, Any] | str | Path | None) -> SessionSpec:
    """The spec that a caller gave, in whatever form."""
    if spec is None:
        return SessionSpec()
    if isinstance(spec, SessionSpec):
        return spec
    return SessionSpec.from_dict(spec) if isinstance(spec, Mapping) else SessionSpec.read(spec)


class ChunkMaker:
    """Makes the rows [start, start + CHUNK) of sessions, each chunk on its own."""

    def __init__(self, truth: SessionTruth, rows: int) -> None:
        spec, population = truth.spec, truth.population
        self.rows = rows
        self.key = stream_key(truth.seed, ROWS)
        self.population = population
        index = {name: k for k, name in enumerate(population.features)}
        self.offsets = np.zeros(len(spec.interactions) + 1, np.int64)
        np.cumsum([len(term.features) for term in spec.interactions], out=self.offsets[1:])
        self.members = np.array([index[name] for term in spec.interactions for name in term.features], np.int64)
        self.orders = np.array(population.order_values, float).reshape(-1, 2)
        self.per_user = spec.sessions_per_user or 0.0
        fields = [pa.field(name, pa.int8()) for name in (*population.features, "converted")]
        if spec.order_values:
            fields.append(pa.field("value", pa.float64()))
        if self.per_user:
            fields.append(pa.field("user_id", pa.int64()))
        self.schema = pa.schema(fields)

    def make(self, start: int) -> tuple[pa.Table, int, int]:
        """Rows as a table, their conversions, and their value in cents."""
        size = min(CHUNK, self.rows - start)
        population = self.population
        cells = np.empty((len(population.features) + 1, size), np.int8)
        value = np.zeros(size if self.orders.size else 0)
        user = np.empty(size if self.per_user else 0, np.int64)
        draw_rows(
            self.key, start, population.free_marginals, population.device_share, population.weights, self.offsets,
            self.members, population.term_weights, population.intercept, self.orders, self.per_user, cells, value, user,
        )  # fmt: skip
        columns = [pa.array(row) for row in cells]
        if value.size:
            columns.append(pa.array(value))
        if user.size:
            columns.append(pa.array(user))
        converted = int(cells[-1].sum(dtype=np.int64))
        cents = int(np.rint(value * 100).astype(np.int64).sum())
        return pa.Table.from_arrays(columns, schema=self.schema), converted, cents


@kernel
def draw_rows(
    key: np.uint64,
    start: int,
    marginal: NDArray[np.float64],
    device_share: float,
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    members: NDArray[np.int64],
    term_weight: NDArray[np.float64],
    intercept: float,
    orders: NDArray[np.float64],
    per_user: float,
    cells: NDArray[np.int8],
    value: NDArray[np.float64],
    user: NDArray[np.int64],
) -> None:
    """Draw rows `start` and on.

    Row i owns the slots [i * stride, (i + 1) * stride) of the stream: features, device, outcome, order value, user.

    Parameters
    ----------
    marginal
        float64 (free,): P(feature = 1).
    device_share
        P(first device), -1 without devices.
    weight
        float64 (features,): coefficients, the two devices last.
    offsets, members, term_weight
        Interaction k is of the features members[offsets[k]:offsets[k + 1]].
    orders
        float64 (devices, 2): median and sigma of order values; of no rows without revenue.
    per_user
        Mean sessions of a user; 0 without users.
    cells
        Output, int8 (features + 1, rows): 0/1, the outcome last.
    value, user
        Output, float64 and int64 (rows,) where wanted: order value rounded to cents; 1 + the user's first row.
    """
    free = marginal.size
    features = weight.size
    stride = free + 6
    row = np.zeros(features, np.int8)
    current = -1
    if user.size > 0:
        # The user of the first row began at the last row before it that begins a user: draws of any row are at hand.
        current = start
        while current > 0 and uniform(key, current * stride + free + 4) * per_user >= 1.0:
            current -= 1
    for i in range(cells.shape[1]):
        slot = (start + i) * stride
        odds = intercept
        for j in range(free):
            row[j] = uniform(key, slot + j) < marginal[j]
            if row[j]:
                odds += weight[j]
        device = 0
        if device_share >= 0.0:
            device = 0 if uniform(key, slot + free) < device_share else 1
            row[free] = 1 - device
            row[free + 1] = device
            odds += weight[free + device]
        for k in range(term_weight.size):
            together = True
            for m in range(offsets[k], offsets[k + 1]):
                if row[members[m]] == 0:
                    together = False
                    break
            if together:
                odds += term_weight[k]
        converts = uniform(key, slot + free + 1) * (1.0 + np.exp(-odds)) < 1.0
        for j in range(features):
            cells[j, i] = row[j]
        cells[features, i] = converts
        if value.size > 0 and converts:
            drawn = orders[device, 0] * np.exp(orders[device, 1] * normal(key, slot + free + 2))
            value[i] = np.rint(drawn * 100.0) / 100.0
        if user.size > 0:
            if i > 0 and uniform(key, slot + free + 4) * per_user < 1.0:
                current = start + i
            user[i] = current + 1
