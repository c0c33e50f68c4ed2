"""`touchworth simulate sessions` and `touchworth simulate journeys`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from touchworth.cli.options import DEFAULTS, Common, flag, options
from touchworth.cli.run import Console, check_outputs, interruptible, show

if TYPE_CHECKING:
    from touchworth.simulate.stream import Progress

__all__ = ["simulate"]

simulate = typer.Typer(
    help="Data with a known truth, against which every model can be scored.",
    rich_markup_mode=None,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@simulate.callback()
def choose(context: typer.Context) -> None:
    """Data with a known truth, against which every model can be scored."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


Spec = Annotated[Path | None, flag("--spec", "FILE.toml", "The whole recipe, TOML or JSON.")]
TruthFile = Annotated[Path | None, flag("--truth", "FILE.json", "Write the truth that the data were drawn from.")]


@options
def sessions(
    rows: Annotated[int, flag("--rows", "N", "Number of sessions.")],
    rate: Annotated[float, flag("--rate", "0.05", "Population conversion rate, 0.001 to 0.5.")] = 0.05,
    revenue: Annotated[bool, flag("--revenue", None, "Add order values, log-normal by device.")] = False,
    sessions_per_user: Annotated[
        float | None, flag("--sessions-per-user", "MEAN", "Add users with so many sessions each on average.")
    ] = None,
    spec: Spec = None,
    truth: TruthFile = None,
    common: Common = DEFAULTS,
) -> None:
    """Shop sessions: channels, pages and devices as 0/1, and a conversion with known synergies."""

    def work(path: Path | None, progress: "Progress") -> Any:
        from touchworth.cli.inputs import thread_count
        from touchworth.simulate.sessions import simulate_sessions

        return simulate_sessions(
            rows,
            rate,
            spec,
            common.seed,
            path,
            progress,
            revenue=revenue,
            sessions_per_user=sessions_per_user,
            format=common.format,
            force=common.force,
            threads=thread_count(common),
        )

    carry_out(work, truth, common)


@options
def journeys(
    users: Annotated[int, flag("--users", "N", "Number of users.")],
    touches: Annotated[float | None, flag("--touches", "MEAN", "Mean number of touches of a user [10].")] = None,
    channels: Annotated[Path | None, flag("--channels", "FILE", "File (channel,cvr,frequency,aov,sd,cpc).")] = None,
    rate: Annotated[float | None, flag("--rate", "0.05", "Scale the CVRs to this conversion rate.")] = None,
    half_life_days: Annotated[
        float | None, flag("--half-life-days", "DAYS", "A touch's effect halves with every so many days.")
    ] = None,
    repeat: Annotated[float | None, flag("--repeat", "P", "Chance of another journey after a conversion.")] = None,
    organic: Annotated[float | None, flag("--organic", "P", "Chance of a conversion that no channel earns.")] = None,
    value_rule: Annotated[
        str | None, flag("--value-rule", "factual|reassigned", "Whose order value a counterfactual has [factual].")
    ] = None,
    spec: Spec = None,
    truth: TruthFile = None,
    common: Common = DEFAULTS,
) -> None:
    """Customer journeys: touches, conversions and order values with known effects of every channel."""

    def work(path: Path | None, progress: "Progress") -> Any:
        from touchworth.cli.inputs import thread_count
        from touchworth.simulate.journeys import simulate_journeys

        return simulate_journeys(
            users,
            touches,
            channels,
            spec,
            common.seed,
            path,
            progress,
            rate=rate,
            half_life_days=half_life_days,
            repeat=repeat,
            organic=organic,
            value_rule=value_rule,
            format=common.format,
            force=common.force,
            threads=thread_count(common),
        )

    carry_out(work, truth, common)


def carry_out(work: "Callable[[Path | None, Progress], Any]", truth: Path | None, common: Common) -> None:
    """Simulate to the file asked for, or to standard output; write the truth; tell what was made."""
    console = Console(quiet=common.quiet, verbose=common.verbose)
    check_outputs({"-o": common.output, "--truth": truth}, force=common.force)
    alive = sys.stderr.isatty() and not common.quiet

    def progress(done: int, total: int) -> None:
        if alive:
            sys.stderr.write(f"\r{done:,} of {total:,} ({done / total:.0%})" + ("\n" if done == total else ""))

    def run() -> None:
        import time

        from touchworth.cli.inputs import check_common
        from touchworth.errors import RequestError
        from touchworth.output import write_json

        check_common(common)
        if common.output is None and common.format not in (None, "csv"):
            raise RequestError(f"--format is {common.format!r}; standard output takes csv, other formats need -o FILE")
        shown = common.output is None and common.format is None and sys.stdout.isatty()
        begun = time.perf_counter()
        made = work(None if shown else common.output or Path("-"), progress)
        console.stage("simulate", time.perf_counter() - begun)
        if shown:
            show(made.table, (), rows=20)
        if truth is not None:
            write_json(made.truth.to_dict(), truth, force=common.force)
        if not common.quiet:
            sys.stderr.write(f"{made!r}\n")

    interruptible(run)


simulate.command("sessions")(sessions)
simulate.command("journeys")(journeys)
