"""The truth of simulated journeys: what every channel caused, as expectations over the conversion draw.

Per journey the game is w(S) = E(conversions | only the channels of S act) = clip(organic + factor * (sum of their
contributions + interactions of those present)), and the same times the mean order value for revenue.

- direct effect of c: w(all) - w(all without c);
- total effect of c: the same, but a touch of c steers no next touch: the journey is walked again with the same numbers;
- Shapley value of w: in closed form where no coalition is clipped (contributions add, an interaction is halved), by
  enumeration of the journey's own channels elsewhere, by antithetic permutations beyond `ENUMERATED` of them.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.simulate.random import mix, uniform
from touchworth.simulate.recipe import JourneySpec
from touchworth.simulate.walk import CHANNEL_SLOT, Law, Walked

__all__ = ["ENUMERATED", "KINDS", "JourneyTruth", "Sums", "add_sums", "truth_of"]

KINDS = ("direct", "total", "shapley")
ENUMERATED = 16  # own channels of a journey: 65,536 coalitions
PAIRS = 64  # antithetic pairs of permutations beyond
SAMPLE_MARK = np.uint64(0x8CB92BA72F3D8DD7)
GRAND, EMPTY = 0, 1


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over journeys, which add up over chunks (``k`` channels).

    Attributes
    ----------
    effect
        float64 (3, 2, k): direct, total, Shapley; conversions, value.
    steered_squares
        float64 (k,): sum over users of the squared difference of total and direct effect (conversions), which is the
        part of the total effect that is simulated.
    shapley_variance
        float64 (k,): of the sampled Shapley values (conversions).
    ends
        float64 (2, 2): w(all), w(empty); conversions, value.
    users
        Users, also those without touches.
    """

    effect: NDArray[np.float64]
    steered_squares: NDArray[np.float64]
    shapley_variance: NDArray[np.float64]
    ends: NDArray[np.float64]
    users: int


def add_sums(parts: Iterable[Sums], channels: int) -> Sums:
    """Sums of several chunks."""
    effect, squares, variance, ends = (
        np.zeros((3, 2, channels)),
        np.zeros(channels),
        np.zeros(channels),
        np.zeros((2, 2)),
    )
    users = 0
    for part in parts:
        effect += part.effect
        squares += part.steered_squares
        variance += part.shapley_variance
        ends += part.ends
        users += part.users
    return Sums(effect, squares, variance, ends, users)


def truth_of(law: Law, walked: Walked, users: int, *, reassigned: bool, enumerated: int = ENUMERATED) -> Sums:
    """Truth of the journeys of `users` users; beyond `enumerated` own channels Shapley values are sampled."""
    channels = law.strength.size
    effect, squares, variance, ends = (
        np.zeros((3, 2, channels)),
        np.zeros(channels),
        np.zeros(channels),
        np.zeros((2, 2)),
    )
    measure(
        walked.channel, walked.time, walked.start, walked.owner, walked.factor, walked.key, law.cumulative, law.steers,
        law.strength, law.pair, law.organic, law.half_life, law.mean_value, law.idle_value, reassigned, enumerated,
        effect, squares, variance, ends,
    )  # fmt: skip
    return Sums(effect, squares, variance, ends, users)


