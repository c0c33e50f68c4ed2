"""Values and interaction indices: against their definitions, a published implementation and their properties."""

import warnings
from dataclasses import replace
from itertools import combinations
from math import comb, factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.games.families import closed_families, dictionary, dividends_by_definition, subsets
from touchworth.errors import RequestError
from touchworth.games.dividends import dividends_of, facet_links
from touchworth.games.game import coalition_items
from touchworth.games.indices import (
    INDICES,
    index_table,
    interaction_index,
    is_complete,
    size_weights,
    truncation_notice,
)
from touchworth.games.tables import game_from_sets, game_of_values
from touchworth.synergy.bitmaps import pack_columns
from touchworth.synergy.mining import mine

EFFICIENT = ("sv", "k-sii", "stii", "fsii")
VALUES = ("sv", "bv")


def complete_game(players, seed, empty_value=0.7):
    """(game, v as a function of a frozenset) with random values of all coalitions."""
    names = [f"p{i:02}" for i in range(players)]
    stream = np.random.default_rng(seed)
    coalitions = subsets(names)
    v = {
        frozenset(coalition): value
        for coalition, value in zip(coalitions, stream.normal(size=len(coalitions)), strict=True)
    }
    v[frozenset()] = empty_value
    game = game_of_values(names, coalitions, [v[frozenset(coalition)] for coalition in coalitions], empty_value)
    return game, v


def index_of(game, name, order):
    """{frozenset: value}."""
    found = interaction_index(game, dividends_of(game), name, order)
    # What is not reported is not expected either.
    part = replace(game, size=game.size[: found.positions.size])
    assert found.positions.tolist() == list(range(found.positions.size))
    return dictionary(part, found.values)


# the definitions, by derivatives -------------------------------------------------------------------------------------


def derivative(v, S, T):
    return sum((-1) ** (len(S) - len(L)) * v[frozenset(L) | T] for L in [(), *subsets(sorted(S))])


def by_derivatives(v, players, S, weights):
    """Sum over T outside S of weights[|T|] times the derivative of S at T."""
    others = [player for player in players if player not in S]
    return sum(weights[len(T)] * derivative(v, S, frozenset(T)) for T in [(), *subsets(others)])


def definition(v, players, name, k):
    n = len(players)
    wanted = [frozenset(S) for S in subsets(players) if len(S) <= k]
    if name == "k-sii":
        return k_sii(v, players, k)
    if name == "fsii":
        return faithful(v, players, k)
    out = {}
    for S in wanted:
        s = len(S)
        if name in ("sii", "sv"):
            weights = [factorial(n - t - s) * factorial(t) / factorial(n - s + 1) for t in range(n - s + 1)]
        elif name in ("bii", "bv"):
            weights = [0.5 ** (n - s)] * (n - s + 1)
        elif s < k:
            weights = [float(t == 0) for t in range(n - s + 1)]
        else:
            weights = [k / n / comb(n - 1, t) for t in range(n - s + 1)]
        out[S] = by_derivatives(v, players, S, weights)
    return out


BERNOULLI = [1, -1 / 2, 1 / 6, 0, -1 / 30, 0, 1 / 42]


def k_sii(v, players, k):
    """The recursion of Bordt and von Luxburg: each order corrects the coalitions below it by Bernoulli numbers."""
    sii = definition(v, players, "sii", k)
    values = {}
    for order in range(1, k + 1):
        top = {S: value for S, value in sii.items() if len(S) == order}
        values = {
            S: value + BERNOULLI[order - len(S)] * sum(more for T, more in top.items() if S <= T)
            for S, value in values.items()
        } | top
    return values


def faithful(v, players, k):
    """Weighted least squares of v by a game of order k that is exact on the empty and the grand coalition."""
    n = len(players)
    terms = [frozenset(S) for S in subsets(players) if len(S) <= k]
    rows = [frozenset(S) for S in subsets(players)]
    design = np.array([[float(term <= row) for term in terms] for row in rows])
    target = np.array([v[row] - v[frozenset()] for row in rows])
    inner = [i for i, row in enumerate(rows) if len(row) < n]
    weight = np.array([(n - 1) / (comb(n, len(rows[i])) * len(rows[i]) * (n - len(rows[i]))) for i in inner])
    normal = design[inner].T @ (weight[:, None] * design[inner])
    system = np.block([[normal, design[-1:].T], [design[-1:], np.zeros((1, 1))]])
    right = np.concatenate([design[inner].T @ (weight * target[inner]), target[-1:]])
    return dict(zip(terms, np.linalg.lstsq(system, right, rcond=None)[0], strict=False))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", INDICES)
