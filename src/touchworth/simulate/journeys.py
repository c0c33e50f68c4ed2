"""Simulated customer journeys: touches, conversions and order values by a recipe, and what every channel caused."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import RequestError
from touchworth.kernels import kernel
from touchworth.simulate.random import stream_key
from touchworth.simulate.recipe import JourneySpec, first_moment, make_recipe
from touchworth.simulate.stream import Progress, Simulated, in_order, stream_format, table_writer
from touchworth.simulate.truth import JourneyTruth, Sums, add_sums, effects_table, truth_of
from touchworth.simulate.walk import Law, Walked, walk

__all__ = ["SimulatedJourneys", "law_of", "simulate_journeys"]

CHUNK = 1 << 16
LARGEST_USERS = 1_000_000_000
SAMPLE = 200_000  # users that a wanted rate is solved on
DAY = 86_400_000_000.0
WALKS = 3  # purpose of the random stream


@dataclass(frozen=True, slots=True, repr=False)
class SimulatedJourneys(Simulated):
    """Journeys and what every channel caused in them.

    Attributes
    ----------
    table
        One row a touch, users one after another: user_id (int64, from 1), touch (number within the user, from 1),
        timestamp (UTC), channel, conversion (0/1), value (money; null where nothing converted), cost (money), and with
        cohorts cohort. None where the rows were streamed to `path`.
    truth
        Effects of every channel.
    rows, users, converted_users, conversions, value
        Touches, users asked for, users who converted, conversions, and the sum of values.
    zero_touch_users, clipped_users, clipped_at_zero, values_cut
        Users who drew no touch (they have no journey); users of a journey whose conversion probability was cut at 1,
        and at 0; order values cut at 0.
    path
        The file, where one was written.
    """

    table: pa.Table | None
    truth: JourneyTruth
    rows: int
    users: int
    converted_users: int
    conversions: int
    value: float
    zero_touch_users: int
    clipped_users: int
    clipped_at_zero: int
    values_cut: int
    path: str | None
    shown: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        travelled = self.users - self.zero_touch_users
        text = (
            f"{self.rows:,} touches of {self.users:,} users: {self.conversions:,} conversions worth {self.value:,.2f}, "
            f"{self.converted_users / max(travelled, 1):.2%} of the users with touches converted; "
            f"{self.zero_touch_users:,} users drew no touch and have no journey, {self.clipped_users:,} users had a "
            f"probability cut at 1, {self.values_cut:,} order values were cut at 0"
        )
        return text + (f", {self.clipped_at_zero:,} users had a probability cut at 0" if self.clipped_at_zero else "")


def simulate_journeys(
    users: int,
    touches: float | None = None,
    channels: Any = None,
    spec: JourneySpec | Mapping[str, Any] | str | Path | None = None,
    seed: int = 0,
    path: str | Path | None = None,
    progress: Progress | None = None,
    *,
    rate: float | None = None,
    transitions: Mapping[str, Mapping[str, float]] | Sequence[Sequence[float]] | None = None,
    interactions: Any = None,
    half_life_days: float | None = None,
    repeat: float | None = None,
    organic: float | None = None,
    heterogeneity: tuple[float, float] | None = None,
    value_rule: str | None = None,
    cohorts: Any = None,
    start: str | None = None,
    window_days: float | None = None,
    gap_days: float | None = None,
    format: str | None = None,  # noqa: A002
    force: bool = False,
    threads: int = 1,
) -> SimulatedJourneys:
    """Simulate customer journeys with a known truth.

    Parameters
    ----------
    users
        Number of users.
    touches
        Mean of the Poisson number of touches (default 10).
    channels
        Channel table: a CSV file (channel, cvr, frequency, aov, sd, cpc), a data frame, or a list of `Channel`, tuples
        or mappings.
    spec
        The whole recipe: a `JourneySpec`, its mapping, or a TOML or JSON file; parameters given beside it replace its
        own.
    seed
        Of everything random: equal arguments give equal rows, on any number of threads.
    path
        Write the rows to this CSV or Parquet file, chunk by chunk, in bounded memory; default: keep them as a table.
    progress
        Called as progress(users done, users) after each chunk.
    rate, transitions, interactions, half_life_days, repeat, organic, heterogeneity, value_rule, cohorts
        Beyond the basic recipe, each off by default; see `JourneySpec`.
    start, window_days, gap_days
        Times; see `JourneySpec`.
    format, force
        Of the file; an existing file is replaced only with `force`.
    threads
        Threads that make chunks.

    Raises
    ------
    RequestError, DataError
        With one sentence: what was wrong, the value seen, what would be right.
    """
    changes = {
        "touches": touches, "channels": channels, "rate": rate, "transitions": transitions,
        "interactions": interactions, "half_life_days": half_life_days, "repeat": repeat, "organic": organic,
        "heterogeneity": heterogeneity, "value_rule": value_rule, "cohorts": cohorts, "start": start,
        "window_days": window_days, "gap_days": gap_days,
    }  # fmt: skip
    recipe = make_recipe(spec, changes)
    kind = "" if path is None else stream_format(path, format)
    run = JourneyRun(recipe, users, seed)
    kept: list[pa.Table] = []
    if path is None:
        run.work(kept.append, threads, progress)
    else:
        with table_writer(path, run.schema, kind, names=run.texts, force=force) as write:
            run.work(write, threads, progress)
    return run.result(pa.concat_tables(kept) if path is None else None, None if path is None else str(path))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Users first, first + 1, ... (numbered from 0) of one run."""

    run: int
    first: int
    users: int


