"""`touchworth paths`."""

from pathlib import Path
from typing import Annotated

from touchworth.cli.options import DEFAULTS, Common, JourneyInput, flag, options
from touchworth.cli.run import Console, check_outputs, emit, interruptible

__all__ = ["paths"]


@options
def paths(
    given: JourneyInput,
    top: Annotated[int, flag("--top", "N", "Paths to show, by conversions.")] = 100,
    lengths: Annotated[Path | None, flag("--lengths", "FILE", "Write journeys by number of touches.")] = None,
    lags: Annotated[Path | None, flag("--lags", "FILE", "Write conversions by days from the first touch.")] = None,
    common: Common = DEFAULTS,
) -> None:
    """The commonest conversion paths, and how long journeys are in touches and in days."""
    console = Console(quiet=common.quiet, verbose=common.verbose)
    check_outputs(
        {"-o": common.output, "--lengths": lengths, "--lags": lags, "--rejects": given.rejects}, force=common.force
    )

    def work() -> None:
        from touchworth.cli.inputs import read_journeys
        from touchworth.errors import RequestError
        from touchworth.journeys.paths import paths as compute
        from touchworth.output import write_table

        journeys = read_journeys(given, common, console)
        found = compute(journeys, top)
        console.notice(f"{found.unique_paths:,} distinct paths in all")
        if lengths is not None:
            write_table(found.lengths, lengths, force=common.force)
        if lags is not None:
            if found.lags is None:
                raise RequestError("--lags needs times; a path table has none")
            write_table(found.lags, lags, force=common.force)
        emit(found.table, output=common.output, format=common.format, force=common.force)

    interruptible(work)