def test_indices_equal_their_definitions(name, order):
    game, v = complete_game(5, seed=order)
    k = 1 if name in VALUES else order
    assert index_of(game, name, order) == pytest.approx(definition(v, game.players, name, k), abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 6, 9])
@settings(max_examples=15, deadline=None)
@given(closed_families(), st.randoms(use_true_random=False))
def test_a_cut_family_is_the_game_whose_other_dividends_are_zero(order, family, random):
    players, coalitions = family
    v = {coalition: random.uniform(-5, 5) for coalition in coalitions}
    game = game_of_values(players, [list(coalition) for coalition in v], list(v.values()), 0.5)
    dividends = dividends_by_definition(v, 0.5)
    for name in INDICES:
        weights = size_weights(name, 1 if name in VALUES else order, 6)
        expected = {
            S: sum(weights[len(S), len(T)] * amount for T, amount in dividends.items() if S <= T)
            for S in coalitions
            if len(S) < len(weights) and (len(S) == 1 or name not in VALUES)
        }
        assert index_of(game, name, order) == pytest.approx(expected, abs=1e-9)


# a published implementation ------------------------------------------------------------------------------------------

THEIRS = {"sv": "SV", "bv": "BV", "sii": "SII", "k-sii": "k-SII", "stii": "STII", "fsii": "FSII", "bii": "BII"}


@pytest.fixture(scope="module")
def shapiq():
    with warnings.catch_warnings():
        # Its own warnings, and those of what it imports, are not ours to mend.
        warnings.simplefilter("ignore")
        return pytest.importorskip("shapiq", reason="shapiq: a published package to compare with, not installed")


def their_values(found, members):
    return np.array([found[tuple(coalition)] for coalition in members])


def shapiq_game(shapiq, game):
    """Its exact computer for the same game, and every coalition as a sorted list of players."""
    offsets, items = coalition_items(game)
    members = [sorted(items[offsets[i] : offsets[i + 1]].tolist()) for i in range(game.size.size)]
    values = np.empty(2 ** len(game.players))
    values[0] = game.empty_value
    values[[sum(1 << player for player in coalition) for coalition in members]] = game.values
    powers = 1 << np.arange(len(game.players))
    return shapiq.ExactComputer(lambda held: values[held @ powers], len(game.players)), members


@pytest.mark.parametrize("players", [4, 9])
@pytest.mark.parametrize("order", [1, 2, 3, 4, "n"])
def test_shapiq_from_values(shapiq, players, order):
    game, _ = complete_game(players, seed=players)
    computer, members = shapiq_game(shapiq, game)
    order = players if order == "n" else order
    for name in INDICES:
        found = interaction_index(game, dividends_of(game), name, order)
        theirs = computer(THEIRS[name], found.order)
        sizes = {len(coalition) for coalition in theirs.interaction_lookup} - {0}
        assert sizes == set(range(1, found.order + 1))
        # It solves for fsii by least squares in which two equations of weight 1e8 stand for the constraints.
        close = 1e-6 if name == "fsii" else 1e-9
        np.testing.assert_allclose(
            found.values, their_values(theirs, members[: found.values.size]), atol=close, rtol=0, err_msg=name
        )


def test_shapiq_from_dividends_of_14_players(shapiq):
    game, _ = complete_game(14, seed=14)
    computer, members = shapiq_game(shapiq, game)
    dividends, links = dividends_of(game), facet_links(game)
    moebius = computer("Moebius")
    np.testing.assert_allclose(dividends, their_values(moebius, members), atol=1e-9, rtol=0)
    convert = shapiq.game_theory.moebius_converter.MoebiusConverter(moebius)
    for name in ("sii", "k-sii", "stii", "fsii"):
        for order in (1, 2, 3, 14) if name == "fsii" else (1, 2, 3):
            found = interaction_index(game, dividends, name, order, links=links)
            theirs = their_values(convert(THEIRS[name], order), members[: found.values.size])
            np.testing.assert_allclose(found.values, theirs, atol=1e-9, rtol=0, err_msg=f"{name} {order}")


