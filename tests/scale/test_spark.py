"""Spark: what only it has - its frames, its files, its workers and their faults."""

import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

import touchworth as tw
from tests.scale.engines import check_same_results, check_same_table, country, events_table
from tests.sources.dirty import dirty_file, mixture
from touchworth.cli.main import run
from touchworth.errors import DataError, RequestError, TooManyRejectsError
from touchworth.journeys.overview import merge_overviews, overview
from touchworth.journeys.partitioned import PartitionedJourneys

FEW = ("linear", "markov", "shapley")


def test_frames_of_spark_need_no_engine(spark):
    log = events_table(3_000, 300, country=country)
    frame = spark.createDataFrame(log)
    journeys = tw.read_events(frame)
    assert isinstance(journeys, PartitionedJourneys)
    assert journeys.report.sources == ("pyspark DataFrame",)
    held = tw.read_events(log)
    found = tw.attribute(journeys, ["linear"]).table.sort_by("channel")
    assert (
        found["touches"].to_pylist() == tw.attribute(held, ["linear"]).table.sort_by("channel")["touches"].to_pylist()
    )
    with journeys:
        assert tw.validate(frame).table.num_rows == tw.validate(log).table.num_rows


def test_conversions_apart_and_a_column_whose_name_has_a_dot(spark):
    log = events_table(3_000, 300)
    sales = log.filter(pa.compute.equal(log["conversion"], 1)).select(["user_id", "time", "value"])
    touches = log.select(["user_id", "time", "channel"]).rename_columns(["user.id", "time", "channel"])
    frames = {
        "local": (touches, sales),
        "spark": (spark.createDataFrame(touches), spark.createDataFrame(sales)),
    }
    found = {
        engine: tw.read_events(one, user="user.id", conversions_source=other) for engine, (one, other) in frames.items()
    }
    one, other = (tw.attribute(journeys, list(FEW)) for journeys in found.values())
    assert one.table["conversions"].to_pylist() == pytest.approx(other.table["conversions"].to_pylist(), rel=1e-9)
    assert one.summary["later_conversions"] == other.summary["later_conversions"]
    assert one.summary["columns"] == other.summary["columns"]


def test_bad_rows_of_text_are_counted_as_on_one_machine(spark, tmp_path):
    content, _ = dirty_file([kind for kind in mixture(6_000, 40) if not kind.startswith("two lines")])
    place = tmp_path / "a.csv"
    place.write_bytes(content)
    found = {engine: tw.read_events(place, engine=engine) for engine in ("local", "spark")}
    assert found["local"].report.rows_rejected == 40
    assert found["local"].report == found["spark"].report
    check_same_results(found.__getitem__, tuple(found), FEW)
    with pytest.raises(TooManyRejectsError) as local:
        tw.read_events(place, max_rejects=0.001)
    with pytest.raises(TooManyRejectsError) as there:
        tw.read_events(place, max_rejects=0.001, engine="spark")
    assert str(local.value) == str(there.value)


def test_a_glob_of_files_with_their_headers(spark, tmp_path):
    for part in range(3):
        csv.write_csv(events_table(500, 100, seed=part), tmp_path / f"{part}.csv")
    check_same_results(lambda engine: tw.read_events(str(tmp_path / "*.csv"), engine=engine), ("local", "spark"), FEW)


def test_a_worker_that_dies_is_replaced_and_nothing_changes(spark, tmp_path):
    journeys = tw.read_events(spark.createDataFrame(events_table(3_000, 300)))
    died, driver = tmp_path / "died", os.getpid()

    def dies_once(part):
        if os.getpid() != driver and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return overview(part)

    ((found, _),) = journeys.partitions.fold([journeys.frame], [dies_once], merge_overviews)
    ((sound, _),) = journeys.partitions.fold([journeys.frame], [overview], merge_overviews)
    assert died.exists()
    assert found.accounting == sound.accounting
    assert found.touches.tolist() == sound.touches.tolist()


