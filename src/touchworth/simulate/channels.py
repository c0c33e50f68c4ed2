"""The channels of simulated journeys: a table that users edit."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from touchworth.errors import DataError, RequestError, missing_column
from touchworth.simulate.documents import check_keys, number, text

__all__ = ["DEFAULT_CHANNELS", "Channel", "channel_table", "check_channels", "read_channels"]

SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of the simulator.

    Attributes
    ----------
    name
        Its name.
    cvr
        What a touch adds to the probability of conversion, 0 to 1.
    frequency
        Relative frequency of its touches; those of all channels sum to 1.
    aov, sd
        Mean and standard deviation of the normal order value of conversions whose last touch is this channel (money;
        values below 0 are cut to 0).
    cpc
        Cost of one touch (money).
    """

    name: str
    cvr: float
    frequency: float
    aov: float
    sd: float
    cpc: float

    def __post_init__(self) -> None:
        text(self.name, "the name of a channel")
        number(self.cvr, f"the cvr of {self.name!r}", 0.0, 1.0)
        for column in ("frequency", "aov", "sd", "cpc"):
            number(getattr(self, column), f"the {column} of {self.name!r}", 0.0)


DEFAULT_CHANNELS = (
    Channel("Paid Social", 0.02, 0.20, 95.0, 5.0, 3.0),
    Channel("Paid Search", 0.02, 0.10, 90.0, 10.0, 3.0),
    Channel("Display Network", 0.025, 0.30, 100.0, 30.0, 3.0),
    Channel("Affiliate", 0.04, 0.30, 120.0, 15.0, 3.0),
    Channel("Email", 0.05, 0.10, 130.0, 5.0, 3.0),
)
COLUMNS = tuple(field.name for field in fields(Channel))
FILE_COLUMNS = ("channel", *COLUMNS[1:])


def check_channels(channels: tuple[Channel, ...]) -> None:
    """Names must be unique and frequencies sum to 1.

    Raises
    ------
    RequestError
        No channels, a name twice, or another sum, which is stated.
    """
    if not channels:
        raise RequestError("there are no channels; give at least one")
    names = [channel.name for channel in channels]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"the channel {name!r} stands twice; names must be unique")
    total = sum(channel.frequency for channel in channels)
    if abs(total - 1) > SUM_TOLERANCE:
        raise RequestError(f"the relative frequencies of the channels sum to {total:.10g}; they must sum to 1")


def read_channels(source: Any, option: str = "--channels") -> tuple[Channel, ...]:
    """Channels of whatever holds them.

    Parameters
    ----------
    source
        A CSV file (columns channel, cvr, frequency, aov, sd, cpc), a sequence of `Channel`, of tuples in that order or
        of mappings, or a data frame or Arrow table with those columns (`name` is taken for channel too).

    Raises
    ------
    DataError
        No such file, or a cell of it that is no number.
    RequestError
        A missing column or an impossible number.
    """
    if isinstance(source, (str, Path)):
        channels = tuple(_from_file(Path(source), option))
    else:
        channels = tuple(_channel(item) for item in _rows(source, option))
    check_channels(channels)
    return channels


def _rows(source: Any, option: str) -> Iterable[Any]:
    if hasattr(source, "to_pylist"):
        return source.to_pylist()  # type: ignore[no-any-return]
    if hasattr(source, "to_dicts"):
        return source.to_dicts()  # type: ignore[no-any-return]
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        return source.to_dict("records")  # type: ignore[no-any-return]
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise RequestError(f"{option} is a {type(source).__name__}; give a file, a data frame or a list of channels")
    return source


def _channel(item: Any) -> Channel:
    if isinstance(item, Channel):
        return item
    if isinstance(item, Mapping):
        renamed = {"name" if key == "channel" else key: value for key, value in item.items()}
        check_keys(renamed, COLUMNS, "a channel", COLUMNS)
        values = [renamed[column] for column in COLUMNS]
    else:
        values = list(item) if isinstance(item, (tuple, list)) else [item]
        if len(values) != len(COLUMNS):
            raise RequestError(f"a channel is {item!r}; it must have {', '.join(FILE_COLUMNS)}")
    name = text(values[0], "the name of a channel")
    numbers = [
        number(value, f"the {column} of {name!r}", 0.0) for column, value in zip(COLUMNS[1:], values[1:], strict=True)
    ]
    return Channel(name, *numbers)


def _from_file(path: Path, option: str) -> Iterable[Channel]:
    if not path.is_file():
        raise DataError(f"{option}: there is no file {str(path)!r}")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{option}: {path.name} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    head = lines[0] if lines else ""
    rows = csv.DictReader(lines, delimiter=max(",;\t", key=head.count))
    columns = [name.strip() for name in rows.fieldnames or []]
    rows.fieldnames = columns
    for name in FILE_COLUMNS:
        if name not in columns:
            raise missing_column(name, columns, f"{option} {path.name}")
    found = 0
    for row in rows:
        found += 1
        name, *cells = ((row[column] or "").strip() for column in FILE_COLUMNS)
        place = f"{option}: {path.name}, line {rows.line_num}"
        if not name:
            raise DataError(f"{place}: channel is blank")
        numbers = []
        for column, cell in zip(FILE_COLUMNS[1:], cells, strict=True):
            try:
                numbers.append(float(cell))
            except ValueError:
                raise DataError(f"{place}: the {column} of {name!r} is {cell!r}; write a number such as 0.05") from None
        yield Channel(name, *numbers)
    if not found:
        raise DataError(f"{option}: {path.name} has no rows below its header")


def channel_table(channels: tuple[Channel, ...] = DEFAULT_CHANNELS) -> pa.Table:
    """Channels as a table with the columns of a channel file, to edit and to give back to `read_channels`."""
    columns = zip(*(astuple(channel) for channel in channels), strict=True)
    return pa.table(dict(zip(FILE_COLUMNS, map(list, columns), strict=True)))


def channel_dict(channel: Channel) -> dict[str, Any]:
    """A channel as a plain mapping."""
    return dict(zip(COLUMNS, astuple(channel), strict=True))
