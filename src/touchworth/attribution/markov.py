"""The Markov model, exact: conversion probability and removal effects of every channel (models.md, section 3).

Removal effect of channel c (Anderl, Becker, von Wangenheim, Schumann 2016): RE(c) = 1 - P(without c) / P, where a
journey that would enter any state holding c goes to (null). A journey enters such states first by a touch of c, so only
the block B of states that *end* in c matters: RE(c) P = a_B N_BB^-1 b_B with N = (I - Q)^-1, a = N[start], b = N r.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel

__all__ = ["Chain", "Removal", "make_chain", "replicate_removal", "solve_removal"]

# Chains up to so many states are solved by one dense inverse; larger ones by iteration on the sparse matrix.
DENSE_STATES = 1200
# Jackknife replicates of chains up to so many states are solved anew; larger ones by one exact first-order step.
SOLVED_ANEW_STATES = 320
TOLERANCE = 1e-11
MAX_ITERATIONS = 20_000
ITERATIONS_TO_RESTART = 200
SOLVER_THREADS = 2


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain as sparse rows (``n`` transient states, ``z`` transitions among them).

    Attributes
    ----------
    offsets, target, probability
        CSR of Q: row s holds ``target[offsets[s]:offsets[s + 1]]``.
    total
        float64 (n,): transitions counted out of each state.
    convert
        float64 (n,): one-step probability of (conversion).
    reward
        float64 (n,): expected value of one step to (conversion).
    block
        int64 (n,): channel of the state's last touch; -1 for (start), which is state 0.
    channels
        Number of channels.
    """

    offsets: NDArray[np.int64]
    target: NDArray[np.int64]
    probability: NDArray[np.float64]
    total: NDArray[np.float64]
    convert: NDArray[np.float64]
    reward: NDArray[np.float64]
    block: NDArray[np.int64]
    channels: int

    @property
    def states(self) -> int:
        """Number of transient states."""
        return self.total.size


@dataclass(frozen=True, slots=True)
class Removal:
    """Exact results of one chain.

    Attributes
    ----------
    probability, expected_value
        P(conversion) and expected value from (start).
    effect, effect_value
        float64 (channels,): removal effects of conversion and of value; 0 where the base is 0.
    visits
        float64 (n,): expected visits to each state.
    residual
        Largest relative residual of the linear systems solved.
    left, right, right_value
        float64 (channels + 1, n) or None: visits, conversion probability and expected value with each channel out
        (the last row: none out); kept for the first-order replicates of large chains.
    """

    probability: float
    expected_value: float
    effect: NDArray[np.float64]
    effect_value: NDArray[np.float64]
    visits: NDArray[np.float64]
    residual: float
    left: NDArray[np.float64] | None = None
    right: NDArray[np.float64] | None = None
    right_value: NDArray[np.float64] | None = None


def make_chain(
    states: int,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    weight: NDArray[np.float64],
    value: NDArray[np.float64],
    block: NDArray[np.int64],
    channels: int,
) -> Chain:
    """Chain from transition counts; target `states` is (conversion), `states` + 1 (null)."""
    total = np.bincount(source, weight, minlength=states).astype(np.float64)
    seen = np.where(total > 0, total, 1.0)
    to_conversion = target == states
    convert = np.bincount(source[to_conversion], weight[to_conversion], minlength=states) / seen
    reward = np.bincount(source[to_conversion], value[to_conversion], minlength=states) / seen
    inner = target < states
    key, inverse = np.unique(source[inner] * states + target[inner], return_inverse=True)
    counts = np.bincount(inverse, weight[inner], minlength=key.size)
    row, column = np.divmod(key, max(states, 1))
    offsets = np.searchsorted(row, np.arange(states + 1))
    return Chain(offsets, column, counts / seen[row], total, convert, reward, block, channels)


