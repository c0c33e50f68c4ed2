"""`read_sessions`: one call for every shape, and options that fit none."""

import json

import pandas as pd
import pytest

import touchworth as tw
from touchworth.errors import RequestError
from touchworth.games.game import coalition_names
from touchworth.sources.columns import detect_shape
from touchworth.synergy.bitmaps import pack_sessions
from touchworth.synergy.mining import mine


@pytest.fixture
def wide(tmp_path):
    (tmp_path / "wide.csv").write_text("a,b,converted\n1,0,1\n0,1,0\n")
    return tmp_path / "wide.csv"


@pytest.fixture
def pairs(tmp_path):
    (tmp_path / "pairs.csv").write_text("sid,page,converted\n1,a,1\n1,b,1\n2,b,0\n3,c,0\n")
    return tmp_path / "pairs.csv"


@pytest.fixture
def lines(tmp_path):
    (tmp_path / "lines.dat").write_text("1 2\n2 3\n3\n")
    return tmp_path / "lines.dat"


def test_each_shape(wide, pairs, lines):
    stages = []
    found = tw.read_sessions(wide, progress=lambda name, seconds: stages.append(name))
    assert (found.report.shape, found.players, stages) == ("sessions", ("a", "b"), ["read and encode"])
    found = tw.read_sessions(pairs, session="sid", feature="page")
    assert (found.report.shape, found.players, found.rows) == ("long", ("a", "b", "c"), 3)
    found = tw.read_sessions(lines)
    assert (found.report.shape, found.players, found.converted) == ("transactions", ("1", "2", "3"), None)
    found = tw.read_sessions(lines, target_item="2", players=["1", "3"])
    assert found.converted.tolist() == [1, 1, 0]
    assert tw.read_sessions(lines, shape="transactions").rows == 3
    # The same file as a wide table has one column, whose name is its first line.
    with pytest.raises(RequestError, match=r"no column of .* looks like the target"):
        tw.read_sessions(lines, shape="sessions")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "wide"}, "--shape is 'wide'; it must be one of 'sessions', 'long', 'transactions'"),
        ({"shape": "sessions", "target_item": "2"}, "--target-item has no meaning for the shape sessions"),
        ({"shape": "long", "target_item": "2"}, "--target-item has no meaning for the shape long"),
        ({"target_item": "2", "where": {"a": "1"}}, "--where has no meaning for the shape transactions"),
        ({"target_item": "2", "order_value": "x"}, "--order-value has no meaning for the shape transactions"),
        ({"session": "a"}, "--feature is ''; name the column"),
        ({"outcomes": "x.csv"}, "--session is ''; name the column"),
    ],
)
def test_options_that_fit_no_shape(wide, options, message):
    with pytest.raises(RequestError, match=message):
        tw.read_sessions(wide, **options)


def test_a_frame_of_outcomes(wide, pairs):
    told = pd.DataFrame({"sid": [1, 2, 3], "bought": [1, 0, 0]})
    found = tw.read_sessions(pairs, session="sid", feature="page", outcomes=told, target="bought")
    assert repr(found) == "Sessions(3 sessions, 3 players, 1 converted)"
    assert tw.validate(pairs, session="sid", feature="page", outcomes=told, target="bought").acceptable
    with pytest.raises(RequestError, match="--outcomes has no meaning for the shape sessions"):
        tw.read_sessions(wide, shape="sessions", outcomes=told)
    with pytest.raises(RequestError, match="--session is ''; name the column"):
        tw.validate(wide, outcomes=told)


