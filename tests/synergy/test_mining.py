"""Coalition counts against brute force, against each other's methods and against published miners."""

import gzip
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from touchworth.errors import DataError, RequestError
from touchworth.games.game import coalition_items, coalition_names, find_coalition
from touchworth.synergy import counting, mining
from touchworth.synergy.bitmaps import pack_columns, pack_pairs, pack_transactions
from touchworth.synergy.mining import choose_method, mine, predict

METHODS = ["bitmaps", "rows", "transform"]
PACKINGS = ["columns", "transactions", "pairs"]
TARGETS = ["binary", "real", "sparse real", "all zero"]
WEIGHTS = ["none", "integer", "fractional"]


def names_of(players):
    return [f"p{i:03}" for i in range(players)]


def pack(how, columns, y, weights=None):
    names = names_of(columns.shape[1])
    if how == "columns":
        return pack_columns(columns, y, names, weights)
    session, player = np.nonzero(columns)
    if how == "pairs":
        shuffled = np.random.default_rng(0).permutation(np.repeat(np.arange(session.size), 2))
        return pack_pairs(session[shuffled], player[shuffled], y, names, weights)
    offsets = np.concatenate([[0], np.cumsum(columns.sum(axis=1))])
    return pack_transactions(offsets, player, y, names, weights)


def brute_force(columns, y, weights, max_size, min_count):
    """Each retained coalition's n, s, q from one mask a coalition, level by level."""
    mass = np.ones(len(y)) if weights is None else weights
    slack = 1 - 1e-9 if np.any(mass != np.floor(mass)) else 1
    retained = {}
    for size in range(1, max_size + 1):
        for coalition in combinations(range(columns.shape[1]), size):
            if size > 1 and any(facet not in retained for facet in combinations(coalition, size - 1)):
                continue
            held = columns[:, coalition].all(axis=1)
            n = mass[held].sum()
            if n >= min_count * slack:
                retained[coalition] = (n, (mass * y)[held].sum(), (mass * y * y)[held].sum())
    return retained


def family(game):
    offsets, items = coalition_items(game)
    q = game.s if game.q is None else game.q
    return {
        tuple(sorted(items[offsets[i] : offsets[i + 1]].tolist())): (game.n[i], game.s[i], q[i])
        for i in range(game.n.size)
    }


def assert_same_family(found, expected):
    assert found.keys() == expected.keys()
    for coalition, sums in expected.items():
        np.testing.assert_allclose(found[coalition], sums, rtol=1e-9, atol=1e-9, err_msg=str(coalition))


def assert_well_formed(game):
    """The promises of `Game`: size-major, contiguous children by rising rank, supersets no larger."""
    assert np.all(np.diff(game.size) >= 0)
    singles = int((game.size == 1).sum())
    assert game.rank[game.item[:singles]].tolist() == list(range(singles))
    assert sorted(game.rank.tolist()) == list(range(len(game.players)))
    for i in range(game.n.size):
        children = slice(game.child_start[i], game.child_start[i] + game.child_count[i])
        assert np.all(game.parent[children] == i)
        assert np.all(np.diff(game.rank[game.item[children]]) > 0)
        assert np.all(game.n[children] <= game.n[i] * (1 + 1e-12))
        assert np.all(game.size[children] == game.size[i] + 1)
        assert np.all(game.rank[game.item[children]] > game.rank[game.item[i]])
    assert int(game.child_count.sum()) == int((game.size > 1).sum())


def draw_sessions(seed, rows, players, target="binary", weighted="none"):
    """Random sessions with empty rows, a player always there, one never and one twice."""
    rng = np.random.default_rng(seed)
    columns = rng.random((rows, players)) < rng.random(players) ** 2
    columns[:, 0] = True
    if players > 2:
        columns[:, 1] = False
        columns[:, -1] = columns[:, -2]
    columns[rng.random(rows) < 0.1] = False
    y = {
        "binary": lambda: (rng.random(rows) < 0.3).astype(float),
        "real": lambda: rng.normal(0, 3, rows),
        "sparse real": lambda: np.where(rng.random(rows) < 0.1, rng.exponential(20, rows), 0.0),
        "all zero": lambda: np.zeros(rows),
    }[target]()
    weights = {
        "none": lambda: None,
        "integer": lambda: np.concatenate([[1], rng.integers(0, 40, rows - 1)]).astype(float),
        "fractional": lambda: np.concatenate([[0.5], rng.random(rows - 1) * 3]),
    }[weighted]()
    return columns, y, weights


