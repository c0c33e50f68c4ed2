"""Dividends, synergies and contrasts of every coalition with their standard errors, in one pass over its subsets.

All three are linear in ratios of counts over overlapping sets of sessions, so that their sampling variance is closed
(synergy.md, section 3). With h_A and g_A the sums over T in A of sign_T g'(v_T) / n_T, without and with the factor v_T,
and m_A, e_A, q_A the sessions, the sum of y and of y squared in the exact cell A (those whose members of S are A),

    var D(S) = sum over A of q_A h_A^2 - 2 e_A h_A g_A + m_A g_A^2,

which for binary y is the sum e_A (h_A - g_A)^2 + (m_A - e_A) g_A^2 of terms that are never negative. Subset sums and
exact cells take k 2^k steps for a coalition of k players.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from touchworth.games.game import Game
from touchworth.kernels import kernel
from touchworth.synergy.threads import Progress, run_threaded

__all__ = ["LOG_ODDS", "LOG_RATE", "RATE", "SCALES", "Scale", "Statistics", "dividend_statistics", "moved", "unmoved"]

Scale = Literal["rate", "log_rate", "log_odds"]
RATE, LOG_RATE, LOG_ODDS = range(3)
SCALES: dict[str, int] = {"rate": RATE, "log_rate": LOG_RATE, "log_odds": LOG_ODDS}

# Rows of the kernel's result.
DIVIDEND, DIVIDEND_ERROR, SYNERGY, ERROR, REST, ROOT, CONTRAST, CONTRAST_ERROR, CELL = range(9)
OUTPUTS = 9

CHUNK = 8192
"""Coalitions in one call of the kernel, a few milliseconds: threads share the load and progress moves."""

EMPTY_CELL = 1e-12
"""Share of the sessions below which an exact cell is empty: fractional weights leave rounding where nobody is."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Per coalition (F,), float64; nan where it is undefined.

    Attributes
    ----------
    dividend, dividend_std_error
        With v(empty) = 0.
    synergy, std_error
        With v(empty) = the mean over all sessions.
    rest_std_error
        Standard error of the synergy as if v(S) itself were known: what MOVER adds to the interval of v(S).
    root
        Signed root of the likelihood ratio for v(S) against the value that makes the synergy 0, times the share of
        v(S) in the error; nan on the rate scale.
    contrast, contrast_std_error
        Saturated interaction of the coalition's own members; nan where an exact cell has no sessions.
    cell_evidence
        Smallest over the exact cells of min(conversions, others); for real y of the cell's sessions.
    """

    dividend: NDArray[np.float64]
    dividend_std_error: NDArray[np.float64]
    synergy: NDArray[np.float64]
    std_error: NDArray[np.float64]
    rest_std_error: NDArray[np.float64]
    root: NDArray[np.float64]
    contrast: NDArray[np.float64]
    contrast_std_error: NDArray[np.float64]
    cell_evidence: NDArray[np.float64]


def moved(v: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """g(v): v itself, log v or log odds of v; -inf and inf at the ends."""
    if scale == RATE:
        return v
    with np.errstate(divide="ignore"):
        moved: NDArray[np.float64] = np.log(v) if scale == LOG_RATE else np.log(v) - np.log1p(-v)
    return moved


def unmoved(x: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """The inverse of `moved`."""
    if scale == RATE:
        return x
    with np.errstate(over="ignore"):
        back: NDArray[np.float64] = np.exp(x) if scale == LOG_RATE else 1 / (1 + np.exp(-x))
    return back


def dividend_statistics(
    game: Game,
    links: NDArray[np.int32],
    scale: Scale = "rate",
    *,
    by_bucket: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    bucket_totals: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Statistics:
    """Statistics of every coalition of a game of kind ``rate``.

    Parameters
    ----------
    game, links
        The family with its counts, and `facet_links` of it.
    scale
        Dividends of v, log v or log odds of v; binary y only for the last two.
    by_bucket, bucket_totals
        n and s by bucket of users: float64 (F, G) each, and (G,) over all sessions. Given, the standard errors are
        clustered: G / (G - 1) times the sum over buckets of the squared sum of influences.
    threads, progress
        As in `mine`.
    """
    family = game.size.size
    out = np.empty((OUTPUTS, family))
    q = game.s if game.q is None else game.q
    totals = np.array([game.total_n, game.total_s, game.total_q])
    code = SCALES[scale]
    none = np.zeros((family, 0))
    n_bucket, s_bucket = by_bucket or (none, none)
    n_total, s_total = bucket_totals or (np.zeros(0), np.zeros(0))
    calls: list[Callable[[], None]] = [
        partial(
            _coalition_statistics,
            links, game.size, game.n, game.s, q, totals, code, game.binary,
            n_bucket, s_bucket, n_total, s_total, first, min(first + CHUNK, family), out,
        )
        for first in range(0, family, CHUNK)
    ]  # fmt: skip
    run_threaded(calls, threads, progress)
    return Statistics(
        dividend=out[DIVIDEND],
        dividend_std_error=out[DIVIDEND_ERROR],
        synergy=out[SYNERGY],
        std_error=out[ERROR],
        rest_std_error=out[REST],
        root=out[ROOT],
        contrast=out[CONTRAST],
        contrast_std_error=out[CONTRAST_ERROR],
        cell_evidence=out[CELL],
    )


@kernel
def _scaled(v: float, n: float, scale: int) -> tuple[float, float]:
    """g(v) and g'(v); a rate of 0 counts as half a conversion, on log odds a rate of 1 as half a miss."""
    if scale == RATE:
        return v, 1.0
    if v <= 0.0:
        v = 0.5 / n
    if scale == LOG_RATE:
        return np.log(v), 1.0 / v
    if v >= 1.0:
        v = (n - 0.5) / n
    return np.log(v / (1.0 - v)), 1.0 / (v * (1.0 - v))


