"""Specs as documents: reading TOML and JSON, writing both, and the checks that every record of a spec needs."""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from touchworth.errors import DataError, RequestError, missing_column

__all__ = ["check_keys", "dump_toml", "number", "parse_json", "parse_toml", "read_document", "span", "text"]

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read_document(path: str | Path, option: str = "--spec") -> dict[str, Any]:
    """A TOML or JSON file (by its extension) as a mapping.

    Raises
    ------
    DataError
        No such file, or it is neither TOML nor JSON.
    """
    place = Path(path)
    if not place.is_file():
        raise DataError(f"{option}: there is no file {str(path)!r}")
    try:
        content = place.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{option}: {place.name} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    name = f"{option}: {place.name}"
    return parse_json(content, name) if place.suffix.lower() == ".json" else parse_toml(content, name)


def parse_toml(content: str, name: str = "the spec") -> dict[str, Any]:
    """TOML text as a mapping."""
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{name} is not TOML: {error}") from None


def parse_json(content: str, name: str = "the spec") -> dict[str, Any]:
    """JSON text of one object as a mapping."""
    try:
        found = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"{name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{name} holds a JSON {type(found).__name__}; it must hold one object")
    return found


def dump_toml(document: Mapping[str, Any]) -> str:
    """A mapping of texts, numbers, flags, lists and mappings as TOML; None is left out.

    A list of mappings becomes an array of tables, a mapping a table; everything else stands on its own line.
    """
    lines: list[str] = []
    _table(document, (), lines)
    return "\n".join(lines).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    # Plain keys come first: after a [header] they would belong to that table.
    inner = []
    for name, value in table.items():
        if value is None:
            continue
        if isinstance(value, Mapping) or (_is_list(value) and value and all(isinstance(v, Mapping) for v in value)):
            inner.append((name, value))
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    for name, value in inner:
        place = (*path, _key(name))
        if isinstance(value, Mapping):
            lines += ["", f"[{'.'.join(place)}]"]
            _table(value, place, lines)
        else:
            for item in value:
                lines += ["", f"[[{'.'.join(place)}]]"]
                _table(item, place, lines)


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _string(name)


def _string(value: str) -> str:
    # A JSON string is a TOML basic string, except that TOML also wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if _is_list(value):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"a spec cannot hold {value!r}")


def check_keys(given: Any, known: Iterable[str], where: str, needed: Iterable[str] = ()) -> Mapping[str, Any]:
    """`given`, a mapping without unknown keys and with all that are needed.

    Raises
    ------
    RequestError
        It is no mapping, or a key is unknown or missing.
    """
    known = list(known)
    if not isinstance(given, Mapping):
        raise RequestError(f"{where} is {given!r}; it must be a table with the keys {', '.join(known)}")
    for name in given:
        if name not in known:
            raise missing_column(name, known, where)
    for name in needed:
        if name not in given:
            raise RequestError(f"{where} has no {name}; its keys are {', '.join(known)}")
    return given


def text(value: Any, what: str) -> str:
    """A text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise RequestError(f"{what} is {value!r}; it must be a text")
    return value


def number(value: Any, what: str, low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> float:
    """A finite number in [low, high], or in (low, high] with `above`.

    Raises
    ------
    RequestError
        It is something else.
    """
    try:
        found = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or not low <= found <= high or (above and found == low):
        if math.isfinite(low) and math.isfinite(high):
            right = f"lie above {low:g} and be at most {high:g}" if above else f"lie between {low:g} and {high:g}"
        elif math.isfinite(low):
            right = f"be above {low:g}" if above else f"be {low:g} or more"
        else:
            right = "be a number"
        raise RequestError(f"{what} is {value!r}; it must {right}")
    return found


def span(value: Any, what: str, low: float = -math.inf, high: float = math.inf) -> tuple[float, float]:
    """A range [from, to] inside [low, high]; a single number is the range of that number alone.

    Raises
    ------
    RequestError
        It is no range, reversed, or reaches outside.
    """
    if not _is_list(value):
        single = number(value, what, low, high)
        return single, single
    if len(value) != 2:
        raise RequestError(f"{what} is {list(value)!r}; write a range of two numbers such as [0.1, 0.4]")
    first, second = (number(end, what, low, high) for end in value)
    if first > second:
        raise RequestError(f"{what} is {list(value)!r}; the first number must not be above the second")
    return first, second