@pytest.mark.parametrize("weighted", WEIGHTS)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 700),
    players=st.integers(1, 9),
    max_size=st.integers(1, 8),
    share=st.sampled_from([0.0, 0.01, 0.05, 0.3]),
    packing=st.sampled_from(PACKINGS),
    threads=st.integers(1, 2),
    quick_words=st.sampled_from([0, 300, mining.QUICK_WORDS]),
)
def test_every_coalition_as_by_brute_force(
    method, target, weighted, seed, rows, players, max_size, share, packing, threads, quick_words
):
    columns, y, weights = draw_sessions(seed, rows, players, target, weighted)
    total = rows if weights is None else weights.sum()
    min_count = max(0.25 if weighted == "fractional" else 1, np.ceil(share * total - 1e-9))
    sessions = pack(packing, columns, y, weights)
    with pytest.MonkeyPatch.context() as patch:
        # In threads; at once until the rows run out, then in threads; at once.
        patch.setattr(mining, "QUICK_WORDS", quick_words)
        game = mine(sessions, max_size=max_size, min_count=min_count, threads=threads, method=method)
    assert_same_family(family(game), brute_force(columns, y, weights, max_size, min_count))
    assert_well_formed(game)
    mass = np.ones(rows) if weights is None else weights
    np.testing.assert_allclose(
        [game.total_n, game.total_s, game.total_q], [mass.sum(), mass @ y, mass @ y**2], rtol=1e-12
    )
    assert game.binary == bool(np.isin(y, [0, 1]).all())
    assert (game.q is None) == game.binary


@pytest.mark.parametrize("method", ["bitmaps", "rows"])
@pytest.mark.parametrize(("target", "weighted"), [("binary", "none"), ("real", "integer")])
def test_more_players_than_bits_of_a_word(method, target, weighted):
    columns, y, weights = draw_sessions(3, 900, 90, target, weighted)
    total = 900 if weights is None else weights.sum()
    min_count = np.ceil(0.2 * total)
    game = mine(pack("columns", columns, y, weights), max_size=3, min_count=min_count, method=method)
    assert game.n.size > 500
    assert_same_family(family(game), brute_force(columns, y, weights, 3, min_count))


@pytest.mark.parametrize("max_size", [3, 4])
def test_sessions_longer_than_a_tile(max_size):
    """Columns that do not fit into the cache together, prefixes with more columns than `FEW_COLUMNS`."""
    rng = np.random.default_rng(6)
    columns = rng.random((90_000, 60)) < np.r_[np.full(30, 0.03), np.full(30, 0.6)]
    y = rng.random(90_000) < 0.2
    game = mine(pack("columns", columns, y), max_size=max_size, min_count=800)
    found = family(game)
    dense = columns.astype(np.float32)
    for prefix in ((), (0,), (40,), (40, 41)):
        held = dense[columns[:, list(prefix)].all(axis=1)]
        n, s = held.T @ held, (held * y[columns[:, list(prefix)].all(axis=1), None]).T @ held
        expected = {
            tuple(sorted((*prefix, i, j))): (n[i, j], s[i, j], s[i, j])
            for i, j in combinations([k for k in range(60) if k not in prefix], 2)
            if n[i, j] >= 800 and len(prefix) + 2 <= max_size
        }
        size = len(prefix) + 2
        retained = {names: sums for names, sums in found.items() if len(names) == size and set(prefix) <= set(names)}
        assert retained == expected
    assert any(len(names) == max_size for names in found)


def test_long_sessions_are_cut_into_units_with_the_same_result(monkeypatch):
    columns, y, _ = draw_sessions(5, 3000, 24)
    sessions = pack("columns", columns, y)
    whole = mine(sessions, max_size=5, min_count=30, threads=1)
    monkeypatch.setattr(mining, "QUICK_WORDS", 0)
    monkeypatch.setattr(mining, "UNIT_WORDS", 40)
    seen = []
    cut = mine(sessions, max_size=5, min_count=30, threads=2, progress=lambda *done: seen.append(done))
    assert len(seen) > 24
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    for field in ("parent", "item", "child_start", "child_count", "n", "s"):
        np.testing.assert_array_equal(getattr(cut, field), getattr(whole, field), err_msg=field)


