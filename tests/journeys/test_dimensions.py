"""Dimensions of event logs: each value of a named column is a player of the journeys that meet it."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from tests.logs import DAY
from touchworth.errors import DataError, RequestError

LOG = """user,time,channel,conversion,device,land
u,2026-01-01,email,0,phone,fr
u,2026-01-02,ads,0,desk,
u,2026-01-03,,1,tablet,fr
v,2026-01-01,ads,0, phone ,de
v,2026-01-02,ads,1,,de
"""


def met(journeys):
    """Names of the dimension players of each journey."""
    found = journeys.dimensions
    return [[found.players[i] for i in found.items[a:b]] for a, b in pairwise(found.offsets)]


def journeys_of(tmp_path, text=LOG, **options):
    (tmp_path / "log.csv").write_text(text)
    return tw.read_events(tmp_path / "log.csv", **options)


def test_values_of_touches_and_of_the_closing_row(tmp_path):
    journeys = journeys_of(tmp_path, dimensions=["device", "land"])
    assert journeys.dimensions.players == ("device=desk", "device=phone", "device=tablet", "land=de", "land=fr")
    assert met(journeys) == [
        ["device=phone", "land=fr", "device=desk", "device=tablet"],
        ["device=phone", "land=de"],
    ]
    assert journeys.report.columns["dimension 1"] == "device"
    assert journeys.report.columns["dimension 2"] == "land"
    assert journeys.channels == ("ads", "email")


def test_none_asked_for(tmp_path):
    assert journeys_of(tmp_path).dimensions is None


def test_before_drop_and_transforms(tmp_path):
    journeys = journeys_of(tmp_path, dimensions="device", drop=["email"], transforms=["first"], lookback_steps=1)
    assert met(journeys)[0] == ["device=phone", "device=desk", "device=tablet"]


def test_lookback_cuts_dimensions_too(tmp_path):
    journeys = journeys_of(tmp_path, dimensions=["device"], lookback="1d")
    of = dict(zip(journeys.closing_time.tolist(), met(journeys), strict=True))
    assert ["device=phone"] in of.values()
    assert ["device=desk", "device=tablet"] in of.values()


def test_by_group_and_where_and_rejected_rows(tmp_path):
    text = LOG + "w,never,ads,0,watch,fr\n"
    groups = journeys_of(tmp_path, text, dimensions=["device"], by="land", max_rejects=0.5).groups
    assert met(groups["de"]) == [["device=phone"]]
    assert set(groups["fr"].dimensions.players) == {"device=desk", "device=phone", "device=tablet"}
    assert met(journeys_of(tmp_path, dimensions=["device"], where={"land": "de"})) == [["device=phone"]]


def test_conversions_apart_may_lack_the_column(tmp_path):
    (tmp_path / "c.csv").write_text("user,time,device\nu,2026-01-03,watch\n")
    (tmp_path / "d.csv").write_text("user,time\nu,2026-01-03\n")
    touches = "user,time,channel,device\nu,2026-01-01,ads,phone\n"
    found = journeys_of(tmp_path, touches, conversions_source=tmp_path / "c.csv", dimensions=["device"])
    assert met(found) == [["device=phone", "device=watch"]]
    found = journeys_of(tmp_path, touches, conversions_source=tmp_path / "d.csv", dimensions=["device"])
    assert met(found) == [["device=phone"]]


@pytest.mark.parametrize("by", [None, "land"])
def test_partitions_of_users_meet_the_same_players(tmp_path, by):
    rows = [f"u{i % 97},2026-01-{1 + i % 28:02},{'abc'[i % 3]},{i % 5 == 0:d},d{i % 4},{'de' if i % 7 else ''}\n"
            for i in range(1000)]  # fmt: skip
    text = "user,time,channel,conversion,device,land\n" + "".join(rows)
    held = journeys_of(tmp_path, text, dimensions=["device", "land"], by=by)
    parted = journeys_of(tmp_path, text, dimensions=["device", "land"], by=by, engine="partitions")
    pairs = [(held, parted)] if by is None else [(held.groups[name], parted.groups[name]) for name in held.groups]
    for whole, some in pairs:
        found = {}
        for part in some.parts():
            assert part.dimensions.players == whole.dimensions.players
            for i, names in enumerate(met(part)):
                key = part.users.ids[part.users.of_journey[i]].as_py(), int(part.closing_time[i])
                found.setdefault(key, []).append(sorted(names))
        expected = {}
        for i, names in enumerate(met(whole)):
            key = whole.users.ids[whole.users.of_journey[i]].as_py(), int(whole.closing_time[i])
            expected.setdefault(key, []).append(sorted(names))
        assert found == expected


def test_bad_dimensions(tmp_path):
    with pytest.raises(
        RequestError, match=r"column 'devise' for --dimension is not in the input; did you mean 'device'"
    ):
        journeys_of(tmp_path, dimensions=["devise"])
    with pytest.raises(RequestError, match=r"--dimension 'device' is named twice; name each column once"):
        journeys_of(tmp_path, dimensions=["device", "device"])
    text = "user,time,channel,a,a=b\nu,2026-01-01,ads,b=c,c\n"
    with pytest.raises(DataError, match=r"two dimensions have the player 'a=b=c'; rename one of the columns"):
        journeys_of(tmp_path, text, dimensions=["a", "a=b"])


ROW = st.tuples(
    st.sampled_from("uvw"),
    st.integers(0, 40),
    st.sampled_from(["x", "y", None]),
    st.booleans(),
    st.sampled_from(["1", "2", "3", "", None]),
    st.sampled_from(["p", "q"]),
)


@given(st.lists(ROW, min_size=1, max_size=40, unique_by=lambda row: row[:2]), st.sampled_from(["2d", "10d", None]))
@settings(max_examples=80, deadline=None)
def test_every_journey_meets_the_values_of_its_rows(rows, lookback):
    rows = [row for row in rows if row[2] is not None or row[3]] or [("u", 0, "x", False, "1", "p")]
    users, days, channels, flags, one, two = zip(*rows, strict=True)
    table = pa.table(
        {
            "user": list(users),
            "time": pa.array([day * DAY for day in days], pa.timestamp("us", "UTC")),
            "channel": pa.array(channels, pa.string()),
            "conversion": [int(flag) for flag in flags],
            "one": pa.array(one, pa.string()),
            "two": list(two),
        }
    )
    journeys = tw.read_events(table, dimensions=["one", "two"], lookback=lookback)
    ids = journeys.users.ids.to_pylist()
    for i, names in enumerate(met(journeys)):
        times = set(journeys.time[journeys.start[i] : journeys.stop[i]].tolist()) | {int(journeys.closing_time[i])}
        mine = [row for row in rows if row[0] == ids[journeys.users.of_journey[i]] and row[1] * DAY in times]
        expected = {f"one={row[4]}" for row in mine if row[4]} | {f"two={row[5]}" for row in mine}
        assert set(names) == expected
        assert len(names) == len(expected)
    plain = tw.read_events(table, lookback=lookback)
    assert plain.dimensions is None
    assert np.array_equal(plain.symbol, journeys.symbol)
    assert plain.accounting == journeys.accounting
