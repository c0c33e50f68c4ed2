"""Events from every kind of source and with every oddity that real files have shown."""

import gzip
import io
import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from tests.sources.dirty import BLANK_LINE, KINDS, dirty_file, mixture
from touchworth.errors import DataError, RequestError, TooManyRejectsError
from touchworth.sources.encode import xxh64
from touchworth.sources.events import load_events
from touchworth.sources.tables import open_tables

DAY = 86_400_000_000
JAN_2 = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 10**6
ROWS = {
    "user_id": ["007", "b", "007", "b"],
    "time": ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-05T00:00:00Z"],
    "channel": ["Email", "Ads", "Ads", "Email"],
    "conversion": [0, 0, 1, 0],
    "value": [0.0, 0.0, 2.5, 0.0],
}


def csv_of(rows=ROWS, delimiter=",", end="\n"):
    lines = [delimiter.join(rows), *(delimiter.join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    return (end.join(lines) + end).encode()


def write(place: Path, content: bytes) -> Path:
    place.write_bytes(content)
    return place


def through_partitions(source, **options):
    """Events that went through one partition on disk: the same rows in the same order as those that are held."""
    found = load_events(source, partitions=1, **options)
    with closing(found):
        return found.events(0)


LOADERS = {"memory": load_events, "partitions": through_partitions}


@pytest.fixture(params=LOADERS)
def load(request):
    return LOADERS[request.param]


def events_of(tmp_path, text, load=load_events, **options):
    content = text if isinstance(text, bytes) else text.encode()
    return load(write(tmp_path / "events.csv", content), **options)


def check_rows(events):
    assert events.user.tolist() == [0, 1, 0, 1]
    assert events.user_ids.to_pylist() == ["007", "b"]
    assert events.time.tolist() == [JAN_2, JAN_2 + DAY, JAN_2 + 2 * DAY, JAN_2 + 3 * DAY]
    assert events.channels == ("Ads", "Email")
    assert events.channel.tolist() == [1, 0, 0, 1]
    assert events.converts.tolist() == [0, 0, 1, 0]
    assert events.value.tolist() == [0, 0, 2.5, 0]
    assert (events.sequence, events.cost, events.by) == (None, None, None)
    assert events.report.rows_read == 4
    assert events.report.rows_rejected == 0


def sqlite_file(place: Path) -> Path:
    with sqlite3.connect(place) as base:
        base.execute("CREATE TABLE log (user_id, time, channel, conversion INTEGER, value REAL)")
        base.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", list(zip(*ROWS.values(), strict=True)))
    base.close()
    return place


def duckdb_file(place: Path) -> Path:
    with duckdb.connect(str(place)) as base:
        base.register("frame", pa.table(ROWS))
        base.execute("CREATE TABLE log AS SELECT * FROM frame")
    return place


def arrow_stream(place: Path) -> Path:
    table = pa.table(ROWS)
    with pa.OSFile(str(place), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return place


def json_lines() -> bytes:
    return "".join(
        json.dumps(dict(zip(ROWS, row, strict=True))) + "\n" for row in zip(*ROWS.values(), strict=True)
    ).encode()


def json_array() -> bytes:
    return json.dumps([dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]).encode()


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


FILES = {
    "csv": lambda d: write(d / "a.csv", csv_of()),
    "tsv": lambda d: write(d / "a.tsv", csv_of(delimiter="\t")),
    "semicolon": lambda d: write(d / "a.csv", csv_of(delimiter=";")),
    "crlf": lambda d: write(d / "a.csv", csv_of(end="\r\n")),
    "crlf without end": lambda d: write(d / "a.csv", csv_of(end="\r\n").rstrip()),
    "bom": lambda d: write(d / "a.csv", b"\xef\xbb\xbf" + csv_of()),
    "no final newline": lambda d: write(d / "a.csv", csv_of().rstrip()),
    "separator line": lambda d: write(d / "a.csv", b"sep=;\r\n" + csv_of(delimiter=";", end="\r\n")),
    "blank lines": lambda d: write(d / "a.csv", b"\n\n" + csv_of().replace(b"\n", b"\n\n")),
    "mixed line ends": lambda d: write(d / "a.csv", csv_of().replace(b"0.0\n", b"0.0\r\n", 1)),
    "gz": lambda d: write(d / "a.csv.gz", gzip.compress(csv_of())),
    "zst": lambda d: write(d / "a.csv.zst", zstd(csv_of())),
    "no extension": lambda d: write(d / "a", csv_of()),
    "jsonl": lambda d: write(d / "a.jsonl", json_lines()),
    "jsonl.gz": lambda d: write(d / "a.jsonl.gz", gzip.compress(json_lines())),
    "json without extension": lambda d: write(d / "a", json_lines()),
    "json array": lambda d: write(d / "a.json", json_array()),
    "parquet": lambda d: parquet.write_table(pa.table(ROWS), d / "a.parquet") or d / "a.parquet",
    "feather": lambda d: feather.write_feather(pa.table(ROWS), d / "a.feather") or d / "a.feather",
    "arrow stream": lambda d: arrow_stream(d / "a.arrow"),
    "sqlite": lambda d: sqlite_file(d / "a.db"),
    "duckdb": lambda d: duckdb_file(d / "a.duckdb"),
}
FRAMES = {
    "pandas": lambda: pd.DataFrame(ROWS),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars lazy": lambda: pl.DataFrame(ROWS).lazy(),
    "pyarrow table": lambda: pa.table(ROWS),
    "pyarrow batch": lambda: pa.RecordBatch.from_pydict(ROWS),
    "pyarrow reader": lambda: pa.table(ROWS).to_reader(),
    "capsule": lambda: SimpleNamespace(__arrow_c_stream__=pa.table(ROWS).__arrow_c_stream__),
    "ibis-like": lambda: SimpleNamespace(to_pyarrow=lambda: pa.table(ROWS)),
    "spark-like": lambda: SimpleNamespace(toArrow=lambda: pa.table(ROWS)),
    "dictionary": lambda: pa.table(ROWS).set_column(2, "channel", pa.array(ROWS["channel"]).dictionary_encode()),
    "categorical": lambda: pl.DataFrame(ROWS).with_columns(pl.col("user_id").cast(pl.Categorical)),
    "string view": lambda: pa.table(ROWS).set_column(0, "user_id", pa.array(ROWS["user_id"], pa.string_view())),
}


@pytest.mark.parametrize("kind", FILES)
def test_files(kind, tmp_path, load):
    check_rows(load(FILES[kind](tmp_path)))


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind, load):
    check_rows(load(FRAMES[kind]()))


def test_standard_input_leaves_no_file(tmp_path, monkeypatch):
    for content in (csv_of(), gzip.compress(csv_of()), json_lines()):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        check_rows(load_events("-", temp=tmp_path))
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(DataError, match=r"^- is empty; it must have a header and rows$"):
        load_events("-", temp=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_hashes_are_those_of_the_ids():
    events = load_events(pa.table(ROWS))
    expected = [int(xxh64(np.frombuffer(text.encode(), np.uint8).copy(), 0, len(text))) for text in ("007", "b")]
    assert events.user_hash.tolist() == expected


def test_globs_keep_the_order_of_names(tmp_path, load):
    write(tmp_path / "b.csv", b"user_id,time,channel,conversion\nz,2026-01-03,Ads,1\n")
    write(tmp_path / "a.csv", b"user_id,time,channel,conversion,cost\ny,2026-01-02,Email,0,1.5\n")
    events = load(str(tmp_path / "*.csv"))
    assert events.user_ids.to_pylist() == ["y", "z"]
    assert events.cost.tolist() == [1.5, 0]
    assert f"{tmp_path / 'b.csv'} has no column 'cost'; its rows are read as blank there" in events.report.notices
    with pytest.raises(DataError, match=r"no file matches .*\*\.tsv"):
        load(str(tmp_path / "*.tsv"))
    write(tmp_path / "c.csv", b"time,channel\n2026-01-02,Email\n")
    with pytest.raises(RequestError, match=r"c\.csv has no column 'user_id', which is the user of the other files"):
        load(str(tmp_path / "*.csv"), user="user_id")


def test_databases_with_several_tables(tmp_path):
    place = duckdb_file(tmp_path / "a.duckdb")
    with duckdb.connect(str(place)) as base:
        base.execute("CREATE TABLE other (x INTEGER)")
    lite = sqlite_file(tmp_path / "a.sqlite")
    with sqlite3.connect(lite) as lite_base:
        lite_base.execute("CREATE TABLE other (x)")
    lite_base.close()
    for file in (place, lite):
        with pytest.raises(
            RequestError, match=r"has 2 tables \('log', 'other'\); name one with --table, or give --query"
        ):
            load_events(file)
        check_rows(load_events(file, table="log"))
        assert load_events(file, query="SELECT * FROM log WHERE channel = 'Ads'").user.size == 2
        with pytest.raises(RequestError, match=r"the table of .* is 'logs'; it must be one of 'log', 'other'"):
            load_events(file, table="logs")
        with pytest.raises(RequestError, match="--query cannot be run on"):
            load_events(file, query="SELECT * FROM nothing")
    with pytest.raises(RequestError, match=r"for DuckDB and SQLite files; .* is text"):
        load_events(write(tmp_path / "a.csv", csv_of()), table="log")


# --- times ----------------------------------------------------------------------------------------


def times_of(tmp_path, *times, **options):
    rows = "".join(f'u,"{time}",Email,1\n' for time in times)
    return events_of(tmp_path, "user_id,time,channel,conversion\n" + rows, **options).time.tolist()


def micros(*parts, zone=UTC):
    moment = datetime(*parts, tzinfo=zone)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


MOMENT = micros(2018, 7, 22, 20, 40, 41)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2018-07-22T20:40:41Z", MOMENT),
        ("2018-07-22 20:40:41", MOMENT),
        ("  2018-07-22 20:40:41 ", MOMENT),
        ("2018-07-22T20:40:41.123456+02:00", MOMENT - 7200 * 10**6 + 123456),
        ("2018-07-22", micros(2018, 7, 22)),
        ("2018-07-22 5:03", micros(2018, 7, 22, 5, 3)),
        ("2018-07-22 5:03:04", micros(2018, 7, 22, 5, 3, 4)),
        ("2018/07/22 20:40:41", MOMENT),
        ("7/22/2018", micros(2018, 7, 22)),
        ("7/22/2018 5:03", micros(2018, 7, 22, 5, 3)),
        ("7/22/2018 20:40:41", MOMENT),
        ("7/22/2018 8:40:41 PM", MOMENT),
        ("07/22/18", micros(2018, 7, 22)),
        ("07/22/18 20:40:41", MOMENT),
        ("22.07.2018 20:40:41", MOMENT),
        ("22-07-2018", micros(2018, 7, 22)),
        ("20180722", micros(2018, 7, 22)),
        ("1532292041", MOMENT),
        ("1532292041.123456", MOMENT + 123456),
        ("1532292041000", MOMENT),
        ("1532292041000000", MOMENT),
        ("1532292041000000000", MOMENT),
    ],
)
def test_written_times(tmp_path, written, expected):
    assert times_of(tmp_path, written) == [expected]


@pytest.mark.parametrize(("order", "day", "month"), [("dmy", 3, 4), ("mdy", 4, 3)])
def test_day_and_month_that_could_be_either(tmp_path, order, day, month):
    with pytest.raises(
        RequestError,
        match=r"'3/4/2018' in column 'time' can be day/month or month/day.*--date-order dmy or --date-order mdy",
    ):
        times_of(tmp_path, "3/4/2018", "5/6/2018")
    assert times_of(tmp_path, "3/4/2018", date_order=order) == [micros(2018, month, day)]
    proof = "13/4/2018" if order == "dmy" else "4/13/2018"
    assert times_of(tmp_path, "3/4/2018", proof)[0] == micros(2018, month, day)
    with pytest.raises(
        DataError, match=r"1 times that can only be day/month and 1 that can only be month/day; .*--date-order"
    ):
        times_of(tmp_path, "13/4/2018", "4/13/2018")
    with pytest.raises(RequestError, match=r"--date-order is 'ymd'; it must be one of 'dmy', 'mdy'"):
        times_of(tmp_path, "3/4/2018", date_order="ymd")


def test_order_is_proved_by_rows_after_the_examples(tmp_path):
    assert times_of(tmp_path, *["3/4/2018"] * 2500, "25/4/2018")[0] == micros(2018, 4, 3)


def test_naive_times_take_the_zone(tmp_path):
    zone = timezone(timedelta(hours=-4))
    assert times_of(tmp_path, "2018-07-22 20:40:41", "2018-07-22T20:40:41Z", timezone="America/New_York") == [
        micros(2018, 7, 22, 20, 40, 41, zone=zone),
        MOMENT,
    ]
    assert times_of(tmp_path, "7/22/2018 20:40", timezone="America/New_York") == [
        micros(2018, 7, 22, 20, 40, zone=zone)
    ]
    with pytest.raises(RequestError, match=r"--timezone is 'Mars'; it must be a zone such as UTC or Europe/Berlin"):
        times_of(tmp_path, "2018-07-22", timezone="Mars")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_typed_times(unit, zone):
    moments = pa.array([datetime(2018, 7, 22, 20, 40, 41)], pa.timestamp(unit)).cast(pa.timestamp(unit, zone))
    frame = pa.table({"user": ["a"], "time": moments, "channel": ["x"], "conversion": [True]})
    events = load_events(frame)
    assert events.time.tolist() == [MOMENT]
    shifted = load_events(frame, timezone="America/New_York").time.tolist()
    assert shifted == [MOMENT if zone else MOMENT + 4 * 3600 * 10**6]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([date(2018, 7, 22)]), micros(2018, 7, 22)),
        (pa.array([1532292041], pa.int64()), MOMENT),
        (pa.array([1532292041], pa.uint32()), MOMENT),
        (pa.array([1532292041.5]), MOMENT + 500_000),
        (pa.array([1532292041000]), MOMENT),
        (pa.array([1532292041000000]), MOMENT),
        (pa.array([1532292041000000000]), MOMENT),
        (pa.array(["2018-07-22T20:40:41Z"]).dictionary_encode(), MOMENT),
    ],
)
def test_typed_epochs(times, expected):
    frame = pa.table({"user": ["a"], "time": times, "channel": ["x"], "conversion": [1.0]})
    assert load_events(frame).time.tolist() == [expected]


