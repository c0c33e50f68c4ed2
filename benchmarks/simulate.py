"""What simulating costs: CPU microseconds per touch (or row) to Parquet, and peak memory, each in a process of its own.

    python -m benchmarks.simulate                      10 million users x 10 touches, 100 million sessions
    python -m benchmarks.simulate --users 1000000 --rows 1000000

A small run before the measured one compiles the kernels; its time is stated apart. Beside each stands the time that
copying a file of the same size takes on this disk in the same run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = """
import resource, sys, time
from touchworth.simulate.journeys import simulate_journeys
from touchworth.simulate.sessions import simulate_sessions
kind, size, threads, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
make = simulate_journeys if kind == "journeys" else simulate_sessions
begun = time.perf_counter()
make(1000, path=path, force=True)
warm = time.perf_counter() - begun
wall, cpu = time.perf_counter(), time.process_time()
made = make(size, path=path, force=True, threads=threads, seed=1)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(made.rows, wall, cpu, peak, warm)
"""


def measure(kind: str, size: int, threads: int, unit: str, single: str) -> None:
    """Print one row of the table."""
    with tempfile.TemporaryDirectory(prefix="touchworth-bench-") as folder:
        path = Path(folder) / "out.parquet"
        command = [sys.executable, "-c", RUN, kind, str(size), str(threads), str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        rows, wall, cpu, peak, warm = int(done[0]), *map(float, done[1:])
        written = path.stat().st_size
        begun = time.perf_counter()
        shutil.copyfile(path, Path(folder) / "copy.parquet")
        copy = time.perf_counter() - begun
    print(
        f"  {kind:9s} {size:>12,} -> {rows:>12,} {unit}, {written / 1e6:7,.0f} MB   wall {wall:7.2f} s   "
        f"CPU {cpu:7.2f} s = {cpu / rows * 1e6:.3f} us per {single}   peak {peak / 1024:5.0f} MB   "
        f"(first small run {warm:.2f} s; copying the file {copy:.2f} s)",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--users", type=int, default=10_000_000)
    options.add_argument("--rows", type=int, default=100_000_000)
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = options.parse_args()
    print(f"Simulating to Parquet with the truth, {given.threads} threads; journeys of 10 touches on average")
    for size in (given.users // 10, given.users):
        measure("journeys", size, given.threads, "touches", "touch")
    for size in (given.rows // 10, given.rows):
        measure("sessions", size, given.threads, "rows", "row")


if __name__ == "__main__":
    main()
