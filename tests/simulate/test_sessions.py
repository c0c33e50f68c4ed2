"""Simulated sessions: what is drawn follows the spec, and the same arguments give the same bytes."""

import hashlib
import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from touchworth.errors import DataError, RequestError
from touchworth.simulate import sessions as module
from touchworth.simulate.sessions import (
    Band,
    Devices,
    Feature,
    OrderValue,
    SessionSpec,
    Term,
    coefficient_range,
    draw_sessions,
    simulate_sessions,
)

CHANNELS = ("email", "seo", "sem", "direct", "display", "social", "affiliate")


def test_the_default_shop_has_the_documented_features():
    spec = SessionSpec()
    assert len(spec.names) == 20
    assert spec.names[:7] == CHANNELS
    assert spec.names[-2:] == ("device_desktop", "device_mobile")
    assert sum(feature.kind == "page" for feature in spec.features) == 11
    assert [len(term.features) for term in spec.interactions] == [2] * 12 + [3] * 2


@pytest.mark.parametrize(
    ("score", "expected"),
    [(1, (-1.0, -0.3)), (2, (-1.0, -0.3)), (2.5, (-0.3, 0.3)), (4, (-0.3, 0.3)), (5, (0.3, 1.0)), (6.5, (1.0, 2.5)),
     (8, (1.0, 2.5)), (8.1, (2.5, 4.0))],
)  # fmt: skip
def test_scores_map_to_ranges_of_coefficients(score, expected):
    assert coefficient_range(SessionSpec().bands, score) == expected


@pytest.mark.parametrize("seed", range(12))
def test_what_is_drawn_lies_in_its_ranges(seed):
    spec = SessionSpec()
    population = draw_sessions(spec, seed=seed).population
    for feature in spec.features:
        low, high = feature.marginal
        assert low <= population.marginals[feature.name] <= high
        lowest = min(coefficient_range(spec.bands, score)[0] for score in feature.score)
        highest = max(coefficient_range(spec.bands, score)[1] for score in feature.score)
        assert lowest <= population.coefficients[feature.name] <= highest
    for term, weight in zip(spec.interactions, population.term_weights, strict=True):
        assert term.coefficient[0] <= weight <= term.coefficient[1]
        assert population.coefficients[" & ".join(sorted(term.features))] == weight
    assert population.marginals["device_desktop"] + population.marginals["device_mobile"] == pytest.approx(1)


def test_seeds_draw_different_shops():
    drawn = {draw_sessions(seed=seed).population.intercept for seed in range(5)}
    assert len(drawn) == 5


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.2, 0.5])
def test_the_population_rate_is_the_target(rate):
    population = draw_sessions(rate=rate, seed=7).population
    assert population.rate == pytest.approx(rate, rel=1e-9)
    # Summed again by hand, without the solver's function.
    cells = population._cells()
    chance = 1 / (1 + np.exp(-(cells.log_odds + population.intercept)))
    assert (cells.weight * chance).sum() == pytest.approx(rate, rel=1e-9)


@pytest.mark.simulation
@pytest.mark.parametrize(("rate", "seed"), [(0.001, 1), (0.05, 2), (0.05, 3), (0.5, 4)])
def test_drawn_rates_and_marginals_are_within_four_standard_errors(rate, seed):
    rows = 400_000
    made = simulate_sessions(rows, rate, seed=seed)
    table = made.table
    marginals = made.truth.population.marginals | {"converted": rate}
    for name, p in marginals.items():
        seen = pc.sum(table[name]).as_py() / rows
        assert abs(seen - p) < 4 * math.sqrt(p * (1 - p) / rows), name
    both = pc.add(table["device_desktop"], table["device_mobile"])
    assert pc.unique(both).to_pylist() == [1]
    assert made.conversions == pc.sum(table["converted"]).as_py()


