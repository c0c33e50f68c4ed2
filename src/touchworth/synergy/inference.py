"""What the statistics of many coalitions allow to say: intervals, tests, false discoveries, shrinkage, fronts."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from touchworth.kernels import kernel
from touchworth.synergy.statistics import RATE, SCALES, Scale, Statistics, moved

__all__ = [
    "LOW_CONVERSIONS",
    "Fdr",
    "Inference",
    "adjusted_p_values",
    "clopper_pearson",
    "evidence_is_low",
    "front_ranks",
    "infer",
    "normal_quantile",
    "shrink",
    "two_sided_p",
]

Fdr = Literal["bh", "by"]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

LOW_CONVERSIONS = 10
"""Conversions, and sessions without one, below which the normal interval covers too little (synergy.md, section 3)."""

LOW_SESSIONS = 30
"""The same for a real target of which nothing tells who converted."""

NULL_PENALTY = 10.0
"""Weight of the point mass in the prior of the mixture's weights (Stephens 2017): shrinkage leans to none."""

BIN = 0.05
"""Width of the bins of |z| in which the mixture is fitted; the densities' own width is 1 or more."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Per coalition (F,), nan where undefined.

    Attributes
    ----------
    low_evidence
        Whether min(conversions, others) is below `LOW_CONVERSIONS`; then the interval is MOVER's.
    ci_low, ci_high
        Interval of the synergy; nan where it is open on that side.
    z, p_value
        Test of a synergy of 0.
    q_value, contrast_q_value
        Adjusted p over the coalitions of 2 and more with enough evidence.
    shrunk
        Empirical-Bayes estimate of the synergy.
    front_rank
        int64: layer (from 1) of coalitions not dominated in (synergy, support); 0 for those that are not ranked.
    """

    low_evidence: Flags
    ci_low: Floats
    ci_high: Floats
    z: Floats
    p_value: Floats
    q_value: Floats
    contrast_q_value: Floats
    shrunk: Floats
    front_rank: NDArray[np.int64]


def infer(
    size: NDArray[np.int16],
    n: Floats,
    s: Floats,
    found: Statistics,
    *,
    scale: Scale = "rate",
    binary: bool = True,
    conversions: Floats | None = None,
    level: float = 0.95,
    fdr: Fdr = "bh",
) -> Inference:
    """Intervals, tests and ranks from the statistics of a family.

    Parameters
    ----------
    size, n, s
        (F,): players, support and sum of y of each coalition.
    found
        Its statistics.
    scale, binary
        As they were computed.
    conversions
        (F,): conversions where y is real and somebody tells who converted; they decide on the evidence then.
    level, fdr
        Coverage of the intervals; Benjamini-Hochberg or Benjamini-Yekutieli.
    """
    code = SCALES[scale]
    low = evidence_is_low(n, s, binary=binary, conversions=conversions)
    quantile = normal_quantile(level)
    ci_low, ci_high = found.synergy - quantile * found.std_error, found.synergy + quantile * found.std_error
    if binary and low.any():
        ci_low[low], ci_high[low] = mover(
            n[low], s[low], found.synergy[low], found.rest_std_error[low], level=level, scale=code
        )
    with np.errstate(invalid="ignore"):
        wald = found.synergy / found.std_error
    z = wald if code == RATE else found.root
    p = two_sided_p(z)
    ranked = (size >= 2) & ~low
    tested = ranked & np.isfinite(p)
    q = np.full(p.size, np.nan)
    q[tested] = adjusted_p_values(p[tested], fdr)
    with np.errstate(invalid="ignore"):
        contrast_p = two_sided_p(found.contrast / found.contrast_std_error)
    # A cell with few conversions understates the error of the contrast as a coalition does that of its synergy.
    enough = found.cell_evidence >= (LOW_CONVERSIONS if binary else LOW_SESSIONS)
    contrasted = ranked & enough & np.isfinite(contrast_p)
    contrast_q = np.full(p.size, np.nan)
    contrast_q[contrasted] = adjusted_p_values(contrast_p[contrasted], fdr)
    shrunk = np.full(p.size, np.nan)
    for players in range(1, int(size.max(initial=0)) + 1):
        mine = (size == players) & ~low & np.isfinite(wald)
        if mine.any():
            shrunk[mine] = shrink(wald[mine]) * found.std_error[mine]
    front = np.zeros(p.size, np.int64)
    front[ranked] = front_ranks(found.synergy[ranked], n[ranked])
    return Inference(low, ci_low, ci_high, z, p, q, contrast_q, shrunk, front)


def evidence_is_low(n: Floats, s: Floats, *, binary: bool, conversions: Floats | None = None) -> Flags:
    """Whether normal theory cannot be trusted: min(conversions, others) below 10; bool (F,).

    A real target of which nothing tells who converted is judged by its sessions (below 30).
    """
    if binary:
        few: Flags = np.minimum(s, n - s) < LOW_CONVERSIONS
    elif conversions is not None:
        few = conversions < LOW_CONVERSIONS
    else:
        few = n < LOW_SESSIONS
    return few


