"""`result.plot`: the plots of each kind of result, by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from touchworth.attribution.credit import Credit
from touchworth.errors import DataError, RequestError
from touchworth.games.game import coalition_members
from touchworth.journeys.paths import Paths
from touchworth.output import check_output
from touchworth.render import attribution_charts, synergy_charts
from touchworth.render.palette import save_html
from touchworth.results import Result
from touchworth.simulate.score import Scores
from touchworth.synergy.synergies import Synergies

__all__ = ["CreditPlots", "PathPlots", "ScorePlots", "SynergyPlots", "plots_of"]


def save_all(figures: dict[str, Callable[[], Any]], folder: str | Path, *, force: bool) -> list[Path]:
    """Write figures as HTML files that need no network; the folder is made where it is missing."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise RequestError(f"{str(folder)!r} is a file; name a folder for the plots")
    place.mkdir(parents=True, exist_ok=True)
    paths = {name: place / f"{name}.html" for name in figures}
    for path in paths.values():
        check_output(path, force=force)
    for name, figure in figures.items():
        save_html(figure(), paths[name], title=f"touchworth: {name.replace('_', ' ')}", force=force)
    return list(paths.values())


@dataclass(frozen=True, slots=True)
class SynergyPlots:
    """Plots of a coalition table."""

    found: Synergies

    def __call__(self, **more: Any) -> Any:
        """The UpSet matrix."""
        return self.upset(**more)

    def upset(self, top: int = 25, **more: Any) -> Any:
        """UpSet matrix of the first coalitions with intervals."""
        return synergy_charts.upset(self.found.table, top=top, scale=self.found.scale, **more)

    def network(self, **more: Any) -> Any:
        """Players sized by their Shapley value, pairs coloured by the sign of their synergy."""
        values = self.found.index("sv")
        players = dict(zip(values["coalition"].to_pylist(), values["value"].to_pylist(), strict=True))
        return synergy_charts.network(self.found.table, players, scale=self.found.scale, **more)

    def value_volume(self, **more: Any) -> Any:
        """Synergy against support, with the Pareto front."""
        return synergy_charts.value_volume(self.found.table, scale=self.found.scale, **more)

    def waterfall(self, coalition: Iterable[str] | None = None, **more: Any) -> Any:
        """v(S) built from its dividends; of the first coalition of the table where none is named."""
        if coalition is None:
            if not len(self.found.table):
                raise DataError("no coalition reaches the minimum support; lower it")
            coalition = coalition_members(self.found.game, int(self.found.position[0]))
        names = tuple(coalition)
        parts = [(part.coalition, part.dividend) for part in self.found.waterfall(names)]
        return synergy_charts.waterfall(parts, name=" & ".join(sorted(names)), scale=self.found.scale, **more)

    def save(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write all plots into a folder: upset, network, value_volume, waterfall."""
        if "synergy" not in self.found.table.column_names:
            raise RequestError("plots need a target; name one with --target or --target-item")
        figures: dict[str, Callable[[], Any]] = {
            "upset": self.upset,
            "network": self.network,
            "waterfall": self.waterfall,
        }
        if np.any(self.found.game.n > 0):
            figures["value_volume"] = self.value_volume
        return save_all(figures, folder, force=force)


@dataclass(frozen=True, slots=True)
class CreditPlots:
    """Plots of attribution."""

    credit: Credit

    def __call__(self, metric: str = "conversions", **more: Any) -> Any:
        """Grouped bars by channel and model."""
        return self.bars(metric, **more)

    def bars(self, metric: str = "conversions", **more: Any) -> Any:
        """Grouped bars by channel and model with intervals."""
        return attribution_charts.credit_bars(self.credit.table, metric, **more)

    def transitions(self, **more: Any) -> Any:
        """Heat map of the Markov chain's transitions."""
        return attribution_charts.transition_map(_needed(self.credit.transitions, "markov"), **more)

    def removal(self, **more: Any) -> Any:
        """Removal effects."""
        return attribution_charts.removal_bars(_needed(self.credit.removal, "markov"), **more)

    def positions(self, **more: Any) -> Any:
        """Credit by channel and position."""
        return attribution_charts.position_map(_needed(self.credit.positions, "ordered_shapley"), **more)

    def difference(self, a: str, b: str, **more: Any) -> Any:
        """Difference of two models' credit with intervals."""
        return attribution_charts.difference_bars(self.credit.difference(a, b), a, b, **more)

    def save(self, folder: str | Path, *, force: bool = False) -> list[Path]:
        """Write the plots that this result has into a folder."""
        figures: dict[str, Callable[[], Any]] = {"credit": self.bars}
        if self.credit.removal is not None:
            figures |= {"removal": self.removal, "transitions": self.transitions}
        if self.credit.positions is not None:
            figures["positions"] = self.positions
        return save_all(figures, folder, force=force)


@dataclass(frozen=True, slots=True)
class PathPlots:
    """Plots of conversion paths."""

    paths: Paths

    def __call__(self, **more: Any) -> Any:
        """Sankey of the first steps."""
        return self.first_steps(**more)

    def lengths(self, **more: Any) -> Any:
        """Journeys by number of touches."""
        return attribution_charts.lengths(self.paths.lengths, **more)

    def lags(self, **more: Any) -> Any:
        """Conversions by days from the first touch."""
        if self.paths.lags is None:
            raise RequestError("time lags need times; a path table has none")
        return attribution_charts.lags(self.paths.lags, **more)

    def first_steps(self, **more: Any) -> Any:
        """Sankey of the first steps."""
        return attribution_charts.first_steps(self.paths.table, **more)


@dataclass(frozen=True, slots=True)
class ScorePlots:
    """Plots of models held against a truth."""

    scores: Scores

    def __call__(self, **more: Any) -> Any:
        """Error of each model's shares."""
        return attribution_charts.truth_scores(self.scores.table, **more)


def _needed(table: Any, model: str) -> Any:
    if table is None:
        raise RequestError(f"this plot needs the model {model}; add it to the models")
    return table


def plots_of(result: Result) -> SynergyPlots | CreditPlots | PathPlots | ScorePlots:
    """The plots of a result."""
    if isinstance(result, Synergies):
        return SynergyPlots(result)
    if isinstance(result, Credit):
        return CreditPlots(result)
    if isinstance(result, Paths):
        return PathPlots(result)
    if isinstance(result, Scores):
        return ScorePlots(result)
    raise RequestError(f"a {type(result).__name__} has no plots; results of synergies, attribute, paths and score have")
