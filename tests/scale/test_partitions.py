"""Out of core: journeys in partitions on disk give what journeys in memory give, inside the memory, leaving nothing."""

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

import touchworth as tw
from tests.logs import logs, table_of
from tests.scale.engines import check_same_results, country, events_table
from tests.sources.dirty import dirty_file, mixture
from touchworth import output
from touchworth.errors import DataError, RequestError
from touchworth.journeys.partitioned import PartitionedJourneys
from touchworth.sources import memory, partitions
from touchworth.sources.events import load_events

ENGINES = ("local", "partitions")


@given(logs(), st.sampled_from([1, 2, 7]))
@settings(max_examples=25, deadline=None)
def test_any_log_gives_the_same_in_any_number_of_partitions(rows, number):
    table = table_of(rows)
    roles = {"user": "user_id", "time": "time", "channel": "channel", "conversion": "conversion", "value": "value"}
    held = load_events(table, **roles)
    parted = load_events(table, partitions=number, **roles)
    with closing(parted):
        parts = list(parted)

    def lines(events):
        ids = events.user_ids.to_pylist()
        return [
            (ids[u], *rest)
            for u, *rest in zip(
                events.user.tolist(), events.time.tolist(), events.channel.tolist(), events.converts.tolist(),
                events.value.tolist(), strict=True,
            )
        ]  # fmt: skip

    assert sorted(line for part in parts for line in lines(part)) == sorted(lines(held))
    assert {part.channels for part in parts} == {held.channels}
    users = [user for part in parts for user in part.user_ids.to_pylist()]
    assert sorted(users) == sorted(held.user_ids.to_pylist())
    assert parted.ends == (held.time.max(),)


def test_users_with_equal_hashes_stay_two(monkeypatch):
    monkeypatch.setattr(partitions, "partition_of", lambda hashes, number: np.zeros(hashes.size, np.int64))
    table = pa.table({"user": ["a", "b", "a"], "time": [1.7e9] * 3, "channel": ["x", "y", "z"]})
    parted = load_events(table, partitions=3)
    with closing(parted):
        assert [part.user.tolist() for part in parted] == [[0, 1, 0], [], []]


@pytest.mark.parametrize("deduplicate", [False, True])
def test_bad_rows_are_counted_and_written_alike(tmp_path, deduplicate):
    content, expected = dirty_file(mixture(20_000, 150))
    place = tmp_path / "a.csv"
    place.write_bytes(content)
    found = {}
    for engine in ENGINES:
        rejects = tmp_path / f"{engine}.csv"
        found[engine] = tw.read_events(place, engine=engine, rejects=rejects, deduplicate=deduplicate)
    assert found["local"].report == found["partitions"].report
    assert (tmp_path / "local.csv").read_bytes() == (tmp_path / "partitions.csv").read_bytes()
    check_same_results(found.__getitem__, ENGINES, ["linear", "markov"])
    if not deduplicate:
        assert found["local"].report.rows_rejected == len(expected)


@pytest.mark.parametrize("deduplicate", [False, True])
def test_files_that_are_read_again_and_written_in_many_runs(tmp_path, monkeypatch, deduplicate):
    monkeypatch.setattr(memory, "MOST_ROWS_OF_RUN", 700)
    for part in range(3):
        # The middle file is sound: its rows lie in runs between those of files that are read twice.
        content, _ = dirty_file(mixture(5_000, 0 if part == 1 else 60, seed=part))
        (tmp_path / f"{part}.csv").write_bytes(content)
    found = {
        engine: tw.read_events(str(tmp_path / "*.csv"), engine=engine, deduplicate=deduplicate) for engine in ENGINES
    }
    assert found["local"].report == found["partitions"].report
    assert len(found["partitions"].partitions.events.spill.runs) > 10
    check_same_results(found.__getitem__, ENGINES, ["linear", "markov"])


def test_conversions_apart(tmp_path):
    log = events_table(5_000, 400)
    touches = log.select(["user_id", "time", "channel"])
    sales = log.filter(pa.compute.equal(log["conversion"], 1)).select(["user_id", "time", "value"])
    check_same_results(lambda engine: tw.read_events(touches, conversions_source=sales, engine=engine), ENGINES)


