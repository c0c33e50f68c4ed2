"""Models held against a simulator's truth: how far their shares are from what the channels caused."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from touchworth.attribution.credit import Credit
from touchworth.errors import DataError, RequestError, missing_column
from touchworth.output import format_of
from touchworth.results import Result
from touchworth.simulate.truth import KINDS, JourneyTruth

__all__ = ["Scores", "score"]

#: Model -> channel -> conversions.
Credits = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Truth:
    """What `score` needs of a truth.

    Attributes
    ----------
    channels
        Names.
    effects
        direct, total and shapley -> float64 (channels,): conversions caused.
    organic
        Expected conversions that no channel earns.
    """

    channels: tuple[str, ...]
    effects: Mapping[str, NDArray[np.float64]]
    organic: float


@dataclass(frozen=True, slots=True, repr=False)
class Scores(Result):
    """Errors of models against a truth.

    Attributes
    ----------
    table
        truth (direct, total or shapley), model, mean_abs_share_error, rank_correlation (Spearman; null where either
        side is constant), worst_channel, worst_error (its share by the model less its true share), organic_share (of
        the expected conversions, the part that no channel earns; every model gives it to channels). Shares are of
        conversions, 1 is all. One row a truth and model, by rising error.
    notices
        Why scores are undefined (null), where they are.
    """

    table: pa.Table
    notices: tuple[str, ...]
    shown: ClassVar[tuple[str, ...]] = (
        "truth", "model", "mean_abs_share_error", "rank_correlation", "worst_channel", "worst_error", "organic_share",
    )  # fmt: skip


def score(credit: Any, truth: JourneyTruth | Mapping[str, Any] | str | Path) -> Scores:
    """Score every model of a credit table against the truth of simulated journeys.

    Parameters
    ----------
    credit
        A `Credit`, its table (Arrow, or a data frame), or a file written by ``touchworth attribute``.
    truth
        A `JourneyTruth`, its mapping, or the JSON file written by ``touchworth simulate journeys --truth``.

    Returns
    -------
    One row a truth (direct, total, shapley) and model.

    Raises
    ------
    RequestError, DataError
        Something else than these, a channel that the truth does not know, or several credits of one channel.
    """
    known = read_truth(truth)
    by_model = read_credits(credit, known.channels)
    rows: list[dict[str, Any]] = []
    notices = []
    for kind in KINDS:
        amounts = known.effects[kind]
        total = float(amounts.sum())
        expected = known.organic + float(known.effects["shapley"].sum())
        organic = known.organic / expected if expected > 0 else None
        if total <= 0:
            notices.append(
                f"the {kind} effects sum to {total:.6g}; shares of a total that is not positive are undefined, "
                f"so are the scores against {kind}"
            )
        part = []
        for model, by_channel in by_model.items():
            given = np.array([by_channel.get(name, 0.0) for name in known.channels])
            part.append({"truth": kind, "model": model} | compare(given, amounts, known.channels))
            part[-1]["organic_share"] = organic
            if given.sum() <= 0:
                notices.append(f"the credit of {model} sums to {given.sum():.6g}; its scores are undefined")
        rows += sorted(part, key=lambda row: math.inf if (e := row["mean_abs_share_error"]) is None else e)
    schema = pa.schema(
        [
            ("truth", pa.string()),
            ("model", pa.string()),
            ("mean_abs_share_error", pa.float64()),
            ("rank_correlation", pa.float64()),
            ("worst_channel", pa.string()),
            ("worst_error", pa.float64()),
            ("organic_share", pa.float64()),
        ]
    )
    return Scores(pa.Table.from_pylist(rows, schema), tuple(dict.fromkeys(notices)))


def compare(given: NDArray[np.float64], caused: NDArray[np.float64], channels: tuple[str, ...]) -> dict[str, Any]:
    """Error of shares of one model: `given` and `caused` are float64 (channels,) of conversions."""
    undefined = {"mean_abs_share_error": None, "rank_correlation": None, "worst_channel": None, "worst_error": None}
    if given.sum() <= 0 or caused.sum() <= 0:
        return undefined
    error = given / given.sum() - caused / caused.sum()
    worst = int(np.abs(error).argmax())
    return {
        "mean_abs_share_error": float(np.abs(error).mean()),
        "rank_correlation": rank_correlation(given, caused),
        "worst_channel": channels[worst],
        "worst_error": float(error[worst]),
    }


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Spearman's correlation, equal values sharing their mean rank; None where either side is constant."""
    ranks = [mean_ranks(a), mean_ranks(b)]
    centred = [rank - rank.mean() for rank in ranks]
    size = math.sqrt(float((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum() / size) if size > 0 else None


def mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing their mean; float64 like `values`."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks


def read_truth(truth: JourneyTruth | Mapping[str, Any] | str | Path) -> Truth:
    """The truth that a caller gave, in whatever form."""
    if isinstance(truth, JourneyTruth):
        truth = truth.to_dict()
    name = "the truth"
    if isinstance(truth, (str, Path)):
        path = Path(truth)
        name = f"--truth {path.name}"
        if not path.is_file():
            raise DataError(f"--truth: there is no file {str(truth)!r}")
        try:
            truth = json.loads(path.read_text("utf-8-sig"))
        except ValueError as error:
            raise DataError(f"{name} is not JSON: {error}") from None
    if not isinstance(truth, Mapping):
        raise DataError(f"{name} holds a {type(truth).__name__}; it must be the truth of simulated journeys")
    if "coalitions" in truth and "channels" not in truth:
        raise RequestError(f"{name} is the truth of sessions; score needs the truth of journeys")
    try:
        channels = tuple(truth["channels"])
        effects = {
            kind: np.array([float(truth["channels"][channel][kind]["conversions"]) for channel in channels])
            for kind in KINDS
        }
        organic = float(truth["organic_conversions"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{name} is not a truth of simulated journeys ({type(error).__name__}: {error}); "
            "write one with `touchworth simulate journeys --truth FILE.json`"
        ) from None
    return Truth(channels, effects, organic)


def read_credits(credit: Any, channels: tuple[str, ...]) -> Credits:
    """Conversions by model and channel of a credit in whatever form; of segments the whole."""
    if isinstance(credit, (str, Path)):
        rows = read_rows(Path(credit))
    elif isinstance(credit, Credit):
        rows = credit.table.to_pylist()
    elif isinstance(credit, pa.Table):
        rows = credit.to_pylist()
    elif hasattr(credit, "to_arrow"):
        rows = credit.to_arrow().to_pylist()
    elif hasattr(credit, "to_dict") and hasattr(credit, "columns"):
        rows = credit.to_dict("records")
    else:
        raise RequestError(f"the credit is a {type(credit).__name__}; give a Credit, its table or a file of it")
    if not rows:
        raise DataError("the credit has no rows")
    for name in ("model", "channel", "conversions"):
        if name not in rows[0]:
            raise missing_column(name, rows[0], "a credit table as `touchworth attribute` writes it")
    found: Credits = {}
    for row in rows:
        if row.get("segment", "all") != "all":
            continue
        model, channel = str(row["model"]), str(row["channel"])
        if channel not in channels:
            raise missing_channel(channel, channels)
        own = found.setdefault(model, {})
        if channel in own:
            raise RequestError(
                f"the credit holds {channel!r} of the model {model!r} twice; score one group of a --by result at a time"
            )
        try:
            own[channel] = float(row["conversions"])
        except (TypeError, ValueError):
            raise DataError(
                f"the conversions of {channel!r} by {model!r} are {row['conversions']!r}; they must be a number"
            ) from None
    return found


def missing_channel(channel: str, channels: tuple[str, ...]) -> RequestError:
    """Error for a channel that the truth does not know."""
    return RequestError(
        f"the credit holds the channel {channel!r}, which the truth does not know; its channels are "
        f"{', '.join(channels)}: score the credit of the journeys that the truth belongs to"
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a table written by this project: CSV, JSON, JSON lines, Parquet or Arrow, by the extension."""
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}")
    kind = format_of(path)
    try:
        if kind == "parquet":
            from pyarrow import parquet

            table: pa.Table = parquet.read_table(path)
            return table.to_pylist()  # type: ignore[no-any-return]
        if kind == "arrow":
            with pa.OSFile(str(path)) as source:
                return pa.ipc.open_file(source).read_all().to_pylist()  # type: ignore[no-any-return]
        text = path.read_text("utf-8-sig")
        if kind == "csv":
            import csv

            return list(csv.DictReader(text.splitlines()))
        rows = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, pa.ArrowException) as error:
        raise DataError(f"{path.name} is not a {kind} table: {error}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path.name} holds no list of rows; write it with `touchworth attribute -o {path.name}`")
    return rows
