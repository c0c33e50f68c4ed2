"""`touchworth demo`."""

import sys

from touchworth.cli.options import DEFAULTS, Common, options
from touchworth.cli.run import Console, check_outputs, interruptible

__all__ = ["demo"]

SHOWN_MODELS = ["first_touch", "last_touch", "linear", "time_decay", "markov", "shapley"]


@options
def demo(common: Common = DEFAULTS) -> None:
    """Attribute the journeys that ship with touchworth and print what each channel earned."""
    console = Console(quiet=common.quiet, verbose=common.verbose)
    check_outputs({"-o": common.output}, force=common.force)

    def work() -> None:
        from importlib.resources import as_file, files

        from touchworth.attribution.attribute import attribute
        from touchworth.cli.inputs import thread_count
        from touchworth.journeys.read import read_events
        from touchworth.output import write_table
        from touchworth.results import text_table

        say = sys.stdout.write
        with as_file(files("touchworth.data") / "journeys.csv.gz") as path:
            journeys = read_events(path, cost="cost", threads=thread_count(common), progress=console.stage)
        credit = attribute(journeys, threads=thread_count(common), seed=common.seed)
        for stage, seconds in credit.timings.items():
            console.stage(stage, seconds)
        summary = credit.summary
        say(
            f"A simulated shop: {summary['touches_read']:,} touches of {summary['users']:,} users, "
            f"{summary['conversions']:,} orders worth {summary['value']:,.0f}.\n\n"
            "Orders credited to each channel, by model (credit divides observed orders; it does not measure what\n"
            "would be lost without the channel - only experiments tell that):\n\n"
        )
        say(text_table(credit.side_by_side("conversions", SHOWN_MODELS)) + "\n\n")
        say("The Markov model with 95 % intervals, and what the money bought:\n\n")
        markov = credit.table.filter([name == "markov" for name in credit.table["model"].to_pylist()])
        columns = [
            "channel",
            "conversions",
            "conversions_low",
            "conversions_high",
            "share",
            "spend",
            "roas",
            "roas_low",
        ]
        say(text_table(markov, [*columns, "roas_high"]) + "\n\n")
        held = [row for row in credit.properties.to_pylist() if row["promised"] and row["holds"] is not None]
        say(f"{sum(row['holds'] for row in held)} of {len(held)} promised properties checked on this result hold.\n")
        if common.output is not None:
            write_table(credit.table, common.output, format=common.format, force=common.force)
            say(f"The whole table is in {common.output}.\n")

    interruptible(work)
