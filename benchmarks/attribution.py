"""Attribution against its peers: whole processes in turn, medians, CPU seconds beside wall seconds.

    scripts/bench attribution           all rows at full size (about ten minutes on two cores)
    scripts/bench attribution --events 1000000 --paths 100000 --runs 3

Inputs are generated into a temporary folder. A run before the counted ones compiles the kernels; its time is stated
apart.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

TOUCHWORTH = [sys.executable, "-m", "touchworth"]
SORT = """
import duckdb, sys
con = duckdb.connect(config={{"threads": {threads}}})
con.sql("select * from '" + sys.argv[1] + "' order by user_id, time").to_arrow_table()
"""
PEER = """
import os, sys
os.environ["MPLBACKEND"] = "Agg"
import pandas, ChannelAttribution
frame = pandas.read_csv(sys.argv[1])
ChannelAttribution.heuristic_models(frame, "path", "conversions", "value", flg_pro=False)
if sys.argv[2] == "markov":
    ChannelAttribution.markov_model(frame, "path", "conversions", "value", "nulls", verbose=False, flg_pro=False)
"""
CHAIN = """
import sys, time
import numpy as np
from touchworth.attribution.markov import make_chain, solve_removal
from touchworth.journeys.counts import Plan, count_chain
from touchworth.journeys.credits import JourneyArrays
from touchworth.journeys.deal import Dealt

order, journeys, channels = int(sys.argv[1]), int(sys.argv[2]), 50

def chain(journeys):
    stream = np.random.default_rng(1)
    length = stream.geometric(0.1, journeys)
    symbol = (channels * stream.random(length.sum()) ** 1.5).astype(np.int32)
    ends = np.concatenate(([0], np.cumsum(length)))
    converts = (stream.random(journeys) < 0.15).astype(float)
    arrays = JourneyArrays(symbol, np.empty(0, np.int64), np.arange(channels, dtype=np.int32), ends[:-1], ends[1:],
                           length, channels, np.zeros(channels, np.uint8))
    one = np.zeros(journeys, np.int32)
    dealt = Dealt(np.arange(journeys + 1), one, converts, 1 - converts, 50 * converts, np.array([float(journeys)]))
    counts = count_chain(arrays, dealt, Plan(order=order), channels, 0, journeys)
    block = np.full(counts.states, -1)
    block[1:] = counts.window[counts.offsets[2:] - 1]
    return make_chain(counts.states, counts.source, counts.target, counts.weight, counts.value, block, channels)

