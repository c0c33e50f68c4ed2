"""The exact population that sessions are drawn from: v(S), dividends, synergies and contrasts of any coalition.

Features are independent but for the pair of devices, so the population is a weighted list of cells. Up to 2^24 cells
are enumerated, and one superset sum then answers for every coalition at once. Beyond, only features that interact are
enumerated: the others add independent terms to the log-odds, over which the logistic curve is averaged term by term.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import exp, inf, log, prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.errors import RequestError, missing_column, not_one_of
from touchworth.games.game import DELIMITER
from touchworth.kernels import kernel

__all__ = ["DELIMITER", "LARGEST_CELLS", "Population", "draw_population"]

LARGEST_CELLS = 1 << 24
STEP = 0.01  # of the averaged curve; interpolated over six points its relative error is about STEP^6 / 60
SCALES = ("rate", "log_rate", "log_odds")
TARGETS = ("converted", "value")
Coalition = frozenset[int]


@dataclass(frozen=True, slots=True)
class Cells:
    """Enumerated cells: every combination of some free features, for each device.

    Attributes
    ----------
    bits
        Free features enumerated; bit k of a cell is bits[k].
    rest
        Free features that are averaged over.
    log_odds
        float64 (devices, cells): without intercept and rest.
    weight
        float64 (devices, cells): probabilities; sum to 1.
    """

    bits: tuple[int, ...]
    rest: tuple[int, ...]
    log_odds: NDArray[np.float64]
    weight: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """P(conversion) as a function of log-odds, averaged over features; an empty `values` is the logistic curve."""

    start: float
    values: NDArray[np.float64]


LOGISTIC = Curve(0.0, np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Marginals and coefficients as drawn, and everything that follows from them exactly.

    Attributes
    ----------
    features
        Names; with devices the last two are theirs.
    free_marginals
        float64 (free,): P(feature = 1).
    device_share
        P(the first device); -1 without devices.
    weights
        float64 (features,): logistic coefficients.
    terms, term_weights
        Features of each interaction and its coefficient, float64.
    intercept
        Log-odds of a session without any feature.
    rate
        Population mean of the conversion probability.
    order_values
        Median and sigma of log-normal order values per device; empty without revenue.
    """

    features: tuple[str, ...]
    free_marginals: NDArray[np.float64]
    device_share: float
    weights: NDArray[np.float64]
    terms: tuple[tuple[str, ...], ...]
    term_weights: NDArray[np.float64]
    intercept: float
    rate: float
    order_values: tuple[tuple[float, float], ...] = ()
    largest_cells: int = LARGEST_CELLS
    _sums: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def marginals(self) -> dict[str, float]:
        """P(feature = 1) by name."""
        found = self.free_marginals.tolist()
        if self.device_share >= 0:
            found += [self.device_share, 1 - self.device_share]
        return dict(zip(self.features, found, strict=True))

    @property
    def coefficients(self) -> dict[str, float]:
        """Logistic coefficients by name; an interaction's name is "a & b" in alphabetical order."""
        names = [DELIMITER.join(sorted(term)) for term in self.terms]
        return dict(zip(self.features, self.weights.tolist(), strict=True)) | dict(
            zip(names, self.term_weights.tolist(), strict=True)
        )

    def table(
        self,
        coalitions: Iterable[str | Iterable[str]] | None = None,
        *,
        max_size: int = 3,
        scale: str = "rate",
        target: str = "converted",
    ) -> pa.Table:
        """Exact values of coalitions.

        Parameters
        ----------
        coalitions
            Each an iterable of names, or one text "a & b"; default all of up to `max_size` features.
        max_size
            Of the default.
        scale
            rate, log_rate or log_odds: dividends, synergies and contrasts are of the values on this scale.
        target
            converted, or value: expected order value of a session (needs order values; scale rate only).

        Returns
        -------
        coalition, size, support_share, v, dividend, synergy, contrast: P(all of S are 1); E(target | all of S are 1);
        the dividend with v(empty) = 0 left out; the synergy with v(empty) = the mean; the interaction of the members'
        exact cells. Null where undefined: S cannot occur (both devices), or one of its cells cannot.

        Raises
        ------
        RequestError
            An unknown feature, scale or target.
        """
        if scale not in SCALES:
            raise not_one_of("scale", scale, SCALES)
        if target not in TARGETS:
            raise not_one_of("target", target, TARGETS)
        if target == "value" and not self.order_values:
            raise RequestError("target is 'value' but the population has no order values; add them to the spec")
        if target == "value" and scale != "rate":
            raise RequestError(f"scale is {scale!r} with target 'value'; a value allows 'rate' only")
        wanted = [self._members(given) for given in coalitions] if coalitions is not None else self._all(max_size)
        joint = self._joint(wanted, target)
        rows = [self._row(members, joint, scale) for members in wanted]
        kinds = (pa.string(), pa.int16(), pa.float64(), pa.float64(), pa.float64(), pa.float64(), pa.float64())
        names = ("coalition", "size", "support_share", "v", "dividend", "synergy", "contrast")
        columns = zip(*rows, strict=True) if rows else [[] for _ in names]
        return pa.table(
            {name: pa.array(column, kind) for name, column, kind in zip(names, columns, kinds, strict=True)}
        )

    def _members(self, given: str | Iterable[str]) -> Coalition:
        names = given.split(DELIMITER) if isinstance(given, str) else list(given)
        index = {name: k for k, name in enumerate(self.features)}
        for name in names:
            if name not in index:
                raise missing_column(name, self.features, "a feature of the population")
        if not names:
            raise RequestError("a coalition is empty; name at least one feature")
        return frozenset(index[name] for name in names)

    def _all(self, max_size: int) -> list[Coalition]:
        order = sorted(range(len(self.features)), key=self.features.__getitem__)
        return [frozenset(c) for size in range(1, max_size + 1) for c in combinations(order, size)]

    def _mass(self, members: Coalition) -> float:
        free = self.free_marginals.size
        devices = [member - free for member in members if member >= free]
        if len(devices) > 1:
            return 0.0
        share = prod(self.device_share if device == 0 else 1 - self.device_share for device in devices)
        return share * prod(float(self.free_marginals[member]) for member in members if member < free)

    def _joint(self, wanted: Sequence[Coalition], target: str) -> dict[Coalition, tuple[float, float]]:
        """P(all of S) and E(target, all of S) of every subset of the wanted coalitions."""
        subsets = {subset for members in wanted for subset in subsets_of(members)}
        subsets.add(frozenset())
        cells = self._cells()
        place = {feature: bit for bit, feature in enumerate(cells.bits)}
        free = self.free_marginals.size
        groups: dict[Coalition, list[Coalition]] = {}
        for subset in subsets:
            groups.setdefault(subset & frozenset(cells.rest), []).append(subset)
        worth = [1.0] if self.device_share < 0 else [1.0, 1.0]
        if target == "value":
            # Mean of a log-normal number.
            worth = [median * exp(sigma**2 / 2) for median, sigma in self.order_values]
        found: dict[Coalition, tuple[float, float]] = {}
        for averaged, group in groups.items():
            sums = self._superset_sums(cells, averaged)
            given = prod(float(self.free_marginals[member]) for member in averaged)
            for subset in group:
                mass = self._mass(subset)
                devices = [member - free for member in subset if member >= free] or range(len(worth))
                bits = sum(1 << place[member] for member in subset if member in place)
                # Both devices never occur together.
                total = given * sum(worth[device] * float(sums[device, bits]) for device in devices) if mass else 0.0
                found[subset] = mass, total
        return found

    def _superset_sums(self, cells: Cells, present: Coalition) -> NDArray[np.float64]:
        """float64 (devices, cells): E(converted, the cell's features are 1, device | features of `present` are 1)."""
        if not present and "sums" in self._sums:
            kept: NDArray[np.float64] = self._sums["sums"]
            return kept
        shift = self.intercept + sum(float(self.weights[member]) for member in present)
        rest = [member for member in cells.rest if member not in present]
        lowest, highest = float(cells.log_odds.min()) + shift, float(cells.log_odds.max()) + shift
        curve = average_curve(self.free_marginals[rest], self.weights[rest], lowest, highest)
        sums = cells.weight * respond(cells.log_odds, shift, curve.start, STEP, curve.values)
        for device in range(sums.shape[0]):
            add_supersets(sums[device])
        if not present:
            self._sums["sums"] = sums
        return sums

    def _cells(self) -> Cells:
        if "cells" not in self._sums:
            self._sums["cells"] = enumerate_cells(self, self.largest_cells)
        cells: Cells = self._sums["cells"]
        return cells

    def _row(
        self, members: Coalition, joint: dict[Coalition, tuple[float, float]], scale: str
    ) -> tuple[str, int, float, float | None, float | None, float | None, float | None]:
        name = DELIMITER.join(sorted(self.features[member] for member in members))
        mass, total = joint[members]
        if mass <= 0:
            return name, len(members), 0.0, None, None, None, None
        subsets = list(subsets_of(members))
        value = {subset: joint[subset][1] / joint[subset][0] for subset in subsets}
        sign = {subset: (-1) ** (len(members) - len(subset)) for subset in subsets}
        dividend = sum(sign[subset] * on_scale(value[subset], scale) for subset in subsets if subset)
        synergy = dividend + sign[frozenset()] * on_scale(value[frozenset()], scale)
        contrast: float | None = 0.0
        for cell in subsets:
            # Sums over the exact cell: alternating sums over the supersets of the cell within the coalition.
            over = [subset for subset in subsets if cell <= subset]
            held = sum((-1) ** (len(subset) - len(cell)) * joint[subset][0] for subset in over)
            if held <= 1e-15:
                contrast = None
                break
            hits = sum((-1) ** (len(subset) - len(cell)) * joint[subset][1] for subset in over)
            contrast = (contrast or 0.0) + sign[cell] * on_scale(hits / held, scale)
        return name, len(members), mass, total / mass, dividend, synergy, contrast


