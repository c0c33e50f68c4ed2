"""Streams of Arrow batches as sources: read once, held while small, else through a temporary file."""

from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pytest

import touchworth as tw
from tests.scale.engines import check_same_results, events_table
from touchworth.errors import DataError, RequestError
from touchworth.journeys.partitioned import PartitionedJourneys
from touchworth.sources import tables


def batches(log, size=700):
    yield from log.to_batches(max_chunksize=size)


def through_duckdb(log):
    return duckdb.sql("SELECT * FROM log").to_arrow_reader(1_000)


STREAMS = {
    "generator": batches,
    "iterator": lambda log: iter(log.to_batches(max_chunksize=10)),
    "reader": lambda log: log.to_reader(max_chunksize=100),
    "duckdb": through_duckdb,
    "ibis-like": lambda log: SimpleNamespace(to_pyarrow_batches=log.to_reader, to_pyarrow=None),
    "adbc-like": lambda log: SimpleNamespace(fetch_record_batch=log.to_reader),
    "capsule": lambda log: SimpleNamespace(__arrow_c_stream__=log.to_reader().__arrow_c_stream__),
}


@pytest.mark.parametrize("hold", [tables.HOLD, 10_000])
@pytest.mark.parametrize("kind", STREAMS)
def test_streams_are_read_as_tables(kind, hold, monkeypatch, tmp_path):
    log = events_table(4_000, 500)
    sources = {"table": lambda: log, "stream": lambda: STREAMS[kind](log)}
    monkeypatch.setattr("touchworth.sources.events.free_memory", lambda: 8 * hold)
    check_same_results(
        lambda one: tw.read_events(sources[one](), user="user_id", temp=tmp_path), tuple(sources), ["linear"]
    )
    assert list(tmp_path.iterdir()) == []


def test_a_stream_longer_than_memory_goes_to_partitions(tmp_path):
    log = events_table(200_000, 20_000)
    journeys = tw.read_events(batches(log, 20_000), memory="50MB", temp=tmp_path)
    assert isinstance(journeys, PartitionedJourneys)
    with journeys:
        found = tw.attribute(journeys, ["linear"]).table.sort_by("channel")
    assert (
        found["touches"].to_pylist()
        == tw.attribute(tw.read_events(log), ["linear"]).table.sort_by("channel")["touches"].to_pylist()
    )
    assert list(tmp_path.iterdir()) == []


def test_streams_of_something_else_are_refused(tmp_path):
    for source, sentence in (
        (iter([{"user": 1}]), "the source is a builtins list_iterator of builtins dict; it must give Arrow batches"),
        (iter(()), "the source is a builtins tuple_iterator of nothing; it must give Arrow batches"),
    ):
        with pytest.raises(RequestError, match=sentence):
            tw.read_events(source, temp=tmp_path)

    def broken():
        yield pa.record_batch({"user": ["a"], "time": [1.7e9], "channel": ["x"]})
        yield pa.record_batch({"other": [1]})

    with pytest.raises(DataError, match="builtins generator cannot be read: "):
        tw.read_events(broken(), temp=tmp_path)
    assert list(tmp_path.iterdir()) == []
