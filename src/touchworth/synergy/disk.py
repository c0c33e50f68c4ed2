"""Wide tables of sessions that do not fit into memory, not even as bits: blocks on disk, counted one after another."""

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from touchworth.output import TemporaryFolder
from touchworth.sources.events import notices_of_ids
from touchworth.sources.memory import BASE, LEAST_SCAN, SHARE_OF_FREE, free_memory, parse_size
from touchworth.sources.partitions import disk_error
from touchworth.sources.records import Sessions
from touchworth.sources.rejects import Rejects
from touchworth.sources.sessions import (
    PartStream,
    WideTally,
    settle_wide,
    stream_part,
)
from touchworth.sources.tables import open_tables
from touchworth.synergy.blocks import SessionBlocks, merge_all
from touchworth.synergy.select import keep_players
from touchworth.synergy.wide import settle_blocks

__all__ = ["DiskSessions", "read_sessions_to_disk", "sessions_exceed"]

T = TypeVar("T")

ROWS_OF_BLOCK = 1 << 20
"""Most rows of a batch, which becomes a block."""

CELLS_OF_BLOCK = 8_000_000
"""Most cells of a batch: a byte each while they are read."""

PER_ROW = 8
"""Bytes of a session beside its players: who converted, what becomes of the row, a part of value, weight and user."""

SMALL_FILE = 1 << 24
"""Files below this size are not looked at before they are read."""


@dataclass(frozen=True, slots=True)
class DiskSessions:
    """Sessions in files of a temporary folder, which is removed by `close` or when nothing refers to it any more.

    Attributes
    ----------
    folder
        Where they lie.
    files
        One a block.
    players
        Those to keep.
    """

    folder: TemporaryFolder
    files: tuple[Path, ...]
    players: tuple[str, ...]

    def fold(self, function: Callable[[Sessions], T], merge: Callable[[T, T], T]) -> T:
        """The function of every block, merged, one after another."""
        # Written by this process into a folder that is nobody else's.
        blocks = (pickle.loads(file.read_bytes()) for file in self.files)
        return merge_all((function(keep_players(sessions, self.players)) for sessions in blocks), merge)

    def close(self) -> None:
        """Remove the files."""
        self.folder.close()


def sessions_exceed(source: Any, memory: str | None, table: str | None, query: str | None) -> bool:
    """Whether a wide table of a file is too large to be held as bits within `memory` (70 % of what is free)."""
    if not isinstance(source, str | os.PathLike) or os.fspath(source) == "-":
        return False
    limit = int(SHARE_OF_FREE * free_memory()) if memory is None else parse_size(memory)
    place = Path(source)
    if place.is_file() and place.stat().st_size < min(SMALL_FILE, limit // 8):
        return False
    with open_tables(source, table=table, query=query) as tables:
        # Bits stand twice while they are joined.
        need = tables.count_rows() * (len(tables.columns) / 4 + PER_ROW)
    return BASE + need > limit


def read_sessions_to_disk(
    source: Any,
    asked: Mapping[str, str | None],
    *,
    players: Sequence[str] | None,
    where: Mapping[str, str] | None,
    max_rejects: float,
    rejects: str | Path | None,
    force: bool,
    table: str | None,
    query: str | None,
    threads: int,
    memory: str | None,
    temp: str | Path | None,
    progress: Callable[[str, int], None] | None,
) -> SessionBlocks:
    """Read a wide table of sessions into blocks on disk; columns are settled on its first rows.

    Raises
    ------
    RequestError, DataError
        As `read_sessions`; a player that is no flag in later rows rejects them.
    """
    collector = Rejects(rejects, force)
    folder = TemporaryFolder(temp)
    files: list[Path] = []
    try:
        with open_tables(source, table=table, query=query, threads=threads, temp=temp) as tables:
            settled = settle_wide(tables, asked, players, where)
            wanted, plan, candidates = settled.wanted, settled.plan, settled.candidates
            tables.use([*candidates, *plan.columns.values(), *wanted])
            limit = int(SHARE_OF_FREE * free_memory()) if memory is None else parse_size(memory)
            tables.limit(max(LEAST_SCAN, limit // 4), min(ROWS_OF_BLOCK, max(8192, CELLS_OF_BLOCK // len(candidates))))
            report = settled.report(tables.names, plan)
            streams: list[PartStream] = []
            for part in tables.parts:
                begun = len(files)

                def write(sessions: Sessions) -> None:
                    file = folder.path / f"block-{len(files)}"
                    try:
                        file.write_bytes(pickle.dumps(sessions, protocol=5))
                    except OSError as error:
                        raise disk_error(folder.path, error) from error
                    files.append(file)

                def restart(begun: int = begun) -> None:
                    while len(files) > begun:
                        files.pop().unlink()

                def told(rows: int, name: str = part.name) -> None:
                    if progress is not None:
                        progress(name, rows)

                streams.append(
                    stream_part(tables, part, candidates, plan, wanted, collector, report, write, restart, told)
                )
            notices = [*tables.notices, *settled.notices(asked["user"])]
        rounded = list(dict.fromkeys(name for stream in streams for name in stream.rounded))
        notices += notices_of_ids(pa.array(rounded, pa.string()))
        tally = sum((stream.tally for stream in streams), WideTally(rows=sum(stream.rows for stream in streams)))
        collector.judge(tally.rows, max_rejects)
        blocks = DiskSessions(folder, tuple(files), tuple(candidates))
        kept, whole = settle_blocks(blocks, candidates, tally, collector, report, notices)
    except BaseException:
        folder.close()
        raise
    return SessionBlocks(DiskSessions(folder, tuple(files), kept), kept, whole)
