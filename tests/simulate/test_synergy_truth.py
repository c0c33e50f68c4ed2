"""Synergies estimated from simulated sessions against the exact values of their population."""

import numpy as np
import pytest

import touchworth as tw
from tests.figures import tell

pytestmark = pytest.mark.simulation


def estimates(rows, seed, scale="rate", **options):
    """Rows of the result, each with its true synergy."""
    made = tw.simulate_sessions(rows, seed=seed, threads=2)
    found = tw.synergies(tw.read_sessions(made.table, target="converted"), scale=scale, **options).table.to_pylist()
    truth = made.truth.population.table([row["coalition"] for row in found], scale=scale)
    return [row | {"true": true} for row, true in zip(found, truth["synergy"].to_pylist(), strict=True)]


def covered(rows):
    low = np.array([-np.inf if row["ci_low"] is None else row["ci_low"] for row in rows])
    high = np.array([np.inf if row["ci_high"] is None else row["ci_high"] for row in rows])
    true = np.array([row["true"] for row in rows])
    return float(np.mean((low <= true) & (true <= high)))


def test_ten_million_sessions_agree_with_their_population_at_the_nominal_rate():
    rows = estimates(10_000_000, seed=3, max_size=4, min_support=0.0005)
    assert len(rows) > 4000
    for size in (2, 3, 4):
        share = covered([row for row in rows if row["size"] == size])
        tell(size=size, rows=len(rows), covered=share)
        assert 0.93 <= share <= 0.98, size
    # At this size every estimate is near: 99 % within a thousandth of a conversion a session, or four errors.
    far = [abs(row["synergy"] - row["true"]) > max(1e-3, 4 * row["std_error"]) for row in rows]
    assert np.mean(far) < 0.01


@pytest.mark.parametrize("scale", ["rate", "log_rate", "log_odds"])
def test_coverage_over_populations(scale):
    rows = [row for seed in range(15) for row in estimates(100_000, seed, scale, max_size=3, min_support=0.005)]
    for size in (1, 2, 3):
        part = [row for row in rows if row["size"] == size and not row["low_evidence"]]
        assert 0.93 <= covered(part) <= 0.97, (size, len(part))
    few = [row for row in rows if row["low_evidence"]]
    assert covered(few) >= 0.95, len(few)


def test_shrunk_estimates_are_nearer_to_the_population_than_raw_ones():
    better, raw_total, shrunk_total = 0, 0.0, 0.0
    for seed in range(12):
        rows = [
            row
            for row in estimates(50_000, seed, max_size=3, min_support=0.005)
            if row["size"] >= 2 and row["synergy_shrunk"] is not None
        ]
        raw = np.mean([(row["synergy"] - row["true"]) ** 2 for row in rows])
        shrunk = np.mean([(row["synergy_shrunk"] - row["true"]) ** 2 for row in rows])
        better += shrunk < raw
        raw_total, shrunk_total = raw_total + raw, shrunk_total + shrunk
    tell(squared_error_of_shrunk_to_raw=shrunk_total / raw_total, better_in=better)
    assert better >= 11
    assert shrunk_total < 0.9 * raw_total
