"""Progress of long work: it is told, and what it raises ends the work."""

import pyarrow as pa
import pytest

import touchworth as tw


class StopError(Exception):
    pass


def stop(*_):
    raise StopError


@pytest.fixture(scope="module")
def events():
    return tw.simulate_journeys(300, seed=4).to_arrow()


@pytest.fixture(scope="module")
def sources(events):
    return {
        "events": (tw.read_events, events),
        "paths": (tw.read_paths, pa.table({"path": ["a > b", "b"], "conversions": [1, 2]})),
        "sessions": (tw.read_sessions, pa.table({"a": [0, 1] * 20, "b": [1, 0] * 20, "converted": [1, 0, 0, 1] * 10})),
    }


@pytest.mark.parametrize("shape", ["events", "paths", "sessions"])
def test_rows_are_told_while_they_are_read_and_reading_can_be_stopped(sources, shape):
    read, source = sources[shape]
    told = []
    read(source, reading=lambda part, rows: told.append(rows))
    assert told[-1] == len(source)
    assert told == sorted(told)
    with pytest.raises(StopError):
        read(source, reading=stop)


def test_stages_of_attribution_are_told_and_can_be_stopped(events):
    journeys = tw.read_events(events)
    told = []
    tw.attribute(journeys, ["linear", "markov"], progress=told.append)
    assert told == ["reduce to counts", "model linear", "model markov"]
    with pytest.raises(StopError):
        tw.attribute(journeys, ["linear"], progress=stop)
