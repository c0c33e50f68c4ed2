"""Dealing journeys to buckets, and the expansion of totals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchworth.journeys.deal import ONE_BY_ONE, deal_paths, deal_users


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.floats(0, 1e4)), min_size=1, max_size=30),
    st.integers(2, 120),
    st.integers(0, 2**63),
)
@settings(max_examples=60, deadline=None)
def test_path_rows_are_dealt_completely(rows, buckets, seed):
    conversions, nulls, value = (np.array(column, float) for column in zip(*rows, strict=True))
    value *= conversions > 0
    key = np.random.default_rng(seed).integers(0, 2**63, len(rows)).astype(np.uint64)
    dealt = deal_paths(key, conversions, nulls, value, buckets)
    for i in range(len(rows)):
        mine = slice(dealt.offsets[i], dealt.offsets[i + 1])
        assert dealt.conversions[mine].sum() == conversions[i]
        assert dealt.nulls[mine].sum() == nulls[i]
        assert dealt.value[mine].sum() == pytest.approx(value[i], rel=1e-12)
    assert dealt.units.sum() == conversions.sum() + nulls.sum()


@pytest.mark.parametrize("size", [ONE_BY_ONE, 40 * ONE_BY_ONE])
def test_buckets_are_equally_likely_for_small_and_large_rows(size):
    rows = 30 * ONE_BY_ONE * 40 // size
    key = np.arange(rows).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    dealt = deal_paths(key, np.full(rows, float(size)), np.zeros(rows), np.zeros(rows), 50)
    expected = rows * size / 50
    chi_square = ((dealt.units - expected) ** 2 / expected).sum()
    assert 20 < chi_square < 90, "49 degrees of freedom: outside 0.9998 of the distribution"


def test_fractional_counts_get_no_buckets_but_a_reason():
    dealt = deal_paths(np.zeros(1, np.uint64), np.array([1.5]), np.array([2.0]), np.array([3.0]), 100)
    assert dealt.units.size == 1
    assert dealt.why_not == "intervals need whole numbers of conversions and nulls"


def test_fewer_users_than_buckets():
    present = np.array([True, True, False])
    hashes = np.array([5, 8, 1], np.uint64)
    user = np.array([0, 0, 1])
    one = np.ones(3)
    dealt = deal_users(hashes, present, user, one, 0 * one, one, 100)
    assert dealt.units.tolist() == [1.0, 1.0]
    assert dealt.bucket.tolist() == [1, 1, 0]
