"""Scores of models against a truth."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

import touchworth as tw
from touchworth.errors import DataError, RequestError
from touchworth.simulate.channels import Channel
from touchworth.simulate.score import compare, rank_correlation
from touchworth.simulate.truth import KINDS

COLUMNS = ["truth", "model", "mean_abs_share_error", "rank_correlation", "worst_channel", "worst_error",
           "organic_share"]  # fmt: skip


def truth_of(**conversions):
    """A truth in which every channel causes so many (direct, total, shapley) conversions."""
    return {
        "seed": 0, "spec": {}, "users": 10, "zero_touch_users": 0, "clipped_users": 0, "organic_conversions": 5.0,
        "channels": {
            name: {kind: {"conversions": amount, "value": 0.0} for kind, amount in zip(KINDS, given, strict=True)}
            for name, given in conversions.items()
        },
    }  # fmt: skip


def credit_of(**models):
    rows = [{"model": m, "channel": c, "conversions": float(x)} for m, row in models.items() for c, x in row.items()]
    return pa.Table.from_pylist(rows)


def test_shares_and_errors_by_hand():
    truth = truth_of(a=(6, 2, 5), b=(3, 1, 5), c=(1, 1, 5))
    scores = tw.score(credit_of(good={"a": 60, "b": 30, "c": 10}, bad={"a": 0, "b": 5, "c": 5}), truth)
    assert scores.table.column_names == COLUMNS
    rows = {(row["truth"], row["model"]): row for row in scores.table.to_pylist()}
    assert list(rows) == [(kind, model) for kind in ("direct", "total", "shapley") for model in ("good", "bad")]
    assert rows["direct", "good"]["mean_abs_share_error"] == pytest.approx(0)
    assert rows["direct", "good"]["rank_correlation"] == pytest.approx(1)
    bad = rows["direct", "bad"]
    assert bad["mean_abs_share_error"] == pytest.approx((0.6 + 0.2 + 0.4) / 3)
    assert bad["worst_channel"] == "a"
    assert bad["worst_error"] == pytest.approx(-0.6)
    assert rows["total", "good"]["mean_abs_share_error"] == pytest.approx((0.1 + 0.05 + 0.15) / 3)
    assert rows["shapley", "good"]["rank_correlation"] is None
    assert all(row["organic_share"] == pytest.approx(0.25) for row in rows.values())
    assert scores.notices == ()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=8))
def test_rank_correlations_are_those_of_scipy(pairs):
    a, b = np.array(pairs, float).T
    found = rank_correlation(a, b)
    if found is None:
        assert np.ptp(a) == 0 or np.ptp(b) == 0
    else:
        assert found == pytest.approx(spearmanr(a, b).statistic)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=6), st.floats(0.001, 1000))
def test_a_credit_in_proportion_to_the_truth_has_no_error(amounts, scale):
    caused = np.array(amounts)
    found = compare(caused * scale, caused, tuple(map(str, range(caused.size))))
    assert found["mean_abs_share_error"] == pytest.approx(0, abs=1e-12)


@pytest.mark.simulation
def test_a_model_that_sees_every_touch_recovers_equal_channels(tmp_path):
    equal = [Channel(name, 0.03, 0.25, 100, 0, 1) for name in "abcd"]
    made = tw.simulate_journeys(30_000, channels=equal, seed=1)
    credit = tw.attribute(tw.read_events(made.table, lookback=None))
    scores = tw.score(credit, made.truth).table.to_pandas()
    assert (scores["mean_abs_share_error"] < 0.01).all()
    # A record, a table, a data frame and every file that the command writes are the same.
    (tmp_path / "truth.json").write_text(made.truth.to_json())
    expected = tw.score(credit, made.truth).table
    assert tw.score(credit.table, made.truth.to_dict()).table.equals(expected)
    assert tw.score(credit.to_pandas(), tmp_path / "truth.json").table.equals(expected)
    for extension in ("csv", "json", "jsonl", "parquet", "arrow"):
        credit.write(tmp_path / f"credit.{extension}")
        assert tw.score(tmp_path / f"credit.{extension}", str(tmp_path / "truth.json")).table.equals(expected)


def test_of_segments_the_whole_is_scored():
    made = tw.simulate_journeys(2000, seed=1)
    journeys = tw.read_events(made.table, lookback=None)
    split = tw.attribute(journeys, ["linear"], loyal_touches=9)
    whole = tw.attribute(journeys, ["linear"])
    assert tw.score(split, made.truth).table.equals(tw.score(whole, made.truth).table)


def test_a_channel_without_credit_has_none_and_a_total_of_nothing_leaves_the_score_undefined():
    scores = tw.score(credit_of(m={"a": 1}, nothing={"a": 0}), truth_of(a=(1, 0, -1), b=(1, 0, -1)))
    rows = {(row["truth"], row["model"]): row for row in scores.table.to_pylist()}
    assert rows["direct", "m"]["worst_error"] == pytest.approx(0.5)
    for key in (("total", "m"), ("shapley", "m"), ("direct", "nothing")):
        assert all(rows[key][name] is None for name in COLUMNS[2:6])
    assert any("the total effects sum to 0; shares of a total that is not positive are undefined" in text
               for text in scores.notices)  # fmt: skip
    assert any("the shapley effects sum to -2" in text for text in scores.notices)
    assert any("the credit of nothing sums to 0" in text for text in scores.notices)
    assert "total" in repr(scores)


def test_harmful_channels_are_scored_too():
    scores = tw.score(credit_of(m={"a": 1, "b": 1}), truth_of(a=(3, 3, 3), b=(-1, -1, -1)))
    row = scores.table.to_pylist()[0]
    assert row["worst_channel"] == "a"
    assert row["worst_error"] == pytest.approx(-1)
    assert not math.isnan(row["organic_share"])


@pytest.mark.parametrize(
    ("credit", "message"),
    [
        (credit_of(m={"x": 1}), r"holds the channel 'x', which the truth does not know; its channels are a"),
        (pa.table({"channel": ["a"], "conversions": [1.0]}), r"column 'model' for a credit table"),
        (pa.concat_tables([credit_of(m={"a": 1})] * 2), r"holds 'a' of the model 'm' twice; score one group"),
        (pa.table({"model": ["m"], "channel": ["a"], "conversions": ["much"]}), r"are 'much'; they must be a number"),
        (pa.table({"model": []}), r"the credit has no rows"),
        (3, r"the credit is a int; give a Credit"),
    ],
    ids=["unknown channel", "no model", "twice", "no number", "empty", "no table"],
)
def test_bad_credits_are_one_clear_sentence(credit, message):
    with pytest.raises((RequestError, DataError), match=message) as error:
        tw.score(credit, truth_of(a=(1, 1, 1)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"--truth t\.json is not JSON"),
        ("[]", r"holds a list; it must be the truth of simulated journeys"),
        ("{}", r"is not a truth of simulated journeys \(KeyError: 'channels'\)"),
        (json.dumps({"coalitions": {}}), r"is the truth of sessions; score needs the truth of journeys"),
    ],
)
def test_bad_truths_are_one_clear_sentence(tmp_path, text, message):
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises((RequestError, DataError), match=message):
        tw.score(credit_of(m={"a": 1}), path)
    with pytest.raises(DataError, match="there is no file"):
        tw.score(credit_of(m={"a": 1}), tmp_path / "none.json")


@pytest.mark.parametrize(("name", "text"), [("c.json", "{"), ("c.json", "[3]"), ("c.jsonl", "x\n"), ("c.parquet", "x")])
def test_bad_credit_files_are_one_clear_sentence(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=name):
        tw.score(tmp_path / name, truth_of(a=(1, 1, 1)))
