"""The documented SQL makes the path table that the library makes of the same events."""

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import touchworth as tw
from tests.scale.engines import NEAR, events_table

PAGE = (Path(__file__).resolve().parents[2] / "docs/scale.md").read_text()
BIGQUERY = re.search(r"<!-- bigquery -->\n```sql\n(.*?)```", PAGE, re.DOTALL)[1]
CELLS = {
    name: re.findall(r"`([^`]+)`", line)
    for line in PAGE.splitlines()
    for name in ("BigQuery, DuckDB", "Snowflake", "Databricks, Spark")
    if line.startswith(f"| {name} |")
}


def query_of(warehouse):
    """The documented text in the words of a warehouse."""
    text = BIGQUERY
    for own, other in zip(CELLS["BigQuery, DuckDB"], CELLS[warehouse], strict=True):
        assert own in text
        text = text.replace(own, other)
    return text.replace("shop.events", "events")


@pytest.fixture(scope="module")
def log():
    """Events with ties, gaps longer than the lookback, and conversions without a channel."""
    events = events_table(6_000, 900)
    days = [int((time - 1.7e9) // 86_400) * 86_400 for time in events["time"].to_pylist()]
    channels = [
        None if converts and place % 3 == 0 else channel
        for place, (channel, converts) in enumerate(
            zip(events["channel"].to_pylist(), events["conversion"].to_pylist(), strict=True)
        )
    ]
    times = pa.array([(1_700_000_000 + day) * 10**6 for day in days], pa.timestamp("us", "UTC"))
    return events.set_column(1, "time", times).set_column(2, "channel", pa.array(channels))


@pytest.fixture(scope="module")
def expected(log):
    table = tw.paths(tw.read_events(log), top=None).table
    return {row["path"]: (row["conversions"], row["value"], row["nulls"]) for row in table.to_pylist()}


def check(rows, expected):
    found = {path: numbers for path, *numbers in rows}
    assert found.keys() == expected.keys()
    for path, numbers in found.items():
        assert [float(number or 0) for number in numbers] == pytest.approx(expected[path], rel=NEAR), path


def test_all_three_are_documented():
    assert sorted(map(len, CELLS.values())) == [2, 2, 2]


def test_bigquery_on_duckdb(log, expected):
    with duckdb.connect() as con:
        con.register("events", log)
        check(con.sql(query_of("BigQuery, DuckDB")).fetchall(), expected)


@pytest.mark.parametrize("warehouse", ["Snowflake", "Databricks, Spark"])
def test_the_others_on_spark(warehouse, log, expected, spark):
    spark.createDataFrame(log).createOrReplaceTempView("events")
    check([tuple(row) for row in spark.sql(query_of(warehouse)).collect()], expected)
