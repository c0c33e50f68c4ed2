"""Entry point: the commands, one-line errors and exit codes."""

import os
import sys
from typing import Annotated

import typer

import touchworth
from touchworth.cli import app as browser_app
from touchworth.cli import attribute, demo, paths, score, simulate, synergy, validate
from touchworth.cli.run import DEBUG, WithoutPandas, fail
from touchworth.errors import TouchworthError

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(
    name="touchworth",
    help="Which touch deserves the credit, and which combinations do more than their parts.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for name, command in (
    ("demo", demo.demo),
    ("attribute", attribute.attribute),
    ("paths", paths.paths),
    ("synergy", synergy.synergy),
    ("validate", validate.validate),
    ("score", score.score),
    ("app", browser_app.app),
):
    app.command(name)(command)
app.add_typer(simulate.simulate, name="simulate")


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        sys.stdout.write(f"touchworth {touchworth.__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Which touch deserves the credit, and which combinations do more than their parts."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def main() -> None:
    """Run the command line and end with its exit code: 0 done, 1 data or run, 2 usage, 130 interrupted."""
    sys.meta_path.insert(0, WithoutPandas())
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line with `arguments`; returns the exit code."""
    try:
        outcome = app(arguments, prog_name="touchworth", standalone_mode=False)
    except typer.TyperException as error:
        return fail(error.format_message() + value_seen(error, arguments), error.exit_code)
    except TouchworthError as error:
        if DEBUG in arguments:
            raise
        return fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        return fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of the pipe has what it wanted; Python would complain again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if DEBUG in arguments:
            raise
        place = f" ({error.filename})" if error.filename else ""
        return fail(f"{error.strerror or error}{place}", 1)
    except MemoryError:
        if DEBUG in arguments:
            raise
        return fail("out of memory; give fewer columns or rows, or a machine with more memory", 1)
    return outcome if isinstance(outcome, int) else 0


def value_seen(error: Exception, arguments: list[str]) -> str:
    """The value that an option refused, which the parser's message leaves out."""
    parameter = getattr(error, "param", None)
    for option in getattr(parameter, "opts", ()):
        for place, word in enumerate(arguments):
            if word.startswith(f"{option}="):
                return f" (it is {word.partition('=')[2]!r})"
            if word == option and place + 1 < len(arguments):
                return f" (it is {arguments[place + 1]!r})"
    variable = getattr(parameter, "envvar", None)
    if isinstance(variable, str) and variable in os.environ:
        return f" ({variable} is {os.environ[variable]!r})"
    return ""
