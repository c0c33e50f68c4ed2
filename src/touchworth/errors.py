"""Every exception of touchworth, and the sentences they carry.

A sentence says what was wrong, the value seen and what would be right; the command line prints it on one
line and ends with the exception's exit code.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "DataError",
    "RequestError",
    "TooManyRejectsError",
    "TouchworthError",
    "missing_column",
    "not_one_of",
    "unknown_name",
]


class TouchworthError(Exception):
    """Base of all errors that touchworth raises on purpose."""

    exit_code = 1


class DataError(TouchworthError):
    """The data, or the run over it, is wrong (exit code 1)."""


class TooManyRejectsError(DataError):
    """More rows were rejected than the caller allows; nothing was computed."""


class RequestError(TouchworthError):
    """The request is wrong: an unknown column, an impossible option (exit code 2)."""

    exit_code = 2


def missing_column(name: str, columns: Iterable[str], role: str | None = None) -> RequestError:
    """Error for a column that the input does not have, with the nearest names."""
    columns = list(columns)
    near = get_close_matches(name, columns, n=3, cutoff=0.5)
    hint = f"did you mean {_names(near)}?" if near else f"the columns are {_names(columns)}"
    purpose = f" for {role}" if role else ""
    return RequestError(f"column {name!r}{purpose} is not in the input; {hint}")


def unknown_name(what: str, name: str, names: Iterable[str]) -> RequestError:
    """Error for the name of something that is not there, with the nearest names."""
    names = list(names)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {_names(near)}?" if near else f"there are {_names(names)}"
    return RequestError(f"there is no {what} {name!r}; {hint}")


def not_one_of(what: str, seen: object, allowed: Iterable[str]) -> RequestError:
    """Error for a value outside a closed list, with the list."""
    return RequestError(f"{what} is {seen!r}; it must be one of {_names(allowed)}")


def _names(names: Iterable[str], most: int = 20) -> str:
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most])
    return shown + (f", ... ({len(names)} in all)" if len(names) > most else "")
