"""Agreement with published packages, and the disagreements that docs/peers.md states.

Peers are compared where they compute the same quantity: to 1e-9 where they are exact, within their own simulation noise
where they simulate. Each documented difference is recomputed from its formula, so that the page cannot go stale.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations, pairwise
from math import factorial, sqrt
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import touchworth as tw

Row = tuple[str, float, float, float]
MISSING = "the package is not installed: pip install -r requirements-peers.txt (the `peers` extra)"
CREDIT = {"rel": 1e-9, "abs": 1e-9}


def peer(name: str) -> ModuleType:
    """The package, or a skip with the reason."""
    return pytest.importorskip(name, reason=f"{name}: {MISSING}")


def drawn_paths(seed: int, paths: int, channels: int, longest: int) -> list[Row]:
    """Distinct random paths with conversions, values and nulls; self-transitions and rows with both outcomes."""
    generator = np.random.default_rng(seed)
    rows = {}
    for _ in range(paths):
        touches = generator.integers(0, channels, generator.integers(1, longest + 1))
        conversions, nulls = float(generator.integers(0, 5)), float(generator.integers(1, 9))
        rows[" > ".join("abcdefgh"[touch] for touch in touches)] = (
            conversions,
            conversions * generator.integers(1, 9) / 4,
            nulls,
        )
    return [(path, *outcome) for path, outcome in sorted(rows.items())]


@pytest.fixture(params=["short", "long", "channelattribution"])
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """Path tables; the last one is real data with 4,592 rows that repeat a path of another row."""
    if request.param == "short":
        return drawn_paths(seed=1, paths=40, channels=5, longest=4)
    if request.param == "long":
        return drawn_paths(seed=2, paths=80, channels=8, longest=9)
    file = request.getfixturevalue("shared") / "data" / "channelattribution_paths.csv"
    table = pyarrow.csv.read_csv(file)
    names = ("path", "total_conversions", "total_conversion_value", "total_null")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def attribute(rows: list[Row], models: list[str], transforms: Iterable[str] = (), **parameters: Any) -> tw.Credit:
    table = pa.table(dict(zip(("path", "conversions", "value", "nulls"), zip(*rows, strict=True), strict=True)))
    journeys = tw.read_paths(
        table,
        path="path",
        conversions="conversions",
        value="value",
        nulls="nulls",
        delimiter=" > ",
        duplicates="sum",
        transforms=transforms,
    )
    return tw.attribute(journeys, models=models, **parameters)


def column(credit: tw.Credit, model: str, name: str = "conversions") -> dict[str, float]:
    return {row["channel"]: row[name] for row in credit.table.to_pylist() if row["model"] == model}


def removal_effects(credit: tw.Credit, name: str = "removal_effect") -> dict[str, float]:
    assert credit.removal is not None
    return dict(zip(credit.removal["channel"].to_pylist(), credit.removal[name].to_pylist(), strict=True))


def touches(row: Row) -> list[str]:
    return row[0].split(" > ")


def conversions_of(rows: list[Row]) -> float:
    return sum(row[1] for row in rows)


def shapley_value(channels: list[str], worth: Callable[[frozenset[str]], float]) -> dict[str, float]:
    """Shapley value by its definition: every coalition of the others, factorial weights."""
    n = len(channels)
    value = dict.fromkeys(channels, 0.0)
    for channel in channels:
        others = [other for other in channels if other != channel]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for coalition in map(frozenset, combinations(others, size)):
                value[channel] += weight * (worth(coalition | {channel}) - worth(coalition))
    return value


def exact_sets(rows: list[Row]) -> dict[frozenset[str], float]:
    """Conversions of the journeys whose channels are exactly the set."""
    found: dict[frozenset[str], float] = defaultdict(float)
    for row in rows:
        found[frozenset(touches(row))] += row[1]
    return found


# do-attribution ------------------------------------------------------------------------------------------------------


def do_markov(rows: list[Row], order: int, strategy: str) -> dict[str, Any]:
    """Fit of do-attribution, which takes binary outcomes with weights: a row becomes a converted and a null one."""
    outcomes = [(row[0], flag, weight) for row in rows for flag, weight in ((1, row[1]), (0, row[3])) if weight]
    paths, flags, weights = zip(*outcomes, strict=True)
    model = peer("do_attribution").MarkovAttribution(order=order, removal_strategy=strategy)
    result: dict[str, Any] = model.fit(paths, flags, weights=weights)
    return result


@pytest.mark.parametrize("order", [1, 2, 3])
def test_do_attribution_redirect_to_null_is_markov(rows: list[Row], order: int) -> None:
    theirs = do_markov(rows, order, "redirect_to_null")
    credit = attribute(rows, ["markov"], order=order)
    assert credit.markov is not None
    assert credit.markov.conversion_probability == pytest.approx(theirs["total_conversion_probability"], **CREDIT)
    assert removal_effects(credit) == pytest.approx(theirs["removal_effects"], **CREDIT)
    assert column(credit, "markov", "share") == pytest.approx(theirs["attribution"], **CREDIT)


# The default strategy warns on every first fit that its meaning changed between versions of do-attribution.
@pytest.mark.filterwarnings("ignore:removal_strategy='fail' now uses:UserWarning")
@pytest.mark.parametrize("order", [1, 2])
def test_do_attribution_default_strategy_is_participation_at_every_order(rows: list[Row], order: int) -> None:
    theirs = do_markov(rows, order, "fail")
    credit = attribute(rows, ["participation"])
    share_held = {name: held / conversions_of(rows) for name, held in column(credit, "participation").items()}
    assert share_held == pytest.approx(theirs["removal_effects"], **CREDIT)
    assert column(credit, "participation", "share") == pytest.approx(theirs["attribution"], **CREDIT)


@pytest.mark.filterwarnings("ignore:removal_strategy='fail' now uses:UserWarning")
def test_do_attribution_default_strategy_is_markov_of_the_longest_path() -> None:
    rows = drawn_paths(seed=1, paths=40, channels=5, longest=4)
    theirs = do_markov(rows, 1, "fail")["removal_effects"]
    assert removal_effects(attribute(rows, ["markov"], order=4)) == pytest.approx(theirs, **CREDIT)
    assert removal_effects(attribute(rows, ["markov"], order=1)) != pytest.approx(theirs, rel=1e-3)


# It warns that its raw values nearly cancel: the documented difference itself.
@pytest.mark.filterwarnings("ignore:Shapley normalization is unavailable:UserWarning")
def test_do_attribution_shapley_is_of_the_game_of_exact_sets() -> None:
    rows = drawn_paths(seed=1, paths=40, channels=5, longest=4)
    model = peer("do_attribution").ShapleyAttribution()
    repeated = [(row[0], flag) for row in rows for flag, times in ((1, row[1]), (0, row[3])) for _ in range(int(times))]
    theirs = model.fit(*zip(*repeated, strict=True))["shapley_values"]
    conversions = exact_sets(rows)
    assert theirs == pytest.approx(shapley_value(list("abcde"), lambda S: conversions.get(S, 0.0)), **CREDIT)
    # Ours is the same solution of the game that adds up the sets within S: it sums to the conversions, theirs to 0.
    within = shapley_value(list("abcde"), lambda S: sum(x for held, x in conversions.items() if held <= S))
    assert column(attribute(rows, ["shapley"]), "shapley") == pytest.approx(within, **CREDIT)
    assert sum(theirs.values()) == pytest.approx(conversions.get(frozenset("abcde"), 0.0), abs=1e-9)


# mta -----------------------------------------------------------------------------------------------------------------


def fit_mta(rows: list[Row], loops: bool) -> Any:
    pandas = pytest.importorskip("pandas")
    path, conversions, _, nulls = zip(*rows, strict=True)
    frame = pandas.DataFrame({"path": path, "total_conversions": conversions, "total_null": nulls})
    return peer("mta.mta").MTA(frame, allow_loops=loops, add_timepoints=False)


@pytest.mark.parametrize("loops", [True, False])
def test_mta_heuristics(rows: list[Row], loops: bool) -> None:
    model = fit_mta(rows, loops)
    # Without loops (its default) consecutive repeats are merged first, which is the transform `exposure`.
    names = ["first_touch", "last_touch", "linear", "j_shaped", "shapley"]
    credit = attribute(rows, names, transforms=() if loops else ["exposure"])
    model.first_touch(normalize=False).last_touch(normalize=False)
    model.position_based(first_weight=20, last_weight=60, normalize=False)
    total = dict.fromkeys(column(credit, "linear"), 0.0)
    for ours, theirs in {"first_touch": "first_touch", "last_touch": "last_touch", "j_shaped": "pos_based"}.items():
        assert column(credit, ours) == pytest.approx(total | model.attribution[theirs], **CREDIT)
    assert column(credit, "linear") == pytest.approx(
        total | model.linear(share="proportional", normalize=False).attribution["linear"], **CREDIT
    )
    # Its default "linear" shares a journey among distinct channels: that is the Shapley value of conversions.
    assert column(credit, "shapley") == pytest.approx(
        total | model.linear(share="same", normalize=False).attribution["linear"], **CREDIT
    )


@pytest.mark.parametrize("loops", [True, False])
def test_mta_shapley(loops: bool) -> None:
    # It walks all subsets of all coalitions: 8 channels take half a second, the 12 of the real table a minute.
    rows = drawn_paths(seed=2, paths=80, channels=8, longest=9)
    theirs = fit_mta(rows, loops).shapley(normalize=False).attribution["shapley"]
    assert column(attribute(rows, ["shapley"]), "shapley") == pytest.approx(theirs, **CREDIT)


def test_mta_markov_sums_over_observed_paths_only() -> None:
    rows = drawn_paths(seed=1, paths=40, channels=5, longest=4)
    theirs = fit_mta(rows, loops=True).markov(normalize=False).attribution["markov"]
    credit = attribute(rows, ["markov"])
    assert credit.markov is not None
    probability = {
        (row["from"], row["to"]): row["probability"] for row in credit.markov.transition_matrix().to_pylist()
    }
    reach = {}
    for row in rows:
        states = ["(start)", *touches(row), "(conversion)"]
        if row[1]:
            reach[row[0]] = np.prod([probability[step] for step in pairwise(states)])
    total = sum(reach.values())
    observed = {c: sum(p for path, p in reach.items() if c in path.split(" > ")) / total for c in "abcde"}
    assert theirs == pytest.approx(observed, **CREDIT)
    # The paths that convert in the chain, but were not seen to, hold the rest of the probability.
    assert total < 0.9 * credit.markov.conversion_probability
    assert removal_effects(credit) != pytest.approx(theirs, rel=1e-2)


# ChannelAttribution --------------------------------------------------------------------------------------------------


@pytest.fixture
def channel_attribution(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # Importing it imports matplotlib.pyplot, which must not look for a display.
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return peer("ChannelAttribution")


def frame_of(rows: list[Row]) -> Any:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows, columns=["path", "conversions", "value", "nulls"])
    return frame.astype({"conversions": int, "nulls": int})


@pytest.mark.parametrize("model", ["first_touch", "last_touch", "linear"])
@pytest.mark.parametrize("quantity", ["conversions", "value"])
def test_channel_attribution_heuristics(
    rows: list[Row], channel_attribution: ModuleType, model: str, quantity: str
) -> None:
    found = channel_attribution.heuristic_models(frame_of(rows), "path", "conversions", "value", flg_pro=False)
    name = f"{model.removesuffix('_touch')}_touch_{quantity}"
    theirs = dict(zip(found["channel_name"], found[name], strict=True))
    assert column(attribute(rows, [model]), model, quantity) == pytest.approx(theirs, **CREDIT)


@pytest.mark.parametrize("loops", [True, False])
def test_channel_attribution_transition_matrix(rows: list[Row], channel_attribution: ModuleType, loops: bool) -> None:
    found = channel_attribution.transition_matrix(
        frame_of(rows), "path", "conversions", "nulls", flg_equal=loops, flg_pro=False
    )
    names = {str(n): name for n, name in found["channels"][["id_channel", "channel_name"]].itertuples(index=False)}
    theirs = {
        (names.get(source, source), names.get(target, target)): probability
        for source, target, probability in found["transition_matrix"].itertuples(index=False)
    }
    credit = attribute(rows, ["markov"])
    assert credit.markov is not None
    ours = credit.markov.transition_matrix(self_transitions=loops).to_pylist()
    assert {(row["from"], row["to"]): row["probability"] for row in ours if row["count"]} == pytest.approx(
        theirs, **CREDIT
    )


@pytest.mark.parametrize("order", [1, 2, 3])
def test_channel_attribution_markov_within_its_noise(
    rows: list[Row], channel_attribution: ModuleType, order: int
) -> None:
    simulated, folds = 2_000_000, 10
    found = channel_attribution.markov_model(
        frame_of(rows),
        "path",
        "conversions",
        "value",
        "nulls",
        order=order,
        nsim_start=simulated,
        nfold=folds,
        # Its default stops a walk at the longest observed path and counts it as null: a bias, not noise.
        max_step=1_000_000,
        out_more=True,
        verbose=False,
        flg_pro=False,
    )
    credit = attribute(rows, ["markov"], order=order)
    assert credit.markov is not None
    # It reports one of its folds: a share among the converted walks of that fold.
    walks = credit.markov.conversion_probability * simulated / folds
    worth = [(row[1], row[2] / row[1]) for row in rows if row[1]]
    mean = sum(n * x for n, x in worth) / conversions_of(rows)
    spread = sum(n * x * x for n, x in worth) / conversions_of(rows) / mean**2
    for ours, theirs, noise in (
        ("removal_effect", "removal_effects_conversion", sqrt(0.25 / walks)),
        ("removal_effect_value", "removal_effects_conversion_value", sqrt(0.25 * spread / walks)),
    ):
        effects = found["removal_effects"]
        assert removal_effects(credit, ours) == pytest.approx(
            dict(zip(effects["channel_name"], effects[theirs], strict=True)), rel=0, abs=5 * noise
        )


def test_channel_attribution_stops_walks_at_the_longest_path(channel_attribution: ModuleType) -> None:
    rows = [("a", 1.0, 1.0, 1.0), ("a > b", 1.0, 1.0, 1.0), ("b > a", 1.0, 1.0, 1.0)]
    assert removal_effects(attribute(rows, ["markov"])) == pytest.approx({"a": 5 / 6, "b": 5 / 9}, **CREDIT)
    found = channel_attribution.markov_model(
        frame_of(rows),
        "path",
        "conversions",
        var_null="nulls",
        nsim_start=4_000_000,
        out_more=True,
        verbose=False,
        flg_pro=False,
    )["removal_effects"]
    # With at most 4 steps: P = 101/216, of which 83/216 through a and 53/216 through b.
    assert dict(zip(found["channel_name"], found["removal_effect"], strict=True)) == pytest.approx(
        {"a": 83 / 101, "b": 53 / 101}, abs=0.005
    )


def test_channel_attribution_drops_fractions_of_conversions(channel_attribution: ModuleType) -> None:
    rows = [("a", 1.5, 0.0, 0.0), ("b > a", 2.0, 0.0, 0.0)]
    frame = frame_of(rows).assign(conversions=[1.5, 2.0])
    found = channel_attribution.heuristic_models(frame, "path", "conversions", flg_pro=False)
    assert dict(zip(found["channel_name"], found["last_touch"], strict=True)) == {"a": 3.0, "b": 0.0}
    assert column(attribute(rows, ["last_touch"]), "last_touch") == {"a": 3.5, "b": 0.0}


# marketing-attribution-models ----------------------------------------------------------------------------------------


def fit_mam(rows: list[Row]) -> Any:
    polars = pytest.importorskip("polars")
    merged: Counter[tuple[str, bool]] = Counter()
    for path, conversions, _, nulls in rows:
        merged.update({(path, True): int(conversions), (path, False): int(nulls)})
    frame = polars.DataFrame(
        [(path, converted, count) for (path, converted), count in merged.items() if count],
        schema=["path", "converted", "count"],
        orient="row",
    )
    return peer("mam").MAM(
        frame,
        format_type="grouped_journey",
        channels_colname="path",
        journey_with_conv_colname="converted",
        occurrences_colname="count",
    )


def mam_credit(result: Any) -> dict[str, float]:
    found = result.to_dict()
    return dict(zip(found["channels"], found["attribution"], strict=True))


def test_mam_heuristics(rows: list[Row]) -> None:
    model = fit_mam(rows)
    credit = attribute(rows, ["first_touch", "last_touch", "linear", "position_based"])
    runs = {
        "first_touch": model.run_first_click,
        "last_touch": model.run_last_click,
        "linear": model.run_linear,
        "position_based": model.run_position_based,
    }
    for name, run in runs.items():
        ours = column(credit, name)
        assert ours == pytest.approx(dict.fromkeys(ours, 0.0) | mam_credit(run()), **CREDIT)


@pytest.mark.parametrize("loops", [True, False])
def test_mam_removal_effects(rows: list[Row], loops: bool) -> None:
    found = fit_mam(rows).run_markov(transition_to_same_state=loops)
    credit = attribute(rows, ["markov"])
    assert removal_effects(credit) == pytest.approx(
        found.metadata["removal_effect"]["removal_effect"].to_dict(), **CREDIT
    )
    # Its credit splits every journey by the removal effects of its own touches, not the total by all of them.
    share, expected = column(credit, "markov", "share"), dict.fromkeys(column(credit, "markov"), 0.0)
    for row in rows:
        own = sum(share[touch] for touch in touches(row))
        for touch in touches(row):
            expected[touch] += row[1] * share[touch] / own if own else 0.0
    assert mam_credit(found) == pytest.approx(expected, **CREDIT)


def test_mam_time_decay() -> None:
    polars = pytest.importorskip("polars")
    generator = np.random.default_rng(5)
    events = []
    for user in range(60):
        days = np.sort(generator.choice(200, generator.integers(1, 7), replace=False))
        for day in days:
            channel, last = "abcd"[generator.integers(4)], bool(day == days[-1])
            events.append(
                (f"u{user}", np.datetime64("2025-01-01", "us") + np.timedelta64(int(day), "D"), channel, last)
            )
    frame = polars.DataFrame(
        {
            "user": [event[0] for event in events],
            "time": np.array([event[1] for event in events]),
            "channel": [event[2] for event in events],
            "converted": [event[3] and int(event[0][1:]) % 3 == 0 for event in events],
        }
    )
    model = peer("mam").MAM(
        frame,
        format_type="session",
        channels_colname="channel",
        journey_with_conv_colname="converted",
        datetime_colname="time",
        user_id_colname="user",
    )
    journeys = tw.read_events(
        frame.to_arrow(), user="user", time="time", channel="channel", conversion="converted", lookback=None
    )
    ours = column(tw.attribute(journeys, models=["time_decay"], half_life="7d"), "time_decay")
    assert ours == pytest.approx(mam_credit(model.run_time_decay(half_life_hours=168.0)), **CREDIT)


def test_mam_shapley_plays_one_game_per_channel_set() -> None:
    rows = drawn_paths(seed=1, paths=40, channels=5, longest=4)
    theirs = mam_credit(fit_mam(rows).run_shapley(max_size=5, value_column="conversions"))
    conversions = exact_sets(rows)
    expected = dict.fromkeys("abcde", 0.0)
    for held, worth in list(conversions.items()):
        if worth:
            for channel, credit in shapley_value(sorted(held), lambda S: conversions.get(S, 0.0)).items():
                expected[channel] += credit
    assert theirs == pytest.approx(expected, **CREDIT)
    assert column(attribute(rows, ["shapley"]), "shapley") != pytest.approx(theirs, rel=1e-2)
