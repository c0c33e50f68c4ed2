"""The page of the simulators and the table of scenarios are what the program does."""

import math
import re
from pathlib import Path

import pytest
from benchmarks import scenarios

from touchworth.simulate.channels import DEFAULT_CHANNELS
from touchworth.simulate.journeys import simulate_journeys
from touchworth.simulate.recipe import JourneySpec
from touchworth.simulate.sessions import SessionSpec

PAGE = (Path(__file__).resolve().parents[2] / "docs/simulators.md").read_text()


def test_the_recipe_on_the_page_is_a_recipe():
    spec = JourneySpec.from_toml(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1])
    assert spec.heterogeneity == (2, 6)
    assert [cohort.name for cohort in spec.cohorts] == ["new", "loyal"]
    made = simulate_journeys(500, spec=spec)
    assert made.truth.effects["shapley_conversions"].null_count == 0


def test_the_tables_on_the_page_are_the_defaults():
    for channel in DEFAULT_CHANNELS:
        row = re.search(rf"\| {channel.name} \|(.*)\|\n", PAGE)[1]
        cells = [float(cell) for cell in row.split("|")]
        assert cells == [channel.cvr, channel.frequency, channel.aov, channel.sd, channel.cpc]
    for term in SessionSpec().interactions:
        assert " & ".join(term.features) in PAGE


@pytest.mark.parametrize("place", range(len(scenarios.SCENARIOS)), ids=lambda k: scenarios.SCENARIOS[k].name)
def test_every_scenario_runs_and_is_on_the_page(place):
    outcome = scenarios.run((place, 300, 1))
    assert set(outcome.errors) == {"direct", "total", "shapley"}
    assert all(error >= 0 for error in outcome.errors["direct"].values())
    assert f"- **{scenarios.SCENARIOS[place].name}**: {scenarios.SCENARIOS[place].about}" in PAGE


def test_ties_are_called_ties():
    errors = {"a": [1.0, 2.0, 3.0], "b": [1.1, 1.9, 3.1], "c": [2.0, 3.0, 4.0]}
    assert scenarios.best_and_ties(errors) == ("a", {"a", "b"})
    mean, half = scenarios.interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert half == pytest.approx(4.302652729 / math.sqrt(3))
    outcome = scenarios.Outcome({"direct": {"linear": 1.0, "markov": 2.0}}, 0.25)
    lines = list(scenarios.table("direct", [[outcome, outcome]], list(scenarios.SCENARIOS[:1])))
    assert lines == [
        "| model | independent |",
        "|---|---|",
        "| `linear` | 1.00 ± 0.00 **best** |",
        "| `markov` | 2.00 ± 0.00 |",
        "| organic share | 25 % |",
    ]