@kernel
def _cell_variance(m: float, e: float, q: float, h: float, g: float, binary: bool) -> float:
    """What one exact cell adds to the variance."""
    if binary:
        return e * (h - g) ** 2 + (m - e) * g * g
    return q * h * h - 2.0 * e * h * g + m * g * g


@kernel
def _subset_sums(x: NDArray[np.float64], k: int) -> None:
    for b in range(k):
        step = 1 << b
        for start in range(0, 1 << k, 2 * step):
            for mask in range(start, start + step):
                x[mask + step] += x[mask]


@kernel
def _exact_cells(x: NDArray[np.float64], k: int) -> None:
    """Sums over all supersets -> sums over the exact cell."""
    for b in range(k):
        step = 1 << b
        for start in range(0, 1 << k, 2 * step):
            for mask in range(start, start + step):
                x[mask] -= x[mask + step]


@kernel
def _subset_differences(x: NDArray[np.float64], k: int) -> None:
    for b in range(k):
        step = 1 << b
        for start in range(0, 1 << k, 2 * step):
            for mask in range(start, start + step):
                x[mask + step] -= x[mask]


@kernel
def _own_term(
    m: float, q: float, h: float, g: float, own_n: float, v: float, slope: float, binary: bool
) -> float:  # fmt: skip
    """The variance of the cell of all of S if v(S) were v: h, g without S's own term; conversions m v."""
    own = slope / own_n
    return _cell_variance(m, m * v, q, h + own, g + own * v, binary)