def test_names_that_do_not_occur_are_refused_when_reading():
    log = events_table(100, 10)
    for options in ({"drop": ["tv"]}, {"transforms": ["remove_if_not_all=tv"]}, {"regroup": {"tv": "x"}}):
        sentences = set()
        for engine in ENGINES:
            with pytest.raises(RequestError) as error:
                tw.read_events(log, engine=engine, **options)
            sentences.add(str(error.value))
        assert len(sentences) == 1, sentences


def test_the_account_of_validate_is_the_same():
    log = events_table(3_000, 300, country=country)
    for options in ({}, {"by": "country"}):
        one, other = (tw.validate(log, engine=engine, **options).table for engine in ENGINES)
        assert one.equals(other)


# --- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), (" 1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8), ("7", 7), ("3kB", 3000)]
)
def test_sizes(text, size):
    assert memory.parse_size(text) == size


@pytest.mark.parametrize("text", ["much", "0", "-2GB", "2 XB", ""])
def test_sizes_that_are_none(text):
    with pytest.raises(RequestError, match=r"--memory is '.*'; it must be a size such as 2GB"):
        memory.parse_size(text)


def test_rows_are_spilled_only_when_they_do_not_fit():
    assert memory.make_plan(10**6, "2GB").partitions == 0
    plan = memory.make_plan(10**8, "2GB")
    assert plan.partitions > 1
    assert plan.partitions * (2 * 10**9 - memory.BASE) * memory.PARTITION_SHARE >= 10**8 * memory.PER_ROW
    assert memory.make_plan(10**8, "20GB").partitions == 0
    assert memory.make_plan(10**8, "2GB", 0).partitions == 0
    assert memory.make_plan(10**8, "2GB", 4).partitions == plan.partitions
    assert memory.make_plan(10, "2GB", 4).partitions == 4
    assert memory.make_plan(10**9, "2GB").partitions == pytest.approx(10 * plan.partitions, rel=0.1)
    assert memory.make_plan(10, None).partitions == 0
    assert 0 < memory.free_memory() < 2**50


def test_the_engine_is_chosen_by_memory(tmp_path):
    log = events_table(200_000, 20_000)
    assert isinstance(tw.read_events(log), tw.Journeys)
    parted = tw.read_events(log, memory="100MB", temp=tmp_path)
    assert isinstance(parted, PartitionedJourneys)
    assert "200,000 rows" in repr(parted)
    with pytest.raises(RequestError, match="--engine is 'abacus'; it must be one of 'local', 'partitions'"):
        tw.read_events(log, engine="abacus")


# Not ru_maxrss: a process inherits that of the one that started it.
RESIDENT = """
import re, sys
import touchworth as tw
journeys = tw.read_events(sys.argv[1], memory=sys.argv[2], threads=2)
credit = tw.attribute(journeys)
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(type(journeys).__name__, int(peak[1]) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of the resident set")
def test_the_resident_set_stays_inside_the_memory(tmp_path):
    place = tmp_path / "events.parquet"
    with parquet.ParquetWriter(place, events_table(1, 1).schema) as out:
        for part in range(12):
            out.write_table(events_table(250_000, 300_000, seed=part))
    command = [sys.executable, "-c", RESIDENT, str(place), "500MB"]
    # The first run on a machine compiles the kernels, which takes memory of its own.
    subprocess.run(command, capture_output=True, check=True)
    kind, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-2:]
    assert kind == "PartitionedJourneys"
    assert int(peak) < 1.5 * 500 * 10**6


# --- temporary files ------------------------------------------------------------------------------


def test_temporary_files_are_removed(tmp_path):
    log = events_table(2_000, 100)
    with tw.read_events(log, engine="partitions", temp=tmp_path) as journeys:
        assert len(list(tmp_path.iterdir())) == 1
        credit = tw.attribute(journeys)
        tw.paths(journeys)
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    journeys = tw.read_events(log, engine="partitions", temp=tmp_path)
    credit = tw.attribute(journeys)
    del journeys, credit
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_reading_or_reducing_fails(tmp_path, monkeypatch):
    log = events_table(2_000, 100)
    bad = log.set_column(0, "user_id", pa.array([None] * 2_000, pa.string()))
    with pytest.raises(DataError, match="user is missing"):
        tw.read_events(bad, engine="partitions", temp=tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RequestError, match=r"--temp is '.*nowhere': No such file or directory; it must be a folder"):
        tw.read_events(log, engine="partitions", temp=tmp_path / "nowhere")
    with tw.read_events(log, engine="partitions", temp=tmp_path) as journeys:
        monkeypatch.setattr("touchworth.journeys.reduction.reduce_journeys", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tw.attribute(journeys)
        assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_ends_with_one_sentence(tmp_path, monkeypatch):
    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(partitions, "write_batches", no_room)
    with pytest.raises(DataError, match=r"temporary files cannot be written to .*: no space left on device; free some"):
        tw.read_events(events_table(100, 10), engine="partitions", temp=tmp_path)
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from touchworth.cli.main import run
sys.exit(run(["attribute", sys.argv[1], "--engine", "partitions", "--temp", sys.argv[2], "-o", sys.argv[3]]))
"""


