"""The truth of journeys against brute force by its definitions, and against journeys of the counterfactual world."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchworth.simulate.channels import Channel
from touchworth.simulate.journeys import WALKS, law_of, simulate_journeys, truncated_mean
from touchworth.simulate.random import stream_key, uniform
from touchworth.simulate.recipe import Interaction, JourneySpec
from touchworth.simulate.truth import truth_of
from touchworth.simulate.walk import CHANNEL_SLOT, walk

DAY = 86_400_000_000


def channels(stream, count, strength=0.2):
    frequency = stream.dirichlet(np.ones(count) * 3)
    return tuple(
        Channel(f"c{k}", float(stream.uniform(0, strength)), float(frequency[k]), float(stream.uniform(20, 100)),
                float(stream.uniform(0, 60)), 1.0)
        for k in range(count)
    )  # fmt: skip


def make_spec(seed, *, count=4, steered=False, paired=False, strength=0.2, touches=4.0, **more):
    stream = np.random.default_rng(seed)
    given = channels(stream, count, strength)
    names = [channel.name for channel in given]
    row = stream.dirichlet(np.ones(count))
    return JourneySpec(
        channels=given,
        touches=touches,
        transitions={names[0]: dict(zip(names, row.tolist(), strict=True))} if steered else {},
        interactions=(Interaction((names[0], names[1]), 0.2), Interaction((names[1], names[2]), -0.3))
        if paired
        else (),
        **more,
    )


def brute(spec, walked, key_of):
    """Direct and total effects, Shapley values and ends by definition, journey by journey in plain Python."""
    names = spec.names
    count = len(names)
    cvr = [channel.cvr * spec.cvr_scale for channel in spec.channels]
    worth = [truncated_mean(channel.aov, channel.sd) for channel in spec.channels]
    idle = np.mean(worth)
    pairs = {frozenset(map(names.index, pair.channels)): pair.effect for pair in spec.interactions}
    frequency = np.array([channel.frequency for channel in spec.channels])
    rows = [frequency / frequency.sum() for _ in range(count + 1)]
    for source, row in spec.transitions.items():
        found = np.array([row.get(name, 0) for name in names])
        rows[1 + names.index(source)] = found / found.sum()
    effect, ends = np.zeros((3, 2, count)), np.zeros((2, 2))

    def game(touches, factor, acts):
        """Conversions and value of (channel, age) touches where only some act."""
        acting = [(c, age) for c, age in touches if acts(c)]
        amount = sum(cvr[c] * (0.5 ** (age / spec.half_life_days) if spec.half_life_days else 1) for c, age in acting)
        present = {c for c, _ in acting}
        amount += sum(effect for pair, effect in pairs.items() if pair <= present)
        chance = min(1.0, max(0.0, spec.organic + factor * amount))
        value = worth[factual]
        if spec.value_rule == "reassigned":
            value = worth[acting[-1][0]] if acting else idle
        return np.array([chance, chance * value])

    for j in range(walked.owner.size):
        part = slice(walked.start[j], walked.start[j + 1])
        ages = (walked.time[part][-1] - walked.time[part]) / DAY
        touches = list(zip(walked.channel[part].tolist(), ages.tolist(), strict=True))
        factor, factual = walked.factor[j], touches[-1][0]
        own = sorted({c for c, _ in touches})
        v = {frozenset(s): game(touches, factor, set(s).__contains__)
             for k in range(len(own) + 1) for s in combinations(own, k)}  # fmt: skip
        whole = frozenset(own)
        ends += [v[whole], v[frozenset()]]
        for c in own:
            effect[0, :, c] += v[whole] - v[whole - {c}]
            again, row = [], 0
            for i, (_, age) in enumerate(touches):
                drawn = int(np.searchsorted(np.cumsum(rows[row]), uniform(key_of[j], CHANNEL_SLOT + 2 * i), "right"))
                again.append((drawn, age))
                row = 0 if drawn == c else 1 + drawn
            effect[1, :, c] += v[whole] - game(again, factor, lambda other, c=c: other != c)
            for s, value in v.items():
                if c not in s:
                    weight = math.factorial(len(s)) * math.factorial(len(own) - len(s) - 1) / math.factorial(len(own))
                    effect[2, :, c] += weight * (v[s | {c}] - value)
    return effect, ends


OPTIONS = [
    {},
    {"organic": 0.1},
    {"half_life_days": 1.5, "organic": 0.05},
    {"paired": True, "organic": 0.3, "strength": 0.02},
    {"paired": True, "organic": 0.02},
    {"steered": True},
    {"steered": True, "half_life_days": 2.0, "paired": True, "heterogeneity": (1.0, 2.0), "repeat": 0.5},
    {"strength": 0.9, "touches": 7.0},
    {"heterogeneity": (0.5, 1.0), "strength": 0.5},
    {"count": 7, "touches": 12.0, "strength": 0.3, "paired": True, "steered": True, "organic": 0.05},
]


@pytest.mark.parametrize("value_rule", ["factual", "reassigned"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_effect_against_brute_force(options, value_rule):
    spec = make_spec(3, value_rule=value_rule, **options)
    law, key = law_of(spec, spec.names), stream_key(5, WALKS)
    walked = walk(law, key, 0, 60)
    effect, ends = brute(spec, walked, walked.key)
    sums = truth_of(law, walked, 60, reassigned=value_rule == "reassigned")
    np.testing.assert_allclose(sums.effect, effect, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(sums.ends, ends, rtol=1e-12)
    np.testing.assert_allclose(sums.effect[2].sum(1), ends[0] - ends[1], rtol=1e-9, atol=1e-10)
    if "steered" not in options:
        assert np.array_equal(sums.effect[0], sums.effect[1])
        assert not sums.steered_squares.any()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.booleans(),
    st.floats(0.01, 0.9),
    st.floats(0, 0.9),
    st.sampled_from(["factual", "reassigned"]),
)
def test_random_recipes_against_brute_force(seed, steered, paired, strength, organic, value_rule):
    spec = make_spec(seed, steered=steered, paired=paired, strength=strength, organic=organic, value_rule=value_rule)
    law = law_of(spec, spec.names)
    walked = walk(law, stream_key(seed, WALKS), 0, 12)
    effect, ends = brute(spec, walked, walked.key)
    sums = truth_of(law, walked, 12, reassigned=value_rule == "reassigned")
    np.testing.assert_allclose(sums.effect, effect, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(sums.ends, ends, rtol=1e-12)


@pytest.mark.parametrize("value_rule", ["factual", "reassigned"])
def test_sampled_shapley_values_lie_around_the_enumerated_ones(value_rule):
    spec = make_spec(8, count=12, touches=20.0, strength=0.3, paired=True, value_rule=value_rule, organic=0.02)
    law = law_of(spec, spec.names)
    walked = walk(law, stream_key(1, WALKS), 0, 400)
    exact = truth_of(law, walked, 400, reassigned=value_rule == "reassigned")
    assert not exact.shapley_variance.any()
    drawn = truth_of(law, walked, 400, reassigned=value_rule == "reassigned", enumerated=3)
    error = np.sqrt(drawn.shapley_variance)
    assert (error > 0).all()
    z = (drawn.effect[2, 0] - exact.effect[2, 0]) / error
    assert np.abs(z).max() < 4
    assert 0.5 < np.sqrt((z**2).mean()) < 1.7
    # Each order hands out everything.
    np.testing.assert_allclose(drawn.effect[2].sum(1), exact.effect[2].sum(1), rtol=1e-9)
    np.testing.assert_array_equal(drawn.effect[:2], exact.effect[:2])


def test_more_than_sixteen_own_channels_are_sampled_and_say_so():
    spec = make_spec(9, count=24, touches=60.0, strength=0.1)
    made = simulate_journeys(50, spec=spec, seed=2)
    effects = made.truth.effects.to_pandas()
    assert (effects["shapley_std_error"] > 0).any()
    assert effects["shapley_conversions"].sum() == pytest.approx(made.truth.expected_conversions, rel=1e-9)


def counterfactual(spec, name):
    """The world in which touches of a channel neither add nor steer."""
    changed = tuple(
        Channel(c.name, 0.0, c.frequency, c.aov, c.sd, c.cpc) if c.name == name else c for c in spec.channels
    )
    return JourneySpec(
        channels=changed,
        touches=spec.touches,
        transitions={source: row for source, row in spec.transitions.items() if source != name},
        interactions=tuple(pair for pair in spec.interactions if name not in pair.channels),
        half_life_days=spec.half_life_days,
        organic=spec.organic,
        heterogeneity=spec.heterogeneity,
    )


@pytest.mark.parametrize(
    "options", [{}, {"paired": True}, {"half_life_days": 2.0, "heterogeneity": (1.0, 1.0)}], ids=str
)
def test_the_total_effect_is_the_difference_of_two_worlds(options):
    spec = make_spec(12, steered=True, organic=0.05, touches=6.0, **options)
    users = 20_000
    made = simulate_journeys(users, spec=spec, seed=3)
    for row in made.truth.effects.to_pylist():
        other = counterfactual(spec, row["channel"])
        same = simulate_journeys(users, spec=other, seed=3).truth.expected_conversions
        assert row["total_conversions"] == pytest.approx(made.truth.expected_conversions - same, rel=1e-9)
        if row["channel"] == "c0":
            assert row["total_std_error"] > 0
            assert abs(row["total_conversions"] - row["direct_conversions"]) > 0
        else:
            # Only c0 steers: the others' touches can be silenced one by one.
            assert row["total_conversions"] == row["direct_conversions"]
            assert row["total_std_error"] == 0


@pytest.mark.simulation
def test_the_standard_error_of_the_total_effect_is_that_of_its_simulation():
    spec = make_spec(12, steered=True, touches=6.0)
    added, errors = [], []
    for seed in range(60):
        effects = simulate_journeys(500, spec=spec, seed=seed).truth.effects.slice(0, 1).to_pylist()[0]
        added.append(effects["total_conversions"] - effects["direct_conversions"])
        errors.append(effects["total_std_error"])
    assert np.std(added) == pytest.approx(np.mean(errors), rel=0.3)


def test_closed_forms_of_the_basic_recipe():
    made = simulate_journeys(5000, seed=4)
    table = made.table.to_pandas()
    touches = table["channel"].value_counts()
    for row, channel in zip(made.truth.effects.to_pylist(), made.truth.spec.channels, strict=True):
        # Nobody is clipped: a channel causes its CVR with each of its touches.
        expected = touches[channel.name] * channel.cvr
        for kind in ("direct", "total", "shapley"):
            assert row[f"{kind}_conversions"] == pytest.approx(expected, rel=1e-9)
        assert row["total_std_error"] == row["shapley_std_error"] == 0


def test_mean_of_values_cut_at_zero():
    stream = np.random.default_rng(1)
    drawn = np.maximum(stream.normal(10, 20, 1_000_000), 0)
    assert truncated_mean(10, 20) == pytest.approx(drawn.mean(), abs=0.05)
    assert truncated_mean(10, 0) == 10


def test_the_document_has_exactly_the_keys_that_scripts_read():
    document = simulate_journeys(200, seed=1).truth.to_dict()
    assert list(document) == ["seed", "spec", "users", "zero_touch_users", "clipped_users", "organic_conversions",
                              "channels"]  # fmt: skip
    for effects in document["channels"].values():
        assert {kind: list(row) for kind, row in effects.items()} == {
            "direct": ["conversions", "value"],
            "total": ["conversions", "value", "std_error"],
            "shapley": ["conversions", "value", "std_error"],
        }
