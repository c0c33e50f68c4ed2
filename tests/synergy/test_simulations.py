"""Statistical claims, checked by seeded simulation: false discoveries, coverage, shrinkage.

`pytest -m simulation -rP` prints the figures behind them.
"""

from itertools import combinations

import numpy as np
import pytest

from tests.figures import tell
from tests.synergy.sessions import SCALES, make_sessions, rows_of
from touchworth.synergy.synergies import synergies

pytestmark = pytest.mark.simulation


def correlated_features(rng, rows=50_000, players=20):
    """Features that share a latent engagement, of supports from 3 % to 60 %."""
    latent = rng.standard_normal((rows, 1), dtype=np.float32)
    share = np.exp(rng.uniform(np.log(0.03), np.log(0.6), players))
    odds = np.log(share / (1 - share)) + rng.uniform(0, 0.8, players) * latent
    return rng.random((rows, players), dtype=np.float32) < 1 / (1 + np.exp(-odds))


def test_false_discoveries_on_null_data_stay_at_their_level():
    """200 data sets in which nothing matters: every discovery is false, so the proportion is 0 or 1 in each."""
    false = {(scale, column): 0 for scale in SCALES for column in ("q_value", "contrast_q_value")}
    sets = 200
    for seed in range(sets):
        rng = np.random.default_rng(seed)
        sessions = make_sessions(correlated_features(rng), rng.random(50_000) < 0.05)
        for scale in SCALES:
            table = synergies(sessions, scale=scale, max_size=3, min_support=0.01).table
            for column in ("q_value", "contrast_q_value"):
                q = table[column].to_numpy(zero_copy_only=False)
                assert np.isfinite(q).sum() > 50
                false[scale, column] += bool((q <= 0.05).any())
    tell(**{" ".join(name): count / sets for name, count in false.items()})
    highest = 0.05 + 3 * np.sqrt(0.05 * 0.95 / sets)
    assert all(count / sets <= highest for count in false.values()), false


def population(players, base, seed):
    """Shares of the 2^players cells, correlated, and a conversion probability in each with interactions."""
    rng = np.random.default_rng(seed)
    cells = 1 << players
    held = np.array([[cell >> j & 1 for j in range(players)] for cell in range(cells)], bool)
    share = rng.uniform(0.25, 0.6, players)
    chance = 0.9 * np.where(held, share, 1 - share).prod(axis=1)
    chance[[0, -1]] += 0.07, 0.03
    terms = rng.normal(0, 0.4, cells)
    terms[0] = 0
    inside = np.array([[part & cell == part for part in range(cells)] for cell in range(cells)])
    return held, chance, 1 / (1 + np.exp(-(np.log(base / (1 - base)) + inside @ terms)))


def true_dividends(held, chance, rate, scale):
    """Coalition -> (synergy, dividend) in the population."""
    g = SCALES[scale][0]

    def v(part):
        mine = held[:, list(part)].all(axis=1)
        return g((chance * rate)[mine].sum() / chance[mine].sum())

    truth = {}
    for size in range(1, held.shape[1] + 1):
        for coalition in combinations(range(held.shape[1]), size):
            terms = [
                ((-1) ** (size - len(part)) * v(part), len(part))
                for smaller in range(size + 1)
                for part in combinations(coalition, smaller)
            ]
            name = " & ".join(f"p{j:02}" for j in coalition)
            truth[name] = sum(term for term, _ in terms), sum(term for term, players in terms if players)
    return truth


def coverage(players, rows, base, scale, samples, seed):
    """Coalition -> shares of samples whose intervals hold the truth: of the synergy, of the dividend by its error."""
    held, chance, rate = population(players, base, seed)
    truth = true_dividends(held, chance, rate, scale)
    rng = np.random.default_rng(seed)
    hits = {name: np.zeros(2) for name in truth}
    for _ in range(samples):
        cells = rng.multinomial(rows, chance)
        converted = rng.binomial(cells, rate)
        sessions = make_sessions(np.vstack([held, held]), np.repeat([1, 0], len(held)),
                                 weight=np.r_[converted, cells - converted])  # fmt: skip
        found = rows_of(synergies(sessions, max_size=players, min_support=0, scale=scale, threads=1))
        for name, (synergy, dividend) in truth.items():
            row = found[name]
            low = -np.inf if row["ci_low"] is None else row["ci_low"]
            high = np.inf if row["ci_high"] is None else row["ci_high"]
            near = abs(row["dividend"] - dividend) <= 1.959964 * row["dividend_std_error"]
            hits[name] += low <= synergy <= high, near
    return {name: hit / samples for name, hit in hits.items()}


def by_size(covered, column):
    sizes = {}
    for name, shares in covered.items():
        sizes.setdefault(name.count("&") + 1, []).append(shares[column])
    return {size: float(np.mean(shares)) for size, shares in sizes.items()}


@pytest.mark.parametrize("scale", SCALES)
def test_intervals_cover_at_their_level_with_many_conversions(scale):
    covered = coverage(4, 20_000, 0.2, scale, samples=400, seed=1)
    for column in (0, 1):
        shares = by_size(covered, column)
        tell(covered=("synergy", "dividend")[column], by_size=shares)
        assert shares.keys() == {1, 2, 3, 4}
        assert all(0.93 <= share <= 0.97 for share in shares.values()), (column, shares)


@pytest.mark.parametrize("scale", SCALES)
def test_intervals_of_low_evidence_cover_at_least_their_level(scale):
    """Around 1 to 15 conversions, where the normal interval alone covers 0.6 to 0.93."""
    covered = coverage(4, 4000, 0.01, scale, samples=400, seed=2)
    tell(lowest=min(shares[0] for shares in covered.values()), by_size=by_size(covered, 0))
    # The gate looks at the outcome: of coalitions with 10 to 30 expected conversions some samples fall below it.
    assert all(shares[0] >= 0.93 for shares in covered.values()), covered
    assert by_size(covered, 0)[4] >= 0.95