def test_a_family_that_grows_beyond_a_quick_one_is_counted_in_threads(monkeypatch):
    columns = np.random.default_rng(2).random((200, 14)) < 0.9
    sessions = pack("columns", columns, np.arange(200) % 3 == 0)
    monkeypatch.setattr(mining, "QUICK_WORDS", 0)
    expected = mine(sessions, max_size=9, min_count=5)
    monkeypatch.setattr(mining, "QUICK_WORDS", 40_000)
    limits = []
    count = counting.mine_bitmaps
    monkeypatch.setattr(counting, "mine_bitmaps", lambda *given: limits.append(given[4].max_rows) or count(*given))
    seen = []
    game = mine(sessions, max_size=9, min_count=5, progress=lambda *done: seen.append(done))
    assert limits[0] < game.n.size < limits[1]
    assert seen[-1][0] == seen[-1][1]
    for field in ("parent", "item", "child_start", "child_count", "n", "s"):
        np.testing.assert_array_equal(getattr(game, field), getattr(expected, field), err_msg=field)


def test_real_sums_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(mining, "QUICK_WORDS", 0)
    columns, y, _ = draw_sessions(8, 2000, 20, "real")
    sessions = pack("columns", columns, y)
    one, two = (mine(sessions, max_size=4, min_count=20, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.s, two.s)
    np.testing.assert_array_equal(one.q, two.q)


@pytest.mark.parametrize("target", ["binary", "real"])
def test_splitting_weights_changes_nothing(target):
    columns, y, _ = draw_sessions(11, 400, 8, target)
    weights = np.random.default_rng(0).integers(1, 6, 400)
    joined = mine(pack("columns", columns, y, weights), max_size=4, min_count=12)
    repeat = np.repeat(np.arange(400), weights)
    split = mine(pack("columns", columns[repeat], y[repeat]), max_size=4, min_count=12)
    assert_same_family(family(joined), family(split))


def test_permuting_players_and_rows_changes_nothing():
    columns, y, _ = draw_sessions(12, 500, 9)
    rng = np.random.default_rng(1)
    players, rows = rng.permutation(9), rng.permutation(500)
    before = family(mine(pack("columns", columns, y), max_size=4, min_count=5))
    after = family(mine(pack("columns", columns[rows][:, players], y[rows]), max_size=4, min_count=5))
    renamed = {tuple(sorted(players[list(coalition)].tolist())): sums for coalition, sums in after.items()}
    assert renamed == before


def test_names_and_lookup():
    columns, y, _ = draw_sessions(13, 300, 7)
    game = mine(pack("columns", columns, y), max_size=3, min_count=5)
    names = coalition_names(game)
    assert len(set(names)) == game.n.size
    for position, name in enumerate(names):
        members = name.split(" & ")
        assert members == sorted(members)
        assert find_coalition(game, members[::-1]) == position
    assert find_coalition(game, ["p001"]) is None
    assert find_coalition(game, ["p000", "p001"]) is None
    assert find_coalition(game, []) is None
    with pytest.raises(RequestError, match=r"'p01'.*did you mean 'p001'"):
        find_coalition(game, ["p01"])


def test_golden_game_of_online_shoppers(shared):
    expected = json.loads((shared / "golden" / "online_shoppers_game.json").read_text())
    table = np.genfromtxt(shared / "data" / "online_shoppers_sessions.csv", delimiter=",", names=True)
    players = [name for name in table.dtype.names if name != "converted"]
    sessions = pack_columns([table[name] for name in players], table["converted"], players)
    game = mine(sessions, max_size=3, min_count=np.ceil(0.01 * len(table) - 1e-9))
    coalitions = expected.get("coalitions", expected)
    found = dict(zip(coalition_names(game), zip(game.n, game.s, strict=True), strict=True))
    assert found == {name: (row["n"], row["s"]) for name, row in coalitions.items()}


# Against published miners ---------------------------------------------------------------------------------


def read_transactions(path):
    with gzip.open(path, "rt") as lines:
        return [sorted({int(item) for item in line.split()}) for line in lines]


def pack_lists(transactions):
    items, codes = np.unique(np.concatenate([np.array(t, int) for t in transactions]), return_inverse=True)
    offsets = np.concatenate([[0], np.cumsum([len(t) for t in transactions])])
    y = np.arange(len(transactions)) % 7 == 0
    return pack_transactions(offsets, codes, y, [str(item) for item in items])


def counts_by_items(game):
    return {
        tuple(sorted(int(name) for name in coalition.split(" & "))): int(n)
        for coalition, n in zip(coalition_names(game), game.n, strict=True)
    }


DATASETS = [
    ("retail", 0.001, 99),
    ("retail", 0.01, 99),
    ("mushroom", 0.2, 5),
    ("mushroom", 0.4, 99),
    ("msweb_train", 0.001, 99),
    ("msweb_train", 0.01, 99),
]


@pytest.mark.parametrize(("name", "support", "max_size"), DATASETS)
def test_same_family_as_pyfim(shared, name, support, max_size):
    fim = pytest.importorskip("fim", reason="pyfim is not installed (extra `peers`)")
    transactions = read_transactions(shared / "data" / f"{name}.dat.gz")
    min_count = int(np.ceil(support * len(transactions) - 1e-9))
    game = mine(pack_lists(transactions), max_size=max_size, min_count=min_count)
    expected = {
        tuple(sorted(items)): count
        for items, count in fim.eclat(transactions, supp=-min_count, zmin=1, zmax=max_size, report="a")
    }
    # pyfim leaves out a single item that every transaction holds.
    everywhere = set(transactions[0]).intersection(*transactions)
    assert counts_by_items(game) == expected | {(item,): len(transactions) for item in everywhere}


@pytest.mark.parametrize(("name", "support"), [("mushroom", 0.4), ("msweb_train", 0.01), ("retail", 0.02)])
def test_same_family_as_mlxtend(shared, name, support):
    frequent = pytest.importorskip("mlxtend.frequent_patterns", reason="mlxtend is not installed (`peers`)")
    pandas = importlib.import_module("pandas")
    transactions = read_transactions(shared / "data" / f"{name}.dat.gz")
    sessions = pack_lists(transactions)
    keep = np.flatnonzero(sessions.sums[:, 0] >= support * len(transactions))
    labels = [int(sessions.players[player]) for player in keep]
    place = {label: i for i, label in enumerate(labels)}
    wide = np.zeros((len(transactions), len(labels)), bool)
    for row, transaction in enumerate(transactions):
        wide[row, [place[item] for item in transaction if item in place]] = True
    peer = frequent.fpgrowth(pandas.DataFrame(wide, columns=labels), min_support=support, use_colnames=True)
    expected = {
        tuple(sorted(items)): round(share * len(transactions))
        for items, share in zip(peer["itemsets"], peer["support"], strict=True)
    }
    min_count = int(np.ceil(support * len(transactions) - 1e-9))
    assert counts_by_items(mine(sessions, max_size=99, min_count=min_count)) == expected


@pytest.mark.parametrize(("name", "support", "max_size"), DATASETS[1::2])
def test_bitmaps_and_rows_agree_on_real_data(shared, name, support, max_size):
    sessions = pack_lists(read_transactions(shared / "data" / f"{name}.dat.gz"))
    min_count = np.ceil(support * sessions.rows - 1e-9)
    games = [mine(sessions, max_size=max_size, min_count=min_count, method=method) for method in ("bitmaps", "rows")]
    for field in ("parent", "item", "child_start", "child_count", "n", "s"):
        np.testing.assert_array_equal(getattr(games[0], field), getattr(games[1], field), err_msg=field)


# Processor, processes, interruption -----------------------------------------------------------------------

COUNT = """
import numpy as np
from touchworth.synergy.bitmaps import pack_columns
from touchworth.synergy.instructions import HAS_EXTRACT
from touchworth.synergy.mining import mine
rng = np.random.default_rng(4)
columns = rng.random((5000, 12)) < rng.random(12)
game = mine(pack_columns(columns, rng.random(5000) < 0.2, list("abcdefghijkl")), max_size=6, min_count=50)
print(HAS_EXTRACT, game.n.size, int(game.n.sum()), int(game.s.sum()))
"""


def count_in_a_process(cache: Path, **environment):
    import touchworth

    source = Path(touchworth.__file__).parents[1]
    variables = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(source)} | environment
    done = subprocess.run([sys.executable, "-c", COUNT], env=variables, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_cached_kernels_and_portable_processor_in_new_processes(tmp_path):
    first = count_in_a_process(tmp_path)
    compiled = sorted(tmp_path.rglob("*.nbc"))
    stamps = [file.stat().st_mtime_ns for file in compiled]
    assert compiled
    assert count_in_a_process(tmp_path) == first
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.rglob("*.nbc"))] == stamps
    portable = count_in_a_process(tmp_path, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="")
    assert portable[0] == "False"
    assert portable[1:] == first[1:]


