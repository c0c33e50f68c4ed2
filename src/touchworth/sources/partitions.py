"""Rows too many to hold: gathered into runs, each written with its rows grouped by partition of users.

A run is two Arrow files with one batch a partition: the rows, and the ids of their users. A partition is the same
batch of every run, so that any number of partitions costs two open files. Users are told apart by their ids, never
by the hash that sends them to a partition.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import DataError
from touchworth.kernels import kernel
from touchworth.output import TemporaryFolder
from touchworth.sources.encode import Interner, compact
from touchworth.sources.records import Dimension, Events, ReadReport

__all__ = ["PartitionedDimension", "PartitionedEvents", "Rows", "Run", "Spill", "partition_of"]

# Columns of a row that only some inputs have, and what stands in for them in tables without.
OPTIONAL: dict[str, float] = {"value": 0.0, "cost": 0.0, "sequence": np.inf, "by": 0}


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows that are kept (``n`` of them), users coded within `ids`; see `Events` for the columns.

    Attributes
    ----------
    user
        int32 (n,): code in the order of `ids`.
    channel
        int32 (n,): code in order of first appearance over all rows read; -1 without a touch.
    optional
        The columns of `OPTIONAL` that are there, (n,), and the codes of dimensions: ``dimension0``, ``dimension1``, ...
    ids, hashes
        Ids of the users as an Arrow array, and uint64 hashes.
    """

    user: NDArray[np.int32]
    time: NDArray[np.int64]
    channel: NDArray[np.int32]
    converts: NDArray[np.uint8]
    optional: dict[str, NDArray[Any]]
    ids: pa.Array
    hashes: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Run:
    """One run on disk, and what has to be known of its rows before any partition is read.

    Attributes
    ----------
    place
        The files are ``place.rows`` and ``place.users``.
    columns
        Optional columns that it has.
    channels
        bool: which channel codes occur.
    ends
        Code of the ``by`` column (0 without one) -> latest time.
    rounded
        Ids that a spreadsheet rounded.
    dimensions
        bool: which codes of each dimension occur.
    """

    place: Path
    columns: tuple[str, ...]
    channels: NDArray[np.bool_]
    ends: dict[int, int]
    rounded: tuple[str, ...]
    dimensions: tuple[NDArray[np.bool_], ...] = ()


def partition_of(hashes: NDArray[np.uint64], partitions: int) -> NDArray[np.int64]:
    """Partition of each user: from the upper half of the hash, since buckets are made from the whole."""
    return ((hashes >> np.uint64(32)) % np.uint64(partitions)).astype(np.int64)


