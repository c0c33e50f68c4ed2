"""Spend given after the attribution: the same as given before."""

import pytest

import touchworth as tw
from touchworth.errors import RequestError

SPEND = {"Email": 100.0, "Affiliate": 250.0, "Paid Social": 80.0}


@pytest.fixture(scope="module")
def journeys():
    return tw.read_events(tw.simulate_journeys(300, seed=3).to_arrow())


@pytest.mark.parametrize("loyal", [None, 4])
def test_spend_can_follow(journeys, loyal):
    before = tw.attribute(journeys, ["markov", "linear"], spend=SPEND, loyal_touches=loyal)
    after = tw.attribute(journeys, ["markov", "linear"], loyal_touches=loyal).with_spend(SPEND)
    assert after.table.equals(before.table)
    assert set(before.summary["notices"]) == set(after.summary["notices"])


def test_totals_and_costs_per_touch_can_be_mixed(journeys):
    credit = tw.attribute(journeys, ["linear"])
    touches = dict(zip(journeys.channels, journeys.touches_read, strict=True))
    mixed = credit.with_spend({"Email": 100.0}, {"Affiliate": 2.0}).table.to_pylist()
    spend = {row["channel"]: row["spend"] for row in mixed}
    assert spend["Email"] == 100.0
    assert spend["Affiliate"] == 2.0 * touches["Affiliate"]
    assert spend["Paid Search"] is None


def test_what_cannot_be_is_refused(journeys):
    credit = tw.attribute(journeys, ["linear"])
    with pytest.raises(RequestError, match="channel 'Email' has a total and a cost per touch"):
        credit.with_spend({"Email": 1.0}, {"Email": 1.0})
    with pytest.raises(RequestError, match="names none of the channels"):
        credit.with_spend({"Radio": 1.0})
