"""How much memory a run may take, and into how many partitions its rows must be split for that."""

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from touchworth.errors import RequestError

__all__ = ["MemoryPlan", "free_memory", "make_plan", "parse_size"]

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
         "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip
SHARE_OF_FREE = 0.7

# Measured at 10 and 100 million events: the libraries and compiled kernels, then each event from its row to the counts.
BASE = 300_000_000
PER_ROW = 150
# Out of core: what a run of rows, the scan and one partition may take of the memory that the base leaves.
SCAN_SHARE, RUN_SHARE, PARTITION_SHARE = 0.25, 0.25, 0.6
PER_ROW_OF_RUN = 220
LEAST_SCAN = 128_000_000
LEAST_ROWS = 50_000
MOST_ROWS_OF_RUN = 1_000_000


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How a run keeps inside its memory.

    Attributes
    ----------
    limit
        Bytes that the run may take.
    partitions
        0: all rows are held; else the number of partitions by user that are reduced one after another.
    run_rows
        Rows that are gathered before they are written to the partitions.
    scan
        Bytes that DuckDB may take.
    """

    limit: int
    partitions: int
    run_rows: int
    scan: int


def parse_size(text: str, option: str = "--memory") -> int:
    """Bytes of a size such as ``2GB``, ``500 MB`` or ``1.5GiB``."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", str(text))
    size = 0 if found is None else int(float(found[1]) * UNITS.get(found[2].lower(), 0))
    if size <= 0:
        raise RequestError(f"{option} is {str(text)!r}; it must be a size such as 2GB")
    return size


def free_memory() -> int:
    """Bytes that this process can still get: what the system says is available, within the limit of its group."""
    free = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else [8 * 10**9]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines() if ":" in line)
        free.append(int(lines["MemAvailable"].split()[0]) * 1024)
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").exists() and (group / "memory.max").read_text().strip().isdigit():
        free.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return max(min(free), 1)


def make_plan(rows: int, memory: str | None, partitions: int | None = None) -> MemoryPlan:
    """Plan for an estimated number of rows; `partitions` is the least number of them, 0 holds all rows."""
    limit = int(SHARE_OF_FREE * free_memory()) if memory is None else parse_size(memory)
    # A limit below what the libraries take cannot be kept; the smallest useful partitions come nearest to it.
    room = max(limit - BASE, limit // 4)
    needed = 0 if BASE + rows * PER_ROW <= limit else math.ceil(rows * PER_ROW / (PARTITION_SHARE * room))
    number = 0 if partitions == 0 else max(min(needed, max(1, rows // LEAST_ROWS)) if needed else 0, partitions or 0)
    run_rows = int(min(MOST_ROWS_OF_RUN, max(LEAST_ROWS, RUN_SHARE * room / PER_ROW_OF_RUN)))
    return MemoryPlan(limit, number, run_rows, int(max(LEAST_SCAN, SCAN_SHARE * room)) if number else limit)