@kernel
def group_stably(group: NDArray[np.int64], groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order that brings equal groups together and keeps the order inside each: (order, offsets of the groups)."""
    offsets = np.zeros(groups + 1, np.int64)
    for g in group:
        offsets[g + 1] += 1
    for g in range(groups):
        offsets[g + 1] += offsets[g]
    place = offsets[:-1].copy()
    order = np.empty(group.size, np.int64)
    for i in range(group.size):
        order[place[group[i]]] = i
        place[group[i]] += 1
    return order, offsets


@dataclass(slots=True)
class Spill:
    """Writes rows to runs, grouped by partition.

    Attributes
    ----------
    partitions
        Number of partitions.
    parent
        Folder in which the temporary folder is made; None: the system's.
    repeated
        Bits of the rows of each partition that equal an earlier one; empty where they were not looked for.
    """

    partitions: int
    parent: str | Path | None = None
    runs: list[Run] = field(default_factory=list)
    folder: TemporaryFolder = field(init=False)
    repeated: list[NDArray[np.uint8]] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.folder = TemporaryFolder(self.parent)

    def leave_out_repeated(self) -> tuple[int, NDArray[np.int64]]:
        """Mark the rows that equal an earlier one, a bit each: their number, and what of each oddity they count for.

        Rows are equal if 128 bits of hash of all their cells and the time are; chance cannot bring that about.
        """
        removed, oddities = 0, np.zeros(4, np.int64)
        for partition in range(self.partitions):
            batches = [read_batch(run.place.with_suffix(".rows"), partition) for run in self.runs]
            columns = [
                np.concatenate([batch.column(name).to_numpy() for batch in batches] or [np.empty(0, np.int64)])
                for name in ("key0", "key1", "time")
            ]
            # Stable: of equal rows the first in the order read stands first.
            order = np.lexsort(columns)
            same = np.ones(max(0, order.size - 1), np.bool_)
            for column in columns:
                same &= column[order[1:]] == column[order[:-1]]
            again = np.zeros(order.size, np.bool_)
            again[order[1:][same]] = True
            self.repeated.append(np.packbits(again))
            removed += int(np.count_nonzero(again))
            if again.any():
                odd = np.concatenate([batch.column("odd").to_numpy() for batch in batches])[again]
                oddities += [np.count_nonzero(odd & (1 << bit)) for bit in range(4)]
        return removed, oddities

    def write(self, rows: Rows, rounded: tuple[str, ...] = ()) -> None:
        """Write one run.

        Raises
        ------
        DataError
            The disk is full or cannot be written to.
        """
        # Rejected rows leave ids behind that no row has.
        user, used = compact(rows.user, len(rows.ids))
        part = partition_of(rows.hashes[used], self.partitions)
        order, user_ends = group_stably(part, self.partitions)
        local = np.empty(used.size, np.int32)
        local[order] = np.arange(used.size) - np.repeat(user_ends[:-1], np.diff(user_ends))
        row_order, row_ends = group_stably(part[user], self.partitions)
        columns: dict[str, NDArray[Any]] = {
            "user": local[user], "time": rows.time, "channel": rows.channel, "converts": rows.converts,
        }  # fmt: skip
        table = {name: column[row_order] for name, column in (columns | rows.optional).items()}
        ids = rows.ids.take(pa.array(used[order]))
        place = self.folder.path / f"run-{self._made}"
        self._made += 1
        try:
            write_batches(place.with_suffix(".rows"), pa.RecordBatch.from_pydict(table), row_ends)
            write_batches(place.with_suffix(".users"), pa.RecordBatch.from_arrays([ids], ["id"]), user_ends)
        except OSError as error:
            raise disk_error(self.folder.path, error) from error
        ends: dict[int, int] = {0: int(rows.time.max())}
        if "by" in rows.optional:
            by = rows.optional["by"]
            latest = np.full(int(by.max()) + 1, -1, np.int64)
            np.maximum.at(latest, by, rows.time)
            ends = {code: int(end) for code, end in enumerate(latest.tolist()) if end >= 0}
        met = [codes for name, codes in sorted(rows.optional.items()) if name.startswith("dimension")]
        self.runs.append(
            Run(place, tuple(rows.optional), occurring(rows.channel), ends, rounded, tuple(map(occurring, met)))
        )

    def drop(self, kept: int) -> None:
        """Remove all runs but the first `kept`."""
        for run in self.runs[kept:]:
            for suffix in (".rows", ".users"):
                run.place.with_suffix(suffix).unlink()
        del self.runs[kept:]


def occurring(codes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which codes occur, up to the largest; -1 is none."""
    occurs = np.zeros(int(codes.max(initial=-1)) + 2, np.bool_)
    occurs[codes] = True
    return occurs[:-1]


def write_batches(path: Path, batch: pa.RecordBatch, ends: NDArray[np.int64]) -> None:
    """Write a batch as an Arrow file of one batch a partition."""
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema, options=options) as writer:
        for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            writer.write_batch(batch.slice(a, b - a))


def read_batch(path: Path, partition: int) -> pa.RecordBatch:
    """One batch of a file of `write_batches`."""
    try:
        with pa.OSFile(str(path), "rb") as file:
            return pa.ipc.open_file(file).get_batch(partition)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"the temporary file {path} cannot be read back: {str(error).splitlines()[0]}") from error


