"""Every golden value, from Python and from the command line, to 1e-9 relative."""

import csv
import json

import pyarrow as pa
import pyarrow.csv
import pytest

import touchworth as tw
from touchworth.cli.main import run

RELATIVE = 1e-9
EVENTS = {"user": "customer_id", "time": "time", "channel": "channel", "conversion": "conversion"}


def by_python(source, options, markov_order, half_life, folder):
    """Tables of one run as lists of dicts, and the summary."""
    read = tw.read_paths if "path" in options else tw.read_events
    credit = tw.attribute(read(source, **options), order=markov_order, half_life=half_life)
    tables = {"credit": credit.table, "removal": credit.removal, "positions": credit.positions}
    return {name: table.to_pylist() for name, table in tables.items()} | {"summary": credit.summary}


def by_command(source, options, markov_order, half_life, folder):
    """The same from the command line, read back from the files it writes."""
    if isinstance(source, pa.Table):
        path = folder / "input.csv"
        pa.csv.write_csv(source, path)
        source = path
    outputs = {"credit": "-o", "removal": "--removal", "positions": "--positions", "summary": "--summary"}
    arguments = ["attribute", str(source), "--order", str(markov_order), "--half-life", str(half_life)]
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    for name, flag in outputs.items():
        arguments += [flag, str(folder / f"{name}.json")]
    assert run(arguments) == 0
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in outputs}


WAYS = pytest.mark.parametrize("way", [by_python, by_command], ids=["python", "command"])


def compare(result, golden, order):
    """Assert every value of a golden section that belongs to this order of the chain; returns how many there were."""
    compared = 0
    for label, expected in golden.items():
        if label == "journeys":
            continue
        if label == "ordered_shapley":
            values = expected.get("conversions", expected)
            found = {f"{row['channel']}@{row['position']}": row["conversions"] for row in result["positions"]}
            for key, value in values.items():
                assert found.get(key, 0.0) == pytest.approx(value, rel=RELATIVE), key
                compared += 1
            assert {key for key, value in found.items() if value} <= set(values)
            continue
        model = "time_decay" if label.startswith("time_decay") else label.partition("_1")[0].partition("_2")[0]
        if model == "markov" and label != f"markov_{order}":
            continue
        rows = {row["channel"]: row for row in result["credit"] if row["model"] == model}
        for what in ("conversions", "value"):
            for channel, value in expected.get(what, {}).items():
                assert rows[channel][what] == pytest.approx(value, rel=RELATIVE, abs=1e-9), (label, what, channel)
                compared += 1
        if model == "markov":
            effects = {row["channel"]: row for row in result["removal"]}
            for name, column in (("removal", "removal_effect"), ("removal_value", "removal_effect_value")):
                for channel, value in expected[name].items():
                    assert effects[channel][column] == pytest.approx(value, rel=RELATIVE, abs=1e-12)
                    compared += 1
    return compared


@pytest.fixture(scope="module")
def toy(shared):
    return json.loads((shared / "golden/toy_paths.json").read_text())


@WAYS
@pytest.mark.parametrize("order", [1, 2])
def test_toy_paths(toy, way, order, tmp_path):
    table = pa.table({"path": list(toy["paths"]), "conversions": list(toy["paths"].values())})
    options = {"path": "path", "conversions": "conversions"}
    assert compare(way(table, options, order, 1, tmp_path), toy["models"], order) > 70


@WAYS
@pytest.mark.parametrize("order", [1, 2])
def test_published_path_table(shared, way, order, tmp_path):
    golden = json.loads((shared / "golden/channelattribution_paths.json").read_text())
    options = {
        "path": "path",
        "conversions": "total_conversions",
        "value": "total_conversion_value",
        "nulls": "total_null",
        "duplicates": "sum",
    }
    result = way(shared / "data/channelattribution_paths.csv", options, order, 1, tmp_path)
    assert compare(result, golden, order) > 100
    assert result["summary"]["rows_read"] == 10_000
    assert result["summary"]["conversions"] == 19_785


@WAYS
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("lookback", ["none", "7d"])
@pytest.mark.parametrize("rule", ["each", "first"])
def test_event_log(shared, way, order, lookback, rule, tmp_path):
    golden = json.loads((shared / "golden/kaggle_format_events.json").read_text())
    expected = golden[f"lookback={lookback},conversions={rule}"]
    options = EVENTS | {"value": "conversion_value", "lookback": lookback, "conversion_rule": rule}
    result = way(shared / "data/kaggle_format_events.csv", options, order, "7d", tmp_path)
    assert compare(result, expected, order) > 50
    summary, journeys = result["summary"], expected["journeys"]
    for ours, theirs in (
        ("journeys", "total"),
        ("converted_journeys", "converted"),
        ("null_journeys", "null"),
        ("longest_path", "longest"),
        ("unique_paths", "unique_paths"),
        ("later_conversions", "later_conversions"),
        ("later_value", "later_value"),
        ("touches_left_out", "touches_left_out"),
        ("touches_outside_lookback", "touches_outside_lookback"),
        ("attributed_value", "value"),
    ):
        assert summary[ours] == pytest.approx(journeys[theirs], rel=RELATIVE), ours


def test_the_markov_record_holds_probability_value_and_states(toy, shared):
    table = pa.table({"path": list(toy["paths"]), "conversions": list(toy["paths"].values())})
    for order in (1, 2):
        chain = tw.attribute(tw.read_paths(table), models=["markov"], order=order).markov
        expected = toy["models"][f"markov_{order}"]
        assert chain.states == expected["states"]
        assert chain.conversion_probability == pytest.approx(expected["P"], rel=RELATIVE)
    golden = json.loads((shared / "golden/channelattribution_paths.json").read_text())["markov_1"]
    with (shared / "data/channelattribution_paths.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    credit = tw.attribute(tw.read_paths(pa.table(columns), duplicates="sum"), models=["markov"])
    assert credit.markov.conversion_probability == pytest.approx(golden["P"], rel=RELATIVE)
    assert credit.markov.expected_value == pytest.approx(golden["PV"], rel=RELATIVE)
