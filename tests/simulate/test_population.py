"""The exact population against brute force over all rows that can occur."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchworth.errors import RequestError
from touchworth.simulate.population import draw_population
from touchworth.simulate.sessions import draw_sessions

FREE = ("a", "b", "c", "d")
DEVICES = ("x", "y")


def brute(population, scale=lambda v: v, worth=(1.0, 1.0)):
    """Coalition -> (support, v, dividend, synergy, contrast) by listing every row with its probability."""
    free = population.free_marginals.size
    rows = []
    for bits in product((0, 1), repeat=free):
        for device in range(2 if population.device_share >= 0 else 1):
            chance = np.prod([m if bit else 1 - m for m, bit in zip(population.free_marginals, bits, strict=True)])
            cell = list(bits)
            if population.device_share >= 0:
                chance *= (population.device_share, 1 - population.device_share)[device]
                cell += [1 - device, device]
            odds = population.intercept + np.dot(cell, population.weights)
            present = {name for name, bit in zip(population.features, cell, strict=True) if bit}
            odds += sum(w for term, w in zip(population.terms, population.term_weights, strict=True)
                        if set(term) <= present)  # fmt: skip
            rows.append((present, chance, worth[device] / (1 + np.exp(-odds))))

    def mean(test):
        held = sum(chance for present, chance, _ in rows if test(present))
        return held, sum(chance * p for present, chance, p in rows if test(present)) / held if held > 0 else np.nan

    found = {}
    for size in range(1, 4):
        for members in combinations(sorted(population.features), size):
            subsets = [set(t) for k in range(size + 1) for t in combinations(members, k)]
            v = {frozenset(t): mean(lambda present, t=t: t <= present)[1] for t in subsets}
            cell = {frozenset(t): mean(lambda p, t=t, m=set(members): p & m == t)[1] for t in subsets}
            sign = {t: (-1) ** (size - len(t)) for t in v}
            dividend = sum(sign[t] * scale(v[t]) for t in v if t)
            found[" & ".join(members)] = (
                mean(lambda present, m=set(members): m <= present)[0],
                v[frozenset(members)],
                dividend,
                dividend + sign[frozenset()] * scale(v[frozenset()]),
                sum(sign[t] * scale(cell[t]) for t in cell),
            )
    return found


def small(seed, *, devices=True, rate=0.2, largest=1 << 24, worth=()):
    stream = np.random.default_rng(seed)
    features = FREE + (DEVICES if devices else ())
    terms = (("a", "b"), ("b", "c", "x") if devices else ("b", "c", "a"))
    return draw_population(
        features=features,
        marginals=stream.uniform(0.05, 0.9, 4),
        device_share=stream.uniform(0.2, 0.8) if devices else None,
        weights=stream.normal(0, 1.5, len(features)),
        terms=terms,
        term_weights=stream.normal(0, 2, 2),
        rate=rate,
        largest_cells=largest,
        order_values=worth,
    )


def agrees(population, expected, **options):
    columns = ("support_share", "v", "dividend", "synergy", "contrast")
    rows = population.table(**options).to_pylist()
    assert [row["coalition"] for row in rows] == list(expected)
    for row in rows:
        for column, right in zip(columns, expected[row["coalition"]], strict=True):
            if row[column] is None:
                assert np.isnan(right) or row["support_share"] == 0, (row, column)
            else:
                assert row[column] == pytest.approx(right, rel=1e-9, abs=1e-12), (row["coalition"], column)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([0.001, 0.05, 0.5]))
def test_all_coalitions_against_brute_force(seed, devices, rate):
    population = small(seed, devices=devices, rate=rate)
    agrees(population, brute(population))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("scale", "function"), [("log_rate", np.log), ("log_odds", lambda v: np.log(v / (1 - v)))])
def test_log_scales_against_brute_force(scale, function):
    population = small(5)
    agrees(population, brute(population, function), scale=scale)


def test_values_against_brute_force():
    population = small(6, worth=((80.0, 0.6), (50.0, 0.7)))
    worth = (80 * np.exp(0.18), 50 * np.exp(0.245))
    agrees(population, brute(population, worth=worth), target="value")


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5])
def test_averaging_over_features_that_do_not_interact_equals_enumerating_them(rate):
    whole = draw_sessions(seed=8, rate=rate).population
    some = draw_population(
        features=whole.features,
        marginals=whole.free_marginals,
        device_share=whole.device_share,
        weights=whole.weights,
        terms=whole.terms,
        term_weights=whole.term_weights,
        rate=rate,
        largest_cells=1 << 17,
    )
    assert len(some._cells().rest) == 3
    assert some.intercept == pytest.approx(whole.intercept, abs=1e-10)
    names = ["product_page_d", "product_page_d & sem", "product_page_d & product_page_e & product_page_f", "email",
             "device_mobile & product_page_e"]  # fmt: skip
    expected = {row["coalition"]: row for row in whole.table(names).to_pylist()}
    for row in some.table(names).to_pylist():
        for column in ("support_share", "v", "dividend", "synergy", "contrast"):
            assert row[column] == pytest.approx(expected[row["coalition"]][column], rel=1e-9, abs=1e-13)


def test_fifty_features_have_an_exact_population():
    stream = np.random.default_rng(1)
    features = tuple(f"f{k:02d}" for k in range(50))
    population = draw_population(
        features=features,
        marginals=stream.uniform(0.1, 0.5, 50),
        device_share=None,
        weights=stream.normal(0, 0.5, 50),
        terms=(("f00", "f01"), ("f02", "f03")),
        term_weights=np.array([1.0, -1.0]),
        rate=0.05,
    )
    # Against a million sampled rows.
    cells = stream.random((1_000_000, 50)) < population.free_marginals
    odds = population.intercept + cells @ population.weights + (cells[:, 0] & cells[:, 1]) - (cells[:, 2] & cells[:, 3])
    chance = 1 / (1 + np.exp(-odds))
    assert abs(chance.mean() - 0.05) < 4 * chance.std() / 1000
    for row in population.table(["f00 & f01", "f10", "f04 & f20"]).to_pylist():
        part = chance[np.all(cells[:, [features.index(name) for name in row["coalition"].split(" & ")]], axis=1)]
        assert abs(part.mean() - row["v"]) < 4 * part.std() / np.sqrt(part.size)


def test_coalitions_are_named_as_texts_or_names_and_impossible_ones_have_no_value():
    population = draw_sessions(seed=1).population
    rows = population.table([("seo", "email"), "email & seo", ["device_mobile", "device_desktop"]]).to_pylist()
    assert rows[0] == rows[1]
    assert rows[0]["coalition"] == "email & seo"
    assert rows[2]["v"] is None
    assert rows[2]["support_share"] == 0
    assert rows[2]["synergy"] is None


def test_bad_requests_are_one_clear_sentence():
    population = draw_sessions(seed=1).population
    with pytest.raises(RequestError, match="column 'emial' for a feature of the population is not in the input"):
        population.table(["emial"])
    with pytest.raises(RequestError, match="a coalition is empty"):
        population.table([[]])
    with pytest.raises(RequestError, match="scale is 'odds'; it must be one of"):
        population.table(["email"], scale="odds")
    with pytest.raises(RequestError, match="the population has no order values"):
        population.table(["email"], target="value")
    with pytest.raises(RequestError, match=r"3 features interact, which makes 2 x 2\^3 cells"):
        small(1, largest=8)