def test_epochs_of_two_units_are_not_mixed(tmp_path):
    with pytest.raises(TooManyRejectsError, match="1 time is outside the years 1970 to 2200"):
        times_of(tmp_path, "1532292041000", "1532292042000", "1532292041")


def test_no_times_at_all(tmp_path):
    with pytest.raises(DataError, match=r"the time column 'time' holds no times, such as 'soon'; .*--time"):
        times_of(tmp_path, "soon", time="time")
    frame = pa.table({"user": ["a"], "when": [[1]], "channel": ["x"]})
    with pytest.raises(
        RequestError, match=r"the time column 'when' has the type .*; it must hold times, texts or numbers"
    ):
        load_events(frame, time="when")


# --- flags, numbers, ids, channels ----------------------------------------------------------------


def test_flags(tmp_path):
    yes, no = ["1", "Yes", "TRUE", "true", "t", "Y", "1.0", " yes "], ["0", "No", "FALSE", "false", "f", "n", "0.0", ""]
    rows = "".join(f"u,2026-01-02,Email,{flag}\n" for flag in yes + no)
    events = events_of(tmp_path, "user,time,channel,converted\n" + rows)
    assert events.converts.tolist() == [1] * len(yes) + [0] * len(no)
    assert events.report.blank_flags == 1


