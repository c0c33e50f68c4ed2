"""Numbering equal sequences: one kernel for paths, channel sets and windows of a chain."""

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel

__all__ = ["add_by_key", "gather_slices", "hash_slices", "intern_slices"]

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
MIX = np.uint64(0xBF58476D1CE4E5B9)


@kernel
def intern_slices(
    symbol: NDArray[np.int32], start: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the slices ``symbol[start[i]:stop[i]]`` by equality of their content.

    Returns
    -------
    identity
        int64 (slices,): number of the content, in order of first appearance.
    representative
        int64 (distinct,): index of the first slice with that content.
    """
    n = start.size
    identity = np.empty(n, np.int64)
    capacity = 1024
    table = np.full(capacity, -1, np.int64)
    hashes = np.empty(capacity, np.uint64)
    representative = np.empty(capacity, np.int64)
    found = 0
    for i in range(n):
        a = start[i]
        length = stop[i] - a
        h = np.uint64(length) * MULTIPLIER
        for k in range(length):
            h = (h ^ np.uint64(symbol[a + k] + 1)) * MULTIPLIER
            h ^= h >> np.uint64(29)
        h *= MIX
        h ^= h >> np.uint64(32)
        slot = np.int64(h & np.uint64(capacity - 1))
        while True:
            known = table[slot]
            if known < 0:
                table[slot] = found
                representative[found] = i
                hashes[found] = h
                identity[i] = found
                found += 1
                break
            if hashes[known] == h:
                # Never trust the hash alone: equal numbers must mean equal sequences.
                b = start[representative[known]]
                same = stop[representative[known]] - b == length
                k = 0
                while same and k < length:
                    same = symbol[a + k] == symbol[b + k]
                    k += 1
                if same:
                    identity[i] = known
                    break
            slot = (slot + 1) & (capacity - 1)
        if 2 * found >= capacity:
            capacity *= 2
            table = np.full(capacity, -1, np.int64)
            grown = np.empty(capacity, np.uint64)
            grown[:found] = hashes[:found]
            hashes = grown
            longer = np.empty(capacity, np.int64)
            longer[:found] = representative[:found]
            representative = longer
            for k in range(found):
                slot = np.int64(hashes[k] & np.uint64(capacity - 1))
                while table[slot] >= 0:
                    slot = (slot + 1) & (capacity - 1)
                table[slot] = k
    return identity, representative[:found].copy()


@kernel
def hash_slices(symbol: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A hash of each sequence ``symbol[offsets[i]:offsets[i + 1]]``, the same in every process."""
    out = np.empty(offsets.size - 1, np.uint64)
    for i in range(out.size):
        h = np.uint64(offsets[i + 1] - offsets[i]) * MULTIPLIER
        for k in range(offsets[i], offsets[i + 1]):
            h = (h ^ np.uint64(symbol[k] + 1)) * MULTIPLIER
            h ^= h >> np.uint64(29)
        h *= MIX
        out[i] = h ^ (h >> np.uint64(32))
    return out


@kernel
def gather_slices(
    symbol: NDArray[np.int32], start: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Copy slices one after another: (offsets int64 (slices + 1,), symbols int32)."""
    offsets = np.zeros(start.size + 1, np.int64)
    for i in range(start.size):
        offsets[i + 1] = offsets[i] + stop[i] - start[i]
    out = np.empty(offsets[-1], np.int32)
    for i in range(start.size):
        a = offsets[i]
        for k in range(stop[i] - start[i]):
            out[a + k] = symbol[start[i] + k]
    return offsets, out


def add_by_key(
    key: NDArray[np.int64], *weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], tuple[NDArray[np.float64], ...]]:
    """Sum each weight over equal keys: (distinct keys, ascending; sums in that order)."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    if ordered.size == 0:
        return ordered, weights
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[first], tuple(np.add.reduceat(weight[order], first) for weight in weights)
