"""Games of given values: the trie's layout, what is refused, and the conversions of exact sets."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.games.families import closed_families, coalitions_of, dictionary, subsets
from touchworth.errors import DataError, RequestError
from touchworth.games.dividends import dividends_of
from touchworth.games.game import coalition_items, coalition_names, find_coalition
from touchworth.games.tables import exact_amounts, find_sets, game_from_sets, game_of_values
from touchworth.synergy.bitmaps import pack_columns
from touchworth.synergy.mining import mine


def assert_layout(game):
    """The promises of `Game`."""
    assert np.all(np.diff(game.size) >= 0)
    singles = int((game.size == 1).sum())
    assert game.rank[game.item[:singles]].tolist() == list(range(singles))
    assert sorted(game.rank.tolist()) == list(range(len(game.players)))
    for position in range(game.size.size):
        first, count = game.child_start[position], game.child_count[position]
        if count == 0:
            assert first == 0
        assert (game.parent[first : first + count] == position).all()
        assert (np.diff(game.rank[game.item[first : first + count]]) > 0).all()
        parent = game.parent[position]
        assert game.size[position] == (1 if parent < 0 else game.size[parent] + 1)
        if parent >= 0:
            assert game.rank[game.item[position]] > game.rank[game.item[parent]]
    assert (game.child_count.sum() + singles) == game.size.size


def test_the_worked_example(shared):
    golden = json.loads((shared / "golden/three_players.json").read_text())
    coalitions = [name.split(" & ") for name in golden["values"]]
    game = game_of_values(["A", "B", "C"], coalitions, list(golden["values"].values()))
    assert dict(zip(coalition_names(game), dividends_of(game), strict=True)) == golden["dividends"]
    assert game.kind == "table"
    assert not game.has_counts


@settings(max_examples=60, deadline=None)
@given(closed_families(), st.randoms(use_true_random=False), st.booleans())
def test_any_closed_family_in_any_order_keeps_its_values(family, random, as_arrays):
    players, coalitions = family
    values = {coalition: random.uniform(-5, 5) for coalition in coalitions}
    shuffled = [random.sample(sorted(coalition), len(coalition)) for coalition in coalitions]
    random.shuffle(shuffled)
    given_values = [values[frozenset(members)] for members in shuffled]
    given_coalitions = shuffled
    if as_arrays:
        index = {name: i for i, name in enumerate(players)}
        offsets = np.cumsum([0, *map(len, shuffled)])
        given_coalitions = offsets, np.array([index[name] for members in shuffled for name in members], np.int32)
    game = game_of_values(players, given_coalitions, given_values)
    assert_layout(game)
    assert dictionary(game, game.values) == values


def test_the_layout_is_that_of_mining():
    stream = np.random.default_rng(3)
    columns = (stream.random((300, 7)) < np.linspace(0.2, 0.7, 7)).astype(np.uint8)
    names = list("abcdefg")
    mined = mine(pack_columns(columns, np.ones(300), names), max_size=4, min_count=20)
    offsets, items = coalition_items(mined)
    # Ranks follow the order of the players, which is rising support here.
    game = game_of_values(names, (offsets, items), mined.n)
    assert game.rank.tolist() == mined.rank.tolist()
    for field in ("parent", "item", "child_start", "child_count", "size"):
        assert getattr(game, field).tolist() == getattr(mined, field).tolist(), field
    assert game.values.tolist() == mined.n.tolist()


def test_the_empty_coalition_gives_the_empty_value():
    game = game_of_values(["a", "b"], [["a"], [], ["b"]], [3, 1, 5])
    assert game.empty_value == 1
    assert dividends_of(game).tolist() == [2, 4]
    assert game_of_values(["a"], [["a"]], [3], empty_value=2.0).empty_value == 2


def test_players_without_a_coalition_come_last():
    game = game_of_values(["a", "b", "c"], [["c"], ["a"], ["a", "c"]], [1, 2, 3])
    assert game.rank.tolist() == [0, 2, 1]
    assert coalition_names(game) == ["a", "c", "a & c"]
    assert find_coalition(game, ["b"]) is None
    empty = game_of_values([], [], [])
    assert empty.size.size == 0


@pytest.mark.parametrize(
    ("coalitions", "values", "sentence"),
    [
        (["a", "ab"], [1, 2], "coalition 'a & b' has a value but its part 'b' has none; add a row for 'b', since"),
        (["b", "ab"], [1, 2], "coalition 'a & b' has a value but its part 'a' has none"),
        (["a", "b", "c", "ab", "ac", "abc"], range(6), "'a & b & c' has a value but its part 'b & c' has none"),
        (["a", "b", "c", "bc", "ac", "abc"], range(6), "'a & b & c' has a value but its part 'a & b' has none"),
        (["a", "b", "ac"], range(3), "coalition 'a & c' has a value but its part 'c' has none"),
        (["a", "b", "ab", "c", "ba"], range(5), r"coalition 'a & b' stands twice in the table \(rows 3 and 5\)"),
        (["a", "a"], [1, 1], r"coalition 'a' stands twice in the table \(rows 1 and 2\); give each coalition once"),
        (["a", "aa"], [1, 1], "coalition 'a & a' names a player twice"),
        (["a", "", ""], [1, 1, 2], "the empty coalition stands 2 times in the table; give its value once"),
        (["a", "b"], [1, np.nan], "the value of coalition 'b' is nan; it must be a finite number"),
        (["a", ""], [1, -np.inf], r"the value of coalition '\(empty\)' is -inf; it must be a finite number"),
        (["a", "ax"], [1, 2], "coalition 'a & x' names 'x', which is none of the players 'a', 'b', 'c'"),
    ],
)  # fmt: skip
def test_what_is_no_game_is_refused(coalitions, values, sentence):
    with pytest.raises(DataError, match=sentence):
        game_of_values("abc", [list(coalition) for coalition in coalitions], list(values))


def test_requests_that_cannot_be_right_are_refused():
    with pytest.raises(RequestError, match="there are 1 coalitions and 2 values; give one value to each"):
        game_of_values(["a"], [["a"]], [1, 2])
    with pytest.raises(RequestError, match="player 'a' is named twice; every player needs a name of its own"):
        game_of_values(["a", "b", "a"], [["a"]], [1])
    with pytest.raises(RequestError, match="coalition 'a & b' is a text; give the names of its players as a list"):
        game_of_values(["a", "b"], [["a"], "a & b"], [1, 2])
    with pytest.raises(RequestError, match=r"coalitions have members 0\.\.2; they must be indices of the 2 players"):
        game_of_values(["a", "b"], (np.array([0, 2]), np.array([0, 2], np.int32)), [1])


@pytest.mark.parametrize("gone", range(1, 15))
def test_every_missing_part_is_found(gone):
    names = "abcd"
    everything = subsets(names)
    kept = [coalition for i, coalition in enumerate(everything, start=1) if i != gone]
    hole = everything[gone - 1]
    with pytest.raises(DataError, match=f"its part {' & '.join(sorted(hole))!r} has none"):
        game_of_values(names, kept, np.zeros(len(kept)))


# conversions of exact sets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_size", "min_count"), [(5, 1), (2, 1), (5, 30)])
def test_conversions_of_the_journeys_within_a_coalition(max_size, min_count):
    stream = np.random.default_rng(8)
    held = stream.random((400, 5)) < [0.15, 0.3, 0.5, 0.4, 0.02]
    conversions = (stream.random(400) < 0.4).astype(float)
    names = list("abcde")
    mined = mine(pack_columns(held.astype(np.uint8), conversions, names), max_size=max_size, min_count=min_count)
    # One set a journey, members in no order: equal sets add up.
    members = [stream.permutation(np.flatnonzero(row)) for row in held]
    offsets, items = np.cumsum([0, *map(len, members)]), np.concatenate(members).astype(np.int32)
    game = game_from_sets(mined, offsets, items, conversions)
    dividends, empty, outside = exact_amounts(mined, offsets, items, conversions)
    assert game.kind == "conversions"
    assert game.n is mined.n
    for coalition, value in coalitions_of(game, game.values):
        out = [names.index(name) for name in names if name not in coalition]
        assert value == conversions[~held[:, out].any(axis=1)].sum()
    for coalition, amount in coalitions_of(game, dividends):
        exactly = (held == [name in coalition for name in names]).all(axis=1)
        assert amount == conversions[exactly].sum()
    assert game.empty_value == empty == conversions[~held.any(axis=1)].sum()
    assert dividends.sum() + empty + outside == pytest.approx(conversions.sum())
    assert dividends_of(game) == pytest.approx(dividends, abs=1e-9)


def test_sets_are_found_in_any_order():
    game = game_of_values("abc", [list(c) for n in (1, 2) for c in combinations("abc", n)], range(6))
    offsets, items = np.array([0, 2, 3, 3, 6, 8]), np.array([2, 0, 1, 2, 1, 0, 1, 2], np.int32)
    assert find_sets(game, offsets, items).tolist() == [4, 1, -2, -1, 5]
