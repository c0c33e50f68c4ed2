"""The rules by which rows become journeys, and the texts users write them in."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from touchworth.errors import RequestError, not_one_of

__all__ = ["Rules", "Transform", "make_rules", "parse_duration", "parse_moment"]

MICROSECONDS = {
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "w": 604_800_000_000,
}
TRANSFORMS = ("unique", "exposure", "first", "frequency")
TRANSFORMS_WITH_NUMBER = ("trim_long",)
TRANSFORMS_WITH_CHANNEL = ("remove_if_not_all", "remove_if_last_and_not_all")


@dataclass(frozen=True, slots=True)
class Transform:
    """One path transform: its name and its number or channel where it takes one."""

    name: str
    number: int = 0
    channel: str = ""

    def __str__(self) -> str:
        argument = self.channel or (str(self.number) if self.number else "")
        return f"{self.name}={argument}" if argument else self.name


@dataclass(frozen=True, slots=True)
class Rules:
    """How journeys are cut and changed; times in microseconds (UTC).

    Attributes
    ----------
    lookback
        Longest age of a touch at its conversion, and longest gap inside a null journey; None: no limit.
    lookback_steps
        At most so many last touches; None: no limit.
    conversion_rule
        ``each`` conversion ends a journey, or only the ``first`` of a user counts.
    open_journeys
        ``null``: journeys that may still convert count as null; ``exclude``: they are left out.
    since, until
        First and last moment (both included) of conversions, and of the last touch of null journeys.
    regroup
        (pattern, channel) pairs; the first pattern that fits a raw channel names its channel.
    drop
        Channels removed from journeys in which any other channel remains.
    transforms
        Path transforms in the order of application.
    """

    lookback: int | None = 30 * MICROSECONDS["d"]
    lookback_steps: int | None = None
    conversion_rule: str = "each"
    open_journeys: str = "null"
    since: int | None = None
    until: int | None = None
    regroup: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    transforms: tuple[Transform, ...] = ()

    def describe(self) -> dict[str, object]:
        """The rules as plain values, for summaries."""
        return {
            "lookback": None if self.lookback is None else format_duration(self.lookback),
            "lookback_steps": self.lookback_steps,
            "conversion_rule": self.conversion_rule,
            "open": self.open_journeys,
            "since": None if self.since is None else format_moment(self.since),
            "until": None if self.until is None else format_moment(self.until),
            "drop": list(self.drop),
            "transforms": [str(transform) for transform in self.transforms],
        }


def make_rules(
    *,
    lookback: str | int | timedelta | None = "30d",
    lookback_steps: int | None = None,
    conversion_rule: str = "each",
    open_journeys: str = "null",
    since: str | date | None = None,
    until: str | date | None = None,
    timezone: str = "UTC",
    regroup: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    drop: Iterable[str] = (),
    transforms: Iterable[str] = (),
) -> Rules:
    """Check the rules as users write them and turn them into a `Rules` record.

    Raises
    ------
    RequestError
        A duration, date, name or number that is not understood, with what would be right.
    """
    if conversion_rule not in ("each", "first"):
        raise not_one_of("--conversion-rule", conversion_rule, ("each", "first"))
    if open_journeys not in ("null", "exclude"):
        raise not_one_of("--open", open_journeys, ("null", "exclude"))
    if lookback_steps is not None and lookback_steps < 1:
        raise RequestError(f"--lookback-steps is {lookback_steps}; it must be 1 or more")
    window = parse_duration(lookback, "--lookback")
    if window is None and open_journeys == "exclude":
        raise RequestError("--open exclude needs a lookback: without one every null journey may still convert")
    first = None if since is None else parse_moment(since, "--since", timezone)
    last = None if until is None else parse_moment(until, "--until", timezone, end=True)
    if first is not None and last is not None and first > last:
        raise RequestError(f"--since {since} is later than --until {until}")
    pairs = tuple(regroup.items()) if isinstance(regroup, Mapping) else tuple(regroup or ())
    return Rules(
        lookback=window,
        lookback_steps=lookback_steps,
        conversion_rule=conversion_rule,
        open_journeys=open_journeys,
        since=first,
        until=last,
        regroup=pairs,
        drop=tuple(drop),
        transforms=tuple(parse_transform(text) for text in transforms),
    )


def parse_duration(text: str | int | timedelta | None, option: str) -> int | None:
    """Microseconds of a duration such as ``30d``, ``12h``, ``90m``, ``45s`` or ``2w``; None for ``none``."""
    if text is None or (isinstance(text, str) and text.strip().lower() == "none"):
        return None
    if isinstance(text, timedelta):
        duration = text // timedelta(microseconds=1)
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([wdhms])\s*", str(text).lower())
        if found is None:
            raise RequestError(f"{option} is {text!r}; write a number with a unit (30d, 12h, 90m, 45s) or 'none'")
        duration = round(float(found[1]) * MICROSECONDS[found[2]])
    if duration <= 0:
        raise RequestError(f"{option} is {text!r}; it must be longer than nothing")
    if duration > 2**62:
        raise RequestError(f"{option} is {text!r}; use 'none' for no limit")
    return duration


def parse_moment(text: str | date, option: str, timezone: str = "UTC", *, end: bool = False) -> int:
    """Microseconds (UTC) of a date or time; with `end`, a bare date means the last moment of that day."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    day_only = isinstance(text, date) and not isinstance(text, datetime)
    if isinstance(text, datetime):
        moment = text
    elif isinstance(text, date):
        moment = datetime(text.year, text.month, text.day)
    else:
        day_only = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()) is not None
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise RequestError(
                f"{option} is {text!r}; write a date such as 2026-01-31 or a time such as 2026-01-31T18:00"
            ) from None
    if moment.tzinfo is None:
        try:
            moment = moment.replace(tzinfo=ZoneInfo(timezone) if timezone != "UTC" else UTC)
        except (ZoneInfoNotFoundError, ValueError):
            raise RequestError(f"--timezone is {timezone!r}; write a name such as Europe/Berlin or UTC") from None
    if day_only and end:
        moment += timedelta(days=1)
    stamp = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return stamp - 1 if day_only and end else stamp


def parse_transform(text: str) -> Transform:
    """A transform from its text: ``exposure``, ``trim_long=5``, ``remove_if_not_all=Direct``."""
    name, given, argument = text.partition("=")
    if name in TRANSFORMS and not given:
        return Transform(name)
    if name in TRANSFORMS_WITH_NUMBER:
        if not argument.isdigit() or int(argument) < 1:
            raise RequestError(f"--transform is {text!r}; write {name}=N with N of 1 or more")
        return Transform(name, number=int(argument))
    if name in TRANSFORMS_WITH_CHANNEL:
        if not argument:
            raise RequestError(f"--transform is {text!r}; write {name}=CHANNEL")
        return Transform(name, channel=argument)
    allowed = (*TRANSFORMS, "trim_long=N", "remove_if_not_all=CHANNEL", "remove_if_last_and_not_all=CHANNEL")
    raise not_one_of("--transform", text, allowed)


def format_duration(microseconds: int) -> str:
    """A duration in the largest unit that divides it."""
    for unit in ("d", "h", "m", "s"):
        if microseconds % MICROSECONDS[unit] == 0:
            return f"{microseconds // MICROSECONDS[unit]}{unit}"
    return f"{microseconds / MICROSECONDS['s']:g}s"


def format_moment(microseconds: int) -> str:
    """A moment as ISO text in UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat()
