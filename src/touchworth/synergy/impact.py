"""What synergies mean in conversions and money, and what reaching more of the same visitors would bring."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from touchworth.errors import DataError, RequestError
from touchworth.games.game import DELIMITER, Game, find_coalition
from touchworth.synergy.inference import normal_quantile

__all__ = ["Impact", "WhatIf", "impact_of", "reach_more"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Impact:
    """Per coalition (F,), nan where undefined; support is held fixed.

    Attributes
    ----------
    conversions, value
        Synergy on the rate scale times the support, in conversions and in money.
    low, high
        Interval of `conversions`, or of `value` where there are no conversions.
    """

    conversions: Floats
    value: Floats
    low: Floats
    high: Floats


def impact_of(
    n: Floats,
    *,
    rate: tuple[Floats, Floats, Floats] | None,
    money: tuple[Floats, Floats, Floats] | None,
    order_value: Floats | None,
) -> Impact:
    """Incremental conversions and value of every coalition.

    Parameters
    ----------
    n
        (F,): support.
    rate
        Synergy of the conversion rate and its interval; None where nothing tells who converted.
    money
        The same of a real target; its synergy times the support is the incremental value.
    order_value
        (F,): mean value of the converted sessions of S, where the target is the conversion.
    """
    none = np.full(n.size, np.nan)
    first = rate or money or (none, none, none)
    conversions = none if rate is None else rate[0] * n
    value = none
    if money is not None:
        value = money[0] * n
    elif order_value is not None:
        value = conversions * order_value
    return Impact(conversions, value, first[1] * n, first[2] * n)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Expected extra conversions (or value, for a real target) if more sessions reached one more player.

    Attributes
    ----------
    coalition, added
        S, and the player j that more sessions would reach.
    sessions
        Sessions that would reach j besides: the share asked for of those that hold S without j.
    rate_with, rate_without
        v(S), and v(S without j) over all sessions that hold S without j.
    extra, low, high
        Sessions times the difference of the rates, with its interval.
    """

    coalition: str
    added: str
    sessions: float
    rate_with: float
    rate_without: float
    extra: float
    low: float
    high: float


def reach_more(game: Game, coalition: tuple[str, ...], added: str, share: float, level: float = 0.95) -> WhatIf:
    """`share` more of the sessions that hold S minus {j} also reach j: what the difference of v says of them.

    The interval is that of v(S) - v(S without j), whose sessions are nested. It speaks of visitors like those who
    came: who was not drawn to j by themselves may convert less.

    Raises
    ------
    RequestError
        `added` is not in the coalition, or the coalition is not retained, or `share` is not within (0, 1].
    DataError
        All sessions that hold the others hold j already, or fewer are left than would be reached.
    """
    if added not in coalition:
        raise RequestError(f"{added!r} is not in the coalition {DELIMITER.join(coalition)!r}; name one of its players")
    if not 0 < share <= 1:
        raise RequestError(f"the share of sessions is {share:g}; it must be more than 0 and at most 1")
    position = find_coalition(game, coalition)
    if position is None:
        raise RequestError(
            f"the coalition {DELIMITER.join(coalition)!r} is not in the result; lower the minimum support"
        )
    rest = tuple(name for name in coalition if name != added)
    n, s, q = _sums(game, position)
    other = find_coalition(game, rest) if rest else None
    wide_n, wide_s, wide_q = (game.total_n, game.total_s, game.total_q) if other is None else _sums(game, other)
    left = wide_n - n
    sessions = share * wide_n
    if left <= 0 or sessions > left * (1 + 1e-9):
        raise DataError(
            f"{left:,.0f} of {wide_n:,.0f} sessions that hold the others do not hold {added!r} yet, fewer than "
            f"{share:.0%} of them; ask for a smaller share"
        )
    with_rate, without_rate = s / n, wide_s / wide_n
    # Influence of a session on the difference: h y - g, with one h and g for those that hold j and one for the others.
    h, g = 1 / n - 1 / wide_n, with_rate / n - without_rate / wide_n
    variance = q * h**2 - 2 * s * h * g + n * g**2
    variance += ((wide_q - q) - 2 * (wide_s - s) * without_rate + left * without_rate**2) / wide_n**2
    difference = with_rate - without_rate
    reach = normal_quantile(level) * float(np.sqrt(max(variance, 0.0)))
    return WhatIf(
        coalition=DELIMITER.join(sorted(coalition)),
        added=added,
        sessions=sessions,
        rate_with=with_rate,
        rate_without=without_rate,
        extra=sessions * difference,
        low=sessions * (difference - reach),
        high=sessions * (difference + reach),
    )


def _sums(game: Game, position: int) -> tuple[float, float, float]:
    q = game.s if game.q is None else game.q
    return float(game.n[position]), float(game.s[position]), float(q[position])
