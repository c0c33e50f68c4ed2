"""`touchworth score`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from touchworth.cli.options import DEFAULTS, Common, flag, options
from touchworth.cli.run import check_outputs, emit, interruptible

__all__ = ["score"]


@options
def score(
    credit: Annotated[Path, typer.Argument(metavar="CREDIT", help="Credit table written by touchworth attribute.")],
    truth: Annotated[Path, flag("--truth", "FILE.json", "Truth written by touchworth simulate journeys.")],
    common: Common = DEFAULTS,
) -> None:
    """Errors of every model's shares against the known truth of simulated journeys."""
    check_outputs({"-o": common.output}, force=common.force)

    def work() -> None:
        from touchworth.cli.inputs import check_common
        from touchworth.simulate.score import score as compute

        check_common(common)
        scores = compute(credit, truth)
        for text in scores.notices:
            # An undefined score must be explained wherever the table goes.
            if not common.quiet:
                sys.stderr.write(f"note: {text}\n")
        emit(scores.table, output=common.output, format=common.format, force=common.force, shown=scores.shown)

    interruptible(work)
