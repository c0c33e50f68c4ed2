"""Intervals by seeded simulation: do nominal 95 % intervals cover 95 %, and are blanks shown where nothing is known?"""

import numpy as np
import pyarrow as pa
import pytest

import touchworth as tw
from tests.logs import read, read_rows, row
from touchworth.attribution.attribute import attribute
from touchworth.attribution.credit import shares
from touchworth.journeys.build import journeys_from_events, journeys_from_paths
from touchworth.journeys.rules import make_rules
from touchworth.sources.records import Events, PathTable, ReadReport

USERS = 10_000
REPLICATES = 240
MODELS = ["first_touch", "last_touch", "linear", "markov", "shapley"]
CHANNELS = ("affiliate", "display", "email", "search", "social")
FREQUENCY = np.array([0.30, 0.28, 0.10, 0.12, 0.20])
EFFECT = np.array([0.012, 0.008, 0.03, 0.02, 0.006])
REPORT = ReadReport("events", ("simulated",), {"value": "value"})


def draw(stream, users):
    """Journeys of users: lengths, channels (30 % repeat the one before), conversion after the last touch."""
    length = 1 + stream.poisson(2.5, users)
    offsets = np.concatenate(([0], np.cumsum(length)))
    channel = stream.choice(5, offsets[-1], p=FREQUENCY)
    again = np.flatnonzero(stream.random(offsets[-1]) < 0.3)
    again = again[~np.isin(again, offsets)]
    channel[again] = channel[again - 1]
    converts = stream.random(users) < np.add.reduceat(EFFECT[channel], offsets[:-1])
    return length, offsets, channel.astype(np.int32), converts


def as_events(stream, users):
    length, offsets, channel, converts = draw(stream, users)
    last = np.zeros(offsets[-1], np.uint8)
    last[offsets[1:] - 1] = converts
    place = np.arange(offsets[-1]) - np.repeat(offsets[:-1], length)
    return Events(
        user=np.repeat(np.arange(users), length),
        time=place * 3_600_000_000,
        channel=channel,
        converts=last,
        value=last * 10.0,
        sequence=None,
        cost=None,
        by=None,
        user_ids=pa.array(np.arange(users).astype(str)),
        user_hash=stream.integers(0, 2**63, users).astype(np.uint64),
        channels=CHANNELS,
        by_values=(),
        report=REPORT,
    )


def as_paths(stream, users):
    """The same journeys, added up by path."""
    _, offsets, channel, converts = draw(stream, users)
    rows = {}
    for i in range(users):
        counts = rows.setdefault(channel[offsets[i] : offsets[i + 1]].tobytes(), [0, 0])
        counts[0 if converts[i] else 1] += 1
    paths = [np.frombuffer(path, np.int32) for path in rows]
    counts = np.array(list(rows.values()), float)
    return PathTable(
        offsets=np.concatenate(([0], np.cumsum([path.size for path in paths]))),
        channel=np.concatenate(paths),
        conversions=counts[:, 0].copy(),
        nulls=counts[:, 1].copy(),
        value=counts[:, 0] * 10.0,
        row=np.arange(len(paths)),
        delimiter=" > ",
        channels=CHANNELS,
        has_value=True,
        has_nulls=True,
        report=REPORT,
    )


@pytest.fixture(scope="module")
def truth():
    """Shares in a population of 4 million users, whose own error is a twentieth of a sample's."""
    result = attribute(journeys_from_events(as_events(np.random.default_rng(0), 4_000_000), make_rules()), MODELS)
    return {model: shares(result.estimates[model, "all"].conversions) for model in MODELS}


@pytest.mark.simulation
@pytest.mark.parametrize("kind", ["users", "paths"])
def test_intervals_of_shares_cover_the_truth(truth, kind):
    stream = np.random.default_rng(20261124)
    hits = {model: [] for model in MODELS}
    gaps, errors = [], []
    for _ in range(REPLICATES):
        if kind == "users":
            journeys = journeys_from_events(as_events(stream, USERS), make_rules())
        else:
            journeys = journeys_from_paths(as_paths(stream, USERS), make_rules())
        result = attribute(journeys, MODELS, threads=1)
        assert result.summary["attributed_conversions"] >= 100
        for model in MODELS:
            lines = {r["channel"]: r for r in result.table.to_pylist() if r["model"] == model}
            hits[model].append(
                [lines[c]["share_low"] <= truth[model][i] <= lines[c]["share_high"] for i, c in enumerate(CHANNELS)]
            )
        gap = result.difference("markov", "linear")
        gaps.append(gap["difference"].to_numpy())
        errors.append(gap["std_error"].to_numpy())
    for model in MODELS:
        coverage = float(np.mean(hits[model]))
        assert 0.93 <= coverage <= 0.97, f"{model}: {coverage:.3f}"
    # The error of a difference of two models, from the same buckets, against its spread over the samples.
    ratio = np.sqrt((np.array(errors) ** 2).mean(0)) / np.std(gaps, axis=0, ddof=1)
    assert ratio == pytest.approx(np.ones(5), abs=0.15)