@pytest.mark.parametrize("flag", ["0.5", "2", "maybe", "-1"])
def test_other_flags_reject(tmp_path, flag):
    text = f"user,time,channel,conversion\nu,2026-01-02,Email,{flag}\nu,2026-01-02,Email,1\n"
    events = events_of(tmp_path, text, max_rejects=0.5)
    assert events.report.rejected_by_reason == {"conversion is not a flag": 1}


def test_typed_flags_and_values():
    frame = {"user": list("abcd"), "time": [date(2026, 1, 2)] * 4, "channel": ["x"] * 4}
    events = load_events(pa.table(frame | {"conversion": [True, None, False, True], "value": [1.0, None, None, -2.0]}))
    assert events.converts.tolist() == [1, 0, 0, 1]
    assert events.value.tolist() == [1, 0, 0, -2]
    assert events.report.blank_flags == 1
    assert "1 negative values (refunds) are kept" in events.report.notices
    events = load_events(
        pa.table(frame | {"conversion": [1.0, 0.5, 0.0, None], "cost": [1, 2, 3, None]}), max_rejects=0.3
    )
    assert events.report.rejected_by_reason == {"conversion is not a flag": 1}
    assert events.cost.tolist() == [1, 3, 0]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("nan,0,0", "value is not a number"),
        ("-inf,0,0", "value is not a number"),
        ("1 EUR,0,0", "value is not a number"),
        ("1,x,0", "cost is not a number"),
        ("1,inf,0", "cost is not a number"),
        ("1,-2,0", "cost is negative"),
        ("1,0,first", "sequence is not a number"),
        ("1,0,", "sequence is not a number"),
    ],
)
def test_numbers_that_reject(tmp_path, cell, reason):
    text = (
        f"user,time,channel,conversion,value,cost,sequence\nu,2026-01-02,Email,1,{cell}\nu,2026-01-02,Email,1,1e1,2,3\n"
    )
    events = events_of(tmp_path, text, max_rejects=0.5)
    assert events.report.rejected_by_reason == {reason: 1}
    assert (events.value.tolist(), events.cost.tolist(), events.sequence.tolist()) == ([10], [2], [3])


