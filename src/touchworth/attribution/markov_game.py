"""The game that a Markov chain plays: v(S) = P(conversion | only the channels of S act) (models.md, section 3).

A journey that would enter a state of any other channel goes to (null). The dividend of T is then the probability that
the channels visited are exactly T and the journey converts, so it is never negative. It is computed as such, by
following the set of channels visited so far; v adds the dividends up, and no difference is ever taken.

Its Shapley value is not the credit by removal effects: the removal effect of c is 1 - v(all but c) / v(all).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
from numpy.typing import NDArray

from touchworth.attribution.attribute import last_channels
from touchworth.attribution.markov import DENSE_STATES, Chain, make_chain, solve_removal
from touchworth.attribution.uncertainty import jackknife_error
from touchworth.errors import RequestError
from touchworth.games.dividends import facet_links, zeta
from touchworth.games.game import Game
from touchworth.journeys.build import Journeys
from touchworth.journeys.counts import Plan
from touchworth.journeys.local import deal, reduce_journeys
from touchworth.kernels import kernel

__all__ = ["MarkovGame", "MarkovShapley", "game_of_journeys", "joint_removal", "markov_game", "markov_shapley"]

MAX_COALITIONS = 2**20 - 1
MAX_WORK = 2e10
"""Multiplications, some 20 s: order 1 stays far below at 20 channels, order 2 gets there at 16."""
MAX_REPLICATES = 20_000_000
"""Dividends of all jackknife replicates, 160 MB."""
SAMPLES_A_SIZE = 5
PERMUTATION_PAIRS = 1000
FEWEST_PAIRS = 20


@dataclass(frozen=True, slots=True)
class MarkovGame:
    """The game of a chain, with its dividends.

    Attributes
    ----------
    game
        Kind ``markov``: all coalitions of at most ``max_size`` channels and their probabilities v(S).
    dividends
        float64 (F,): probability that the channels visited are exactly S and the journey converts.
    std_error
        float64 (F,): of the dividends, by the jackknife over users; None for a chain alone, and where it was not wanted
        or is not known.
    why_not
        Empty, or the reason why there are no errors.
    """

    game: Game
    dividends: NDArray[np.float64]
    std_error: NDArray[np.float64] | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class MarkovShapley:
    """Shapley value of the game of a chain.

    Attributes
    ----------
    phi
        float64 (channels,): probability of conversion that each channel is given; they add up to P(conversion) less
        that of journeys without a touch.
    sampling_error
        float64 (channels,): standard error of permutation sampling; 0 where the value is exact.
    permutations
        Permutations drawn; 0 where the value is exact.
    """

    phi: NDArray[np.float64]
    sampling_error: NDArray[np.float64]
    permutations: int


def joint_removal(chain: Chain, channels: Iterable[int]) -> tuple[float, float]:
    """Removal effect of several channels at once: RE(A) = 1 - P(without A) / P = 1 - v(all but A) / v(all).

    A journey enters the states that hold any channel of A first by a touch of A, so that the block B of states that end
    in A suffices: RE(A) P = a_B N_BB^-1 b_B, as for a single channel.

    Parameters
    ----------
    chain
        Of any order.
    channels
        Indices of A.

    Returns
    -------
    The removal effects of conversion and of value, as shares; 0 where the base is 0.

    Raises
    ------
    RequestError
        An index that is no channel of the chain.
    """
    removed = np.array(sorted(set(channels)), np.int64)
    if removed.size and not 0 <= removed[0] <= removed[-1] < chain.channels:
        raise RequestError(
            f"the channels to remove are {removed.tolist()}; they must be indices of the chain's {chain.channels} "
            "channels"
        )
    # All of A together are one channel, the others none.
    block = np.where(np.isin(chain.block, removed), 0, -1)
    removal = solve_removal(replace(chain, block=block, channels=1))
    return float(removal.effect[0]), float(removal.effect_value[0])


def markov_game(chain: Chain, names: Sequence[str], *, max_size: int | None = None) -> MarkovGame:
    """Game of a chain: the value and the dividend of every coalition of at most `max_size` channels.

    Parameters
    ----------
    chain
        Of any order; up to 20 channels at order 1 and about 15 at order 2, more with a small `max_size`.
    names
        Of the channels, in the order of their indices.
    max_size
        Largest coalition; all if None.

    Raises
    ------
    RequestError
        More coalitions or more work than is done exactly; `max_size` below 1.
    """
    channels = chain.channels
    if len(names) != channels:
        raise RequestError(f"there are {len(names)} names for {channels} channels; one each is needed")
    largest = channels if max_size is None else min(max_size, channels)
    if largest < 1 and channels:
        raise RequestError(f"the largest coalition size is {max_size}; it must be 1 or more")
    refusal = _refusal(chain, largest)
    if refusal:
        raise RequestError(f"{refusal}; set max_size to less than {largest} or sample the Shapley values only")
    game = _complete_family(tuple(names), largest)
    links = facet_links(game)
    dividends = _dividends(chain, game, links)
    empty = float(chain.convert[0])
    values = zeta(game, links, dividends, empty)
    return MarkovGame(replace(game, values=values, empty_value=empty), dividends)


def game_of_journeys(
    journeys: Journeys,
    *,
    order: int = 1,
    max_size: int | None = None,
    buckets: int = 100,
    seed: int = 0,
    threads: int = 2,
) -> MarkovGame:
    """Game of the Markov chain of `order` fitted to journeys, with the errors of its dividends.

    Parameters
    ----------
    journeys
        Of one group; their channels are the players.
    order
        Touches that a state of the chain remembers.
    max_size
        Largest coalition; all if None.
    buckets
        Buckets of users (of journeys for a path table) for the jackknife, as in `attribute`; 0: no errors.
    seed
        Of the dealing of path tables.
    threads
        Threads to count with.

    Raises
    ------
    RequestError
        As `markov_game`; an order below 1.
    """
    if order < 1:
        raise RequestError(f"--order is {order}; it must be 1 or more")
    dealt = deal(journeys, max(buckets, 1), seed)
    counts = reduce_journeys(journeys, dealt, Plan(order=order), threads).chain
    assert counts is not None
    block = last_channels(counts, journeys.symbol_channel)

    def chain_of(kept: NDArray[np.bool_]) -> Chain:
        return make_chain(
            counts.states, counts.source[kept], counts.target[kept], counts.weight[kept], counts.value[kept],
            block, len(journeys.channels),
        )  # fmt: skip

    chain = chain_of(np.ones(counts.bucket.size, np.bool_))
    found = markov_game(chain, journeys.channels, max_size=max_size)
    if buckets < 2:
        return found
    coalitions = found.game.size.size
    if dealt.why_not:
        return replace(found, why_not=dealt.why_not)
    used = np.flatnonzero(dealt.units > 0)
    if used.size * coalitions > MAX_REPLICATES or used.size * _predict_work(chain, found.game.max_size) > MAX_WORK:
        return replace(found, why_not=f"{coalitions:,} coalitions are too many to solve for again without each bucket")
    replicates = np.zeros((dealt.units.size, coalitions))
    links = facet_links(found.game)
    for b in used:
        replicates[b] = _dividends(chain_of(counts.bucket != b), found.game, links)
    return replace(found, std_error=jackknife_error(replicates, dealt.units))


def markov_shapley(chain: Chain, *, pairs: int | None = None, seed: int = 0) -> MarkovShapley:
    """Shapley value of the game of a chain: exact from its dividends, or sampled where that is too much work.

    Parameters
    ----------
    chain
        Of any order.
    pairs
        Pairs of permutations (each and its reverse) to draw; if None the value is exact where it can be, else from
        1,000 pairs, fewer for chains of many states.
    seed
        Of the permutations.

    Raises
    ------
    RequestError
        A chain of more than 1,200 states that cannot be solved exactly; fewer than 2 pairs.
    """
    if pairs is None and _refusal(chain, chain.channels) is None:
        found = markov_game(chain, [str(channel) for channel in range(chain.channels)])
        game = found.game
        phi = np.zeros(chain.channels)
        share_dividends(game.parent, game.item, game.size, found.dividends, phi)
        return MarkovShapley(phi, np.zeros(chain.channels), 0)
    if chain.states > DENSE_STATES:
        raise RequestError(
            f"the chain has {chain.states:,} states; Shapley values are sampled on chains of at most {DENSE_STATES:,} "
            "states: lower the order"
        )
    if pairs is None:
        pairs = int(np.clip(MAX_WORK / (2 / 3 * chain.states**3 * 2), FEWEST_PAIRS, PERMUTATION_PAIRS))
    if pairs < 2:
        raise RequestError(f"the number of pairs of permutations is {pairs}; it must be 2 or more")
    return _sample(chain, pairs, seed)


def _dividends(chain: Chain, game: Game, links: NDArray[np.int32]) -> NDArray[np.float64]:
    return visit_exactly(
        chain.offsets, chain.target, chain.probability, chain.convert, chain.block, chain.channels,
        game.parent, game.item, game.size, links,
    )  # fmt: skip


def _refusal(chain: Chain, largest: int) -> str | None:
    """Why the game is too much to compute exactly, or None."""
    coalitions = sum(comb(chain.channels, size) for size in range(1, largest + 1))
    what = f"the Markov game of {chain.channels} channels"
    if coalitions > MAX_COALITIONS:
        return f"{what} has {coalitions:,} coalitions of up to {largest} channels, more than {MAX_COALITIONS:,}"
    work = _predict_work(chain, largest)
    if work > MAX_WORK:
        return f"{what} needs about {work:.0e} multiplications for {chain.states:,} states, more than {MAX_WORK:.0e}"
    return None


def _predict_work(chain: Chain, largest: int) -> float:
    """Multiplications of all eliminations, from the states that a few random coalitions of each size reach."""
    stream = np.random.default_rng(0)
    work = 0.0
    for size in range(1, largest + 1):
        cubes = 0.0
        for _ in range(SAMPLES_A_SIZE):
            inside = np.zeros(chain.channels, np.bool_)
            inside[stream.choice(chain.channels, size, replace=False)] = True
            cubes += float(count_reached(chain.offsets, chain.target, chain.block, inside)) ** 3
        work += comb(chain.channels, size) * cubes / SAMPLES_A_SIZE / 3
    return work


def _complete_family(names: tuple[str, ...], max_size: int) -> Game:
    """All coalitions of at most `max_size` players; values follow."""
    players = len(names)
    coalitions = sum(comb(players, size) for size in range(1, max_size + 1))
    parent, item, child_start, child_count = (np.zeros(coalitions, np.int32) for _ in range(4))
    size = np.zeros(coalitions, np.int16)
    list_family(players, max_size, parent, item, child_start, child_count, size)
    none = np.zeros(coalitions)
    return Game(
        players=names,
        parent=parent,
        item=item,
        child_start=child_start,
        child_count=child_count,
        rank=np.arange(players, dtype=np.int32),
        size=size,
        n=none,
        s=none,
        q=None,
        total_n=0.0,
        total_s=0.0,
        total_q=0.0,
        binary=False,
        max_size=max_size,
        min_support=0.0,
        min_count=0,
        kind="markov",
        values=none,
    )


@kernel
def list_family(
    players: int,
    max_size: int,
    parent: NDArray[np.int32],
    item: NDArray[np.int32],
    child_start: NDArray[np.int32],
    child_count: NDArray[np.int32],
    size: NDArray[np.int16],
) -> None:
    """Write the trie of all coalitions of at most `max_size` players."""
    for player in range(players):
        parent[player], item[player], size[player] = -1, player, 1
    end = players
    for p in range(parent.size):
        if size[p] == max_size:
            break
        child_count[p] = players - 1 - item[p]
        if child_count[p] > 0:
            child_start[p] = end
        for player in range(item[p] + 1, players):
            parent[end], item[end], size[end] = p, player, size[p] + 1
            end += 1


@kernel
def count_reached(
    offsets: NDArray[np.int64], target: NDArray[np.int64], block: NDArray[np.int64], inside: NDArray[np.bool_]
) -> int:
    """Number of states that journeys reach by touches of the channels `inside` only, (start) included."""
    seen = np.zeros(block.size, np.bool_)
    reached = np.empty(block.size, np.int64)
    reached[0] = 0
    seen[0] = True
    count = 1
    done = 0
    while done < count:
        s = reached[done]
        done += 1
        for z in range(offsets[s], offsets[s + 1]):
            t = target[z]
            if not seen[t] and inside[block[t]]:
                seen[t] = True
                reached[count] = t
                count += 1
    return count


@kernel
def visit_exactly(
    offsets: NDArray[np.int64],
    target: NDArray[np.int64],
    probability: NDArray[np.float64],
    convert: NDArray[np.float64],
    block: NDArray[np.int64],
    channels: int,
    parent: NDArray[np.int32],
    item: NDArray[np.int32],
    size: NDArray[np.int16],
    links: NDArray[np.int32],
) -> NDArray[np.float64]:
    """P(the channels visited are exactly T, and conversion) for every coalition T of a complete family.

    x_T(w) is the expected number of visits to state w while the channels visited so far are exactly T. A journey comes
    into T by its first touch of some c in T, from T without c; within T it moves by touches of T:
    x_T (I - Q_TT) = sum over c of x_(T without c) Q to states that end in c. Only states that are reached are solved
    for, and visits are kept for one size at a time. All terms are non-negative and I - Q_TT is an M-matrix, so that
    elimination needs no pivots and adds only.
    """
    out = np.zeros(size.size)
    inside = np.zeros(channels, np.bool_)
    place = np.full(block.size, -1, np.int64)
    entry = np.zeros(block.size)
    local = np.empty(block.size, np.int64)
    members = np.empty(links.shape[1], np.int64)
    # Visits of the coalitions of the size before (old) and of this one (new), one after another.
    starts = np.zeros(size.size + 1, np.int64)
    old_state, old_visits = np.empty(0, np.int64), np.empty(0)
    new_state, new_visits = np.empty(1024, np.int64), np.empty(1024)
    old_base, new_base, used = 0, 0, 0
    matrix = np.empty((1, 1))
    for p in range(size.size):
        if p > 0 and size[p] != size[p - 1]:
            old_state, old_visits, old_base = new_state[:used].copy(), new_visits[:used].copy(), new_base
            new_base += used
            used = 0
        starts[p] = new_base + used
        count = size[p]
        at = p
        for b in range(count - 1, -1, -1):
            members[b] = item[at]
            inside[item[at]] = True
            at = parent[at]
        reached = 0
        for b in range(count):
            facet = links[p, b]
            first = 0 if facet < 0 else starts[facet] - old_base
            last = 1 if facet < 0 else starts[facet + 1] - old_base
            for i in range(first, last):
                # From (start), which is visited once, or from where the facet's journeys are.
                s = 0 if facet < 0 else old_state[i]
                x = 1.0 if facet < 0 else old_visits[i]
                for z in range(offsets[s], offsets[s + 1]):
                    t = target[z]
                    if block[t] == members[b]:
                        entry[t] += x * probability[z]
                        if place[t] < 0:
                            place[t] = reached
                            local[reached] = t
                            reached += 1
        done = 0
        while done < reached:
            s = local[done]
            done += 1
            for z in range(offsets[s], offsets[s + 1]):
                t = target[z]
                if inside[block[t]] and place[t] < 0:
                    place[t] = reached
                    local[reached] = t
                    reached += 1
        if matrix.shape[0] < reached:
            matrix = np.empty((reached, reached))
        while used + reached > new_state.size:
            longer, more = np.empty(2 * new_state.size, np.int64), np.empty(2 * new_state.size)
            longer[:used], more[:used] = new_state[:used], new_visits[:used]
            new_state, new_visits = longer, more
        x_of = new_visits[used : used + reached]
        for i in range(reached):
            x_of[i] = entry[local[i]]
            for j in range(reached):
                matrix[i, j] = 0.0
        for i in range(reached):
            matrix[i, i] += 1.0
            for z in range(offsets[local[i]], offsets[local[i] + 1]):
                j = place[target[z]]
                if j >= 0:
                    matrix[j, i] -= probability[z]
        solve_m_matrix(matrix, x_of)
        for i in range(reached):
            new_state[used + i] = local[i]
            out[p] += x_of[i] * convert[local[i]]
            place[local[i]] = -1
            entry[local[i]] = 0.0
        used += reached
        starts[p + 1] = new_base + used
        for b in range(count):
            inside[members[b]] = False
    return out


@kernel
def solve_m_matrix(matrix: NDArray[np.float64], right: NDArray[np.float64]) -> None:
    """Solve in place by elimination without pivots; `matrix` may be larger than `right` and is spent."""
    n = right.size
    for j in range(n):
        for i in range(j + 1, n):
            if matrix[i, j] != 0.0:
                factor = matrix[i, j] / matrix[j, j]
                for k in range(j + 1, n):
                    matrix[i, k] -= factor * matrix[j, k]
                right[i] -= factor * right[j]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]


@kernel
def share_dividends(
    parent: NDArray[np.int32],
    item: NDArray[np.int32],
    size: NDArray[np.int16],
    dividends: NDArray[np.float64],
    phi: NDArray[np.float64],
) -> None:
    """Shapley value: each dividend in equal parts to the members of its coalition."""
    for p in range(size.size):
        part = dividends[p] / size[p]
        at = p
        while at >= 0:
            phi[item[at]] += part
            at = parent[at]


@kernel
def arrival_gains(
    step: NDArray[np.float64], convert: NDArray[np.float64], block: NDArray[np.int64], gains: NDArray[np.float64]
) -> None:
    """gains[c] += what v gains when channel c joins those before it, for states in the order of arrival.

    One elimination I - Q = L U serves all prefixes, whose matrices are its leading blocks: with U' y = e_start and
    L z = r, P(conversion) with the first m states is the sum of y_i z_i over i < m. States that end in a channel that
    has arrived but hold one that has not cannot be reached and add nothing. `step` is spent.
    """
    n = block.size
    y, z = np.zeros(n), convert.copy()
    y[0] = 1.0
    for i in range(n):
        for k in range(n):
            step[i, k] = (1.0 if i == k else 0.0) - step[i, k]
    for j in range(n):
        # Row j is final here: y_j is divided by its pivot and goes on to the columns behind.
        y[j] /= step[j, j]
        for k in range(j + 1, n):
            y[k] -= step[j, k] * y[j]
        for i in range(j + 1, n):
            if step[i, j] != 0.0:
                factor = step[i, j] / step[j, j]
                for k in range(j + 1, n):
                    step[i, k] -= factor * step[j, k]
                z[i] -= factor * z[j]
    for i in range(n):
        if block[i] >= 0:
            gains[block[i]] += y[i] * z[i]


def _sample(chain: Chain, pairs: int, seed: int) -> MarkovShapley:
    """Antithetic permutations (each and its reverse)."""
    stream = np.random.default_rng(seed)
    n, channels = chain.states, chain.channels
    step = np.zeros((n, n))
    step[np.repeat(np.arange(n), np.diff(chain.offsets)), chain.target] = chain.probability
    total, squares = np.zeros(channels), np.zeros(channels)
    for _ in range(pairs):
        forward = stream.permutation(channels)
        gains = np.zeros(channels)
        for arrival in (forward, forward[::-1]):
            rank = np.empty(channels, np.int64)
            rank[arrival] = np.arange(channels)
            # (start) stays first.
            order = np.argsort(np.where(chain.block < 0, -1, rank[chain.block]), kind="stable")
            arrival_gains(step[np.ix_(order, order)], chain.convert[order], chain.block[order], gains)
        total += gains / 2
        squares += (gains / 2) ** 2
    mean = total / pairs
    variance = np.maximum(squares / pairs - mean**2, 0.0) / (pairs - 1)
    return MarkovShapley(mean, np.sqrt(variance), 2 * pairs)
