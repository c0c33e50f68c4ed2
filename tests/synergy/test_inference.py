"""Intervals, q-values, shrinkage and fronts against independent references."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from touchworth.synergy.inference import adjusted_p_values, clopper_pearson, front_ranks, mover, shrink


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_clopper_pearson_as_in_scipy(level):
    cases = [(0, 1), (0, 40), (1, 40), (7, 40), (40, 40), (3, 100_000)]
    low, high = clopper_pearson(*(np.array(column, float) for column in zip(*cases, strict=True)), level)
    for i, (s, n) in enumerate(cases):
        exact = scipy.stats.binomtest(s, n).proportion_ci(level, "exact")
        np.testing.assert_allclose([low[i], high[i]], exact, rtol=1e-6, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=60), fdr=st.sampled_from(["bh", "by"]))
def test_q_values_as_in_scipy(p, fdr):
    np.testing.assert_allclose(
        adjusted_p_values(np.array(p), fdr), scipy.stats.false_discovery_control(p, method=fdr), rtol=1e-12, atol=1e-300
    )


@settings(max_examples=60, deadline=None)
@given(points=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40))
def test_fronts_as_by_peeling(points):
    left = dict(enumerate(points))
    expected = {}
    layer = 1
    while left:
        front = [
            i for i, (a, b) in left.items() if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in left.values())
        ]
        expected |= dict.fromkeys(front, layer)
        for i in front:
            del left[i]
        layer += 1
    found = front_ranks(np.array([a for a, _ in points], float), np.array([b for _, b in points], float))
    assert found.tolist() == [expected[i] for i in range(len(points))]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 300), spread=st.floats(0, 30))
def test_shrinkage_keeps_sign_and_order_and_only_shrinks(seed, rows, spread):
    z = np.random.default_rng(seed).normal(0, 1 + spread, rows)
    found = shrink(z)
    assert np.all(np.abs(found) <= np.abs(z) + 1e-12)
    assert np.all(found * z >= 0)
    order = np.argsort(z)
    assert np.all(np.diff(found[order]) >= -1e-9)
    np.testing.assert_allclose(shrink(-z), -found)


def test_shrinkage_is_the_posterior_mean_of_a_known_prior():
    rng = np.random.default_rng(0)
    effect = np.where(rng.random(40_000) < 0.7, 0, rng.normal(0, 3, 40_000))
    z = effect + rng.normal(size=40_000)
    marginal = 0.7 * scipy.stats.norm.pdf(z) + 0.3 * scipy.stats.norm.pdf(z, scale=np.sqrt(10))
    oracle = 0.3 * scipy.stats.norm.pdf(z, scale=np.sqrt(10)) * z * 0.9 / marginal
    assert np.sqrt(np.mean((shrink(z) - oracle) ** 2)) < 0.05
    assert np.mean((shrink(z) - effect) ** 2) < 0.5 * np.mean((z - effect) ** 2)


def test_pure_noise_is_shrunk_to_almost_nothing():
    z = np.random.default_rng(1).normal(size=2000)
    assert np.mean(shrink(z) ** 2) < 0.01


def test_mover_is_clopper_pearson_where_nothing_else_varies_and_open_where_a_log_has_no_end():
    n, s = np.array([50.0]), np.array([3.0])
    low, high = clopper_pearson(s, n, 0.95)
    np.testing.assert_allclose(mover(n, s, s / n, np.zeros(1), level=0.95, scale=0), (low, high))
    found = mover(n, np.zeros(1), np.log(np.array([0.01])), np.zeros(1), level=0.95, scale=1)
    assert np.isnan(found[0][0])
    assert np.isfinite(found[1][0])
