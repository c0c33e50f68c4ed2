"""`attribute`: journeys in, credit of every model out."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.attribution.credit import (
    Credit,
    Estimate,
    MarkovResult,
    credit_table,
    share_difference,
    shares,
    state_names,
)
from touchworth.attribution.markov import SOLVED_ANEW_STATES, make_chain, replicate_removal, solve_removal
from touchworth.attribution.models import (
    MODELS,
    Parameters,
    choose_models,
    definition,
    make_parameters,
    weighting,
)
from touchworth.attribution.properties import check_properties
from touchworth.attribution.shapley import rate_shapley
from touchworth.attribution.spend import spend_by_channel
from touchworth.attribution.uncertainty import expansion
from touchworth.errors import RequestError
from touchworth.journeys.build import GroupedJourneys
from touchworth.journeys.counts import ChainCounts, Counts, Plan
from touchworth.journeys.credits import Weighting
from touchworth.journeys.overview import Overview
from touchworth.journeys.reduction import AnyJourneys, PathParts, Reduction, parts_of, reduce_all
from touchworth.results import join_groups

__all__ = ["attribute"]

SEGMENTS = {1: ("all",), 2: ("all", "loyal", "disloyal")}


def attribute(
    journeys: AnyJourneys | GroupedJourneys,
    models: Sequence[str] | None = None,
    *,
    order: int = 1,
    half_life: str | float | None = None,
    first_weight: float = 0.4,
    last_weight: float = 0.4,
    direct: Sequence[str] | None = None,
    loyal_touches: int | None = None,
    spend: Mapping[str, float] | None = None,
    cpc: Mapping[str, float] | None = None,
    level: float = 0.95,
    buckets: int = 100,
    seed: int = 0,
    threads: int = 2,
    progress: Callable[[str], None] | None = None,
) -> Credit:
    """Credit of every channel by every model asked for, with properties and intervals.

    Parameters
    ----------
    journeys
        From `read_events` or `read_paths`; grouped journeys give one table with the grouping column.
    models
        Names of models; the default is every model that needs no request of its own.
    order
        Order of the Markov chain: touches that a state remembers.
    half_life
        Of time_decay: a duration such as ``7d``, or a number of touches where there are no times (default 1).
    first_weight, last_weight
        Of position_based.
    direct
        Names that last_non_direct passes over (default ``direct``, ``(direct)``; case ignored).
    loyal_touches
        Splits converted journeys into loyal (at most so many touches) and disloyal; null journeys belong to both.
    spend, cpc
        Channel -> money spent, or cost of one touch.
    level
        Coverage of the intervals, between 0 and 1.
    buckets
        Groups of users for the jackknife; at least 2.
    seed
        Of dealing path tables to buckets and of permutation sampling.
    threads
        Threads for the reduction.
    progress
        Called with the name of each stage when it begins; what it raises ends the work.

    Raises
    ------
    RequestError
        An unknown model or an impossible parameter.
    """
    if not 0 < level < 1:
        raise RequestError(f"--level is {level}; it must lie between 0 and 1, such as 0.95")
    if buckets < 2:
        raise RequestError(f"--buckets is {buckets}; it must be 2 or more")
    if seed < 0:
        raise RequestError(f"--seed is {seed}; it must be 0 or more")
    if loyal_touches is not None and loyal_touches < 1:
        raise RequestError(f"--loyal-touches is {loyal_touches}; it must be 1 or more")
    names = choose_models(None if models is None else list(models))
    parts = parts_of(journeys)
    if isinstance(journeys, GroupedJourneys) and not parts:
        raise RequestError(f"column {journeys.column!r} has no value to repeat the analysis by")
    parameters = make_parameters(
        has_times=next(iter(parts.values())).has_times,
        order=order,
        half_life=half_life,
        first_weight=first_weight,
        last_weight=last_weight,
        direct=None if direct is None else tuple(direct),
    )
    rules = {name: weighting(name, parameters) for name in names if MODELS[name].kind >= 0}
    plan = Plan(
        # Models that weigh alike (shapley and ordered_shapley, u_shaped and the default position_based) count once.
        weightings=tuple(dict.fromkeys(rules.values())),
        order=parameters.order if "markov" in names else 0,
        loyal_touches=loyal_touches,
        positions="ordered_shapley" in names,
        sets="shapley_rate" in names,
        direct=parameters.direct,
    )
    timings: dict[str, float] = {}
    tell = progress or (lambda _: None)
    tell("reduce to counts")
    with timed(timings, "reduce to counts"):
        reduced = reduce_all(list(parts.values()), plan, buckets, seed, threads)
    results = {}
    for (group, part), (reduction, paths) in zip(parts.items(), reduced, strict=True):
        results[group] = credit_of(
            part, reduction, paths, names, parameters, rules, plan, spend, cpc, level, seed, timings, tell
        )
        paths.close()
        timings = {}
    return joined(journeys, results) if isinstance(journeys, GroupedJourneys) else results[""]


def credit_of(
    journeys: AnyJourneys,
    reduction: Reduction,
    paths: PathParts,
    names: tuple[str, ...],
    parameters: Parameters,
    rules: Mapping[str, Weighting],
    plan: Plan,
    spend: Mapping[str, float] | None,
    cpc: Mapping[str, float] | None,
    level: float,
    seed: int,
    timings: dict[str, float],
    tell: Callable[[str], None],
) -> Credit:
    """Solve, check and assemble from the reduction of `journeys`; every step is timed for ``-v``."""
    whole, counts, units = reduction.overview, reduction.counts, reduction.units
    certain = not reduction.why_not
    notices = [*whole.report.notices, *whole.notices]
    if not certain:
        notices.append(f"no intervals: {reduction.why_not}")
    if whole.conversions == 0:
        notices.append("no journey converts: every credit is 0")
    scale = expansion(units)[:, None]
    estimates: dict[tuple[str, str], Estimate] = {}
    markov: MarkovResult | None = None
    for name in names:
        tell(f"model {name}")
        with timed(timings, f"model {name}"):
            for segment in SEGMENTS[plan.segments]:
                chosen = slice(None) if segment == "all" else slice(*((0, 1) if segment == "loyal" else (1, 2)))
                if name == "markov":
                    estimate, result, told = markov_estimate(counts, whole, plan, chosen, scale, certain)
                    markov = result if segment == "all" else markov
                    label = "markov" if segment == "all" else f"markov ({segment})"
                    notices += [f"{label}: {text}" for text in told]
                elif name == "shapley_rate":
                    estimate, told = rate_estimate(counts, chosen, scale, certain, len(whole.channels), seed)
                    notices += told
                else:
                    place = plan.weightings.index(rules[name])
                    estimate = weighted_estimate(
                        counts.credit[place, chosen].sum(0), counts.credit_value[place, chosen].sum(0), scale, certain
                    )
                estimates[name, segment] = estimate
    if certain and whole.conversions < 30:
        notices.append("fewer than 30 conversions: every row is marked low_evidence, intervals are too narrow")
    paid, told = spend_by_channel(whole.channels, whole.touches_read, whole.cost, spend, cpc)
    notices += told
    with timed(timings, "properties and tables"):
        table = credit_table(estimates, whole.channels, whole.touches, units, level, paid, plan.segments > 1)
        properties, unique_paths = check_properties(estimates, counts, whole, paths, parameters)
    failed = properties.filter(properties["holds"].is_valid()).to_pylist()
    notices += [
        f"{row['model']}: property {row['property']!r} does not hold ({row['detail']})"
        for row in failed
        if row["promised"] and not row["holds"]
    ]
    return Credit(
        table=table,
        properties=properties,
        summary=summarise(whole, unique_paths, names, parameters, properties, estimates, notices, plan, units, level),
        channels=whole.channels,
        removal=None if markov is None else removal_table(whole.channels, markov),
        positions=position_table(whole.channels, counts) if plan.positions else None,
        markov=markov,
        estimates=estimates,
        units=units,
        level=level,
        journeys=journeys,
        parameters=parameters,
        timings=timings,
    )


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Add the seconds that a stage takes."""
    begun = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - begun


