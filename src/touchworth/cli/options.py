"""Options that several commands share, each written once.

A command takes the records below as parameters and `options` spells them out as flags, so that no list of flags is
written twice. Every flag has an environment variable TOUCHWORTH_<FLAG>.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from touchworth.cli.run import configure

__all__ = ["DEFAULTS", "NO_COLUMNS", "Common", "JourneyInput", "SessionColumns", "flag", "options"]


def flag(names: str, metavar: str | None, text: str, **more: Any) -> Any:
    """A flag with its environment variable; `names` are separated by blanks, the long one last."""
    declared = names.split()
    variable = "TOUCHWORTH_" + declared[-1].lstrip("-").replace("-", "_").upper()
    return typer.Option(*declared, metavar=metavar, envvar=variable, show_envvar=False, help=text, **more)


Text = str | None
Many = list[str] | None
File = Path | None


@dataclass(frozen=True, slots=True)
class JourneyInput:
    """Where journeys come from and how they are cut."""

    source: Annotated[str, typer.Argument(metavar="FILE", help="File, glob, database file, or - for standard input.")]
    shape: Annotated[Text, flag("--shape", "NAME", "Shape of the input; detected if not given.")] = None
    table: Annotated[Text, flag("--table", "NAME", "Table of a DuckDB or SQLite file.")] = None
    query: Annotated[Text, flag("--query", "SQL", "Query of a DuckDB or SQLite file.")] = None
    user: Annotated[Text, flag("--user", "COL", "Events: column of the user's id.")] = None
    time: Annotated[Text, flag("--time", "COL", "Events: column of the time.")] = None
    channel: Annotated[Text, flag("--channel", "COL", "Events: column of the channel.")] = None
    conversion: Annotated[Text, flag("--conversion", "COL", "Events: column that flags a conversion.")] = None
    value: Annotated[Text, flag("--value", "COL", "Column of the value of conversions.")] = None
    cost: Annotated[Text, flag("--cost", "COL", "Events: column of the cost of a touch.")] = None
    sequence: Annotated[Text, flag("--sequence", "COL", "Events: column that orders rows of equal time.")] = None
    conversions_file: Annotated[Text, flag("--conversions-file", "FILE", "Conversions in a file of their own.")] = None
    conversion_user: Annotated[Text, flag("--conversion-user", "COL", "Its column of the user's id.")] = None
    conversion_time: Annotated[Text, flag("--conversion-time", "COL", "Its column of the time.")] = None
    conversion_value: Annotated[Text, flag("--conversion-value", "COL", "Its column of the value.")] = None
    strip_prefix: Annotated[Text, flag("--strip-prefix", "TEXT", "Prefix to remove from ids before joining.")] = None
    path: Annotated[Text, flag("--path", "COL", "Paths: column of the path.")] = None
    conversions: Annotated[Text, flag("--conversions", "COL", "Paths: column of conversions.")] = None
    nulls: Annotated[Text, flag("--nulls", "COL", "Paths: column of journeys that did not convert.")] = None
    delimiter: Annotated[Text, flag("--delimiter", "TEXT", "What separates touches of a path [ > ].")] = None
    duplicates: Annotated[str, flag("--duplicates", "error|sum", "Paths: what to do with a path in two rows.")] = (
        "error"
    )
    where: Annotated[Many, flag("--where", "COL=VALUE", "Read only these rows; repeatable.")] = None
    missing_channel: Annotated[Text, flag("--missing-channel", "NAME", "Name for rows without a channel.")] = None
    deduplicate: Annotated[bool, flag("--deduplicate", None, "Drop exact duplicate rows.")] = False
    timezone: Annotated[str, flag("--timezone", "ZONE", "Zone of times that name none.")] = "UTC"
    date_order: Annotated[Text, flag("--date-order", "dmy|mdy", "Order of day and month, where unclear.")] = None
    rejects: Annotated[File, flag("--rejects", "FILE", "Write rejected rows to this file.")] = None
    max_rejects: Annotated[float, flag("--max-rejects", "SHARE", "Largest share of rejected rows.")] = 0.01
    regroup: Annotated[File, flag("--regroup", "FILE", "File (pattern,channel) that renames channels.")] = None
    drop: Annotated[Many, flag("--drop", "CHANNEL", "Remove a channel where any other remains; repeatable.")] = None
    lookback: Annotated[str, flag("--lookback", "30d|12h|none", "Longest age of a touch at its conversion.")] = "30d"
    lookback_steps: Annotated[int | None, flag("--lookback-steps", "N", "At most the last N touches.")] = None
    conversion_rule: Annotated[str, flag("--conversion-rule", "each|first", "Which conversions count.")] = "each"
    open_journeys: Annotated[str, flag("--open", "null|exclude", "What journeys are that may still convert.")] = "null"
    since: Annotated[Text, flag("--since", "DATE", "First day (or moment) of conversions.")] = None
    until: Annotated[Text, flag("--until", "DATE", "Last day (or moment) of conversions.")] = None
    transform: Annotated[
        Many,
        flag(
            "--transform",
            "NAME",
            "unique, exposure, first, frequency, trim_long=N, remove_if_not_all=C, remove_if_last_and_not_all=C; "
            "repeatable.",
        ),
    ] = None
    by: Annotated[Text, flag("--by", "COL", "Repeat the analysis for each value of a column.")] = None


@dataclass(frozen=True, slots=True)
class SessionColumns:
    """Which columns of sessions and of games play which role, beside those of `JourneyInput`."""

    target: Annotated[Text, flag("--target", "COL", "Sessions: who converted (0/1), or a number to explain.")] = None
    player: Annotated[
        Many, flag("--player", "COL", "Sessions: a column of 0 and 1 (or a feature or id); repeatable [all].")
    ] = None
    order_value: Annotated[
        Text, flag("--order-value", "COL", "Sessions: value of a conversion, which stays the target.")
    ] = None
    weight: Annotated[Text, flag("--weight", "COL", "Sessions: how many sessions a row stands for.")] = None
    session: Annotated[Text, flag("--session", "COL", "Long sessions: column of the session's id.")] = None
    feature: Annotated[Text, flag("--feature", "COL", "Long sessions: column of what a session holds.")] = None
    outcomes: Annotated[File, flag("--outcomes", "FILE", "Long sessions: a table of session and target.")] = None
    target_item: Annotated[Text, flag("--target-item", "ID", "Transactions: sessions that hold this id converted.")] = (
        None
    )
    coalition: Annotated[Text, flag("--coalition", "COL", "Game: column of the coalition.")] = None
    coalition_delimiter: Annotated[
        Text, flag("--coalition-delimiter", "TEXT", "Game: what separates players [ & ].")
    ] = None
    dimension: Annotated[
        Many, flag("--dimension", "COL", "Events: a column whose values are players too; repeatable.")
    ] = None


@dataclass(frozen=True, slots=True)
class Common:
    """What every command has."""

    output: Annotated[File, flag("-o --output", "FILE", "Write the table here; the extension is the format.")] = None
    format: Annotated[Text, flag("--format", "NAME", "csv, json, jsonl, parquet or arrow (output only).")] = None
    force: Annotated[bool, flag("--force", None, "Replace existing output files.")] = False
    engine: Annotated[
        str,
        flag(
            "--engine",
            "NAME",
            "local (on disk beyond --memory), partitions (always on disk), spark or spark://host:port.",
        ),
    ] = "local"
    memory: Annotated[Text, flag("--memory", "SIZE", "Memory to keep inside, such as 2GB [70 % of what is free].")] = (
        None
    )
    temp: Annotated[File, flag("--temp", "DIR", "Folder for temporary files.")] = None
    threads: Annotated[int | None, flag("--threads", "N", "Threads [all cores].")] = None
    seed: Annotated[int, flag("--seed", "N", "Seed of everything random.")] = 0
    config: Annotated[
        File,
        flag(
            "--config", "FILE", "TOML file of options.", exists=True, dir_okay=False, is_eager=True, callback=configure
        ),
    ] = None
    quiet: Annotated[bool, flag("-q --quiet", None, "No notices.")] = False
    verbose: Annotated[bool, flag("-v --verbose", None, "Tell the time of each stage.")] = False
    debug: Annotated[bool, flag("--debug", None, "Show the traceback of an error.")] = False


DEFAULTS = Common()
NO_COLUMNS = SessionColumns()


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Spell out the fields of record parameters as flags of `command`, in the order of its parameters."""
    hints = typing.get_type_hints(command, include_extras=True)
    spelled: list[inspect.Parameter] = []
    owner: dict[str, tuple[str, type]] = {}
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if kind not in (JourneyInput, SessionColumns, Common):
            spelled.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        inner = typing.get_type_hints(kind, include_extras=True)
        for field in fields(kind):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            spelled.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=inner[field.name]
                )
            )
            owner[field.name] = parameter.name, kind

    @functools.wraps(command)
    def run(**given: Any) -> Any:
        records: dict[str, tuple[type, dict[str, Any]]] = {}
        plain = {}
        for name, value in given.items():
            if name in owner:
                parameter, kind = owner[name]
                records.setdefault(parameter, (kind, {}))[1][name] = value
            else:
                plain[name] = value
        return command(**{name: kind(**values) for name, (kind, values) in records.items()}, **plain)

    run.__signature__ = inspect.Signature(spelled)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in spelled}
    del run.__wrapped__
    return run
