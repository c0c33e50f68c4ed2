"""Wide tables of sessions: players, targets, values, weights, users, and what cannot be used."""

import gzip
import sqlite3

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

import touchworth as tw
from touchworth.errors import DataError, RequestError, TooManyRejectsError
from touchworth.sources.encode import xxh64
from touchworth.sources.sessions import append_bits, load_sessions
from touchworth.synergy.bitmaps import pack_columns, pack_sessions

ROWS = {"a": [1, 0, 1, 1], "b": [0, 1, 1, 0], "converted": [1, 0, 1, 0]}


def csv_of(rows=ROWS, delimiter=",", end="\n"):
    lines = [delimiter.join(rows), *(delimiter.join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    return end.join(lines) + end


def sessions_of(tmp_path, text, **options):
    place = tmp_path / "sessions.csv"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_sessions(place, **options)


def matrix(sessions):
    """Rows of 0 and 1, whichever form the sessions have."""
    if sessions.bits is not None:
        assert all(bits.size == -(-sessions.rows // 8) for bits in sessions.bits)
        columns = [np.unpackbits(bits, bitorder="little") for bits in sessions.bits]
        assert not any(column[sessions.rows :].any() for column in columns)
        return np.array([column[: sessions.rows] for column in columns]).T.tolist()
    held = np.zeros((sessions.rows, len(sessions.players)), int)
    held[np.repeat(np.arange(sessions.rows), np.diff(sessions.offsets)), sessions.items] = 1
    return held.tolist()


def check_rows(sessions):
    assert sessions.players == ("a", "b")
    assert sessions.rows == 4
    assert matrix(sessions) == [[1, 0], [0, 1], [1, 1], [1, 0]]
    assert sessions.converted.tolist() == [1, 0, 1, 0]
    assert (sessions.value, sessions.value_is_target, sessions.weight, sessions.user_hash) == (None, False, None, None)
    assert (sessions.offsets, sessions.items) == (None, None)
    assert sessions.report.shape == "sessions"
    assert sessions.report.columns == {"target": "converted"}
    assert sessions.report.rows_read == 4
    assert sessions.report.rows_rejected == 0


FILES = {
    "plain.csv": lambda p: p.write_text(csv_of()),
    "semicolon.csv": lambda p: p.write_text(csv_of(delimiter=";")),
    "tab.tsv": lambda p: p.write_text(csv_of(delimiter="\t")),
    "crlf.csv": lambda p: p.write_bytes(csv_of(end="\r\n").encode()),
    "bom.csv": lambda p: p.write_bytes(b"\xef\xbb\xbf" + csv_of().encode()),
    "open-end.csv": lambda p: p.write_text(csv_of().rstrip("\n")),
    "packed.csv.gz": lambda p: p.write_bytes(gzip.compress(csv_of().encode())),
    "lines.jsonl": lambda p: p.write_text(pd.DataFrame(ROWS).to_json(orient="records", lines=True)),
    "rows.parquet": lambda p: parquet.write_table(pa.table(ROWS), p),
    "bools.parquet": lambda p: parquet.write_table(
        pa.table({name: pa.array(column, pa.int8()).cast(pa.bool_()) for name, column in ROWS.items()}), p
    ),
    "rows.feather": lambda p: feather.write_feather(pa.table(ROWS), p),
    "words.csv": lambda p: p.write_text(
        csv_of(
            {
                "a": ["yes", "No", "YES", " y "],
                "b": ["FALSE", "True", "t", "f"],
                "converted": ["Y", "n", "TRUE", "no"],
            }
        )
    ),
    "decimals.csv": lambda p: p.write_text(csv_of({name: [f"{x}.0" for x in column] for name, column in ROWS.items()})),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file(tmp_path, name):
    FILES[name](tmp_path / name)
    check_rows(tw.read_sessions(tmp_path / name))


def test_databases(tmp_path):
    with duckdb.connect(str(tmp_path / "s.duckdb")) as base:
        base.register("frame", pa.table(ROWS))
        base.execute("CREATE TABLE log AS SELECT * FROM frame")
    check_rows(load_sessions(tmp_path / "s.duckdb", table="log"))
    check_rows(load_sessions(tmp_path / "s.duckdb", query="SELECT * FROM log"))
    with sqlite3.connect(tmp_path / "s.sqlite") as base:
        base.execute("CREATE TABLE log (a, b, converted)")
        base.executemany("INSERT INTO log VALUES (?, ?, ?)", list(zip(*ROWS.values(), strict=True)))
    base.close()
    check_rows(load_sessions(tmp_path / "s.sqlite"))


@pytest.mark.parametrize("kind", [int, float, bool, str, "decimal", "category"])
def test_frames(kind):
    if kind == "decimal":
        check_rows(
            load_sessions(
                pa.table({name: pa.array(c).cast(pa.float64()).cast(pa.decimal128(5, 2)) for name, c in ROWS.items()})
            )
        )
        return
    if kind == "category":
        check_rows(load_sessions(pd.DataFrame(ROWS).astype(str).astype("category")))
        return
    frame = pd.DataFrame({name: [kind(x) for x in column] for name, column in ROWS.items()})
    check_rows(load_sessions(frame))
    check_rows(load_sessions(pl.from_pandas(frame)))
    check_rows(load_sessions(pl.from_pandas(frame).lazy()))
    check_rows(load_sessions(pa.Table.from_pandas(frame)))


def test_several_files_and_a_column_that_one_lacks(tmp_path):
    (tmp_path / "1.csv").write_text("a,b,converted\n1,0,1\n0,1,0\n1,1,1\n")
    (tmp_path / "2.csv").write_text("converted,a\n0,1\n1,\n")
    found = load_sessions(str(tmp_path / "*.csv"))
    assert matrix(found) == [[1, 0], [0, 1], [1, 1], [1, 0], [0, 0]]
    assert found.converted.tolist() == [1, 0, 1, 0, 1]
    assert found.report.blank_flags == 3
    assert "3 blank cells of players are read as no" in found.report.notices
    assert any("has no column 'b'" in notice for notice in found.report.notices)
    (tmp_path / "3.csv").write_text("a,b\n1,0\n")
    with pytest.raises(RequestError, match=r"3\.csv has no column 'converted', which is the target of the other files"):
        load_sessions(str(tmp_path / "*.csv"))


def test_where_leaves_rows_out(tmp_path):
    found = sessions_of(
        tmp_path,
        "a,b,y,market\n1,0,1,fr\n0,1,0,de\n1,1,1,fr\n0,0,1,de\n0,1,0,fr\n",
        where={"market": "fr"},
    )
    assert matrix(found) == [[1, 0], [1, 1], [0, 1]]
    assert found.report.rows_left_out == 2
    assert found.report.columns == {"target": "y"}
    assert "1 columns are no players because they are not binary: 'market' holds 'fr'" in found.report.notices


def test_blank_cells_are_no_and_counted_where_the_row_is_kept(tmp_path):
    found = sessions_of(tmp_path, "a,b,y\n1,,1\n,1,0\n, ,\n1,1,0\n", max_rejects=0.5)
    assert matrix(found) == [[1, 0], [0, 1], [1, 1]]
    assert found.report.blank_flags == 2
    assert found.report.rejected_by_reason == {"target is missing": 1}


# --- players ----------------------------------------------------------------------------------------------------------


def test_players_named(tmp_path):
    text = "a,b,c,converted\n1,0,1,1\n0,1,1,0\n0,0,0,1\n"
    found = sessions_of(tmp_path, text, players=["c", "a"])
    assert found.players == ("c", "a")
    assert found.report.detected == ("target",)
    for players, sentence in (
        (["c", "d"], "column 'd' for --player is not in the input"),
        (["c", "c"], "--player 'c' is named twice"),
        ([], "the list of players is empty"),
        ("abc", "players is 'abc'; give a list of columns"),
    ):
        with pytest.raises(RequestError, match=sentence):
            sessions_of(tmp_path, text, players=players)
    with pytest.raises(RequestError, match=r"the column 'c' is named for both --player and --target"):
        sessions_of(tmp_path, text, players=["c"], target="c")


def test_a_player_that_is_not_binary(tmp_path):
    text = "a,visits,note,converted\n" + "".join(f"{i % 2},{i % 4},{'x' * (i % 3)},{i % 5 == 0:d}\n" for i in range(40))
    found = sessions_of(tmp_path, text)
    assert found.players == ("a",)
    assert found.report.notices == (
        "2 columns are no players because they are not binary: 'visits' holds '2', 'note' holds 'x'",
    )
    with pytest.raises(
        RequestError,
        match=r"the player 'visits' is not binary: 20 of 40 rows hold other than 0 and 1, such as '2', '3'$",
    ):
        sessions_of(tmp_path, text, players=["a", "visits"])
    with pytest.raises(RequestError, match=r"the player 'note' is not binary: 26 of 40 rows .* such as 'x', 'xx'"):
        sessions_of(tmp_path, text, players=["note"])
    with pytest.raises(
        RequestError,
        match=r"no column of .* besides 'converted' holds only 0 and 1 .*: 'visits' holds '2'; players must",
    ):
        sessions_of(tmp_path, "visits,converted\n2,1\n0,0\n")


def test_what_shows_only_after_the_examples(tmp_path):
    rows = [f"{i % 2},{i % 3 == 0:d},{i % 7 == 0:d},0\n" for i in range(5000)]
    text = "a,b,converted,late\n" + "".join(rows)
    found = sessions_of(tmp_path, text + "1,0,1,3\n1,1,0,1\n")
    assert found.players == ("a", "b")
    assert "1 columns are no players because they are not binary: 'late' holds '3'" in found.report.notices
    assert found.rows == 5002
    with pytest.raises(RequestError, match=r"the player 'late' is not binary: 1 of 5,001 rows hold .* such as '3'"):
        sessions_of(tmp_path, text + "1,0,1,3\n", players=["a", "late"])
    with pytest.raises(RequestError, match=r"'converted' has the name of a target, but holds 12\.5 beside 0 and 1"):
        sessions_of(tmp_path, text + "1,0,12.5,1\n")
    found = sessions_of(tmp_path, text + "1,0,12.5,1\n", target="converted", players=["a", "b"])
    assert (found.converted, found.value_is_target, found.value[-1]) == (None, True, 12.5)
    assert "the target 'converted' holds 12.5 beside 0 and 1: its numbers are the target" in found.report.notices


def test_a_cell_that_is_no_flag_rejects_its_row(tmp_path):
    text = "a,b,y\n" + "1,0,1\n0,1,0\n" * 100 + "maybe,1,1\n1,nan,0\n1,?,\n"
    found = sessions_of(tmp_path, text, max_rejects=0.02, rejects=tmp_path / "r.csv")
    assert found.rows == 200
    assert matrix(found) == [[1, 0], [0, 1]] * 100
    assert found.report.rejected_by_reason == {"a player is not a flag": 2, "target is missing": 1}
    rejected = pd.read_csv(tmp_path / "r.csv", dtype=str, keep_default_na=False)
    assert rejected[["line", "column", "reason", "value", "raw"]].to_numpy().tolist() == [
        ["202", "a", "a player is not a flag", "maybe", "maybe,1,1"],
        ["203", "b", "a player is not a flag", "nan", "1,nan,0"],
        ["204", "y", "target is missing", "", "1,?,"],
    ]
    with pytest.raises(TooManyRejectsError, match=r"3 of 203 rows \(1\.48%\) are rejected \(2 a player is not a flag"):
        sessions_of(tmp_path, text)
    frame = pd.read_csv(tmp_path / "sessions.csv", dtype=str, keep_default_na=False)
    load_sessions(frame, max_rejects=0.02, rejects=tmp_path / "f.csv")
    assert pd.read_csv(tmp_path / "f.csv")[["line", "column"]].to_numpy().tolist() == [
        [201, "a"],
        [202, "b"],
        [203, "y"],
    ]


def test_nan_of_a_frame():
    frame = {"a": [1.0, 0.0, float("nan"), 1.0], "b": [0, 1, 1, None], "y": [1, 0, 1, 0]}
    found = load_sessions(pl.DataFrame(frame), max_rejects=0.25)
    assert matrix(found) == [[1, 0], [0, 1], [1, 0]]
    assert found.report.rejected_by_reason == {"a player is not a flag": 1}
    # In pandas NaN is how a blank is written.
    assert load_sessions(pd.DataFrame(frame)).report.blank_flags == 2
    with pytest.raises(RequestError, match=r"the player 'a' is not binary: 1 of 4 rows hold .* such as 'nan'"):
        load_sessions(pl.DataFrame(frame), players=["a", "b"])


def test_players_that_are_the_same_everywhere(tmp_path):
    found = sessions_of(tmp_path, "a,never,always,blank,y\n1,0,1,,1\n0,0,1,,0\n")
    assert found.players == ("a",)
    assert found.report.notices == (
        "2 players are in no session and are left out: 'never', 'blank'",
        "1 players are in every session and are left out: 'always'",
        "2 blank cells of players are read as no",
    )
    with pytest.raises(DataError, match=r"no player is left: 'never', 'always' are the same in all 2 sessions"):
        sessions_of(tmp_path, "never,always,y\n0,1,1\n0,1,0\n")


def test_a_name_twice(tmp_path):
    with pytest.raises(DataError, match=r"has the column 'a' more than once"):
        sessions_of(tmp_path, "a,a,y\n1,0,1\n")


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["converted", "Conversion", "purchase", "Purchased", "revenue", "target", "y", "label"]
)
def test_targets_are_detected_by_name(tmp_path, name):
    found = sessions_of(tmp_path, f"a,b,{name}\n1,0,1\n0,1,0\n")
    assert found.report.columns == {"target": name}
    assert found.report.detected == ("target", "players")
    assert found.converted.tolist() == [1, 0]


def test_no_target_or_two(tmp_path):
    with pytest.raises(
        RequestError,
        match=r"looks like the target; name the one that tells who converted with --target "
        r"\(the columns of 0 and 1 are 'a', 'won'\)$",
    ):
        sessions_of(tmp_path, "a,won,revenue\n1,0,12\n0,1,0\n")
    with pytest.raises(RequestError, match=r"the target could be any of the columns 'conversion', 'label'; say which"):
        sessions_of(tmp_path, "a,conversion,label\n1,0,1\n0,1,0\n")
    assert sessions_of(tmp_path, "a,converted,label\n1,0,1\n0,1,0\n").report.columns == {"target": "converted"}
    with pytest.raises(RequestError, match=r"column 'cvr' for --target is not in the input"):
        sessions_of(tmp_path, csv_of(), target="cvr")


@pytest.mark.parametrize(("cell", "what"), [("0", "no"), ("1", "only")])
def test_a_target_that_never_varies(tmp_path, cell, what):
    with pytest.raises(
        DataError,
        match=f"the target 'y' has {what} conversions: it is {cell} in all 2 sessions; both 0 and 1 must occur",
    ):
        sessions_of(tmp_path, f"a,y\n1,{cell}\n0,{cell}\n")
    with pytest.raises(DataError, match=r"'y' is 3 in all 2 sessions; a target must vary"):
        sessions_of(tmp_path, "a,y\n1,3\n0,3\n", target="y")


def test_a_real_target(tmp_path):
    text = "a,b,basket,converted\n1,0,12.5,1\n0,1,0,0\n1,1,-3,1\n"
    found = sessions_of(tmp_path, text, target="basket")
    assert found.players == ("a", "b", "converted")
    assert (found.value.tolist(), found.value_is_target, found.converted) == ([12.5, 0, -3], True, None)
    bad = text + "1,1,,0\n1,0,nan,0\n0,1,inf,1\n0,1,many,1\n"
    found = sessions_of(tmp_path, bad, target="basket", max_rejects=0.9)
    assert found.rows == 3
    assert found.report.rejected_by_reason == {"target is not a number": 3, "target is missing": 1}
    with pytest.raises(RequestError, match=r"the target 'who' holds 'ann', 'bob'; it must hold 0 and 1"):
        sessions_of(tmp_path, "a,who\n1,ann\n0,bob\n", target="who")


def test_a_flag_that_is_none_in_the_target(tmp_path):
    text = "a,b,y\n1,0,1\n0,1,0\n1,1,maybe\n0,0,\n"
    found = sessions_of(tmp_path, text, target="y", max_rejects=0.5)
    assert found.report.rejected_by_reason == {"target is missing": 1, "target is not a flag": 1}
    assert found.converted.tolist() == [1, 0]


def test_values_as_the_target(tmp_path):
    text = "a,b,converted,revenue\n1,0,1,12.5\n0,1,0,\n1,1,1,-3\n0,0,0,1\n"
    found = sessions_of(tmp_path, text, value="revenue")
    assert (found.converted.tolist(), found.value.tolist(), found.value_is_target) == (
        [1, 0, 1, 0],
        [12.5, 0, -3, 1],
        True,
    )
    assert found.players == ("a", "b")
    assert found.report.columns == {"target": "converted", "value": "revenue"}
    found = sessions_of(tmp_path, text + "1,1,1,\n1,1,0,x\n", value="revenue", max_rejects=0.5)
    assert found.report.rejected_by_reason == {"value is not a number": 1, "value is missing": 1}
    alone = sessions_of(tmp_path, "a,revenue\n1,12.5\n0,0\n", value="revenue")
    assert (alone.converted, alone.value.tolist(), alone.value_is_target) == (None, [12.5, 0], True)


def test_order_values(tmp_path):
    text = "a,b,converted,revenue\n1,0,1,12.5\n0,1,0,\n1,1,1,-3\n0,0,0,1\n0,1,0,x\n"
    found = sessions_of(tmp_path, text, order_value="revenue")
    assert (found.value.tolist(), found.value_is_target) == ([12.5, 0, -3, 0, 0], False)
    assert found.converted.tolist() == [1, 0, 1, 0, 0]
    assert found.report.values_without_conversion == 2
    assert "1 negative values (refunds) are kept" in found.report.notices
    for options, sentence in (
        ({"value": "revenue", "order_value": "revenue"}, "--value and --order-value are both given"),
        ({"order_value": "revenue", "target": "revenue"}, "'revenue' is named for both --target and --order-value"),
        ({"order_value": "a", "target": "revenue"}, "the target 'revenue' is a number, not 0 or 1; with --order-value"),
        ({"order_value": "revenue", "target": ""}, "--order-value needs a target"),
    ):
        with pytest.raises(RequestError, match=sentence):
            sessions_of(tmp_path, text, **options)


def test_weights_and_users(tmp_path):
    text = "a,b,y,n,who\n1,0,1,3,007\n0,1,0,0.5,7\n1,1,1,0,007 \n"
    found = sessions_of(tmp_path, text, weight="n", user="who")
    assert found.weight.tolist() == [3, 0.5, 0]
    hashes = [int(xxh64(np.frombuffer(text, np.uint8), 0, len(text))) for text in (b"007", b"7", b"007")]
    assert found.user_hash.tolist() == hashes
    bad = text + "1,0,1,-1,x\n1,0,1,nan,x\n1,0,1,,x\n1,0,1,2,\n"
    found = sessions_of(tmp_path, bad, weight="n", user="who", max_rejects=0.9)
    assert found.report.rejected_by_reason == {
        "weight is not a number": 2,
        "user is missing": 1,
        "weight is negative": 1,
    }
    with pytest.raises(DataError, match=r"the weight 'n' is 0 in all 2 sessions; at least one must count"):
        sessions_of(tmp_path, "a,y,n\n1,0,0\n0,1,0\n", weight="n")
    with pytest.raises(DataError, match=r"the target 'y' has no conversions: it is 0 in all 2 sessions"):
        sessions_of(tmp_path, "a,y,n\n1,0,1\n0,0,2\n1,1,0\n", weight="n")


def test_users_of_events_have_the_same_hash(tmp_path):
    (tmp_path / "e.csv").write_text(
        "user,time,channel,conversion\n Größe ,2026-01-02,x,0\n8408675104.1548,2026-01-02,x,1\n"
    )
    events = tw.read_events(tmp_path / "e.csv")
    found = sessions_of(tmp_path, "a,y,user\n1,0,Größe\n0,1,8408675104.1548\n", user="user")
    assert found.user_hash.tolist() == events.users.hash.tolist()


def test_nothing_to_use(tmp_path):
    with pytest.raises(DataError, match=r"none of the 2 rows can be used: all are rejected or left out"):
        sessions_of(tmp_path, "a,y,m\n1,0,1\n0,1,1\n", where={"m": "2"}, players=["a"])
    with pytest.raises(DataError, match=r"has a header and no rows"):
        sessions_of(tmp_path, "a,y\n")
    with pytest.raises(DataError, match=r"none of the 0 rows can be used"):
        load_sessions(pa.table({"a": pa.array([], pa.int8()), "y": pa.array([], pa.int8())}), target="y")


def test_bad_options(tmp_path):
    with pytest.raises(RequestError, match=r"--max-rejects is 2; it must be a share"):
        sessions_of(tmp_path, csv_of(), max_rejects=2)


# --- bits -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(deadline=None)  # the first call compiles
def test_bits_are_joined_at_any_seam(chunks, seed):
    rng = np.random.default_rng(seed)
    total = sum(rows for rows, _ in chunks)
    out = np.zeros(-(-total // 8) + 1, np.uint8)
    expected, at = [], 0
    for rows, some in chunks:
        flags, keep = rng.random(rows) < 0.5, rng.random(rows) < 0.7
        kept = np.packbits(keep, bitorder="little") if some else np.empty(0, np.uint8)
        at = append_bits(np.packbits(flags, bitorder="little"), rows, kept, out, at)
        expected += flags[keep].tolist() if some else flags.tolist()
        if some and rows == 0:
            break
    assert at == len(expected)
    assert np.unpackbits(out, bitorder="little")[:at].tolist() == [int(flag) for flag in expected]
    assert not np.unpackbits(out, bitorder="little")[at:].any()


CELL = st.sampled_from(["0", "1", "yes", "no", "", "True"])
FLAG = {"0": 0, "1": 1, "yes": 1, "no": 0, "": 0, "True": 1}


@given(
    st.lists(st.tuples(CELL, CELL, st.sampled_from(["0", "1", "", "x"]), st.sampled_from(["", "1", "2", "-1", "0"])),
             min_size=1, max_size=40),
    st.data(),
)  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bits_are_the_matrix_and_packed_counts_those_of_numpy(tmp_path, rows, data):
    fixed = [("1", "0", "1", "1"), ("0", "1", "0", "2")]
    rows = [*fixed, *rows]
    text = "a,b,y,w\n" + "".join(",".join(row) + "\n" for row in rows)
    found = sessions_of(tmp_path, text, weight="w", target="y", max_rejects=1)
    kept = [row for row in rows if row[2] in "01" and row[2] and row[3] in "012" and row[3]]
    held = np.array([[FLAG[a], FLAG[b]] for a, b, _, _ in kept], np.uint8)
    y, weight = np.array([int(row[2]) for row in kept]), np.array([float(row[3]) for row in kept])
    assert matrix(found) == held.tolist()
    assert found.converted.tolist() == y.tolist()
    assert found.report.rows_read == len(rows) == found.rows + found.report.rows_rejected
    some = np.array(data.draw(st.lists(st.integers(0, len(kept) - 1), min_size=1, max_size=50)), np.int64)
    for chosen in (None, np.append([0, 1], some)):
        pick = slice(None) if chosen is None else chosen
        same_packing(pack_sessions(found, chosen), pack_columns(held[pick], y[pick], ["a", "b"], weight[pick]))


def same_packing(found, expected):
    if expected.bitmaps is None:
        assert found.lists.tolist() == expected.lists.tolist()
        assert found.list_starts.tolist() == expected.list_starts.tolist()
    else:
        assert (found.bitmaps == expected.bitmaps).all()
    assert (found.sums == expected.sums).all()
    for name in ("players", "rows", "largest_weight", "total_n", "total_s", "total_q", "binary"):
        assert getattr(found, name) == getattr(expected, name), name
    for name in ("bounds", "n_scale", "s_scale", "values"):
        assert getattr(found.layout, name).tolist() == getattr(expected.layout, name).tolist(), name
    assert found.layout.value_words == expected.layout.value_words


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 512, 1000])
@pytest.mark.parametrize("y", ["binary", "real", "none"])
def test_packing_of_bits_equals_packing_of_columns(rows, y):
    rng = np.random.default_rng(rows)
    held = (rng.random((rows, 3)) < 0.4).astype(np.uint8)
    target = {"binary": rng.integers(0, 2, rows), "real": rng.normal(size=rows).round(2), "none": np.zeros(rows)}[y]
    sessions = tw.Sessions(
        players=("a", "b", "c"), rows=rows, bits=tuple(np.packbits(column, bitorder="little") for column in held.T),
        offsets=None, items=None, converted=target.astype(np.uint8) if y == "binary" else None,
        value=target if y == "real" else None, value_is_target=y == "real", weight=None, user_hash=None, report=None,
    )  # fmt: skip
    same_packing(pack_sessions(sessions), pack_columns(held, target, "abc"))
    some = rng.integers(0, rows, 77)
    same_packing(pack_sessions(sessions, some), pack_columns(held[some], target[some], "abc"))


def test_real_sessions(shared):
    place = shared / "data" / "online_shoppers_sessions.csv"
    found = tw.read_sessions(place)
    frame = pd.read_csv(place)
    y = frame.pop("converted").to_numpy()
    assert found.players == tuple(frame.columns)
    assert len(found.players) == 13
    same_packing(pack_sessions(found), pack_columns(frame.to_numpy(), y, list(frame.columns)))
    raw = tw.read_sessions(shared / "data" / "online_shoppers_intention.csv", value="PageValues")
    assert (raw.players, raw.report.columns) == (("Weekend",), {"target": "Revenue", "value": "PageValues"})
    assert raw.converted.tolist() == y.tolist()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_batches_of_any_length_are_joined(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("touchworth.sources.sessions.CELLS_A_BATCH", 1)
    monkeypatch.setattr("touchworth.sources.sessions.FEWEST_ROWS", 1003)
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.integers(0, 2, (7001, 4)), columns=["a", "b", "c", "y"])
    frame.loc[[5, 2050, 6999], "y"] = 7
    place = tmp_path / f"many.{kind}"
    if kind == "csv":
        frame.astype(str).replace({"y": {"7": ""}}).to_csv(place, index=False)
    else:
        frame.astype("Int8").replace({"y": {7: pd.NA}}).to_parquet(place)
    found = load_sessions(place)
    kept = frame[frame["y"] < 7]
    assert found.report.rejected_by_reason == {"target is missing": 3}
    assert matrix(found) == kept[["a", "b", "c"]].to_numpy().tolist()
    assert found.converted.tolist() == kept["y"].tolist()


def test_a_column_that_looks_like_the_user_is_pointed_at(tmp_path):
    text = "a,id,customer_id,y\n1,5,7,1\n0,6,7,0\n"
    notice = (
        "the column 'customer_id' looks like the user; --user customer_id makes errors that respect repeated visits"
    )
    assert notice in sessions_of(tmp_path, text).report.notices
    assert notice not in sessions_of(tmp_path, text, user="customer_id").report.notices
    assert len(sessions_of(tmp_path, "a,id,y\n1,5,1\n0,6,0\n").report.notices) == 1
