"""Values and interaction indices of a game, as weights on its dividends.

Every index here gives coalition S the sum over T containing S of w(|S|, |T|) D(T). With s = |S|, t = |T| and order k:

    sv     1 / t                         s = 1    Shapley value (Shapley 1953)
    bv     2^(1 - t)                     s = 1    Banzhaf value (Banzhaf 1965)
    sii    1 / (t - s + 1)               s <= k   Shapley interaction index (Grabisch and Roubens 1999)
    bii    2^(s - t)                     s <= k   Banzhaf interaction index (Grabisch and Roubens 1999)
    k-sii  sum over r <= min(k - s, t - s) of B_r C(t - s, r) / (t - s - r + 1), B the Bernoulli numbers, B_1 = -1/2
                                         s <= k   n-Shapley values (Bordt and von Luxburg 2023)
    stii   1 for t = s < k; 1 / C(t, k) for s = k; else 0
                                         s <= k   Shapley-Taylor index (Sundararajan, Dhamdhere and Agarwal 2020)
    fsii   1 for t = s; (-1)^(k - s) s / (k + s) C(k, s) C(t - 1, k) / C(t + k - 1, k + s) for t > k; else 0
                                         s <= k   faithful Shapley index (Tsai, Yeh and Ravikumar 2023, theorem 19)

No index of a non-empty coalition depends on v(empty) other than through the dividends of non-empty coalitions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import comb
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import RequestError, not_one_of
from touchworth.games.dividends import facet_links
from touchworth.games.game import Game, coalition_names
from touchworth.kernels import kernel

__all__ = [
    "INDICES",
    "Index",
    "IndexValues",
    "index_table",
    "interaction_index",
    "is_complete",
    "size_weights",
    "truncation_notice",
]

Index = Literal["sv", "bv", "sii", "k-sii", "stii", "fsii", "bii"]
INDICES: tuple[Index, ...] = get_args(Index)

EXACT_SHARE = 1e-9
"""Share of the conversions outside the family that counts as none."""


@dataclass(frozen=True, slots=True)
class IndexValues:
    """One index of one game.

    Attributes
    ----------
    name, order
        The index and its order k; 1 for ``sv`` and ``bv``, whatever was asked.
    positions
        int64 (m,): coalitions of the family of size 1..k, in the order of the family.
    values
        float64 (m,): the index, in the units of v.
    """

    name: Index
    order: int
    positions: NDArray[np.int64]
    values: NDArray[np.float64]


def interaction_index(
    game: Game,
    dividends: NDArray[np.float64],
    name: str,
    order: int = 2,
    *,
    links: NDArray[np.int32] | None = None,
) -> IndexValues:
    """Index `name` of order `order` for every coalition of the family with at most `order` players.

    Parameters
    ----------
    game
        The family.
    dividends
        float64 (F,): D(S), of the reading of v(empty) that is wanted.
    name
        One of `INDICES`.
    order
        k, 1 or more; ``sv`` and ``bv`` are values of single players and ignore it. Beyond the largest coalition,
        ``k-sii``, ``stii`` and ``fsii`` are the dividends.
    links
        `facet_links` of the game, where they are at hand for several indices.

    Returns
    -------
    IndexValues
        Of the game whose dividends outside the family are 0 (see `truncation_notice`). Coalitions outside the family
        have the value 0 then.

    Raises
    ------
    RequestError
        Unknown name, order below 1 or as many dividends as there are no coalitions.
    """
    if name not in INDICES:
        raise not_one_of("the interaction index", name, INDICES)
    if order < 1:
        raise RequestError(f"the order of the interaction index is {order}; it must be 1 or more")
    if dividends.shape != game.size.shape:
        raise RequestError(
            f"there are {dividends.size:,} dividends for {game.size.size:,} coalitions; one each is needed"
        )
    k = 1 if name in ("sv", "bv") else order
    largest = int(game.size[-1]) if game.size.size else 0
    wanted = int(np.searchsorted(game.size, k, side="right"))
    weights = size_weights(name, k, largest)
    facets = facet_links(game) if links is None else links
    values = weigh_supersets(facets, game.size, dividends.astype(np.float64), weights, wanted)
    return IndexValues(name, k, np.arange(wanted), values)


def size_weights(name: Index, order: int, largest: int) -> NDArray[np.float64]:
    """w(s, t) of an index: float64 (min(order, largest) + 1, largest + 1); 0 for t < s and in row 0."""
    weight = _WEIGHTS[name](order)
    table = np.zeros((min(order, largest) + 1, largest + 1))
    for s in range(1, table.shape[0]):
        for t in range(s, largest + 1):
            # Exact fractions: the terms of k-sii alternate and grow.
            table[s, t] = float(weight(s, t))
    return table


@kernel
def weigh_supersets(
    facets: NDArray[np.int32],
    size: NDArray[np.int16],
    dividends: NDArray[np.float64],
    weights: NDArray[np.float64],
    wanted: int,
) -> NDArray[np.float64]:
    """Sum over T containing S of weights[|S|, |T|] * dividends[T] for the first `wanted` coalitions S.

    Let A_j(S) be the sum of D(T) over the T with j members more than S. Each of them is reached from S by adding any of
    the j first, hence A_j(S) = (sum over players i of A_(j-1)(S with i)) / j: every coalition hands its sum to
    its facets, once for each j, instead of to all of its 2^t subsets.
    """
    out = np.zeros(wanted)
    if wanted == 0:
        return out
    for p in range(wanted):
        out[p] = weights[size[p], size[p]] * dividends[p]
    largest = int(size[-1])
    above = dividends.copy()
    here = np.empty_like(above)
    for j in range(1, largest):
        here[:] = 0.0
        for p in range(size.size):
            members = size[p]
            # Only coalitions that can still have j - 1 members more hold a sum.
            if members > largest - j + 1:
                break
            if members > 1:
                share = above[p] / j
                for i in range(members):
                    here[facets[p, i]] += share
        for p in range(wanted):
            if size[p] + j > largest:
                break
            out[p] += weights[size[p], size[p] + j] * here[p]
        above, here = here, above
    return out


def index_table(game: Game, values: Sequence[IndexValues]) -> Any:
    """Arrow table of indices: coalition, size, index, order, value.

    Indices stand as given; within one by rising size, then falling value, then coalition.
    """
    import pyarrow as pa

    shown = max((found.positions.size for found in values), default=0)
    names = np.array(coalition_names(_first(game, shown)), dtype=object)
    # Rank of a name among all: lexsort takes numbers.
    place = np.empty(shown, np.int64)
    place[np.argsort(names, kind="stable")] = np.arange(shown)
    parts = []
    for found in values:
        at = found.positions
        order = np.lexsort((place[at], -found.values, game.size[at]))
        parts.append(
            pa.table(
                {
                    "coalition": pa.array(names[at][order], pa.string()),
                    "size": game.size[at][order],
                    "index": pa.array([found.name] * at.size, pa.string()),
                    "order": np.full(at.size, found.order, np.int16),
                    "value": found.values[order],
                }
            )
        )
    if parts:
        return pa.concat_tables(parts)
    types = {"coalition": pa.string(), "size": pa.int16(), "index": pa.string(), "order": pa.int16()}
    return pa.schema([*types.items(), ("value", pa.float64())]).empty_table()


def is_complete(game: Game) -> bool:
    """Whether the family holds every coalition of the players."""
    coalitions: int = game.size.size
    return bool(coalitions == 2 ** len(game.players) - 1)


def truncation_notice(game: Game, dividends: NDArray[np.float64] | None = None) -> str | None:
    """Sentence that says of which game the indices are, where coalitions are left out; None for a complete family.

    With the `dividends` of a conversions game the sentence gives the share of the conversions that is left out; where
    nothing is, there is no sentence.
    """
    if is_complete(game):
        return None
    missing = ""
    if game.kind == "conversions" and dividends is not None and game.total_s > 0:
        share = 1 - (game.empty_value + float(dividends.sum())) / game.total_s
        if share <= EXACT_SHARE:
            return None
        missing = f"; {share:.2%} of the conversions are of the coalitions left out"
    players = len(game.players)
    every = f"{2**players - 1:,}" if players <= 40 else f"2^{players} - 1"
    if game.kind == "table":
        cut = "those with a value"
    else:
        cut = f"at most {game.max_size:,} players"
        if game.kind != "markov":
            cut += f", support of at least {game.min_count:,}"
    return (
        f"interaction indices are those of a truncated game: dividends are known for {game.size.size:,} of {every} "
        f"coalitions ({cut}), all others count as 0{missing}"
    )


def _first(game: Game, count: int) -> Game:
    # Names are made for whole families; sizes stand one after another, so that a family cut at a size is one too.
    return replace(game, size=game.size[:count], item=game.item[:count], parent=game.parent[:count])


def _bernoulli(most: int) -> list[Fraction]:
    """Bernoulli numbers B_0..B_most with B_1 = -1/2."""
    numbers = [Fraction(1)]
    for m in range(1, most + 1):
        numbers.append(-sum((comb(m + 1, j) * numbers[j] for j in range(m)), Fraction(0)) / (m + 1))
    return numbers


Weight = Callable[[int, int], Fraction]


def _shapley(_: int) -> Weight:
    return lambda s, t: Fraction(1, t - s + 1)


def _banzhaf(_: int) -> Weight:
    return lambda s, t: Fraction(1, 2 ** (t - s))


def _k_shapley(k: int) -> Weight:
    bernoulli = _bernoulli(k)

    def weight(s: int, t: int) -> Fraction:
        if t <= k:
            return Fraction(int(s == t))
        more = t - s
        terms = (bernoulli[r] * comb(more, r) / (more - r + 1) for r in range(k - s + 1))
        return sum(terms, Fraction(0))

    return weight


def _shapley_taylor(k: int) -> Weight:
    return lambda s, t: Fraction(int(s == t)) if s < k else Fraction(1, comb(t, k))


def _faithful(k: int) -> Weight:
    def weight(s: int, t: int) -> Fraction:
        if t <= k:
            return Fraction(int(s == t))
        return Fraction((-1) ** (k - s) * s * comb(k, s) * comb(t - 1, k), (k + s) * comb(t + k - 1, k + s))

    return weight


_WEIGHTS: dict[Index, Callable[[int], Weight]] = {
    "sv": _shapley,
    "bv": _banzhaf,
    "sii": _shapley,
    "k-sii": _k_shapley,
    "stii": _shapley_taylor,
    "fsii": _faithful,
    "bii": _banzhaf,
}
