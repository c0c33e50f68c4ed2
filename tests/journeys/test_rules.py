"""Every rule by which rows become journeys: small cases by hand, random logs against the reference."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from tests import reference
from tests.logs import logs, read, row, table_of, taken
from touchworth.errors import DataError, RequestError

A, B, D = "a", "b", "direct"


def converted(*path, user="u", value=1.0):
    return (user, path, 1.0, 0.0, value)


def null(*path, user="u"):
    return (user, path, 0.0, 1.0, 0.0)


CASES = {
    "a conversion ends a journey and the next starts": (
        [row("u", 1, A), row("u", 2, B, True, 1.0), row("u", 3, A), row("u", 4, A, True, 2.0)],
        {},
        [converted(A, B), converted(A, A, value=2.0)],
    ),
    "touches after the last conversion form a null journey": (
        [row("u", 1, A, True, 1.0), row("u", 2, B)],
        {},
        [converted(A), null(B)],
    ),
    "a touch at the very time of a conversion without channel belongs to it": (
        [row("u", 5, None, True, 1.0), row("u", 5, A)],
        {},
        [converted(A)],
    ),
    "touches of equal time: before the converting touch, then by name": (
        [row("u", 1, "z"), row("u", 1, B, True, 1.0), row("u", 1, "c")],
        {},
        [converted("c", "z", B)],
    ),
    "the sequence column decides equal times": (
        [row("u", 1, "z", sequence=1), row("u", 1, B, True, 1.0, sequence=2), row("u", 1, "c", sequence=3)],
        {},
        [converted("z", B), null("c")],
    ),
    "a touch exactly as old as the lookback belongs, an older one forms a null journey": (
        [row("u", 0, A), row("u", 1, B), row("u", 11, A, True, 1.0)],
        {"lookback": "10d"},
        [null(A), converted(B, A)],
    ),
    "older touches are split where the gap exceeds the lookback": (
        [row("u", 0, A), row("u", 20, B), row("u", 21, B), row("u", 40, A, True, 1.0)],
        {"lookback": "10d"},
        [null(A), null(B, B), converted(A)],
    ),
    "without a lookback nothing is split": (
        [row("u", 0, A), row("u", 5000, B, True, 1.0), row("u", 9000, A)],
        {"lookback": "none"},
        [converted(A, B), null(A)],
    ),
    "an unattributed conversion has no touch in its lookback": (
        [row("u", 0, A), row("u", 50, None, True, 1.0)],
        {"lookback": "30d"},
        [null(A)],
    ),
    "two conversions without channel at one time: the first takes the touches": (
        [row("u", 1, A), row("u", 2, None, True, 1.0), row("u", 2, None, True, 2.0)],
        {},
        [converted(A)],
    ),
    "first conversion only: later touches are left out, not null": (
        [row("u", 1, A, True, 1.0), row("u", 2, B), row("u", 3, B, True, 9.0)],
        {"conversion_rule": "first"},
        [converted(A)],
    ),
    "open journeys count as null": ([row("u", 1, A), row("v", 40, B)], {}, [null(A), null(B, user="v")]),
    "open journeys can be left out": ([row("u", 1, A), row("v", 40, B)], {"open_journeys": "exclude"}, [null(A)]),
    "a journey whose last touch is exactly as old as the lookback is not open": (
        [row("u", 10, A), row("v", 40, B)],
        {"open_journeys": "exclude"},
        [null(A)],
    ),
    "drop removes a channel where any other remains": (
        [row("u", 1, D), row("u", 2, A), row("u", 3, D, True, 1.0), row("v", 1, D)],
        {"drop": [D]},
        [converted(A), null(D, user="v")],
    ),
    "lookback steps keep the last touches": (
        [row("u", 1, A), row("u", 2, B), row("u", 3, A, True, 1.0)],
        {"lookback_steps": 2},
        [converted(B, A)],
    ),
    "drop goes before lookback steps": (
        [row("u", 1, A), row("u", 2, B), row("u", 3, D, True, 1.0)],
        {"lookback_steps": 2, "drop": [D]},
        [converted(A, B)],
    ),
    "regroup goes before everything": (
        [row("u", 1, "google / cpc"), row("u", 1, "b"), row("u", 3, "x", True, 1.0)],
        {"regroup": {"google*": "ads", "b": "zeta", "*": "other"}, "drop": ["other"]},
        [converted("ads", "zeta")],
    ),
    "the period chooses conversions, earlier touches stay": (
        [row("u", 1, A), row("u", 10, B, True, 1.0), row("u", 20, A, True, 2.0), row("v", 3, A), row("w", 12, B)],
        {"since": "1970-01-10", "until": "1970-01-15"},
        [converted(A, B), null(B, user="w")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule(name):
    rows, options, expected = CASES[name]
    assert taken(read(rows, **options)) == sorted(expected)


PATH = ["D", "A", "B", "B", "C", "D", "C", "C"]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ("unique", "D A B B C D C C"),
        ("exposure", "D A B C D C"),
        ("first", "D A B C"),
        ("frequency", "D(2) A(1) B(2) C(3)"),
        ("trim_long=3", "D C C"),
        ("remove_if_not_all=D", "A B B C C C"),
        ("remove_if_last_and_not_all=C", "D A B B C D"),
        ("remove_if_last_and_not_all=D", "D A B B C D C C"),
    ],
)
def test_transform(transform, expected):
    rows = [row("u", day, channel, day == 7, 5.0) for day, channel in enumerate(PATH)]
    rows += [row("only", day, "D") for day in range(3)]
    journeys = read(rows, transforms=[transform])
    assert taken(journeys)[1] == ("u", tuple(expected.split()), 1.0, 0.0, 5.0)
    assert journeys.touches.sum() == 11, "touches are counted before transforms"
    credit = tw.attribute(journeys, models=["linear", "markov", "shapley"])
    assert set(credit.channels) == {"A", "B", "C", "D"}, "the channel is credited, not the symbol"
    assert sum(line["conversions"] for line in credit.table.to_pylist() if line["model"] == "markov") == pytest.approx(
        1
    )


def test_transforms_follow_one_another():
    rows = [row("u", day, channel, day == 7) for day, channel in enumerate(PATH)]
    assert taken(read(rows, transforms=["exposure", "trim_long=3"]))[0][1] == ("C", "D", "C")
    assert taken(read(rows, transforms=["trim_long=3", "exposure"]))[0][1] == ("D", "C")


def test_a_merged_run_keeps_its_last_time():
    rows = [row("u", 0, A), row("u", 7, A), row("u", 14, B, True, 1.0)]
    credit = tw.attribute(read(rows, transforms=["exposure"]), models=["time_decay"], half_life="7d")
    assert credit.table.to_pylist()[0]["conversions"] == pytest.approx(2 / 3)


def test_long_users_are_sorted_like_short_ones():
    rows = [row("u", (37 * i) % 101, "abc"[i % 3]) for i in range(101)]
    ordered = sorted(rows, key=lambda r: r["time"])
    assert taken(read(rows, lookback="none"))[0][1] == tuple(r["channel"] for r in ordered)


OPTIONS = st.fixed_dictionaries(
    {
        "lookback": st.sampled_from(["none", "1d", "3d", "8d", "30d"]),
        "conversion_rule": st.sampled_from(["each", "first"]),
        "open_journeys": st.sampled_from(["null", "exclude"]),
        "since": st.sampled_from([None, "1970-01-04", "1970-01-10T12:00"]),
        "until": st.sampled_from([None, "1970-01-12", "1970-01-16T00:00"]),
    }
).filter(lambda options: options["lookback"] != "none" or options["open_journeys"] == "null")
SINCE = {None: float("-inf"), "1970-01-04": 3, "1970-01-10T12:00": 9.5}
UNTIL = {None: float("inf"), "1970-01-12": 11.99999, "1970-01-16T00:00": 15}


@given(logs(), OPTIONS)
@settings(max_examples=150, deadline=None)
def test_random_logs_are_cut_as_the_definition_says(rows, options):
    journeys = read(rows, **options)
    lookback = float("inf") if options["lookback"] == "none" else float(options["lookback"][:-1])
    expected, account = reference.cut(
        rows,
        lookback=lookback,
        rule=options["conversion_rule"],
        open_journeys=options["open_journeys"],
        since=SINCE[options["since"]],
        until=UNTIL[options["until"]],
    )
    assert taken(journeys) == sorted(
        (j["user"], tuple(j["path"]), float(j["conversions"]), float(j["nulls"]), j["value"]) for j in expected
    )
    for name in ("unattributed_conversions", "later_conversions", "conversions_outside_period", "open_journeys",
                 "touches_left_out", "touches_outside_period", "touches_in_open_journeys", "later_value",
                 "unattributed_value"):  # fmt: skip
        assert journeys.accounting[name] == account[name], name


@given(logs(), OPTIONS, st.sampled_from([None, 1, 3]), st.sampled_from([(), ("direct",), ("direct", "ads")]))
@settings(max_examples=100, deadline=None)
def test_every_conversion_and_touch_is_accounted_for(rows, options, steps, drop):
    present = {r["channel"] for r in rows}
    options = options | {"lookback_steps": steps, "drop": [c for c in drop if c in present]}
    summary = tw.attribute(read(rows, **options), models=["linear"]).summary
    conversions = sum(r["converts"] for r in rows)
    assert summary["conversions"] + summary["conversions_outside_period"] == conversions
    assert summary["conversions"] == (
        summary["attributed_conversions"] + summary["unattributed_conversions"] + summary["later_conversions"]
    )
    assert summary["value"] == pytest.approx(
        summary["attributed_value"] + summary["unattributed_value"] + summary["later_value"]
    )
    touches = sum(r["channel"] is not None for r in rows)
    assert summary["touches_read"] == touches
    assert touches == sum(
        summary[name]
        for name in ("touches", "touches_left_out", "touches_outside_period", "touches_dropped",
                     "touches_in_open_journeys")
    )  # fmt: skip
    assert summary["conversions_without_channel"] == sum(r["converts"] and r["channel"] is None for r in rows)


@given(logs(), st.sampled_from(["exposure", "first", "frequency", "trim_long=2", "remove_if_not_all=direct",
                                "remove_if_last_and_not_all=direct"]))  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_random_paths_are_transformed_as_the_definition_says(rows, text):
    rows = [*rows, row("always", 0, "direct")]
    name, _, argument = text.partition("=")
    plain = taken(read(rows))
    changed = taken(read(rows, transforms=[text]))

    def expected(path):
        out = reference.transform(list(path), name, int(argument) if argument.isdigit() else argument)
        return tuple(f"{c}({n})" for c, n in out) if name == "frequency" else tuple(out)

    assert changed == sorted((user, expected(path), *rest) for user, path, *rest in plain)


def test_unknown_channels_and_useless_patterns_are_refused():
    rows = [row("u", 1, A), row("u", 2, B, True, 1.0)]
    with pytest.raises(RequestError, match="names a channel that does not occur; the channels are 'a', 'b'"):
        read(rows, drop=["c"])
    with pytest.raises(RequestError, match="--regroup changes no channel"):
        read(rows, regroup={"x*": "y"})


def test_paths_lengths_and_lags():
    rows = [row("u", 0, A), row("u", 2.5, B, True, 4.0), row("v", 0, A), row("v", 1, B, True, 6.0), row("w", 3, A)]
    found = tw.paths(read(rows))
    assert found.table.to_pylist() == [
        {"path": "a > b", "touches": 2, "conversions": 2.0, "value": 10.0, "nulls": 0.0, "conversion_rate": 1.0},
        {"path": "a", "touches": 1, "conversions": 0.0, "value": 0.0, "nulls": 1.0, "conversion_rate": 0.0},
    ]
    assert found.lengths.to_pydict() == {"touches": [1, 2], "conversions": [0.0, 2.0], "nulls": [1.0, 0.0]}
    assert found.lags.to_pydict() == {"days": [1, 2], "conversions": [1, 1]}
    assert len(tw.paths(read(rows), top=1).table) == 1
    with pytest.raises(RequestError, match="--top is 0"):
        tw.paths(read(rows), top=0)


def test_a_channel_that_contains_the_delimiter_cannot_be_joined():
    rows = [row("u", 1, "a > b"), row("u", 2, B, True, 1.0)]
    with pytest.raises(DataError, match=r"channel 'a > b' contains the path delimiter ' > '"):
        tw.paths(read(rows))
    assert tw.paths(read(rows, delimiter=" | ")).table["path"].to_pylist() == ["a > b | b"]


def test_groups_are_analysed_apart():
    rows = [row("u", 1, A), row("u", 2, B, True, 1.0), row("v", 1, A), row("v", 5, A, True, 1.0)]
    table = table_of(rows).append_column("country", [["de", "de", "at", "at"]])
    options = {"user": "user_id", "time": "time", "channel": "channel", "conversion": "conversion", "value": "value"}
    grouped = tw.read_events(table, by="country", **options)
    credit = tw.attribute(grouped, models=["linear"])
    assert credit.table.column_names[0] == "country"
    assert credit.table.select(["country", "channel", "conversions"]).to_pylist() == [
        {"country": "at", "channel": "a", "conversions": 1.0},
        {"country": "at", "channel": "b", "conversions": 0.0},
        {"country": "de", "channel": "a", "conversions": 0.5},
        {"country": "de", "channel": "b", "conversions": 0.5},
    ]
    assert credit.summary["groups"]["at"]["journeys"] == 1
    assert len(credit.journey_credit()) == 3
    assert tw.paths(grouped).table["country"].to_pylist() == ["at", "de"]