def test_a_disk_that_really_takes_no_more(tmp_path):
    parquet.write_table(events_table(50_000, 10_000), tmp_path / "events.parquet")
    temp = tmp_path / "temp"
    temp.mkdir()
    command = [sys.executable, "-c", FULL, tmp_path / "events.parquet", temp, tmp_path / "credit.csv"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "temporary files cannot be written to" in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(temp.iterdir()) == []
    assert not (tmp_path / "credit.csv").exists()


def test_a_corrupt_block_ends_with_one_sentence(tmp_path):
    place = tmp_path / "events.parquet"
    parquet.write_table(events_table(50_000, 1_000), place, compression="zstd", row_group_size=10_000)
    data = bytearray(place.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2_000] = bytes(2_000)
    place.write_bytes(data)
    temp = tmp_path / "temp"
    temp.mkdir()
    with pytest.raises(DataError, match=r"events\.parquet cannot be read: "):
        tw.read_events(place, engine="partitions", temp=temp, user="user_id", time="time", channel="channel")
    assert list(temp.iterdir()) == []


def test_a_temporary_file_that_was_damaged_is_named(tmp_path):
    with tw.read_events(events_table(1_000, 50), engine="partitions", temp=tmp_path) as journeys:
        for file in tmp_path.glob("*/*.rows"):
            file.write_bytes(b"ARROW1")
        with pytest.raises(DataError, match=r"the temporary file .* cannot be read back"):
            tw.attribute(journeys)


SLOW = """
import sys, time
from touchworth.cli.main import run
from touchworth.journeys import reduction
count = reduction.reduce_journeys_of
def slowly(*given, **more):
    print("reducing", file=sys.stderr, flush=True)
    time.sleep(30)
    return count(*given, **more)
reduction.reduce_journeys_of = slowly
from touchworth.output import replace_file
with replace_file(sys.argv[3] + ".other", force=True):
    sys.exit(run(["attribute", sys.argv[1], "--engine", "partitions", "--temp", sys.argv[2], "-o", sys.argv[3]]))
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_nothing_at_the_next_start(tmp_path, sent):
    events, temp, out = tmp_path / "events.parquet", tmp_path / "temp", tmp_path / "credit.csv"
    parquet.write_table(events_table(5_000, 500), events)
    temp.mkdir()
    command = [sys.executable, "-c", SLOW, str(events), str(temp), str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr.readline() == "reducing\n"
        files = list(temp.iterdir())
        assert len(files) == 2
        # A run beside it leaves alone what is in use.
        other = output.TemporaryFolder(temp)
        other.close()
        assert sorted(temp.iterdir()) == sorted(files)
        running.send_signal(sent)
        running.wait(timeout=20)
    assert not out.exists()
    if sent == signal.SIGKILL:
        assert len(list(temp.iterdir())) == 2
        assert len(list(tmp_path.glob(".*.part"))) == 1
    folder = output.TemporaryFolder(temp)
    folder.close()
    output.check_output(f"{out}.other", force=True)
    assert list(temp.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.parquet", "temp"]
