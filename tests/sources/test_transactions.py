"""Transactions: lines of ids, however they are separated."""

import gzip
import io
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from touchworth.errors import DataError, RequestError, TooManyRejectsError
from touchworth.sources.transactions import load_transactions
from touchworth.synergy.bitmaps import pack_sessions


def transactions_of(tmp_path, text, **options):
    place = tmp_path / "baskets.dat"
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_transactions(place, **options)


def lines_of(sessions):
    return [[sessions.players[i] for i in sessions.items[a:b]] for a, b in pairwise(sessions.offsets)]


@pytest.mark.parametrize(
    "text",
    [
        "3 1\n1\n2 3 1\n",
        "3,1\n1\n2,3,1\n",
        "3, 1\r\n1 \r\n2 ,3, 1",
        "\ufeff3\t1\n  1\n2  3\t1\n",
        "3 1 3\n1\n2 3 1 1 2\n",
    ],
)
def test_lines_of_ids(tmp_path, text):
    found = transactions_of(tmp_path, text)
    assert found.players == ("3", "1", "2")
    assert lines_of(found) == [["3", "1"], ["1"], ["2", "3", "1"]]
    assert (found.converted, found.value, found.bits, found.report.rows_read) == (None, None, None, 3)
    repeated = "3 players that stand in a session more than once count once"
    assert (repeated in found.report.notices) == ("1 1" in text)


def test_a_target_item(tmp_path):
    found = transactions_of(tmp_path, "3 1\n1\n2 3 1\n2 1\n", target_item="3")
    assert found.players == ("2",)
    assert lines_of(found) == [[], [], ["2"], ["2"]]
    assert found.converted.tolist() == [1, 0, 1, 0]
    assert found.report.columns == {"target item": "3"}
    assert found.report.notices == ("1 players are in every session and are left out: '1'",)
    with pytest.raises(RequestError, match=r"--target-item is '33', which is in no session; did you mean '3'"):
        transactions_of(tmp_path, "3 1\n1\n", target_item="33")
    with pytest.raises(DataError, match=r"the target '1' has only conversions: it is 1 in all 2 sessions"):
        transactions_of(tmp_path, "3 1\n1\n", target_item="1")
    with pytest.raises(DataError, match=r"no player is left in 2 sessions"):
        transactions_of(tmp_path, "3 1\n1\n", players=["3"], target_item="3")


def test_chosen_players_and_blank_lines(tmp_path):
    found = transactions_of(tmp_path, "3 1\n\n1\n \n2 3 1\n\n", players=["1", "2"])
    assert lines_of(found) == [["1"], ["1"], ["2", "1"]]
    assert found.report.notices == ("3 blank lines are skipped",)
    with pytest.raises(RequestError, match=r"--player is '4', which is in no session; there are '3', '1'"):
        transactions_of(tmp_path, "3 1\n", players=["4"])


def test_lines_that_are_not_utf8(tmp_path):
    text = b"gr\xc3\xb6\xc3\x9fe 1\n\xff 1\n2 1\n"
    found = transactions_of(tmp_path, text, max_rejects=0.5, rejects=tmp_path / "r.csv")
    assert lines_of(found) == [["größe", "1"], ["2", "1"]]
    assert found.report.rejected_by_reason == {"text is not UTF-8": 1}
    assert pd.read_csv(tmp_path / "r.csv")[["line", "reason"]].to_numpy().tolist() == [[2, "text is not UTF-8"]]
    with pytest.raises(TooManyRejectsError, match=r"1 of 3 rows"):
        transactions_of(tmp_path, text)


def test_every_kind_of_file(tmp_path, monkeypatch):
    (tmp_path / "1.dat.gz").write_bytes(gzip.compress(b"1 2\n"))
    (tmp_path / "2.dat").write_text("2 3\n")
    found = load_transactions(str(tmp_path / "*.dat*"))
    assert lines_of(found) == [["1", "2"], ["2", "3"]]
    assert lines_of(load_transactions([tmp_path / "2.dat", tmp_path / "1.dat.gz"])) == [["2", "3"], ["1", "2"]]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"5 6\n")))
    assert lines_of(load_transactions("-")) == [["5", "6"]]


def test_what_is_no_transactions(tmp_path):
    (tmp_path / "empty.dat").write_bytes(b"")
    for source, kind, message in (
        (tmp_path / "none.dat", DataError, "there is no file"),
        (tmp_path / "empty.dat", DataError, "is empty"),
        (
            pd.DataFrame({"a": [1]}),
            RequestError,
            "the source is a pandas DataFrame; this shape is read from text files",
        ),
        ([], RequestError, "the list of sources is empty"),
    ):
        with pytest.raises(kind, match=message):
            load_transactions(source)
    with pytest.raises(DataError, match=r"the input has no rows"):
        transactions_of(tmp_path, "\n\n")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"is no text file; transactions are lines of ids"):
        load_transactions(tmp_path / "p.parquet")


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lists_are_the_lines(tmp_path, lines):
    text = "".join(" ".join(map(str, line)) + "\n" for line in lines)
    found = transactions_of(tmp_path, text)
    assert [set(line) for line in lines_of(found)] == [{str(i) for i in line} for line in lines]
    assert all(len(set(line)) == len(line) for line in lines_of(found))
    packed = pack_sessions(found)
    assert packed.sums[:, 0].tolist() == [sum(int(name) in line for line in lines) for name in found.players]
    assert packed.total_n == len(lines)


@pytest.mark.parametrize(
    ("name", "rows", "players", "items"),
    [("retail", 88_162, 16_470, 908_576), ("mushroom", 8_124, 119, 186_852), ("msweb_train", 32_711, 285, 98_654)],
)
def test_real_transactions(shared, name, rows, players, items):
    place = shared / "data" / f"{name}.dat.gz"
    found = load_transactions(place)
    assert (found.rows, len(found.players), found.items.size) == (rows, players, items)
    lines = gzip.decompress(place.read_bytes()).decode().split("\n")
    assert lines_of(found)[:200] == [line.split() for line in lines[:200]]
    assert found.report.notices == ()
    held = load_transactions(place, target_item=found.players[1])
    assert held.converted.sum() == np.bincount(found.items)[1]
