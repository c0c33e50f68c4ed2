"""What one browser session holds: its folder, its data, its results. Nothing of it is shared with another."""

import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from touchworth.app.work import Job, Tell
from touchworth.errors import RequestError

__all__ = ["Dataset", "Session", "fingerprint", "keep_upload", "preview", "refuse_unheld", "usable_path", "whole_table"]

MOST_RESULTS = 8
"""Results kept for each page."""

BLOCK = 1 << 22
SECONDS_AFTER_DISCONNECT = float(os.environ.get("TOUCHWORTH_APP_GRACE", "150"))
"""A page that lost its connection may come back within two minutes; then its files go."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that were read.

    Attributes
    ----------
    kind
        ``sessions`` or ``journeys``.
    label
        Name for people.
    path
        The file they were read from.
    fingerprint
        Hash of the file's content and of how it was read.
    loaded
        Sessions, or Journeys.
    head
        First rows, as texts.
    columns
        Names of all columns.
    generated
        Whether the file was made here.
    truth
        What a simulator knows of its data, or None.
    rejects
        File of the rejected rows, or None.
    """

    kind: str
    label: str
    path: Path
    fingerprint: str
    loaded: Any
    head: pa.Table
    columns: tuple[str, ...]
    generated: bool = False
    truth: Any = None
    rejects: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Session:
    """Everything of one browser session; its folder goes when the session goes, or the program ends."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="touchworth-app-"))
        self.data: dict[str, Dataset] = {}
        self.jobs: dict[str, Job] = {}
        self.results: dict[str, OrderedDict[str, Any]] = {}
        self.shown: dict[str, str] = {}
        self.basis: dict[str, str] = {}
        self.uploads: dict[str, Path] = {}
        self.edited: dict[str, pa.Table] = {}
        self.edited_from: dict[str, pa.Table] = {}
        self.loads = 0
        self._timer: threading.Timer | None = None
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def run(self, slot: str, name: str, key: str, work: Callable[[Tell], Any], basis: str = "") -> None:
        """Start work for a page, unless its result is there already; an earlier job of the page is cancelled.

        The result is kept under `key`, and `slot` shows it from then on; `basis` is the fingerprint of its data.
        """
        earlier = self.jobs.pop(slot, None)
        if earlier is not None:
            earlier.cancel()
        kept = self.results.setdefault(slot, OrderedDict())
        if key in kept:
            kept.move_to_end(key)
            self.shown[slot] = key
            return
        self.basis[key] = basis

        def keep(result: Any) -> None:
            kept[key] = result
            self.shown[slot] = key
            while len(kept) > MOST_RESULTS:
                gone, _ = kept.popitem(last=False)
                self.basis.pop(gone, None)

        self.jobs[slot] = Job(name, work, keep, key).start()

    def drop(self, slot: str, key: str) -> None:
        """Forget one result, so that the same request is worked on again."""
        self.results.get(slot, OrderedDict()).pop(key, None)

    def clear(self, slot: str) -> None:
        """Say no more about a page's last job, if it has ended."""
        job = self.jobs.get(slot)
        if job is not None and not job.running:
            del self.jobs[slot]

    def result(self, slot: str, basis: str | None = None) -> Any:
        """What a page shows, or None; with `basis` only if it was made of these data."""
        key = self.shown.get(slot, "")
        if basis is not None and self.basis.get(key) != basis:
            return None
        return self.results.get(slot, OrderedDict()).get(key)

    def forget(self, *slots: str) -> None:
        """Show nothing in these pages any more, and stop what they wait for."""
        for slot in slots:
            self.shown.pop(slot, None)
            job = self.jobs.pop(slot, None)
            if job is not None:
                job.cancel()

    def stay(self) -> None:
        """The browser is there: do not delete anything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def leave(self) -> None:
        """The browser is gone: delete everything unless it comes back."""
        self.stay()
        # The timer must not keep the session alive.
        itself = weakref.ref(self)

        def end() -> None:
            session = itself()
            if session is not None:
                session.delete()

        self._timer = threading.Timer(SECONDS_AFTER_DISCONNECT, end)
        self._timer.daemon = True
        self._timer.start()

    def delete(self) -> None:
        """Stop all work and delete all files and results."""
        self.stay()
        for job in self.jobs.values():
            job.cancel()
        self.data.clear()
        self.jobs.clear()
        self.results.clear()
        self._finalizer()


def default_channels() -> pa.Table:
    """The simulator's own channels: channel, cvr, frequency, aov, sd, cpc."""
    from dataclasses import asdict

    from touchworth.simulate.channels import DEFAULT_CHANNELS

    table = pa.Table.from_pylist([asdict(channel) for channel in DEFAULT_CHANNELS])
    return table.rename_columns(["channel", *table.column_names[1:]])