@kernel
def _coalition_statistics(
    links: NDArray[np.int32],
    size: NDArray[np.int16],
    n: NDArray[np.float64],
    s: NDArray[np.float64],
    q: NDArray[np.float64],
    totals: NDArray[np.float64],
    scale: int,
    binary: bool,
    n_bucket: NDArray[np.float64],
    s_bucket: NDArray[np.float64],
    n_total: NDArray[np.float64],
    s_total: NDArray[np.float64],
    first: int,
    last: int,
    out: NDArray[np.float64],
) -> None:
    """Fill columns first..last-1 of `out`; masks are subsets of a coalition, bit b its b-th member by rank."""
    masks = 1 << links.shape[1]
    gap, sign = np.zeros(masks, np.int64), np.ones(masks)
    for mask in range(1, masks):
        gap[mask] = gap[mask >> 1] + 1 if mask & 1 else 0
        sign[mask] = -sign[mask & (mask - 1)]
    at = np.empty(masks, np.int64)
    m, e, qq, h, g = np.empty(masks), np.empty(masks), np.empty(masks), np.empty(masks), np.empty(masks)
    influence, contrast_influence = np.empty(n_total.size), np.empty(n_total.size)
    clustered = n_total.size > 1
    mean = totals[1] / totals[0]
    empty_value, empty_slope = _scaled(mean, totals[0], scale)
    for i in range(first, last):
        k = size[i]
        full = (1 << k) - 1
        at[full], m[full], e[full], qq[full] = i, n[i], s[i], q[i]
        for mask in range(full - 1, 0, -1):
            # All members below the lowest missing one are there, so it is the gap-th of the larger subset.
            b = gap[mask]
            place = links[at[mask | (1 << b)], b]
            at[mask], m[mask], e[mask], qq[mask] = place, n[place], s[place], q[place]
        at[0], m[0], e[0], qq[0] = -1, totals[0], totals[1], totals[2]
        dividend = 0.0
        for mask in range(1, full + 1):
            v = e[mask] / m[mask]
            value, slope = _scaled(v, m[mask], scale)
            dividend += sign[full ^ mask] * value
            h[mask] = sign[full ^ mask] * slope / m[mask]
            g[mask] = h[mask] * v
        h[0] = g[0] = 0.0
        empty_h = sign[full] * empty_slope / totals[0]
        empty_g = empty_h * mean
        synergy = dividend + sign[full] * empty_value
        own_n, own_v = n[i], s[i] / n[i]
        own_h, own_g = h[full], g[full]
        if clustered:
            _influences(at, h, g, s_bucket, n_bucket, full, influence)
        _subset_sums(h, k)
        _subset_sums(g, k)
        _exact_cells(m, k)
        _exact_cells(e, k)
        if not binary:
            _exact_cells(qq, k)
        below = below_dividend = 0.0  # all cells but that of S itself
        for mask in range(full):
            below += _cell_variance(m[mask], e[mask], qq[mask], h[mask] + empty_h, g[mask] + empty_g, binary)
            below_dividend += _cell_variance(m[mask], e[mask], qq[mask], h[mask], g[mask], binary)
        top = _cell_variance(m[full], e[full], qq[full], h[full] + empty_h, g[full] + empty_g, binary)
        top_dividend = _cell_variance(m[full], e[full], qq[full], h[full], g[full], binary)
        rest_h, rest_g = h[full] + empty_h - own_h, g[full] + empty_g - own_g
        rest = below + _cell_variance(m[full], e[full], qq[full], rest_h, rest_g, binary)
        variance, dividend_variance = below + top, below_dividend + top_dividend
        closed = variance
        if clustered:
            spread = n_total.size / (n_total.size - 1.0)
            dividend_variance = variance = rest = 0.0
            for bucket in range(n_total.size):
                whole = influence[bucket] + empty_h * s_total[bucket] - empty_g * n_total[bucket]
                without = whole - own_h * s_bucket[i, bucket] + own_g * n_bucket[i, bucket]
                dividend_variance += spread * influence[bucket] ** 2
                variance += spread * whole**2
                rest += spread * without**2
        if binary:
            # Where every cell converts always or never the closed form says 0, which no sample can show.
            smooth = (s[i] + 2.0) / (own_n + 4.0)
            _, slope = _scaled(smooth, own_n, scale)
            if variance <= 0.0:
                variance = below + _own_term(m[full], 0.0, rest_h, rest_g, own_n, smooth, slope, binary)
            if dividend_variance <= 0.0:
                dividend_variance = below_dividend + _own_term(
                    m[full], 0.0, rest_h - empty_h, rest_g - empty_g, own_n, smooth, slope, binary
                )
        root = np.nan
        if binary and scale != RATE:
            root = _signed_root(own_v, own_n, s[i], synergy, m[full], rest_h, rest_g, below, scale)
            if clustered and closed > 0.0:
                root *= np.sqrt(closed / variance)
        out[DIVIDEND, i], out[SYNERGY, i], out[ROOT, i] = dividend, synergy, root
        out[DIVIDEND_ERROR, i] = np.sqrt(dividend_variance) if dividend_variance > 0.0 else np.nan
        out[ERROR, i] = np.sqrt(variance) if variance > 0.0 else np.nan
        out[REST, i] = np.sqrt(max(rest, 0.0))
        contrast, contrast_variance, evidence = _contrast(m, e, qq, sign, full, totals[0], scale, binary, h, g)
        if clustered and evidence >= 0.0:
            _subset_differences(h, k)
            _subset_differences(g, k)
            _influences(at, h, g, s_bucket, n_bucket, full, contrast_influence)
            contrast_variance = 0.0
            for bucket in range(n_total.size):
                whole = contrast_influence[bucket] + h[0] * s_total[bucket] - g[0] * n_total[bucket]
                contrast_variance += n_total.size / (n_total.size - 1.0) * whole**2
        out[CONTRAST, i], out[CELL, i] = contrast, evidence
        out[CONTRAST_ERROR, i] = np.sqrt(contrast_variance) if contrast_variance > 0.0 else np.nan