def weighted_estimate(
    credit: NDArray[np.float64], credit_value: NDArray[np.float64], scale: NDArray[np.float64], certain: bool
) -> Estimate:
    """Estimate of a per-journey model from its credits by channel and bucket: float64 (channels, buckets)."""
    total, worth = credit.sum(1), credit_value.sum(1)
    if not certain:
        return Estimate(total, worth, np.empty((0, total.size)), np.empty((0, total.size)))
    return Estimate(total, worth, (total - credit.T) * scale, (worth - credit_value.T) * scale)


def markov_estimate(
    counts: Counts, whole: Overview, plan: Plan, chosen: slice, scale: NDArray[np.float64], certain: bool
) -> tuple[Estimate, MarkovResult, list[str]]:
    """Credit by removal effects of the chain of one segment's converted journeys and all null whole."""
    if counts.chain is None:
        raise ValueError("the plan counted no chain")
    found = counts.chain
    kept = np.isin(found.segment, [*range(plan.segments)[chosen], plan.segments])
    source, target, bucket = found.source[kept], found.target[kept], found.bucket[kept]
    weight, value = found.weight[kept], found.value[kept]
    channels = len(whole.channels)
    block = last_channels(found, whole.symbol_channel)
    chain = make_chain(found.states, source, target, weight, value, block, channels)
    replicated = certain and found.states > SOLVED_ANEW_STATES
    removal = solve_removal(chain, keep=replicated)
    told = []
    conversions, worth = counts.conversions[chosen].sum(0), counts.value[chosen].sum(0)
    defined = removal.probability > 0
    defined_value = removal.expected_value > 0 and bool((chain.reward >= 0).all())
    if not defined:
        told.append("no journey converts, so that removal effects are undefined: credits are 0")
    if not defined_value and bool(value.any()):
        told.append("the value is not positive everywhere, so that shares of value are undefined: they are 0")
    share = shares(removal.effect) if defined else np.zeros(channels)
    share_value = shares(removal.effect_value) if defined_value else np.zeros(channels)
    empty = np.empty((0, channels))
    estimate = Estimate(conversions.sum() * share, worth.sum() * share_value, empty, empty)
    if certain:
        effects, effects_value = replicate_removal(
            chain, removal, source, target, bucket, weight, value, conversions.size
        )
        left = (conversions.sum() - conversions)[:, None] * scale
        left_value = (worth.sum() - worth)[:, None] * scale
        estimate = Estimate(
            estimate.conversions,
            estimate.value,
            left * shares(effects) * defined,
            left_value * shares(effects_value) * defined_value,
        )
    pair, inverse = np.unique(source * (found.states + 2) + target, return_inverse=True)
    rows, columns = np.divmod(pair, found.states + 2)
    result = MarkovResult(
        order=plan.order,
        chain=chain,
        removal=removal,
        names=state_names(found, whole.symbols, whole.delimiter),
        source=rows,
        target=columns,
        counts=np.bincount(inverse, weight, minlength=pair.size).astype(np.float64),
    )
    return estimate, result, told