@pytest.mark.simulation
def test_features_are_independent_and_conversions_follow_the_model():
    rows = 400_000
    made = simulate_sessions(rows, 0.1, seed=5)
    names = made.truth.spec.names
    cells = np.column_stack([made.table[name].to_numpy() for name in names[:-1]]).astype(float)
    apart = np.corrcoef(cells.T) - np.eye(len(names) - 1)
    # 171 correlations: the largest of so many standard normal numbers is below 4.5.
    assert np.abs(apart).max() * math.sqrt(rows) < 4.5
    population = made.truth.population
    odds = np.full(rows, population.intercept)
    for name in names:
        odds += population.coefficients[name] * made.table[name].to_numpy()
    for term in made.truth.spec.interactions:
        together = np.prod([made.table[name].to_numpy() for name in term.features], axis=0)
        odds += population.coefficients[" & ".join(sorted(term.features))] * together
    chance = 1 / (1 + np.exp(-odds))
    converted = made.table["converted"].to_numpy()
    for part in np.array_split(np.argsort(chance), 20):
        error = (converted[part].sum() - chance[part].sum()) / np.sqrt((chance[part] * (1 - chance[part])).sum())
        assert abs(error) < 4


def test_estimates_from_sessions_lie_around_the_population_values():
    made = simulate_sessions(300_000, seed=11)
    names = ["email & deals_page", "seo & search_page", "homepage", "device_mobile & deals_page"]
    exact = {row["coalition"]: row for row in made.truth.coalitions(names).to_pylist()}
    for row in exact.values():
        held = np.all([made.table[name].to_numpy() == 1 for name in row["coalition"].split(" & ")], axis=0)
        v, n = made.table["converted"].to_numpy()[held].mean(), held.sum()
        assert abs(v - row["v"]) < 4 * math.sqrt(row["v"] * (1 - row["v"]) / n)
        assert abs(n / 300_000 - row["support_share"]) < 4 * math.sqrt(row["support_share"] / 300_000)


@pytest.mark.simulation
def test_order_values_are_log_normal_by_device():
    made = simulate_sessions(300_000, 0.3, seed=1, revenue=True)
    value, converted = made.table["value"].to_numpy(), made.table["converted"].to_numpy() == 1
    assert (value[~converted] == 0).all()
    assert made.value == pytest.approx(value.sum())
    assert np.array_equal(np.rint(value * 100) / 100, value)
    for order in made.truth.spec.order_values:
        logs = np.log(value[converted & (made.table[order.device].to_numpy() == 1)])
        assert abs(logs.mean() - math.log(order.median)) < 4 * order.sigma / math.sqrt(logs.size)
        assert abs(logs.std() - order.sigma) < 4 * order.sigma / math.sqrt(2 * logs.size)
    exact = made.truth.population.table(["homepage"], target="value")["v"][0].as_py()
    seen = value[made.table["homepage"].to_numpy() == 1]
    assert abs(seen.mean() - exact) < 4 * seen.std() / math.sqrt(seen.size)


def test_users_have_the_wanted_number_of_sessions_whatever_the_chunks(monkeypatch):
    whole = simulate_sessions(60_000, seed=3, sessions_per_user=4)
    user = whole.table["user_id"].to_numpy()
    assert (np.diff(user) >= 0).all()
    assert user[0] == 1
    sessions = 60_000 / np.unique(user).size
    assert abs(sessions - 4) < 4 * math.sqrt(12 / np.unique(user).size)
    monkeypatch.setattr(module, "CHUNK", 777)
    assert simulate_sessions(60_000, seed=3, sessions_per_user=4).table.equals(whole.table)
    assert simulate_sessions(60_000, seed=3, sessions_per_user=4, threads=3).table.equals(whole.table)


def test_every_session_is_its_own_user_at_a_mean_of_one():
    user = simulate_sessions(500, seed=3, sessions_per_user=1).table["user_id"].to_pylist()
    assert user == list(range(1, 501))