def normal_quantile(level: float) -> float:
    """Two-sided quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def two_sided_p(z: Floats) -> Floats:
    """P(|Z| >= |z|) of a standard normal Z."""
    from scipy.special import erfc

    p: Floats = erfc(np.abs(z) / np.sqrt(2))
    return p


def clopper_pearson(s: Floats, n: Floats, level: float) -> tuple[Floats, Floats]:
    """Exact interval of a binomial share (Clopper and Pearson 1934); s and n may be sums of weights."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(s > 0, betaincinv(np.maximum(s, 1e-300), n - s + 1, tail), 0.0)
        high = np.where(s < n, betaincinv(s + 1, np.maximum(n - s, 1e-300), 1 - tail), 1.0)
    return low, high


def mover(n: Floats, s: Floats, synergy: Floats, rest: Floats, *, level: float, scale: int) -> tuple[Floats, Floats]:
    """Interval from that of v(S) and the error of all other terms (method of variance estimates recovery).

    Zou and Donner 2008; [l, u] of v(S) by Clopper-Pearson. nan on a side that is open (a log scale at 0 or 1).
    """
    quantile = normal_quantile(level)
    share_low, share_high = clopper_pearson(s, n, level)
    v = s / n
    if scale != RATE:
        v = np.clip(v, 0.5 / n, 1.0 if SCALES["log_rate"] == scale else 1 - 0.5 / n)
    value = moved(v, scale)
    below, above = value - moved(share_low, scale), moved(share_high, scale) - value
    low = synergy - np.hypot(np.maximum(below, 0), quantile * rest)
    high = synergy + np.hypot(np.maximum(above, 0), quantile * rest)
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)


def adjusted_p_values(p: Floats, fdr: Fdr) -> Floats:
    """q-values: Benjamini and Hochberg 1995, or Benjamini and Yekutieli 2001 for any dependence."""
    tests = p.size
    if tests == 0:
        return p
    order = np.argsort(p)
    factor = tests * (1.0 if fdr == "bh" else float((1 / np.arange(1, tests + 1)).sum()))
    ranked = p[order] * factor / np.arange(1, tests + 1)
    q = np.empty(tests)
    q[order] = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    return q


def shrink(z: Floats) -> Floats:
    """Posterior means of the effects behind z-scores, by an adaptive scale mixture of normals (Stephens 2017).

    The prior is a point mass at 0 and zero-mean normals whose standard deviations rise by sqrt(2); its weights are
    fitted by EM with a penalty that favours the point mass.
    """
    variances = prior_variances(z)
    weights = prior_weights(z, variances)
    means = np.empty(z.size)
    for start in range(0, z.size, 65_536):
        part = z[start : start + 65_536]
        share = likelihoods(part, variances) * weights
        means[start : start + 65_536] = part * (share @ (variances / (1 + variances))) / share.sum(axis=1)
    return means


def prior_variances(z: Floats) -> Floats:
    """Variances of the mixture's components: 0, then a grid that reaches beyond the largest effect."""
    smallest, largest = 0.1, 2 * np.sqrt(max(float((z**2).max()) - 1, 0.16))
    steps = int(np.ceil(2 * np.log2(largest / smallest)))
    return np.concatenate([[0.0], (smallest * np.sqrt(2) ** np.arange(steps + 1)) ** 2])


def likelihoods(z: Floats, variances: Floats) -> Floats:
    """Density of each z under each component, up to a factor of its row: float64 (z, components)."""
    total = 1 + variances
    log = -0.5 * np.log(total) - 0.5 * z[:, None] ** 2 / total
    log -= log.max(axis=1, keepdims=True)
    density: Floats = np.exp(log, out=log)
    return density


def prior_weights(z: Floats, variances: Floats, rounds: int = 2000, tolerance: float = 1e-6) -> Floats:
    """Weights of the components by penalised EM on |z| in bins."""
    bins, member, count = np.unique((np.abs(z) / BIN).astype(np.int64), return_inverse=True, return_counts=True)
    centre = np.bincount(member, np.abs(z), minlength=bins.size) / count
    density = likelihoods(centre, variances)
    weights = np.full(variances.size, 1 / variances.size)
    penalty = np.zeros(variances.size)
    penalty[0] = NULL_PENALTY - 1
    for _ in range(rounds):
        updated = weights * ((count / (density @ weights)) @ density) + penalty
        updated /= updated.sum()
        change = float(np.abs(updated - weights).max())
        weights = updated
        if change < tolerance:
            break
    return weights


def front_ranks(synergy: Floats, n: Floats) -> NDArray[np.int64]:
    """Layer of each point among those not dominated in both coordinates, larger being better; from 1.

    A point is dominated by another that is at least as large in both and larger in one; equal points share a layer.
    """
    order = np.lexsort((-synergy, -n))
    return _front_ranks(synergy, n, order)


@kernel
def _front_ranks(synergy: Floats, n: Floats, order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Points by falling n, then synergy: each goes to the first layer whose largest synergy so far is below its own."""
    best = np.empty(order.size)
    layers = 0
    rank = np.zeros(order.size, np.int64)
    for place in range(order.size):
        i = order[place]
        if place > 0:
            before = order[place - 1]
            if synergy[before] == synergy[i] and n[before] == n[i]:
                rank[i] = rank[before]
                continue
        low, high = 0, layers
        while low < high:
            middle = (low + high) >> 1
            if best[middle] < synergy[i]:
                high = middle
            else:
                low = middle + 1
        if low == layers:
            layers += 1
        best[low] = synergy[i]
        rank[i] = low + 1
    return rank