def test_ids_stay_text(tmp_path, load):
    ids = ["007", "7", "8408675104.1548099038", "2.81772E+18"]
    events = events_of(tmp_path, "user,time,channel\n" + "".join(f"{one},2026-01-02,a\n" for one in ids), load)
    assert events.user_ids.to_pylist() == ids
    assert any("1 user ids such as '2.81772E+18' were rounded by a spreadsheet" in one for one in events.report.notices)
    assert "no column says which rows convert: none does; name one with --conversion" in events.report.notices


@pytest.mark.parametrize("ids", [pa.array([7, 12, 7]), pa.array([7.0, 12.0, 7.0]), pa.array([7, 12, 7], pa.uint64())])
def test_numbers_as_ids_take_their_decimal_form(ids):
    events = load_events(pa.table({"user": ids, "time": [date(2026, 1, 2)] * 3, "channel": [3, 4, 3]}))
    assert events.user_ids.to_pylist() == ["7", "12"]
    assert events.channels == ("3", "4")


def test_channels(tmp_path):
    text = "user,time,channel,conversion\nu,2026-01-02,,0\nu,2026-01-02,,1\nu,2026-01-02,-,0\nu,2026-01-02,(none),0\n"
    text += "u,2026-01-02,(not set),0\nu,2026-01-02,Zürich,0\nu,2026-01-02, Ads ,0\n"
    with pytest.raises(
        TooManyRejectsError,
        match=r"^1 of 7 rows \(14\.29%\) are rejected \(1 channel is missing\), more than --max-rejects 0\.01 allows; "
        r"--rejects FILE lists them$",
    ):
        events_of(tmp_path, text)
    events = events_of(tmp_path, text, max_rejects=0.2)
    assert events.channels == ("(none)", "(not set)", "-", "Ads", "Zürich")
    assert events.channel.tolist() == [-1, 2, 0, 1, 4, 3]
    assert events.report.conversions_without_channel == 1
    named = events_of(tmp_path, text, missing_channel="direct")
    assert named.channels[named.channel[0]] == named.channels[named.channel[1]] == "direct"
    assert named.report.conversions_without_channel == 0


