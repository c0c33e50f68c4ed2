"""Models against their definitions, and what no model may depend on."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from tests import reference
from tests.logs import CHANNELS, as_items, credits_of, logs, path_rows, read, read_rows, row
from touchworth.attribution.models import DEFAULT_MODELS, MODELS

ALL = list(MODELS)
PER_JOURNEY = [name for name in DEFAULT_MODELS if name not in ("markov",)]


def close(found, expected, scale=1.0):
    for channel in set(found) | set(expected):
        assert found.get(channel, 0.0) == pytest.approx(
            scale * float(expected.get(channel, 0.0)), rel=1e-9, abs=1e-9
        ), channel


@given(path_rows(), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_every_model_equals_its_definition_on_path_tables(rows, order):
    items = as_items(rows)
    result = tw.attribute(read_rows(rows), models=ALL, order=order, half_life=2)
    found, found_value = credits_of(result), credits_of(result, "value")
    channels = sorted({c for path, *_ in rows for c in path})
    for name in PER_JOURNEY:
        conversions, value = reference.credit(name, items, half_life=2)
        close(found[name], conversions)
        close(found_value[name], value)
    conversions, value = reference.markov_credit(items, order, channels)
    close(found["markov"], conversions)
    close(found_value["markov"], value)
    effects = {r["channel"]: r["removal_effect"] for r in result.removal.to_pylist()}
    close(effects, {c: pair[0] for c, pair in reference.removal_effects(items, order, channels).items()})
    positions = {(r["channel"], r["position"]): r["conversions"] for r in result.positions.to_pylist()}
    close(positions, {key: value for key, value in reference.ordered_shapley(items).items() if value})


@given(path_rows(most=8, channels=CHANNELS[:4]))
@settings(max_examples=40, deadline=None)
def test_shapley_values_equal_the_sum_over_coalitions_and_over_orders(rows):
    items = as_items(rows)
    found = credits_of(tw.attribute(read_rows(rows), models=["shapley", "shapley_rate"]))
    channels = sorted({c for path, *_ in rows for c in path})
    close(found["shapley"], reference.shapley_by_factorials(channels, reference.conversions_within(items)))
    rate = reference.rate_within(items)
    phi = reference.shapley_by_factorials(channels, rate)
    assert phi == reference.shapley_by_orders(channels, rate)
    total = sum(item["conversions"] for item in items)
    close(found["shapley_rate"], phi, total / float(rate(frozenset(channels))))


def test_beyond_twenty_channels_the_rate_game_is_sampled_with_its_error(monkeypatch):
    from touchworth.attribution import shapley

    rows = [((f"c{i:02d}",), i % 7, 10.0, 30) for i in range(18)]
    rows += [((f"c{i:02d}", f"c{(i + 5) % 18:02d}"), 3 + i % 5, 5.0, 9) for i in range(18)]
    exact = credits_of(tw.attribute(read_rows(rows), models=["shapley_rate"]))["shapley_rate"]
    monkeypatch.setattr(shapley, "EXACT_CHANNELS", 5)
    result = tw.attribute(read_rows(rows), models=["shapley_rate"], seed=3)
    sampled = result.estimates["shapley_rate", "all"]
    gaps = [abs(exact[c] - sampled.conversions[i]) for i, c in enumerate(result.channels)]
    assert max(gap / error for gap, error in zip(gaps, sampled.sampling_error, strict=True)) < 4
    assert sampled.sampling_error.max() < 0.05 * sampled.conversions.sum()
    assert any("permutations; sampling error up to" in text for text in result.summary["notices"])


@given(logs(ties=False), st.sampled_from(["1d", "7d"]))
@settings(max_examples=50, deadline=None)
def test_time_decay_uses_real_ages(rows, half_life):
    rows = [*rows, row("always", 2, "tv", True, 3.0)]
    journeys, _ = reference.cut(rows)
    found = credits_of(tw.attribute(read(rows, lookback="none"), models=["time_decay"], half_life=half_life))
    conversions, _ = reference.credit("time_decay", journeys, half_life=float(half_life[0]))
    close(found["time_decay"], conversions)


@given(path_rows(), st.permutations(range(5)), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_renaming_channels_renames_the_credit(rows, order, markov_order):
    names = dict(zip(CHANNELS, [f"x{k}" for k in order], strict=True))
    # `direct` is special by its name: last_non_direct must know the new one.
    options = {"models": ALL, "order": markov_order}
    before = credits_of(tw.attribute(read_rows(rows), **options))
    renamed = [(tuple(names[c] for c in path), *rest) for path, *rest in rows]
    after = credits_of(tw.attribute(read_rows(renamed), direct=[names["direct"]], **options))
    for model, credit in before.items():
        close(after[model], {names[c]: amount for c, amount in credit.items()})


@given(path_rows(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_changes_nothing_not_even_the_intervals(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    first, second = (tw.attribute(read_rows(part), models=ALL) for part in (rows, shuffled))
    for column in ("conversions", "value", "share", "share_std_error"):
        for model, credit in credits_of(first, column).items():
            for channel, amount in credit.items():
                other = credits_of(second, column)[model][channel]
                assert (other is None) == (amount is None)
                assert amount is None or other == pytest.approx(amount, rel=1e-9, abs=1e-12)


@given(logs(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_events_changes_nothing(rows, random):
    rows = [*rows, row("always", 2, "tv", True, 3.0)]
    shuffled = list(rows)
    random.shuffle(shuffled)
    first, second = (credits_of(tw.attribute(read(part), models=ALL)) for part in (rows, shuffled))
    for model, credit in first.items():
        close(second[model], credit)


@given(path_rows(), st.data())
@settings(max_examples=30, deadline=None)
def test_splitting_a_row_changes_nothing(rows, data):
    place = data.draw(st.integers(0, len(rows) - 1))
    path, conversions, value, nulls = rows[place]
    part = data.draw(st.integers(0, conversions))
    part_nulls = data.draw(st.integers(0, nulls))
    unit = value / conversions if conversions else 0.0
    pieces = [
        (path, part, unit * part, part_nulls),
        (path, conversions - part, unit * (conversions - part), nulls - part_nulls),
    ]
    split = rows[:place] + [piece for piece in pieces if piece[1] + piece[3]] + rows[place + 1 :]
    before, after = (tw.attribute(read_rows(part, duplicates="sum"), models=ALL) for part in (rows, split))
    for what in ("conversions", "value"):
        for model, credit in credits_of(before, what).items():
            close(credits_of(after, what)[model], credit)


@given(path_rows(), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_twice_the_rows_give_twice_the_credit(rows, order):
    once = tw.attribute(read_rows(rows), models=ALL, order=order)
    twice = tw.attribute(read_rows(rows + rows, duplicates="sum"), models=ALL, order=order)
    for model, credit in credits_of(once).items():
        close(credits_of(twice)[model], credit, 2.0)


@given(path_rows(), st.sampled_from([0.25, 3.0, 1000.0]))
@settings(max_examples=30, deadline=None)
def test_scaled_values_scale_the_credited_value_only(rows, factor):
    scaled = [(path, conversions, value * factor, nulls) for path, conversions, value, nulls in rows]
    before, after = (tw.attribute(read_rows(part), models=ALL) for part in (rows, scaled))
    for model, credit in credits_of(before, "value").items():
        close(credits_of(after, "value")[model], credit, factor)
        close(credits_of(after)[model], credits_of(before)[model])


@given(path_rows())
@settings(max_examples=30, deadline=None)
def test_a_channel_without_journeys_gets_nothing_and_changes_nothing(rows):
    # A channel whose only touch is older than every journey in the period never occurs in one.
    log = [row("u", 1, "ghost"), row("u", 40, "ads", True, 2.0), row("v", 41, "tv"), row("w", 42, "ads", True, 3.0)]
    with_ghost = tw.attribute(read(log, since="1970-02-01", lookback="2d"), models=ALL)
    without = tw.attribute(read(log[1:], since="1970-02-01", lookback="2d"), models=ALL)
    for model, credit in credits_of(without).items():
        close(credits_of(with_ghost)[model], credit | {"ghost": 0.0})
    absent = [r for r in with_ghost.properties.to_pylist() if r["property"] == "absent channel"]
    assert all(r["holds"] and r["promised"] for r in absent)


@given(path_rows(), st.integers(1, 4), st.sampled_from([None, 1, 2]))
@settings(max_examples=40, deadline=None)
def test_promised_properties_hold(rows, order, loyal):
    result = tw.attribute(read_rows(rows), models=ALL, order=order, loyal_touches=loyal)
    broken = [r for r in result.properties.to_pylist() if r["promised"] and r["holds"] is False]
    if loyal is not None:
        # A segment in which nobody converts has no removal effects: its credits are 0, and so is its total.
        assert not [r for r in broken if r["segment"] == "all"]
    assert not broken
    totals = {}
    for (model, segment), estimate in result.estimates.items():
        if MODELS[model].efficient:
            totals.setdefault(segment, set()).add(round(float(estimate.conversions.sum()), 6))
    assert all(len(values) == 1 for values in totals.values()), "all models divide the same conversions"


def test_symmetric_channels_are_found_and_credited_alike():
    rows = [
        (("a", "c"), 4, 8.0, 6),
        (("b", "c"), 4, 8.0, 6),
        (("c",), 1, 1.0, 9),
        (("a", "b"), 2, 2.0, 2),
        (("b", "a"), 2, 2.0, 2),
    ]
    result = tw.attribute(read_rows(rows), models=ALL)
    found = {r["model"]: r for r in result.properties.to_pylist() if r["property"] == "symmetry"}
    for model in ALL:
        assert found[model]["holds"] is True, model
        assert found[model]["detail"].startswith("1 pairs of interchangeable channels")


def test_loyal_and_disloyal_divide_the_conversions():
    rows = [(("a",), 5, 5.0, 40), (("a", "b"), 3, 9.0, 10), (("b", "a", "b"), 4, 4.0, 10), (("c", "b"), 30, 60.0, 5)]
    result = tw.attribute(read_rows(rows), models=["linear", "markov", "shapley"], loyal_touches=2)
    parts = {segment: credits_of(result, segment=segment) for segment in ("all", "loyal", "disloyal")}
    for name in ("linear", "shapley"):
        close(parts["all"][name], {c: parts["loyal"][name][c] + parts["disloyal"][name][c] for c in "abc"})
    assert sum(parts["loyal"]["markov"].values()) == pytest.approx(38)
    loyal_rows = [item for item in as_items(rows) if len(item["path"]) <= 2]
    losing = [item | {"conversions": 0, "value": 0.0} for item in as_items(rows) if len(item["path"]) > 2]
    conversions, _ = reference.markov_credit(loyal_rows + losing, 1, "abc")
    close(parts["loyal"]["markov"], conversions)
    table = result.difference("linear", "linear", segment="loyal", other_segment="disloyal").to_pylist()
    told = {r["channel"]: r for r in result.summary["loyalty"]["linear"]}
    for line in table:
        assert told[line["channel"]]["difference"] == line["difference"]
        assert line["low"] < line["difference"] < line["high"]


@given(logs())
@settings(max_examples=40, deadline=None)
def test_journey_credit_adds_up_to_the_credit(rows):
    rows = [*rows, row("always", 2, "tv", True, 3.0)]
    result = tw.attribute(read(rows))
    sums, worth = {}, {}
    for line in result.journey_credit().to_pylist():
        key = line["model"], line["channel"]
        sums[key] = sums.get(key, 0.0) + line["conversions"]
        worth[key] = worth.get(key, 0.0) + line["value"]
    for line in result.table.to_pylist():
        if line["model"] != "markov":
            key = line["model"], line["channel"]
            assert sums.get(key, 0.0) == pytest.approx(line["conversions"], rel=1e-9, abs=1e-9)
            assert worth.get(key, 0.0) == pytest.approx(line["value"], rel=1e-9, abs=1e-9)


def test_journey_credit_names_user_and_journey():
    rows = [row("u", 1, "ads"), row("u", 2, "tv", True, 4.0), row("u", 3, "tv", True, 6.0)]
    lines = tw.attribute(read(rows), models=["first_touch"]).journey_credit().to_pylist()
    assert lines == [
        {"user": "u", "journey": 1, "model": "first_touch", "channel": "ads", "conversions": 1.0, "value": 4.0},
        {"user": "u", "journey": 2, "model": "first_touch", "channel": "tv", "conversions": 1.0, "value": 6.0},
    ]


def test_money_per_model():
    rows = [(("a",), 10, 100.0, 90), (("b",), 30, 600.0, 70), (("c",), 0, 0.0, 10)]
    result = tw.attribute(read_rows(rows), models=["linear"], spend={"a": 50.0, "b": 100.0, "d": 9.0})
    lines = {r["channel"]: r for r in result.table.to_pylist()}
    assert lines["a"]["cost_per_conversion"] == 5.0
    assert lines["a"]["roas"] == 2.0
    assert lines["b"]["spend_share"] == pytest.approx(2 / 3)
    assert lines["b"]["roas_low"] < 6.0 < lines["b"]["roas_high"]
    assert (
        lines["b"]["cost_per_conversion_low"]
        < lines["b"]["cost_per_conversion"]
        < lines["b"]["cost_per_conversion_high"]
    )
    assert lines["c"]["spend"] is None
    assert any("'d'" in text for text in result.summary["notices"])
    clicks = tw.attribute(read_rows(rows), models=["linear"], cpc={"a": 0.5, "b": 1.0, "c": 2.0})
    assert {r["channel"]: r["spend"] for r in clicks.table.to_pylist()} == {"a": 50.0, "b": 100.0, "c": 20.0}


def test_cost_of_touches_is_summed_by_channel_over_the_period():
    rows = [row("u", 1, "a"), row("u", 5, "b", True, 9.0), row("v", 6, "a")]
    table = pa.table(
        {
            "user_id": ["u", "u", "v"],
            "time": pa.array([r["time"] * 86_400_000_000 for r in rows], pa.timestamp("us")),
            "channel": ["a", "b", "a"],
            "conversion": [0, 1, 0],
            "value": [0.0, 9.0, 0.0],
            "cost": [1.5, 2.0, 4.0],
        }
    )
    lines = tw.attribute(tw.read_events(table, cost="cost"), models=["last_touch"]).table.to_pylist()
    assert {r["channel"]: r["spend"] for r in lines} == {"a": 5.5, "b": 2.0}
    later = tw.attribute(
        tw.read_events(table, cost="cost", since="1970-01-04"), models=["last_touch"]
    ).table.to_pylist()
    assert {r["channel"]: r["spend"] for r in later} == {"a": 4.0, "b": 2.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["markow"]}, "--model is 'markow'; it must be one of 'first_touch'"),
        ({"order": 0}, "--order is 0; it must be 1 or more"),
        ({"half_life": "7d"}, "the input has no times; write a number of touches"),
        ({"half_life": "-1"}, "it must be a number of touches above 0"),
        ({"first_weight": 0.7, "last_weight": 0.6}, "sum to 1.3; they may not exceed 1"),
        ({"level": 95}, "--level is 95; it must lie between 0 and 1"),
        ({"buckets": 1}, "--buckets is 1; it must be 2 or more"),
        ({"loyal_touches": 0}, "--loyal-touches is 0"),
        ({"spend": {"x": 1.0}}, "--spend names none of the channels"),
        ({"spend": {"a": -1.0}}, "--spend gives -1.0 for 'a'"),
        ({"spend": {"a": 1.0}, "cpc": {"a": 1.0}}, "exclude each other"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_bad_requests_are_one_clear_sentence(options, message):
    with pytest.raises(tw.RequestError, match=message):
        tw.attribute(read_rows([(("a",), 3, 3.0, 1)]), **options)


def test_undefined_shares_are_zero_and_say_so():
    nobody = tw.attribute(read_rows([(("a",), 0, 0.0, 5), (("a", "b"), 0, 0.0, 2)]), models=["markov", "linear"])
    assert set(credits_of(nobody)["markov"].values()) == {0.0}
    assert any("removal effects are undefined" in text for text in nobody.summary["notices"])
    refunds = [(("a",), 5, -50.0, 5), (("b",), 5, 60.0, 5)]
    mixed = tw.attribute(read_rows(refunds), models=["markov"])
    assert set(credits_of(mixed, "value")["markov"].values()) == {0.0}
    assert sum(credits_of(mixed)["markov"].values()) == pytest.approx(10)
    assert any("shares of value are undefined" in text for text in mixed.summary["notices"])
