"""How far every model is from the truth, in ten simulated scenarios: writes the table of docs/simulators.md.

    python -m benchmarks.scenarios                  20 seeds of 20,000 users each; a few minutes on two cores
    python -m benchmarks.scenarios --seeds 5 --users 5000 --stdout

A cell is the mean over seeds of the mean absolute share error, in percentage points, with the half-width of its 95 %
interval over seeds. A model ties with the best where the 95 % interval over seeds of the paired difference of their
errors holds 0.
"""

import argparse
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from touchworth.simulate.channels import Channel
from touchworth.simulate.journeys import simulate_journeys

PAGE = Path(__file__).resolve().parents[1] / "docs/simulators.md"
BEGIN, END = "<!-- scenarios -->", "<!-- end of scenarios -->"
MODELS = (
    "first_touch", "last_touch", "linear", "position_based", "j_shaped", "inverse_j", "time_decay", "participation",
    "markov", "shapley", "shapley_rate", "shao_li", "logistic", "additive_hazard",
)  # fmt: skip
KINDS = ("direct", "total", "shapley")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A recipe and what it is meant to show."""

    name: str
    about: str
    recipe: dict[str, Any] = field(default_factory=dict)


RARE = (
    Channel("Search", 0.02, 0.55, 90, 10, 3), Channel("Display", 0.02, 0.40, 90, 10, 3),
    Channel("Podcast", 0.10, 0.03, 90, 10, 3), Channel("Print", 0.005, 0.015, 90, 10, 3),
    Channel("Radio", 0.05, 0.005, 90, 10, 3),
)  # fmt: skip
SCENARIOS = (
    Scenario("independent", "the default channels, touches independent"),
    Scenario(
        "sequence",
        "Paid Social makes Paid Search likelier next (70 %), Display makes Affiliate likelier (60 %); 5 touches",
        {
            "touches": 5,
            "transitions": {
                "Paid Social": {"Paid Search": 0.7, "Display Network": 0.1, "Affiliate": 0.1, "Email": 0.1},
                "Display Network": {"Affiliate": 0.6, "Display Network": 0.2, "Paid Social": 0.2},
            },
        },
    ),
    Scenario(
        "interactions",
        "Email and Affiliate together add 10 points, Display and Paid Social together take 5; 4 touches",
        {
            "touches": 4,
            "organic": 0.05,
            "interactions": [("Email", "Affiliate", 0.10), ("Display Network", "Paid Social", -0.05)],
        },
    ),
    Scenario("recency", "a touch's effect halves every day; 5 touches", {"touches": 5, "half_life_days": 1.0}),
    Scenario("organic", "20 % convert whatever they saw; 3 touches", {"touches": 3, "organic": 0.2}),
    Scenario("rare", "channels with 0.5 to 3 % of the touches; 5 touches", {"touches": 5, "channels": RARE}),
    Scenario("long", "40 touches on average, rate 30 %", {"touches": 40, "rate": 0.3}),
    Scenario("repeat", "a customer comes back with probability 0.6; 4 touches", {"touches": 4, "repeat": 0.6}),
    Scenario(
        "cohorts",
        "new customers meet Paid Social and Display, loyal ones Email, with other effects",
        {
            "cohorts": [
                {
                    "name": "new",
                    "share": 0.6,
                    "touches": 3,
                    "channels": [
                        ("Paid Social", 0.03, 0.45, 90, 10, 3),
                        ("Display Network", 0.01, 0.45, 90, 10, 3),
                        ("Email", 0.01, 0.10, 90, 10, 0),
                    ],
                },
                {
                    "name": "loyal",
                    "share": 0.4,
                    "touches": 5,
                    "organic": 0.05,
                    "start": "2026-02-01",
                    "channels": [
                        ("Paid Social", 0.01, 0.20, 90, 10, 3),
                        ("Display Network", 0.01, 0.20, 90, 10, 3),
                        ("Email", 0.06, 0.60, 90, 10, 0),
                    ],
                },
            ]
        },
    ),
    Scenario(
        "heterogeneity",
        "users differ in propensity (beta 0.5, 1.5 over its mean: from 0 to 4 times); 5 touches",
        {"touches": 5, "heterogeneity": (0.5, 1.5)},
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Errors of one scenario and seed: kind -> model -> mean absolute share error; and the organic share."""

    errors: dict[str, dict[str, float]]
    organic: float