def test_shapes_are_detected(wide, pairs, lines):
    assert detect_shape(wide) == "sessions"
    assert detect_shape(lines) == "transactions"
    assert detect_shape(str(lines)) == "transactions"
    assert detect_shape([lines]) == "transactions"
    assert detect_shape(pairs, session="sid", feature="page") == "long"
    assert detect_shape(wide, target="a") == "sessions"
    assert detect_shape(wide, coalition="a") == "game"
    assert detect_shape(wide, target_item="a") == "transactions"
    visits = pd.DataFrame({"a": [1, 0], "b": [0, 1], "visitor": ["u", "v"], "converted": [1, 0]})
    assert detect_shape(visits, user="visitor") == "sessions"
    assert detect_shape(visits, user="visitor", channel="a") == "events"
    assert detect_shape(lines, player="2") == "transactions"
    assert detect_shape(wide, player="a") == "sessions"
    # A log whose user and channel have names of their own may hold flags as well: a time says that it is one.
    log = pd.DataFrame({"wer": ["u"], "wann": ["2026-01-02 10:00"], "kanal": ["ads"], "mobile": [1], "converted": [0]})
    with pytest.raises(RequestError, match=r"fit neither events"):
        detect_shape(log)
    assert detect_shape(log.drop(columns="wann")) == "sessions"
    with pytest.raises(RequestError, match=r"fit neither events .* sessions \(columns of 0 and 1, and a target\)"):
        detect_shape(pairs)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 2 3\n1 2 4\n", True),
        ("1,2,3\n1,2\n", True),
        ("\ufeff10\t2\r\n\r\n1\r\n", True),
        ("1,2,3\n1,2,4\n", False),
        ("5\n3\n", False),
        ("a b\n1 2\n", False),
        ("a,b\n1,0\n0,1\n", False),
        ("1 2\n1 -2\n", False),
    ],
)
def test_lines_of_numbers_without_a_header_are_transactions(tmp_path, text, found):
    from touchworth.sources.columns import are_transactions

    (tmp_path / "x.dat").write_text(text, encoding="utf-8", newline="")
    assert are_transactions(tmp_path / "x.dat") == found


def test_frames_and_databases_are_no_transactions():
    frame = pd.DataFrame({"a": [1, 0], "target": [1, 0]})
    assert detect_shape(frame) == "sessions"
    assert tw.read_sessions(frame).rows == 2


def test_shapes_of_real_files(shared):
    shapes = {
        "online_shoppers_sessions.csv": "sessions",
        "online_shoppers_intention.csv": "sessions",
        "retail.dat.gz": "transactions",
        "mushroom.dat.gz": "transactions",
        "msweb_train.dat.gz": "transactions",
        "channelattribution_paths.csv": "paths",
        "kaggle_format_events.csv": "events",
        "datacamp_marketing.csv": "events",
    }
    assert {name: detect_shape(shared / "data" / name) for name in shapes} == shapes


def test_sessions_that_are_read_count_as_known(shared):
    golden = json.loads((shared / "golden" / "online_shoppers_game.json").read_text())
    sessions = tw.read_sessions(shared / "data" / "online_shoppers_sessions.csv")
    game = mine(pack_sessions(sessions), max_size=3, min_count=124)
    found = dict(zip(coalition_names(game), zip(game.n.tolist(), game.s.tolist(), strict=True), strict=True))
    expected = {name: (row["n"], row["s"]) for name, row in golden["coalitions"].items()}
    assert {frozenset(name.split(" & ")): pair for name, pair in found.items()} == {
        frozenset(name.split(" & ")): pair for name, pair in expected.items()
    }


def test_weighted_rows_of_known_coalitions(shared, tmp_path):
    listed = pd.read_csv(shared / "data" / "kaggle_attribution_known_coalitions.csv")[:7]
    channels = ["Facebook", "Instagram", "Online Display", "Online Video", "Paid Search"]
    rows = [
        [*(int(channel in row.coalition.split("|")) for channel in channels), y, weight]
        for row in listed.itertuples()
        for y, weight in ((1, row.converted_users), (0, row.users - row.converted_users))
    ]
    pd.DataFrame(rows, columns=[*channels, "converted", "users"]).to_csv(tmp_path / "w.csv", index=False)
    found = tw.synergies(tw.read_sessions(tmp_path / "w.csv", weight="users"), min_support=0)
    row = next(row for row in found.table.to_pylist() if row["coalition"] == "Facebook & Instagram")
    assert row["support"] == 20_196
    assert row["synergy"] == pytest.approx(0.01447253, abs=5e-9)
