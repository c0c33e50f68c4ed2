"""One way to compare engines: the same numbers from the same input, counts equal, sums of values to 1e-9."""

import numpy as np
import pyarrow as pa
import pytest

import touchworth as tw

MODELS = [
    "first_touch", "last_touch", "last_non_direct", "linear", "position_based", "time_decay", "participation", "markov",
    "shapley", "ordered_shapley", "shapley_rate",
]  # fmt: skip
# Sums of fractions that are added in another order differ in their last digits.
NEAR = 1e-9


def columns_of(table, keys):
    """Columns of a table with the rows in the order of the key columns."""
    return table.sort_by([(key, "ascending") for key in keys]).to_pydict()


def check_same_table(one, other, keys):
    """Equal rows: texts and flags equal, numbers to 1e-9."""
    assert (one is None) == (other is None)
    if one is None:
        return
    a, b = columns_of(one, keys), columns_of(other, keys)
    assert list(a) == list(b)
    for name, cells in a.items():
        if pa.types.is_floating(one.schema.field(name).type):
            left, right = (np.array([np.nan if x is None else x for x in column], float) for column in (cells, b[name]))
            assert left == pytest.approx(right, rel=NEAR, abs=NEAR, nan_ok=True), name
        else:
            assert cells == b[name], name


def check_same_summary(one, other):
    """Equal accounts: whole numbers and texts equal, sums of values to 1e-9."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if name == "properties":
            assert [(row["model"], row["property"], row["holds"]) for row in value] == [
                (row["model"], row["property"], row["holds"]) for row in other[name]
            ]
        elif name == "groups":
            for group, summary in value.items():
                check_same_summary(summary, other[name][group])
        elif isinstance(value, float):
            assert value == pytest.approx(other[name], rel=NEAR, abs=NEAR), name
        elif name not in ("loyalty", "sources"):
            assert value == other[name], name


def check_same_results(read, engines, models=tuple(MODELS), **options):
    """Everything that comes of ``read(engine)`` is the same for all engines; returns the credit of the first."""
    first, *others = (read(engine) for engine in engines)
    credit = tw.attribute(first, list(models), **options)
    found = tw.paths(first, top=None)
    by = (credit.by,) if credit.by else ()
    segment = ("segment",) if "segment" in credit.table.column_names else ()
    for other in others:
        again = tw.attribute(other, list(models), **options)
        check_same_table(credit.table, again.table, (*by, *segment, "model", "channel"))
        check_same_table(credit.removal, again.removal, (*by, "channel"))
        check_same_table(credit.positions, again.positions, (*by, "channel", "position"))
        check_same_table(credit.transitions, again.transitions, (*by, "from", "to"))
        check_same_table(credit.journey_credit(), again.journey_credit(), (*by, "model", "user", "journey", "channel"))
        check_same_summary(credit.summary, again.summary)
        more = tw.paths(other, top=None)
        check_same_table(found.table, more.table, (*by, "path"))
        check_same_table(found.lengths, more.lengths, (*by, "touches"))
        check_same_table(found.lags, more.lags, (*by, "days"))
        assert found.unique_paths == more.unique_paths
    return credit


def events_table(rows, users, seed=1, **more):
    """A random log of 90 days as an Arrow table."""
    draw = np.random.default_rng(seed)
    converts = draw.random(rows) < 0.05
    columns = {
        "user_id": [f"user-{u}" for u in draw.integers(0, users, rows)],
        "time": 1.7e9 + draw.integers(0, 90 * 86_400, rows),
        "channel": [f"c{c}" for c in draw.integers(0, 6, rows)],
        "conversion": converts.astype(int),
        "value": np.where(converts, draw.integers(1, 100, rows), 0) / 4,
    }
    return pa.table(columns | {name: make(draw, rows) for name, make in more.items()})


def country(draw, rows):
    return [("at", "de", "fr")[i] for i in draw.integers(0, 3, rows)]


CASES = {
    "all defaults": ({}, {}),
    "by a column": ({"by": "country"}, {}),
    "symbols with frequencies": ({"transforms": ["frequency"]}, {"order": 2}),
    "open journeys left out": ({"open_journeys": "exclude", "lookback": "10d"}, {}),
    "a period and loyal users": ({"since": "2023-12-01", "until": "2024-01-20"}, {"loyal_touches": 2}),
    "regrouped and dropped": ({"regroup": {"c[12]": "paid", "c*": "free"}, "drop": ["free"]}, {}),
    "cost, sequence, a filter": ({"cost": "cost", "sequence": "step", "where": {"country": "de"}}, {}),
    "first conversions, steps": ({"conversion_rule": "first", "lookback_steps": 3}, {}),
    "more buckets than users": ({}, {"buckets": 5000}),
    "frequencies by a column": ({"by": "country", "transforms": ["frequency"]}, {}),
    "groups with fewer users than buckets": ({"by": "country", "where": {"rare": "1"}}, {}),
}


def rich_log(rows=12_000, users=1_500):
    """A log with every column that a case asks for."""
    return events_table(
        rows,
        users,
        country=country,
        cost=lambda draw, size: draw.integers(0, 9, size) / 2,
        step=lambda draw, size: draw.integers(0, 3, size),
        rare=lambda draw, size: draw.integers(0, 50, size),
    )
