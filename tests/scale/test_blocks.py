"""Synergy from blocks - rows, partitions of journeys, Spark - against all sessions at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchworth as tw
from tests.scale.engines import NEAR, check_same_summary, check_same_table, country, events_table
from touchworth.errors import DataError
from touchworth.sources.records import ReadReport, Sessions
from touchworth.synergy.bitmaps import pack_sessions
from touchworth.synergy.blocks import RowBlocks, facts_of_blocks, mine_blocks
from touchworth.synergy.mining import mine
from touchworth.synergy.synergies import synergies_in_blocks

REPORT = ReadReport("sessions", ("test",), {})


def sessions_of(rows, players, seed=0, *, lists=False, real=False, weighted=False, users=False):
    """Random sessions in which some players go together."""
    draw = np.random.default_rng(seed)
    holds = draw.random((rows, players)) < draw.uniform(0.05, 0.6, players)
    holds[:, 0] |= holds[:, -1] & (draw.random(rows) < 0.5)
    converted = (draw.random(rows) < 0.1 + 0.2 * holds[:, 0]).astype(np.uint8)
    value = np.round(draw.exponential(20, rows), 2) * converted
    row, item = np.nonzero(holds)
    return Sessions(
        players=tuple(f"p{i}" for i in range(players)),
        rows=rows,
        bits=None if lists else tuple(np.packbits(holds[:, i], bitorder="little") for i in range(players)),
        offsets=np.searchsorted(row, np.arange(rows + 1)).astype(np.int64) if lists else None,
        items=item.astype(np.int32) if lists else None,
        converted=converted,
        value=value,
        value_is_target=real,
        weight=draw.integers(0, 4, rows) / (1.0 if seed % 2 else 2.0) if weighted else None,
        user_hash=draw.integers(0, rows // 3 + 2, rows).astype(np.uint64) * np.uint64(2**40 + 7) if users else None,
        report=REPORT,
    )


def check_same_game(one, other):
    for name in ("players", "max_size", "min_support", "min_count", "binary"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("parent", "item", "child_start", "child_count", "rank", "size"):
        first, second = getattr(one, name), getattr(other, name)
        if name == "child_start":
            first, second = first * (one.child_count > 0), second * (other.child_count > 0)
        assert first.tolist() == second.tolist(), name
    assert (one.q is None) == (other.q is None)
    for name in ("n", "s", "total_n", "total_s", "total_q", *(() if one.q is None else ("q",))):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=NEAR, abs=NEAR), name


@given(
    st.integers(1, 400), st.integers(1, 9), st.integers(0, 99), st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from([8, 40, 1_000]), st.integers(1, 6), st.sampled_from([0.0, 0.02, 0.2]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_blocks_give_the_family_of_all_sessions(rows, players, seed, lists, real, weighted, block, size, share):
    sessions = sessions_of(rows, players, seed, lists=lists, real=real, weighted=weighted)
    if weighted and not sessions.weight.any():
        return
    packed = pack_sessions(sessions)
    least = max(1.0, np.ceil(share * packed.total_n - 1e-9))
    expected = mine(packed, max_size=size, min_count=least, min_support=share, threads=1, method="bitmaps")
    blocks = RowBlocks(sessions, block)
    facts = facts_of_blocks(blocks)
    check_same_game(expected, mine_blocks(blocks, facts, max_size=size, min_count=least, min_support=share, threads=1))


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("users", [False, True])
def test_the_table_of_blocks_is_that_of_all_sessions(lists, real, users):
    sessions = sessions_of(4_000, 6, lists=lists, real=real, users=users, weighted=lists)
    whole = tw.synergies(sessions, max_size=4, min_support=0.005)
    parts = synergies_in_blocks(RowBlocks(sessions, 700), max_size=4, min_support=0.005)
    check_same_table(whole.table, parts.table, ("coalition",))
    check_same_summary(whole.summary, parts.summary)


def test_sessions_that_do_not_fit_when_packed_are_counted_in_blocks(monkeypatch):
    sessions = sessions_of(4_000, 6)
    whole = tw.synergies(sessions)
    packed_rows = []
    pack = pack_sessions
    monkeypatch.setattr(
        "touchworth.synergy.blocks.pack_sessions", lambda one: (packed_rows.append(one.rows), pack(one))[1]
    )
    parts = tw.synergies(sessions, memory_limit=5_000)
    assert max(packed_rows) < 4_000
    check_same_table(whole.table, parts.table, ("coalition",))


def test_too_many_candidates_are_refused():
    blocks = RowBlocks(sessions_of(100, 9), 8)
    facts = facts_of_blocks(blocks)
    with pytest.raises(DataError, match=r"36 candidates of size 2 need about .*raise min_support, lower max_size"):
        mine_blocks(blocks, facts, max_size=3, min_count=1, min_support=0.0, memory_limit=1_000)


ENGINES = ["partitions", "spark"]


@pytest.mark.parametrize("kind", ["rate", "conversions"])
@pytest.mark.parametrize("engine", ENGINES)
def test_journeys_give_the_same_synergies_on_every_engine(engine, kind, request, tmp_path):
    if engine == "spark":
        request.getfixturevalue("spark")
    from pyarrow import parquet

    parquet.write_table(events_table(8_000, 1_500, country=country), tmp_path / "events.parquet")
    held, parted = (
        tw.read_events(tmp_path / "events.parquet", engine=one, dimensions=["country"]) for one in ("local", engine)
    )
    one, other = (tw.synergies(journeys, kind=kind, min_support=0.01, max_size=3) for journeys in (held, parted))
    check_same_table(one.table, other.table, ("coalition",))
    assert one.game.item.tolist() == other.game.item.tolist()


def test_nobody_and_one_user():
    blocks = RowBlocks(sessions_of(1, 2), 8)
    empty = RowBlocks(Sessions(("a",), 0, (), None, None, None, None, False, None, None, REPORT), 8)
    with pytest.raises(DataError, match="there are no sessions"):
        facts_of_blocks(empty)
    assert facts_of_blocks(blocks).totals[0] == 1