def test_missing_user_or_time_reject_conversions_too(tmp_path):
    text = "user,time,channel,conversion\n,2026-01-02,a,1\nu,,a,1\nu,2026-01-02,a,1\n"
    events = events_of(tmp_path, text, max_rejects=1)
    assert events.report.rejected_by_reason == {"user is missing": 1, "time is missing": 1}
    assert events.user_ids.to_pylist() == ["u"]


def test_values_without_conversion_are_counted(tmp_path):
    events = events_of(tmp_path, "user,time,channel,conversion,value\nu,2026-01-02,a,0,5\nu,2026-01-02,a,1,\n")
    assert events.value.tolist() == [0, 0]
    assert events.report.values_without_conversion == 1


def test_rejected_rows_leave_no_user_or_channel(tmp_path, load):
    text = "user,time,channel\na,soon,only-here\nb,2026-01-02,x\na,2026-01-03,x\n"
    events = events_of(tmp_path, text, load, max_rejects=1)
    assert events.user_ids.to_pylist() == ["b", "a"]
    assert events.user.tolist() == [0, 1]
    assert events.channels == ("x",)


def test_deduplicate(tmp_path, load):
    rows = [
        "a,2026-01-02,x,0,1",
        "a,2026-01-02,x,0,2",
        "a,2026-01-02,x,0,1",
        "b,2026-01-02,x,1,1",
        "a,2026-01-02,x,0,1",
    ]
    text = "user,time,channel,conversion,other\n" + "\n".join(rows)
    assert events_of(tmp_path, text, load).user.size == 5
    events = events_of(tmp_path, text, load, deduplicate=True)
    assert (events.user.size, events.report.duplicates_removed, events.report.rows_read) == (3, 2, 5)


def test_where(tmp_path, load):
    text = "user,time,channel,device,size\na,2026-01-02,x,phone,1\nb,2026-01-02,y,desk,2\nc,2026-01-02,x,,2\n"
    events = events_of(tmp_path, text, load, where={"device": "phone"})
    assert events.user_ids.to_pylist() == ["a"]
    assert (events.report.rows_left_out, events.channels) == (2, ("x",))
    frame = pa.table(
        {
            "user": ["a", "b"],
            "time": [date(2026, 1, 2)] * 2,
            "channel": ["x", "y"],
            "size": [1, 2],
            "new": [True, False],
        }
    )
    assert load(frame, where={"size": "2"}).user_ids.to_pylist() == ["b"]
    assert load(frame, where={"new": "TRUE"}).user_ids.to_pylist() == ["a"]
    with pytest.raises(RequestError, match=r"--where size=big: the column 'size' holds numbers"):
        load(frame, where={"size": "big"})
    with pytest.raises(RequestError, match=r"column 'devise' for --where is not in the input; did you mean 'device'"):
        events_of(tmp_path, text, load, where={"devise": "phone"})


def test_by(tmp_path, load):
    events = events_of(
        tmp_path,
        "user,time,channel,country\na,2026-01-02,x,fr\nb,2026-01-02,x,\nc,2026-01-02,x,de\n",
        by="country",
        load=load,
    )
    assert events.by_values == ("(blank)", "de", "fr")
    assert events.by.tolist() == [2, 0, 1]