def on_scale(value: float, scale: str) -> float:
    """A rate on its scale; a rate of 0 has no logarithm, but no population rate here is 0."""
    if scale == "rate":
        return value
    if scale == "log_rate":
        return log(value) if value > 0 else -inf
    return log(value / (1 - value)) if 0 < value < 1 else inf if value >= 1 else -inf


def draw_population(
    *,
    features: tuple[str, ...],
    marginals: NDArray[np.float64],
    device_share: float | None,
    weights: NDArray[np.float64],
    terms: tuple[tuple[str, ...], ...],
    term_weights: NDArray[np.float64],
    rate: float,
    order_values: tuple[tuple[float, float], ...] = (),
    largest_cells: int = LARGEST_CELLS,
) -> Population:
    """The population whose mean conversion probability is `rate` (to 1e-9 of itself), by solving the intercept.

    Parameters
    ----------
    features
        Names, the two devices last.
    marginals
        float64 (free,).
    device_share
        P(the first device), None without devices.
    weights, term_weights
        float64 (features,) and (terms,): log-odds.
    largest_cells
        Cells to enumerate at most; with more, only features that interact are.

    Raises
    ------
    RequestError
        More cells of interacting features than that.
    """
    from scipy.optimize import brentq

    share = -1.0 if device_share is None else device_share
    blank = Population(features, marginals, share, weights, terms, term_weights, 0.0, rate, order_values, largest_cells)
    cells = enumerate_cells(blank, largest_cells)
    rest = list(cells.rest)
    reach = float(np.abs(weights[rest]).sum())
    target = log(rate / (1 - rate))
    # Where every cell lies below (above) the target the mean does; 1 more makes the bracket strict.
    low = target - float(cells.log_odds.max()) - reach - 1
    high = target - float(cells.log_odds.min()) + reach + 1
    curve = average_curve(
        marginals[rest], weights[rest], float(cells.log_odds.min()) + low, float(cells.log_odds.max()) + high
    )

    def mean(intercept: float) -> float:
        return mean_response(cells.log_odds, cells.weight, intercept, curve.start, STEP, curve.values)

    intercept = float(brentq(lambda x: mean(x) - rate, low, high, xtol=1e-13, rtol=1e-15))
    solved = Population(
        features,
        marginals,
        share,
        weights,
        terms,
        term_weights,
        intercept,
        mean(intercept),
        order_values,
        largest_cells,
    )
    solved._sums["cells"] = cells
    return solved