def disk_error(folder: Path, error: OSError) -> DataError:
    """Error for a temporary folder that cannot be written to."""
    why = (error.strerror or str(error).splitlines()[0]).lower()
    return DataError(f"temporary files cannot be written to {folder.parent}: {why}; free some or name another --temp")


@dataclass(frozen=True, slots=True)
class PartitionedDimension:
    """A dimension of events in partitions; see `Dimension`.

    Attributes
    ----------
    column
        Its name.
    new_codes
        int32: place of each value in byte order, by its code in the runs; the last is -1.
    values
        Its values in byte order.
    """

    column: str
    new_codes: NDArray[np.int32]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartitionedEvents:
    """Events in partitions of complete users on disk; see `Events` for the columns.

    Attributes
    ----------
    spill
        The runs, and the folder that holds them.
    new_codes
        int32: code of each channel in byte order of the names, by its code in the runs; the last is -1.
    new_by
        The same for the ``by`` column.
    channels, by_values, report
        As in `Events`.
    ends
        Latest time of each group (of all rows where there is no ``by`` column).
    dimensions
        Further columns whose values are players.
    """

    spill: Spill
    new_codes: NDArray[np.int32]
    new_by: NDArray[np.int32]
    channels: tuple[str, ...]
    by_values: tuple[str, ...]
    ends: tuple[int, ...]
    report: ReadReport
    dimensions: tuple[PartitionedDimension, ...] = ()

    def __len__(self) -> int:
        return self.spill.partitions

    def __iter__(self) -> Iterator[Events]:
        return map(self.events, range(len(self)))

    def events(self, partition: int) -> Events:
        """The events of one partition, in the order read."""
        users = Interner(trim=False)
        found: list[dict[str, NDArray[Any]]] = []
        for run in self.spill.runs:
            batch = read_batch(run.place.with_suffix(".rows"), partition)
            ids = read_batch(run.place.with_suffix(".users"), partition).column(0)
            columns = {name: batch.column(name).to_numpy() for name in batch.schema.names}
            columns["user"] = users.codes(ids)[columns["user"]]
            found.append(columns)

        def joined(name: str, dtype: Any) -> NDArray[Any]:
            sizes = (one["user"].size for one in found)
            return np.concatenate(
                [np.empty(0, dtype)]
                + [
                    one[name] if name in one else np.full(size, OPTIONAL.get(name, -1), dtype)
                    for one, size in zip(found, sizes, strict=True)
                ],
                dtype=dtype,
            )

        user, user_ids, user_hash = joined("user", np.int64), users.texts(), users.hashes()
        if self.spill.repeated:
            again = np.unpackbits(self.spill.repeated[partition], count=user.size).view(np.bool_)
            ends = np.cumsum([0, *(one["user"].size for one in found)])
            for one, first, last in zip(found, ends[:-1], ends[1:], strict=True):
                for name, column in one.items():
                    one[name] = column[~again[first:last]]
            user = user[~again]
        present = {name for run in self.spill.runs for name in run.columns}
        return Events(
            user=user,
            time=joined("time", np.int64),
            channel=self.new_codes[joined("channel", np.int32)],
            converts=joined("converts", np.uint8),
            value=joined("value", np.float64),
            sequence=joined("sequence", np.float64) if "sequence" in present else None,
            cost=joined("cost", np.float64) if "cost" in present else None,
            by=self.new_by[joined("by", np.int32)] if self.by_values else None,
            user_ids=user_ids,
            user_hash=user_hash,
            channels=self.channels,
            by_values=self.by_values,
            report=self.report,
            dimensions=tuple(
                Dimension(one.column, one.new_codes[joined(f"dimension{place}", np.int32)], one.values)
                for place, one in enumerate(self.dimensions)
            ),
        )

    def close(self) -> None:
        """Remove the temporary files."""
        self.spill.folder.close()
