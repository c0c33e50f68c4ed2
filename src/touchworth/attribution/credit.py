"""The record that attribution returns, and the tables made from its estimates."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.attribution.markov import Chain, Removal
from touchworth.attribution.models import MODELS, Parameters, weighting
from touchworth.attribution.spend import spend_by_channel
from touchworth.attribution.uncertainty import jackknife_error, quantile
from touchworth.errors import RequestError, not_one_of
from touchworth.journeys.build import Journeys
from touchworth.journeys.counts import ChainCounts, arrays_of
from touchworth.journeys.credits import journey_weights
from touchworth.journeys.partitioned import PartitionedJourneys
from touchworth.results import Result, join_groups

__all__ = ["Credit", "Estimate", "MarkovResult", "credit_table", "shares"]

LOW_EVIDENCE_ROW = 10
LOW_EVIDENCE_RESULT = 30


@dataclass(frozen=True, slots=True)
class Estimate:
    """One model's credit in one segment, with its jackknife replicates.

    Attributes
    ----------
    conversions, value
        float64 (channels,).
    replicates, replicates_value
        float64 (buckets, channels): with each bucket left out, totals scaled to the whole; of size 0 without intervals.
    sampling_error, sampling_error_value
        float64 (channels,) or None: standard error of a sampled model, added to that of the data.
    """

    conversions: NDArray[np.float64]
    value: NDArray[np.float64]
    replicates: NDArray[np.float64]
    replicates_value: NDArray[np.float64]
    sampling_error: NDArray[np.float64] | None = None
    sampling_error_value: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class MarkovResult:
    """The chain behind the Markov credit, whole data.

    Attributes
    ----------
    order
        Touches that a state remembers.
    chain, removal
        Numeric records (see `touchworth.attribution.markov`).
    names
        Name of each state; the delimiter joins the touches of a state.
    counts
        float64 (z,): transitions, with `source` and `target` (n is (conversion), n + 1 is (null)).
    """

    order: int
    chain: Chain
    removal: Removal
    names: tuple[str, ...]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    counts: NDArray[np.float64]

    @property
    def states(self) -> int:
        """Observed transient states, (start) included."""
        return int((self.chain.total > 0).sum())

    @property
    def conversion_probability(self) -> float:
        """P(conversion) from (start); equals the observed conversion rate of journeys at every order."""
        return self.removal.probability

    @property
    def expected_value(self) -> float:
        """Expected value of a journey from (start)."""
        return self.removal.expected_value

    @property
    def residual(self) -> float:
        """Largest relative residual of the linear systems that were solved."""
        return self.removal.residual

    def state_visits(self) -> pa.Table:
        """Expected visits of a journey to each state: state, visits."""
        return pa.table({"state": list(self.names), "visits": self.removal.visits})

    def transition_matrix(self, *, self_transitions: bool = True) -> pa.Table:
        """Observed transitions: from, to, count, probability; without self-transitions probabilities are rescaled."""
        n = len(self.names)
        kept = slice(None) if self_transitions else self.source != self.target
        source, target, counts = self.source[kept], self.target[kept], self.counts[kept]
        total = np.bincount(source, counts, minlength=n)
        labels = np.array([*self.names, "(conversion)", "(null)"], dtype=object)
        return pa.table(
            {
                "from": pa.array(labels[source], pa.string()),
                "to": pa.array(labels[target], pa.string()),
                "count": counts,
                "probability": counts / total[source],
            }
        )


@dataclass(frozen=True, slots=True, repr=False)
class Credit(Result):
    """Credit of every channel by every model asked for.

    Attributes
    ----------
    table
        One row a model (and segment) and channel; columns as in the documentation of ``touchworth attribute``.
        conversions and value are in the units of the input; share is the share of conversions; intervals cover
        sampling error of the users only, never that of the model.
    properties
        model, segment, property, promised, holds, detail: checks that always run.
    summary
        What was read and what became of every conversion and touch, the models' definitions, notices.
    removal
        channel, removal_effect, removal_effect_value (None without the Markov model).
    positions
        channel, position, conversions, value (None without ordered_shapley).
    markov
        The chain, or None.
    estimates
        (model, segment) -> estimates with replicates.
    by, groups
        The grouping column and the result of each group, where the analysis was repeated by a column.
    """

    table: pa.Table
    properties: pa.Table
    summary: dict[str, Any]
    channels: tuple[str, ...]
    removal: pa.Table | None
    positions: pa.Table | None
    markov: MarkovResult | None
    estimates: Mapping[tuple[str, str], Estimate]
    units: NDArray[np.float64]
    level: float
    journeys: Journeys | PartitionedJourneys | None
    parameters: Parameters
    timings: Mapping[str, float] = field(default_factory=dict)
    by: str = ""
    groups: "Mapping[str, Credit]" = field(default_factory=dict)
    shown: ClassVar[tuple[str, ...]] = (
        "segment", "model", "channel", "touches", "conversions", "conversions_low", "conversions_high", "value",
        "share", "share_low", "share_high", "low_evidence", "spend", "cost_per_conversion", "roas",
    )  # fmt: skip

    @property
    def transitions(self) -> pa.Table | None:
        """Transitions of the Markov chain: from, to, count, probability (None without the Markov model)."""
        if self.groups:
            found = {name: credit.transitions for name, credit in self.groups.items()}
            return join_groups(found, self.by)
        return None if self.markov is None else self.markov.transition_matrix()

    def side_by_side(self, metric: str = "conversions", models: list[str] | None = None) -> pa.Table:
        """One row a channel, one column a model: `metric` is any number of the credit table (conversions, roas ...)."""
        if self.groups:
            return join_groups({name: part.side_by_side(metric, models) for name, part in self.groups.items()}, self.by)
        known = list(dict.fromkeys(model for model, _ in self.estimates))
        asked = models or known
        for model in asked:
            if model not in known:
                raise not_one_of("model", model, known)
        if metric not in self.table.column_names:
            raise not_one_of("metric", metric, self.table.column_names)
        cells = {
            (row["model"], row["channel"]): row[metric]
            for row in self.table.to_pylist()
            if row.get("segment", "all") == "all"
        }
        columns = {model: [cells[model, channel] for channel in self.channels] for model in asked}
        return pa.table({"channel": list(self.channels)} | columns)

    def difference(self, model: str, other: str, *, segment: str = "all", other_segment: str | None = None) -> pa.Table:
        """Difference of shares of two models (or segments), with intervals from the same buckets.

        Returns
        -------
        channel, share_a, share_b, difference, std_error, low, high: shares of conversions (1 = all).

        Raises
        ------
        RequestError
            A model or segment that was not computed.
        """
        if self.groups:
            raise RequestError(f"the result has groups; choose one of {list(self.groups)}: credit.groups[NAME]")
        keys = (model, segment), (other, other_segment or segment)
        for key in keys:
            if key not in self.estimates:
                raise not_one_of("model and segment", key, [str(known) for known in self.estimates])
        gap = share_difference(self.estimates[keys[0]], self.estimates[keys[1]], self.units, self.level)
        return pa.table({"channel": list(self.channels)} | gap)

    def with_spend(self, spend: Mapping[str, float] | None = None, cpc: Mapping[str, float] | None = None) -> "Credit":
        """The same credit with other spend: nothing is attributed anew.

        Parameters
        ----------
        spend, cpc
            Channel -> total, or channel -> cost of one touch; a channel stands in one of them. Channels in neither
            have unknown spend.

        Raises
        ------
        RequestError
            A channel in both, none of the channels, or a result of groups.
        """
        journeys = self.journeys
        if self.groups:
            raise RequestError(f"the result has groups; choose one of {list(self.groups)}: credit.groups[NAME]")
        if not isinstance(journeys, Journeys):
            raise RequestError("journeys that are read in partitions are not held; give the spend to attribute")
        totals, costs = dict(spend or {}), dict(cpc or {})
        twice = sorted(totals.keys() & costs.keys())
        if twice:
            raise RequestError(f"channel {twice[0]!r} has a total and a cost per touch; give one of them")
        touches = dict(zip(self.channels, journeys.touches_read.tolist(), strict=True))
        totals |= {name: cost * touches.get(name, 0.0) for name, cost in costs.items()}
        paid, told = spend_by_channel(self.channels, journeys.touches_read, None, totals, None)
        segmented = len({segment for _, segment in self.estimates}) > 1
        table = credit_table(self.estimates, self.channels, journeys.touches, self.units, self.level, paid, segmented)
        notices = list(dict.fromkeys([*self.summary["notices"], *told]))
        return replace(self, table=table, summary=self.summary | {"notices": notices})

    def journey_credit(self, models: list[str] | None = None) -> pa.Table:
        """Credit of every converted journey by every per-journey model.

        Returns
        -------
        user (null for path tables), journey (number within the user, or row of the path table; from 1), model,
        channel, conversions, value. Journeys in partitions come partition by partition.
        """
        if self.groups:
            return join_groups({name: credit.journey_credit(models) for name, credit in self.groups.items()}, self.by)
        asked = models or [model for model, segment in self.estimates if segment == "all" and MODELS[model].kind >= 0]
        if not asked:
            raise RequestError("none of the models defines credit of single journeys; ask for linear or shapley, say")
        for model in asked:
            if model not in MODELS or MODELS[model].kind < 0:
                raise not_one_of("the model of journey credit", model, [m for m in MODELS if MODELS[m].kind >= 0])
        if self.journeys is None:
            raise ValueError("a result of groups has no journeys of its own")
        parts = self.journeys.parts() if isinstance(self.journeys, PartitionedJourneys) else iter([self.journeys])
        return pa.concat_tables([self._journey_credit_of(part, model) for part in parts for model in asked])

    def _journey_credit_of(self, journeys: Journeys, model: str) -> pa.Table:
        arrays = arrays_of(journeys, self.parameters.direct)
        rule = weighting(model, self.parameters)
        chosen = np.flatnonzero(journeys.conversions > 0)
        place, channel, share = journey_weights(
            arrays.symbol, arrays.time, arrays.symbol_channel, arrays.start, arrays.stop, arrays.direct,
            chosen, rule.kind, rule.a, rule.b,
        )  # fmt: skip
        kept = share != 0
        journey = chosen[place[kept]]
        if journeys.users is None:
            user = pa.nulls(journey.size, pa.string())
            number = journeys.row[journey] + 1
        else:
            of = journeys.users.of_journey
            user = journeys.users.ids.take(pa.array(of[journey]))
            # Journeys of a user stand one after another: number them from 1.
            first = np.searchsorted(of, of[journey])
            number = journey - first + 1
        names = pa.array(list(journeys.channels))
        return pa.table(
            {
                "user": user,
                "journey": number,
                "model": pa.array([model] * journey.size, pa.string()),
                "channel": names.take(pa.array(channel[kept])),
                "conversions": share[kept] * journeys.conversions[journey],
                "value": share[kept] * journeys.value[journey],
            }
        )


def share_difference(a: Estimate, b: Estimate, units: NDArray[np.float64], level: float) -> dict[str, Any]:
    """Columns share_a, share_b, difference, std_error, low, high of two estimates over the same buckets."""
    share_a, share_b = shares(a.conversions), shares(b.conversions)
    gap = share_a - share_b
    columns: dict[str, Any] = {"share_a": share_a, "share_b": share_b, "difference": gap}
    if a.replicates.size == 0:
        blank = pa.nulls(gap.size, pa.float64())
        return columns | {"std_error": blank, "low": blank, "high": blank}
    error = jackknife_error(shares(a.replicates) - shares(b.replicates), units)
    reach = quantile(level, units) * error
    unknown = error <= 1e-12
    return columns | {
        "std_error": pa.array(error, mask=unknown),
        "low": pa.array(gap - reach, mask=unknown),
        "high": pa.array(gap + reach, mask=unknown),
    }


def shares(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares along the last axis; 0 where the sum is 0."""
    total = amounts.sum(-1, keepdims=True)
    quotient: NDArray[np.float64] = np.divide(amounts, total, out=np.zeros_like(amounts), where=total != 0)
    return quotient


