"""What commands share: one-line errors, notices, configuration, output, work that can be interrupted."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from touchworth.errors import DataError, RequestError, missing_column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DEBUG", "Console", "WithoutPandas", "configure", "emit", "fail", "interruptible", "let_pandas_in"]

T = TypeVar("T")
DEBUG = "--debug"
REDRAW_SECONDS = 0.1


class WithoutPandas:
    """Keeps Arrow from importing pandas wherever it is installed: that takes half a second and no command needs it."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Say that there is no pandas."""
        if name == "pandas":
            raise ModuleNotFoundError("touchworth's commands do without pandas", name=name)


def let_pandas_in() -> None:
    """Only Spark asks for pandas."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, WithoutPandas)]


def fail(message: str, code: int) -> int:
    """One line on standard error; returns the exit code."""
    sys.stderr.write(f"touchworth: {' '.join(message.split())}\n")
    return code


class Console:
    """Notices on standard error: only on a terminal, and not with -q; stages with -v wherever it goes."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self.noticing = not quiet and (sys.stderr.isatty() or verbose)
        self.moving = not quiet and sys.stderr.isatty()
        self.verbose = verbose
        self._shown = 0.0

    def notice(self, text: str) -> None:
        """Tell the user something about the data."""
        if self.noticing:
            sys.stderr.write(f"note: {text}\n")

    def progress(self, phase: str, done: int, total: int) -> None:
        """How far a phase is, on one line of a terminal; gone when the phase ends."""
        now = time.monotonic()
        if not self.moving or (done < total and now < self._shown + REDRAW_SECONDS):
            return
        self._shown = now
        text = f"{phase}: {done / max(total, 1):.0%}" if done < total else ""
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    def stage(self, name: str, seconds: float) -> None:
        """With -v: how long a stage took."""
        if self.verbose:
            sys.stderr.write(f"{seconds:9.3f} s  {name}\n")


def interruptible(work: Callable[[], T]) -> T:
    """Run `work` on a thread of its own so that Ctrl-C ends the program within a second.

    Kernels do not look at signals; the main thread does nothing but wait, so it sees them at once, removes what is half
    written and ends the process.
    """
    from touchworth.output import remove_temporary

    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again on the main thread
            failure.append(error)

    worker = threading.Thread(target=body, daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.2)
    except KeyboardInterrupt:
        remove_temporary()
        sys.stderr.write("touchworth: interrupted\n")
        sys.stderr.flush()
        os._exit(130)
    if failure:
        if isinstance(failure[0], BrokenPipeError):
            # The reader of the pipe has what it wanted. Beyond this point the parser would end with code 1, and Python
            # would complain when it flushes what is left.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0)
        raise failure[0]
    return outcome[0]


def configure(context: typer.Context, path: Path | None) -> Path | None:
    """Take defaults from a TOML file: top-level keys and those of the command's own table.

    Flags go before the environment, the environment before the file.
    """
    if path is None:
        return None
    import tomllib

    try:
        settings = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"--config {path}: {error}") from None
    own = settings.get(context.info_name or "", {})
    if not isinstance(own, dict):
        raise DataError(f"--config {path}: [{context.info_name}] must be a table of options")
    known = {name.replace("-", "_"): value for name, value in own.items()}
    shared = {name.replace("-", "_"): value for name, value in settings.items() if not isinstance(value, dict)}
    parameters = {parameter.name for parameter in context.command.params if parameter.name}
    aliases = {
        option.lstrip("-").replace("-", "_"): parameter.name
        for parameter in context.command.params
        for option in parameter.opts
        if parameter.name and option.startswith("--")
    }
    for name in known:
        if name not in aliases:
            raise missing_column(name, sorted(aliases), f"--config {path.name}")
    merged = {aliases[name]: value for name, value in (shared | known).items() if name in aliases}
    context.default_map = {name: value for name, value in merged.items() if name in parameters}
    return path


def emit(
    table: "pa.Table",
    *,
    output: Path | None,
    format: str | None,  # noqa: A002 - the flag's name
    force: bool,
    shown: tuple[str, ...] = (),
    title: str = "",
) -> None:
    """Write a table to `output`, or to standard output: readable on a terminal, CSV (or `format`) in a pipe."""
    from touchworth.output import print_table, write_table

    if output is not None:
        write_table(table, output, format=format, force=force)
    elif format is not None:
        print_table(table, format)
    elif sys.stdout.isatty():
        show(table, shown, title)
    else:
        print_table(table, "csv")


def show(table: "pa.Table", shown: tuple[str, ...], title: str = "", rows: int = 200) -> None:
    """A table on the terminal: the columns that fit, numbers to the right."""
    import pyarrow as pa
    from rich.console import Console as Terminal
    from rich.table import Table

    from touchworth.results import round_for_people

    terminal = Terminal()
    names = [name for name in shown if name in table.column_names] or table.column_names
    cells = {name: [round_for_people(value) for value in table[name].slice(0, rows).to_pylist()] for name in names}
    widths = {name: max(len(name), *(len(cell) for cell in column), 1) for name, column in cells.items()}
    # A path may be long: it is cut, numbers never are.
    widths = {name: min(width, 48) for name, width in widths.items()}
    while len(names) > 2 and sum(widths[name] + 3 for name in names) + 1 > terminal.width:
        names = names[:-1]
    drawn = Table(title=title or None, title_justify="left")
    for name in names:
        kind = table.schema.field(name).type
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        drawn.add_column(name, justify="right" if numeric else "left", no_wrap=True, max_width=48)
    for row in zip(*(cells[name] for name in names), strict=True):
        drawn.add_row(*row)
    terminal.print(drawn, markup=False)
    hidden = len(table.column_names) - len(names)
    rest = [f"{len(table):,} rows in all"] if len(table) > rows else []
    rest += [f"{hidden} more columns with -o FILE"] if hidden else []
    if rest:
        terminal.print(", ".join(rest), style="dim")


def check_outputs(outputs: Mapping[str, Path | None], *, force: bool) -> None:
    """Refuse before any work outputs that cannot or may not be written, or that are named twice."""
    from touchworth.output import check_output

    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in seen:
            raise RequestError(f"{option} and {seen[path.resolve()]} name the same file {str(path)!r}")
        seen[path.resolve()] = option
        check_output(path, force=force)


def parse_where(pairs: list[str] | None) -> dict[str, str]:
    """COL=VALUE texts as a mapping."""
    found: dict[str, str] = {}
    for pair in pairs or []:
        column, given, value = pair.partition("=")
        if not given or not column:
            raise RequestError(f"--where is {pair!r}; write COLUMN=VALUE")
        found[column] = value
    return found


def describe(report: Any) -> str:
    """One line about what was understood of an input."""
    roles = ", ".join(
        f"{role} = {column}" + (" (detected)" if role in report.detected else "")
        for role, column in report.columns.items()
    )
    return f"read {report.rows_read:,} rows as {report.shape}: {roles}"
