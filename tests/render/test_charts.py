"""Plots: what they show, what they say, and that names are never markup."""

import json

import numpy as np
import pyarrow as pa
import pytest

from tests.render.tables import coalition_table, random_coalitions, synergy_table
from touchworth.errors import RequestError
from touchworth.render.attribution_charts import (
    credit_bars,
    difference_bars,
    first_steps,
    lags,
    lengths,
    path_starts,
    position_map,
    removal_bars,
    transition_map,
    truth_scores,
)
from touchworth.render.palette import THEMES, empty, label, save_html, shorten, take_title, theme_named
from touchworth.render.synergy_charts import network, rows_of, upset, value_volume, waterfall
from touchworth.render.units import UNITS, Unit, unit_named

MODELS = ("last_touch", "linear", "markov")
CHANNELS = ("Email", "Paid <b>Social</b>", "Affiliate")


def credit(segments=(None,), channels=CHANNELS, models=MODELS):
    rows = []
    for i, model in enumerate(models):
        for segment in segments:
            for j, channel in enumerate(channels):
                conversions = 100.0 - 10 * j + i
                row = {
                    "model": model, "channel": channel, "touches": 1000.0, "conversions": conversions,
                    "conversions_low": conversions - 5, "conversions_high": conversions + 7, "value": conversions * 50,
                    "value_low": None, "value_high": None, "share": 0.2, "roas": 2.0 + j,
                    "roas_low": 1.0, "roas_high": None, "low_evidence": j == 2,
                }  # fmt: skip
                rows.append(row if segment is None else row | {"segment": segment})
    return pa.Table.from_pylist(rows)


TRANSITIONS = pa.table(
    {
        "from": ["(start)", "(start)", "Email", "Email", "Ads", "Ads"],
        "to": ["Email", "Ads", "Ads", "(conversion)", "Email", "(null)"],
        "count": [6.0, 4.0, 5.0, 5.0, 4.0, 5.0],
        "probability": [0.6, 0.4, 0.5, 0.5, 4 / 9, 5 / 9],
    }
)
PATHS = pa.table(
    {
        "path": ["Email", "Email > Ads", "Ads > Email > Ads > Email > Ads"],
        "touches": [1, 2, 5],
        "conversions": [3.0, 2.0, 1.0],
        "value": [30.0, 20.0, 10.0],
        "nulls": [7.0, 0.0, 4.0],
        "conversion_rate": [0.3, 1.0, 0.2],
    }
)
DIFFERENCE = pa.table(
    {
        "channel": ["Email", "Ads"],
        "share_a": [0.6, 0.4],
        "share_b": [0.5, 0.5],
        "difference": [0.1, -0.1],
        "low": pa.array([0.05, None], pa.float64()),
        "high": pa.array([0.15, None], pa.float64()),
    }
)
SCORES = pa.table(
    {
        "truth": ["direct", "direct", "shapley"],
        "model": ["markov", "last_touch", "markov"],
        "mean_abs_share_error": pa.array([0.01, 0.05, None], pa.float64()),
        "rank_correlation": pa.array([0.9, None, None], pa.float64()),
        "worst_channel": ["Email", "Ads", None],
        "worst_error": pa.array([0.02, 0.09, None], pa.float64()),
    }
)
POSITIONS = pa.table({"channel": ["Email", "Ads", "Email"], "position": [1, 2, 30], "conversions": [5.0, 3.0, 0.5]})

