"""`touchworth synergy`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from touchworth.cli.options import DEFAULTS, NO_COLUMNS, Common, JourneyInput, SessionColumns, flag, options
from touchworth.cli.run import Console, check_outputs, describe, emit, interruptible

if TYPE_CHECKING:
    from touchworth.games.game import Game
    from touchworth.journeys.reduction import AnyJourneys
    from touchworth.sources.records import Sessions
    from touchworth.synergy.blocks import SessionBlocks

__all__ = ["synergy"]


@options
def synergy(
    given: JourneyInput,
    columns: SessionColumns = NO_COLUMNS,
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
        from touchworth.sources.memory import parse_size
        from touchworth.synergy.synergies import check_request, synergies

        check_request(max_size, min_support, scale, level, fdr, winsorize)
        source = read(given, columns, common, console, game)
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
            memory_limit=None if common.memory is None else parse_size(common.memory),
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
    given: JourneyInput, columns: SessionColumns, common: Common, console: Console, game: str
) -> "Sessions | SessionBlocks | AnyJourneys | Game":
    """Detect the shape and read sessions, journeys or a table of values."""
    from touchworth.cli.inputs import JOURNEY_SHAPES, read_journeys, session_options, settle_shape
    from touchworth.errors import RequestError, not_one_of
    from touchworth.journeys.build import GroupedJourneys
    from touchworth.synergy.read import read_game, read_sessions

    if game not in ("rate", "conversions", "markov"):
        raise not_one_of("--game", game, ("rate", "conversions", "markov"))
    shape = settle_shape(given, columns)
    if shape in JOURNEY_SHAPES:
        journeys = read_journeys(replace(given, shape=shape), common, console, columns)
        if isinstance(journeys, GroupedJourneys):
            raise RequestError("--by has no meaning for synergies; select rows with --where")
        return journeys
    if game != "rate":
        raise RequestError(f"--game {game} is for journeys; the input is read as {shape}")
    options = session_options(given, columns, common, shape) | {
        "max_rejects": given.max_rejects,
        "progress": console.stage,
    }
    if shape == "game":
        if common.engine != "local":
            raise RequestError(f"--engine {common.engine} has no meaning for a table of values; leave it out")
        return read_game(given.source, **options)
    sessions = read_sessions(given.source, shape=shape, engine=common.engine, **options)
    console.notice(describe(sessions.report))
    return sessions