def test_what_fails_there_is_one_sentence(spark, tmp_path):
    place = tmp_path / "events.parquet"
    parquet.write_table(events_table(50_000, 1_000), place, compression="zstd", row_group_size=10_000)
    data = bytearray(place.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    place.write_bytes(data)
    with pytest.raises(DataError, match=r"events\.parquet cannot be read") as error:
        tw.read_events(place, engine="spark")
    assert "\n" not in str(error.value)
    log = events_table(100, 10)
    for options, sentence in (
        ({"rejects": tmp_path / "r.csv"}, "--rejects is not for Spark; it has no lines to name"),
        ({"deduplicate": True}, "--deduplicate is not for Spark; drop duplicates there"),
        ({"user": "who"}, "column 'who' for --user is not in the input"),
    ):
        with pytest.raises(RequestError, match=sentence):
            tw.read_events(spark.createDataFrame(log), **options)
    with pytest.raises(RequestError, match="reads files and Spark data frames; the source is a pyarrow Table"):
        tw.read_events(log, engine="spark")


def test_the_command_line_starts_spark_and_leaves_nothing(spark, tmp_path):
    parquet.write_table(events_table(2_000, 200), tmp_path / "events.parquet")
    outputs = {}
    for engine in ("local", "spark"):
        outputs[engine] = tmp_path / f"{engine}.csv"
        asked = ["--engine", engine, "--model", "first_touch", "-o", str(outputs[engine]), "--temp", str(tmp_path)]
        command = [sys.executable, "-m", "touchworth", "attribute", str(tmp_path / "events.parquet"), *asked]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert outputs["local"].read_text() == outputs["spark"].read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.parquet", "local.csv", "spark.csv"]


@pytest.mark.parametrize("read", [tw.read_events, tw.read_sessions])
def test_without_its_packages_one_sentence_says_so(monkeypatch, read):
    monkeypatch.setattr("touchworth.journeys.spark.find_spec", lambda name: None)
    # Where the package is installed, it shall not be found either.
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(
        RequestError, match=r"needs the package pyspark; install it with pip install 'touchworth\[spark\]'"
    ):
        read(events_table(10, 2), engine="spark")


def test_without_java_one_sentence_says_so(tmp_path, spark):
    parquet.write_table(events_table(20, 2), tmp_path / "events.parquet")
    env = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "PATH")}
    command = [sys.executable, "-m", "touchworth", "attribute", tmp_path / "events.parquet", "--engine", "spark"]
    env |= {"PATH": "/nowhere:/bin" if not os.path.exists("/bin/java") else "/nowhere"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 2
    assert done.stderr.startswith("touchworth: --engine spark: Spark does not start (")
    assert done.stderr.count("\n") == 1


def test_wide_sessions(spark, tmp_path):
    draw = np.random.default_rng(3)
    rows = 6_000
    held = draw.random((rows, 5)) < [0.5, 0.3, 0.2, 0.1, 0.0]
    table = pa.table(
        {f"p.{i}": held[:, i].astype(int) for i in range(5)}
        | {
            "always": ["yes"] * rows,
            "converted": (draw.random(rows) < 0.1 + 0.2 * held[:, 0]).astype(int),
            "revenue": np.round(draw.exponential(9, rows), 2),
            "user": draw.integers(0, 900, rows),
        }
    )
    parquet.write_table(table, tmp_path / "s.parquet")
    csv.write_csv(table, tmp_path / "s.csv")
    for source, options in (
        ("s.parquet", {"order_value": "revenue", "user": "user"}),
        ("s.csv", {"value": "revenue"}),
    ):
        place, asked = tmp_path / source, {"target": "converted"} | options
        sessions = tw.read_sessions(place, **asked)
        there = tw.read_sessions(place, engine="spark", **asked)
        assert there.players == sessions.players
        assert there.report.rows_read == rows
        one, other = (tw.synergies(game, min_support=0.005) for game in (sessions, there))
        check_same_table(one.table, other.table, ("coalition",))
        assert sorted(sessions.report.notices) == sorted(there.report.notices)
    with pytest.raises(RequestError, match="the shape is long"):
        tw.read_sessions(tmp_path / "s.csv", engine="spark", session="user", feature="always", target="converted")
    with pytest.raises(RequestError, match="--engine for sessions is 'abacus'"):
        tw.read_sessions(tmp_path / "s.csv", engine="abacus", target="converted")
    assert run(["synergy", str(tmp_path / "s.csv"), "--target", "converted", "--engine", "spark", "-o",
                str(tmp_path / "out.csv")]) == 0  # fmt: skip
    assert (tmp_path / "out.csv").read_text().startswith("coalition,size,support")