def run(task: tuple[int, int, int]) -> Outcome:
    """Simulate, attribute and score one scenario with one seed."""
    import touchworth as tw
    from touchworth.attribution.models import MODELS as KNOWN

    place, users, seed = task
    made = simulate_journeys(users, seed=seed, **SCENARIOS[place].recipe)
    journeys = tw.read_events(made.table, lookback=None, threads=1)
    credit = tw.attribute(journeys, [model for model in MODELS if model in KNOWN], threads=1)
    errors: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    for row in tw.score(credit, made.truth).table.to_pylist():
        error = row["mean_abs_share_error"]
        errors[row["truth"]][row["model"]] = math.nan if error is None else 100 * error
    return Outcome(errors, made.truth.organic_share)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of its 95 % interval (Student's t)."""
    from scipy.stats import t

    return fmean(values), float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def best_and_ties(by_model: dict[str, list[float]]) -> tuple[str, set[str]]:
    """The model of the smallest mean error, and all whose paired difference from it may be 0 (itself among them)."""
    best = min(by_model, key=lambda model: fmean(by_model[model]))
    ties = set()
    for model, values in by_model.items():
        mean, half = interval([a - b for a, b in zip(values, by_model[best], strict=True)])
        if mean <= half + 1e-12:
            ties.add(model)
    return best, ties


def table(kind: str, outcomes: list[list[Outcome]], scenarios: list[Scenario]) -> Iterator[str]:
    """Lines of one markdown table."""
    yield "| model | " + " | ".join(scenario.name for scenario in scenarios) + " |"
    yield "|---" * (len(scenarios) + 1) + "|"
    models = [model for model in MODELS if model in outcomes[0][0].errors[kind]]
    columns = [{model: [one.errors[kind][model] for one in seeds] for model in models} for seeds in outcomes]
    ties = [best_and_ties(column)[1] for column in columns]
    for model in models:
        cells = []
        for column, tied in zip(columns, ties, strict=True):
            mean, half = interval(column[model])
            mark = "" if model not in tied else " **best**" if len(tied) == 1 else " **tie**"
            cells.append(f"{mean:.2f} ± {half:.2f}{mark}")
        yield f"| `{model}` | " + " | ".join(cells) + " |"
    organic = [f"{100 * fmean([one.organic for one in seeds]):.0f} %" for seeds in outcomes]
    yield "| organic share | " + " | ".join(organic) + " |"


def page(outcomes: list[list[Outcome]], seeds: int, users: int) -> str:
    """The markdown of all tables."""
    lines = [
        f"Mean absolute share error in percentage points ± 95 % interval over {seeds} seeds of {users:,} users each; "
        "**best**, or **tie** where the paired difference from the best may be 0. No lookback. `u_shaped` equals "
        "`position_based` here, `last_non_direct` equals `last_touch` (no channel is direct) and `ordered_shapley` "
        "sums to `shapley`. Made by `python -m benchmarks.scenarios`.",
        "",
    ]
    lines += [f"- **{scenario.name}**: {scenario.about}" for scenario in SCENARIOS]
    titles = {
        "direct": "Against the direct effect",
        "total": "Against the total effect (where it differs from the direct one)",
        "shapley": "Against the Shapley value of the direct game (where it differs from the direct effect)",
    }
    for kind, title in titles.items():
        chosen = [
            place
            for place, runs in enumerate(outcomes)
            if kind == "direct" or any(abs(one.errors[kind][m] - one.errors["direct"][m]) > 0.005
                                       for one in runs for m in one.errors[kind])
        ]  # fmt: skip
        lines += ["", f"### {title}", ""]
        lines += table(kind, [outcomes[place] for place in chosen], [SCENARIOS[place] for place in chosen])
    return "\n".join(lines)


def main() -> None:
    """Run all scenarios and write their tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=20)
    options.add_argument("--users", type=int, default=20_000)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--stdout", action="store_true", help="print the tables instead of writing them into the page")
    given = options.parse_args()
    tasks = [(place, given.users, seed) for place in range(len(SCENARIOS)) for seed in range(given.seeds)]
    with ProcessPoolExecutor(given.processes) as pool:
        found = list(pool.map(run, tasks, chunksize=given.seeds))
    outcomes = [found[k : k + given.seeds] for k in range(0, len(found), given.seeds)]
    written = page(outcomes, given.seeds, given.users)
    if given.stdout:
        print(written)
        return
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{written}\n{END}{after}")
    sys.stderr.write(f"wrote {PAGE.name}\n")


if __name__ == "__main__":
    main()