@dataclass(frozen=True, slots=True)
class Made:
    """What a chunk came to."""

    table: pa.Table
    sums: Sums
    run: int
    converted_users: int
    conversions: int
    cents: int
    counts: tuple[int, int, int, int]


class JourneyRun:
    """One simulation: its laws, the chunks to make, and what they have come to so far."""

    def __init__(self, recipe: JourneySpec, users: int, seed: int) -> None:
        if isinstance(users, bool) or not isinstance(users, (int, np.integer)) or not 1 <= users <= LARGEST_USERS:
            raise RequestError(f"--users is {users!r}; it must be a whole number from 1 to {LARGEST_USERS:,}")
        self.users, self.seed = int(users), seed
        self.key = stream_key(seed, WALKS)
        runs = recipe.runs()
        self.names = tuple(dict.fromkeys(name for _, _, spec in runs for name in spec.names))
        self.labels = tuple(name for name, _, _ in runs) if recipe.cohorts else ()
        self.sizes = split(self.users, [share for _, share, _ in runs])
        self.firsts = [sum(self.sizes[:k]) for k in range(len(self.sizes))]
        if recipe.rate is not None:
            scale = solve_scale(runs, self.names, self.key, self.firsts, self.sizes, recipe.rate)
            recipe = scaled(recipe, scale)
            runs = recipe.runs()
        self.recipe = recipe
        self.laws = [law_of(spec, self.names) for _, _, spec in runs]
        self.costs = [cost_of(spec, self.names) for _, _, spec in runs]
        self.texts = (*self.names, *self.labels)
        fields = [
            pa.field("user_id", pa.int64()),
            pa.field("touch", pa.int32()),
            pa.field("timestamp", pa.timestamp("us", "UTC")),
            pa.field("channel", pa.dictionary(pa.int32(), pa.string())),
            pa.field("conversion", pa.int8()),
            pa.field("value", pa.float64()),
            pa.field("cost", pa.float64()),
        ]
        if self.labels:
            fields.append(pa.field("cohort", pa.dictionary(pa.int32(), pa.string())))
        self.schema = pa.schema(fields)
        self.sums: list[list[Sums]] = [[add_sums([], len(self.names))] for _ in self.laws]
        self.rows, self.converted_users, self.conversions, self.cents = 0, 0, 0, 0
        self.counts = np.zeros(4, np.int64)

    def chunks(self) -> Iterator[Chunk]:
        """All users, chunk by chunk."""
        for run, (first, size) in enumerate(zip(self.firsts, self.sizes, strict=True)):
            for begin in range(0, size, CHUNK):
                yield Chunk(run, first + begin, min(CHUNK, size - begin))

    def make(self, chunk: Chunk) -> Made:
        """The rows of a chunk and their truth."""
        law = self.laws[chunk.run]
        walked = walk(law, self.key, chunk.first, chunk.users)
        sums = truth_of(law, walked, chunk.users, reassigned=self.recipe.value_rule == "reassigned")
        converts = walked.conversion == 1
        ending = walked.user[converts]
        return Made(
            table=self.tabulate(walked, chunk.run),
            sums=sums,
            run=chunk.run,
            converted_users=int((np.diff(ending, prepend=-1) != 0).sum()),
            conversions=int(converts.sum()),
            cents=int(np.rint(walked.value[converts] * 100).astype(np.int64).sum()),
            counts=(walked.without_touches, walked.clipped_users, walked.clipped_low, walked.values_cut),
        )

    def tabulate(self, walked: Walked, run: int) -> pa.Table:
        """Touches as a table."""
        names = pa.array(list(self.names), pa.string())
        columns = [
            pa.array(walked.user),
            pa.array(walked.number),
            pa.array(walked.time, pa.timestamp("us", "UTC")),
            pa.DictionaryArray.from_arrays(pa.array(walked.channel), names),
            pa.array(walked.conversion),
            pa.array(walked.value, mask=np.isnan(walked.value)),
            pa.array(self.costs[run][walked.channel]),
        ]
        if self.labels:
            label = pa.array(np.full(walked.user.size, run, np.int32))
            columns.append(pa.DictionaryArray.from_arrays(label, pa.array(list(self.labels), pa.string())))
        return pa.Table.from_arrays(columns, schema=self.schema)

    def work(self, write: Callable[[pa.Table], Any], threads: int, progress: Progress | None) -> None:
        """Make every chunk and hand its rows on, in order."""
        done = 0
        for chunk, made in zip(self.chunks(), in_order(self.chunks(), self.make, threads), strict=True):
            write(made.table)
            # Sums of a run are added one after another: the truth depends on no threads.
            self.sums[made.run] = [add_sums([*self.sums[made.run], made.sums], len(self.names))]
            self.rows += len(made.table)
            self.converted_users += made.converted_users
            self.conversions += made.conversions
            self.cents += made.cents
            self.counts += made.counts
            done += chunk.users
            if progress is not None:
                progress(done, self.users)

    def result(self, table: pa.Table | None, path: str | None) -> SimulatedJourneys:
        """The record, once all chunks are made."""
        runs = [add_sums(parts, len(self.names)) for parts in self.sums]
        total = add_sums(runs, len(self.names))
        # Given the touches the direct effect is exact; what steering adds is simulated, user by user.
        variance = np.zeros(len(self.names))
        for part, law in zip(runs, self.laws, strict=True):
            if law.steers.any() and part.users > 1:
                added = part.effect[1, 0] - part.effect[0, 0]
                spread = np.maximum(part.steered_squares - added**2 / part.users, 0.0)
                variance += spread * part.users / (part.users - 1)
        zero, clipped, clipped_low, cut = (int(count) for count in self.counts)
        truth = JourneyTruth(
            seed=self.seed,
            spec=self.recipe,
            users=self.users,
            zero_touch_users=zero,
            clipped_users=clipped,
            organic_conversions=float(total.ends[1, 0]),
            organic_value=float(total.ends[1, 1]),
            expected_conversions=float(total.ends[0, 0]),
            expected_value=float(total.ends[0, 1]),
            effects=effects_table(self.names, total, variance),
        )
        return SimulatedJourneys(
            table=table,
            truth=truth,
            rows=self.rows,
            users=self.users,
            converted_users=self.converted_users,
            conversions=self.conversions,
            value=self.cents / 100,
            zero_touch_users=zero,
            clipped_users=clipped,
            clipped_at_zero=clipped_low,
            values_cut=cut,
            path=path,
        )