def test_touches_and_conversions_apart(tmp_path, load):
    touches = write(tmp_path / "t.csv", b"user,time,channel,cost\nc-1,2026-01-02,Email,1\n2,2026-01-02,Ads,2\n")
    sales = write(
        tmp_path / "s.csv", b"customer_id,order_date,revenue\n1,2026-01-03,9.5\nc-2,2026-01-04,\n3,2026-01-05,1\n"
    )
    events = load(touches, conversions_source=sales, strip_prefix="c-")
    assert events.report.shape == "touches"
    assert events.user_ids.to_pylist() == ["1", "2", "3"]
    assert events.user.tolist() == [0, 1, 0, 1, 2]
    assert events.channel.tolist() == [1, 0, -1, -1, -1]
    assert events.converts.tolist() == [0, 0, 1, 1, 1]
    assert events.value.tolist() == [0, 0, 9.5, 0, 1]
    assert events.cost.tolist() == [1, 2, 0, 0, 0]
    assert events.report.columns["conversion_user"] == "customer_id"
    assert events.report.conversions_without_channel == 0
    with pytest.raises(RequestError, match=r"column 'who' for --conversion-user is not in the input"):
        load(touches, conversions_source=sales, conversion_user="who")


# --- rejects --------------------------------------------------------------------------------------


def rejects_of(place):
    return parquet.read_table(place).to_pylist()


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_fault_is_found_on_its_line(tmp_path, load, line_end, packed):
    content, expected = dirty_file([*KINDS, BLANK_LINE, *reversed(KINDS)], line_end)
    place = write(tmp_path / ("a.csv.gz" if packed else "a.csv"), gzip.compress(content) if packed else content)
    events = load(place, max_rejects=1, rejects=tmp_path / "r.parquet")
    found = rejects_of(tmp_path / "r.parquet")
    assert [(row["line"], row["reason"]) for row in found] == expected
    assert events.report.rows_read == 2 * len(KINDS)
    assert events.report.rows_rejected == len(expected)
    assert events.user.size == events.report.rows_read - len(expected)
    lines = content.decode("utf-8", "replace").split("\n")
    for row in found:
        assert row["file"] == str(place)
        assert lines[row["line"] - 1].rstrip("\r") == row["raw"].split("\n")[0].rstrip("\r")
    faults = {row["reason"]: row for row in found}
    assert faults["conversion is not a flag"]["column"] == "conversion"
    assert faults["conversion is not a flag"]["value"] == "0.5"
    assert faults["value is not a number"]["value"] in ("1,5", "inf")


@pytest.mark.parametrize("suffix", ["csv", "json", "jsonl", "parquet"])
def test_rejects_are_written_also_when_too_many_end_the_run(tmp_path, suffix):
    place, out = (
        write(tmp_path / "a.csv", b"user,time,channel\na,2026-01-02,x\n,2026-01-02,x\n"),
        tmp_path / f"r.{suffix}",
    )
    with pytest.raises(
        TooManyRejectsError, match=r"1 of 2 rows \(50\.00%\) are rejected \(1 user is missing\).*they are in '"
    ):
        load_events(place, rejects=out)
    assert out.stat().st_size > 0
    with pytest.raises(RequestError, match="exists; give --force to replace it"):
        load_events(place, rejects=out)
    before = out.read_bytes()
    load_events(place, rejects=out, force=True, max_rejects=0.5)
    assert out.read_bytes() == before
    if suffix == "csv":
        assert (
            out.read_text() == f'file,line,column,reason,value,raw\n{place},3,user,user is missing,,",2026-01-02,x"\n'
        )
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.csv", f"r.{suffix}"]


def test_exactly_one_percent_passes(tmp_path):
    rows = "a,2026-01-02,x\n" * 99 + ",2026-01-02,x\n"
    assert events_of(tmp_path, "user,time,channel\n" + rows).report.rows_rejected == 1
    with pytest.raises(TooManyRejectsError):
        events_of(tmp_path, "user,time,channel\n" + rows.removeprefix("a,2026-01-02,x\n"))
    with pytest.raises(RequestError, match=r"--max-rejects is 2; it must be a share from 0 to 1"):
        events_of(tmp_path, "user,time,channel\n" + rows, max_rejects=2)


