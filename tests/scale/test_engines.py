"""The same cases on every engine: in memory, in partitions on disk, on Spark."""

import pytest
from pyarrow import parquet

import touchworth as tw
from tests.scale.engines import CASES, check_same_results, rich_log

# Spark takes seconds a case; these cover every kind of thing that passes between driver and workers.
ON_SPARK = (
    "groups with fewer users than buckets",
    "cost, sequence, a filter",
    "frequencies by a column",
)
ENGINES = [
    *(pytest.param("partitions", name, id=f"partitions-{name}") for name in CASES),
    *(pytest.param("spark", name, id=f"spark-{name}") for name in ON_SPARK),
]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    place = tmp_path_factory.mktemp("log") / "events.parquet"
    parquet.write_table(rich_log(), place)
    return place


@pytest.mark.parametrize(("engine", "name"), ENGINES)
def test_every_engine_gives_what_memory_gives(engine, name, log, request):
    if engine == "spark":
        request.getfixturevalue("spark")
    options, asked = CASES[name]
    check_same_results(lambda one: tw.read_events(log, engine=one, **options), ("local", engine), **asked)
