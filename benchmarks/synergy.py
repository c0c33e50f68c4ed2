"""Synergy against its peers and against the machine, all in one process, medians, CPU seconds beside wall seconds.

    scripts/bench synergy                      all rows (about twenty minutes on two cores, most of it the peers')
    scripts/bench synergy --runs 1 --rows 100000

Peers: the straightforward way in pandas (a mask for each coalition, in a thread pool) and pyfim (C; counts support
only; extra `peers`). The bound is (words ANDed) / (AND rate) + (words compacted) / (compaction rate), both rates
calibrated on this machine in this run. retail, mushroom and msweb need the reference data beside the checkout.
"""

import argparse
import gzip
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from touchworth.games.dividends import facet_links
from touchworth.games.game import Game, size_slices
from touchworth.sources.records import ReadReport, Sessions
from touchworth.synergy.bitmaps import Layout, PackedSessions, pack_sessions, pack_transactions
from touchworth.synergy.descent import (
    count_pairs,
    descend,
    empty_buffers,
    nodes_in,
    whole_node,
    with_room,
    words_of_prefix,
)
from touchworth.synergy.mining import mine
from touchworth.synergy.statistics import dividend_statistics
from touchworth.synergy.synergies import synergies

ROOT = Path(__file__).resolve().parents[1]
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(wall, CPU) seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def medians(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, tuple[float, float]]:
    """Median (wall, CPU) of each call, taken in turn: `runs` times, short ones until a second has passed."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    started = time.perf_counter()
    while len(next(iter(times.values()))) < runs or (runs > 1 and time.perf_counter() - started < 1):
        for name, call in calls.items():
            times[name].append(timed(call))
    return {
        name: (statistics.median(wall for wall, _ in pairs), statistics.median(cpu for _, cpu in pairs))
        for name, pairs in times.items()
    }


def draw_sessions(rows: int, players: int, seed: int = 1) -> Sessions:
    """Correlated features of supports from 1 % to 60 % and a conversion of about 3 %, by blocks of rows."""
    rng = np.random.default_rng(seed)
    share = np.sort(0.01 * 60 ** rng.random(players))
    load, effect = rng.uniform(0, 0.6, players), rng.normal(0, 0.3, players) * min(1, 20 / players)
    bits = np.zeros((players, -(-rows // 8)), np.uint8)
    converted = np.zeros(rows, np.uint8)
    for start in range(0, rows, 1 << 16):
        size = min(1 << 16, rows - start)
        latent = rng.standard_normal(size, np.float32)
        odds = np.full(size, -3.5)
        for j in range(players):
            chance = 1 / (1 + np.exp(-(np.log(share[j] / (1 - share[j])) + load[j] * latent)))
            held = rng.random(size, np.float32) < chance
            bits[j, start // 8 : start // 8 + -(-size // 8)] = np.packbits(held, bitorder="little")
            odds += effect[j] * held
        converted[start : start + size] = rng.random(size) < 1 / (1 + np.exp(-odds))
    return Sessions(
        tuple(f"p{j:03}" for j in range(players)), rows, tuple(bits), None, None, converted, None, False, None, None,
        ReadReport("sessions", (), {}),
    )  # fmt: skip


def columns_of(sessions: Sessions) -> np.ndarray:
    """Boolean matrix (rows, players)."""
    assert sessions.bits is not None
    return np.column_stack(
        [np.unpackbits(bits, count=sessions.rows, bitorder="little").view(bool) for bits in sessions.bits]
    )


def against_pandas(rows: int, runs: int) -> None:
    """In memory to finished table with errors, against a mask for each coalition."""
    import pandas as pd

    sessions = draw_sessions(rows, 20)
    options: dict[str, Any] = {"max_size": 5, "min_support": 0.001, "threads": THREADS}
    retained = len(synergies(sessions, **options).table)
    candidates = [names for size in range(1, 6) for names in combinations(sessions.players, size)]
    chosen = [candidates[i] for i in np.random.default_rng(0).choice(len(candidates), 200, replace=False)]
    frame = pd.DataFrame(columns_of(sessions), columns=list(sessions.players))
    frame["converted"] = sessions.converted

    def one(coalition: tuple[str, ...]) -> tuple[int, float]:
        held = frame[list(coalition)].all(axis=1)
        return int(held.sum()), float(frame.loc[held, "converted"].mean())

    def pandas_way() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(one, chosen))

    times = medians({"ours": lambda: synergies(sessions, **options), "pandas": pandas_way}, runs)
    ours = times["ours"]
    wall, cpu = (seconds * len(candidates) / len(chosen) for seconds in times["pandas"])
    print(f"\n{rows:,} sessions x 20 players, size 5, support 0.1 %: {retained:,} of {len(candidates):,} coalitions")
    print(f"  synergies(), in memory to finished table    wall {ours[0]:8.3f} s   CPU {ours[1]:8.3f} s")
    print(
        f"  a mask for each coalition in pandas         wall {wall:8.1f} s   CPU {cpu:8.1f} s   (supports and means "
        f"only; {len(chosen)} measured, {1e3 * times['pandas'][1] / len(chosen):.2f} ms CPU each)"
    )
    print(f"  pandas / ours: wall {wall / ours[0]:.0f}, CPU {cpu / ours[1]:.0f}", flush=True)


def shared() -> Path | None:
    """Folder of reference data, or None."""
    named = os.environ.get("TOUCHWORTH_SHARED")
    places = [Path(named)] if named else [ROOT.parent / "shared", ROOT.parent.parent / "shared"]
    return next((place for place in places if (place / "data").is_dir()), None)


def read_transactions(name: str) -> list[list[int]]:
    """A transaction file of the reference data."""
    folder = shared()
    assert folder is not None
    with gzip.open(folder / "data" / name, "rt") as lines:
        return [sorted({int(item) for item in line.split()}) for line in lines]


def as_arrays(transactions: list[list[int]]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Offsets, dense items and names."""
    lengths = np.array([len(row) for row in transactions])
    items = np.fromiter((item for row in transactions for item in row), np.int64, int(lengths.sum()))
    names, dense = np.unique(items, return_inverse=True)
    return np.concatenate([[0], np.cumsum(lengths)]), dense.astype(np.int32), [str(name) for name in names]