# what must hold ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EFFICIENT)
@pytest.mark.parametrize("order", [1, 2, 3, 8])
def test_efficiency(name, order):
    game, v = complete_game(8, seed=1)
    found = interaction_index(game, dividends_of(game), name, order)
    assert found.values.sum() == pytest.approx(v[frozenset(game.players)] - v[frozenset()], abs=1e-10)


@pytest.mark.parametrize("name", INDICES)
def test_order_1_is_the_value_of_single_players(name):
    game, _ = complete_game(6, seed=2)
    value = "bv" if name in ("bv", "bii") else "sv"
    assert index_of(game, name, 1) == pytest.approx(index_of(game, value, 1), abs=1e-12)


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_interchangeable_players_and_dummies(name, order):
    """v depends on the number of a, b, c and on d; e adds 2 wherever it comes; f does nothing."""
    names = "abcdef"

    def v(S):
        return len(S & {"a", "b", "c"}) ** 2 + 3 * ("d" in S) * ("a" in S or "b" in S or "c" in S) + 2 * ("e" in S)

    coalitions = subsets(names)
    game = game_of_values(names, coalitions, [v(set(coalition)) for coalition in coalitions])
    found = index_of(game, name, order)
    swap = str.maketrans("ab", "ba")
    for S, value in found.items():
        assert found[frozenset("".join(S).translate(swap))] == pytest.approx(value, abs=1e-12)
        if "f" in S:
            assert value == pytest.approx(0, abs=1e-12)
        if "e" in S:
            assert value == pytest.approx(2 * (len(S) == 1), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(closed_families(), st.randoms(use_true_random=False), st.sampled_from(INDICES), st.integers(1, 4))
def test_names_and_dummies_change_nothing(family, random, name, order):
    players, coalitions = family
    v = {coalition: random.uniform(-5, 5) for coalition in coalitions}
    found = index_of(game_of_values(players, [list(S) for S in v], list(v.values())), name, order)
    renamed = dict(zip(players, random.sample(players, len(players)), strict=True))
    moved = {frozenset(renamed[player] for player in S): value for S, value in v.items()}
    again = game_of_values(random.sample(players, len(players)), [list(S) for S in moved], list(moved.values()))
    assert index_of(again, name, order) == pytest.approx(
        {frozenset(renamed[player] for player in S): value for S, value in found.items()}, abs=1e-9
    )
    more = {**v, frozenset({"zz"}): 0.0} | {S | {"zz"}: value for S, value in v.items()}
    wider = index_of(game_of_values(["zz", *players], [list(S) for S in more], list(more.values())), name, order)
    for S, value in wider.items():
        assert value == pytest.approx(0.0 if "zz" in S else found[S], abs=1e-9)


def test_the_empty_value_enters_through_the_dividends_only():
    game, _ = complete_game(5, seed=3, empty_value=0.0)
    dividends = dividends_of(game)
    for name in INDICES:
        here = interaction_index(game, dividends, name, 2)
        there = interaction_index(replace(game, empty_value=9.0), dividends, name, 2)
        assert here.values.tolist() == there.values.tolist()


def test_order_beyond_the_largest_coalition_gives_the_dividends():
    game = game_of_values("abc", [["a"], ["b"], ["c"], ["a", "b"]], [1, 2, 3, 7])
    for name in ("k-sii", "stii", "fsii"):
        assert interaction_index(game, dividends_of(game), name, 70).values.tolist() == [1, 2, 3, 4]
    empty = game_of_values("ab", [], [])
    assert interaction_index(empty, dividends_of(empty), "sv").values.size == 0


def test_weights_of_many_players_stay_exact():
    # Sums of alternating Bernoulli numbers of some 10^20 cancel to weights below 1.
    weights = size_weights("k-sii", 30, 70)
    assert weights[30, 70] == 1 / 41
    # An efficient index hands every dividend out once: its shares over all subsets add up to 1.
    for name in ("k-sii", "stii", "fsii"):
        table = size_weights(name, 6, 70)
        for t in range(1, 71):
            shares = [comb(t, s) * table[s, t] for s in range(1, 7)]
            assert sum(shares) == pytest.approx(1, abs=1e-12 * max(map(abs, shares)))


@pytest.mark.parametrize(
    ("name", "order", "sentence"),
    [
        ("shapley", 2, "the interaction index is 'shapley'; it must be one of 'sv', 'bv', 'sii', 'k-sii', 'stii',"),
        ("sii", 0, "the order of the interaction index is 0; it must be 1 or more"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_right_are_refused(name, order, sentence):
    game, _ = complete_game(3, seed=0)
    with pytest.raises(RequestError, match=sentence):
        interaction_index(game, dividends_of(game), name, order)
    with pytest.raises(RequestError, match="there are 2 dividends for 7 coalitions; one each is needed"):
        interaction_index(game, np.zeros(2), "sv", 1)


# tables and notices --------------------------------------------------------------------------------------------------


def test_the_table_of_the_worked_example():
    values = {"A": 10, "B": 12, "C": 18, "AB": 27, "AC": 23, "BC": 29, "ABC": 37}
    game = game_of_values("ABC", [list(coalition) for coalition in values], list(values.values()))
    dividends = dividends_of(game)
    table = index_table(game, [interaction_index(game, dividends, name, 2) for name in ("sv", "stii")])
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows[:3] == [
        ("C", 1, "sv", 1, pytest.approx(43 / 3)),
        ("B", 1, "sv", 1, pytest.approx(40 / 3)),
        ("A", 1, "sv", 1, pytest.approx(28 / 3)),
    ]
    assert rows[3:] == [
        ("C", 1, "stii", 2, 18),
        ("B", 1, "stii", 2, 12),
        ("A", 1, "stii", 2, 10),
        ("A & B", 2, "stii", 2, pytest.approx(5 - 2 / 3)),
        ("B & C", 2, "stii", 2, pytest.approx(-1 - 2 / 3)),
        ("A & C", 2, "stii", 2, pytest.approx(-5 - 2 / 3)),
    ]
    assert table.column_names == index_table(game, []).column_names == ["coalition", "size", "index", "order", "value"]
    assert table.schema == index_table(game, []).schema


def test_ties_stand_in_order_of_their_names():
    game = game_of_values("ba", [["b"], ["a"]], [1, 1])
    assert index_table(game, [interaction_index(game, dividends_of(game), "sv")])["coalition"].to_pylist() == ["a", "b"]


def test_a_truncated_game_says_so():
    complete, _ = complete_game(4, seed=0)
    assert is_complete(complete)
    assert truncation_notice(complete) is None
    part = game_of_values("abc", [["a"], ["b"], ["a", "b"]], [1, 2, 4])
    assert truncation_notice(part) == (
        "interaction indices are those of a truncated game: dividends are known for 3 of 7 coalitions (those with a "
        "value), all others count as 0"
    )
    columns = np.random.default_rng(0).integers(0, 2, (60, 45)).astype(np.uint8)
    mined = mine(pack_columns(columns, np.ones(60), [f"p{i}" for i in range(45)]), max_size=2, min_count=15)
    assert f"known for {mined.size.size:,} of 2^45 - 1 coalitions (at most 2 players, support of at least 15)" in str(
        truncation_notice(mined)
    )


def test_a_conversions_game_says_what_its_family_leaves_out():
    held = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 0, 0]], np.uint8)
    conversions = np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    sets = np.cumsum([0, *held.sum(axis=1)]), np.nonzero(held)[1].astype(np.int32)
    for max_size, notice in (
        (2, "all others count as 0; 25.00% of the conversions are of the coalitions left out"),
        (3, None),
    ):
        mined = mine(
            pack_columns(np.column_stack([held, 0 * held[:, 0]]), conversions, list("abcd")),
            max_size=max_size,
            min_count=1,
        )
        game = game_from_sets(mined, *sets, conversions)
        assert not is_complete(game)
        said = truncation_notice(game, dividends_of(game))
        assert said == notice or str(said).endswith(str(notice))


@pytest.mark.parametrize("players", [3, 7])
def test_all_pairs_of_a_large_game(players):
    """The grand coalition's dividend alone: each index is its weight."""
    names = [f"p{i}" for i in range(players)]
    coalitions = subsets(names)
    game = game_of_values(names, coalitions, [float(len(coalition) == players) for coalition in coalitions])
    for name, weight in (("sii", 1 / (players - 1)), ("bii", 0.5 ** (players - 2)), ("stii", 1 / comb(players, 2))):
        found = index_of(game, name, 2)
        for pair in combinations(names, 2):
            assert found[frozenset(pair)] == pytest.approx(weight)