class StopNowError(Exception):
    pass


def endless_sessions():
    rng = np.random.default_rng(0)
    return pack("columns", rng.random((100_000, 60)) < 0.5, rng.random(100_000) < 0.5)


def test_an_exception_in_progress_stops_all_threads():
    calls = []

    def stop(done, total):
        calls.append(done)
        raise StopNowError

    before = threading.active_count()
    with pytest.raises(StopNowError):
        mine(endless_sessions(), max_size=5, min_count=1, progress=stop)
    assert len(calls) == 1
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt_reaches_the_caller_while_kernels_run(threads):
    sessions = endless_sessions()
    mine(sessions, max_size=3, min_count=1000)
    before = threading.active_count()
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        mine(sessions, max_size=60, min_count=1, threads=threads)
    timer.join()
    assert threading.active_count() == before


# Prediction, choice, refusals -----------------------------------------------------------------------------


def test_prediction_bounds_the_triples():
    columns, y, _ = draw_sessions(21, 4000, 30)
    sessions = pack("columns", columns, y)
    foretold = predict(sessions, max_size=3, min_count=40)
    game = mine(sessions, max_size=3, min_count=40)
    assert foretold.players == int((game.size == 1).sum())
    assert foretold.pairs == int((game.size == 2).sum())
    assert foretold.candidate_pairs == foretold.players * (foretold.players - 1) // 2
    assert foretold.candidate_triples >= int((game.size == 3).sum())
    pairs = {coalition for coalition in family(game) if len(coalition) == 2}
    triples = [t for t in combinations(range(30), 3) if all(pair in pairs for pair in combinations(t, 2))]
    assert foretold.candidate_triples == len(triples)
    held = [game.parent, game.item, game.child_start, game.child_count, game.size, game.n, game.s]
    assert foretold.memory > sum(array.nbytes for array in held)
    assert f"{foretold.pairs:,} of {foretold.candidate_pairs:,} pairs do" in str(foretold)