def test_rejects_of_json_lines(tmp_path):
    lines = [
        b'{"user": "a", "time": "2026-01-02", "channel": "x", "conversion": true}',
        b'{"user": "a", "time": ',
        b"",
        b'["a"]',
        b'{"user": 7, "time": 1767312000, "channel": null, "conversion": false}',
        b'{"user": "\xff", "time": "2026-01-02", "channel": "x"}',
        b'{"user": "a/b~", "time": "2026-01-03", "channel": "x", "a/b": 1}',
    ]
    place = write(tmp_path / "a.jsonl", b"\n".join(lines))
    events = load_events(place, max_rejects=1, rejects=tmp_path / "r.parquet")
    assert events.report.rows_read == 6
    assert [(row["line"], row["reason"]) for row in rejects_of(tmp_path / "r.parquet")] == [
        (2, "line is not a JSON object"),
        (4, "line is not a JSON object"),
        (5, "time is not a time"),
        (6, "text is not UTF-8"),
    ]
    assert events.user_ids.to_pylist() == ["a", "a/b~"]
    assert events.converts.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["parquet", "frame", "sqlite"])
def test_rejects_without_lines_name_the_row(tmp_path, kind):
    frame = pa.table({"user": ["a", None, "b"], "time": ["2026-01-02", "2026-01-02", "x"], "channel": ["c", "c", "c"]})
    source = frame
    if kind == "parquet":
        parquet.write_table(frame, tmp_path / "a.parquet")
        source = tmp_path / "a.parquet"
    if kind == "sqlite":
        with sqlite3.connect(tmp_path / "a.db") as base:
            base.execute("CREATE TABLE t (user, time, channel)")
            base.executemany("INSERT INTO t VALUES (?, ?, ?)", [tuple(row.values()) for row in frame.to_pylist()])
        base.close()
        source = tmp_path / "a.db"
    load_events(source, max_rejects=1, rejects=tmp_path / "r.parquet")
    found = rejects_of(tmp_path / "r.parquet")
    assert [(row["line"], row["reason"], row["value"]) for row in found] == [
        (2, "user is missing", ""),
        (3, "time is not a time", "x"),
    ]
    assert json.loads(found[1]["raw"]) == {"user": "b", "time": "x", "channel": "c"}


