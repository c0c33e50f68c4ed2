"""The exact chain against re-solving, the sparse solver against the dense one, replicates against re-solving."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchworth.attribution import markov
from touchworth.attribution.uncertainty import jackknife_error
from touchworth.journeys.counts import Plan, count_chain, merge_chains
from touchworth.journeys.credits import JourneyArrays
from touchworth.journeys.deal import Dealt

BUCKETS = 20


def random_journeys(seed, journeys=400, channels=5, mean_length=4):
    """Arrays of random journeys whose channels depend on the one before."""
    stream = np.random.default_rng(seed)
    lengths = stream.geometric(1 / mean_length, journeys)
    symbol = (channels * stream.random(lengths.sum()) ** 1.5).astype(np.int32)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    converts = (stream.random(journeys) < 0.3).astype(float)
    converts[0] = 1.0
    bucket = stream.integers(0, BUCKETS, journeys).astype(np.int32)
    arrays = JourneyArrays(
        symbol=symbol,
        time=np.empty(0, np.int64),
        symbol_channel=np.arange(channels, dtype=np.int32),
        start=offsets[:-1],
        stop=offsets[1:],
        touches_taken=lengths,
        channels=channels,
        direct=np.zeros(channels, np.uint8),
    )
    units = np.bincount(bucket, minlength=BUCKETS).astype(float)
    worth = converts * stream.integers(1, 90, journeys)
    dealt = Dealt(np.arange(journeys + 1), bucket, converts, 1 - converts, worth, units)
    return arrays, dealt


def chain_of(arrays, dealt, order):
    """(counts, chain) of the journeys."""
    counts = count_chain(arrays, dealt, Plan(order=order), arrays.channels, 0, arrays.start.size)
    block = np.full(counts.states, -1)
    block[1:] = counts.window[counts.offsets[2:] - 1]
    return counts, markov.make_chain(
        counts.states, counts.source, counts.target, counts.weight, counts.value, block, arrays.channels
    )


def matrices(chain):
    step = np.zeros((chain.states, chain.states))
    step[np.repeat(np.arange(chain.states), np.diff(chain.offsets)), chain.target] = chain.probability
    return step


@pytest.mark.parametrize("order", [1, 2, 3, 8])
@pytest.mark.parametrize("solver", ["dense", "sparse"])
def test_removal_effects_equal_solving_again_without_the_channel(order, solver, monkeypatch):
    if solver == "sparse":
        monkeypatch.setattr(markov, "DENSE_STATES", 0)
    arrays, dealt = random_journeys(order)
    counts, chain = chain_of(arrays, dealt, order)
    removal = markov.solve_removal(chain, keep=True)
    step = matrices(chain)
    windows = [counts.window[counts.offsets[s] : counts.offsets[s + 1]] for s in range(chain.states)]
    for right, base, effect in (
        (chain.convert, removal.probability, removal.effect),
        (chain.reward, removal.expected_value, removal.effect_value),
    ):
        whole = np.linalg.solve(np.eye(chain.states) - step, right)
        assert base == pytest.approx(whole[0], rel=1e-10)
        for c in range(arrays.channels):
            # The definition: entering any state that holds the channel leads to (null).
            kept = np.array([c not in window for window in windows])
            without = np.linalg.solve(np.eye(kept.sum()) - step[np.ix_(kept, kept)], right[kept])
            assert effect[c] == pytest.approx(1 - without[0] / whole[0], rel=1e-9, abs=1e-10)
    assert removal.residual < 1e-9
    assert removal.visits == pytest.approx(np.linalg.inv(np.eye(chain.states) - step)[0], rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_conversion_probability_is_the_observed_rate_at_every_order(order):
    arrays, dealt = random_journeys(10 + order)
    _, chain = chain_of(arrays, dealt, order)
    removal = markov.solve_removal(chain)
    journeys = arrays.start.size
    assert removal.probability == pytest.approx(dealt.conversions.sum() / journeys, rel=1e-12)
    assert removal.expected_value == pytest.approx(dealt.value.sum() / journeys, rel=1e-12)


def test_at_the_longest_path_the_effect_is_the_share_of_conversions_that_hold_the_channel():
    arrays, dealt = random_journeys(3, journeys=150)
    longest = int((arrays.stop - arrays.start).max())
    _, chain = chain_of(arrays, dealt, longest)
    removal = markov.solve_removal(chain)
    paths = [set(arrays.symbol[a:b].tolist()) for a, b in zip(arrays.start, arrays.stop, strict=True)]
    for c in range(arrays.channels):
        holding = sum(w for path, w in zip(paths, dealt.conversions, strict=True) if c in path)
        assert removal.effect[c] == pytest.approx(holding / dealt.conversions.sum(), rel=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_dropping_self_transitions_changes_no_removal_effect(order):
    arrays, dealt = random_journeys(20 + order)
    counts, chain = chain_of(arrays, dealt, order)
    moved = counts.source != counts.target
    without = markov.make_chain(
        counts.states,
        counts.source[moved],
        counts.target[moved],
        counts.weight[moved],
        counts.value[moved],
        chain.block,
        chain.channels,
    )
    assert markov.solve_removal(without).effect == pytest.approx(markov.solve_removal(chain).effect, rel=1e-10)


def test_one_step_replicates_agree_with_solving_again(monkeypatch):
    arrays, dealt = random_journeys(7, journeys=4000)
    counts, chain = chain_of(arrays, dealt, 3)
    removal = markov.solve_removal(chain, keep=True)
    entries = (counts.source, counts.target, counts.bucket, counts.weight, counts.value, BUCKETS)
    solved = markov.solve_anew(chain, *entries)
    monkeypatch.setattr(markov, "SOLVED_ANEW_STATES", 0)
    stepped = markov.replicate_removal(chain, removal, *entries)
    for exact, near in zip(solved, stepped, strict=True):
        ratio = jackknife_error(near, dealt.units) / jackknife_error(exact, dealt.units)
        assert ratio == pytest.approx(np.ones(chain.channels), abs=0.05)
        assert near == pytest.approx(exact, abs=2e-3)


@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_two_halves_add_up_to_the_whole_chain(seed, order, cut):
    arrays, dealt = random_journeys(seed, journeys=40)
    middle = int(40 * cut)
    plan = Plan(order=order)
    whole = count_chain(arrays, dealt, plan, arrays.channels, 0, 40)
    halves = (count_chain(arrays, dealt, plan, arrays.channels, *part) for part in ((0, middle), (middle, 40)))
    merged = merge_chains(*halves)

    def content(chain):
        names = [tuple(chain.window[chain.offsets[s] : chain.offsets[s + 1]]) for s in range(chain.states)]
        names += ["conversion", "null"]
        keys = zip(chain.source, chain.target, chain.bucket, chain.segment, strict=True)
        return {
            (names[s], names[t], b, g): (w, v)
            for (s, t, b, g), w, v in zip(keys, chain.weight, chain.value, strict=True)
        }

    assert content(merged) == content(whole)
    assert merged.offsets[1] == 0, "state 0 must stay (start)"