def enumerate_cells(population: Population, largest: int) -> Cells:
    """Every combination of the free features (or, with too many, of those that interact) for each device."""
    free = population.free_marginals.size
    devices = 1 if population.device_share < 0 else 2
    index = {name: k for k, name in enumerate(population.features)}
    terms = [[index[name] for name in term] for term in population.terms]
    bits = list(range(free))
    if devices << free > largest:
        bits = sorted({member for term in terms for member in term if member < free})
        if devices << len(bits) > largest:
            raise RequestError(
                f"{len(bits)} features interact, which makes {devices} x 2^{len(bits)} cells; the exact population is "
                f"enumerated up to 2^{largest.bit_length() - 1}: let fewer features interact"
            )
    size = 1 << len(bits)
    log_odds = np.zeros((devices, size))
    weight = np.ones((devices, size))
    for bit, feature in enumerate(bits):
        half = 1 << bit
        log_odds[:, half : 2 * half] = log_odds[:, :half] + population.weights[feature]
        weight[:, half : 2 * half] = weight[:, :half] * population.free_marginals[feature]
        weight[:, :half] *= 1 - population.free_marginals[feature]
    place = {feature: bit for bit, feature in enumerate(bits)}
    for device in range(devices):
        if devices == 2:
            log_odds[device] += population.weights[free + device]
            weight[device] *= population.device_share if device == 0 else 1 - population.device_share
        for term, coefficient in zip(terms, population.term_weights, strict=True):
            if any(member >= free and member != free + device for member in term):
                continue
            mask = sum(1 << place[member] for member in term if member < free)
            add_where(log_odds[device], mask, float(coefficient))
    return Cells(tuple(bits), tuple(k for k in range(free) if k not in place), log_odds, weight)


