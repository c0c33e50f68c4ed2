"""`touchworth attribute`."""

from pathlib import Path
from typing import Annotated, Any

from touchworth.cli.options import DEFAULTS, Common, JourneyInput, flag, options
from touchworth.cli.run import Console, check_outputs, emit, interruptible

__all__ = ["attribute"]


@options
def attribute(
    given: JourneyInput,
    model: Annotated[
        list[str] | None, flag("--model", "NAME", "Model; repeatable [all that the input allows].")
    ] = None,
    order: Annotated[int, flag("--order", "K", "Order of the Markov chain.")] = 1,
    half_life: Annotated[
        str | None, flag("--half-life", "7d", "Of time_decay; a number of touches where there are no times.")
    ] = None,
    first_weight: Annotated[float, flag("--first-weight", "W", "Of position_based.")] = 0.4,
    last_weight: Annotated[float, flag("--last-weight", "W", "Of position_based.")] = 0.4,
    direct: Annotated[
        list[str] | None,
        flag("--direct", "CHANNEL", "What last_non_direct passes over; repeatable [direct, (direct)]."),
    ] = None,
    loyal_touches: Annotated[
        int | None, flag("--loyal-touches", "N", "Split conversions: loyal took at most N touches.")
    ] = None,
    spend: Annotated[Path | None, flag("--spend", "FILE", "File (channel,spend).")] = None,
    cpc: Annotated[Path | None, flag("--cpc", "FILE", "File (channel,cpc): cost of one touch.")] = None,
    level: Annotated[float, flag("--level", "0.95", "Coverage of the intervals.")] = 0.95,
    buckets: Annotated[int, flag("--buckets", "100", "Groups of users for the jackknife.")] = 100,
    positions: Annotated[Path | None, flag("--positions", "FILE", "Write ordered Shapley values.")] = None,
    transitions: Annotated[Path | None, flag("--transitions", "FILE", "Write the Markov transitions.")] = None,
    removal: Annotated[Path | None, flag("--removal", "FILE", "Write removal effects.")] = None,
    journey_credit: Annotated[Path | None, flag("--journey-credit", "FILE", "Write credit of every journey.")] = None,
    summary: Annotated[Path | None, flag("--summary", "FILE.json", "Write the account of the data.")] = None,
    common: Common = DEFAULTS,
) -> None:
    """Credit of every channel by every model, with intervals, from an event log or a path table."""
    console = Console(quiet=common.quiet, verbose=common.verbose)
    side = {
        "--positions": positions,
        "--transitions": transitions,
        "--removal": removal,
        "--journey-credit": journey_credit,
        "--summary": summary,
    }
    check_outputs({"-o": common.output, **side, "--rejects": given.rejects}, force=common.force)

    def work() -> None:
        from touchworth.attribution.attribute import attribute as compute
        from touchworth.cli.inputs import read_journeys, thread_count
        from touchworth.errors import RequestError
        from touchworth.output import write_json, write_table
        from touchworth.sources.small import read_numbers

        money: dict[str, Any] = {
            "spend": None if spend is None else read_numbers(spend, "channel", "spend", "--spend"),
            "cpc": None if cpc is None else read_numbers(cpc, "channel", "cpc", "--cpc"),
        }
        journeys = read_journeys(given, common, console)
        credit = compute(
            journeys,
            model or None,
            order=order,
            half_life=half_life,
            first_weight=first_weight,
            last_weight=last_weight,
            direct=direct or None,
            loyal_touches=loyal_touches,
            level=level,
            buckets=buckets,
            seed=common.seed,
            threads=thread_count(common),
            **money,
        )
        for stage, seconds in credit.timings.items():
            console.stage(stage, seconds)
        results = credit.groups.values() if credit.groups else (credit,)
        for text in dict.fromkeys(text for result in results for text in result.summary["notices"]):
            console.notice(text)
        for option, path, table, needed in (
            ("--positions", positions, credit.positions, "ordered_shapley"),
            ("--transitions", transitions, credit.transitions, "markov"),
            ("--removal", removal, credit.removal, "markov"),
        ):
            if path is not None and table is None:
                raise RequestError(f"{option} needs the model {needed}; add --model {needed}")
            if path is not None and table is not None:
                write_table(table, path, force=common.force)
        if journey_credit is not None:
            write_table(credit.journey_credit(), journey_credit, force=common.force)
        if summary is not None:
            write_json(credit.summary, summary, force=common.force)
        first = (credit.by,) if credit.by else ()
        emit(credit.table, output=common.output, format=common.format, force=common.force, shown=first + credit.shown)

    interruptible(work)
