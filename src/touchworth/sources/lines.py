"""Records of a text file: where each one starts, on which line, and what is broken about it.

Read only when something is wrong: DuckDB reads a sound file alone; a broken one is scanned here, its broken
records are set aside and the sound ones copied, so that rows and lines always belong together.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.sources.rejects import BROKEN_QUOTES, LONE_RETURN, NOT_UTF8, TOO_LONG, WRONG_CELLS

__all__ = ["Records", "cells_of", "copy_sound", "records_of_csv", "records_of_lines"]

# DuckDB's own limit on one line of CSV.
LONGEST_RECORD = 2_000_000
QUOTE = np.uint8(34)
NEWLINE = np.uint8(10)
RETURN = np.uint8(13)
BLANK = np.uint8(32)
WIDEST = 1 << 12


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one text file after its header (``r`` records, blank lines left out).

    Attributes
    ----------
    data
        uint8: the bytes of the file.
    start, end
        int64 (r,): the record is ``data[start:end]``, without its line end.
    line
        int64 (r,): the line of the file, from 1, on which the record starts.
    flaw
        uint8 (r,): 0, or the code of the reason why the record cannot be read.
    cell
        int64 (r,): cell to blame for the flaw, -1 for the record as a whole.
    """

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    line: NDArray[np.int64]
    flaw: NDArray[np.uint8]
    cell: NDArray[np.int64]

    def raw(self, index: int) -> str:
        """Text of a record; bytes that are no UTF-8 become U+FFFD."""
        return self.data[self.start[index] : self.end[index]].tobytes().decode("utf-8", "replace")


@kernel
def is_utf8(data: NDArray[np.uint8], start: int | np.int64, end: int | np.int64) -> bool:
    """Whether bytes are well-formed UTF-8 (Unicode 15, table 3-7)."""
    i = start
    while i < end:
        b = data[i]
        if b < 0x80:
            i += 1
            continue
        low = np.uint8(0x80)
        high = np.uint8(0xBF)
        if 0xC2 <= b <= 0xDF:
            more = 1
        elif 0xE0 <= b <= 0xEF:
            more = 2
            if b == 0xE0:
                low = np.uint8(0xA0)
            elif b == 0xED:
                high = np.uint8(0x9F)
        elif 0xF0 <= b <= 0xF4:
            more = 3
            if b == 0xF0:
                low = np.uint8(0x90)
            elif b == 0xF4:
                high = np.uint8(0x8F)
        else:
            return False
        if i + more >= end:
            return False
        if not low <= data[i + 1] <= high:
            return False
        for j in range(2, more + 1):
            if not np.uint8(0x80) <= data[i + j] <= np.uint8(0xBF):
                return False
        i += more + 1
    return True


@kernel
def end_of_quoted(data: NDArray[np.uint8], at: np.int64) -> tuple[bool, np.int64, int]:
    """Whether the quoted text that begins at byte `at` is closed, the byte after it, and the newlines inside."""
    n = data.size
    lines = 0
    while at < n:
        if data[at] == QUOTE:
            if at + 1 >= n or data[at + 1] != QUOTE:
                return True, np.int64(at + 1), lines
            at += 1
        elif data[at] == NEWLINE:
            lines += 1
        at += 1
    return False, np.int64(n), lines


