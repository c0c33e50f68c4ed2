"""The table of synergies: its promises, its invariances, and what it refuses."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from tests.synergy.sessions import by_rows, draw, make_sessions, rows_of
from touchworth.errors import DataError, RequestError
from touchworth.synergy.synergies import COLUMNS, synergies

NUMBERS = [name for name in COLUMNS if name not in ("coalition", "low_evidence")]


def assert_same(found, expected, names=lambda name: name, *, rtol=1e-9):
    assert {names(name) for name in found} == set(expected)
    for name, row in found.items():
        for column in COLUMNS[1:]:
            seen, wanted = row[column], expected[names(name)][column]
            if wanted is None or isinstance(wanted, bool):
                assert seen == wanted, (name, column)
            else:
                np.testing.assert_allclose(seen, wanted, rtol=rtol, atol=1e-10, err_msg=f"{name} {column}")


def test_columns_order_and_kinds():
    columns, y = draw(0, 3000, 6)
    found = synergies(make_sessions(columns, y), max_size=4)
    assert tuple(found.table.column_names) == COLUMNS
    rows = found.table.to_pylist()
    first = [row for row in rows if row["size"] >= 2 and not row["low_evidence"]]
    assert rows[: len(first)] == first
    for part in (first, rows[len(first) :]):
        assert [row["synergy"] for row in part] == sorted((row["synergy"] for row in part), reverse=True)
    for row in rows:
        assert row["coalition"] == " & ".join(sorted(row["coalition"].split(" & ")))
        assert row["ci_low"] <= row["synergy"] <= row["ci_high"]
        assert (row["q_value"] is None) == (row["size"] < 2 or row["low_evidence"])
        assert (row["front_rank"] is None) == (row["q_value"] is None)
        assert row["low_evidence"] == (min(row["conversions"], row["support"] - row["conversions"]) < 10)
        np.testing.assert_allclose(row["dividend"] - row["synergy"], -((-1) ** row["size"]) * y.mean(), atol=1e-12)
        np.testing.assert_allclose(row["incremental_conversions"], row["synergy"] * row["support"], rtol=1e-12)
        assert row["incremental_value"] is None
    assert found.summary["significant"] == sum((row["q_value"] or 1) <= 0.05 for row in rows)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from(["rate", "log_rate", "log_odds"]))
def test_renaming_permuting_and_splitting_change_nothing(seed, scale):
    columns, y = draw(seed, 500, 5)
    rng = np.random.default_rng(seed)
    whole = rows_of(synergies(make_sessions(columns, y), scale=scale, max_size=5, min_support=0.02))
    shuffled, order = rng.permutation(500), rng.permutation(5)
    again = make_sessions(columns[shuffled][:, order], y[shuffled], names=[f"p{j:02}" for j in order])
    assert_same(rows_of(synergies(again, scale=scale, max_size=5, min_support=0.02)), whole)
    named = make_sessions(columns, y, names=[f"z{9 - j}" for j in range(5)])

    def back(name):
        return " & ".join(sorted(f"p{9 - int(part[1:]):02}" for part in name.split(" & ")))

    assert_same(rows_of(synergies(named, scale=scale, max_size=5, min_support=0.02)), whole, back)
    weight = rng.integers(1, 4, 500)
    repeated = make_sessions(np.repeat(columns, weight, axis=0), np.repeat(y, weight))
    weighted = make_sessions(columns, y, weight=weight)
    split = make_sessions(np.vstack([columns] * 2), np.r_[y, y], weight=np.r_[weight - 0.25, np.full(500, 0.25)])
    expected = rows_of(synergies(repeated, scale=scale, max_size=5, min_support=0.02))
    assert_same(rows_of(synergies(weighted, scale=scale, max_size=5, min_support=0.02)), expected)
    assert_same(rows_of(synergies(split, scale=scale, max_size=5, min_support=0.02)), expected, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_player_without_effect_on_a_balanced_design_adds_no_dividend(seed):
    columns, y = draw(seed, 300, 4)
    dummy = np.r_[np.ones(300, bool), np.zeros(300, bool)]
    doubled = make_sessions(np.column_stack([np.vstack([columns] * 2), dummy]), np.r_[y, y])
    alone = rows_of(synergies(make_sessions(columns, y), max_size=5, min_support=0.05))
    for name, row in rows_of(synergies(doubled, max_size=5, min_support=0.025)).items():
        if "p04" in name:
            np.testing.assert_allclose(row["synergy"], 0, atol=1e-12)
        elif name in alone:
            np.testing.assert_allclose(row["synergy"], alone[name]["synergy"], atol=1e-12)


def test_supersets_never_outnumber_subsets():
    columns, y = draw(2, 2000, 7)
    found = rows_of(synergies(make_sessions(columns, y), max_size=7, min_support=0.001))
    for name, row in found.items():
        members = name.split(" & ")
        for left_out in members if len(members) > 1 else []:
            facet = found[" & ".join(one for one in members if one != left_out)]
            assert facet["support"] >= row["support"]
            assert facet["conversions"] >= row["conversions"]


def known_sets(shared):
    """The 7 exact channel sets of a real log, as weighted sessions."""
    with (shared / "data/kaggle_attribution_known_coalitions.csv").open() as lines:
        sets = [row for row in csv.DictReader(lines) if not row["coalition"].startswith("(")]
    names = sorted({name for row in sets for name in row["coalition"].split("|")})
    held = np.array([[name in row["coalition"].split("|") for name in names] for row in sets])
    users, converted = (np.array([int(row[key]) for row in sets]) for key in ("users", "converted_users"))
    return make_sessions(np.vstack([held, held]), np.repeat([1, 0], len(sets)),
                         weight=np.r_[converted, users - converted], names=names)  # fmt: skip


def test_positive_control_facebook_and_instagram(shared):
    row = rows_of(synergies(known_sets(shared)))["Facebook & Instagram"]
    np.testing.assert_allclose(row["synergy"], 0.01447253, atol=5e-9)
    assert row["q_value"] < 1e-6
    assert row["ci_low"] > 0


def test_negative_control_a_coin_shows_nothing():
    columns, _ = draw(4, 40_000, 10)
    coin = np.random.default_rng(7).random(40_000) < 0.5
    found = synergies(make_sessions(columns, coin), max_size=4)
    assert found.summary["significant"] == 0
    shrunk = [row["synergy_shrunk"] for row in found.table.to_pylist() if row["synergy_shrunk"] is not None]
    raw = [row["synergy"] for row in found.table.to_pylist() if row["synergy_shrunk"] is not None]
    assert np.mean(np.square(shrunk)) < 0.05 * np.mean(np.square(raw))


def test_order_values_make_money_of_conversions():
    columns, y = draw(6, 2000, 3)
    value = np.where(y, np.random.default_rng(0).lognormal(4, 0.5, 2000), 0)
    for name, row in rows_of(synergies(make_sessions(columns, y, value=value))).items():
        held = columns[:, [int(part[1:]) for part in name.split(" & ")]].all(axis=1)
        mean = value[held & y].mean()
        np.testing.assert_allclose(row["incremental_value"], row["synergy"] * row["support"] * mean, rtol=1e-9)


def test_impact_stays_on_the_rate_scale():
    columns, y = draw(8, 2000, 4)
    rate = rows_of(synergies(make_sessions(columns, y)))
    for name, row in rows_of(synergies(make_sessions(columns, y), scale="log_odds")).items():
        for column in ("incremental_conversions", "incremental_low", "incremental_high"):
            np.testing.assert_allclose(row[column], rate[name][column], rtol=1e-12)


def test_winsorised_values_are_clipped_once_and_told():
    columns, y = draw(9, 1000, 3)
    value = np.random.default_rng(0).lognormal(3, 2, 1000)
    sessions = make_sessions(columns, y, value=value, value_is_target=True)
    found = synergies(sessions, winsorize=0.05)
    low, high = np.quantile(value, [0.05, 0.95])
    estimate, _ = by_rows(columns, np.clip(value, low, high), (0, 1))
    np.testing.assert_allclose(rows_of(found)["p00 & p01"]["synergy"], estimate, rtol=1e-9)
    assert found.summary["winsorized"] == {"share": 0.05, "low": low, "high": high, "sessions": 100}


def test_without_a_target_only_supports_are_told():
    columns, _ = draw(1, 400, 4)
    found = synergies(make_sessions(columns))
    assert found.table.column_names == ["coalition", "size", "support", "support_share"]
    supports = found.table["support"].to_pylist()
    assert supports == sorted(supports, reverse=True)
    assert rows_of(found)["p00"]["support"] == columns[:, 0].sum()


def test_a_waterfall_builds_the_value_from_its_dividends():
    columns, y = draw(3, 2000, 4)
    found = synergies(make_sessions(columns, y), max_size=4)
    parts = found.waterfall(["p02", "p00", "p01"])
    assert [part.coalition for part in parts][:4] == ["(all sessions)", "p00", "p01", "p02"]
    np.testing.assert_allclose(sum(part.dividend for part in parts), y[columns[:, :3].all(axis=1)].mean())
    with pytest.raises(RequestError, match="is not in the result"):
        synergies(make_sessions(columns, y), max_size=1).waterfall(["p00", "p01"])


def test_reaching_more_of_the_same_visitors():
    columns, y = draw(3, 4000, 3)
    found = synergies(make_sessions(columns, y))
    told = found.reach_more(["p00", "p01"], "p01", 0.1)
    both, first = columns[:, :2].all(axis=1), columns[:, 0]
    assert told.sessions == pytest.approx(0.1 * first.sum())
    assert told.extra == pytest.approx(told.sessions * (y[both].mean() - y[first].mean()))
    influence = np.zeros(4000)
    influence[both] += (y[both] - y[both].mean()) / both.sum()
    influence[first] -= (y[first] - y[first].mean()) / first.sum()
    error = np.sqrt((influence**2).sum())
    assert (told.high - told.low) / 2 == pytest.approx(told.sessions * 1.959964 * error, rel=1e-6)
    with pytest.raises(DataError, match="fewer than 100% of them; ask for a smaller share"):
        found.reach_more(["p00", "p01"], "p01", 1.0)
    with pytest.raises(RequestError, match="'p02' is not in the coalition 'p00 & p01'"):
        found.reach_more(["p00", "p01"], "p02")


def test_golden_dividends_and_shapley_of_a_table_of_values(shared, tmp_path):
    golden = json.loads((shared / "golden/three_players.json").read_text())
    path = tmp_path / "game.csv"
    path.write_text("coalition,value\n" + "".join(f"{name},{value}\n" for name, value in golden["values"].items()))
    found = tw.synergies(tw.read_game(path))
    for name, row in rows_of(found).items():
        assert row["dividend"] == row["synergy"] == pytest.approx(golden["dividends"][name], rel=1e-9)
        assert row["rate"] == golden["values"][name]
        assert row["p_value"] is None
    values = found.index("sv")
    shapley = dict(zip(values["coalition"].to_pylist(), values["value"].to_pylist(), strict=True))
    assert shapley == pytest.approx(golden["shapley"], rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_size": 0}, "the largest coalition size is 0; it must be 1 or more"),
        ({"min_support": 1.5}, "the minimum support is 1.5; it is a share of the sessions, from 0 to 1"),
        ({"min_support": -0.1}, "the minimum support is -0.1"),
        ({"scale": "logit"}, "--scale is 'logit'; it must be one of 'rate', 'log_rate', 'log_odds'"),
        ({"level": 95}, "--level is 95; it must lie between 0 and 1, such as 0.95"),
        ({"fdr": "holm"}, "--fdr is 'holm'; it must be one of 'bh', 'by'"),
        ({"winsorize": 0.01}, "--winsorize is for a real target; name one with --value"),
        ({"winsorize": 0.7}, "--winsorize is 0.7; it must lie between 0 and 0.5"),
        ({"kind": "conversions"}, "--game conversions is for journeys; give events or paths"),
        ({"kind": "odds"}, "--game is 'odds'; it must be one of 'rate', 'conversions', 'markov'"),
    ],
)
def test_bad_requests_are_one_sentence(options, message):
    columns, y = draw(0, 200, 3)
    with pytest.raises(RequestError) as error:
        synergies(make_sessions(columns, y), **options)
    assert message in str(error.value)


def test_bad_data_are_one_sentence():
    columns, y = draw(0, 200, 3)
    with pytest.raises(DataError, match="no session converts; nothing can be compared"):
        synergies(make_sessions(columns, np.zeros(200)))
    with pytest.raises(DataError, match="every session converts; nothing can be compared"):
        synergies(make_sessions(columns, np.ones(200)))
    with pytest.raises(RequestError, match="--scale is 'log_rate', but the target is a real number"):
        synergies(make_sessions(columns, y, value=y, value_is_target=True), scale="log_rate")
    with pytest.raises(DataError, match="all sessions are of one user"):
        synergies(make_sessions(columns, y, user=np.ones(200)))
    with pytest.raises(DataError, match=r"more than the memory limit of .* raise min_support"):
        synergies(make_sessions(columns, y), memory_limit=1000)


def test_progress_tells_phases_and_can_end_the_work():
    columns, y = draw(0, 2000, 6)
    seen = []
    synergies(make_sessions(columns, y), progress=lambda phase, done, total: seen.append((phase, done, total)))
    assert {phase for phase, _, _ in seen} == {"counting coalitions", "dividends and errors"}
    assert all(done <= total for _, done, total in seen)

    class EnoughError(Exception):
        pass

    def stop(*_):
        raise EnoughError

    with pytest.raises(EnoughError):
        synergies(make_sessions(columns, y), progress=stop)


def test_a_result_is_a_record_that_shows_itself(tmp_path):
    columns, y = draw(0, 500, 3)
    found = synergies(make_sessions(columns, y))
    assert "synergy" in repr(found).splitlines()[0]
    assert "<table>" in found._repr_html_()
    found.write(tmp_path / "out.parquet")
    assert len(found.to_pandas()) == len(found.table) == len(found.to_polars())
    written = found.plot.save(tmp_path / "plots")
    assert sorted(path.name for path in written) == ["network.html", "upset.html", "value_volume.html",
                                                     "waterfall.html"]  # fmt: skip
    with pytest.raises(RequestError, match="exists; give --force"):
        found.plot.save(tmp_path / "plots")
