"""Journeys too many to hold: partitions of complete users, cut and reduced one after another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.journeys.build import (
    GroupedJourneys,
    Journeys,
    events_of_group,
    journeys_from_events,
    regroup_channels,
    symbol_keys,
)
from touchworth.journeys.counts import PathCounts, count_paths, merge_paths
from touchworth.journeys.intern import gather_slices, hash_slices
from touchworth.journeys.rules import Rules, Transform
from touchworth.journeys.transform import encode_steps
from touchworth.output import TemporaryFolder
from touchworth.sources.partitions import (
    PartitionedEvents,
    disk_error,
    group_stably,
    partition_of,
    read_batch,
    write_batches,
)
from touchworth.sources.records import Events, ReadReport

__all__ = [
    "Frame",
    "LocalPartitions",
    "PartitionedJourneys",
    "Partitions",
    "PathParts",
    "SpilledPaths",
    "partition_journeys",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Frame:
    """All that has to be settled before one partition can be cut as a part of the whole.

    Attributes
    ----------
    rules, delimiter, threads
        As in `journeys_from_events`.
    group
        Code of the ``by`` value, or None.
    end
        Latest time of all rows of the group, microseconds.
    symbols
        Keys of the symbols, or None where symbols are the channels.
    """

    rules: Rules
    delimiter: str
    threads: int
    group: int | None
    end: int
    symbols: NDArray[np.int64] | None = None

    def cut(self, events: Events) -> Journeys:
        """Journeys of the users of one partition."""
        mine = events if self.group is None else events_of_group(events, self.group)
        return journeys_from_events(mine, self.rules, self.threads, self.delimiter, self.end, self.symbols)


class Settled(Protocol):
    """What reading settles for all partitions; see `PartitionedEvents`."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names in byte order."""

    @property
    def by_values(self) -> tuple[str, ...]:
        """Values of the ``by`` column."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Latest time of each group, of all rows where there is none."""

    @property
    def report(self) -> ReadReport:
        """What was read."""


class PathParts(Protocol):
    """Distinct paths in parts, each path in one of them."""

    def map(self, function: Callable[[PathCounts], T]) -> Iterator[T]:
        """The function of every part, in turn."""

    def close(self) -> None:
        """Let go of them."""


@dataclass(frozen=True, slots=True)
class NoPaths:
    """Paths that were not asked for."""

    def map(self, function: Callable[[PathCounts], T]) -> Iterator[T]:
        """Nothing."""
        del function
        return iter(())

    def close(self) -> None:
        """Nothing has to be removed."""


class Partitions(Protocol):
    """Where partitions of complete users come from; what an engine has to offer."""

    def fold(
        self,
        frames: Sequence[Frame],
        functions: Sequence[Callable[[Journeys], T]],
        merge: Callable[[T, T], T],
        *,
        paths: bool = True,
    ) -> Sequence[tuple[T, PathParts]]:
        """For each frame its function of all partitions, merged, and the distinct paths if `paths` are wanted."""

    def journeys(self, frame: Frame) -> Iterator[Journeys]:
        """The journeys of each partition in turn."""

    def close(self) -> None:
        """Remove what is on disk."""


@dataclass(frozen=True, slots=True, repr=False)
class PartitionedJourneys:
    """Journeys too many to hold, in partitions of complete users; `attribute` and `paths` take them as any others.

    Temporary files are removed by `close` (or at the end of a ``with``), and when nothing refers to them any more.

    Attributes
    ----------
    channels
        Names in byte order.
    partitions
        Where they come from.
    frame
        How they are cut.
    report
        What was read.
    """

    channels: tuple[str, ...]
    partitions: Partitions
    frame: Frame
    report: ReadReport
    has_times: bool = field(default=True, init=False)

    def __repr__(self) -> str:
        return f"PartitionedJourneys({self.report.rows_read:,} rows read, {len(self.channels)} channels)"

    def __enter__(self) -> "PartitionedJourneys":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def parts(self) -> Iterator[Journeys]:
        """The journeys of each partition in turn."""
        return self.partitions.journeys(self.frame)

    def close(self) -> None:
        """Remove the temporary files."""
        self.partitions.close()