@kernel
def scan_csv(
    data: NDArray[np.uint8], first: int, first_line: int, delimiter: int, cells: int, used: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Start, end, line, flaw and cell to blame of each record from byte `first` on.

    A quoted cell that does not end where a cell can end breaks its record; the next record is then taken to
    start on the next line, so that one stray quote costs one line. With `cells` 0 nothing is judged.
    """
    n = data.size
    capacity = np.int64(1024)
    start = np.empty(capacity, np.int64)
    end = np.empty(capacity, np.int64)
    line_of = np.empty(capacity, np.int64)
    flaw = np.empty(capacity, np.uint8)
    blamed = np.empty(capacity, np.int64)
    count = 0
    line = np.int64(first_line)
    at = np.int64(first)
    while at < n:
        begin = at
        if data[at] == NEWLINE:
            at += 1
            line += 1
            continue
        if data[at] == RETURN and at + 1 < n and data[at + 1] == NEWLINE:
            at += 2
            line += 1
            continue
        wrong = 0
        cell = np.int64(0)
        to_blame = np.int64(-1)
        inner_lines = 0
        last_cell_empty = False
        done = False
        while not done:
            cell_start = at
            while at < n and data[at] == BLANK and delimiter != BLANK:
                at += 1
            if at < n and data[at] == QUOTE:
                closed = False
                # DuckDB reads "a" "b" as one cell: so does this scan, or the two would not count the same rows.
                while at < n and data[at] == QUOTE:
                    closed, after, lines = end_of_quoted(data, at + 1)
                    at = after
                    inner_lines += lines
                    while closed and at < n and data[at] == BLANK:
                        at += 1
                ends = at >= n or data[at] == delimiter or data[at] == NEWLINE or data[at] == RETURN
                if not closed or not ends:
                    wrong = BROKEN_QUOTES
                    to_blame = cell
                    inner_lines = 0
                    at = begin
                    while at < n and data[at] != NEWLINE:
                        at += 1
                    break
            else:
                while at < n and data[at] != delimiter and data[at] != NEWLINE:
                    if data[at] == RETURN:
                        if at + 1 >= n or data[at + 1] == NEWLINE:
                            break
                        wrong = LONE_RETURN
                        to_blame = cell
                    at += 1
            if cells and wrong == 0 and cell < used.size and used[cell] and not is_utf8(data, cell_start, at):
                wrong = NOT_UTF8
                to_blame = cell
            last_cell_empty = at == cell_start
            cell += 1
            if at < n and data[at] == RETURN and at + 1 < n and data[at + 1] != NEWLINE:
                wrong = LONE_RETURN
                to_blame = cell - 1
                while at < n and data[at] != NEWLINE:
                    at += 1
            if at < n and data[at] == delimiter:
                at += 1
            else:
                done = True
        stop = at
        if stop > begin and stop <= n and data[stop - 1] == RETURN:
            stop -= 1
        elif at < n and data[at] == RETURN:
            at += 1
        # One empty cell too many is a delimiter at the end of the line: DuckDB lets it pass.
        fits = cell == cells or (cell == cells + 1 and last_cell_empty)
        if wrong == 0 and cells and not fits:
            wrong = WRONG_CELLS
        if wrong == 0 and cells and stop - begin > LONGEST_RECORD:
            wrong = TOO_LONG
        if count == capacity:
            start = np.append(start, np.empty(capacity, np.int64))
            end = np.append(end, np.empty(capacity, np.int64))
            line_of = np.append(line_of, np.empty(capacity, np.int64))
            flaw = np.append(flaw, np.empty(capacity, np.uint8))
            blamed = np.append(blamed, np.empty(capacity, np.int64))
            capacity *= 2
        start[count] = begin
        end[count] = stop
        line_of[count] = line
        flaw[count] = wrong
        blamed[count] = to_blame
        count += 1
        line += inner_lines
        if at < n:  # at the newline
            at += 1
            line += 1
    return start[:count].copy(), end[:count].copy(), line_of[:count].copy(), flaw[:count].copy(), blamed[:count].copy()


@kernel
def scan_lines(
    data: NDArray[np.uint8], first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Start, end, line and flaw (not UTF-8) of each line that is not blank."""
    n = data.size
    lines = 1
    for i in range(first, n):
        if data[i] == NEWLINE:
            lines += 1
    start = np.empty(lines, np.int64)
    end = np.empty(lines, np.int64)
    line_of = np.empty(lines, np.int64)
    flaw = np.zeros(lines, np.uint8)
    count = 0
    line = 0
    at = first
    while at < n:
        line += 1
        begin = at
        blank = True
        while at < n and data[at] != NEWLINE:
            if data[at] > BLANK:
                blank = False
            at += 1
        if not blank:
            start[count] = begin
            end[count] = at - 1 if data[at - 1] == RETURN else at
            line_of[count] = line
            if not is_utf8(data, begin, at):
                flaw[count] = NOT_UTF8
            count += 1
        at += 1
    return start[:count].copy(), end[:count].copy(), line_of[:count].copy(), flaw[:count].copy()


def bytes_of(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file, mapped, without reading them."""
    if path.stat().st_size == 0:
        return np.empty(0, np.uint8)
    data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
    plain = data.view(np.ndarray)
    plain.flags.writeable = False
    return plain


def records_of_csv(path: Path, first: int, first_line: int, delimiter: str, used: NDArray[np.uint8]) -> Records:
    """Records of a CSV file after its header.

    Parameters
    ----------
    path
        An uncompressed file.
    first, first_line
        Byte and line (from 1) after the header.
    delimiter
        One ASCII character.
    used
        uint8 (cells,): 1 for the cells whose text must be UTF-8 because it is read.
    """
    data = bytes_of(path)
    return Records(data, *scan_csv(data, first, first_line, ord(delimiter), used.size, used))


def records_of_lines(path: Path, first: int) -> Records:
    """Lines of a file from byte `first` on; blank lines are left out."""
    data = bytes_of(path)
    start, end, line, flaw = scan_lines(data, first)
    return Records(data, start, end, line, flaw, np.full(start.size, -1, np.int64))


def copy_sound(records: Records, header: bytes, place: Path) -> None:
    """Write the header and every record without a flaw, each ended by a newline."""
    sound = np.flatnonzero(records.flaw == 0)
    with place.open("wb") as out:
        out.write(header + b"\n")
        for begin in range(0, sound.size, 100_000):
            some = sound[begin : begin + 100_000]
            out.write(
                b"".join(
                    records.data[a:b].tobytes() + b"\n"
                    for a, b in zip(records.start[some].tolist(), records.end[some].tolist(), strict=True)
                )
            )


def cells_of(raw: str, delimiter: str) -> list[str]:
    """Cells of one record's text, as well as they can be told apart."""
    try:
        return next(csv.reader(io.StringIO(raw, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return raw.split(delimiter)
