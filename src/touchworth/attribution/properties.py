"""Properties of credit, checked on every result (models.md, section 4)."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.attribution.credit import Estimate
from touchworth.attribution.models import MODELS, Parameters
from touchworth.journeys.build import Journeys, count_touches
from touchworth.journeys.counts import Counts, PathCounts

__all__ = ["check_properties", "interchangeable"]

TOLERANCE = 1e-9
MOST_PAIRS = 50


def check_properties(
    estimates: Mapping[tuple[str, str], Estimate],
    counts: Counts,
    journeys: Journeys,
    paths: PathCounts,
    parameters: Parameters,
) -> pa.Table:
    """Check every property on every estimate.

    Returns
    -------
    model, segment, property, promised (the model has it for any data), holds (here; null where nothing could be
    checked), detail.
    """
    size = len(journeys.channels)
    channel = journeys.symbol_channel[paths.symbol]
    on_paths = [
        count_touches(channel, paths.offsets[:-1], paths.offsets[1:], weight, size)
        for weight in (np.ones(paths.conversions.size), paths.conversions, paths.nulls, paths.value)
    ]
    occurring, converting = on_paths[0] > 0, on_paths[1] > 0
    pairs = interchangeable(journeys, paths, np.column_stack(on_paths))
    rows: list[dict[str, object]] = []
    for (name, segment), estimate in estimates.items():
        chosen = {"all": slice(None), "loyal": slice(0, 1), "disloyal": slice(1, 2)}[segment]
        total = float(counts.conversions[chosen].sum())
        checks = check_one(name, estimate, total, converting, occurring, pairs, segment, journeys, parameters)
        rows += [{"model": name, "segment": segment} | row for row in checks]
    schema = pa.schema(
        {"model": pa.string(), "segment": pa.string(), "property": pa.string(), "promised": pa.bool_(),
         "holds": pa.bool_(), "detail": pa.string()}
    )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def check_one(
    name: str,
    estimate: Estimate,
    total: float,
    converting: NDArray[np.bool_],
    occurring: NDArray[np.bool_],
    pairs: list[tuple[int, int]],
    segment: str,
    journeys: Journeys,
    parameters: Parameters,
) -> Iterator[dict[str, object]]:
    """The rows of one estimate."""
    model = MODELS[name]
    credit = estimate.conversions
    size = max(abs(total), 1.0)
    gap = abs(float(credit.sum()) - total)
    yield {
        "property": "efficiency",
        "promised": model.efficient,
        "holds": gap <= TOLERANCE * size,
        "detail": f"credits sum to {credit.sum():.12g} of {total:.12g} conversions",
    }
    idle = occurring & ~converting
    yield {
        "property": "dummy player",
        "promised": model.dummy,
        "holds": bool((np.abs(credit[idle]) <= TOLERANCE * size).all()) if idle.any() else None,
        "detail": f"{int(idle.sum())} channels stand in no converting journey",
    }
    absent = ~occurring
    yield {
        "property": "absent channel",
        "promised": True,
        "holds": bool((credit[absent] == 0).all()) if absent.any() else None,
        "detail": f"{int(absent.sum())} channels stand in no journey",
    }
    usable = pairs
    why = ""
    if name == "time_decay" and journeys.has_times:
        usable, why = [], "; ages differ between journeys, so that equal paths are not equal journeys"
    elif name == "last_non_direct":
        direct = {c for c, channel in enumerate(journeys.channels) if channel.lower() in parameters.direct}
        usable = [pair for pair in pairs if not direct & set(pair)]
    elif segment != "all" and journeys.rules.transforms:
        usable, why = [], "; segments are made before transforms, pairs are found after them"
    worst = max((abs(float(credit[a] - credit[b])) for a, b in usable), default=0.0)
    yield {
        "property": "symmetry",
        "promised": True,
        "holds": worst <= TOLERANCE * size if usable else None,
        "detail": f"{len(usable)} pairs of interchangeable channels, largest difference {worst:.3g}{why}",
    }
    yield {
        "property": "non-negativity",
        "promised": model.non_negative,
        "holds": bool((credit >= -TOLERANCE * size).all()),
        "detail": f"smallest credit {credit.min(initial=0.0):.6g}",
    }


def interchangeable(journeys: Journeys, paths: PathCounts, signature: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of channels that may change places in every journey without changing the data.

    Candidates agree in `signature`, float64 (channels, 4): touches on distinct paths, and weighted by conversions,
    nulls and value; each candidate pair (at most 50) is then compared path by path.
    """
    channel = journeys.symbol_channel[paths.symbol]
    order = np.lexsort(signature.T)
    order = order[signature[order, 0] > 0]
    candidates: list[tuple[int, int]] = []
    for at, a in enumerate(order):
        for b in order[at + 1 :]:
            if not np.array_equal(signature[a], signature[b]):
                break
            candidates.append((int(a), int(b)))
            if len(candidates) == MOST_PAIRS:
                return [pair for pair in candidates if may_swap(journeys, paths, channel, *pair)]
    return [pair for pair in candidates if may_swap(journeys, paths, channel, *pair)]


def may_swap(journeys: Journeys, paths: PathCounts, channel: NDArray[np.int32], a: int, b: int) -> bool:
    """Whether exchanging channels a and b maps the paths, with their weights, onto themselves."""
    path_of = np.repeat(np.arange(paths.conversions.size), np.diff(paths.offsets))
    touched = np.unique(path_of[(channel == a) | (channel == b)])
    # A symbol is a channel with what the frequency transform adds to its name.
    of = journeys.symbol_channel
    suffix = [name[len(journeys.channels[c]) :] for name, c in zip(journeys.symbols, of, strict=True)]
    other = {a: b, b: a}
    seen: dict[tuple[tuple[int, str], ...], tuple[float, float, float]] = {}
    swapped: dict[tuple[tuple[int, str], ...], tuple[float, float, float]] = {}
    for p in touched:
        symbols = paths.symbol[paths.offsets[p] : paths.offsets[p + 1]]
        path = tuple((int(journeys.symbol_channel[s]), suffix[s]) for s in symbols)
        weights = (float(paths.conversions[p]), float(paths.nulls[p]), float(paths.value[p]))
        seen[path] = weights
        swapped[tuple((other.get(c, c), text) for c, text in path)] = weights
    return seen == swapped