def solve_removal(chain: Chain, *, keep: bool = False) -> Removal:
    """Exact P, expected value and all removal effects; with `keep` also the solutions of each removed chain."""
    if chain.states > DENSE_STATES:
        return solve_sparse(chain, keep=keep)
    n = chain.states
    step = np.zeros((n, n))
    step[np.repeat(np.arange(n), np.diff(chain.offsets)), chain.target] = chain.probability
    return solve_dense(step, chain.convert, chain.reward, chain.block, chain.channels, keep)


def solve_dense(
    step: NDArray[np.float64],
    convert: NDArray[np.float64],
    reward: NDArray[np.float64],
    block: NDArray[np.int64],
    channels: int,
    keep: bool,
) -> Removal:
    """Removal effects from Q = `step`, float64 (n, n): one inverse serves every channel."""
    n = block.size
    matrix = np.eye(n) - step
    inverse = np.linalg.inv(matrix)
    visits = inverse[0]
    right = inverse @ np.column_stack((convert, reward))
    p, worth = right[0]
    effect = np.zeros((2, channels))
    left = np.tile(visits, (channels + 1, 1)) if keep else None
    rights = np.tile(right.T[:, None, :], (1, channels + 1, 1)) if keep else None
    if not keep and np.unique(block).size == n:
        # One state a channel: N_BB is a number.
        single = block >= 0
        effect[:, block[single]] = (visits[single, None] * right[single] / np.diag(inverse)[single, None]).T
    else:
        for c in range(channels):
            states = np.flatnonzero(block == c)
            if states.size == 0:
                continue
            inside = inverse[np.ix_(states, states)]
            without = np.linalg.solve(inside, right[states])
            effect[:, c] = visits[states] @ without
            if left is not None and rights is not None:
                left[c] -= np.linalg.solve(inside.T, visits[states]) @ inverse[states]
                rights[:, c] -= (inverse[:, states] @ without).T
                rights[:, c, states] = without.T
    residual = np.abs(matrix @ right[:, 0] - convert).max() / max(np.abs(convert).max(), np.finfo(float).tiny)
    return Removal(
        probability=float(p),
        expected_value=float(worth),
        effect=relative(effect[0], p),
        effect_value=relative(effect[1], worth),
        visits=visits,
        residual=float(residual),
        left=left,
        right=None if rights is None else rights[0],
        right_value=None if rights is None else rights[1],
    )


def relative(amount: NDArray[np.float64], base: float) -> NDArray[np.float64]:
    """Amount / base; 0 where the base is 0."""
    return amount / base if base != 0 else np.zeros_like(amount)


@dataclass(frozen=True, slots=True)
class Rows:
    """Sparse rows in the order of work: row ``row[i]`` holds ``column[offsets[i]:offsets[i + 1]]``."""

    row: NDArray[np.int64]
    offsets: NDArray[np.int64]
    column: NDArray[np.int64]
    probability: NDArray[np.float64]


