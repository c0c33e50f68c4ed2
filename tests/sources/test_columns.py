"""Detection of roles: names first, contents between equals, never a guess."""

from datetime import datetime

import pyarrow as pa
import pytest

from touchworth.errors import RequestError
from touchworth.sources.columns import plain_name
from touchworth.sources.events import load_events


def roles_of(columns, **options):
    return load_events(pa.table(columns), max_rejects=1, **options).report


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {
                "customer_id": ["a"],
                "time": ["2026-01-02"],
                "interaction": ["click"],
                "conversion": [1],
                "conversion_value": [2.0],
                "channel": ["x"],
            },
            {
                "user": "customer_id",
                "time": "time",
                "channel": "channel",
                "conversion": "conversion",
                "value": "conversion_value",
            },
        ),
        (
            {
                "timestamp": [0.5e9],
                "uid": [7],
                "campaign": [3],
                "conversion": [0],
                "conversion_timestamp": [-1],
                "cost": [0.1],
            },
            {"user": "uid", "time": "timestamp", "channel": "campaign", "conversion": "conversion", "cost": "cost"},
        ),
        (
            {
                "fullVisitorId": ["1"],
                "visitStartTime": [1_500_000_000],
                "channelGrouping": ["x"],
                "Total Revenue": [1.5],
            },
            {"user": "fullVisitorId", "time": "visitStartTime", "channel": "channelGrouping", "value": "Total Revenue"},
        ),
        (
            {"User ID": ["a"], "when": [datetime(2026, 1, 2)], "Marketing Channel": ["x"], "Converted": [True]},
            {"user": "User ID", "time": "when", "channel": "Marketing Channel", "conversion": "Converted"},
        ),
    ],
)
def test_detected_roles(columns, expected):
    report = roles_of(columns)
    assert report.columns == expected
    assert set(report.detected) == set(expected)


def test_named_roles_win():
    columns = {"user": ["a"], "visitor": ["b"], "time": ["2026-01-02"], "channel": ["x"], "value": [1.0]}
    report = roles_of(columns, user="visitor", value="")
    assert report.columns == {"user": "visitor", "time": "time", "channel": "channel"}
    assert set(report.detected) == {"time", "channel"}


def test_two_of_one_rank_are_ambiguous():
    columns = {"user_id": ["a"], "customer_id": ["b"], "time": ["2026-01-02"], "channel": ["x"]}
    with pytest.raises(
        RequestError, match=r"the user could be any of the columns 'user_id', 'customer_id'; say which with --user"
    ):
        roles_of(columns)
    columns = {"user": ["a"], "opened": ["2026-01-02"], "closed": ["2026-01-03"], "channel": ["x"]}
    with pytest.raises(
        RequestError, match=r"the time could be any of the columns 'opened', 'closed'; say which with --time"
    ):
        roles_of(columns)


def test_contents_decide_between_names():
    columns = {"user": ["a"], "date": ["2026-01-02"], "day": ["Tuesday"], "channel": ["x"]}
    assert roles_of(columns).columns["time"] == "date"


def test_a_role_that_nothing_plays():
    with pytest.raises(
        RequestError,
        match=r"no column of pyarrow Table looks like the channel; name it with --channel "
        r"\(the columns are 'user', 'time'\)",
    ):
        roles_of({"user": ["a"], "time": ["2026-01-02"]})


@pytest.mark.parametrize(
    ("name", "plain"), [("fullVisitorId", "full_visitor_id"), (" User-ID ", "user_id"), ("TIME", "time")]
)
def test_plain_names(name, plain):
    assert plain_name(name) == plain