@dataclass(frozen=True, slots=True)
class LocalPartitions:
    """Partitions on this machine's disk."""

    events: PartitionedEvents

    def fold(
        self,
        frames: Sequence[Frame],
        functions: Sequence[Callable[[Journeys], T]],
        merge: Callable[[T, T], T],
        *,
        paths: bool = True,
    ) -> list[tuple[T, PathParts]]:
        """For each frame its function of all partitions, merged, and the distinct paths if `paths` are wanted."""
        found: list[T] = []
        kept = [SpilledPaths(len(self.events), self.events.spill.parent) for _ in frames if paths]
        try:
            for partition in range(len(self.events)):
                # Nothing but the journeys is held while they are reduced.
                shared = self.events.events(partition) if len(frames) > 1 else None
                for place, frame in enumerate(frames):
                    journeys = frame.cut(self.events.events(partition) if shared is None else shared)
                    if paths:
                        kept[place].add(count_paths(journeys))
                    result = functions[place](journeys)
                    del journeys
                    found[place : place + 1] = [merge(found[place], result) if partition else result]
                    pa.default_memory_pool().release_unused()
        except BaseException:
            for one in kept:
                one.close()
            raise
        listed: list[PathParts] = [*kept] if paths else [NoPaths() for _ in frames]
        return list(zip(found, listed, strict=True))

    def journeys(self, frame: Frame) -> Iterator[Journeys]:
        """The journeys of each partition in turn."""
        return map(frame.cut, self.events)

    def close(self) -> None:
        """Remove the temporary files."""
        self.events.close()


@dataclass(slots=True)
class SpilledPaths:
    """Distinct paths on disk, parted by their hash, so that equal ones meet."""

    parts: int
    parent: str | Path | None
    folder: TemporaryFolder = field(init=False)
    _files: int = 0

    def __post_init__(self) -> None:
        self.folder = TemporaryFolder(self.parent)

    def add(self, paths: PathCounts) -> None:
        """Write the distinct paths of one partition of users."""
        batch, ends = grouped_paths(paths, self.parts)
        try:
            write_batches(self.folder.path / f"paths-{self._files}", batch, ends)
        except OSError as error:
            raise disk_error(self.folder.path, error) from error
        self._files += 1

    def map(self, function: Callable[[PathCounts], T]) -> Iterator[T]:
        """The function of every part, in turn."""
        for part in range(self.parts):
            files = (self.folder.path / f"paths-{number}" for number in range(self._files))
            yield function(merge_paths([paths_of_batch(read_batch(file, part)) for file in files]))

    def close(self) -> None:
        """Remove the files."""
        self.folder.close()


def grouped_paths(paths: PathCounts, parts: int) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
    """Paths as a batch grouped by part, and where each part begins and the last one ends."""
    order, ends = group_stably(partition_of(hash_slices(paths.symbol, paths.offsets), parts), parts)
    offsets, symbol = gather_slices(paths.symbol, paths.offsets[:-1][order], paths.offsets[1:][order])
    columns: dict[str, Any] = {
        "path": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(symbol)),
        "conversions": paths.conversions[order],
        "nulls": paths.nulls[order],
        "value": paths.value[order],
    }
    return pa.RecordBatch.from_pydict(columns), ends


def paths_of_batch(batch: pa.RecordBatch) -> PathCounts:
    """Paths from a batch of `grouped_paths`."""
    path = batch.column("path")
    offsets = path.offsets.to_numpy()
    return PathCounts(
        offsets=offsets - offsets[0],
        symbol=path.values.to_numpy()[offsets[0] : offsets[-1]],
        conversions=batch.column("conversions").to_numpy(),
        nulls=batch.column("nulls").to_numpy(),
        value=batch.column("value").to_numpy(),
    )


def partition_journeys(
    partitions: Partitions, known: Settled, rules: Rules, threads: int, delimiter: str
) -> PartitionedJourneys | GroupedJourneys:
    """Partitioned journeys, or those of each group where the analysis is repeated by a column."""
    # What is wrong with names of channels shows here, as it does with journeys that are held.
    _, names = regroup_channels(np.empty(0, np.int32), known.channels, rules.regroup)
    encode_steps([Transform("remove_if_not_all", channel=name) for name in rules.drop], names)
    encode_steps(rules.transforms, names)
    grouped = "by" in known.report.columns
    frames = [
        Frame(rules, delimiter, threads, code if grouped else None, end)
        for code, end in enumerate(known.ends)
        if not grouped or known.by_values
    ]
    if any(transform.name == "frequency" for transform in rules.transforms):
        # Frequencies are known only once all journeys are cut: their symbols must be numbered alike in all partitions.
        found = partitions.fold(frames, [symbol_keys] * len(frames), np.union1d, paths=False)
        frames = [
            replace(frame, symbols=keys if keys.size else None) for frame, (keys, _) in zip(frames, found, strict=True)
        ]
    parts = [PartitionedJourneys(names, partitions, frame, known.report) for frame in frames]
    if not grouped:
        return parts[0]
    groups = dict(zip(known.by_values, parts, strict=True))
    return GroupedJourneys(known.report.columns["by"], groups, known.report)
