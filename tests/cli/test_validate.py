"""`validate` on sessions, pairs, transactions and games, from Python and from the command line."""

import pytest

import touchworth as tw
from touchworth.cli.main import run
from touchworth.errors import RequestError

WIDE = "a,b,visits,converted\n" + "1,0,3,1\n0,1,2,0\n1,1,7,1\n0,,4,0\n" * 5


@pytest.fixture
def files(tmp_path):
    for name, text in {
        "wide.csv": WIDE,
        "pairs.csv": "sid,page\n1,x\n1,y\n2,y\n1,x\n9,x\n",
        "outcomes.csv": "sid,bought,buyer\n1,1,u\n2,0,v\n3,0,u\n",
        "lines.dat": "1 2\n2 3\n3\n",
        "game.csv": "coalition,value\n,1\nA,2\nB,3\nA|B,7\n",
        "log.csv": "user,time,channel,conversion,device\nu,2026-01-01,ads,0,phone\nu,2026-01-02,tv,1,desk\n",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def told(validation):
    """(section, item) -> value."""
    return {(row["section"], row["item"]): row["value"] for row in validation.table.to_pylist()}


def test_a_wide_table(files):
    found = tw.validate(files / "wide.csv")
    assert found.acceptable
    rows = told(found)
    assert rows["input", "shape"] == "sessions"
    assert rows["columns", "target"] == "converted (detected)"
    assert rows["rows", "read"] == "20"
    assert rows["rows", "blank cells of players, read as no"] == "5"
    assert rows["sessions", "converted"] == "10 (50.00%)"
    assert rows["sessions", "y"] == "the conversion"
    assert rows["players", "a"] == "10 sessions"
    assert rows["notices", "1"] == "1 columns are no players because they are not binary: 'visits' holds '3'"
    assert told(tw.validate(files / "wide.csv", target="visits"))["sessions", "y"] == "the value"


def test_rejected_rows_decide_as_in_the_analysis(files):
    (files / "bad.csv").write_text(WIDE + "maybe,1,2,1\n1,1,2,\n")
    found = tw.validate(files / "bad.csv", max_rejects=0.1)
    assert found.acceptable
    assert told(found)["rejected", "a player is not a flag"] == "1"
    # At 1 % the column itself is no player any more, as in read_sessions.
    found = tw.validate(files / "bad.csv")
    rows = told(found)
    assert not found.acceptable
    assert ("players", "a") not in rows
    assert rows["rejected", "target is missing"] == "1"
    assert rows["rejected", "share"] == "4.55% of the rows: refused"


def test_pairs_transactions_and_games(files):
    rows = told(
        tw.validate(
            files / "pairs.csv",
            session="sid",
            feature="page",
            outcomes=files / "outcomes.csv",
            target="bought",
            user="buyer",
            max_rejects=0.2,
        )
    )
    assert rows["input", "shape"] == "long"
    assert rows["rejected", "session has no outcome"] == "1"
    assert rows["rows", "pairs that repeat one"] == "1"
    assert rows["sessions", "users"] == "2"
    rows = told(tw.validate(files / "lines.dat"))
    assert rows["input", "shape"] == "transactions"
    assert rows["sessions", "outcome"] == "none: only the support of coalitions can be counted"
    assert told(tw.validate(files / "lines.dat", target_item="3"))["sessions", "converted"] == "2 (66.67%)"
    rows = told(tw.validate(files / "game.csv"))
    assert rows["input", "shape"] == "game"
    assert rows["coalitions", "of size 2"] == "1"
    assert rows["coalitions", "value of the empty one"] == "1"
    assert "separated by '|'" in rows["notices", "1"]
    rows = told(tw.validate(files / "log.csv", dimensions=["device"]))
    assert rows["players", "device=desk"] == "1 journeys"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["wide.csv"], ["input,shape,sessions", "columns,target,converted (detected)", "players,b,10 sessions"]),
        (["wide.csv", "--target", "a", "--player", "b"], ["columns,target,a", "sessions,players,1"]),
        (
            ["wide.csv", "--order-value", "visits"],
            ["columns,order_value,visits", 'rows,"values without conversion, ignored",10'],
        ),
        (
            [
                "pairs.csv",
                "--session",
                "sid",
                "--feature",
                "page",
                "--outcomes",
                "{}/outcomes.csv",
                "--target",
                "bought",
                "--max-rejects",
                "0.2",
            ],
            ["input,shape,long", "sessions,converted,1 (33.33%)"],
        ),
        (["lines.dat", "--target-item", "3"], ["input,shape,transactions", "columns,target item,3"]),
        (["game.csv", "--coalition-delimiter", "|"], ["input,shape,game", "coalitions,of size 1,2"]),
        (["log.csv", "--dimension", "device"], ["columns,dimension 1,device", "players,device=phone,1 journeys"]),
    ],
)
def test_flags(files, capsys, arguments, lines):
    arguments = [one.format(files) for one in arguments]
    assert run(["validate", str(files / arguments[0]), *arguments[1:]]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["wide.csv", "--player", "visits"],
            2,
            "the player 'visits' is not binary: 20 of 20 rows hold other than 0 and 1",
        ),
        (
            ["wide.csv", "--target", "visit"],
            2,
            "column 'visit' for --target is not in the input; did you mean 'visits'",
        ),
        (
            ["wide.csv", "--player", "a", "--lookback-steps", "2"],
            2,
            "--lookback-steps has no meaning for the shape sessions",
        ),
        (["wide.csv", "--target", "a", "--session", "b"], 2, "--feature is ''; name the column"),
        (["lines.dat", "--where", "a=1"], 2, "--where has no meaning for the shape transactions"),
        (["game.csv", "--target", "a"], 2, "column 'a' for --target is not in the input"),
        (["log.csv", "--target", "x", "--shape", "events"], 2, "--target has no meaning for events"),
        (
            [
                "pairs.csv",
                "--session",
                "sid",
                "--feature",
                "page",
                "--outcomes",
                "{}/outcomes.csv",
                "--target",
                "bought",
            ],
            1,
            "",
        ),
    ],
)
def test_bad_requests(files, capsys, arguments, code, message):
    arguments = [one.format(files) for one in arguments]
    assert run(["validate", str(files / arguments[0]), *arguments[1:]]) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == bool(message)


def test_attribution_of_sessions_says_where_they_are_read(files, capsys):
    assert run(["attribute", str(files / "wide.csv")]) == 2
    assert capsys.readouterr().err == (
        "touchworth: the input has the shape sessions, which has no journeys: touchworth synergy reads it "
        "(--shape says else)\n"
    )
    with pytest.raises(RequestError, match="--shape is 'wide'; it must be one of 'events'"):
        tw.validate(files / "wide.csv", shape="wide")
