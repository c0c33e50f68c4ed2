"""Dividends, contrasts and their errors against golden values and against each row's influence."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from tests.synergy.sessions import by_rows, contrast_by_rows, draw, make_sessions, rows_of
from touchworth.games.dividends import dividends_of, facet_links, game_values, moebius, zeta
from touchworth.games.game import coalition_items
from touchworth.synergy.bitmaps import pack_sessions
from touchworth.synergy.mining import mine
from touchworth.synergy.synergies import synergies


def test_golden_values_of_online_shoppers(shared):
    sessions = tw.read_sessions(shared / "data/online_shoppers_sessions.csv", target="converted")
    found = rows_of(tw.synergies(sessions, max_size=3, min_support=0.01))
    golden = json.loads((shared / "golden/online_shoppers_game.json").read_text())["coalitions"]
    assert found.keys() == golden.keys()
    for name, value in golden.items():
        row = found[name]
        seen = [row[key] for key in ("support", "conversions", "rate", "dividend", "dividend_std_error", "synergy",
                                     "std_error")]  # fmt: skip
        expected = [value[key] for key in ("n", "s", "v", "dividend", "std_error_dividend", "synergy",
                                           "std_error_synergy")]  # fmt: skip
        np.testing.assert_allclose(seen, expected, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    players=st.integers(1, 6),
    scale=st.sampled_from(["rate", "log_rate", "log_odds"]),
    threads=st.integers(1, 2),
)
def test_every_number_from_the_rows_themselves(seed, players, scale, threads):
    columns, y = draw(seed, 400, players)
    found = rows_of(synergies(make_sessions(columns, y), max_size=players, min_support=0.02, scale=scale,
                              threads=threads))  # fmt: skip
    y = y.astype(float)
    checked = 0
    for size in range(1, players + 1):
        for coalition in combinations(range(players), size):
            row = found.get(" & ".join(f"p{j:02}" for j in coalition))
            if row is None or not 0 < row["rate"] < 1:
                continue
            for empty, value, error in ((True, "synergy", "std_error"), (False, "dividend", "dividend_std_error")):
                estimate, influence = by_rows(columns, y, coalition, scale, empty=empty)
                np.testing.assert_allclose(row[value], estimate, rtol=1e-9, atol=1e-11)
                np.testing.assert_allclose(row[error], np.sqrt((influence**2).sum()), rtol=1e-8)
            expected = contrast_by_rows(columns, y, coalition)
            if scale == "rate" and expected is None:
                assert row["contrast"] is None
                assert row["contrast_std_error"] is None
            elif scale == "rate":
                np.testing.assert_allclose(row["contrast"], expected[0], rtol=1e-9, atol=1e-11)
                error = np.sqrt((expected[1] ** 2).sum())
                np.testing.assert_allclose(row["contrast_std_error"] or 0.0, error, rtol=1e-8, atol=1e-12)
            checked += 1
    assert checked


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_real_target_as_from_the_rows(seed, weighted):
    columns, y = draw(seed, 500, 4)
    rng = np.random.default_rng(seed)
    value = np.where(y, rng.lognormal(3, 1, 500), rng.normal(0, 1, 500))
    weight = rng.integers(1, 4, 500) if weighted else None
    sessions = make_sessions(columns, y, value=value, value_is_target=True, weight=weight)
    found = rows_of(synergies(sessions, max_size=4, min_support=0.02))
    if weighted:
        columns, value, y = (np.repeat(one, weight, axis=0) for one in (columns, value, y))
    for name, row in found.items():
        coalition = [int(part[1:]) for part in name.split(" & ")]
        estimate, influence = by_rows(columns, value, coalition)
        np.testing.assert_allclose(row["synergy"], estimate, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(row["std_error"], np.sqrt((influence**2).sum()), rtol=1e-7)
        expected = contrast_by_rows(columns, value, coalition)
        if expected is not None:
            np.testing.assert_allclose(row["contrast"], expected[0], rtol=1e-8, atol=1e-8)
            np.testing.assert_allclose(row["contrast_std_error"], np.sqrt((expected[1] ** 2).sum()), rtol=1e-7)
        assert row["conversions"] == y[columns[:, coalition].all(axis=1)].sum()
        np.testing.assert_allclose(row["incremental_value"], row["synergy"] * row["support"], rtol=1e-12)


@pytest.mark.parametrize("scale", ["rate", "log_rate"])
def test_errors_by_user_are_those_of_the_users_summed_influence(scale):
    columns, y = draw(5, 2000, 4)
    rng = np.random.default_rng(1)
    user = rng.integers(0, 40, 2000)
    hashes = rng.integers(0, 2**63, 40).astype(np.uint64)
    found = rows_of(synergies(make_sessions(columns, y, user=hashes[user]), max_size=4, min_support=0.01, scale=scale))
    bucket = (hashes % np.uint64(40))[user].astype(int)
    groups = 40  # of which some are empty: the hashes of 40 users do not fill 40 buckets
    y = y.astype(float)
    for name, row in found.items():
        coalition = [int(part[1:]) for part in name.split(" & ")]
        checks = [(by_rows(columns, y, coalition, scale), "std_error"),
                  (by_rows(columns, y, coalition, scale, empty=False), "dividend_std_error")]  # fmt: skip
        contrast = contrast_by_rows(columns, y, coalition, scale)
        if contrast is not None and np.isfinite(contrast[0]):
            checks.append((contrast, "contrast_std_error"))
        for (_, influence), column in checks:
            summed = np.bincount(bucket, influence, minlength=groups)
            error = np.sqrt(groups / (groups - 1) * (summed**2).sum())
            np.testing.assert_allclose(row[column], error, rtol=1e-7, err_msg=f"{name} {column}")


def test_two_equal_sessions_of_each_user_widen_the_errors_by_the_root_of_two():
    columns, y = draw(3, 3000, 3)
    user = np.random.default_rng(0).integers(0, 2**63, 3000)
    twice = make_sessions(np.vstack([columns, columns]), np.r_[y, y], user=np.r_[user, user])
    once = rows_of(synergies(make_sessions(columns, y, user=user)))
    alone = rows_of(synergies(make_sessions(np.vstack([columns, columns]), np.r_[y, y])))
    for name, row in rows_of(synergies(twice)).items():
        np.testing.assert_allclose(row["std_error"], once[name]["std_error"], rtol=1e-9)
        # 100 buckets tell a variance to about 14 %.
        assert 0.6 < row["std_error"] / alone[name]["std_error"] / np.sqrt(2) < 1.5


@pytest.mark.parametrize("kind", ["never", "always"])
def test_where_every_cell_is_certain_the_error_is_not_zero(kind):
    columns = np.zeros((200, 2), bool)
    columns[:50, 0] = True
    y = np.zeros(200) if kind == "never" else np.ones(200)
    y[150:] = 1 - y[150:]
    row = rows_of(synergies(make_sessions(columns, y), min_support=0.1))["p00"]
    share = 2 / 54 if kind == "never" else 52 / 54
    np.testing.assert_allclose(row["dividend_std_error"], np.sqrt(share * (1 - share) / 50), rtol=1e-12)
    assert row["low_evidence"]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), players=st.integers(1, 8), max_size=st.integers(1, 8))
def test_dividends_sum_back_to_the_values(seed, players, max_size):
    columns, y = draw(seed, 300, players)
    game = mine(pack_sessions(make_sessions(columns, y)), max_size=max_size, min_count=5)
    links = facet_links(game)
    for empty in (0.0, 0.37):
        dividends = moebius(game, links, game_values(game), empty)
        np.testing.assert_allclose(zeta(game, links, dividends, empty), game_values(game), atol=1e-12)
    offsets, items = coalition_items(game)
    place = {frozenset(items[offsets[i] : offsets[i + 1]].tolist()): i for i in range(game.size.size)}
    for members, i in place.items():
        for b, facet in enumerate(sorted(members, key=lambda player: game.rank[player])):
            rest = members - {facet}
            assert links[i, b] == (place[rest] if rest else -1)
    np.testing.assert_array_equal(dividends_of(game), moebius(game, links, game_values(game), 0.0))
