"""`touchworth synergy`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from touchworth.cli.options import DEFAULTS, Common, JourneyInput, flag, options
from touchworth.cli.run import Console, check_outputs, describe, emit, interruptible, parse_where

if TYPE_CHECKING:
    from touchworth.games.game import Game
    from touchworth.journeys.build import Journeys
    from touchworth.sources.records import Sessions

__all__ = ["synergy"]

Many = list[str] | None
JOURNEYS = ("events", "touches", "paths")


@options
def synergy(
    given: JourneyInput,
    target: Annotated[str | None, flag("--target", "COL", "Sessions: column that tells who converted.")] = None,
    player: Annotated[Many, flag("--player", "COL", "Sessions: a player; repeatable [all binary columns].")] = None,
    order_value: Annotated[
        str | None, flag("--order-value", "COL", "Sessions: value of a conversion; the target stays the conversion.")
    ] = None,
    weight: Annotated[str | None, flag("--weight", "COL", "Sessions: how many each row stands for.")] = None,
    session: Annotated[str | None, flag("--session", "COL", "Long: column of the session's id.")] = None,
    feature: Annotated[str | None, flag("--feature", "COL", "Long: column of the player.")] = None,
    outcomes: Annotated[str | None, flag("--outcomes", "FILE", "Long: file of sessions with their target.")] = None,
    target_item: Annotated[
        str | None, flag("--target-item", "ID", "Transactions: item that tells who converted.")
    ] = None,
    coalition: Annotated[str | None, flag("--coalition", "COL", "Game: column of the coalition.")] = None,
    coalition_delimiter: Annotated[str, flag("--coalition-delimiter", "TEXT", "Game: what joins players.")] = " & ",
    dimension: Annotated[
        Many, flag("--dimension", "COL", "Events: values of this column are players too; repeatable.")
    ] = None,
    game: Annotated[str, flag("--game", "rate|conversions|markov", "Events and paths: what v(S) is.")] = "rate",
    max_size: Annotated[int, flag("--max-size", "N", "Largest coalition.")] = 3,
    min_support: Annotated[
        float, flag("--min-support", "SHARE", "Smallest share of sessions that hold a coalition.")
    ] = 0.01,
    level: Annotated[float, flag("--level", "0.95", "Coverage of the intervals.")] = 0.95,
    winsorize: Annotated[
        float | None, flag("--winsorize", "Q", "Clip a real target at its quantiles Q and 1 - Q.")
    ] = None,
    scale: Annotated[str, flag("--scale", "rate|log_rate|log_odds", "Scale of the dividends.")] = "rate",
    fdr: Annotated[str, flag("--fdr", "bh|by", "Control of false discoveries.")] = "bh",
    index: Annotated[
        str | None, flag("--index", "sv|bv|sii|k-sii|stii|fsii|bii", "Interaction index to write besides.")
    ] = None,
    index_order: Annotated[int, flag("--index-order", "K", "Its largest order.")] = 1,
    index_file: Annotated[Path | None, flag("--index-file", "FILE", "Where to write it.")] = None,
    plots: Annotated[Path | None, flag("--plots", "FOLDER", "Write the plots as HTML files.")] = None,
    summary: Annotated[Path | None, flag("--summary", "FILE.json", "Write the account of the result.")] = None,
    common: Common = DEFAULTS,
) -> None:
    """Every combination that the data support: its dividend, synergy and contrast, with errors and impact."""
    from touchworth.errors import RequestError

    console = Console(quiet=common.quiet, verbose=common.verbose)
    if (index is None) != (index_file is None):
        raise RequestError("--index and --index-file go together: which index, and where to write it")
    check_outputs(
        {"-o": common.output, "--index-file": index_file, "--summary": summary, "--rejects": given.rejects},
        force=common.force,
    )

    def work() -> None:
        from touchworth.cli.inputs import thread_count
        from touchworth.output import write_json, write_table
        from touchworth.synergy.synergies import check_request, synergies

        check_request(max_size, min_support, scale, level, fdr, winsorize)
        source = read(
            given, common, console,
            {"target": target, "players": player, "order_value": order_value, "weight": weight, "session": session,
             "feature": feature, "outcomes": outcomes, "target_item": target_item},
            coalition, coalition_delimiter, dimension, game,
        )  # fmt: skip
        found = synergies(
            source,
            kind=game,  # type: ignore[arg-type]
            max_size=max_size,
            min_support=min_support,
            scale=scale,  # type: ignore[arg-type]
            level=level,
            fdr=fdr,  # type: ignore[arg-type]
            winsorize=winsorize,
            threads=thread_count(common),
            progress=console.progress,
            report=lambda prediction: console.notice(str(prediction)),
        )
        for text in found.summary["notices"]:
            console.notice(text)
        if index is not None and index_file is not None:
            write_table(found.index(index, index_order), index_file, force=common.force)
        if plots is not None:
            found.plot.save(plots, force=common.force)
        if summary is not None:
            write_json(found.summary, summary, force=common.force)
        emit(found.table, output=common.output, format=common.format, force=common.force, shown=found.shown)

    interruptible(work)


def read(
    given: JourneyInput,
    common: Common,
    console: Console,
    named: dict[str, Any],
    coalition: str | None,
    delimiter: str,
    dimension: Many,
    game: str,
) -> "Sessions | Journeys | Game":
    """Detect the shape and read sessions, journeys or a table of values."""
    from touchworth.cli.inputs import read_journeys, thread_count
    from touchworth.errors import RequestError, not_one_of
    from touchworth.journeys.build import GroupedJourneys
    from touchworth.sources.columns import detect_shape
    from touchworth.synergy.read import read_sessions

    if game not in ("rate", "conversions", "markov"):
        raise not_one_of("--game", game, ("rate", "conversions", "markov"))
    shape = given.shape or shape_asked(given, named, coalition)
    if shape is None:
        shape = detect_shape(given.source, table=given.table, query=given.query)
    if shape in JOURNEYS:
        journeys = read_journeys(given, common, console)
        if isinstance(journeys, GroupedJourneys):
            raise RequestError("--by has no meaning for synergies; select rows with --where")
        return journeys
    if game != "rate":
        raise RequestError(f"--game {game} is for journeys; the input is read as {shape}")
    shared: dict[str, Any] = {
        "where": parse_where(given.where),
        "max_rejects": given.max_rejects,
        "rejects": given.rejects,
        "force": common.force,
        "table": given.table,
        "query": given.query,
        "threads": thread_count(common),
        "memory": common.memory,
        "temp": common.temp,
        "progress": console.stage,
    }
    if shape == "game":
        from touchworth.synergy.read import read_game

        return read_game(given.source, coalition=coalition, value=given.value, delimiter=delimiter, **shared)
    asked = {name: column for name, column in named.items() if column}
    sessions = read_sessions(given.source, shape=shape, value=given.value, user=given.user, **asked, **shared)
    console.notice(describe(sessions.report))
    return sessions


def shape_asked(given: JourneyInput, named: dict[str, Any], coalition: str | None) -> str | None:
    """The shape that the named columns imply."""
    if coalition is not None:
        return "game"
    if named["session"] is not None or named["feature"] is not None or named["outcomes"] is not None:
        return "long"
    if named["target_item"] is not None:
        return "transactions"
    if named["target"] is not None or named["players"] or named["weight"] is not None:
        return "sessions"
    if given.conversions_file is not None:
        return "touches"
    if any(getattr(given, name) is not None for name in ("path", "conversions", "nulls")):
        return "paths"
    if any(getattr(given, name) is not None for name in ("time", "channel")):
        return "events"
    return None