def fingerprint(*parts: object) -> str:
    """Hash of parameters."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def hash_file(path: Path, tell: Tell) -> str:
    """Hash of a file's content."""
    total, done = path.stat().st_size, 0
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            done += len(block)
            tell("looking at the file", done, total)
    return digest.hexdigest()


def keep_upload(session: Session, stream: BinaryIO, name: str) -> Path:
    """Write an upload to the session's folder; only the ending of its name is taken over."""
    suffixes = [suffix for suffix in Path(name).suffixes[-2:] if suffix[1:].isalnum() and len(suffix) < 10]
    handle, place = tempfile.mkstemp(dir=session.folder, prefix="upload-", suffix="".join(suffixes))
    with os.fdopen(handle, "wb") as out:
        shutil.copyfileobj(stream, out, BLOCK)
    return Path(place)


def usable_path(text: str) -> Path:
    """A file of this machine that the user named.

    Raises
    ------
    RequestError
        No name, no such file, or a pattern.
    """
    text = text.strip().strip("'\"")
    if not text:
        raise RequestError("the path is empty; write the whole path of a file, such as /data/events.parquet")
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise RequestError(f"the path is {text!r}; write the whole path, from the root of this machine")
    if not path.is_file():
        raise RequestError(f"there is no file {text!r} on this machine")
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise RequestError(f"{path.name!r} is a pickle, which can run any program when it is read; give CSV or Parquet")
    return path


def preview(path: Path, rows: int = 100) -> tuple[pa.Table, tuple[str, ...]]:
    """First rows of a file as texts, and the names of its columns."""
    from touchworth.sources.tables import open_tables

    with open_tables(str(path)) as tables:
        part = tables.parts[0]
        cells = tables.sample(part, rows)[:rows]
        names = tuple(part.columns)
    columns = [pa.array([row[i] for row in cells], pa.string()) for i in range(len(names))]
    return pa.table(dict(zip(names, columns, strict=True))), names


def whole_table(path: Path) -> pa.Table:
    """All rows of a file as they stand there: cells of text files are texts."""
    from touchworth.sources.tables import open_tables

    found: list[pa.RecordBatch] = []
    with open_tables(str(path)) as tables:
        part = tables.parts[0]
        tables.use(part.columns)
        tables.read(lambda relation: f"SELECT * FROM {relation}", part, found.append, found.clear)
        names = list(part.columns)
    return pa.Table.from_batches(found).rename_columns(names)


def refuse_unheld(loaded: Any, label: str) -> None:
    """Say what to do with data that lie on disk because memory would not do: the pages show what is held."""
    from touchworth.journeys.partitioned import PartitionedJourneys
    from touchworth.synergy.blocks import SessionBlocks

    for kind, command in ((PartitionedJourneys, "attribute"), (SessionBlocks, "synergy")):
        if isinstance(loaded, kind):
            raise RequestError(
                f"{label} is larger than the memory that is free; touchworth {command} reads it from disk and writes "
                "a table, or give a part of its rows here"
            )
