"""Long sessions: pairs and outcomes, apart or together, and what fits no session."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.test_sessions import matrix
from touchworth.errors import DataError, RequestError, TooManyRejectsError
from touchworth.sources.long import load_long
from touchworth.synergy.bitmaps import pack_pairs, pack_sessions

PAIRS = "sid,page\n7,home\n007,cart\n7,cart\n9,home\n7,home\n"
OUTCOMES = "sid,converted\n9,0\n7,1\n007,1\n8,0\n"


def long_of(tmp_path, pairs=PAIRS, outcomes=OUTCOMES, **options):
    (tmp_path / "pairs.csv").write_text(pairs)
    if outcomes is not None:
        (tmp_path / "outcomes.csv").write_text(outcomes)
        options["outcomes"] = tmp_path / "outcomes.csv"
    return load_long(tmp_path / "pairs.csv", **{"session": "sid", "feature": "page"} | options)


def test_outcomes_in_a_file_of_their_own(tmp_path):
    found = long_of(tmp_path)
    assert found.players == ("home", "cart")
    assert matrix(found) == [[1, 0], [1, 1], [0, 1], [0, 0]]
    assert found.converted.tolist() == [0, 1, 1, 0]
    assert found.report.shape == "long"
    assert found.report.columns == {"session": "sid", "feature": "page", "target": "converted"}
    assert found.report.detected == ("target",)
    assert (found.report.rows_read, found.report.duplicates_removed) == (9, 1)
    assert found.report.notices == (
        "1 sessions hold no player",
        "1 players that stand in a session more than once count once",
    )


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "gz"])
def test_frames(tmp_path, kind):
    pairs = pd.DataFrame({"sid": [1, 1, 2], "page": ["a", "b", "a"]})
    told = pd.DataFrame({"sid": [2, 1], "y": [0, 1], "revenue": [0.0, 12.5]})
    if kind == "gz":
        pairs.to_csv(tmp_path / "p.csv.gz", index=False)
        pairs = tmp_path / "p.csv.gz"
    convert = {"polars": pl.from_pandas, "arrow": pa.Table.from_pandas}.get(kind, lambda frame: frame)
    found = load_long(
        pairs if kind == "gz" else convert(pairs),
        session="sid",
        feature="page",
        outcomes=convert(told),
        value="revenue",
    )
    assert found.value.tolist() == [0, 12.5]
    assert (found.value_is_target, found.converted.tolist()) == (True, [0, 1])
    assert found.players == ("b",)
    assert "1 players are in every session and are left out: 'a'" in found.report.notices


def test_outcomes_beside_the_pairs(tmp_path):
    text = "sid,page,y,w\n1,a,1,2\n2,b,0,1\n1,b,1,2\n3,,0,1\n2,a,0,1\n"
    found = long_of(tmp_path, text, None, weight="w")
    assert matrix(found) == [[1, 1], [1, 1], [0, 0]]
    assert found.weight.tolist() == [2, 1, 1]
    assert "1 rows have no feature; their sessions count, without it" in found.report.notices
    found = long_of(tmp_path, text + "2,c,1,1\n1,c,1,3\n4,a,,1\n", None, weight="w", max_rejects=0.5)
    assert found.players == ("a", "b")
    assert found.report.rejected_by_reason == {
        "outcome is not that of an earlier row of the session": 2,
        "target is missing": 1,
    }


def test_no_outcome_at_all(tmp_path):
    found = long_of(tmp_path, PAIRS + ",x\n8,\n", None, max_rejects=0.5)
    assert matrix(found) == [[1, 1], [0, 1], [1, 0]]
    assert (found.converted, found.value, found.value_is_target) == (None, None, False)
    assert found.report.rejected_by_reason == {"session is missing": 1, "feature is missing": 1}
    assert pack_sessions(found).total_s == 0


def test_rows_that_are_rejected(tmp_path):
    pairs = PAIRS + "5,cart\n,cart\n9,\n6,home\n8,cart\n"
    outcomes = OUTCOMES + "6,\n9,1\n,1\n5x,maybe\n6,1\n"
    options = {"max_rejects": 0.9, "rejects": tmp_path / "r.csv"}
    found = long_of(tmp_path, pairs, outcomes, **options)
    assert found.report.rejected_by_reason == {
        "session is missing": 2,
        "target is missing": 1,
        "target is not a flag": 1,
        "feature is missing": 1,
        "session has no outcome": 1,
        "session has an outcome in an earlier row": 1,
    }
    assert matrix(found) == [[1, 0], [1, 1], [0, 1], [0, 1], [1, 0]]
    rejected = pd.read_csv(tmp_path / "r.csv", dtype=str, keep_default_na=False)
    assert rejected[["line", "column", "reason", "value"]].to_numpy().tolist() == [
        ["6", "converted", "target is missing", ""],
        ["7", "sid", "session has an outcome in an earlier row", "9"],
        ["8", "sid", "session is missing", ""],
        ["9", "converted", "target is not a flag", "maybe"],
        ["7", "sid", "session has no outcome", "5"],
        ["8", "sid", "session is missing", ""],
        ["9", "page", "feature is missing", ""],
    ]
    with pytest.raises(TooManyRejectsError, match=r"7 of 19 rows \(36\.84%\) are rejected"):
        long_of(tmp_path, pairs, outcomes)


def test_where_holds_for_the_tables_that_have_the_column(tmp_path):
    outcomes = "sid,converted,market\n9,0,fr\n7,1,de\n007,1,fr\n8,0,fr\n"
    found = long_of(tmp_path, PAIRS, outcomes, where={"market": "fr"})
    assert matrix(found) == [[1, 0], [0, 1], [0, 0]]
    assert (found.report.rows_left_out, found.report.rows_rejected) == (4, 0)
    found = long_of(tmp_path, where={"page": "cart"}, target="converted", players=["cart"])
    assert matrix(found) == [[0], [1], [1], [0]]
    with pytest.raises(RequestError, match=r"column 'land' for --where is not in the input"):
        long_of(tmp_path, where={"land": "fr"})


def test_a_real_target_shows_late(tmp_path):
    pairs = "sid,page\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(3001))
    outcomes = "sid,spent\n" + "".join(f"{i},{i % 2}\n" for i in range(3000)) + "3000,7.5\n"
    found = long_of(tmp_path, pairs, outcomes, target="spent")
    assert (found.value[-1], found.value_is_target, found.converted) == (7.5, True, None)
    assert found.rows == 3001
    assert found.players == ("a", "b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"session": "visit"}, r"column 'visit' for --session in the outcomes is not in the input"),
        ({"feature": "pages"}, r"column 'pages' for --feature is not in the input; did you mean 'page'"),
        ({"session": ""}, r"--session is ''; name the column"),
        ({"feature": "sid"}, r"the column 'sid' is named for both --session and --feature"),
        ({"target": "sid"}, r"the column 'sid' is named for both --session and --target"),
        ({"players": ["hom"]}, r"--player is 'hom', which is in no session; did you mean 'home'"),
        ({"max_rejects": -1}, r"--max-rejects is -1"),
    ],
)
def test_bad_requests(tmp_path, options, message):
    with pytest.raises(RequestError, match=message):
        long_of(tmp_path, **options)


def test_outcomes_that_tell_nothing(tmp_path):
    with pytest.raises(RequestError, match=r"no column of .*outcomes\.csv looks like the target; name the one"):
        long_of(tmp_path, outcomes="sid,length\n9,3\n7,5\n")
    with pytest.raises(DataError, match=r"the target 'converted' has no conversions: it is 0 in all 2 sessions"):
        long_of(tmp_path, outcomes="sid,converted\n9,0\n7,0\n", max_rejects=1)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=8, unique_by=lambda one: one[0]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lists_are_the_pairs(pairs, told):
    told = [("x", True), ("y", False), *told]
    pairs = [("x", "z"), *pairs]
    frame = pa.table({"s": [str(s) for s, _ in pairs], "f": [f for _, f in pairs]})
    outcomes = pa.table({"s": [str(s) for s, _ in told], "y": [y for _, y in told]})
    found = load_long(frame, session="s", feature="f", outcomes=outcomes, max_rejects=1)
    rows = {str(s): row for row, (s, _) in enumerate(told)}
    held = {(rows[str(s)], f) for s, f in pairs if str(s) in rows}
    assert found.rows == len(told)
    assert found.converted.tolist() == [int(y) for _, y in told]
    assert {(row, found.players[p]) for row, line in enumerate(matrix(found)) for p in np.flatnonzero(line)} == held
    lost = sum(str(s) not in rows for s, _ in pairs)
    assert found.report.rows_rejected == lost
    packed = pack_sessions(found)
    again = pack_pairs(
        np.array([row for row, _ in held]), np.array([found.players.index(f) for _, f in held]),
        [int(y) for _, y in told], found.players,
    )  # fmt: skip
    assert (packed.sums == again.sums).all()
    some = np.array([0, 1, 1, 0, len(told) - 1])
    assert pack_sessions(found, some).sums[:, 0].tolist() == np.array(matrix(found))[some].sum(axis=0).tolist()