def split(users: int, shares: Sequence[float]) -> list[int]:
    """Users of each run: whole numbers by largest remainder that sum to `users`."""
    exact = [users * share / sum(shares) for share in shares]
    sizes = [int(size) for size in exact]
    order = sorted(range(len(shares)), key=lambda k: (sizes[k] - exact[k], k))
    for k in order[: users - sum(sizes)]:
        sizes[k] += 1
    return sizes


def poisson_law(mean: float) -> NDArray[np.float64]:
    """Cumulative Poisson probabilities of 0, 1, 2 ..., as far as they differ from 1; the last is 1."""
    most = int(mean + 12 * math.sqrt(mean) + 40)
    counts = np.arange(most)
    logs = counts * math.log(mean) - mean - np.array([math.lgamma(count + 1) for count in counts])
    cumulative = np.cumsum(np.exp(logs))
    last = int(np.searchsorted(cumulative, 1 - 2.0**-53))
    cumulative = cumulative[: last + 1]
    cumulative[-1] = 1.0
    return cumulative


def truncated_mean(mean: float, sd: float) -> float:
    """Mean of max(0, normal): mean Phi(mean / sd) + sd phi(mean / sd)."""
    if sd == 0:
        return max(mean, 0.0)
    z = mean / sd
    return mean * 0.5 * math.erfc(-z / math.sqrt(2)) + sd * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def law_of(spec: JourneySpec, names: tuple[str, ...]) -> Law:
    """A spec without cohorts as arrays over the channels `names`, of which it may lack some."""
    count = len(names)
    index = {name: k for k, name in enumerate(names)}
    frequency, strength, aov, sd, mean_value = (np.zeros(count) for _ in range(5))
    for channel in spec.channels:
        k = index[channel.name]
        frequency[k], strength[k] = channel.frequency, channel.cvr * spec.cvr_scale
        aov[k], sd[k], mean_value[k] = channel.aov, channel.sd, truncated_mean(channel.aov, channel.sd)
    rows = np.tile(frequency, (count + 1, 1))
    for source, row in spec.transitions.items():
        rows[1 + index[source]] = [row.get(name, 0.0) for name in names]
    cumulative = np.cumsum(rows / rows.sum(1, keepdims=True), axis=1)
    # Beyond the last possible channel the probability is 1 exactly, so that rounding picks no impossible one.
    cumulative[cumulative >= cumulative[:, -1:]] = 1.0
    pair = np.zeros((count, count)) if spec.interactions else np.zeros((0, 0))
    for interaction in spec.interactions:
        a, b = (index[name] for name in interaction.channels)
        pair[a, b] = pair[b, a] = interaction.effect
    shape_a, shape_b = spec.heterogeneity or (0.0, 0.0)
    return Law(
        poisson=poisson_law(spec.touches),
        cumulative=cumulative,
        steers=(cumulative[1:] != cumulative[0]).any(axis=1),
        strength=strength,
        pair=pair,
        organic=float(spec.organic),
        repeat=float(spec.repeat),
        half_life=0.0 if spec.half_life_days is None else spec.half_life_days * DAY,
        shape_a=float(shape_a),
        shape_b=float(shape_b),
        start=first_moment(spec.start),
        window=spec.window_days * DAY,
        gap=spec.gap_days * DAY,
        aov=aov,
        sd=sd,
        mean_value=mean_value,
        idle_value=float(np.mean([truncated_mean(channel.aov, channel.sd) for channel in spec.channels])),
    )


