"""Counts: everything the models need of the journeys, small, by bucket, and mergeable by addition."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.journeys.build import Journeys
from touchworth.journeys.credits import JourneyArrays, Weighting, add_credits
from touchworth.journeys.deal import Dealt
from touchworth.journeys.intern import add_by_key, gather_slices, intern_slices
from touchworth.kernels import kernel

__all__ = [
    "ChainCounts",
    "Counts",
    "PathCounts",
    "Plan",
    "SetCounts",
    "count_journeys",
    "count_paths",
    "merge_counts",
    "merge_paths",
]

# A dense array of transitions up to so many cells is counted without sorting.
DENSE_CELLS = 20_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to count.

    Attributes
    ----------
    weightings
        Per-journey models.
    order
        Order of the Markov chain; 0: no chain.
    loyal_touches
        Converted journeys of at most so many touches are loyal; None: no split.
    positions, sets
        Whether credit by position and the counts of channel sets are wanted.
    direct
        Names that last_non_direct passes over, in lower case.
    """

    weightings: tuple[Weighting, ...] = ()
    order: int = 0
    loyal_touches: int | None = None
    positions: bool = False
    sets: bool = False
    direct: tuple[str, ...] = ("direct", "(direct)")

    @property
    def segments(self) -> int:
        """1, or 2 with the loyalty split (loyal, disloyal)."""
        return 1 if self.loyal_touches is None else 2


@dataclass(frozen=True, slots=True)
class ChainCounts:
    """Transitions of the chain of order k (``n`` states, ``z`` entries).

    Attributes
    ----------
    offsets, window
        CSR of the states: the last k symbols, oldest first; state 0 is (start), the empty window.
    source, target
        int64 (z,): state numbers; target n is (conversion), n + 1 is (null).
    bucket, segment
        int64 (z,): segment 0.. of converted journeys; the last number is that of null journeys.
    weight, value
        float64 (z,): transitions, and value earned (only where the target is (conversion)).
    """

    offsets: NDArray[np.int64]
    window: NDArray[np.int32]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    bucket: NDArray[np.int64]
    segment: NDArray[np.int64]
    weight: NDArray[np.float64]
    value: NDArray[np.float64]

    @property
    def states(self) -> int:
        """Number of transient states, (start) included."""
        return self.offsets.size - 1


@dataclass(frozen=True, slots=True)
class SetCounts:
    """Journeys by their exact set of channels, segment and bucket (``z`` rows; sets as CSR, ascending channels)."""

    offsets: NDArray[np.int64]
    channel: NDArray[np.int32]
    set_of: NDArray[np.int64]
    bucket: NDArray[np.int64]
    segment: NDArray[np.int64]
    conversions: NDArray[np.float64]
    nulls: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PathCounts:
    """Distinct paths (CSR of symbols) with their conversions, nulls and value, in order of first appearance."""

    offsets: NDArray[np.int64]
    symbol: NDArray[np.int32]
    conversions: NDArray[np.float64]
    nulls: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Counts:
    """The reduction of journeys; two of them add up to that of all their journeys (`merge_counts`).

    Attributes
    ----------
    credit, credit_value
        float64 (weightings, segments, channels, buckets).
    conversions, value
        float64 (segments, buckets): of converted journeys.
    nulls
        float64 (buckets,).
    positions, positions_value
        float64 (channels, longest path), or of size 0.
    chain, sets
        Where they were planned, else None.
    """

    credit: NDArray[np.float64]
    credit_value: NDArray[np.float64]
    conversions: NDArray[np.float64]
    value: NDArray[np.float64]
    nulls: NDArray[np.float64]
    positions: NDArray[np.float64]
    positions_value: NDArray[np.float64]
    chain: ChainCounts | None
    sets: SetCounts | None


def arrays_of(journeys: Journeys, direct: tuple[str, ...]) -> JourneyArrays:
    """The arrays of `journeys` that kernels read."""
    passed_over = np.array([name.lower() in direct for name in journeys.channels], np.uint8)
    return JourneyArrays(
        symbol=journeys.symbol,
        time=journeys.time,
        symbol_channel=journeys.symbol_channel,
        start=journeys.start,
        stop=journeys.stop,
        touches_taken=journeys.touches_taken,
        channels=len(journeys.channels),
        direct=passed_over,
    )