def credit_table(
    estimates: Mapping[tuple[str, str], Estimate],
    channels: tuple[str, ...],
    touches: NDArray[np.float64],
    units: NDArray[np.float64],
    level: float,
    spend: NDArray[np.float64] | None,
    segmented: bool,
) -> pa.Table:
    """The credit table (see `Credit.table`); `spend` is float64 (channels,), NaN where unknown."""
    reach = quantile(level, units)
    parts = []
    for (model, segment), estimate in estimates.items():
        part: dict[str, Any] = {"model": [model] * len(channels), "channel": list(channels), "touches": touches}
        promised = MODELS[model].non_negative
        part |= with_interval("conversions", estimate.conversions, estimate.replicates, estimate.sampling_error,
                              units, reach, floor=promised)  # fmt: skip
        part |= with_interval("value", estimate.value, estimate.replicates_value, estimate.sampling_error_value,
                              units, reach, floor=False)  # fmt: skip
        part["conversion_rate"] = ratio(estimate.conversions, touches)
        total = estimate.conversions.sum()
        share_sampling = None if estimate.sampling_error is None or total == 0 else estimate.sampling_error / total
        part |= with_interval("share", shares(estimate.conversions), shares(estimate.replicates), share_sampling,
                              units, reach, floor=promised, ceiling=promised)  # fmt: skip
        part["low_evidence"] = (estimate.conversions < LOW_EVIDENCE_ROW) | (total < LOW_EVIDENCE_RESULT)
        if spend is not None:
            part |= money(part, spend)
        if segmented:
            part["segment"] = [segment] * len(channels)
        # By falling conversions, then channel: lexsort's last key is the first.
        order = np.lexsort((np.arange(len(channels)), -estimate.conversions))
        parts.append(pa.table(part).take(pa.array(order)))
    return pa.concat_tables(parts)