def cost_of(spec: JourneySpec, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Cost of a touch of each channel, float64 (channels,), rounded to cents."""
    costs = {channel.name: round(channel.cpc, 2) for channel in spec.channels}
    return np.array([costs.get(name, 0.0) for name in names])


def scaled(recipe: JourneySpec, scale: float) -> JourneySpec:
    """The recipe with every CVR scaled and no wanted rate: it draws the same journeys without solving again."""
    cohorts = tuple(
        replace(cohort, changes=dict(cohort.changes) | {"cvr_scale": cohort.changes["cvr_scale"] * scale})
        if "cvr_scale" in cohort.changes
        else cohort
        for cohort in recipe.cohorts
    )
    return replace(recipe, rate=None, cvr_scale=recipe.cvr_scale * scale, cohorts=cohorts)


def solve_scale(
    runs: list[tuple[str, float, JourneySpec]],
    names: tuple[str, ...],
    key: np.uint64,
    firsts: list[int],
    sizes: list[int],
    rate: float,
) -> float:
    """The factor on all CVRs that makes `rate` the mean conversion probability of users' first journeys.

    Solved on the journeys that the first users of each run will take (200,000 in all), so that no noise of the touches
    enters up to that number of users.

    Raises
    ------
    RequestError
        A rate that no factor reaches: below what is organic, or above what CVRs of 1 give.
    """
    from scipy.optimize import brentq

    base, amount, weight = [], [], []
    for (_, _, spec), first, size in zip(runs, firsts, sizes, strict=True):
        users = min(size, math.ceil(SAMPLE * size / sum(sizes)))
        if users == 0:
            continue
        law = law_of(replace(spec, rate=None, repeat=0.0), names)
        walked = walk(law, key, first, users)
        if walked.owner.size == 0:
            continue
        single, joint = strengths(walked.channel, walked.time, walked.start, law.strength, law.pair, law.half_life)
        base.append(law.organic + walked.factor * joint)
        amount.append(walked.factor * single)
        weight.append(np.full(walked.owner.size, size / users))
    if not base:
        raise RequestError(f"--rate is {rate:g} but no user has a touch; give more users or more touches")
    start, slope, share = np.concatenate(base), np.concatenate(amount), np.concatenate(weight)
    share /= share.sum()

    def mean(scale: float) -> float:
        return float((np.clip(start + scale * slope, 0.0, 1.0) * share).sum())

    strongest = max(channel.cvr * spec.cvr_scale for _, _, spec in runs for channel in spec.channels)
    most = 1 / strongest if strongest > 0 else 0.0
    low, high = mean(0.0), mean(most)
    if not low <= rate <= high:
        why = "with all CVRs at 0" if rate < low else "with the largest CVR at 1" if most else "as every CVR is 0"
        raise RequestError(
            f"--rate is {rate:g}, which cannot be reached: {why} it is {low if rate < low else high:.6g}; "
            f"a rate from {low:.6g} to {high:.6g} can"
        )
    if low == high:
        return 1.0
    return float(brentq(lambda scale: mean(scale) - rate, 0.0, most, xtol=1e-15, rtol=1e-14))


@kernel
def strengths(
    channel: NDArray[np.int32],
    time: NDArray[np.int64],
    start: NDArray[np.int64],
    strength: NDArray[np.float64],
    pair: NDArray[np.float64],
    half_life: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Summed contributions of the touches, and summed interactions, of every journey: two float64 (journeys,)."""
    journeys = start.size - 1
    single, joint = np.zeros(journeys), np.zeros(journeys)
    own = np.empty(strength.size, np.int64)
    for j in range(journeys):
        count = 0
        for i in range(start[j], start[j + 1]):
            part = strength[channel[i]]
            if half_life > 0.0:
                part *= math.exp(-math.log(2.0) * (time[start[j + 1] - 1] - time[i]) / half_life)
            single[j] += part
            if pair.size > 0:
                new = True
                for m in range(count):
                    if own[m] == channel[i]:
                        new = False
                        break
                if new:
                    for m in range(count):
                        joint[j] += pair[channel[i], own[m]]
                    own[count] = channel[i]
                    count += 1
    return single, joint