import touchworth.attribution.markov as module
module.DENSE_STATES, dense = 0, module.DENSE_STATES
solve_removal(chain(200))
module.DENSE_STATES = dense
big = chain(journeys)
wall, cpu = time.perf_counter(), time.process_time()
removal = solve_removal(big)
print(big.states, time.perf_counter() - wall, time.process_time() - cpu, removal.residual)
"""


def measure(command: list[str]) -> tuple[float, float]:
    """(wall, CPU) seconds of a whole process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(title: str, commands: dict[str, list[str]], runs: int) -> None:
    """Run the commands in turn and print medians and the ratios of the first to the others, pair by pair."""
    first = next(iter(commands))
    warm = {name: measure(command) for name, command in commands.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(measure(command))
    print(f"\n{title}  ({runs} runs in turn, medians)")
    for name, pairs in times.items():
        wall, cpu = (statistics.median(values) for values in zip(*pairs, strict=True))
        line = f"  {name:44s} wall {wall:8.2f} s   CPU {cpu:8.2f} s"
        if name != first:
            ratios = [statistics.median(a[k] / b[k] for a, b in zip(times[first], pairs, strict=True)) for k in (0, 1)]
            line += f"   {first} / this: wall {ratios[0]:.2f}, CPU {ratios[1]:.2f}"
        print(line, flush=True)
    print(f"  first run of {first}, before the counted ones: wall {warm[first][0]:.2f} s (compiles kernels if new)")


def write_events(path: Path, events: int) -> None:
    """Interleaved, unordered events of events / 10 users, 50 channels, 2 % converting rows."""
    stream = np.random.default_rng(1)
    names = np.array([f"channel {c:02d}" for c in range(50)])
    users = events // 10
    pool = pa.array([f"user-{u:08d}" for u in range(users)])
    schema = None
    with_writer = None
    for start in range(0, events, 1_000_000):
        size = min(1_000_000, events - start)
        moment = 1_767_225_600_000_000 + stream.integers(0, 90 * 86_400, size) * 1_000_000
        converts = stream.random(size) < 0.02
        batch = pa.table(
            {
                "user_id": pool.take(pa.array(stream.integers(0, users, size))),
                "time": pa.array(moment, pa.timestamp("us")),
                "channel": names[(50 * stream.random(size) ** 2.5).astype(int)],
                "conversion": converts.astype(np.int8),
                "value": np.where(converts, np.round(stream.random(size) * 100, 2), 0.0),
            }
        )
        if with_writer is None:
            schema = batch.schema
            with_writer = pyarrow.parquet.ParquetWriter(path, schema)
        with_writer.write_table(batch)
    assert with_writer is not None
    with_writer.close()


def write_paths(path: Path, paths: int) -> None:
    """Distinct paths of 8 touches over 50 channels, a touch often repeating the one before."""
    stream = np.random.default_rng(2)
    touches = (50 * stream.random((int(paths * 1.05), 8)) ** 1.5).astype(np.int64)
    for k in range(1, 8):
        same = stream.random(len(touches)) < 0.2
        touches[same, k] = touches[same, k - 1]
    touches = np.unique(touches, axis=0)
    touches = touches[stream.permutation(len(touches))[:paths]]
    names = [f"channel{c:02d}" for c in range(50)]
    conversions = stream.poisson(0.4, len(touches))
    pyarrow.csv.write_csv(
        pa.table(
            {
                "path": [" > ".join(names[c] for c in row) for row in touches.tolist()],
                "conversions": conversions,
                "value": conversions * 12.5,
                "nulls": 1 + stream.poisson(2, len(touches)),
            }
        ),
        path,
    )


def main() -> None:
    """Print every row."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=10_000_000)
    options.add_argument("--paths", type=int, default=1_000_000)
    options.add_argument("--chain-journeys", type=int, default=1_000_000)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    threads = str(len(os.sched_getaffinity(0)))
    peer = find_spec("ChannelAttribution") is not None
    with tempfile.TemporaryDirectory(prefix="touchworth-bench-") as folder:
        out = ["-o", str(Path(folder) / "credit.csv"), "--force"]
        events, paths, small = (Path(folder) / name for name in ("events.parquet", "paths.csv", "small.csv"))
        write_events(events, given.events)
        compare(
            f"{given.events:,} events in Parquet, all models, against DuckDB sorting the file by user and time",
            {
                "touchworth attribute": [*TOUCHWORTH, "attribute", str(events), "--threads", threads, *out],
                "duckdb sort into Arrow": [sys.executable, "-c", SORT.format(threads=threads), str(events)],
            },
            given.runs,
        )
        write_paths(paths, given.paths)
        ours = [*TOUCHWORTH, "attribute", str(paths), "--threads", threads, *out]
        rivals = {
            "ChannelAttribution heuristics": [sys.executable, "-W", "ignore", "-c", PEER, str(paths), "heuristics"],
            "ChannelAttribution heuristics + Markov": [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                PEER,
                str(paths),
                "markov",
            ],
        }
        compare(
            f"{given.paths:,} paths of 8 touches in CSV ({paths.stat().st_size / 1e6:.0f} MB), all models"
            + ("" if peer else "; peer not installed"),
            {"touchworth attribute": ours} | (rivals if peer else {}),
            given.runs,
        )
        print("\nAll removal effects of the exact chain, 50 channels (kernels compiled before)")
        for order in (2, 3):
            command = [sys.executable, "-c", CHAIN, str(order), str(given.chain_journeys)]
            done = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            print(
                f"  order {order}: {int(done[0]):,} states   wall {float(done[1]):.2f} s   "
                f"CPU {float(done[2]):.2f} s   relative residual {float(done[3]):.1e}",
                flush=True,
            )
        write_paths(small, 10_000)
        print("\nStart-up (median of runs, whole process)")
        for name, command in (
            ("touchworth --help", [*TOUCHWORTH, "--help"]),
            ("touchworth attribute, 10,000 paths", [*TOUCHWORTH, "attribute", str(small), *out]),
        ):
            measure(command)
            wall, cpu = (
                statistics.median(values) for values in zip(*(measure(command) for _ in range(5)), strict=True)
            )
            print(f"  {name:44s} wall {wall:8.2f} s   CPU {cpu:8.2f} s")


if __name__ == "__main__":
    main()
