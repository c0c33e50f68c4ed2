"""Properties of credit, checked on every result (models.md, section 4)."""

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.attribution.credit import Estimate
from touchworth.attribution.models import MODELS, Parameters
from touchworth.journeys.build import count_touches
from touchworth.journeys.counts import Counts, PathCounts
from touchworth.journeys.deal import name_hashes
from touchworth.journeys.overview import Overview
from touchworth.journeys.reduction import PathParts
from touchworth.kernels import kernel

__all__ = ["check_properties", "interchangeable"]

TOLERANCE = 1e-9
MOST_PAIRS = 50


def check_properties(
    estimates: Mapping[tuple[str, str], Estimate],
    counts: Counts,
    journeys: Overview,
    paths: PathParts,
    parameters: Parameters,
) -> tuple[pa.Table, int]:
    """Check every property on every estimate.

    Returns
    -------
    table, number of distinct paths
        The table has the columns model, segment, property, promised (the model has it for any data), holds (here;
        null where nothing could be checked), detail.
    """
    unique, on_paths = 0, np.zeros((4, len(journeys.channels)))
    for number, touched in paths.map(partial(count_on_paths, symbol_channel=journeys.symbol_channel,
                                             channels=len(journeys.channels))):  # fmt: skip
        unique += number
        on_paths += touched
    occurring, converting = on_paths[0] > 0, on_paths[1] > 0
    pairs = interchangeable(journeys, paths, on_paths.T)
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
    return pa.Table.from_pylist(rows, schema=schema), unique


def count_on_paths(
    paths: PathCounts, symbol_channel: NDArray[np.int32], channels: int
) -> tuple[int, NDArray[np.float64]]:
    """Number of distinct paths, and touches of each channel on them: float64 (4, channels).

    The rows count each path once, and weigh it by its conversions, nulls and value.
    """
    channel = symbol_channel[paths.symbol]
    weights = (np.ones(paths.conversions.size), paths.conversions, paths.nulls, paths.value)
    touched = [count_touches(channel, paths.offsets[:-1], paths.offsets[1:], weight, channels) for weight in weights]
    return paths.conversions.size, np.array(touched)


def check_one(
    name: str,
    estimate: Estimate,
    total: float,
    converting: NDArray[np.bool_],
    occurring: NDArray[np.bool_],
    pairs: list[tuple[int, int]],
    segment: str,
    journeys: Overview,
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


def interchangeable(journeys: Overview, paths: PathParts, signature: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of channels that may change places in every journey without changing the data.

    Candidates agree in `signature`, float64 (channels, 4): touches on distinct paths, and weighted by conversions,
    nulls and value. Of each candidate pair (at most 50) the paths, with their weights, are compared with the paths
    after the exchange by the sums of their 64-bit hashes, which add up over parts of the paths.
    """
    order = np.lexsort(signature.T)
    order = order[signature[order, 0] > 0]
    candidates: list[tuple[int, int]] = []
    for at, a in enumerate(order):
        for b in order[at + 1 :]:
            if not np.array_equal(signature[a], signature[b]) or len(candidates) == MOST_PAIRS:
                break
            candidates.append((int(a), int(b)))
    if not candidates:
        return []
    keys = symbol_hashes(journeys, candidates)
    changed = sum(paths.map(partial(changes_of_hash, keys=keys)), np.zeros(len(candidates), np.uint64))
    return [pair for pair, change in zip(candidates, changed, strict=True) if change == 0]


def symbol_hashes(journeys: Overview, pairs: list[tuple[int, int]]) -> NDArray[np.uint64]:
    """Hash of each symbol as it is and after each exchange of two channels: uint64 (1 + pairs, symbols).

    A symbol is a channel with what the frequency transform adds to its name.
    """
    names, of = journeys.channels, journeys.symbol_channel
    suffixes = [name[len(names[c]) :] for name, c in zip(journeys.symbols, of, strict=True)]
    rows = [np.arange(len(names))]
    for a, b in pairs:
        swapped = np.arange(len(names))
        swapped[[a, b]] = b, a
        rows.append(swapped)
    return np.array(
        [name_hashes(tuple(f"{row[c]}{suffix}" for c, suffix in zip(of, suffixes, strict=True))) for row in rows]
    )


def changes_of_hash(paths: PathCounts, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Change of the sum of the hashes of weighted paths under each exchange: uint64 (pairs,), modulo 2^64."""
    weights = np.array([paths.conversions, paths.nulls, paths.value]).view(np.uint64)
    sums = np.array([sum_of_hashes(paths.offsets, paths.symbol, weights, row) for row in keys])
    change: NDArray[np.uint64] = sums[1:] - sums[0]
    return change


@kernel
def sum_of_hashes(
    offsets: NDArray[np.int64], symbol: NDArray[np.int32], weights: NDArray[np.uint64], key: NDArray[np.uint64]
) -> np.uint64:
    """Sum over paths, modulo 2^64, of a hash of the keys of their symbols and the bits of their three weights."""
    total = np.uint64(0)
    for path in range(offsets.size - 1):
        h = np.uint64(0x632BE59BD9B4E019)
        for i in range(offsets[path], offsets[path + 1]):
            h = (h ^ key[symbol[i]]) * np.uint64(0xBF58476D1CE4E5B9)
            h ^= h >> np.uint64(31)
        for w in range(3):
            h = (h ^ weights[w, path]) * np.uint64(0x94D049BB133111EB)
            h ^= h >> np.uint64(29)
        total += h
    return total