@given(
    st.lists(st.sampled_from([*KINDS, BLANK_LINE]), min_size=1, max_size=40).filter(
        lambda kinds: set(kinds) != {BLANK_LINE}
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_is_lost(tmp_path, load, kinds, line_end, last, deduplicate):
    content, expected = dirty_file(kinds, line_end, last)
    events = None
    options = {"user": "user_id", "time": "time", "channel": "channel", "conversion": "conversion", "value": "value"}
    try:
        events = load(
            write(tmp_path / "a.csv", content), max_rejects=1, rejects=tmp_path / "r.parquet", force=True,
            deduplicate=deduplicate, where={"channel": "Email"} if len(kinds) % 3 == 0 else None, **options,
        )  # fmt: skip
    except DataError as error:
        assert "holds no times" in str(error)  # noqa: PT017
        return
    report = events.report
    assert report.rows_read == len(kinds) - kinds.count(BLANK_LINE)
    assert (
        report.rows_read == events.user.size + report.rows_rejected + report.duplicates_removed + report.rows_left_out
    )
    assert sum(report.rejected_by_reason.values()) == report.rows_rejected == len(rejects_of(tmp_path / "r.parquet"))
    assert set(events.user.tolist()) == set(range(len(events.user_ids)))
    assert set(events.channel[events.channel >= 0].tolist()) == set(range(len(events.channels)))
    if not deduplicate and len(kinds) % 3:
        assert [(row["line"], row["reason"]) for row in rejects_of(tmp_path / "r.parquet")] == expected


def test_a_large_dirty_file(tmp_path, load):
    kinds = mixture(60_000, 300)
    content, expected = dirty_file(kinds)
    place = write(tmp_path / "a.csv", content)
    events = load(place, rejects=tmp_path / "r.parquet", threads=2)
    assert [(row["line"], row["reason"]) for row in rejects_of(tmp_path / "r.parquet")] == expected
    assert events.user.size == 59_700
    assert events.converts.sum() == sum(
        kinds.count(kind) for kind in ("conversion", "conversion without channel", "refund")
    )


def test_order_is_kept_over_many_batches(tmp_path, load):
    n = 300_000
    frame = pa.table(
        {"user": [str(i % 1000) for i in range(n)], "time": np.arange(n) + 1_500_000_000, "channel": ["x"] * n}
    )
    parquet.write_table(frame, tmp_path / "a.parquet", row_group_size=10_000)
    for source in (frame, tmp_path / "a.parquet"):
        events = load(source, threads=2)
        assert (np.diff(events.time) == 10**6).all()
        assert (events.user == np.arange(n) % 1000).all()


def test_spreadsheet_limit(tmp_path):
    rows = b"a,2026-01-02,x\n" * (2**20 - 1)
    events = events_of(tmp_path, b"user,time,channel\n" + rows)
    assert any("exactly 1,048,575 rows, as many as a spreadsheet holds" in notice for notice in events.report.notices)


# --- files that are refused -----------------------------------------------------------------------

REFUSED = {
    "empty": ("a.csv", b"", "a.csv is empty; it must have a header and rows"),
    "blank": ("a.csv", b"\n\n", "a.csv is empty; it must have a header and rows"),
    "header only": ("a.csv", b"user,time,channel\n", "a.csv has a header and no rows"),
    "doubled header": (
        "a.csv",
        b"user,time,channel,user\na,b,c,d\n",
        "has the column 'user' more than once; rename one of them",
    ),
    "corrupt parquet": (
        "a.parquet",
        b"PAR1" + b"x" * 50,
        "is named as a Parquet file but cannot be read: it is damaged",
    ),
    "text as parquet": ("a.parquet", b"user,time\n", "is named as a Parquet file but is not one"),
    "parquet as text": (
        "a.csv",
        b"PAR1" + b"x" * 50,
        "is named as text but holds a Parquet file; give it the right extension",
    ),
    "corrupt arrow": ("a.arrow", b"ARROW1" + b"x" * 50, "is named as an Arrow file but cannot be read: it is damaged"),
    "spreadsheet": ("a.xlsx", b"PK\x03\x04xxxx", "is a spreadsheet or zip archive; save it as CSV first"),
    "utf-16": ("a.csv", "user,time\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "binary": ("a.bin", b"\x01\x00\x02\x00", "is neither text nor a format that can be read"),
    "broken gzip": ("a.csv.gz", gzip.compress(csv_of())[:40], "is damaged: it cannot be uncompressed"),
    "broken sqlite": ("a.db", b"SQLite format 3\x00" + b"x" * 100, "cannot be read as an SQLite database"),
    "old mac": ("a.csv", b"user,time,channel\ra,b,c\r", "ends its lines with a carriage return alone"),
    "json of numbers": ("a.json", b"[1, 2]", "is a JSON array of other things than objects"),
    "no json": ("a.jsonl", b"user,time\na,b\n", "holds no JSON object"),
    "latin-1 header": ("a.csv", "user,zeit,käse\n1,2,3\n".encode("latin-1"), "the header of .* is not UTF-8"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_files(kind, tmp_path):
    name, content, sentence = REFUSED[kind]
    with pytest.raises(DataError, match=sentence) as caught:
        load_events(write(tmp_path / name, content))
    assert "\n" not in str(caught.value)


def test_refused_places(tmp_path):
    write(tmp_path / "events.csv", csv_of())
    with pytest.raises(DataError, match=r"is a folder; name its files, such as .*\*\.csv"):
        load_events(tmp_path)
    with pytest.raises(DataError, match=r"there is no file .*; did you mean 'events\.csv'\?"):
        load_events(tmp_path / "event.csv")
    with pytest.raises(RequestError, match=r"the source is a builtins int; give a file name, a frame"):
        load_events(7)
    with pytest.raises(RequestError, match=r"column 'usr_id' for --user is not in the input; did you mean 'user_id'"):
        load_events(tmp_path / "events.csv", user="usr_id")
    with pytest.raises(RequestError, match="table and query are for DuckDB and SQLite files; the source is a frame"):
        load_events(pa.table(ROWS), table="x")
    with pytest.raises(DataError, match=r"the pandas DataFrame cannot be read as columns of one type each"):
        load_events(pd.DataFrame(ROWS).assign(user_id=pd.Series(["a", 1, 2, 3], dtype=object)))
    with pytest.raises(DataError, match=r"the frame has the column 'time' more than once"):
        load_events(pd.concat([pd.DataFrame(ROWS), pd.DataFrame(ROWS)[["time"]]], axis=1))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [("threads", "--threads is '0'; it must be a whole number from 1"), ("memory", "--memory is '0'")],
)
def test_refused_limits(option, sentence):
    with pytest.raises(RequestError, match=sentence):
        load_events(pa.table(ROWS), **{option: 0})


def test_reference_log(shared):
    place = shared / "data" / "kaggle_format_events.csv"
    events = load_events(place)
    assert (events.user.size, int(events.converts.sum()), events.report.rows_rejected) == (62_483, 1838, 0)
    events = load_events(shared / "data" / "datacamp_marketing.csv", deduplicate=True)
    assert events.report.duplicates_removed == 37
    assert events.report.columns["time"] == "date_served"


def test_duckdb_draws_no_progress_bar_into_standard_output(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user,time,channel\nu,2026-01-01,c\n")
    with open_tables(str(path)) as tables:
        assert tables.con.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (False,)
