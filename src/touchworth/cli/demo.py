"""`touchworth demo`."""

import sys
from typing import TYPE_CHECKING

from touchworth.cli.options import DEFAULTS, Common, options
from touchworth.cli.run import Console, check_outputs, interruptible

if TYPE_CHECKING:
    from touchworth.attribution.credit import Credit
    from touchworth.simulate.score import Scores

__all__ = ["demo"]

USERS = 20_000
MODELS = ["first_touch", "last_touch", "linear", "time_decay", "markov", "shapley"]
MARKOV_COLUMNS = ["channel", "conversions", "conversions_low", "conversions_high", "spend", "roas", "roas_low",
                  "roas_high"]  # fmt: skip
SYNERGY_COLUMNS = ["coalition", "support", "rate", "synergy", "ci_low", "ci_high", "q_value", "incremental_conversions"]


@options
def demo(common: Common = DEFAULTS) -> None:
    """Simulate a shop, attribute and score its journeys, and find the synergies of a real one."""
    console = Console(quiet=common.quiet, verbose=common.verbose)
    check_outputs({"-o": common.output}, force=common.force)

    def work() -> None:
        from touchworth.attribution.attribute import attribute
        from touchworth.cli.inputs import thread_count
        from touchworth.journeys.read import read_events
        from touchworth.output import write_table
        from touchworth.simulate.journeys import simulate_journeys
        from touchworth.simulate.score import score

        threads = thread_count(common)
        shop = simulate_journeys(USERS, seed=common.seed, threads=threads)
        journeys = read_events(shop.table, cost="cost", threads=threads, progress=console.stage)
        credit = attribute(journeys, threads=threads, seed=common.seed)
        for stage, seconds in credit.timings.items():
            console.stage(stage, seconds)
        tell_credit(credit, score(credit, shop.truth))
        tell_synergies(threads)
        sys.stdout.write("\nThe same in the browser, on your own data: touchworth app\n")
        if common.output is not None:
            write_table(credit.table, common.output, format=common.format, force=common.force)
            sys.stdout.write(f"The whole credit table is in {common.output}.\n")

    interruptible(work)


def tell_credit(credit: "Credit", scores: "Scores") -> None:
    """Who earned the simulated orders by each model, and which model came closest to what the channels caused."""
    from touchworth.results import text_table

    say = sys.stdout.write
    summary = credit.summary
    say(
        f"A simulated shop: {summary['touches_read']:,} touches of {summary['users']:,} users, "
        f"{summary['conversions']:,} orders worth {summary['value']:,.0f}.\n\n"
        "Orders credited to each channel, by model (credit divides observed orders; it does not measure what\n"
        "would be lost without the channel - only experiments tell that):\n\n"
    )
    say(text_table(credit.side_by_side("conversions", MODELS)) + "\n\n")
    say("The Markov model with 95 % intervals, and what the money bought:\n\n")
    markov = credit.table.filter([name == "markov" for name in credit.table["model"].to_pylist()])
    say(text_table(markov, MARKOV_COLUMNS) + "\n\n")
    held = [row for row in credit.properties.to_pylist() if row["promised"] and row["holds"] is not None]
    say(f"{sum(row['holds'] for row in held)} of {len(held)} promised properties checked on this result hold.\n")
    direct = [row for row in scores.table.to_pylist() if row["truth"] == "direct" and row["model"] in MODELS]
    best, worst = direct[0], direct[-1]
    say(
        f"Since this shop is simulated, what each channel caused is known: {best['model']} came closest (its shares "
        f"are off by\n{best['mean_abs_share_error']:.1%} on average), {worst['model']} was farthest "
        f"({worst['mean_abs_share_error']:.1%}). Which model does depends on the customers.\n\n"
    )


def tell_synergies(threads: int) -> None:
    """What does more than its parts in a real shop."""
    from importlib.resources import as_file, files

    from touchworth.results import text_table
    from touchworth.synergy.read import read_sessions
    from touchworth.synergy.synergies import synergies

    say = sys.stdout.write
    with as_file(files("touchworth.data") / "online_shoppers.csv.gz") as path:
        sessions = read_sessions(path, target="converted", threads=threads)
    found = synergies(sessions, threads=threads)
    say(
        f"A real shop (Sakar and Kastro 2018, CC BY 4.0): {found.summary['sessions']:,.0f} sessions, "
        f"{found.summary['mean']:.1%} of them buy;\n{found.summary['coalitions']:,} combinations of visitor, month, "
        f"traffic and pages, {found.summary['significant']} of them with a synergy at a false discovery\nrate of 5 %. "
        "The largest (rate above what the parts explain, among the visitors who came):\n\n"
    )
    clear = [(row["q_value"] or 1) <= 0.05 for row in found.table.to_pylist()]
    say(text_table(found.table.filter(clear).slice(0, 8), SYNERGY_COLUMNS) + "\n")
