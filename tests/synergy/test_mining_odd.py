"""Coalition counts of data at the edges: nobody retained, one row, nothing converts, words just full, huge weights."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synergy.test_mining import (
    METHODS,
    PACKINGS,
    WEIGHTS,
    assert_same_family,
    assert_well_formed,
    brute_force,
    family,
    pack,
)
from touchworth.errors import DataError, RequestError
from touchworth.games.game import coalition_items, coalition_names, size_slices
from touchworth.synergy.mining import mine

# Bitmaps end within, at and behind a word of 64 rows, and a vector of 512.
EDGES = [1, 2, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1023, 1025]


def agrees(columns, y, weights, max_size, min_count, methods=METHODS, packings=PACKINGS):
    """Every method on every packing finds what brute force does; the last game."""
    expected = brute_force(columns, y, weights, max_size, min_count)
    for packing in packings:
        for method in methods:
            game = mine(pack(packing, columns, y, weights), max_size=max_size, min_count=min_count, method=method)
            assert_same_family(family(game), expected)
            assert_well_formed(game)
            assert len(coalition_names(game)) == game.n.size
            assert game.max_size == max_size
    return game


def assert_empty(game):
    assert game.n.size == game.parent.size == game.size.size == 0
    assert coalition_names(game) == []
    assert list(size_slices(game)) == []
    offsets, items = coalition_items(game)
    assert offsets.tolist() == [0]
    assert items.size == 0


@settings(max_examples=20, deadline=None)
@given(
    rows=st.sampled_from(EDGES),
    players=st.integers(1, 6),
    max_size=st.integers(1, 7),
    target=st.sampled_from([0.0, 1.0, -1.0, -0.0, 1e-160, 2.5]),
    weight=st.sampled_from([None, 1.0, 3.0, 0.1]),
)
def test_nobody_is_retained(rows, players, max_size, target, weight):
    columns, y = np.ones((rows, players), bool), np.full(rows, target)
    weights = None if weight is None else np.full(rows, weight)
    total = rows * (weight or 1)
    game = agrees(columns, y, weights, max_size, 1.01 * total)
    assert_empty(game)
    assert game.total_n == pytest.approx(total)
    # Neither does anybody who is in no session.
    assert_empty(agrees(np.zeros((rows, players), bool), y, weights, max_size, 1e-6))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=7),
    st.sampled_from([0.0, 1.0, -4.0, 1e100]),
    st.sampled_from([None, 1.0, 2.0**40, 2.0**53, 0.3, 1e300, 1e-300]),
)
def test_one_row_makes_all_subsets_of_what_it_holds(held, y, weight):
    columns = np.array([held])
    if y == 1e100 and weight == 1e300:
        y = 1.0
    weights = None if weight is None else np.array([weight])
    game = agrees(columns, np.array([y]), weights, len(held), weight or 1)
    assert game.n.size == 2 ** sum(held) - 1
    assert set(game.n.tolist()) <= {weight or 1.0}


@pytest.mark.parametrize("weighted", WEIGHTS)
@pytest.mark.parametrize("value", [0.0, 1.0, -0.0, -1.0])
def test_a_target_that_never_varies(weighted, value):
    stream = np.random.default_rng(4)
    for rows in EDGES:
        columns = stream.random((rows, 5)) < 0.6
        weights = {
            "none": None,
            "integer": stream.integers(1, 9, rows).astype(float),
            "fractional": stream.random(rows),
        }
        mass = weights[weighted]
        game = agrees(columns, np.full(rows, value), mass, 5, 0.5, packings=["columns", "transactions"])
        assert game.s == pytest.approx(value * game.n, rel=1e-12)
        assert game.binary == (value in (0, 1))


@settings(max_examples=12, deadline=None)
@given(
    players=st.sampled_from([63, 64, 65, 70, 127, 128, 129, 200]),
    rows=st.sampled_from(EDGES[5:]),
    seed=st.integers(0, 999),
    weighted=st.sampled_from(WEIGHTS),
)
def test_more_players_than_a_word_has_bits(players, rows, seed, weighted):
    stream = np.random.default_rng(seed)
    columns = stream.random((rows, players)) < 0.25 * stream.random(players)
    # Some of the last players are in most sessions, so that coalitions of ranks behind the first word grow large.
    columns[:, -6:] = stream.random((rows, 6)) < 0.9
    y = (stream.random(rows) < 0.2).astype(float)
    weights = {"none": None, "integer": stream.integers(0, 5, rows) + 1.0, "fractional": stream.random(rows) + 0.1}
    mass = weights[weighted]
    total = rows if mass is None else mass.sum()
    # Brute force looks at the players that can be retained only.
    ones = np.ones(rows) if mass is None else mass
    kept = np.flatnonzero(ones @ columns >= 0.19 * total)
    expected = {
        tuple(kept[list(coalition)].tolist()): sums
        for coalition, sums in brute_force(columns[:, kept], y, mass, 4, 0.2 * total).items()
    }
    for packing in ("columns", "transactions"):
        for method in ("bitmaps", "rows"):
            game = mine(pack(packing, columns, y, mass), max_size=4, min_count=0.2 * total, method=method)
            assert_same_family(family(game), expected)
            assert_well_formed(game)


@pytest.mark.parametrize("method", METHODS)
def test_every_session_holds_everybody(method):
    sessions = pack("columns", np.ones((65, 14), bool), np.arange(65) % 2.0)
    for max_size in (1, 2, 7, 14, 10**9):
        game = mine(sessions, max_size=max_size, min_count=65, method=method)
        counts = [where.stop - where.start for _, where in size_slices(game)]
        assert counts == [comb(14, size) for size in range(1, min(max_size, 14) + 1)]
        assert set(game.n.tolist()) == {65.0}
        assert set(game.s.tolist()) == {32.0}


@settings(max_examples=25, deadline=None)
@given(
    weight=st.sampled_from([2.0**31, 2.0**32, 2.0**40, 2.0**52, 2.0**53 - 1, 2.0**62, 2.0**63, 2.0**64, 1e30, 1e300]),
    other=st.sampled_from([1.0, 0.5, 1e-300, 0.0]),
    real=st.booleans(),
    seed=st.integers(0, 999),
)
def test_huge_and_tiny_weights_side_by_side(weight, other, real, seed):
    stream = np.random.default_rng(seed)
    columns = stream.random((70, 5)) < 0.5
    weights = np.where(stream.random(70) < 0.3, weight, other)
    weights[0], columns[0] = weight, True
    y = stream.normal(size=70) if real else (stream.random(70) < 0.4).astype(float)
    for min_count in (max(other, 1e-301), weight):
        agrees(columns, y, weights, 5, min_count, packings=["columns", "pairs"])


def test_whole_weights_up_to_two_to_the_53_are_exact():
    columns = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 1]], bool)
    weights = np.array([2.0**52, 2.0**52 - 3, 2.0])
    game = mine(pack("columns", columns, np.array([1.0, 0, 1]), weights), max_size=3, min_count=1)
    found = {coalition: sums[:2] for coalition, sums in family(game).items()}
    assert found[0,] == (2.0**53 - 1, 2.0**52 + 2)
    assert found[0, 1] == (2.0**52 + 2, 2.0**52 + 2)
    assert found[0, 2] == (2.0**52 - 1, 2.0)


@pytest.mark.parametrize("threads", [1, 3, 64])
@pytest.mark.parametrize("min_count", [1e-9, 0.3, 1.0, 1.0000000001, 2.5, 1e300])
def test_any_smallest_support_and_number_of_threads(min_count, threads):
    stream = np.random.default_rng(5)
    columns, y = stream.random((70, 6)) < 0.3, np.ones(70)
    game = mine(pack("columns", columns, y), max_size=6, min_count=min_count, threads=threads, method="bitmaps")
    assert_same_family(family(game), brute_force(columns, y, None, 6, max(min_count, 1)))


def test_players_that_are_always_together():
    stream = np.random.default_rng(6)
    columns = np.repeat(stream.random((100, 3)) < 0.4, 4, axis=1)
    game = agrees(columns, np.ones(100), None, 5, 5)
    assert len(set(game.n.tolist())) <= 7


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(
    ("rows", "weights", "sentence"),
    [
        (0, None, "there are no sessions; the target needs at least one value"),
        (3, [0.0, 0.0, 0.0], "all weights are 0; at least one session must count"),
        (3, [1.0, np.inf, 1.0], "weights must be finite and not negative, but 1 are not, such as inf"),
        (3, [1.0, -1.0, np.nan], "weights must be finite and not negative, but 2 are not, such as -1.0"),
    ],
)
def test_sessions_that_are_none_are_refused(packing, rows, weights, sentence):
    mass = None if weights is None else np.array(weights)
    with pytest.raises(DataError, match=sentence):
        pack(packing, np.ones((rows, 2), bool), np.ones(rows), mass)


def test_too_many_players_for_the_transform_are_refused():
    for players in (40, 64, 100):
        with pytest.raises(DataError, match=rf"counting {players} players in 50 sessions needs about .* GB, more than"):
            mine(
                pack("columns", np.ones((50, players), bool), np.ones(50)), max_size=2, min_count=2, method="transform"
            )


# What broke ------------------------------------------------------------------------------------------------------


def test_weights_are_no_rows_to_hold():
    """Memory depends on the sessions, not on how much each of them counts."""
    stream = np.random.default_rng(7)
    columns, weights = stream.random((70, 5)) < 0.4, np.full(70, 2.0**40)
    agrees(columns, np.ones(70), weights, 4, 2.0**41)


def test_a_smallest_support_without_end_is_refused():
    with pytest.raises(RequestError, match="the minimum support is inf sessions; it must be a finite number above 0"):
        mine(pack("columns", np.ones((3, 2), bool), np.ones(3)), max_size=2, min_count=np.inf)


def test_targets_whose_squares_overflow_are_refused():
    with pytest.raises(DataError, match=r"the target is as large as 1e\+200, too large to be squared and added up"):
        pack("columns", np.ones((3, 2), bool), np.array([1.0, -1e200, 2.0]))
    with pytest.raises(DataError, match="the target is as large as"):
        pack("columns", np.ones((3, 2), bool), np.full(3, 1e150), np.full(3, 1e20))
    with pytest.raises(DataError, match=r"the weights are as large as 1e\+308, too large to be added up"):
        pack("columns", np.ones((3, 2), bool), np.ones(3), np.full(3, 1e308))