def last_channels(chain: ChainCounts, symbol_channel: NDArray[np.int32]) -> NDArray[np.int64]:
    """Channel of the last touch of each state, int64 (states,); -1 for (start)."""
    block = np.full(chain.states, -1, np.int64)
    block[1:] = symbol_channel[chain.window[chain.offsets[2:] - 1]]
    return block


def rate_estimate(
    counts: Counts, chosen: slice, scale: NDArray[np.float64], certain: bool, channels: int, seed: int
) -> tuple[Estimate, list[str]]:
    """Credit by the Shapley value of the rate game, scaled to the conversions of the segment."""
    if counts.sets is None:
        raise ValueError("the plan counted no sets")
    sets = counts.sets
    inside = np.isin(sets.segment, range(counts.conversions.shape[0])[chosen])
    buckets = scale.shape[0]
    part = rate_shapley(
        sets.offsets, sets.channel, sets.set_of, sets.bucket,
        np.where(inside, sets.conversions, 0.0), sets.nulls, np.where(inside, sets.value, 0.0),
        channels, buckets if certain else 0, seed,
    )  # fmt: skip
    conversions, worth = counts.conversions[chosen].sum(0), counts.value[chosen].sum(0)

    def scaled(phi: NDArray[np.float64], total: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return shares(phi) * total

    factor = conversions.sum() / part.phi.sum() if part.phi.sum() else 0.0
    factor_value = worth.sum() / part.phi_value.sum() if part.phi_value.sum() else 0.0
    estimate = Estimate(
        scaled(part.phi, conversions.sum()),
        scaled(part.phi_value, worth.sum()),
        scaled(part.replicates, (conversions.sum() - conversions)[:, None] * scale if certain else 0.0),
        scaled(part.replicates_value, (worth.sum() - worth)[:, None] * scale if certain else 0.0),
        part.sampling_error * factor if part.permutations else None,
        part.sampling_error_value * abs(factor_value) if part.permutations else None,
    )
    told = []
    if part.permutations:
        worst = float((part.sampling_error * factor).max())
        told.append(f"shapley_rate: {part.permutations:,} permutations; sampling error up to {worst:.3g} conversions")
    if (estimate.conversions < 0).any():
        told.append("shapley_rate: some credit is negative; the model is blind to volume")
    told += rate_flags(counts, estimate)
    return estimate, told


def rate_flags(counts: Counts, estimate: Estimate) -> list[str]:
    """Warnings of the rate game: credit above the conversions that hold the channel, singles of little evidence."""
    if counts.sets is None:
        return []
    sets = counts.sets
    size = np.diff(sets.offsets)
    by_set = np.bincount(sets.set_of, sets.conversions, minlength=size.size)
    channels = estimate.conversions.size
    holding = np.bincount(sets.channel, np.repeat(by_set, size), minlength=channels)
    alone = np.bincount(sets.channel[sets.offsets[:-1]][size == 1], by_set[size == 1], minlength=channels)
    told = []
    if (estimate.conversions > holding + 1e-9).any():
        told.append("shapley_rate: some credit exceeds the conversions of the journeys that hold the channel")
    few = int(((alone < 10) & (holding > 0)).sum())
    if few:
        told.append(f"shapley_rate: {few} channels convert alone fewer than 10 times; their rates are uncertain")
    return told


def removal_table(channels: tuple[str, ...], markov: MarkovResult) -> pa.Table:
    """Removal effects: channel, removal_effect, removal_effect_value."""
    return pa.table(
        {
            "channel": list(channels),
            "removal_effect": markov.removal.effect,
            "removal_effect_value": markov.removal.effect_value,
        }
    )


def position_table(channels: tuple[str, ...], counts: Counts) -> pa.Table:
    """Ordered Shapley values: channel, position (from 1), conversions, value; rows without credit are left out."""
    channel, position = np.nonzero((counts.positions != 0) | (counts.positions_value != 0))
    return pa.table(
        {
            "channel": pa.array(list(channels)).take(pa.array(channel)),
            "position": position + 1,
            "conversions": counts.positions[channel, position],
            "value": counts.positions_value[channel, position],
        }
    )


def summarise(
    journeys: Overview,
    unique_paths: int,
    names: tuple[str, ...],
    parameters: Parameters,
    properties: pa.Table,
    estimates: Mapping[tuple[str, str], Estimate],
    notices: list[str],
    plan: Plan,
    units: NDArray[np.float64],
    level: float,
) -> dict[str, Any]:
    """Everything a reader needs to check the account: counts, definitions, properties, notices."""
    report, account = journeys.report, journeys.accounting
    attributed, worth = journeys.conversions, journeys.value
    out: dict[str, Any] = {
        "shape": report.shape,
        "sources": list(report.sources),
        "columns": report.columns,
        "columns_detected": list(report.detected),
        "rows_read": report.rows_read,
        "rows_rejected": report.rows_rejected,
        "rejected_by_reason": report.rejected_by_reason,
        "duplicates_removed": report.duplicates_removed,
        "rows_left_out": report.rows_left_out,
        "rows_without_outcome": report.rows_without_outcome,
        "blank_flags": report.blank_flags,
        "users": as_integer(account.get("users", 0.0)) if journeys.has_times else None,
        "journeys": as_integer(journeys.conversions + journeys.nulls),
        "converted_journeys": as_integer(attributed),
        "null_journeys": as_integer(journeys.nulls),
        "conversions": as_integer(account["conversions"]),
        "value": account["value"],
        "attributed_conversions": as_integer(attributed),
        "attributed_value": worth,
        "unattributed_conversions": as_integer(account.get("unattributed_conversions", 0.0)),
        "unattributed_value": account.get("unattributed_value", 0.0),
        "later_conversions": as_integer(account.get("later_conversions", 0.0)),
        "later_value": account.get("later_value", 0.0),
        "conversions_outside_period": as_integer(account.get("conversions_outside_period", 0.0)),
        "conversions_without_channel": report.conversions_without_channel,
        "values_without_conversion": report.values_without_conversion,
        "touches_read": as_integer(account["touches_read"]),
        "touches": as_integer(account["touches"]),
        "touches_outside_lookback": as_integer(account.get("touches_outside_lookback", 0.0)),
        "touches_left_out": as_integer(account.get("touches_left_out", 0.0)),
        "touches_outside_period": as_integer(account.get("touches_outside_period", 0.0)),
        "touches_dropped": as_integer(account["touches_dropped"]),
        "touches_in_open_journeys": as_integer(account.get("touches_in_open_journeys", 0.0)),
        "open_journeys": as_integer(account.get("open_journeys", 0.0)),
        "unique_paths": unique_paths,
        "longest_path": journeys.longest,
        "rules": journeys.rules.describe() if journeys.has_times else {},
        "model_definitions": {name: definition(name, parameters) for name in names},
        "properties": properties.to_pylist(),
    }
    if plan.segments > 1:
        out["loyalty"] = {
            name: pa.table(
                {"channel": list(journeys.channels)}
                | share_difference(estimates[name, "loyal"], estimates[name, "disloyal"], units, level)
            )
            .rename_columns(["channel", "loyal", "disloyal", "difference", "std_error", "low", "high"])
            .to_pylist()
            for name in names
        }
    out["notices"] = list(dict.fromkeys(notices))
    return out


def as_integer(number: float) -> int | float:
    """An integer where the number is whole (path tables may hold fractions)."""
    return int(number) if number == int(number) else number


def joined(grouped: GroupedJourneys, results: Mapping[str, Credit]) -> Credit:
    """One result for all groups: tables carry the grouping column, the summary one entry a group."""
    by = grouped.column

    def tables(name: str) -> pa.Table | None:
        return join_groups({group: getattr(credit, name) for group, credit in results.items()}, by)

    first = next(iter(results.values()))
    return Credit(
        table=tables("table"),
        properties=tables("properties"),
        summary={"by": by, "groups": {name: credit.summary for name, credit in results.items()}},
        channels=first.channels,
        removal=tables("removal"),
        positions=tables("positions"),
        markov=None,
        estimates={},
        units=first.units,
        level=first.level,
        journeys=None,
        parameters=first.parameters,
        timings={stage: sum(credit.timings.get(stage, 0.0) for credit in results.values()) for stage in first.timings},
        by=by,
        groups=results,
    )
