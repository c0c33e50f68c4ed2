"""Path tables: roles, delimiters, repeated paths and rows that cannot be used."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from touchworth.errors import DataError, RequestError, TooManyRejectsError
from touchworth.sources.columns import detect_shape
from touchworth.sources.paths import load_paths


def paths_of(tmp_path, text, **options):
    place = tmp_path / "paths.csv"
    place.write_text(text, encoding="utf-8")
    return load_paths(place, **options)


def spelled(table):
    names = [table.channels[code] for code in table.channel]
    return [names[a:b] for a, b in pairwise(table.offsets)]


def test_a_table(tmp_path):
    table = paths_of(tmp_path, "path,conversions,value,nulls\nb > a > b,1.5,10,2\na,0,0,3\n")
    assert spelled(table) == [["b", "a", "b"], ["a"]]
    assert table.channels == ("a", "b")
    assert (table.conversions.tolist(), table.value.tolist(), table.nulls.tolist()) == ([1.5, 0], [10, 0], [2, 3])
    assert table.row.tolist() == [0, 1]
    assert (table.delimiter, table.has_value, table.has_nulls) == (" > ", True, True)
    assert table.report.notices == ()


def test_optional_columns(tmp_path):
    table = paths_of(tmp_path, "path,conversions\na > b,1\nb,0\n")
    assert (table.has_value, table.has_nulls, table.report.rows_without_outcome) == (False, False, 1)
    assert table.nulls.tolist() == table.value.tolist() == [0]
    assert table.channels == ("a", "b")
    with pytest.raises(RequestError, match=r"no column of .* looks like the conversions; name it with --conversions"):
        paths_of(tmp_path, "path,x\na > b,1\n")
    with pytest.raises(RequestError, match=r"column 'pfad' for --path is not in the input"):
        paths_of(tmp_path, "path,conversions\na > b,1\n", path="pfad")


@pytest.mark.parametrize(
    ("text", "delimiter", "cells"),
    [
        ("a > b", " > ", ["a", "b"]),
        ("a>b", ">", ["a", "b"]),
        ("a->b", "->", ["a", "b"]),
        ("a -> b", " -> ", ["a", "b"]),
        ("a|b", "|", ["a", "b"]),
        ("a → b", " → ", ["a", "b"]),
        ('"a,b"', ",", ["a", "b"]),
        ('"Paid, Search > b"', " > ", ["Paid, Search", "b"]),
        ("alone", " > ", ["alone"]),
    ],
)
def test_delimiters_are_detected(tmp_path, text, delimiter, cells):
    table = paths_of(tmp_path, f"path,conversions\n{text},1\n")
    assert spelled(table) == [cells]
    assert table.delimiter == delimiter
    expected = f"the touches of a path are taken to be separated by {delimiter!r}; --delimiter says else"
    assert (expected in table.report.notices) == (delimiter != " > ")


def test_a_channel_that_contains_the_delimiter(tmp_path):
    table = paths_of(tmp_path, "path,conversions\na>b > c,1\n")
    assert spelled(table) == [["a>b", "c"]]
    assert table.report.notices == (
        "the channel 'a>b' contains '>', but not as the delimiter ' > ': it is read as one name",
    )
    assert spelled(paths_of(tmp_path, "path,conversions\na>b > c,1\n", delimiter=">")) == [["a", "b", "c"]]
    with pytest.raises(RequestError, match=r"--delimiter is ' '; it must hold more than blanks"):
        paths_of(tmp_path, "path,conversions\na b,1\n", delimiter=" ")


def test_repeated_paths(tmp_path):
    text = "path,conversions,value\na > b,1,2\nb,1,1\na>b,0,0\n a >  b ,3,4\n"
    with pytest.raises(
        DataError,
        match=r"^1 rows repeat the path of an earlier row \('a > b' in rows 1, 4\); add them up with --duplicates sum",
    ):
        paths_of(tmp_path, text)
    table = paths_of(tmp_path, text, duplicates="sum")
    assert (table.conversions.tolist(), table.value.tolist(), table.row.tolist()) == ([4, 1], [6, 1], [0, 1])
    assert "1 rows repeat the path of an earlier row and are added to it" in table.report.notices
    with pytest.raises(RequestError, match=r"--duplicates is 'max'; it must be one of 'error', 'sum'"):
        paths_of(tmp_path, text, duplicates="max")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",1,1,1", "path is missing"),
        ("a > > b,1,1,1", "a channel of the path is empty"),
        ("a > ,1,1,1", "a channel of the path is empty"),
        ("x,nan,1,1", "conversions is not a number"),
        ("x,many,1,1", "conversions is not a number"),
        ("x,-1,1,1", "conversions is negative"),
        ("x,1,1,inf", "nulls is not a number"),
        ("x,1,1,-1", "nulls is negative"),
        ("x,1,?,1", "value is not a number"),
        ("x,1,1", "wrong number of cells"),
    ],
)
def test_rows_that_are_rejected(tmp_path, row, reason):
    text = f"path,conversions,value,nulls\na > b,1,-1,1\n\n{row}\n"
    with pytest.raises(TooManyRejectsError, match=rf"1 of 2 rows \(50\.00%\) are rejected \(1 {reason}\)"):
        paths_of(tmp_path, text)
    table = paths_of(tmp_path, text, max_rejects=0.5, rejects=tmp_path / "r.parquet")
    assert spelled(table) == [["a", "b"]]
    assert table.channels == ("a", "b")
    found = parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert [(one["line"], one["reason"], one["raw"]) for one in found] == [(4, reason, row)]
    assert "1 negative values (refunds) are kept" in table.report.notices


ROW = st.tuples(
    st.lists(st.sampled_from(["a", "b", "Größe", " c "]), max_size=3),
    st.sampled_from(["0", "1", "2.5", "", "x", "-1"]),
    st.sampled_from(["0", "3", "", "nan"]),
)


@given(st.lists(ROW, min_size=1, max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_is_lost(tmp_path, rows):
    text = "path,conversions,nulls\n" + "".join(f"{' > '.join(path)},{c},{n}\n" for path, c, n in rows)
    table = paths_of(tmp_path, text, duplicates="sum", max_rejects=1)
    expected = {}
    rejected = without = 0
    for path, c, n in rows:
        if not path or c in ("x", "-1") or n == "nan":
            rejected += 1
        elif float(c or 0) + float(n or 0) == 0:
            without += 1
        else:
            key = tuple(name.strip() for name in path)
            before = expected.get(key, (0, 0))
            expected[key] = (before[0] + float(c or 0), before[1] + float(n or 0))
    found = {tuple(path): pair for path, *pair in zip(spelled(table), table.conversions, table.nulls, strict=True)}
    assert found == {key: list(pair) for key, pair in expected.items()}
    assert (table.report.rows_rejected, table.report.rows_without_outcome) == (rejected, without)
    assert table.report.rows_read == len(rows)
    assert list(table.channels) == sorted({name for key in expected for name in key})


def test_frames_and_where():
    frame = pa.table({"path": ["a > b", "b"], "total_conversions": [1, 2], "market": ["fr", "de"]})
    table = load_paths(frame, where={"market": "de"})
    assert spelled(table) == [["b"]]
    assert table.report.rows_left_out == 1
    coded = frame.set_column(0, "path", frame.column(0).dictionary_encode())
    assert spelled(load_paths(coded)) == [["a", "b"], ["b"]]


def test_reference_table(shared):
    table = load_paths(shared / "data" / "channelattribution_paths.csv", duplicates="sum")
    assert table.row.size == 5408
    assert np.diff(table.offsets).max() == 89
    assert table.conversions.sum() == 19_785
    assert table.nulls.sum() == 68_602
    assert table.value.sum() == pytest.approx(74_802.97, abs=0.01)
    with pytest.raises(DataError, match="4,592 rows repeat the path of an earlier row"):
        load_paths(shared / "data" / "channelattribution_paths.csv")


def test_shapes(tmp_path):
    events = pa.table({"user_id": ["a"], "time": ["2026-01-02"], "channel": ["x"]})
    paths = pa.table({"path": ["a > b"], "total_conversions": [1]})
    betrayed = pa.table({"route": ["a > b"], "conversions": [1]})
    assert detect_shape(events) == "events"
    assert detect_shape(paths) == "paths"
    assert detect_shape(betrayed) == "paths"
    assert load_paths(betrayed).report.columns["path"] == "route"
    assert detect_shape(events, conversions_source=paths) == "touches"
    assert detect_shape(events, shape="paths") == "paths"
    assert detect_shape(paths, user="path") == "events"
    with pytest.raises(RequestError, match=r"--shape is 'x'; it must be one of 'events', 'touches', 'paths'"):
        detect_shape(events, shape="x")
    with pytest.raises(RequestError, match=r"fit neither events \(user, time, channel\) nor paths"):
        detect_shape(pa.table({"x": [1]}))