def count_journeys(journeys: Journeys, dealt: Dealt, plan: Plan, first: int, last: int) -> Counts:
    """Reduce journeys first..last-1 to counts."""
    arrays = arrays_of(journeys, plan.direct)
    buckets = dealt.units.size
    shape = (len(plan.weightings), plan.segments, arrays.channels, buckets)
    credit, credit_value = np.zeros(shape), np.zeros(shape)
    longest = int((arrays.stop[first:last] - arrays.start[first:last]).max(initial=0)) if plan.positions else 0
    positions, positions_value = np.zeros((arrays.channels, longest)), np.zeros((arrays.channels, longest))
    totals = np.zeros((2, plan.segments, buckets))
    loyal = -1 if plan.loyal_touches is None else plan.loyal_touches
    add_credits(
        arrays.symbol, arrays.time, arrays.symbol_channel, arrays.start, arrays.stop, arrays.touches_taken,
        arrays.direct, dealt.offsets, dealt.bucket, dealt.conversions, dealt.value,
        np.array([rule.kind for rule in plan.weightings], np.int64),
        np.array([rule.a for rule in plan.weightings], np.float64),
        np.array([rule.b for rule in plan.weightings], np.float64),
        loyal, first, last, credit, credit_value, positions, positions_value, totals,
    )  # fmt: skip
    entries = slice(dealt.offsets[first], dealt.offsets[last])
    nulls = np.bincount(dealt.bucket[entries], dealt.nulls[entries], minlength=buckets).astype(np.float64)
    return Counts(
        credit=credit,
        credit_value=credit_value,
        conversions=totals[0],
        value=totals[1],
        nulls=nulls,
        positions=positions,
        positions_value=positions_value,
        chain=count_chain(arrays, dealt, plan, len(journeys.symbols), first, last) if plan.order else None,
        sets=count_sets(arrays, dealt, plan, first, last) if plan.sets else None,
    )


def merge_counts(a: Counts, b: Counts) -> Counts:
    """Add two reductions of the same plan over disjoint users."""
    return Counts(
        credit=a.credit + b.credit,
        credit_value=a.credit_value + b.credit_value,
        conversions=a.conversions + b.conversions,
        value=a.value + b.value,
        nulls=a.nulls + b.nulls,
        positions=add_padded(a.positions, b.positions),
        positions_value=add_padded(a.positions_value, b.positions_value),
        chain=None if a.chain is None or b.chain is None else merge_chains(a.chain, b.chain),
        sets=None if a.sets is None or b.sets is None else merge_sets(a.sets, b.sets),
    )


