"""`read_sessions`: from any source to sessions in one call."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from touchworth.errors import not_one_of
from touchworth.journeys.read import Watch
from touchworth.sources.records import Sessions

__all__ = ["read_sessions"]

Stage = Callable[[str, float], None]
SHAPES = ("sessions",)


def read_sessions(
    source: Any,
    *,
    target: str | None = None,
    players: Sequence[str] | None = None,
    value: str | None = None,
    order_value: str | None = None,
    user: str | None = None,
    weight: str | None = None,
    shape: str | None = None,
    where: Mapping[str, str] | None = None,
    max_rejects: float = 0.01,
    rejects: str | Path | None = None,
    force: bool = False,
    table: str | None = None,
    query: str | None = None,
    threads: int = 2,
    memory: str | None = None,
    temp: str | Path | None = None,
    progress: Stage | None = None,
) -> Sessions:
    """Read sessions: which players each one holds, and what came of it.

    Parameters
    ----------
    source, where, max_rejects, rejects, force, table, query, threads, memory, temp, progress
        As in `read_events`.
    target
        Column that tells who converted (0 and 1, yes and no, true and false), or a column of numbers, which are then
        y; a binary column named such as ``converted`` is detected.
    players
        Columns of 0 and 1 (or yes and no, true and false; blank is no); all binary ones where not given.
    value
        Column of numbers that becomes y; the target only tells who converted.
    order_value
        Column of the values of conversions; y stays the conversion.
    user
        Column of the user's id: errors are then clustered by user.
    weight
        Column that says how many sessions a row stands for.
    shape
        ``sessions``.

    Raises
    ------
    RequestError, DataError
        With one sentence: what was wrong, the value seen, what would be right.
    """
    from touchworth.sources.sessions import load_sessions

    if shape not in (None, *SHAPES):
        raise not_one_of("--shape", shape, SHAPES)
    watch = Watch(progress)
    sessions = load_sessions(
        source,
        target=target,
        players=players,
        value=value,
        order_value=order_value,
        user=user,
        weight=weight,
        where=where,
        max_rejects=max_rejects,
        rejects=rejects,
        force=force,
        table=table,
        query=query,
        threads=threads,
        memory=memory,
        temp=temp,
    )
    watch.stage("read and encode")
    return sessions
