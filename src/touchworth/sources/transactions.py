"""Reading transactions: one line a session, ids of what it holds separated by blanks or commas."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError
from touchworth.kernels import kernel
from touchworth.sources.encode import Interner
from touchworth.sources.events import check_options
from touchworth.sources.lines import Records, bytes_of, scan_lines
from touchworth.sources.lists import missing_item, sessions_of_lists
from touchworth.sources.outcomes import Outcomes, Plan, check_outcomes
from touchworth.sources.records import ReadReport, Sessions
from touchworth.sources.rejects import REASONS, Reject, Rejects
from touchworth.sources.tables import compression, find_files, kind_of_file, open_bytes, read_all

__all__ = ["load_transactions"]

BOM = b"\xef\xbb\xbf"


def load_transactions(
    source: Any,
    *,
    target_item: str | None = None,
    players: Sequence[str] | None = None,
    max_rejects: float = 0.01,
    rejects: str | Path | None = None,
    force: bool = False,
    progress: Callable[[str, int], None] | None = None,
) -> Sessions:
    """Read transactions from text files (also .gz, .zst, globs, standard input).

    Parameters
    ----------
    source
        A file name or glob, a list of them, or ``-`` for standard input.
    target_item
        Sessions that hold this id converted; it is then no player. Without it nothing tells who converted.
    players
        The only ids that are players; None takes all.
    max_rejects, rejects, force, progress
        As in `load_events`; only lines that are not UTF-8 are rejected.

    Returns
    -------
    Sessions
        As lists; players in order of first appearance. Blank lines are no sessions.

    Raises
    ------
    RequestError, DataError
        With one sentence; `TooManyRejectsError` when too many lines are rejected.
    """
    check_options(max_rejects, rejects, force)
    collector, interner = Rejects(rejects, force), Interner()
    lengths: list[NDArray[np.int64]] = []
    codes: list[NDArray[np.int32]] = []
    names, blank_lines, rows_read = [], 0, 0
    for place, name in find_files(source):
        records, blank = read_lines(place, name)
        blank_lines += blank
        sound = records.flaw == 0
        reject_lines(records, name, collector)
        counts, starts, ends = cut_items(records.data, records.start[sound], records.end[sound])
        lengths.append(counts)
        codes.append(interner.codes_of_cells(starts, ends, records.data))
        names.append(name)
        rows_read += records.line.size
        if progress is not None:
            progress(name, rows_read)
    collector.judge(rows_read, max_rejects)
    offsets = np.append(np.int64(0), np.cumsum(np.concatenate(lengths)))
    items = np.concatenate(codes)
    texts = interner.texts().to_pylist()
    notices = [f"{blank_lines:,} blank lines are skipped"] if blank_lines else []
    plan = Plan({}, (), real=False)
    converted = None
    if target_item is not None:
        target = target_item.strip()
        if target not in texts:
            raise missing_item("--target-item", target, texts)
        plan = Plan({"target": target}, (), real=False)
        converted = hold(offsets, items, texts.index(target))
    outcome = Outcomes(converted, None, None, None, np.zeros(0, np.uint8), None)
    check_outcomes(outcome, plan, offsets.size - 1, rows_read)
    report = ReadReport(
        shape="transactions",
        sources=tuple(names),
        columns={} if target_item is None else {"target item": plan.columns["target"]},
        rows_read=rows_read,
        rows_rejected=collector.total,
        rejected_by_reason=collector.by_reason(),
    )
    return sessions_of_lists(
        texts, offsets, items, outcome, report, notices, players=players, no_players=tuple(plan.columns.values())
    )


def read_lines(place: Path, name: str) -> tuple[Records, int]:
    """Lines of a text file that are not blank, and how many are."""
    if kind_of_file(place, name) != "text":
        raise DataError(f"{name} is no text file; transactions are lines of ids separated by blanks or commas")
    if compression(place) is None:
        data = bytes_of(place)
    else:
        with open_bytes(place) as packed:
            content: bytes = read_all(place, packed.read)
        data = np.frombuffer(content, np.uint8)
    first = len(BOM) if data[: len(BOM)].tobytes() == BOM else 0
    start, end, line, flaw = scan_lines(data, first)
    last = count_lines(data, first)
    return Records(data, start, end, line, flaw, np.full(start.size, -1, np.int64)), last - start.size


def reject_lines(records: Records, name: str, rejects: Rejects) -> None:
    """Count and keep the lines that are not UTF-8."""
    broken = np.flatnonzero(records.flaw)
    for code, count in zip(*np.unique(records.flaw[broken], return_counts=True), strict=True):
        rejects.count(int(code), int(count))
    if rejects.path is not None:
        rejects.add(
            Reject(name, int(records.line[i]), "", REASONS[int(records.flaw[i])].text, "", records.raw(i))
            for i in broken.tolist()
        )


@kernel
def count_lines(data: NDArray[np.uint8], first: int) -> int:
    """Lines from byte `first` on; what follows the last newline is one if it is not empty."""
    lines = 0
    for i in range(first, data.size):
        lines += data[i] == 10
    return lines + (data.size > first and data[data.size - 1] != 10)


@kernel
def separates(byte: np.uint8) -> bool:
    """Whether a byte stands between ids: a blank, a comma or any control character."""
    return bool(byte <= 32 or byte == 44)


@kernel
def cut_items(
    data: NDArray[np.uint8], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Number of ids in each line, and the first byte of every id and the byte after it."""
    counts = np.zeros(start.size, np.int64)
    total = 0
    for row in range(start.size):
        inside = False
        for at in range(start[row], end[row]):
            apart = separates(data[at])
            if inside and apart:
                inside = False
            elif not inside and not apart:
                inside = True
                counts[row] += 1
        total += counts[row]
    starts = np.empty(total, np.int64)
    ends = np.empty(total, np.int64)
    cell = 0
    for row in range(start.size):
        inside = False
        for at in range(start[row], end[row]):
            apart = separates(data[at])
            if inside and apart:
                inside = False
                ends[cell] = at
                cell += 1
            elif not inside and not apart:
                inside = True
                starts[cell] = at
        if inside:
            ends[cell] = end[row]
            cell += 1
    return counts, starts, ends


@kernel
def hold(offsets: NDArray[np.int64], items: NDArray[np.int32], item: int) -> NDArray[np.uint8]:
    """uint8 (sessions,): 1 where a session holds an item."""
    held = np.zeros(offsets.size - 1, np.uint8)
    for i in range(held.size):
        for at in range(offsets[i], offsets[i + 1]):
            if items[at] == item:
                held[i] = 1
    return held