def rows_of(chain: Chain, *, transposed: bool) -> Rows:
    """Q (or its transpose), rows that read the same columns one after another so that these stay in the cache.

    States are in the order of their windows: the successors of a state are neighbours, and shared by all states that
    differ in their oldest touch only.
    """
    n = chain.states
    source = np.repeat(np.arange(n), np.diff(chain.offsets))
    row, column = (chain.target, source) if transposed else (source, chain.target)
    least = np.full(n, n, np.int64)
    np.minimum.at(least, row, column)
    order = np.argsort(least, kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    by_place = np.lexsort((column, place[row]))
    offsets = np.searchsorted(place[row][by_place], np.arange(n + 1))
    return Rows(order, offsets, column[by_place], chain.probability[by_place])


@kernel
def apply_rows(
    row: NDArray[np.int64],
    offsets: NDArray[np.int64],
    column: NDArray[np.int64],
    probability: NDArray[np.float64],
    block: NDArray[np.int64],
    transposed: bool,
    first: int,
    last: int,
    x: NDArray[np.float64],
    out: NDArray[np.float64],
    other: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Rows of out = x - Q_c x (or with the transpose) for rows first..last-1; column c never enters states of block c.

    x, out, other: float64 (n, channels + 1). Returns float64 (2, channels + 1): sums of other * out and out * out.
    """
    width = x.shape[1]
    dots = np.zeros((2, width))
    sums = np.empty(width)
    for i in range(first, last):
        s = row[i]
        for c in range(width):
            sums[c] = 0.0
        for z in range(offsets[i], offsets[i + 1]):
            t = column[z]
            p = probability[z]
            b = block[t]
            skipped = sums[b] if b >= 0 and not transposed else 0.0
            for c in range(width):
                sums[c] += p * x[t, c]
            if b >= 0 and not transposed:
                sums[b] = skipped
        if transposed and block[s] >= 0:
            sums[block[s]] = 0.0
        for c in range(width):
            y = x[s, c] - sums[c]
            out[s, c] = y
            dots[0, c] += other[s, c] * y
            dots[1, c] += y * y
    return dots


@kernel
def subtract_rows(
    a: NDArray[np.float64],
    factor: NDArray[np.float64],
    b: NDArray[np.float64],
    out: NDArray[np.float64],
    first: int,
    last: int,
) -> None:
    """Rows of out = a - factor * b by column, rows first..last-1."""
    for s in range(first, last):
        for c in range(factor.size):
            out[s, c] = a[s, c] - factor[c] * b[s, c]


@kernel
def advance_rows(
    x: NDArray[np.float64],
    alpha: NDArray[np.float64],
    direction: NDArray[np.float64],
    omega: NDArray[np.float64],
    half: NDArray[np.float64],
    t: NDArray[np.float64],
    shadow: NDArray[np.float64],
    r: NDArray[np.float64],
    first: int,
    last: int,
) -> NDArray[np.float64]:
    """Rows of x += alpha direction + omega half and of r = half - omega t.

    Returns float64 (2, columns): sums of shadow * r and r * r.
    """
    dots = np.zeros((2, alpha.size))
    for s in range(first, last):
        for c in range(alpha.size):
            x[s, c] += alpha[c] * direction[s, c] + omega[c] * half[s, c]
            y = half[s, c] - omega[c] * t[s, c]
            r[s, c] = y
            dots[0, c] += shadow[s, c] * y
            dots[1, c] += y * y
    return dots


@kernel
def turn_rows(
    direction: NDArray[np.float64],
    r: NDArray[np.float64],
    beta: NDArray[np.float64],
    omega: NDArray[np.float64],
    v: NDArray[np.float64],
    first: int,
    last: int,
) -> None:
    """Rows of direction = r + beta (direction - omega v)."""
    for s in range(first, last):
        for c in range(beta.size):
            direction[s, c] = r[s, c] + beta[c] * (direction[s, c] - omega[c] * v[s, c])


def solve_block(
    rows: Rows, block: NDArray[np.int64], right: NDArray[np.float64], pool: ThreadPoolExecutor, *, transposed: bool
) -> tuple[NDArray[np.float64], float]:
    """Solve (I - Q_c) x_c = right for every removed channel c at once, by BiCGSTAB (van der Vorst 1992).

    `right` is float64 (n, channels + 1). Each column runs its own recurrence; where one breaks down all restart from
    where they are. Returns (x, largest relative residual, computed anew from x).
    """
    n = right.shape[0]
    cuts = np.searchsorted(rows.offsets, np.linspace(0, rows.offsets[-1], SOLVER_THREADS + 1)[1:-1])
    bounds = list(pairwise([0, *(int(cut) for cut in cuts), n]))

    def apply(x: NDArray[np.float64], out: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        def part(first: int, last: int) -> NDArray[np.float64]:
            return apply_rows(
                rows.row, rows.offsets, rows.column, rows.probability, block, transposed, first, last, x, out, other
            )

        return sum_parts(pool.map(lambda bound: part(*bound), bounds))

    def by_rows(work: Callable[[int, int], None]) -> None:
        list(pool.map(lambda part: work(*part), bounds))

    norm = np.sqrt((right**2).sum(0))
    safe = np.where(norm > 0, norm, 1.0)
    x = right.copy()
    r, v, t, half = (np.empty_like(right) for _ in range(4))
    steps = 0
    while True:
        apply(x, v, v)
        np.subtract(right, v, out=r)
        rho = (r * r).sum(0)
        residual = float((np.sqrt(rho) / safe).max())
        if residual <= TOLERANCE or steps >= MAX_ITERATIONS:
            return x, residual
        shadow, direction = r.copy(), r.copy()
        for _ in range(ITERATIONS_TO_RESTART):
            steps += 1
            alpha = quotient(rho, apply(direction, v, shadow)[0])
            by_rows(partial(subtract_rows, r, alpha, v, half))
            dots = apply(half, t, half)
            omega = quotient(dots[0], dots[1])
            step = (x, alpha, direction, omega, half, t, shadow, r)
            after = sum_parts(pool.map(lambda part, step=step: advance_rows(*step, *part), bounds))
            # The recurrence drifts from the true residual, which the restart measures; stop below the goal.
            if (np.sqrt(after[1]) <= 0.3 * TOLERANCE * safe).all():
                break
            beta = quotient(after[0], rho) * quotient(alpha, omega)
            by_rows(partial(turn_rows, direction, r, beta, omega, v))
            rho = after[0]


def sum_parts(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Sum of the partial sums of all threads, in their order."""
    total: NDArray[np.float64] = np.add.reduce(list(parts))
    return total


def quotient(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient a / b, 0 where b is 0 (a column that has converged)."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def solve_sparse(chain: Chain, *, keep: bool) -> Removal:
    """All removed chains at once as columns of one sparse iteration."""
    width = chain.channels + 1
    start = np.zeros((chain.states, width))
    start[0] = 1.0
    forward, backward = rows_of(chain, transposed=False), rows_of(chain, transposed=True)
    with ThreadPoolExecutor(SOLVER_THREADS) as pool:

        def columns(b: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.repeat(b[:, None], width, 1)

        right, residual = solve_block(forward, chain.block, columns(chain.convert), pool, transposed=False)
        right_value, residual_value = np.zeros_like(right), 0.0
        if chain.reward.any():
            right_value, residual_value = solve_block(
                forward, chain.block, columns(chain.reward), pool, transposed=False
            )
        # Visits of the whole chain need one column, the replicates need those of every removed chain.
        wanted = start if keep else start[:, -1:]
        block = chain.block if keep else np.full_like(chain.block, -1)
        left, residual_left = solve_block(backward, block, np.ascontiguousarray(wanted), pool, transposed=True)
    p, worth = right[0, -1], right_value[0, -1]
    return Removal(
        probability=float(p),
        expected_value=float(worth),
        effect=relative(p - right[0, :-1], p),
        effect_value=relative(worth - right_value[0, :-1], worth),
        visits=left[:, -1].copy(),
        residual=max(residual, residual_value, residual_left),
        left=np.ascontiguousarray(left.T) if keep else None,
        right=np.ascontiguousarray(right.T) if keep else None,
        right_value=np.ascontiguousarray(right_value.T) if keep else None,
    )


@kernel
def step_replicates(
    order: NDArray[np.int64],
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    bucket: NDArray[np.int64],
    weight: NDArray[np.float64],
    value: NDArray[np.float64],
    total: NDArray[np.float64],
    block: NDArray[np.int64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    right_value: NDArray[np.float64],
    change: NDArray[np.float64],
    change_value: NDArray[np.float64],
) -> None:
    """Change of P and of the expected value of every removed chain when a bucket is left out, to first order.

    Entries are visited in `order` (bucket, source). Matrices are (n, channels + 1), changes (buckets, channels + 1).
    Leaving n_g of n transitions out of state s turns its row into [n y(s) - sum of n_g x(t)] / (n - n_g): the rows are
    exact, the effect on P goes through the visits of the full chain.
    """
    n = total.size
    width = left.shape[1]
    lost = np.zeros(width)
    lost_value = np.zeros(width)
    i = 0
    while i < order.size:
        s = source[order[i]]
        b = bucket[order[i]]
        lost[:] = 0.0
        lost_value[:] = 0.0
        gone = 0.0
        while i < order.size and source[order[i]] == s and bucket[order[i]] == b:
            z = order[i]
            w = weight[z]
            t = target[z]
            gone += w
            if t < n:
                for c in range(width):
                    if block[t] != c:
                        lost[c] += w * right[t, c]
                        lost_value[c] += w * right_value[t, c]
            elif t == n:
                for c in range(width):
                    lost[c] += w
                    lost_value[c] += value[z]
            i += 1
        remaining = total[s] - gone
        for c in range(width):
            if remaining > 0:
                change[b, c] += left[s, c] * (gone * right[s, c] - lost[c]) / remaining
                change_value[b, c] += left[s, c] * (gone * right_value[s, c] - lost_value[c]) / remaining
            else:
                change[b, c] -= left[s, c] * right[s, c]
                change_value[b, c] -= left[s, c] * right_value[s, c]


def replicate_removal(
    chain: Chain,
    removal: Removal,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    bucket: NDArray[np.int64],
    weight: NDArray[np.float64],
    value: NDArray[np.float64],
    buckets: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Removal effects with each bucket left out: two float64 (buckets, channels).

    Small chains are solved again; large ones take one first-order step from the full solution, whose error is of the
    order of 1 / buckets squared.
    """
    if chain.states <= SOLVED_ANEW_STATES:
        return solve_anew(chain, source, target, bucket, weight, value, buckets)
    if removal.left is None or removal.right is None or removal.right_value is None:
        raise ValueError("first-order replicates need a removal solved with keep=True")
    order = np.lexsort((source, bucket))
    change = np.zeros((buckets, chain.channels + 1))
    change_value = np.zeros((buckets, chain.channels + 1))
    right, right_value = np.ascontiguousarray(removal.right.T), np.ascontiguousarray(removal.right_value.T)
    step_replicates(
        order, source, target, bucket, weight, value, chain.total, chain.block,
        np.ascontiguousarray(removal.left.T), right, right_value, change, change_value,
    )  # fmt: skip
    after, after_value = right[0] + change, right_value[0] + change_value
    return one_minus_ratio(after), one_minus_ratio(after_value)


def solve_anew(
    chain: Chain,
    source: NDArray[np.int64],
    target: NDArray[np.int64],
    bucket: NDArray[np.int64],
    weight: NDArray[np.float64],
    value: NDArray[np.float64],
    buckets: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Removal effects with each bucket left out, each chain solved again: two float64 (buckets, channels)."""
    n = chain.states
    counts = np.zeros((n, n + 2))
    np.add.at(counts, (source, target), weight)
    earned = np.bincount(source, value, minlength=n)
    order = np.argsort(bucket, kind="stable")
    edges = np.searchsorted(bucket[order], np.arange(buckets + 1))
    effect = np.empty((buckets, chain.channels))
    effect_value = np.empty((buckets, chain.channels))
    for b in range(buckets):
        mine = order[edges[b] : edges[b + 1]]
        left = counts.copy()
        np.subtract.at(left, (source[mine], target[mine]), weight[mine])
        earned_left = earned - np.bincount(source[mine], value[mine], minlength=n)
        total = left.sum(1)
        seen = np.where(total > 0, total, 1.0)
        part = solve_dense(
            left[:, :n] / seen[:, None], left[:, n] / seen, earned_left / seen, chain.block, chain.channels, keep=False
        )
        effect[b], effect_value[b] = part.effect, part.effect_value
    return effect, effect_value


def one_minus_ratio(after: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 - P(without c) / P by row; 0 where P is 0."""
    base = after[:, -1:]
    return np.divide(base - after[:, :-1], base, out=np.zeros_like(after[:, :-1]), where=base != 0)
