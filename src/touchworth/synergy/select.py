"""Some of the players of sessions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from touchworth.errors import RequestError, missing_column
from touchworth.sources.records import Sessions

__all__ = ["keep_players"]


def keep_players(sessions: Sessions, names: Sequence[str]) -> Sessions:
    """The same sessions with these players only, in the order of the sessions' own.

    Raises
    ------
    RequestError
        No name, or one that is no player.
    """
    wanted, there = set(names), set(sessions.players)
    for name in names:
        if name not in there:
            raise missing_column(name, sessions.players, "a player")
    if not names:
        raise RequestError("no player is left; name at least one")
    kept = [place for place, name in enumerate(sessions.players) if name in wanted]
    players = tuple(sessions.players[place] for place in kept)
    if sessions.bits is not None:
        return replace(sessions, players=players, bits=tuple(sessions.bits[place] for place in kept))
    assert sessions.offsets is not None
    assert sessions.items is not None
    code = np.full(len(sessions.players), -1, np.int32)
    code[kept] = np.arange(len(kept), dtype=np.int32)
    items = code[sessions.items]
    ends = np.concatenate([[0], np.cumsum(items >= 0)])
    return replace(sessions, players=players, offsets=ends[sessions.offsets], items=items[items >= 0])