@kernel
def _influences(
    at: NDArray[np.int64],
    h: NDArray[np.float64],
    g: NDArray[np.float64],
    s_bucket: NDArray[np.float64],
    n_bucket: NDArray[np.float64],
    full: int,
    influence: NDArray[np.float64],
) -> None:
    """Each bucket's summed influence: h_T s_bucket(T) - g_T n_bucket(T) over the non-empty subsets T."""
    influence[:] = 0.0
    for mask in range(1, full + 1):
        place, a, b = at[mask], h[mask], g[mask]
        for bucket in range(influence.size):
            influence[bucket] += a * s_bucket[place, bucket] - b * n_bucket[place, bucket]


@kernel
def _signed_root(
    v: float, n: float, s: float, synergy: float, m: float, rest_h: float, rest_g: float, below: float, scale: int
) -> float:
    """Signed root of the likelihood ratio (synergy.md, section 3) for the v(S) at which the synergy would be 0."""
    value, _ = _scaled(v, n, scale)
    away = value - synergy
    v0 = np.exp(min(away, 0.0)) if scale == LOG_RATE else 1.0 / (1.0 + np.exp(-away))
    v0 = min(max(v0, 0.5 / n), 1.0 - 0.5 / n)
    if n < 1.0 or v0 <= 0.0 or v0 >= 1.0:
        return np.nan
    deviance = 0.0
    if s > 0.0:
        deviance += s * np.log(s / (n * v0))
    if s < n:
        deviance += (n - s) * np.log((n - s) / (n * (1.0 - v0)))
    _, slope = _scaled(v0, n, scale)
    own = slope * np.sqrt(v0 * (1.0 - v0) / n)
    error = np.sqrt(below + _own_term(m, 0.0, rest_h, rest_g, n, v0, slope, True))
    root = np.sqrt(max(2.0 * deviance, 0.0)) * own / error
    return float(root if v >= v0 else -root)


@kernel
def _contrast(
    m: NDArray[np.float64],
    e: NDArray[np.float64],
    q: NDArray[np.float64],
    sign: NDArray[np.float64],
    full: int,
    total: float,
    scale: int,
    binary: bool,
    h: NDArray[np.float64],
    g: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Contrast of the exact cells, its variance and the least evidence of a cell; nan, nan, -1 with an empty cell.

    `h` and `g` receive sign g'(p) / m of each cell, without and with the factor p, for clustered errors.
    """
    contrast = variance = 0.0
    evidence = np.inf
    for mask in range(full + 1):
        if m[mask] <= EMPTY_CELL * total:
            return np.nan, np.nan, -1.0
        p = e[mask] / m[mask]
        value, slope = _scaled(p, m[mask], scale)
        contrast += sign[full ^ mask] * value
        if binary:
            variance += slope * slope * p * (1.0 - p) / m[mask]
            evidence = min(evidence, e[mask], m[mask] - e[mask])
        else:
            variance += max(q[mask] / m[mask] - p * p, 0.0) / m[mask]
            evidence = min(evidence, m[mask])
        h[mask] = sign[full ^ mask] * slope / m[mask]
        g[mask] = h[mask] * p
    return contrast, variance, evidence
