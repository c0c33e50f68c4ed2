"""Wide tables of sessions on disk: the same synergies as in memory, in bounded memory, nothing left behind."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

import touchworth as tw
from tests.synergy.sessions import draw, rows_of
from touchworth.cli.main import run
from touchworth.errors import DataError, RequestError
from touchworth.synergy import disk
from touchworth.synergy.blocks import SessionBlocks


def table_of(seed=0, rows=30_000, players=6):
    columns, y = draw(seed, rows, players)
    rng = np.random.default_rng(seed)
    held = {f"p{j:02}": columns[:, j].astype(np.int8) for j in range(players)}
    held |= {"never": np.zeros(rows, np.int8)}
    return pa.table(
        held
        | {
            "converted": y.astype(np.int8),
            "revenue": np.where(y, np.round(rng.lognormal(3, 0.7, rows), 2), 0.0),
            "visitor": [f"v{u}" for u in rng.integers(0, rows // 4, rows)],
            "times": rng.integers(1, 4, rows),
        }
    )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(disk, "CELLS_OF_BLOCK", 1)


OPTIONS = {
    "plain": {},
    "order values and users": {"order_value": "revenue", "user": "visitor"},
    "a real target": {"value": "revenue"},
    "weights": {"weight": "times"},
    "a filter": {"where": {"p01": "1"}, "players": ["p00", "p02", "p03"]},
}


@pytest.mark.parametrize("named", OPTIONS)
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_disk_gives_what_memory_gives(tmp_path, named, kind):
    place = tmp_path / f"sessions.{kind}"
    (parquet.write_table if kind == "parquet" else csv.write_csv)(table_of(), place)
    options = {"target": "converted"} | OPTIONS[named]
    held = tw.read_sessions(place, **options)
    there = tw.read_sessions(place, engine="partitions", temp=tmp_path, **options)
    assert isinstance(there, SessionBlocks)
    assert len(there.blocks.files) > 1
    assert there.players == held.players
    assert there.report == held.report
    expected, found = rows_of(tw.synergies(held, max_size=4)), rows_of(tw.synergies(there, max_size=4))
    assert found.keys() == expected.keys()
    for name, row in found.items():
        for column, value in row.items():
            if isinstance(value, float):
                np.testing.assert_allclose(value, expected[name][column], rtol=1e-9, atol=1e-12, err_msg=column)
            else:
                assert value == expected[name][column], (name, column)
    there.blocks.close()
    assert list(tmp_path.iterdir()) == [place]


def test_bad_rows_are_named_as_in_memory(tmp_path):
    place = tmp_path / "sessions.csv"
    csv.write_csv(table_of(rows=20_000), place)
    lines = place.read_text().splitlines()
    lines[5_000] = "perhaps" + lines[5_000][1:]
    lines[15_000] = "1,0"
    place.write_text("\n".join(lines) + "\n")
    written = {}
    for engine in ("local", "partitions"):
        rejects = tmp_path / f"{engine}.csv"
        sessions = tw.read_sessions(place, target="converted", engine=engine, temp=tmp_path, rejects=rejects)
        assert sessions.report.rows_rejected == 2
        written[engine] = rejects.read_text()
        del sessions
    assert written["local"] == written["partitions"]
    assert [line.split(",")[1] for line in written["local"].splitlines()[1:3]] == ["5001", "15001"]


def test_nothing_is_left_when_reading_fails(tmp_path):
    temp = tmp_path / "temp"
    temp.mkdir()
    place = tmp_path / "sessions.csv"
    csv.write_csv(table_of(rows=20_000), place)
    text = place.read_text().splitlines()
    place.write_text("\n".join([*text[:9_000], *("x" + line[1:] for line in text[9_000:])]))
    with pytest.raises(DataError, match=r"11,001 of 20,000 rows .* are rejected"):
        tw.read_sessions(place, target="converted", engine="partitions", temp=temp)
    assert list(temp.iterdir()) == []
    with pytest.raises(RequestError, match="--engine partitions reads events and wide tables of sessions"):
        tw.read_sessions(place, shape="transactions", engine="partitions")
    nobody = table_of(rows=9_000).set_column(7, "converted", pa.array(np.zeros(9_000, np.int8)))
    there = tw.read_sessions(nobody, target="converted", engine="partitions", temp=temp)
    with pytest.raises(DataError, match="no session converts"):
        tw.synergies(there)


def test_the_command_takes_it(tmp_path, capsys):
    place = tmp_path / "sessions.parquet"
    parquet.write_table(table_of(), place)
    outputs = []
    for engine in ("local", "partitions"):
        assert run(["synergy", str(place), "--target", "converted", "--engine", engine, "--temp", str(tmp_path)]) == 0
        outputs.append([line.split(",")[:6] for line in capsys.readouterr().out.splitlines()])
    assert outputs[0] == outputs[1]
    assert list(tmp_path.iterdir()) == [place]


# Not ru_maxrss: a process inherits that of the one that started it.
RESIDENT = """
import re, sys
import touchworth as tw
sessions = tw.read_sessions(sys.argv[1], target="converted", memory=sys.argv[2], temp=sys.argv[3], threads=2)
found = tw.synergies(sessions, max_size=2, min_support=0.03)
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())
print(type(sessions).__name__, len(found.table), int(peak[1]) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of the resident set")
def test_the_resident_set_stays_inside_the_memory(tmp_path):
    """Five million sessions of 200 players are 125 MB of bits, which stand twice while they are joined."""
    place = tmp_path / "sessions.parquet"
    rng = np.random.default_rng(0)
    names = [f"p{j:03}" for j in range(200)]
    with parquet.ParquetWriter(place, pa.schema([(name, pa.int8()) for name in [*names, "converted"]])) as out:
        # Repeated rows keep the file small and quick to write; their number is what counts here.
        part = pa.table({name: (rng.random(100_000) < 0.2).astype(np.int8) for name in [*names, "converted"]})
        for _ in range(50):
            out.write_table(part)
    command = [sys.executable, "-c", RESIDENT, str(place), "500MB", str(tmp_path)]
    kind, rows, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-3:]
    assert kind == "SessionBlocks"
    assert int(rows) > 200
    assert int(peak) < 1.5 * 500 * 10**6
