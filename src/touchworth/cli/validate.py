"""`touchworth validate`."""

import typer

from touchworth.cli.options import DEFAULTS, Common, JourneyInput, options
from touchworth.cli.run import Console, check_outputs, emit, interruptible

__all__ = ["validate"]


@options
def validate(given: JourneyInput, common: Common = DEFAULTS) -> None:
    """What was understood of an input, what is wrong with it, what will be rejected; exit code 1 if too much is."""
    console = Console(quiet=common.quiet, verbose=common.verbose)
    check_outputs({"-o": common.output, "--rejects": given.rejects}, force=common.force)

    def work() -> bool:
        from dataclasses import replace

        from touchworth.cli.inputs import read_journeys
        from touchworth.journeys.validate import validation_of

        found = validation_of(read_journeys(replace(given, max_rejects=1.0), common, console), given.max_rejects)
        emit(found.table, output=common.output, format=common.format, force=common.force, shown=found.shown)
        return found.acceptable

    if not interruptible(work):
        raise typer.Exit(1)
