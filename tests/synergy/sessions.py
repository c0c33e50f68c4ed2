"""Sessions made in memory, and brute force over them."""

from itertools import combinations

import numpy as np

from touchworth.sources.records import ReadReport, Sessions


def make_sessions(columns, converted=None, *, value=None, value_is_target=False, weight=None, user=None, names=None):
    """Sessions of a boolean matrix (rows, players)."""
    columns = np.asarray(columns, bool)
    rows, players = columns.shape
    names = names or [f"p{j:02}" for j in range(players)]
    return Sessions(
        players=tuple(names),
        rows=rows,
        bits=tuple(np.packbits(columns[:, j], bitorder="little") for j in range(players)),
        offsets=None,
        items=None,
        converted=None if converted is None else np.asarray(converted).astype(np.uint8),
        value=None if value is None else np.asarray(value, float),
        value_is_target=value_is_target,
        weight=None if weight is None else np.asarray(weight, float),
        user_hash=None if user is None else np.asarray(user).astype(np.uint64),
        report=ReadReport("sessions", (), {}),
    )


def draw(seed, rows=600, players=5, base=0.3):
    """Correlated features and a conversion that depends on them."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=rows)
    columns = rng.random((rows, players)) < 1 / (1 + np.exp(-(rng.normal(0, 0.7, players) + 0.6 * latent[:, None])))
    odds = np.log(base / (1 - base)) + columns @ rng.normal(0, 0.5, players) + 0.7 * columns[:, 0] * columns[:, -1]
    return columns, rng.random(rows) < 1 / (1 + np.exp(-odds))


SCALES = {
    "rate": (lambda v: v, lambda v: np.ones_like(v)),
    "log_rate": (np.log, lambda v: 1 / v),
    "log_odds": (lambda v: np.log(v / (1 - v)), lambda v: 1 / (v * (1 - v))),
}


def subsets(coalition):
    for size in range(len(coalition) + 1):
        yield from combinations(coalition, size)


def by_rows(columns, y, coalition, scale="rate", *, empty=True):
    """Dividend of a coalition and each row's influence on it, straight from the definitions."""
    g, slope = SCALES[scale]
    estimate, influence = 0.0, np.zeros(len(y))
    for part in subsets(coalition):
        if not part and not empty:
            continue
        held = columns[:, list(part)].all(axis=1)
        sign = (-1) ** (len(coalition) - len(part))
        v = y[held].mean()
        estimate += sign * float(g(np.float64(v)))
        influence[held] += sign * float(slope(np.float64(v))) * (y[held] - v) / held.sum()
    return estimate, influence


def contrast_by_rows(columns, y, coalition, scale="rate"):
    """Contrast of the exact cells and each row's influence; None with an empty cell."""
    g, slope = SCALES[scale]
    estimate, influence = 0.0, np.zeros(len(y))
    inside = columns[:, list(coalition)]
    for part in subsets(range(len(coalition))):
        wanted = np.isin(np.arange(len(coalition)), part)
        cell = (inside == wanted).all(axis=1)
        if not cell.any():
            return None
        sign = (-1) ** (len(coalition) - len(part))
        p = y[cell].mean()
        estimate += sign * float(g(np.float64(p)))
        influence[cell] += sign * float(slope(np.float64(p))) * (y[cell] - p) / cell.sum()
    return estimate, influence


def rows_of(found):
    """Coalition -> row of the table."""
    return {row["coalition"]: row for row in found.table.to_pylist()}
