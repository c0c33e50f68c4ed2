"""Some of the players: the same as reading only these."""

import numpy as np
import pyarrow as pa
import pytest

import touchworth as tw
from touchworth.errors import RequestError
from touchworth.synergy.journeys import journey_sessions
from touchworth.synergy.select import keep_players


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(5)
    columns = {name: random.integers(0, 2, 400) for name in "abcd"}
    return pa.table(columns | {"converted": random.integers(0, 2, 400)})


def test_kept_players_give_the_family_of_those_columns(table):
    whole = tw.read_sessions(table, target="converted")
    kept = tw.synergies(keep_players(whole, ["d", "b"])).table
    read = tw.synergies(tw.read_sessions(table, target="converted", players=["b", "d"])).table
    assert kept.equals(read)


def test_kept_channels_of_journeys_leave_every_journey_there():
    made = tw.simulate_journeys(300, seed=2).to_arrow()
    sessions = journey_sessions(tw.read_events(made))
    kept = keep_players(sessions, ["Email", "Affiliate"])
    assert kept.rows == sessions.rows
    assert kept.players == ("Affiliate", "Email")
    whole = {row["coalition"]: row for row in tw.synergies(sessions, max_size=2, min_support=0).table.to_pylist()}
    for row in tw.synergies(kept, max_size=2, min_support=0).table.to_pylist():
        for name in ("support", "conversions", "rate", "synergy", "contrast"):
            assert row[name] == pytest.approx(whole[row["coalition"]][name]), (row["coalition"], name)


def test_unknown_or_no_players_are_refused(table):
    sessions = tw.read_sessions(table, target="converted")
    with pytest.raises(RequestError, match="column 'e' for a player is not in the input"):
        keep_players(sessions, ["a", "e"])
    with pytest.raises(RequestError, match="no player is left"):
        keep_players(sessions, [])