def average_curve(marginals: NDArray[np.float64], weights: NDArray[np.float64], lowest: float, highest: float) -> Curve:
    """The logistic curve averaged over independent features, on a grid that covers [lowest, highest].

    Each feature in turn: curve(x) <- (1 - m) curve(x) + m curve(x + weight). Six-point interpolation keeps the error
    far below 1e-9 of the rate; the edges, where it has no neighbours, lie outside of what is asked.
    """
    if marginals.size == 0:
        return LOGISTIC
    reach = float(np.abs(weights).sum()) + 20 * STEP
    start = lowest - reach
    grid = start + STEP * np.arange(int((highest - lowest + 2 * reach) / STEP) + 8, dtype=np.float64)
    values = respond(grid[None], 0.0, 0.0, STEP, LOGISTIC.values)[0]
    for marginal, weight in zip(marginals.tolist(), weights.tolist(), strict=True):
        values = average_over(values, marginal, weight / STEP)
    return Curve(start, values)


@kernel
def add_where(totals: NDArray[np.float64], mask: int, amount: float) -> None:
    """Add an amount to every cell that holds all bits of a mask, in place."""
    for cell in range(totals.size):
        if cell & mask == mask:
            totals[cell] += amount


@kernel
def add_supersets(totals: NDArray[np.float64]) -> None:
    """Turn values of cells into sums over all cells that hold theirs, in place: one pass a bit."""
    bit = 1
    while bit < totals.size:
        for cell in range(totals.size):
            if cell & bit == 0:
                totals[cell] += totals[cell | bit]
        bit <<= 1


@kernel
def respond_at(x: float, start: float, step: float, curve: NDArray[np.float64]) -> float:
    """The logistic curve at x, or one tabulated at start + k * step by Lagrange's formula over six points."""
    if curve.size == 0:
        return 1.0 / (1.0 + math.exp(-x))
    place = (x - start) / step
    first = min(max(math.floor(place) - 2, 0), curve.size - 6)
    t = min(max(place - first, 0.0), 5.0)
    # The weight of node k is the product of all t - m but its own, over that of all k - m (5!, 4!, 2! 3! ...).
    a, b, c, d, e, f = t, t - 1.0, t - 2.0, t - 3.0, t - 4.0, t - 5.0
    ab, cd, ef = a * b, c * d, e * f
    return float(
        cd * ef * (a * curve[first + 1] / 24.0 - b * curve[first] / 120.0)
        + ab * ef * (c * curve[first + 3] / 12.0 - d * curve[first + 2] / 12.0)
        + ab * cd * (e * curve[first + 5] / 120.0 - f * curve[first + 4] / 24.0)
    )


@kernel
def lagrange(t: float, k: int) -> float:
    """Weight of node k of 0 ... 5 in the polynomial through six values, at t."""
    weight = 1.0
    for m in range(6):
        if m != k:
            weight *= (t - m) / (k - m)
    return weight


@kernel
def respond(
    log_odds: NDArray[np.float64], shift: float, start: float, step: float, curve: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`respond_at` of log_odds + shift, float64 (devices, cells)."""
    out = np.empty_like(log_odds)
    rows, size = log_odds.shape
    for r in range(rows):
        for i in range(size):
            out[r, i] = respond_at(log_odds[r, i] + shift, start, step, curve)
    return out


@kernel
def mean_response(
    log_odds: NDArray[np.float64],
    weight: NDArray[np.float64],
    shift: float,
    start: float,
    step: float,
    curve: NDArray[np.float64],
) -> float:
    """Weighted sum of `respond`, without holding it; float64 (devices, cells) both."""
    total = 0.0
    rows, size = log_odds.shape
    for r in range(rows):
        part = 0.0
        for i in range(size):
            part += weight[r, i] * respond_at(log_odds[r, i] + shift, start, step, curve)
        total += part
    return total


@kernel
def average_over(values: NDArray[np.float64], marginal: float, steps: float) -> NDArray[np.float64]:
    """(1 - m) curve(x) + m curve(x + weight) on the grid of a curve, where the weight is so many steps.

    Every point lies alike between its neighbours, so that six constants interpolate all of them.
    """
    whole = math.floor(steps)
    nodes = np.empty(6)
    for k in range(6):
        nodes[k] = lagrange(steps - whole + 2.0, k)
    out = np.empty_like(values)
    last = values.size - 1
    for i in range(values.size):
        moved = 0.0
        for k in range(6):
            moved += nodes[k] * values[min(max(i + whole - 2 + k, 0), last)]
        out[i] = (1.0 - marginal) * values[i] + marginal * moved
    return out


def subsets_of(members: Coalition) -> Iterator[Coalition]:
    """All subsets, the empty one first."""
    return (frozenset(c) for size in range(len(members) + 1) for c in combinations(sorted(members), size))
