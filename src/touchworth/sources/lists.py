"""Sessions as lists of players: pairs grouped by session, repeats dropped, players chosen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.kernels import kernel
from touchworth.sources.outcomes import Outcomes
from touchworth.sources.records import ReadReport, Sessions

__all__ = ["choose_players", "group_pairs", "missing_item", "sessions_of_lists"]


def sessions_of_lists(
    names: Sequence[str],
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    outcome: Outcomes,
    report: ReadReport,
    notices: list[str],
    *,
    players: Sequence[str] | None,
    no_players: Sequence[str] = (),
    value_is_target: bool = False,
) -> Sessions:
    """The record of sessions whose players are named by ``names[item]``.

    Parameters
    ----------
    offsets, items
        Session i holds ``items[offsets[i]:offsets[i + 1]]``, in any order, perhaps repeated.
    players
        The only names that are players, or None for all.
    no_players
        Names that are none.

    Raises
    ------
    RequestError
        A player that is in no session.
    DataError
        No player is left.
    """
    rows = offsets.size - 1
    counts, repeats = count_sessions(offsets, items, len(names))
    comparing = outcome.converted is not None or outcome.value is not None
    new, kept = choose_players(names, counts, rows, players, no_players, notices, drop_constant=comparing)
    offsets, items = renumber(offsets, items, new)
    if repeats:
        notices.append(f"{repeats:,} players that stand in a session more than once count once")
    return Sessions(
        players=tuple(kept),
        rows=rows,
        bits=None,
        offsets=offsets,
        items=items,
        converted=outcome.converted,
        value=outcome.value,
        value_is_target=value_is_target,
        weight=outcome.weight,
        user_hash=outcome.user_hash,
        report=replace(
            report,
            duplicates_removed=repeats if report.shape == "long" else 0,
            notices=tuple(dict.fromkeys(notices)),
        ),
    )


def choose_players(
    names: Sequence[str],
    counts: NDArray[np.int64],
    rows: int,
    players: Sequence[str] | None,
    no_players: Sequence[str],
    notices: list[str],
    *,
    drop_constant: bool,
) -> tuple[NDArray[np.int32], list[str]]:
    """New number of each name (int32, -1 where it is no player) and the names of the players.

    Where sessions have an outcome, a player that is in every session cannot be compared and is left out.
    """
    if players is not None:
        known = set(names)
        for name in players:
            if name not in known:
                raise missing_item("--player", name, names)
        chosen = set(players)
    else:
        chosen = set(names)
    chosen -= set(no_players)
    always = [name for name, count in zip(names, counts.tolist(), strict=True) if name in chosen and count == rows]
    if always and drop_constant:
        chosen -= set(always)
        shown = ", ".join(map(repr, always[:12])) + (", ..." if len(always) > 12 else "")
        notices.append(f"{len(always):,} players are in every session and are left out: {shown}")
    never = [name for name in players or () if not counts[names.index(name)]]
    if never:
        notices.append(f"{len(never):,} players are in no session and are left out: {', '.join(map(repr, never[:12]))}")
    new = np.full(len(names), -1, np.int32)
    kept = [place for place, name in enumerate(names) if name in chosen and counts[place]]
    if not kept:
        raise DataError(
            f"no player is left: {', '.join(map(repr, always[:12]))} are in all {rows:,} sessions"
            if always
            else f"no player is left in {rows:,} sessions"
        )
    new[kept] = np.arange(len(kept), dtype=np.int32)
    return new, [names[place] for place in kept]


def missing_item(option: str, name: str, names: Sequence[str]) -> RequestError:
    """Error for an id or a feature that is in no session, with the nearest ones."""
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=3, cutoff=0.5)
    known = ", ".join(map(repr, near or names[:10])) + ("" if near or len(names) <= 10 else ", ...")
    return RequestError(
        f"{option} is {name!r}, which is in no session; {'did you mean' if near else 'there are'} {known}"
    )


@kernel
def group_pairs(
    session: NDArray[np.int64], item: NDArray[np.int32], sessions: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Items by session, in the order given: offsets (sessions + 1,) and items; a session below 0 is none."""
    offsets = np.zeros(sessions + 1, np.int64)
    for one in session:
        if one >= 0:
            offsets[one + 1] += 1
    for i in range(sessions):
        offsets[i + 1] += offsets[i]
    place = offsets[:-1].copy()
    items = np.empty(offsets[sessions], np.int32)
    for i in range(session.size):
        if session[i] >= 0:
            items[place[session[i]]] = item[i]
            place[session[i]] += 1
    return offsets, items


@kernel
def count_sessions(offsets: NDArray[np.int64], items: NDArray[np.int32], players: int) -> tuple[NDArray[np.int64], int]:
    """Sessions of each player, and how often one stands in a session again."""
    counts = np.zeros(players, np.int64)
    last = np.full(players, -1, np.int64)
    repeats = 0
    for i in range(offsets.size - 1):
        for at in range(offsets[i], offsets[i + 1]):
            if last[items[at]] == i:
                repeats += 1
            else:
                last[items[at]] = i
                counts[items[at]] += 1
    return counts, repeats


@kernel
def renumber(
    offsets: NDArray[np.int64], items: NDArray[np.int32], new: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Give each item its new number, without those below 0 and without repeats inside a session."""
    last = np.full(new.size, -1, np.int64)
    out_offsets = np.zeros(offsets.size, np.int64)
    out = np.empty(items.size, np.int32)
    filled = 0
    for i in range(offsets.size - 1):
        for at in range(offsets[i], offsets[i + 1]):
            if new[items[at]] >= 0 and last[items[at]] != i:
                last[items[at]] = i
                out[filled] = new[items[at]]
                filled += 1
        out_offsets[i + 1] = filled
    return out_offsets, out[:filled].copy()
