"""`read_sessions`: from any source to sessions in one call."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from touchworth.errors import RequestError, not_one_of
from touchworth.games.game import Game
from touchworth.games.tables import game_of_values
from touchworth.journeys.read import INSTEAD, Watch
from touchworth.sources.records import Sessions
from touchworth.synergy.blocks import SessionBlocks

__all__ = ["read_game", "read_sessions"]

Stage = Callable[[str, float], None]
Rows = Callable[[str, int], None]
SHAPES = ("sessions", "long", "transactions")
# Options that have a meaning for some shapes only, as flags.
ONLY = {
    "long": ("session", "feature", "outcomes"),
    "transactions": ("target_item",),
}
NOT_TRANSACTIONS = ("target", "value", "order_value", "user", "weight", "where", "table", "query")


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
    session: str | None = None,
    feature: str | None = None,
    outcomes: Any = None,
    target_item: str | None = None,
    where: Mapping[str, str] | None = None,
    max_rejects: float = 0.01,
    rejects: str | Path | None = None,
    force: bool = False,
    table: str | None = None,
    query: str | None = None,
    threads: int = 2,
    memory: str | None = None,
    temp: str | Path | None = None,
    engine: str = "local",
    progress: Stage | None = None,
    reading: Rows | None = None,
) -> Sessions | SessionBlocks:
    """Read sessions: which players each one holds, and what came of it.

    Parameters
    ----------
    source, where, max_rejects, rejects, force, table, query, threads, memory, temp, progress, reading
        As in `read_events`.
    target
        Column that tells who converted (0 and 1, yes and no, true and false), or a column of numbers, which are then
        y; a binary column named such as ``converted`` is detected.
    players
        Wide tables: columns of 0 and 1 (or yes and no, true and false; blank is no); all binary ones where not given.
        Else the only features or ids that are players.
    value
        Column of numbers that becomes y; the target only tells who converted.
    order_value
        Column of the values of conversions; y stays the conversion.
    user
        Column of the user's id: errors are then clustered by user.
    weight
        Column that says how many sessions a row stands for.
    shape
        ``sessions`` (wide: one row a session, one column a player), ``long`` (one row for each player that a session
        holds), ``transactions`` (text: one line a session, ids separated by blanks or commas); detected where not
        given: long needs `session` and `feature`.
    session, feature
        Long: columns of the session's id and of what it holds.
    outcomes
        Long: a table of its own with the column `session`, the target, value, user and weight, one row a session
        (any source); without it they stand beside the pairs.
    target_item
        Transactions: sessions that hold this id converted; without it nothing tells who did.
    engine
        ``local`` (in memory while it fits, else wide tables in blocks on disk), ``partitions`` (wide tables always on
        disk), ``spark`` and ``spark://host:port`` (wide tables); a Spark data frame is always read by Spark.

    Returns
    -------
    Sessions, or SessionBlocks on Spark and where they would not fit into `memory`
        Immutable; players as bits (wide) or as lists, outcomes, and a report of what was read and rejected.

    Raises
    ------
    RequestError, DataError
        With one sentence: what was wrong, the value seen, what would be right.
    """
    given = {
        "target": target, "value": value, "order_value": order_value, "user": user, "weight": weight, "where": where,
        "table": table, "query": query, "session": session, "feature": feature, "outcomes": outcomes,
        "target_item": target_item,
    }  # fmt: skip
    shape = settle_shape(source, shape, given)
    watch = Watch(progress)
    if engine not in ("local", "partitions", "spark") and not engine.startswith("spark://"):
        raise not_one_of("--engine for sessions", engine, ("local", "partitions", "spark", "spark://host:port"))
    asked: dict[str, Any] = {
        "target": target, "value": value, "order_value": order_value, "user": user, "weight": weight,
    }  # fmt: skip
    if engine == "partitions" and shape != "sessions":
        raise RequestError(f"--engine partitions reads events and wide tables of sessions; the shape is {shape}")
    if engine.startswith("spark") or type(source).__module__.startswith("pyspark."):
        if shape != "sessions":
            raise RequestError(f"--engine spark reads events and wide tables of sessions; the shape is {shape}")
        for option, one in (("rejects", rejects), ("table", table), ("query", query)):
            if one:
                raise RequestError(f"--{option} is not for Spark; {INSTEAD[option]}")
        from touchworth.journeys.spark import SparkOptions
        from touchworth.synergy.spark import read_sessions_on_spark

        options = SparkOptions(engine, threads, memory, temp)
        there = read_sessions_on_spark(source, asked, players, where, max_rejects, options)
        watch.stage("read and encode")
        return there
    if shape == "sessions":
        from touchworth.synergy.disk import read_sessions_to_disk, sessions_exceed

        if engine == "partitions" or sessions_exceed(source, memory, table, query):
            on_disk = read_sessions_to_disk(
                source, asked, players=players, where=where, max_rejects=max_rejects, rejects=rejects, force=force,
                table=table, query=query, threads=threads, memory=memory, temp=temp, progress=reading,
            )  # fmt: skip
            watch.stage("read, encode and write blocks")
            return on_disk
    common: dict[str, Any] = {
        "players": players, "max_rejects": max_rejects, "rejects": rejects, "force": force, "progress": reading,
    }  # fmt: skip
    limits: dict[str, Any] = {"table": table, "query": query, "threads": threads, "memory": memory, "temp": temp}
    if shape == "transactions":
        from touchworth.sources.transactions import load_transactions

        sessions = load_transactions(source, target_item=target_item, **common)
    elif shape == "long":
        from touchworth.sources.long import load_long

        sessions = load_long(
            source, session=session or "", feature=feature or "", outcomes=outcomes, where=where,
            **asked, **common, **limits,
        )  # fmt: skip
    else:
        from touchworth.sources.sessions import load_sessions

        sessions = load_sessions(source, where=where, **asked, **common, **limits)
    watch.stage("read and encode")
    return sessions


def read_game(
    source: Any,
    *,
    coalition: str | None = None,
    value: str | None = None,
    delimiter: str | None = None,
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
) -> Game:
    """Read a table of coalition values: one row a coalition, every subset of it in a row of its own.

    Parameters
    ----------
    source, where, max_rejects, rejects, force, table, query, threads, memory, temp, progress
        As in `read_events`.
    coalition, value
        Columns; detected where not given. A blank coalition is the empty one; without it v(empty) is 0.
    delimiter
        What joins the players of a coalition; detected where not given (`` & `` is the field's own).

    Raises
    ------
    RequestError, DataError
        With one sentence; a coalition without one of its subsets names the one that is missing.
    """
    from touchworth.sources.game import load_game

    watch = Watch(progress)
    loaded = load_game(
        source, coalition=coalition, value=value, delimiter=delimiter, where=where, max_rejects=max_rejects,
        rejects=rejects, force=force, table=table, query=query, threads=threads, memory=memory, temp=temp,
    )  # fmt: skip
    watch.stage("read and encode")
    empty = 0.0 if loaded.empty_value is None else loaded.empty_value
    return game_of_values(loaded.players, (loaded.members_offsets, loaded.members_items), loaded.values, empty)


def settle_shape(source: Any, shape: str | None, given: Mapping[str, Any]) -> str:
    """The shape asked for or detected; options that have no meaning for it are refused."""
    from touchworth.sources.columns import are_transactions, is_given

    if shape not in (None, *SHAPES):
        raise not_one_of("--shape", shape, SHAPES)
    if shape is None:
        named = [one for one, options in ONLY.items() if any(is_given(given[name]) for name in options)]
        if not named and not any(is_given(given[name]) for name in NOT_TRANSACTIONS) and are_transactions(source):
            named = ["transactions"]
        shape = named[0] if named else "sessions"
    useless = [name for one, options in ONLY.items() if one != shape for name in options]
    if shape == "transactions":
        useless += NOT_TRANSACTIONS
    for name in useless:
        if is_given(given[name]):
            raise RequestError(
                f"--{name.replace('_', '-')} has no meaning for the shape {shape}; leave it out or give --shape"
            )
    return shape
