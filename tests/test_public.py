"""The public names, and results as records."""

import dataclasses

import pytest

import touchworth as tw
from touchworth.attribution.models import MODELS
from touchworth.errors import RequestError
from touchworth.journeys.rules import make_rules, parse_duration, parse_moment


def test_public_names_are_sorted_and_all_there():
    assert tw.__all__ == sorted(tw.__all__)
    for name in tw.__all__:
        assert getattr(tw, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tw.nothing


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("30d", 30 * 86_400 * 10**6), ("12h", 43_200 * 10**6), ("1.5m", 90 * 10**6), ("none", None), (None, None)],
)
def test_durations(text, microseconds):
    assert parse_duration(text, "--lookback") == microseconds


@pytest.mark.parametrize("text", ["30", "d", "-3d", "0d", "3 weeks"])
def test_bad_durations_say_what_is_right(text):
    with pytest.raises(RequestError, match="--lookback is"):
        parse_duration(text, "--lookback")


def test_an_until_day_is_included_whole_and_zones_are_kept():
    day = parse_moment("2026-03-02", "--until", end=True)
    assert day == parse_moment("2026-03-03", "--since") - 1
    assert parse_moment("2026-03-02T01:00", "--since", "Europe/Berlin") == parse_moment("2026-03-02", "--since")
    assert parse_moment("2026-03-02T02:00+02:00", "--since") == parse_moment("2026-03-02", "--since")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"conversion_rule": "last"}, "--conversion-rule is 'last'; it must be one of 'each', 'first'"),
        ({"open_journeys": "drop"}, "--open is 'drop'"),
        ({"lookback": None, "open_journeys": "exclude"}, "--open exclude needs a lookback"),
        ({"lookback_steps": 0}, "--lookback-steps is 0"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "is later than --until"),
        ({"since": "soon"}, "--since is 'soon'; write a date such as"),
        ({"timezone": "Mars/Base", "since": "2026-02-01"}, "--timezone is 'Mars/Base'"),
        ({"transforms": ["shuffle"]}, "--transform is 'shuffle'; it must be one of 'unique'"),
        ({"transforms": ["trim_long=0"]}, "write trim_long=N with N of 1 or more"),
        ({"transforms": ["remove_if_not_all="]}, "write remove_if_not_all=CHANNEL"),
    ],
)
def test_bad_rules_are_one_clear_sentence(rules, message):
    with pytest.raises(RequestError, match=message):
        make_rules(**rules)


def test_every_model_says_what_it_is():
    for name, model in MODELS.items():
        assert len(model.definition) > 20, name
        assert dataclasses.is_dataclass(model)
