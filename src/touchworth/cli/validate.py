"""`touchworth validate`."""

import typer

from touchworth.cli.options import DEFAULTS, NO_COLUMNS, Common, JourneyInput, SessionColumns, options
from touchworth.cli.run import Console, check_outputs, emit, interruptible

__all__ = ["validate"]


@options
def validate(given: JourneyInput, columns: SessionColumns = NO_COLUMNS, common: Common = DEFAULTS) -> None:
    """What was understood of an input, what is wrong with it, what will be rejected; exit code 1 if too much is."""
    console = Console(quiet=common.quiet, verbose=common.verbose)
    check_outputs({"-o": common.output, "--rejects": given.rejects}, force=common.force)

    def work() -> bool:
        from dataclasses import replace

        from touchworth.cli.inputs import JOURNEY_SHAPES, read_journeys, session_options, settle_shape
        from touchworth.journeys.validate import read_leniently, validation_of

        shape = settle_shape(given, columns)
        if shape in JOURNEY_SHAPES:
            lenient = replace(given, max_rejects=1.0, shape=shape)
            found = validation_of(read_journeys(lenient, common, console, columns), given.max_rejects)
        else:
            read = session_options(given, columns, common, shape)
            found = validation_of(read_leniently(given.source, shape, given.max_rejects, read), given.max_rejects)
        emit(found.table, output=common.output, format=common.format, force=common.force, shown=found.shown)
        return found.acceptable

    if not interruptible(work):
        raise typer.Exit(1)
