"""Counting a given family in parts of the sessions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synergy.test_mining import draw_sessions, pack
from touchworth.errors import RequestError
from touchworth.synergy.family import count_family, trie_of
from touchworth.synergy.mining import mine


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(2, 900),
    players=st.integers(1, 9),
    max_size=st.integers(1, 8),
    target=st.sampled_from(["binary", "real", "sparse real", "all zero"]),
    weighted=st.sampled_from(["none", "integer", "fractional"]),
    packing=st.sampled_from(["columns", "transactions"]),
    threads=st.integers(1, 2),
)
def test_parts_add_up_to_the_whole(seed, rows, players, max_size, target, weighted, packing, threads):
    columns, y, weights = draw_sessions(seed, rows, players, target, weighted)
    game = mine(pack(packing, columns, y, weights), max_size=max_size, min_count=0.5)
    trie = trie_of(game)
    expected = np.array([game.n, game.s, game.s if game.q is None else game.q])
    np.testing.assert_allclose(count_family(trie, pack(packing, columns, y, weights), threads), expected, atol=1e-8)
    total = np.zeros_like(expected)
    part = np.random.default_rng(seed).integers(0, 3, rows)
    for number in range(3):
        mine_rows = part == number
        weight = None if weights is None else weights[mine_rows]
        if mine_rows.any() and (weight is None or weight.any()):
            total += count_family(trie, pack(packing, columns[mine_rows], y[mine_rows], weight), threads)
    np.testing.assert_allclose(total, expected, atol=1e-8)


def test_sessions_of_too_few_players_are_refused():
    columns, y, _ = draw_sessions(1, 50, 4)
    game = mine(pack("columns", columns, y), max_size=2, min_count=1)
    with pytest.raises(RequestError, match=r"the family has player 3, but the sessions have 2 players"):
        count_family(trie_of(game), pack("columns", columns[:, :2], y))