def with_interval(
    name: str,
    estimate: NDArray[np.float64],
    replicates: NDArray[np.float64],
    sampling_error: NDArray[np.float64] | None,
    units: NDArray[np.float64],
    reach: float,
    *,
    floor: bool,
    ceiling: bool = False,
) -> dict[str, Any]:
    """Columns of an estimate with its standard error and interval; blank where the error is 0 or unknown.

    `floor` and `ceiling` keep the interval of a quantity that cannot leave [0, 1] inside it.
    """
    labels = (name, f"{name}_std_error", f"{name}_low", f"{name}_high")
    if replicates.size == 0:
        blank = pa.nulls(estimate.size, pa.float64())
        return dict(zip(labels, (estimate, blank, blank, blank), strict=True))
    error = jackknife_error(replicates, units)
    if sampling_error is not None:
        error = np.hypot(error, sampling_error)
    low, high = estimate - reach * error, estimate + reach * error
    if floor:
        low = np.maximum(low, 0.0)
    if ceiling:
        high = np.minimum(high, 1.0)
    # Rounding leaves errors of 1e-17 where nothing varies; an error of 0 says nothing and is not shown.
    unknown = error <= 1e-12 * np.maximum(np.abs(estimate), np.abs(estimate).max(initial=0.0))
    columns = [pa.array(column, mask=unknown) for column in (error, low, high)]
    return dict(zip(labels, (estimate, *columns), strict=True))


def ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> pa.Array:
    """Quotient a / b, blank where b is not positive."""
    positive = b > 0
    return pa.array(np.divide(a, b, out=np.zeros_like(a), where=positive), mask=~positive)


def money(part: dict[str, Any], spend: NDArray[np.float64]) -> dict[str, Any]:
    """Columns of spend, cost per conversion and ROAS of one model (spend is taken as known)."""
    known = ~np.isnan(spend)
    paid = np.where(known, spend, 0.0)

    def numbers(name: str) -> NDArray[np.float64]:
        column = part[name]
        return column if isinstance(column, np.ndarray) else column.to_numpy(zero_copy_only=False)

    def divide(a: NDArray[np.float64], b: NDArray[np.float64]) -> pa.Array:
        valid = known & (b > 0) & np.isfinite(a)
        return pa.array(np.divide(a, b, out=np.zeros_like(b), where=valid), mask=~valid)

    return {
        "spend": pa.array(spend, mask=~known),
        "spend_share": pa.array(shares(paid), mask=~known),
        "cost_per_conversion": divide(paid, numbers("conversions")),
        "cost_per_conversion_low": divide(paid, numbers("conversions_high")),
        "cost_per_conversion_high": divide(paid, numbers("conversions_low")),
        "roas": divide(numbers("value"), paid),
        "roas_low": divide(numbers("value_low"), paid),
        "roas_high": divide(numbers("value_high"), paid),
    }


def state_names(chain: ChainCounts, symbols: tuple[str, ...], delimiter: str) -> tuple[str, ...]:
    """Names of the chain's states: (start), then the touches of each window joined by the delimiter."""
    names = np.array(symbols, dtype=object)
    return (
        "(start)",
        *(delimiter.join(names[chain.window[chain.offsets[s] : chain.offsets[s + 1]]]) for s in range(1, chain.states)),
    )