DRAWN = {
    "upset": lambda theme: upset(synergy_table(), theme=theme),
    "network": lambda theme: network(
        synergy_table(), dict.fromkeys(("email", "seo", "sem", "homepage"), 0.01), theme=theme
    ),
    "value_volume": lambda theme: value_volume(synergy_table(), theme=theme),
    "waterfall": lambda theme: waterfall([("a", 0.2), ("a & b", -0.05)], name="a & b", theme=theme),
    "credit": lambda theme: credit_bars(credit(), theme=theme),
    "difference": lambda theme: difference_bars(DIFFERENCE, "markov", "linear", theme=theme),
    "transitions": lambda theme: transition_map(TRANSITIONS, theme=theme),
    "removal": lambda theme: removal_bars(
        pa.table({"channel": ["Email"], "removal_effect": [0.4], "removal_effect_value": [0.3]}), theme=theme
    ),
    "positions": lambda theme: position_map(POSITIONS, theme=theme),
    "lengths": lambda theme: lengths(
        pa.table({"touches": [1, 2, 80], "conversions": [3.0, 1.0, 1.0], "nulls": [9.0, 4.0, 0.0]}), theme=theme
    ),
    "lags": lambda theme: lags(pa.table({"days": [0, 3], "conversions": [5, 2]}), theme=theme),
    "first_steps": lambda theme: first_steps(PATHS, theme=theme),
    "truth": lambda theme: truth_scores(SCORES, theme=theme),
}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", DRAWN)
def test_every_plot_has_a_title_and_named_axes_and_no_background(name, theme):
    figure = DRAWN[name](theme)
    layout = json.loads(figure.to_json())["layout"]
    assert layout["title"]["text"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert layout["font"]["color"] == THEMES[theme].ink
    if name in ("network", "first_steps"):
        return
    titles = [layout[axis].get("title", {}).get("text") for axis in layout if axis.startswith(("xaxis", "yaxis"))]
    # The names of coalitions or channels need no title; every axis of numbers has one.
    assert sum(map(bool, titles)) >= 1
    for axis in (layout[axis] for axis in layout if axis.startswith(("xaxis", "yaxis"))):
        numeric = axis.get("tickmode") != "array" and axis.get("showticklabels", True)
        assert not numeric or axis.get("title", {}).get("text"), axis


@pytest.mark.parametrize(
    "figure",
    [
        lambda: upset(synergy_table().slice(0, 0)),
        lambda: network(synergy_table(), {}),
        lambda: value_volume(synergy_table().slice(0, 0)),
        lambda: waterfall([]),
        lambda: credit_bars(credit(), "cost_per_conversion"),
        lambda: transition_map(TRANSITIONS.slice(0, 0)),
        lambda: removal_bars(
            pa.table({"channel": [], "removal_effect": [], "removal_effect_value": []}),
        ),
        lambda: position_map(POSITIONS.slice(0, 0)),
        lambda: lags(pa.table({"days": [], "conversions": []})),
        lambda: first_steps(PATHS.slice(0, 0)),
        lambda: truth_scores(SCORES.slice(0, 0)),
        lambda: difference_bars(DIFFERENCE.slice(0, 0), "a", "b"),
    ],
)
def test_nothing_to_draw_is_said(figure):
    (note,) = figure().layout.annotations
    assert note.text.endswith(".")


def test_upset_bars_are_the_table_with_its_intervals():
    table = synergy_table()
    bars, support, _, lines, dots = upset(table, top=7).data
    rows = table.slice(0, 7).to_pylist()
    np.testing.assert_allclose(bars.y, [100 * row["synergy"] for row in rows])
    np.testing.assert_allclose(bars.error_y.array, [100 * (row["ci_high"] - row["synergy"]) for row in rows])
    np.testing.assert_allclose(bars.error_y.arrayminus, [100 * (row["synergy"] - row["ci_low"]) for row in rows])
    assert list(support.y) == [row["support"] for row in rows]
    assert len(dots.x) == sum(row["size"] for row in rows)
    assert len(lines.x) == 3 * 7


@pytest.mark.parametrize("measure", ["dividend", "contrast"])
def test_other_measures_get_intervals_from_their_standard_errors(measure):
    row = rows_of(synergy_table(), measure)[0]
    source = synergy_table().slice(0, 1).to_pylist()[0]
    assert row.value == source[measure]
    assert row.high - row.value == pytest.approx(1.96 * source[f"{measure}_std_error"], rel=1e-4)


def test_open_interval_ends_and_missing_values_draw():
    table = synergy_table()
    low = pa.array([None] * len(table), pa.float64())
    missing = pa.array([None, *table["synergy"].to_pylist()[1:]], pa.float64())
    names = table.column_names
    table = table.set_column(names.index("ci_low"), "ci_low", low)
    table = table.set_column(names.index("synergy"), "synergy", missing)
    bars = upset(table, top=3).data[0]
    assert set(bars.error_y.arrayminus) == {0.0}
    assert "at most" in bars.hovertext[0]
    assert len(rows_of(table, "synergy")) == len(table) - 1


def test_network_draws_the_strongest_pairs_and_leaves_out_insignificant_ones_on_request():
    table = synergy_table()
    players = dict.fromkeys(("email", "seo", "sem", "deals_page", "homepage", "account_page"), 0.01)
    lines = [trace for trace in network(table, players, edges=5).data if trace.line.width and trace.hoverinfo == "skip"]
    assert len(lines) == 5
    pairs = [row for row in rows_of(table, "synergy") if len(row.members) == 2]
    significant = [row for row in pairs if row.q_value is not None and row.q_value <= 0.05]
    figure = network(table, players, edges=99, largest_q=0.05)
    assert f"{len(significant)} of {len(significant)} pairs" in figure.layout.title.subtitle.text


def test_value_volume_thins_thousands_of_points_but_keeps_the_front():
    table = coalition_table(random_coalitions([f"p{i:02}" for i in range(30)]), 50_000)
    figure = value_volume(table)
    drawn = sum(len(trace.x) for trace in figure.data)
    assert drawn == 3_000
    front = [row for row in rows_of(table, "synergy") if row.front_rank == 1]
    assert len(figure.data[-1].x) == len(front)


def test_waterfall_adds_up_and_sums_small_parts():
    parts = [(f"part {i}", 0.01 * (-1) ** i / (i + 1)) for i in range(63)]
    (bars,) = waterfall(parts, most=10).data
    assert len(bars.x) == 11
    assert bars.x[-1] == pytest.approx(100 * sum(value for _, value in parts))
    assert sum(bars.x[:-1]) == pytest.approx(bars.x[-1])
    assert bars.measure[-1] == "total"


def test_credit_bars_stand_side_by_side_with_their_intervals():
    figure = credit_bars(credit(), models=["markov", "linear"])
    assert [trace.name for trace in figure.data] == ["markov", "linear"]
    first = figure.data[0]
    assert list(first.y) == [102.0, 92.0, 82.0]
    assert list(first.error_y.array) == [7.0] * 3
    assert list(first.error_y.arrayminus) == [5.0] * 3
    assert figure.data[0].x[0] + figure.data[0].width <= figure.data[1].x[0] + 1e-9 + figure.data[0].width
    assert "low evidence" in first.hovertext[2]


def test_credit_bars_take_a_segment_and_the_largest_channels():
    table = credit(("all", "loyal"), [f"channel {i}" for i in range(40)])
    figure = credit_bars(table, segment="loyal", channels=5)
    assert len(figure.data[0].x) == 5
    assert "5 of 40 channels" in figure.layout.title.subtitle.text
    with pytest.raises(RequestError, match="no segment 'loyal'"):
        credit_bars(credit(), segment="loyal")


def test_twelve_models_differ_in_colour_or_pattern():
    models = [f"model {i}" for i in range(13)]
    figure = credit_bars(credit(models=models))
    looks = {(trace.marker.color, trace.marker.pattern.shape) for trace in figure.data}
    assert len(looks) == 13


def test_bad_requests_name_what_is_right():
    with pytest.raises(RequestError, match="the metric is 'clicks'; it must be one of 'conversions'"):
        credit_bars(credit(), "clicks")
    with pytest.raises(RequestError, match="model is 'magic'"):
        credit_bars(credit(), models=["magic"])
    with pytest.raises(RequestError, match="the measure is 'lift'"):
        upset(synergy_table(), measure="lift")
    with pytest.raises(RequestError, match="the theme is 'pink'"):
        theme_named("pink")
    with pytest.raises(RequestError, match="the scale is 'cubic'"):
        unit_named("cubic")


def test_names_are_never_markup():
    text = credit_bars(credit()).to_json()
    assert "<b>Social</b>" not in json.loads(text)["layout"]["xaxis"]["ticktext"][1]
    assert label("<a href='x'>") == "&lt;a href='x'&gt;"
    table = coalition_table(random_coalitions(["<img src=x>", "b & lt;", "c"]), 50_000)
    assert "<img" not in upset(table).to_json().replace("\\u003c", "<")


def test_transition_map_shows_probabilities_in_percent():
    (heat,) = transition_map(TRANSITIONS).data
    assert heat.z[0][0] == pytest.approx(60.0)
    assert heat.z[2][-1] is None or heat.z[2][-1] == pytest.approx(100 * 5 / 9)
    assert "never" in heat.hovertext[0][-1]


def test_histograms_fill_gaps_and_keep_the_tail():
    figure = lengths(pa.table({"touches": [1, 3, 99], "conversions": [2.0, 1.0, 4.0], "nulls": [0.0, 0.0, 0.0]}))
    (bars,) = figure.data
    assert list(bars.y[:3]) == [2.0, 0.0, 1.0]
    assert bars.y[-1] == 4.0
    assert figure.layout.xaxis.ticktext[-1] == "40+"


def test_first_steps_keep_every_journey():
    (flow,) = first_steps(PATHS, steps=2, channels=1).data
    ends = dict.fromkeys(("conversion", "no conversion"), 0.0)
    for target, value in zip(flow.link.target, flow.link.value, strict=True):
        if flow.node.label[target] in ends:
            ends[flow.node.label[target]] += value
    assert ends == {"conversion": 6.0, "no conversion": 11.0}
    assert "other channels" in flow.node.label


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_starts_of_paths_draw_the_same_flow(steps):
    starts = path_starts(PATHS, touches=4)
    assert max(text.count(">") for text in starts["path"].to_pylist()) == 3
    assert first_steps(starts, steps=steps).to_json() == first_steps(PATHS, steps=steps).to_json()


def test_position_map_adds_up_late_positions():
    (heat,) = position_map(POSITIONS, longest=4).data
    assert heat.z[0][0] == 5.0
    assert heat.z[0][4] == 0.5


def test_truth_scores_leave_out_what_is_undefined():
    figure = truth_scores(SCORES)
    assert sum(len(trace.x) for trace in figure.data) == 2


@pytest.mark.parametrize("scale", UNITS)
def test_every_scale_has_units(scale):
    dividend, value = unit_named(scale)
    assert dividend.title
    assert value.title


def test_numbers_are_rounded_for_people():
    unit = Unit("", 100, " %")
    assert unit.text(0.123456) == "12.3 %"
    assert unit.text(None) == "–"
    assert unit.between(0.1, 0.2) == "10 % to 20 %"
    assert unit.between(None, None) == ""
    assert shorten("a" * 30, 10) == "a" * 6 + "…" + "a" * 3
    assert shorten("short") == "short"


def test_saved_page_is_self_contained_and_not_replaced_without_force(tmp_path):
    path = tmp_path / "plot.html"
    save_html(empty("Nothing here.", title="x"), path, theme="dark", title="<x>")
    page = path.read_text("utf-8")
    assert "<title>&lt;x&gt;</title>" in page
    assert THEMES["dark"].page in page
    assert '<script src="http' not in page
    assert "Plotly.newPlot" in page
    with pytest.raises(RequestError, match="--force"):
        save_html(empty("Nothing here."), path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_can_take_the_title_off():
    figure = credit_bars(credit())
    assert take_title(figure) == ("Conversions credited", "whiskers are intervals over users, not over models")
    assert not figure.layout.title.text
