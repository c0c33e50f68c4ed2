"""Tables of coalitions: members, values, delimiters, and rows that cannot be used."""

from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from touchworth.errors import DataError, RequestError, TooManyRejectsError
from touchworth.sources.columns import detect_shape
from touchworth.sources.game import load_game

TABLE = "coalition,value\n,1.5\nA,10\nB,12\nB & A,27\n"


def game_of(tmp_path, text, **options):
    (tmp_path / "game.csv").write_text(text)
    return load_game(tmp_path / "game.csv", **options)


def worth(game):
    names = [frozenset(game.players[i] for i in game.members_items[a:b]) for a, b in pairwise(game.members_offsets)]
    return dict(zip(names, game.values.tolist(), strict=True))


def test_a_table(tmp_path):
    game = game_of(tmp_path, TABLE)
    assert game.players == ("A", "B")
    assert worth(game) == {frozenset("A"): 10, frozenset("B"): 12, frozenset("AB"): 27}
    assert game.members_items.tolist() == [0, 1, 0, 1]
    assert game.empty_value == 1.5
    assert (game.report.shape, game.report.rows_read) == ("game", 4)
    assert game.report.columns == {"coalition": "coalition", "value": "value"}
    assert game.report.detected == ("coalition", "value")
    assert game.report.notices == ()
    assert game_of(tmp_path, "coalition,value\nA,1\n").empty_value is None


@pytest.mark.parametrize("empty", ["", " ", "{}", "∅"])
def test_the_empty_coalition(tmp_path, empty):
    assert game_of(tmp_path, f"players,v\nA,1\n{empty},2\n").empty_value == 2


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("A & B", " & "), ("A&B", "&"), ("A|B", "|"), ("A | B", "|"), ("A + B", "+"), ('"A, B"', ","), ("A;B", ";")],
)
def test_delimiters(tmp_path, text, delimiter):
    game = game_of(tmp_path, f"set,score\nA,1\nB,2\n{text},4\n")
    assert worth(game)[frozenset("AB")] == 4
    noted = f"the players of a coalition are taken to be separated by {delimiter!r}; --coalition-delimiter says else"
    assert (noted in game.report.notices) == (delimiter != " & ")
    assert worth(game_of(tmp_path, f"set,score\n{text},4\n", delimiter=delimiter)) == {frozenset("AB"): 4}


def test_a_player_that_contains_the_delimiter(tmp_path):
    game = game_of(tmp_path, "coalition,value\nR&D,1\nSales,2\nR&D & Sales,4\n")
    assert game.players == ("R&D", "Sales")
    assert game.report.notices == (
        "the player 'R&D' contains '&', but not as the delimiter ' & ': it is read as one name",
    )
    with pytest.raises(RequestError, match=r"--coalition-delimiter is ' '; it must hold more than blanks"):
        game_of(tmp_path, TABLE, delimiter=" ")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("C,", "value is missing"),
        ("C,nan", "value is not a number"),
        ("C,inf", "value is not a number"),
        ("C,much", "value is not a number"),
        ("C & A & C,1", "coalition names a player twice"),
        ("C & & A,1", "coalition has an empty player"),
    ],
)
def test_rows_that_are_rejected(tmp_path, row, reason):
    with pytest.raises(TooManyRejectsError, match=rf"1 of 5 rows \(20\.00%\) are rejected \(1 {reason}\)"):
        game_of(tmp_path, TABLE + row + "\n")
    game = game_of(tmp_path, TABLE + row + "\n", max_rejects=0.2, rejects=tmp_path / "r.csv")
    assert game.players == ("A", "B")
    rejected = pd.read_csv(tmp_path / "r.csv", keep_default_na=False)
    column = "value" if "value" in reason else "coalition"
    assert rejected[["line", "column", "reason"]].to_numpy().tolist() == [[6, column, reason]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE + "A & B,3\n", r"1 rows give a coalition that an earlier row gives, such as 'A & B' in rows 4 and 5"),
        (TABLE + " ,3\n", r"1 rows give a coalition .* such as '\(empty\)' in rows 1 and 5; a coalition has one value"),
        ("coalition,value\n,3\n", r"the table holds no coalition besides the empty one"),
    ],
)
def test_tables_that_are_no_game(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        game_of(tmp_path, text)


def test_columns(tmp_path):
    with pytest.raises(RequestError, match=r"looks like the coalition; name it with --coalition"):
        game_of(tmp_path, "who,value\nA,1\n")
    with pytest.raises(RequestError, match=r"looks like the coalition value; name it with --value"):
        game_of(tmp_path, "coalition,n\nA,1\n")
    game = game_of(tmp_path, "who,n,m\nA,1,x\nA,2,y\n", coalition="who", value="n", where={"m": "y"})
    assert worth(game) == {frozenset("A"): 2}
    assert game.report.rows_left_out == 1
    with pytest.raises(DataError, match=r"none of the 2 rows can be used"):
        game_of(tmp_path, "who,n,m\nA,1,x\nA,2,y\n", coalition="who", value="n", where={"m": "z"})


def test_frames():
    frame = pd.DataFrame({"coalition": ["A", "B", "A & B", None], "value": [1, 2, 4, 0.5]})
    for one in (frame, pl.from_pandas(frame)):
        game = load_game(one)
        assert (worth(game)[frozenset("AB")], game.empty_value) == (4, 0.5)
        assert detect_shape(one) == "game"


@given(st.sets(st.frozensets(st.sampled_from(["x", "y y", "Größe", "z"])), min_size=1), st.randoms())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_coalition_comes_back(tmp_path, family, random):
    family = [*(family - {frozenset(["z"])}), frozenset(["z"])]
    random.shuffle(family)
    rows = [(" & ".join(random.sample(sorted(one), len(one))), place) for place, one in enumerate(family)]
    game = game_of(tmp_path, "coalition,value\n" + "".join(f"{names},{v}\n" for names, v in rows))
    expected = {one: place for place, one in enumerate(family)}
    assert game.empty_value == expected.pop(frozenset(), None)
    assert worth(game) == expected
    assert all((np.diff(game.members_items[a:b]) > 0).all() for a, b in pairwise(game.members_offsets))


def test_known_coalitions(shared):
    game = load_game(shared / "data" / "kaggle_attribution_known_coalitions.csv", value="converted_users")
    assert worth(game)[frozenset(["Facebook", "Instagram"])] == 2259
    assert len(game.players) == 6
    assert game.values.sum() == 3757 + 3001 + 2634 + 1578 + 1028 + 2259 + 531 + 2851