def test_the_same_arguments_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4096)
    digests = []
    for k, threads in enumerate((1, 3)):
        path = tmp_path / f"{k}.csv"
        made = simulate_sessions(20_000, seed=9, path=path, threads=threads, revenue=True)
        assert made.table is None
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
        with pytest.raises(RequestError, match="the rows were written to"):
            made.to_pandas()
    assert digests[0] == digests[1]
    simulate_sessions(20_000, seed=9, path=tmp_path / "s.parquet", revenue=True)
    table = simulate_sessions(20_000, seed=9, revenue=True).table
    assert pyarrow.parquet.read_table(tmp_path / "s.parquet").equals(table)
    text = pyarrow.csv.read_csv(tmp_path / "0.csv")
    assert text.column_names == table.column_names
    assert text.cast(table.schema).equals(table)


def test_progress_and_interruption_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 100)
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done == 300:
            raise KeyboardInterrupt

    path = tmp_path / "s.parquet"
    path.write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        simulate_sessions(1000, path=path, progress=stop, force=True)
    assert seen == [(100, 1000), (200, 1000), (300, 1000)]
    assert path.read_text() == "mine"
    assert [place.name for place in tmp_path.iterdir()] == ["s.parquet"]


def test_the_truth_draws_the_same_population_again():
    made = draw_sessions(rate=0.07, seed=21)
    again = draw_sessions(made.fixed_spec(), rate=0.07, seed=99)
    assert again.population.marginals == pytest.approx(made.population.marginals)
    assert again.population.coefficients == pytest.approx(made.population.coefficients)
    assert again.population.intercept == pytest.approx(made.population.intercept)


names = st.text(min_size=1, max_size=6).filter(lambda name: name.strip() and " & " not in name)


@st.composite
def ranges(draw, low, high):
    pair = sorted(draw(st.lists(st.floats(low, high), min_size=2, max_size=2)))
    return pair[0], pair[1]


@st.composite
def specs(draw):
    features = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    devices = draw(st.booleans())
    pair = ("first device", "second device")
    order_values = tuple(
        OrderValue(name, draw(st.floats(0.01, 1e4)), draw(st.floats(0, 3))) for name in (pair if devices else ("all",))
    )
    return SessionSpec(
        features=tuple(
            Feature(name, draw(ranges(0, 1)), draw(ranges(0, 9)), draw(st.sampled_from(["channel", "page", "other"])))
            for name in features
        ),
        devices=Devices(pair, draw(ranges(0, 1)), (draw(ranges(0, 9)), draw(ranges(0, 9)))) if devices else None,
        bands=(Band(draw(st.floats(0, 5)), draw(ranges(-2, 2))), Band(None, draw(ranges(-2, 2)))),
        interactions=(Term(tuple(features[:2]), draw(ranges(-3, 3))),),
        order_values=draw(st.sampled_from([(), order_values])),
        sessions_per_user=draw(st.none() | st.floats(1, 50)),
    )


@settings(max_examples=60, deadline=None)
@given(specs())
def test_specs_read_back_what_they_write(spec):
    assert SessionSpec.from_toml(spec.to_toml()) == spec
    assert SessionSpec.from_json(spec.to_json()) == spec


def test_a_spec_file_gives_the_same_sessions(tmp_path):
    spec = SessionSpec(sessions_per_user=2.0)
    for name, text in (("s.toml", spec.to_toml()), ("s.json", spec.to_json())):
        (tmp_path / name).write_text(text)
        assert simulate_sessions(50, spec=tmp_path / name).table.equals(simulate_sessions(50, spec=spec).table)


def test_features_can_be_added():
    extra = tuple(Feature(f"extra_{k:02d}", (0.2, 0.4), (5.0, 6.0)) for k in range(12))
    spec = SessionSpec(features=(*SessionSpec().features, *extra))
    made = tw.simulate_sessions(2000, 0.1, spec, seed=2)
    assert made.table.column_names[:18] == list(SessionSpec().names[:18])
    assert len(made.table.column_names) == 33
    assert made.truth.population.rate == pytest.approx(0.1, rel=1e-9)