def add_padded(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of two matrices whose rows may differ in length."""
    out = np.zeros((a.shape[0], max(a.shape[1], b.shape[1])))
    out[:, : a.shape[1]] += a
    out[:, : b.shape[1]] += b
    return out


# --- the chain -----------------------------------------------------------------------------------------------------


@kernel
def add_first_order(
    symbol: NDArray[np.int32],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    touches_taken: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bucket: NDArray[np.int32],
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    loyal_touches: int,
    first: int,
    last: int,
    weight: NDArray[np.float64],
    worth: NDArray[np.float64],
) -> None:
    """Order 1: weight[segment, bucket, source, target] += journeys; worth[segment, bucket, source] += value.

    State 0 is (start), state c + 1 the symbol c; the last two targets are (conversion) and (null).
    """
    null = weight.shape[0] - 1
    end = weight.shape[3]
    for j in range(first, last):
        segment = 1 if 0 <= loyal_touches < touches_taken[j] else 0
        for e in range(offsets[j], offsets[j + 1]):
            b = bucket[e]
            for outcome in range(2):
                w = conversions[e] if outcome == 0 else nulls[e]
                if w == 0.0:
                    continue
                s = segment if outcome == 0 else null
                state = 0
                for i in range(start[j], stop[j]):
                    to = symbol[i] + 1
                    weight[s, b, state, to] += w
                    state = to
                weight[s, b, state, end - 2 + outcome] += w
                if outcome == 0:
                    worth[s, b, state] += value[e]


@kernel
def list_windows(
    start: NDArray[np.int64], stop: NDArray[np.int64], order: int, first: int, last: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Slices of the window that ends at each touch of the journeys, after one empty slice for (start)."""
    size = 1
    for j in range(first, last):
        size += stop[j] - start[j]
    a = np.zeros(size, np.int64)
    b = np.zeros(size, np.int64)
    at = 1
    for j in range(first, last):
        for i in range(start[j], stop[j]):
            a[at] = max(start[j], i + 1 - order)
            b[at] = i + 1
            at += 1
    return a, b


@kernel
def list_transitions(
    state: NDArray[np.int64],
    states: int,
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    touches_taken: NDArray[np.int64],
    offsets: NDArray[np.int64],
    bucket: NDArray[np.int32],
    conversions: NDArray[np.float64],
    nulls: NDArray[np.float64],
    value: NDArray[np.float64],
    buckets: int,
    segments: int,
    loyal_touches: int,
    first: int,
    last: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """(key, weight, value) of every transition; key = ((source, target), bucket, segment) as one number."""
    size = 0
    for j in range(first, last):
        for e in range(offsets[j], offsets[j + 1]):
            outcomes = (1 if conversions[e] != 0.0 else 0) + (1 if nulls[e] != 0.0 else 0)
            size += outcomes * (stop[j] - start[j] + 1)
    key = np.empty(size, np.int64)
    weight = np.empty(size)
    worth = np.zeros(size)
    at = 0
    base = 1
    for j in range(first, last):
        m = stop[j] - start[j]
        segment = 1 if 0 <= loyal_touches < touches_taken[j] else 0
        for e in range(offsets[j], offsets[j + 1]):
            for outcome in range(2):
                w = conversions[e] if outcome == 0 else nulls[e]
                if w == 0.0:
                    continue
                s = segment if outcome == 0 else segments - 1
                source = np.int64(0)
                for i in range(m + 1):
                    target = state[base + i] if i < m else np.int64(states + outcome)
                    key[at] = ((source * (states + 2) + target) * buckets + bucket[e]) * segments + s
                    weight[at] = w
                    if i == m and outcome == 0:
                        worth[at] = value[e]
                    source = target
                    at += 1
        base += m
    return key, weight, worth


def order_windows(
    symbol: NDArray[np.int32], start: NDArray[np.int64], stop: NDArray[np.int64], order: int
) -> NDArray[np.int64]:
    """Positions of windows sorted by their symbols, shorter ones first; successors of a state become neighbours."""
    digits = np.full((order, start.size), -1, np.int64)
    for back in range(order):
        there = stop - 1 - back >= start
        digits[back, there] = symbol[(stop - 1 - back)[there]]
    # lexsort's last key is the first: the oldest touch.
    return np.lexsort(digits)


def count_chain(arrays: JourneyArrays, dealt: Dealt, plan: Plan, symbols: int, first: int, last: int) -> ChainCounts:
    """Transition counts of order ``plan.order`` by bucket and segment (models.md, section 3)."""
    buckets = dealt.units.size
    segments = plan.segments + 1
    loyal = -1 if plan.loyal_touches is None else plan.loyal_touches
    if plan.order == 1 and segments * buckets * (symbols + 1) * (symbols + 3) <= DENSE_CELLS:
        weight = np.zeros((segments, buckets, symbols + 1, symbols + 3))
        worth = np.zeros((segments, buckets, symbols + 1))
        add_first_order(
            arrays.symbol, arrays.start, arrays.stop, arrays.touches_taken,
            dealt.offsets, dealt.bucket, dealt.conversions, dealt.nulls, dealt.value,
            loyal, first, last, weight, worth,
        )  # fmt: skip
        segment, bucket, source, target = np.nonzero(weight)
        earned = np.where(target == symbols + 1, worth[segment, bucket, source], 0.0)
        return ChainCounts(
            offsets=np.concatenate(([0], np.arange(symbols + 1))),
            window=np.arange(symbols, dtype=np.int32),
            source=source,
            target=target,
            bucket=bucket,
            segment=segment,
            weight=weight[segment, bucket, source, target],
            value=earned,
        )
    a, b = list_windows(arrays.start, arrays.stop, plan.order, first, last)
    state, representative = intern_slices(arrays.symbol, a, b)
    states = representative.size
    place = order_windows(arrays.symbol, a[representative], b[representative], plan.order)
    representative = representative[place]
    renumber = np.empty(states, np.int64)
    renumber[place] = np.arange(states)
    state = renumber[state]
    offsets, window = gather_slices(arrays.symbol, a[representative], b[representative])
    key, amount, value = list_transitions(
        state, states, arrays.start, arrays.stop, arrays.touches_taken,
        dealt.offsets, dealt.bucket, dealt.conversions, dealt.nulls, dealt.value,
        buckets, segments, loyal, first, last,
    )  # fmt: skip
    key, (amount, value) = add_by_key(key, amount, value)
    rest, segment = np.divmod(key, segments)
    rest, bucket = np.divmod(rest, buckets)
    source, target = np.divmod(rest, states + 2)
    return ChainCounts(offsets, window, source, target, bucket, segment, amount, value)


def merge_chains(a: ChainCounts, b: ChainCounts) -> ChainCounts:
    """Add two chains: number their states together, then add equal entries."""
    offsets, window, states_a, states_b = merge_slices((a.offsets, a.window), (b.offsets, b.window))
    n = offsets.size - 1
    place = order_windows(window, offsets[:-1], offsets[1:], int(np.diff(offsets).max(initial=1)))
    renumber = np.empty(n, np.int64)
    renumber[place] = np.arange(n)
    states_a, states_b = renumber[states_a], renumber[states_b]
    offsets, window = gather_slices(window, offsets[place], offsets[place + 1])
    ends = np.array([n, n + 1])
    number_a, number_b = np.concatenate((states_a, ends)), np.concatenate((states_b, ends))
    source = np.concatenate((number_a[a.source], number_b[b.source]))
    target = np.concatenate((number_a[a.target], number_b[b.target]))
    bucket = np.concatenate((a.bucket, b.bucket))
    segment = np.concatenate((a.segment, b.segment))
    segments = int(segment.max(initial=0)) + 1
    buckets = int(bucket.max(initial=0)) + 1
    key = ((source * (n + 2) + target) * buckets + bucket) * segments + segment
    key, (weight, value) = add_by_key(key, np.concatenate((a.weight, b.weight)), np.concatenate((a.value, b.value)))
    rest, segment = np.divmod(key, segments)
    rest, bucket = np.divmod(rest, buckets)
    source, target = np.divmod(rest, n + 2)
    return ChainCounts(offsets, window, source, target, bucket, segment, weight, value)


def merge_slices(
    a: tuple[NDArray[np.int64], NDArray[np.int32]], b: tuple[NDArray[np.int64], NDArray[np.int32]]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Number two lists of sequences together: (offsets, content, numbers of a's, numbers of b's)."""
    both = np.concatenate((a[1], b[1]))
    start = np.concatenate((a[0][:-1], b[0][:-1] + a[1].size))
    stop = np.concatenate((a[0][1:], b[0][1:] + a[1].size))
    number, representative = intern_slices(both, start, stop)
    offsets, content = gather_slices(both, start[representative], stop[representative])
    return offsets, content, number[: a[0].size - 1], number[a[0].size - 1 :]


# --- sets and paths ------------------------------------------------------------------------------------------------


@kernel
def list_sets(
    symbol: NDArray[np.int32],
    symbol_channel: NDArray[np.int32],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    channels: int,
    first: int,
    last: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Set of distinct channels of each journey, ascending: (offsets, channels)."""
    offsets = np.zeros(last - first + 1, np.int64)
    size = 0
    for j in range(first, last):
        size += min(stop[j] - start[j], channels)
    out = np.empty(size, np.int32)
    seen = np.full(channels, -1, np.int64)
    at = 0
    for j in range(first, last):
        begin = at
        for i in range(start[j], stop[j]):
            c = symbol_channel[symbol[i]]
            if seen[c] != j:
                seen[c] = j
                k = at
                while k > begin and out[k - 1] > c:
                    out[k] = out[k - 1]
                    k -= 1
                out[k] = c
                at += 1
        offsets[j - first + 1] = at
    return offsets, out[:at].copy()


def count_sets(arrays: JourneyArrays, dealt: Dealt, plan: Plan, first: int, last: int) -> SetCounts:
    """Conversions, nulls and value by exact set of channels, segment and bucket (models.md, section 4)."""
    offsets, channel = list_sets(
        arrays.symbol, arrays.symbol_channel, arrays.start, arrays.stop, arrays.channels, first, last
    )
    number, representative = intern_slices(channel, offsets[:-1], offsets[1:])
    set_offsets, members = gather_slices(channel, offsets[representative], offsets[representative + 1])
    entries = slice(dealt.offsets[first], dealt.offsets[last])
    per_journey = np.diff(dealt.offsets[first : last + 1])
    loyal = np.inf if plan.loyal_touches is None else plan.loyal_touches
    segment = np.repeat((arrays.touches_taken[first:last] > loyal).astype(np.int64), per_journey)
    return add_sets(
        set_offsets, members, np.repeat(number, per_journey), dealt.bucket[entries].astype(np.int64), segment,
        dealt.conversions[entries], dealt.nulls[entries], dealt.value[entries],
    )  # fmt: skip


def add_sets(
    offsets: NDArray[np.int64],
    members: NDArray[np.int32],
    set_of: NDArray[np.int64],
    bucket: NDArray[np.int64],
    segment: NDArray[np.int64],
    *weights: NDArray[np.float64],
) -> SetCounts:
    """Add rows of equal set, bucket and segment."""
    buckets = int(bucket.max(initial=0)) + 1
    key, (conversions, nulls, value) = add_by_key((set_of * buckets + bucket) * 2 + segment, *weights)
    rest, segment = np.divmod(key, 2)
    set_of, bucket = np.divmod(rest, buckets)
    return SetCounts(offsets, members, set_of, bucket, segment, conversions, nulls, value)


def merge_sets(a: SetCounts, b: SetCounts) -> SetCounts:
    """Add the counts of two set tables."""
    offsets, members, number_a, number_b = merge_slices((a.offsets, a.channel), (b.offsets, b.channel))
    return add_sets(
        offsets,
        members,
        np.concatenate((number_a[a.set_of], number_b[b.set_of])),
        np.concatenate((a.bucket, b.bucket)),
        np.concatenate((a.segment, b.segment)),
        np.concatenate((a.conversions, b.conversions)),
        np.concatenate((a.nulls, b.nulls)),
        np.concatenate((a.value, b.value)),
    )


def count_paths(journeys: Journeys) -> PathCounts:
    """Distinct paths of symbols with their conversions, nulls and value."""
    number, representative = intern_slices(journeys.symbol, journeys.start, journeys.stop)
    offsets, symbol = gather_slices(journeys.symbol, journeys.start[representative], journeys.stop[representative])
    n = representative.size
    return PathCounts(
        offsets=offsets,
        symbol=symbol,
        conversions=np.bincount(number, journeys.conversions, minlength=n).astype(np.float64),
        nulls=np.bincount(number, journeys.nulls, minlength=n).astype(np.float64),
        value=np.bincount(number, journeys.value, minlength=n).astype(np.float64),
    )


def merge_paths(parts: Sequence[PathCounts]) -> PathCounts:
    """Add the counts of equal paths."""
    symbol = np.concatenate([part.symbol for part in parts])
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    stop = np.cumsum(lengths)
    number, representative = intern_slices(symbol, stop - lengths, stop)
    offsets, content = gather_slices(symbol, (stop - lengths)[representative], stop[representative])
    n = representative.size

    def added(pick: Callable[[PathCounts], NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.bincount(number, np.concatenate([pick(part) for part in parts]), minlength=n).astype(np.float64)

    return PathCounts(
        offsets,
        content,
        added(lambda part: part.conversions),
        added(lambda part: part.nulls),
        added(lambda part: part.value),
    )