@dataclass(frozen=True, slots=True)
class JourneyTruth:
    """What every channel of simulated journeys caused.

    Attributes
    ----------
    seed, spec, users
        Of the simulation; the spec holds the solved `cvr_scale`, so that it draws the same journeys again.
    zero_touch_users
        Users who drew no touch and have no journey.
    clipped_users
        Users with a journey whose probability was cut at 1.
    organic_conversions, organic_value
        Expected conversions and value that no channel earns: w(empty).
    expected_conversions, expected_value
        w(all).
    effects
        channel, then for each of direct, total, shapley: conversions, value, and std_error of the conversions of total
        and shapley (0 where exact).
    """

    seed: int
    spec: JourneySpec
    users: int
    zero_touch_users: int
    clipped_users: int
    organic_conversions: float
    organic_value: float
    expected_conversions: float
    expected_value: float
    effects: pa.Table

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return tuple(self.effects["channel"].to_pylist())

    @property
    def organic_share(self) -> float:
        """Share of the expected conversions that no channel earns; NaN where none are expected."""
        return self.organic_conversions / self.expected_conversions if self.expected_conversions > 0 else math.nan

    def to_dict(self) -> dict[str, Any]:
        """The truth as plain mappings."""
        channels = {}
        for row in self.effects.to_pylist():
            channels[row["channel"]] = {
                kind: {
                    name: row[f"{kind}_{name}"]
                    for name in ("conversions", "value", "std_error")
                    if f"{kind}_{name}" in row
                }
                for kind in KINDS
            }
        return {
            "seed": self.seed,
            "spec": self.spec.to_dict(),
            "users": self.users,
            "zero_touch_users": self.zero_touch_users,
            "clipped_users": self.clipped_users,
            "organic_conversions": self.organic_conversions,
            "channels": channels,
        }

    def to_json(self) -> str:
        """The truth as JSON with the keys of `to_dict`."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def effects_table(names: tuple[str, ...], total: Sums, total_variance: NDArray[np.float64]) -> pa.Table:
    """`JourneyTruth.effects`."""
    columns: dict[str, Any] = {"channel": pa.array(list(names), pa.string())}
    errors = {"total": np.sqrt(total_variance), "shapley": np.sqrt(total.shapley_variance)}
    for place, kind in enumerate(KINDS):
        columns[f"{kind}_conversions"], columns[f"{kind}_value"] = total.effect[place]
        if kind in errors:
            columns[f"{kind}_std_error"] = errors[kind]
    return pa.table(columns)


@kernel
def clip(chance: float) -> float:
    """A probability."""
    return min(max(chance, 0.0), 1.0)


@kernel
def measure(
    channel: NDArray[np.int32],
    time: NDArray[np.int64],
    start: NDArray[np.int64],
    owner: NDArray[np.int64],
    factor: NDArray[np.float64],
    key: NDArray[np.uint64],
    cumulative: NDArray[np.float64],
    steers: NDArray[np.bool_],
    strength: NDArray[np.float64],
    pair: NDArray[np.float64],
    organic: float,
    half_life: float,
    mean_value: NDArray[np.float64],
    idle: float,
    reassigned: bool,
    enumerated: int,
    effect: NDArray[np.float64],
    steered_squares: NDArray[np.float64],
    shapley_variance: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> None:
    """Add up the truth of every journey; see `Law`, `Walked` and `Sums` for the shapes.

    A journey's own channels are numbered by their last touch, so that the last unsilenced touch of a coalition is of
    its highest member.
    """
    count = strength.size
    place = np.full(count, -1, np.int64)
    own = np.empty(count, np.int64)
    amount = np.zeros(count)
    joint = np.zeros((count, count))
    found = np.zeros((2, count))
    variance = np.zeros(count)
    user_steered = np.zeros(count)
    table = np.empty((2, 1))
    sizes = np.zeros(1, np.int8)
    paired = pair.size > 0
    any_steers = steers.any()
    for j in range(start.size - 1):
        begin, end = start[j], start[j + 1]
        decision = time[end - 1]
        own_count = 0
        for i in range(end - 1, begin - 1, -1):
            if place[channel[i]] < 0:
                place[channel[i]] = 0
                own[own_count] = channel[i]
                own_count += 1
        for k in range(own_count // 2):
            other = own_count - 1 - k
            own[k], own[other] = own[other], own[k]
        for k in range(own_count):
            place[own[k]] = k
            amount[k] = 0.0
        for i in range(begin, end):
            part = factor[j] * strength[channel[i]]
            if half_life > 0.0:
                part *= math.exp(-math.log(2.0) * (decision - time[i]) / half_life)
            amount[place[channel[i]]] += part
        highest, lowest, chance = organic, organic, organic
        for k in range(own_count):
            highest += amount[k]
            chance += amount[k]
            if paired:
                for m in range(k):
                    both = factor[j] * pair[own[k], own[m]]
                    joint[k, m] = both
                    joint[m, k] = both
                    chance += both
                    if both > 0.0:
                        highest += both
                    else:
                        lowest += both
        whole = clip(chance)
        worth = mean_value[own[own_count - 1]]
        ends[GRAND, 0] += whole
        ends[GRAND, 1] += whole * worth
        ends[EMPTY, 0] += organic
        ends[EMPTY, 1] += organic * (idle if reassigned else worth)
        for k in range(own_count):
            rest = chance - amount[k]
            if paired:
                for m in range(own_count):
                    if m != k:
                        rest -= joint[k, m]
            rest = clip(rest)
            rest_worth = worth
            if reassigned and k == own_count - 1:
                rest_worth = mean_value[own[k - 1]] if k > 0 else idle
            effect[0, 0, own[k]] += whole - rest
            effect[0, 1, own[k]] += whole * worth - rest * rest_worth
            if not steers[own[k]]:
                effect[1, 0, own[k]] += whole - rest
                effect[1, 1, own[k]] += whole * worth - rest * rest_worth
            else:
                steered_chance, last = walk_without(
                    own[k], key[j], time[begin:end], factor[j], cumulative, strength, pair, organic, half_life
                )
                other_worth = worth
                if reassigned:
                    other_worth = mean_value[last] if last >= 0 else idle
                effect[1, 0, own[k]] += whole - steered_chance
                effect[1, 1, own[k]] += whole * worth - steered_chance * other_worth
                user_steered[own[k]] += rest - steered_chance
        if not reassigned and highest <= 1.0 and lowest >= 0.0:
            for k in range(own_count):
                share = amount[k]
                if paired:
                    for m in range(own_count):
                        if m != k:
                            share += 0.5 * joint[k, m]
                effect[2, 0, own[k]] += share
                effect[2, 1, own[k]] += share * worth
        else:
            found[:, :own_count] = 0.0
            variance[:own_count] = 0.0
            if own_count <= enumerated:
                if table.shape[1] < 1 << own_count:
                    table = np.empty((2, 1 << own_count))
                    sizes = np.zeros(1 << own_count, np.int8)
                    for subset in range(1, sizes.size):
                        sizes[subset] = sizes[subset & (subset - 1)] + 1
                enumerate_coalitions(
                    own, own_count, amount, joint, paired, organic, worth, idle, mean_value, reassigned, table, sizes,
                    found,
                )  # fmt: skip
            else:
                sample_coalitions(
                    key[j], own, own_count, amount, joint, paired, organic, worth, idle, mean_value, reassigned, found,
                    variance,
                )  # fmt: skip
            for k in range(own_count):
                effect[2, 0, own[k]] += found[0, k]
                effect[2, 1, own[k]] += found[1, k]
                shapley_variance[own[k]] += variance[k]
        if any_steers and (j + 2 == start.size or owner[j + 1] != owner[j]):
            for c in range(count):
                steered_squares[c] += user_steered[c] * user_steered[c]
                user_steered[c] = 0.0
        for k in range(own_count):
            place[own[k]] = -1


@kernel
def walk_without(
    silenced: int,
    key: np.uint64,
    time: NDArray[np.int64],
    factor: float,
    cumulative: NDArray[np.float64],
    strength: NDArray[np.float64],
    pair: NDArray[np.float64],
    organic: float,
    half_life: float,
) -> tuple[float, int]:
    """The journey walked again with the same numbers, where touches of a channel neither add nor steer.

    After a silenced touch the next is drawn as after none. Returns the probability of conversion and the channel of the
    last touch that acts (-1: none).
    """
    chance = 0.0
    row = 0
    last = -1
    decision = time[time.size - 1]
    seen = np.empty(strength.size if pair.size > 0 else 0, np.int64)
    count = 0
    for i in range(time.size):
        number = uniform(key, CHANNEL_SLOT + 2 * i)
        channel = 0
        while number >= cumulative[row, channel]:
            channel += 1
        if channel == silenced:
            row = 0
            continue
        row = 1 + channel
        last = channel
        part = strength[channel]
        if half_life > 0.0:
            part *= math.exp(-math.log(2.0) * (decision - time[i]) / half_life)
        chance += part
        if pair.size > 0:
            new = True
            for m in range(count):
                if seen[m] == channel:
                    new = False
                    break
            if new:
                for m in range(count):
                    chance += pair[channel, seen[m]]
                seen[count] = channel
                count += 1
    return clip(organic + factor * chance), last


@kernel
def enumerate_coalitions(
    own: NDArray[np.int64],
    count: int,
    amount: NDArray[np.float64],
    joint: NDArray[np.float64],
    paired: bool,
    organic: float,
    worth: float,
    idle: float,
    mean_value: NDArray[np.float64],
    reassigned: bool,
    table: NDArray[np.float64],
    sizes: NDArray[np.int8],
    found: NDArray[np.float64],
) -> None:
    """Shapley values of one journey's game from all coalitions of its `count` own channels.

    Parameters
    ----------
    table
        Work space, float64 (2, at least 2^count): conversions and value of each coalition.
    sizes
        int8: number of bits of each coalition.
    found
        Output, float64 (2, at least count).
    """
    table[0, 0] = organic
    for top in range(count):
        half = 1 << top
        # What joint presence with this member adds to each coalition of those before it; doubled member by member.
        table[1, 0] = 0.0
        if paired:
            for m in range(top):
                bit = 1 << m
                for rest in range(bit):
                    table[1, bit + rest] = table[1, rest] + joint[top, m]
        for rest in range(half):
            table[0, half + rest] = table[0, rest] + amount[top] + (table[1, rest] if paired else 0.0)
    top = -1
    for subset in range(1 << count):
        if subset >> (top + 1) > 0:
            top += 1
        table[0, subset] = clip(table[0, subset])
        if reassigned:
            table[1, subset] = table[0, subset] * (mean_value[own[top]] if top >= 0 else idle)
    # phi(k) = sum over S with k of (weight(|S| - 1) + weight(|S|)) v(S), less the sum over all S of weight(|S|) v(S).
    weight = np.zeros(count + 1)
    weight[0] = 1.0 / count
    for size in range(1, count):
        weight[size] = weight[size - 1] * size / (count - size)
    games = 2 if reassigned else 1
    for game in range(games):
        whole = 0.0
        for subset in range(1 << count):
            size = sizes[subset]
            value = table[game, subset]
            whole += weight[size] * value
            table[game, subset] = (weight[size] + (weight[size - 1] if size > 0 else 0.0)) * value
        # Sums over the coalitions that hold a member: fold the table in halves, from the last member down.
        for k in range(count - 1, -1, -1):
            half = 1 << k
            holding = 0.0
            for subset in range(half):
                upper = table[game, half + subset]
                holding += upper
                table[game, subset] += upper
            found[game, k] += holding - whole
    if not reassigned:
        for k in range(count):
            found[1, k] += worth * found[0, k]


@kernel
def sample_coalitions(
    key: np.uint64,
    own: NDArray[np.int64],
    count: int,
    amount: NDArray[np.float64],
    joint: NDArray[np.float64],
    paired: bool,
    organic: float,
    worth: float,
    idle: float,
    mean_value: NDArray[np.float64],
    reassigned: bool,
    found: NDArray[np.float64],
    variance: NDArray[np.float64],
) -> None:
    """Shapley values of one journey's game from random orders and their reverses, with the variance of each mean.

    Parameters are those of `enumerate_coalitions`; `variance` (output, float64) is that of the conversions.
    """
    stream = mix(key ^ SAMPLE_MARK)
    order = np.arange(count)
    gained = np.empty((2, count))
    squares = np.zeros(count)
    for draw in range(PAIRS):
        for k in range(count - 1, 0, -1):
            other = min(int(uniform(stream, draw * count + k) * (k + 1)), k)
            order[k], order[other] = order[other], order[k]
        gained[:] = 0.0
        for way in range(2):
            raw, top = organic, -1
            before = organic
            before_value = organic * (idle if reassigned else worth)
            for step in range(count):
                k = order[step] if way == 0 else order[count - 1 - step]
                raw += amount[k]
                if paired:
                    for earlier in range(step):
                        raw += joint[k, order[earlier] if way == 0 else order[count - 1 - earlier]]
                top = max(top, k)
                chance = clip(raw)
                value = chance * (mean_value[own[top]] if reassigned else worth)
                gained[0, k] += 0.5 * (chance - before)
                gained[1, k] += 0.5 * (value - before_value)
                before, before_value = chance, value
        for k in range(count):
            found[0, k] += gained[0, k] / PAIRS
            found[1, k] += gained[1, k] / PAIRS
            squares[k] += gained[0, k] * gained[0, k]
    for k in range(count):
        spread = max(squares[k] / PAIRS - found[0, k] * found[0, k], 0.0)
        variance[k] += spread / (PAIRS - 1)