def test_a_spec_of_no_devices_and_other_order_values():
    spec = {"features": [{"name": "a", "marginal": 0.5, "score": 6}], "devices": {}}
    made = simulate_sessions(100, 0.5, spec, revenue=True)
    assert made.table.column_names == ["a", "converted", "value"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": 0}, r"--rows is 0; it must be a whole number from 1"),
        ({"rows": 1.5}, r"--rows is 1.5; it must be a whole number"),
        ({"rate": 0.6}, r"--rate is 0.6; it must lie between 0.001 and 0.5"),
        ({"rate": 0.0}, r"--rate is 0.0; it must lie between"),
        ({"seed": -1}, r"--seed is -1; it must be 0 or more"),
        ({"sessions_per_user": 0.5}, r"sessions_per_user is 0.5; it must be 1 or more"),
        ({"path": "x.json"}, r"the format of a simulation is 'json'; it must be one of 'csv', 'parquet'"),
        ({"spec": {"feature": []}}, r"column 'feature' for the spec of sessions is not in the input; did you mean"),
        ({"spec": {"features": []}}, r"the spec has no features"),
        ({"spec": {"features": [{"name": "a", "marginal": 1.5, "score": 1}]}}, r"marginal of 'a' is 1.5; it must lie"),
        ({"spec": {"features": [{"name": "a", "marginal": [0.9, 0.1], "score": 1}]}}, r"must not be above the second"),
        ({"spec": {"features": [{"name": "a", "marginal": [0.9], "score": 1}]}}, r"write a range of two numbers"),
        ({"spec": {"features": [{"name": "a", "marginal": 0.1}]}}, r"a feature has no score"),
        ({"spec": {"features": [{"name": "value", "marginal": 0.1, "score": 1}]}}, r"a feature is named 'value'"),
        ({"spec": {"features": [{"name": "a", "marginal": 0.1, "score": 1, "kind": "tv"}]}}, r"kind of 'a' is 'tv'"),
        ({"spec": {"interactions": [{"features": ["email", "sea"], "coefficient": 1}]}}, r"'sea' for an interaction"),
        ({"spec": {"interactions": [{"features": ["email"], "coefficient": 1}]}}, r"two or more different features"),
        (
            {"spec": {"interactions": [{"features": ["device_desktop", "device_mobile"], "coefficient": 1}]}},
            r"only one is ever 1",
        ),
        ({"spec": {"bands": [{"up_to": 1, "coefficient": 1}]}}, r"the last band, and only that, has no up_to"),
        ({"spec": {"order_values": [{"device": "phone", "median": 1, "sigma": 1}]}}, r"order values are given for"),
        ({"spec": {"devices": {"names": ["a"], "share": 0.5, "scores": [1, 2]}}}, r"names of devices are \['a'\]"),
    ],
)  # fmt: skip
def test_bad_requests_are_one_clear_sentence(arguments, message):
    with pytest.raises(RequestError, match=message) as error:
        simulate_sessions(**({"rows": 100} | arguments))
    assert "\n" not in str(error.value)


def test_bad_spec_files_are_one_clear_sentence(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        simulate_sessions(10, spec=tmp_path / "none.toml")
    (tmp_path / "s.toml").write_text("features = [")
    with pytest.raises(DataError, match=r"s\.toml is not TOML"):
        simulate_sessions(10, spec=tmp_path / "s.toml")
    (tmp_path / "s.json").write_text("[1]")
    with pytest.raises(DataError, match="holds a JSON list; it must hold one object"):
        simulate_sessions(10, spec=tmp_path / "s.json")


def test_what_a_notebook_and_a_console_show():
    made = simulate_sessions(1000, seed=1)
    assert "1,000 sessions of 20 features" in repr(made)
    assert made.to_pandas().shape == (1000, 21)
    assert isinstance(made.to_arrow(), pa.Table)
    assert all(a < b for a, b in pairwise([0, made.conversions, made.rows]))