@pytest.mark.simulation
def test_errors_of_totals_fit_a_fixed_number_of_users():
    stream = np.random.default_rng(5)
    totals, errors = [], []
    for _ in range(REPLICATES):
        result = attribute(journeys_from_events(as_events(stream, 2000), make_rules()), ["linear"], threads=1)
        lines = sorted(result.table.to_pylist(), key=lambda r: r["channel"])
        totals.append([r["conversions"] for r in lines])
        errors.append([r["conversions_std_error"] for r in lines])
    ratio = np.sqrt((np.array(errors) ** 2).mean(0)) / np.std(totals, axis=0, ddof=1)
    assert ratio == pytest.approx(np.ones(5), abs=0.15)


def test_errors_equal_running_again_without_each_bucket():
    """The jackknife by its definition: users of a bucket taken out of the log, everything read and solved again."""
    stream = np.random.default_rng(8)
    rows = [
        row(f"u{stream.integers(0, 60)}", int(day), CHANNELS[stream.integers(0, 5)], bool(stream.random() < 0.3), 2.0)
        for day in stream.permutation(400)
    ]
    for r in rows:
        r["value"] = r["value"] if r["converts"] else 0.0
    buckets = 7
    journeys = read(rows)
    bucket = dict(zip(journeys.users.ids.to_pylist(), (journeys.users.hash % np.uint64(buckets)).tolist(), strict=True))
    models = ["linear", "markov", "shapley_rate"]
    whole = tw.attribute(journeys, models, buckets=buckets, order=2)
    for b in range(buckets):
        left = [r for r in rows if bucket[r["user"]] != b]
        part = tw.attribute(read(left), models, order=2)
        for model in models:
            solved = part.estimates[model, "all"]
            users = len({r["user"] for r in rows}) / len({r["user"] for r in left})
            found = whole.estimates[model, "all"]
            assert found.replicates[b] == pytest.approx(solved.conversions * users, rel=1e-9)
            assert found.replicates_value[b] == pytest.approx(solved.value * users, rel=1e-9)
    units = whole.units
    expected = np.sqrt((buckets - 1) / buckets * ((found.replicates - found.replicates.mean(0)) ** 2).sum(0))
    errors = {r["channel"]: r["conversions_std_error"] for r in whole.table.to_pylist() if r["model"] == "shapley_rate"}
    assert units.size == buckets
    assert [errors[c] for c in whole.channels] == pytest.approx(expected.tolist())


def test_an_error_of_zero_is_never_shown_and_little_evidence_is_marked():
    lines = tw.attribute(read_rows([(("a",), 40, 40.0, 60), (("a", "b"), 5, 5.0, 9)]), ["last_touch", "linear"]).table
    for line in lines.to_pylist():
        assert line["conversions_std_error"] is None or line["conversions_std_error"] > 0
        assert line["low_evidence"] == (line["conversions"] < 10)
    alone = tw.attribute(read_rows([(("a",), 40, 40.0, 60)]), ["linear"]).table.to_pylist()[0]
    assert alone["share"] == 1.0
    assert alone["share_std_error"] is None, "a share that cannot vary has no error"
    few = tw.attribute(read_rows([(("a",), 20, 20.0, 60)]), ["linear"])
    assert few.table["low_evidence"].to_pylist() == [True]
    assert any("fewer than 30 conversions" in text for text in few.summary["notices"])


def test_fractional_counts_get_no_interval_and_say_so():
    result = tw.attribute(read_rows([(("a",), 40.5, 40.0, 60), (("b",), 3.25, 5.0, 9)]))
    assert result.table["share_low"].null_count == len(result.table)
    assert "no intervals: intervals need whole numbers of conversions and nulls" in result.summary["notices"]


def test_a_wider_level_gives_a_wider_interval_and_seeds_repeat():
    rows = [(("a",), 40, 40.0, 60), (("b", "a"), 30, 5.0, 90)]
    narrow, wide = (tw.attribute(read_rows(rows), ["linear"], level=level).table.to_pylist() for level in (0.8, 0.99))
    for a, b in zip(narrow, wide, strict=True):
        assert b["share_low"] < a["share_low"] < a["share_high"] < b["share_high"]
    again, other = (tw.attribute(read_rows(rows), ["linear"], level=0.8, seed=seed).table for seed in (0, 1))
    assert again.to_pylist() == narrow
    assert other["share_std_error"].to_pylist() != again["share_std_error"].to_pylist()