def test_the_choice_follows_the_shape_of_the_data():
    rng = np.random.default_rng(2)
    narrow = pack("columns", rng.random((5000, 8)) < 0.5, np.zeros(5000))
    wide = pack("columns", rng.random((3000, 1500)) < 0.004, np.zeros(3000))
    assert choose_method(narrow, np.arange(8), 8) == "transform"
    assert choose_method(narrow, np.arange(8), 3) == "bitmaps"
    assert choose_method(wide, np.arange(1500), 3) == "rows"
    assert "wide sparse data" in str(predict(wide, max_size=3, min_count=1))
    told = []
    mine(narrow, max_size=8, min_count=50, report=told.append)
    assert told[0].method == "transform"


@pytest.mark.parametrize("method", METHODS)
def test_refused_where_memory_would_not_do(method):
    columns, y, _ = draw_sessions(22, 2000, 16)
    sessions = pack("columns", columns, y)
    with pytest.raises(DataError, match=r"limit of 1 kB; raise min_support"):
        mine(sessions, max_size=16, min_count=1, memory_limit=1000, method=method)


def test_refused_where_triples_would_not_fit():
    columns, y, _ = draw_sessions(23, 2000, 40)
    sessions = pack("columns", columns, y)
    need = predict(sessions, max_size=3, min_count=2).memory
    with pytest.raises(DataError, match=r"triples\), more than the memory limit .* lower max_size"):
        mine(sessions, max_size=3, min_count=2, memory_limit=need - 1)
    mine(sessions, max_size=3, min_count=2, memory_limit=need)


def test_refused_on_the_way_where_larger_sizes_do_not_fit():
    columns, y, _ = draw_sessions(24, 2000, 20)
    sessions = pack("columns", columns, y)
    need = predict(sessions, max_size=3, min_count=2).memory
    with pytest.raises(DataError, match=r"there are more than [\d,]+ coalitions.* lower max_size \(12\)"):
        mine(sessions, max_size=12, min_count=2, memory_limit=need, method="bitmaps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_size": 0}, "largest coalition size is 0; it must be 1 or more"),
        ({"min_count": 0}, "minimum support is 0 sessions; it must be a finite number above 0"),
        ({"threads": 0}, "number of threads is 0; it must be 1 or more"),
    ],
)
def test_impossible_requests(arguments, message):
    columns, y, _ = draw_sessions(1, 50, 3)
    with pytest.raises(RequestError, match=message):
        mine(pack("columns", columns, y), **({"max_size": 2, "min_count": 1} | arguments))


def test_nothing_reaches_the_minimum_support():
    columns, y, _ = draw_sessions(1, 50, 3)
    for method in METHODS:
        game = mine(pack("columns", columns, y), max_size=3, min_count=51, method=method)
        assert game.n.size == 0
        assert coalition_names(game) == []
        assert coalition_items(game)[0].tolist() == [0]