def lists_of(sessions: Sessions) -> list[list[int]]:
    """Sessions as Python lists of players, what pyfim takes."""
    columns = columns_of(sessions)
    players = np.nonzero(columns)[1]
    ends = np.cumsum(columns.sum(axis=1))
    return [part.tolist() for part in np.split(players, ends[:-1])]


class Machine:
    """What the bound is made of: words ANDed, and words compacted, at the sizes that suit the machine best."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        short, wide = (rng.integers(0, 2**63, shape).astype(np.uint64) for shape in ((64, 1024), (65, 8192)))
        wide[0] &= wide[1] & wide[2]
        layouts = [
            Layout(np.array([0, columns.shape[1]]), np.ones(1, np.int64), np.zeros(1, np.int64), np.zeros((0, 0)), 0)
            for columns in (short, wide)
        ]
        self.stop, self.chosen = np.zeros(1, np.int64), np.arange(1, 65)
        # The addresses that the calls use hold nothing: the buffers must live as long as they.
        self.buffers = [whole_node(short, layouts[0], 0, 64), whole_node(wide, layouts[1], 0, 0)]
        self.buffers.append(with_room(empty_buffers(layouts[1], 1), 0, 64, 8192, 0))
        self.columns, self.source = (nodes_in(self.buffers[k], layouts[k]) for k in (0, 1))
        self.below = nodes_in(self.buffers[2], layouts[1])
        words_of_prefix(self.source, 0, self.below, 0, 0)

    def and_words(self) -> None:
        """AND 64 * 63 / 2 * 1,024 words."""
        count_pairs(self.columns, 0, self.stop.ctypes.data)

    def compact_words(self) -> None:
        """Compact 64 * 8,192 words."""
        descend(self.source, 0, self.below, 0, 0, self.chosen.ctypes.data, 64, 0, 0)

    @staticmethod
    def rates(times: dict[str, tuple[float, float]]) -> tuple[float, float]:
        """Words ANDed and compacted in a CPU second."""
        return 64 * 63 // 2 * 1024 / times["and"][1], 64 * 8192 / times["compact"][1]


def bound(game: Game, packed: PackedSessions, max_size: int, rates: tuple[float, float]) -> float:
    """Seconds that the words to AND and to compact would take at the calibrated rates, on one thread."""
    top = float(packed.layout.bounds[-1])
    singles = int((game.size == 1).sum())
    anded = singles * (singles - 1) / 2 * top
    compacted = 0.0
    for size, where in size_slices(game):
        if size + 2 > max_size:
            break
        children = game.child_count[where].astype(float)
        own = np.ceil(game.n[where] / 64)
        above = np.full(own.size, top) if size == 1 else np.ceil(game.n[game.parent[where]] / 64)
        deep = children >= 2
        anded += float((children * (children - 1) / 2 * own)[deep].sum())
        compacted += float((children * above)[deep].sum())
    return anded / rates[0] + compacted / rates[1]


def against_pyfim(runs: int, rows: int) -> None:
    """Counting n and conversions from lists of items, against counting supports."""
    fim = __import__("fim") if find_spec("fim") else None
    machine = Machine()
    print("\nCounting coalitions, one thread" + ("" if fim else "; pyfim is not installed"))
    sets: list[tuple[str, Callable[[], list[list[int]]], float, int]] = []
    if shared() is not None:
        sets = [
            ("retail 0.1 %", lambda: read_transactions("retail.dat.gz"), 0.001, 99),
            ("retail 1 %", lambda: read_transactions("retail.dat.gz"), 0.01, 99),
            ("mushroom 20 % size 5", lambda: read_transactions("mushroom.dat.gz"), 0.2, 5),
            ("msweb 0.1 %", lambda: read_transactions("msweb_train.dat.gz"), 0.001, 99),
        ]
    sets += [
        (f"{rows:,} x 50 size 5 0.1 %", lambda: lists_of(draw_sessions(rows, 50)), 0.001, 5),
        (f"{rows:,} x 200 size 3 0.1 %", lambda: lists_of(draw_sessions(rows, 200)), 0.001, 3),
    ]
    for name, load, support, size in sets:
        print(counting_row(name, load(), support, size, fim, machine, runs), flush=True)


def counting_row(
    name: str,
    transactions: list[list[int]],
    support: float,
    size: int,
    fim: Any,
    machine: Machine,
    runs: int,
) -> str:
    """One data set: ours with and without packing, the bound, and the better of the peer's miners."""
    offsets, items, names = as_arrays(transactions)
    y = np.random.default_rng(0).random(len(transactions)) < 0.05
    count = int(max(1, np.ceil(support * len(transactions) - 1e-9)))

    def packed_and_counted() -> tuple[PackedSessions, Game]:
        packed = pack_transactions(offsets, items, y, names)
        return packed, mine(packed, max_size=size, min_count=count, threads=1)

    packed, game = packed_and_counted()
    runs = runs if len(transactions) < 500_000 else 1
    parts: dict[str, Callable[[], Any]] = {
        "counted": lambda: mine(packed, max_size=size, min_count=count, threads=1),
        "and": machine.and_words,
        "compact": machine.compact_words,
    }
    # Each first call finds the caches full of other data, which is not what the bound is about.
    calls = {f"{part}{nth}": call for part, call in parts.items() for nth in (" before", "")}
    times = medians(calls, max(3, runs))
    rates, alone = machine.rates(times), times["counted"][1]
    line = (
        f"  {name:26s} {game.size.size:>9,} coalitions   counted CPU {1e3 * alone:9.2f} ms = "
        f"{alone / bound(game, packed, size, rates):5.2f} x the bound at {rates[0] / 1e9:.1f} G words ANDed/s, "
        f"{rates[1] / 1e9:.2f} G compacted/s"
    )
    calls = {"ours": packed_and_counted}
    if fim is not None:
        for peer in ("eclat", "fpgrowth"):
            calls[peer] = partial(getattr(fim, peer), transactions, supp=-count, zmax=size, report="a")
    times = medians(calls, runs)
    line += f"\n  {'':26s} packed and counted CPU {1e3 * times['ours'][1]:9.2f} ms"
    if fim is not None:
        best = min(("eclat", "fpgrowth"), key=lambda peer: times[peer][1])
        line += f"   {best} {1e3 * times[best][1]:9.2f} ms = {times[best][1] / times['ours'][1]:6.1f} x ours"
    return line


def statistics_alone(rows: int, runs: int) -> None:
    """Links, dividends, contrasts and errors from a counted family."""
    print("\nDividends, contrasts and all errors from counts")
    for players, size in ((200, 3), (50, 5)):
        game = mine(pack_sessions(draw_sessions(rows, players)), max_size=size, min_count=0.001 * rows, threads=THREADS)
        dividend_statistics(game, facet_links(game))
        calls = {threads: partial(links_and_statistics, game, threads) for threads in (1, THREADS)}
        for threads, call in calls.items():
            wall, cpu = medians({"all": call}, runs)["all"]
            family = game.size.size
            print(
                f"  size {size}, {family:,} coalitions, {threads} threads: {1e6 * wall / family:.3f} us wall, "
                f"{1e6 * cpu / family:.3f} us CPU a coalition",
                flush=True,
            )


def links_and_statistics(game: Game, threads: int) -> None:
    """What comes after counting."""
    dividend_statistics(game, facet_links(game), threads=threads)


def main() -> None:
    """Print every row."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    against_pandas(given.rows, given.runs)
    statistics_alone(given.rows, given.runs)
    against_pyfim(given.runs, given.rows)


if __name__ == "__main__":
    main()
