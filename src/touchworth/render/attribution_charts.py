"""Plots of credit and of journeys: bars by channel and model, chains, positions, lengths, lags, first steps, scores.

Each takes an Arrow table of a result and returns a Plotly figure; `theme` is ``light`` or ``dark``.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from touchworth.errors import RequestError, not_one_of
from touchworth.render.palette import empty, finish, label, positions, theme_named
from touchworth.render.units import METRICS, Unit, column

__all__ = [
    "credit_bars",
    "difference_bars",
    "first_steps",
    "lags",
    "lengths",
    "path_starts",
    "position_map",
    "removal_bars",
    "transition_map",
    "truth_scores",
]

PERCENT = METRICS["share"]
COUNT = Unit("")


def credit_bars(
    table: Any,
    metric: str = "conversions",
    *,
    models: Sequence[str] | None = None,
    channels: int = 12,
    segment: str | None = None,
    theme: str = "light",
) -> Any:
    """A metric of the credit table by channel and model, with its intervals.

    Parameters
    ----------
    table
        Credit table.
    metric
        conversions, value, conversion_rate, share, cost_per_conversion or roas.
    models
        Models drawn, in this order; all of the table if None.
    channels
        Channels drawn, those with the largest mean over the models.
    segment
        Rows of this segment, where the table has segments (``all`` if None).
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    if metric not in METRICS:
        raise not_one_of("the metric", metric, METRICS)
    unit = METRICS[metric]
    if metric not in table.column_names:
        return empty(
            f"No {metric.replace('_', ' ')}: it needs spend or cost per touch.", theme, title=unit.title.split(" (")[0]
        )
    rows = select(table, segment)
    known = list(dict.fromkeys(row["model"] for row in rows))
    asked = known if models is None else list(models)
    for name in asked:
        if name not in known:
            raise not_one_of("model", name, known)
    rows = [row for row in rows if row["model"] in asked and row[metric] is not None]
    if not rows:
        return empty("Nothing to show for these models.", theme, title=unit.title.split(" (")[0])
    sums: dict[str, list[float]] = {}
    for row in rows:
        sums.setdefault(row["channel"], []).append(row[metric])
    ranked = sorted(sums, key=lambda name: (-sum(sums[name]) / len(sums[name]), name))
    shown = ranked[:channels]
    place = {name: i for i, name in enumerate(shown)}
    width = 0.84 / len(asked)
    figure = go.Figure()
    any_interval = False
    for number, model in enumerate(asked):
        mine = sorted((row for row in rows if row["model"] == model and row["channel"] in place),
                      key=lambda row: place[row["channel"]])  # fmt: skip
        values = [row[metric] for row in mine]
        low = [row.get(f"{metric}_low") for row in mine]
        high = [row.get(f"{metric}_high") for row in mine]
        any_interval |= any(end is not None for end in low)
        texts = []
        for row, value, a, b in zip(mine, values, low, high, strict=True):
            between = unit.between(a, b)
            texts.append(
                f"<b>{label(row['channel'], None)}</b><br>{label(model, None)}: {unit.text(value, 4)}"
                + (f" ({between})" if between else "")
                + ("<br>low evidence" if row.get("low_evidence") else "")
            )
        figure.add_bar(
            x=[place[row["channel"]] + width * (number - (len(asked) - 1) / 2) for row in mine],
            y=unit.shown(values), name=label(model, None), width=width * 0.92,
            marker={"color": look.colour(number), "pattern": {"shape": look.pattern(number), "fillmode": "overlay"}},
            error_y={
                "type": "data", "symmetric": False, "color": look.ink, "thickness": 1, "width": min(4, 16 * width),
                "array": [0 if b is None else max(0.0, b - v) * unit.factor for v, b in zip(values, high, strict=True)],
                "arrayminus": [
                    0 if a is None else max(0.0, v - a) * unit.factor for v, a in zip(values, low, strict=True)
                ],
            },
            hovertext=texts, hoverinfo="text",
        )  # fmt: skip
    notes = []
    if len(ranked) > len(shown):
        notes.append(f"{len(shown)} of {len(ranked)} channels")
    if any_interval:
        notes.append("whiskers are intervals over users, not over models")
    finish(
        figure, look, height=470, title=unit.title.split(" (")[0], note="; ".join(notes), legend=len(asked) > 1,
        barmode="overlay", hovermode="closest",
    )  # fmt: skip
    if len(asked) > 6:
        # Rows of a legend above would run into the title.
        figure.update_layout(
            legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top"},
            margin_t=figure.layout.margin.t - 24,
        )
    figure.update_xaxes(
        **positions(shown, 16), showgrid=False, zeroline=False, range=[-0.55, len(shown) - 0.45], title_text="channel"
    )
    figure.update_yaxes(title_text=unit.title, rangemode="tozero")
    return figure


def select(table: Any, segment: str | None) -> list[dict[str, Any]]:
    """Rows of one segment; of all where the table has none."""
    rows: list[dict[str, Any]] = table.to_pylist()
    if "segment" not in table.column_names:
        if segment not in (None, "all"):
            raise RequestError(f"the table has no segment {segment!r}; ask for loyal_touches first")
        return rows
    return [row for row in rows if row["segment"] == (segment or "all")]


def difference_bars(table: Any, a: str, b: str, *, channels: int = 20, theme: str = "light") -> Any:
    """Difference of shares of two models or segments, with intervals.

    Parameters
    ----------
    table
        channel, share_a, share_b, difference, low, high (from ``Credit.difference``).
    a, b
        Their names.
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    unit = Unit("percentage points of all conversions", 100, " pp")
    title = f"Shares: {a} minus {b}"
    rows = sorted(table.to_pylist(), key=lambda row: -abs(row["difference"]))[:channels]
    if not rows:
        return empty("No channel to compare.", theme, title=title)
    rows.sort(key=lambda row: row["difference"])
    names = [row["channel"] for row in rows]
    texts = [
        f"<b>{label(row['channel'], None)}</b><br>{label(a, None)}: {PERCENT.text(row['share_a'])}, "
        f"{label(b, None)}: {PERCENT.text(row['share_b'])}<br>difference {unit.text(row['difference'])}"
        + (f" ({unit.between(row['low'], row['high'])})" if row["low"] is not None else "")
        for row in rows
    ]
    figure = go.Figure(
        go.Bar(
            orientation="h", y=list(range(len(rows))), x=unit.shown([row["difference"] for row in rows]), width=0.62,
            marker={"color": [look.signed(row["difference"]) for row in rows]},
            error_x={
                "type": "data", "symmetric": False, "color": look.ink, "thickness": 1.2, "width": 4,
                "array": [0 if row["high"] is None else 100 * (row["high"] - row["difference"]) for row in rows],
                "arrayminus": [0 if row["low"] is None else 100 * (row["difference"] - row["low"]) for row in rows],
            },
            hovertext=texts, hoverinfo="text",
        )
    )  # fmt: skip
    more = "" if len(table) == len(rows) else f"{len(rows)} of {len(table)} channels; "
    finish(figure, look, height=130 + 30 * len(rows), title=title,
           note=f"{more}share of conversions, with its interval")  # fmt: skip
    figure.update_yaxes(**positions(names), showgrid=False, zeroline=False)
    figure.update_xaxes(title_text=unit.title, zerolinewidth=1.5)
    return figure


def heat_map(
    cells: Sequence[Sequence[float | None]],
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    *,
    unit: Unit,
    row_title: str,
    column_title: str,
    bar_title: str,
    title: str,
    note: str,
    theme: str,
) -> Any:
    """A matrix as colours, the first row on top, numbers in the cells where they fit."""
    import plotly.graph_objects as go

    look = theme_named(theme)
    written = len(columns) <= 16 and len(rows) <= 24
    shades = [[i / (len(look.scale) - 1), colour] for i, colour in enumerate(look.scale)]
    figure = go.Figure(
        go.Heatmap(
            z=[unit.shown(row) for row in cells], x=list(range(len(columns))), y=list(range(len(rows))), zmin=0,
            colorscale=shades, xgap=1, ygap=1, hovertext=texts, hoverinfo="text", hoverongaps=False,
            text=[["" if value is None else unit.text(value, 2).removesuffix(unit.suffix) for value in row]
                  for row in cells] if written else None,
            texttemplate="%{text}" if written else None, textfont={"size": 11, "color": look.ink},
            colorbar={"title": {"text": bar_title, "side": "right", "font": {"size": 12, "color": look.muted}},
                      "thickness": 12, "outlinewidth": 0, "tickfont": {"size": 11}, "len": 1.0},
        )
    )  # fmt: skip
    finish(figure, look, height=150 + 30 * len(rows), title=title, note=note)
    figure.update_xaxes(**positions(columns, 16), showgrid=False, zeroline=False, title_text=column_title)
    figure.update_yaxes(
        **positions(rows, 20), showgrid=False, zeroline=False, autorange="reversed", title_text=row_title
    )
    return figure


def transition_map(transitions: Any, *, states: int = 20, theme: str = "light") -> Any:
    """Transition probabilities of the Markov chain, from the row to the column.

    Parameters
    ----------
    transitions
        from, to, count, probability.
    states
        States drawn, those left most often; (start), (conversion) and (null) are always there.
    """
    title = "Transitions of the Markov chain"
    rows = transitions.to_pylist()
    if not rows:
        return empty("The chain has no transitions.", theme, title=title)
    seen: dict[str, float] = {}
    for row in rows:
        seen[row["from"]] = seen.get(row["from"], 0.0) + row["count"]
    ends = ("(start)", "(conversion)", "(null)")
    ranked = sorted((name for name in seen if name not in ends), key=lambda name: (-seen[name], name))
    inner = ranked[:states]
    sources, targets = ["(start)", *inner], [*inner, "(conversion)", "(null)"]
    at = {(row["from"], row["to"]): row for row in rows}
    cells = [[at[a, b]["probability"] if (a, b) in at else None for b in targets] for a in sources]
    texts = [
        [
            f"from <b>{label(a, None)}</b> to <b>{label(b, None)}</b><br>"
            + (f"{100 * at[a, b]['probability']:.3g} % of {seen[a]:,.0f} steps" if (a, b) in at else "never")
            for b in targets
        ]
        for a in sources
    ]
    more = "" if len(ranked) == len(inner) else f"; {len(inner)} of {len(ranked)} states"
    return heat_map(
        cells, sources, targets, texts, unit=PERCENT, row_title="from", column_title="to", bar_title="% of steps",
        title=title, note=f"% of the steps out of each state{more}", theme=theme,
    )  # fmt: skip


def removal_bars(removal: Any, *, channels: int = 25, theme: str = "light") -> Any:
    """Removal effects: the share of conversions (and of revenue) lost in the chain without the channel.

    Parameters
    ----------
    removal
        channel, removal_effect, removal_effect_value.
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    title = "Removal effects"
    rows = sorted(removal.to_pylist(), key=lambda row: (-row["removal_effect"], row["channel"]))[:channels]
    if not rows:
        return empty("There is no channel.", theme, title=title)
    names = [row["channel"] for row in rows]
    kinds = [("conversions", "removal_effect"), ("revenue", "removal_effect_value")]
    if not any(row["removal_effect_value"] for row in rows):
        kinds = kinds[:1]
    figure = go.Figure()
    for number, (text, name) in enumerate(kinds):
        figure.add_bar(
            orientation="h", x=PERCENT.shown([row[name] for row in rows]), y=list(range(len(rows))),
            name=f"% of {text} lost", marker={"color": look.colour(number)}, hoverinfo="text",
            hovertext=[f"<b>{label(row['channel'], None)}</b><br>{PERCENT.text(row[name])} of {text} lost without it"
                       for row in rows],
        )  # fmt: skip
    more = "" if len(removal) == len(rows) else f"{len(rows)} of {len(removal)} channels; "
    finish(figure, look, height=140 + 34 * len(rows), title=title, barmode="group", bargap=0.3, legend=len(kinds) > 1,
           note=f"{more}losses without the channel add up to over 100 %")  # fmt: skip
    figure.update_yaxes(**positions(names), autorange="reversed", showgrid=False, zeroline=False)
    figure.update_xaxes(title_text="lost without the channel (%)", rangemode="tozero")
    return figure


def position_map(table: Any, *, channels: int = 20, longest: int = 15, theme: str = "light") -> Any:
    """Ordered Shapley credit by channel and position in the journey.

    Parameters
    ----------
    table
        channel, position, conversions.
    longest
        Positions drawn; later ones are added up in the last column.
    """
    title = "Credit by position"
    sums: dict[tuple[str, int], float] = {}
    totals: dict[str, float] = {}
    for row in table.to_pylist():
        key = row["channel"], min(row["position"], longest + 1)
        sums[key] = sums.get(key, 0.0) + row["conversions"]
        totals[row["channel"]] = totals.get(row["channel"], 0.0) + row["conversions"]
    if not sums:
        return empty("No credit to show.", theme, title=title)
    ranked = sorted(totals, key=lambda name: (-totals[name], name))
    names = ranked[:channels]
    last = max(position for _, position in sums)
    labels = [str(i) if i <= longest else f"{longest + 1}+" for i in range(1, last + 1)]
    cells = [[sums.get((name, i)) for i in range(1, last + 1)] for name in names]
    texts = [
        [
            f"<b>{label(name, None)}</b> at position {text}<br>{COUNT.text(value, 4)} conversions"
            for text, value in zip(labels, row, strict=True)
        ]
        for name, row in zip(names, cells, strict=True)
    ]
    more = "" if len(ranked) == len(names) else f"; {len(names)} of {len(ranked)} channels"
    return heat_map(
        cells, names, labels, texts, unit=COUNT, row_title="channel", column_title="position of the touch",
        bar_title="conversions", title=title, note=f"conversions credited by ordered Shapley{more}", theme=theme,
    )  # fmt: skip


def with_tail(
    places: Sequence[int], amounts: Sequence[Sequence[float]], most: int = 40
) -> tuple[list[str], list[list[float]]]:
    """Bins 0 or 1 .. n of a histogram without gaps; what lies beyond `most` bins is one last bin."""
    first, last = min(places), max(places)
    stop = min(last, first + most - 1)
    labels = [str(i) for i in range(first, stop + 1)]
    if last > stop:
        labels[-1] = f"{stop}+"
    out = []
    for column_of in amounts:
        bins = [0.0] * len(labels)
        for place, amount in zip(places, column_of, strict=True):
            bins[min(place, stop) - first] += amount
        out.append(bins)
    return labels, out


def lengths(table: Any, *, theme: str = "light") -> Any:
    """Journeys by number of touches: converted ones above, all others below.

    Parameters
    ----------
    table
        touches, conversions, nulls (from ``Paths.lengths``).
    """
    return histogram(
        table["touches"].to_pylist(),
        {"converted journeys": column(table, "conversions"), "journeys without conversion": column(table, "nulls")},
        title="How many touches journeys take", axis="touches in the journey", theme=theme,
    )  # fmt: skip


def lags(table: Any, *, theme: str = "light") -> Any:
    """Conversions by whole days from the first touch.

    Parameters
    ----------
    table
        days, conversions (from ``Paths.lags``).
    """
    return histogram(
        table["days"].to_pylist(), {"conversions": column(table, "conversions")},
        title="How long conversions take", axis="whole days from the first touch to the conversion", theme=theme,
    )  # fmt: skip


def histogram(places: Sequence[int], counts: dict[str, list[Any]], *, title: str, axis: str, theme: str) -> Any:
    """One panel a count, one under the other, since converted journeys are few beside the others."""
    from plotly.subplots import make_subplots

    look = theme_named(theme)
    if not places:
        return empty("No journeys to show.", theme, title=title)
    counts = {name: values for name, values in counts.items() if any(values)} or counts
    labels, bins = with_tail(places, list(counts.values()))
    figure = make_subplots(rows=len(counts), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for number, (name, values) in enumerate(zip(counts, bins, strict=True)):
        total = sum(values) or 1.0
        running, texts = 0.0, []
        for text, value in zip(labels, values, strict=True):
            running += value
            texts.append(
                f"<b>{text}</b><br>{value:,.0f} {name} ({value / total:.1%})<br>up to here {running / total:.1%}"
            )
        figure.add_bar(
            x=list(range(len(labels))), y=values, marker={"color": look.colour(0) if number == 0 else look.neutral},
            hovertext=texts, hoverinfo="text", row=number + 1, col=1,
        )  # fmt: skip
    finish(figure, look, height=150 + 190 * len(counts), title=title, bargap=0.15)
    step = max(1, -(-len(labels) // 20))
    kept = [i for i in range(len(labels)) if i % step == 0]
    if labels[-1].endswith("+") and kept[-1] != len(labels) - 1:
        kept = [i for i in kept if i < len(labels) - step] + [len(labels) - 1]
    figure.update_xaxes(tickmode="array", tickvals=kept, ticktext=[labels[i] for i in kept], showgrid=False,
                        zeroline=False, showticklabels=True)  # fmt: skip
    figure.update_xaxes(title_text=axis, row=len(counts), col=1)
    for number, name in enumerate(counts):
        figure.update_yaxes(title_text=name, rangemode="tozero", nticks=6, tickformat=",~f", row=number + 1, col=1)
    return figure


def first_steps(paths: Any, *, delimiter: str = " > ", steps: int = 3, channels: int = 7, theme: str = "light") -> Any:
    """The first touches of journeys as a flow, and whether they end in a conversion.

    Parameters
    ----------
    paths
        path, conversions, nulls (from ``Paths.table``; ask for all paths, else the rare ones are missing).
    delimiter
        What joins the touches of a path.
    steps
        Touches shown, 1 or more.
    channels
        Channels shown at each step; the others are one box.
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    title = "The first steps of journeys"
    taken: list[tuple[list[str], int, float, float]] = []
    seen: dict[str, float] = {}
    for text, conversions, nulls in zip(
        paths["path"].to_pylist(), column(paths, "conversions"), column(paths, "nulls"), strict=True
    ):
        touches = text.split(delimiter)
        taken.append((touches[:steps], len(touches), conversions or 0.0, nulls or 0.0))
        for name in touches[:steps]:
            seen[name] = seen.get(name, 0.0) + (conversions or 0.0) + (nulls or 0.0)
    if not taken:
        return empty("No paths to show.", theme, title=title)
    ranked = sorted(seen, key=lambda name: (-seen[name], name))
    kept = {name: i for i, name in enumerate(ranked[:channels])}
    other, more, converted, lost = "other channels", "more touches", "conversion", "no conversion"
    flows: dict[tuple[tuple[int, str], tuple[int, str]], float] = {}
    for touches, length, conversions, nulls in taken:
        stops = [(i, name if name in kept else other) for i, name in enumerate(touches)]
        if length > steps:
            stops.append((steps, more))
        for pair in pairwise(stops):
            flows[pair] = flows.get(pair, 0.0) + conversions + nulls
        for end, weight in ((converted, conversions), (lost, nulls)):
            if weight:
                flows[stops[-1], (steps + 1, end)] = flows.get((stops[-1], (steps + 1, end)), 0.0) + weight
    order = {other: len(kept), more: len(kept) + 1, converted: 0, lost: 1}
    nodes = sorted(
        {end for pair in flows for end in pair}, key=lambda node: (node[0], kept.get(node[1], order.get(node[1], 0)))
    )
    place = {node: i for i, node in enumerate(nodes)}
    through = {node: max(sum(w for (a, _), w in flows.items() if a == node),
                         sum(w for (_, b), w in flows.items() if b == node)) for node in nodes}  # fmt: skip

    def colour(name: str) -> str:
        fixed = {converted: look.accent, lost: look.neutral, more: look.muted, other: look.neutral}
        return fixed.get(name) or look.colour(kept[name])

    total = sum(conversions + nulls for _, _, conversions, nulls in taken) or 1.0
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [label(name, 20) for _, name in nodes], "color": [colour(name) for _, name in nodes],
                "x": [0.001 + 0.998 * step / (steps + 1) for step, _ in nodes],
                "y": heights_of(nodes, through), "pad": 14, "thickness": 14, "line": {"width": 0},
                "customdata": [f"{label(name, None)}<br>{through[step, name]:,.0f} journeys "
                               f"({through[step, name] / total:.1%})" for step, name in nodes],
                "hovertemplate": "%{customdata}<extra></extra>",
            },
            link={
                "source": [place[a] for a, _ in flows], "target": [place[b] for _, b in flows],
                "value": list(flows.values()),
                "color": [tinted(colour(b[1]) if b[1] in (converted,) else colour(a[1])) for a, b in flows],
                "customdata": [f"{label(a[1], None)} → {label(b[1], None)}<br>{w:,.0f} journeys ({w / total:.1%})"
                               for (a, b), w in flows.items()],
                "hovertemplate": "%{customdata}<extra></extra>",
            },
            textfont={"color": look.ink, "size": 12, "shadow": "none"},
        )
    )  # fmt: skip
    finish(figure, look, height=520, title=title,
           note=f"{total:,.0f} journeys: {steps} touches, then what became of them")  # fmt: skip
    figure.update_layout(margin={"l": 8, "r": 8, "t": 70, "b": 16})
    return figure


def path_starts(paths: Any, *, delimiter: str = " > ", touches: int = 6) -> Any:
    """Paths cut after so many touches and added up: all that `first_steps` needs for fewer steps, in far fewer rows.

    Parameters
    ----------
    paths
        path, conversions, nulls.

    Returns
    -------
    pyarrow.Table with the same three columns.
    """
    import pyarrow as pa

    sums: dict[str, list[float]] = {}
    for text, conversions, nulls in zip(
        paths["path"].to_pylist(), column(paths, "conversions"), column(paths, "nulls"), strict=True
    ):
        start = delimiter.join(text.split(delimiter, touches)[:touches])
        found = sums.setdefault(start, [0.0, 0.0])
        found[0] += conversions or 0.0
        found[1] += nulls or 0.0
    return pa.table(
        {
            "path": pa.array(list(sums), pa.string()),
            "conversions": pa.array([found[0] for found in sums.values()], pa.float64()),
            "nulls": pa.array([found[1] for found in sums.values()], pa.float64()),
        }
    )


def heights_of(nodes: Sequence[tuple[int, str]], through: dict[tuple[int, str], float]) -> list[float]:
    """Middle of each box of a flow, from the top of its column, in the order of the nodes."""
    largest = max(sum(through[node] for node in nodes if node[0] == step) for step, _ in nodes)
    at: dict[int, float] = {}
    middles = []
    for step, name in nodes:
        size = 0.8 * through[step, name] / largest
        top = at.get(step, 0.01)
        middles.append(min(0.99, top + size / 2))
        at[step] = top + size + 0.03
    return middles


def tinted(colour: str) -> str:
    """A colour of six hexadecimal digits, mostly transparent."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.33)"


def truth_scores(scores: Any, *, theme: str = "light") -> Any:
    """Mean absolute error of each model's shares against the simulator's truth.

    Parameters
    ----------
    scores
        truth, model, mean_abs_share_error [, rank_correlation, worst_channel, worst_error].
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    unit = Unit("mean absolute error of the channels' shares (percentage points)", 100, " pp")
    title = "Models against the truth"
    rows = [row for row in scores.to_pylist() if row["mean_abs_share_error"] is not None]
    if not rows:
        return empty("No score is defined for these data.", theme, title=title)
    truths = list(dict.fromkeys(row["truth"] for row in rows))
    by_model: dict[str, list[float]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row["mean_abs_share_error"])
    names = sorted(by_model, key=lambda name: (sum(by_model[name]) / len(by_model[name]), name))
    place = {name: i for i, name in enumerate(names)}
    figure = go.Figure()
    for number, truth in enumerate(truths):
        mine = [row for row in rows if row["truth"] == truth]
        texts = []
        for row in mine:
            lines = [f"<b>{label(row['model'], None)}</b> against the {label(truth, None)} effect",
                     f"mean error {unit.text(row['mean_abs_share_error'])}"]  # fmt: skip
            if row.get("rank_correlation") is not None:
                lines.append(f"rank correlation {row['rank_correlation']:.2f}")
            if row.get("worst_channel") is not None:
                lines.append(f"worst: {label(str(row['worst_channel']), None)} ({unit.text(row['worst_error'])})")
            texts.append("<br>".join(lines))
        figure.add_scatter(
            x=unit.shown([row["mean_abs_share_error"] for row in mine]),
            y=[place[row["model"]] + 0.27 * (number - (len(truths) - 1) / 2) for row in mine],
            mode="markers", name=f"{label(truth, None)} effect",
            marker={"color": look.colour(number), "size": 9, "symbol": ("circle", "diamond", "square")[number % 3],
                    "line": {"color": look.page, "width": 1}},
            hovertext=texts, hoverinfo="text",
        )  # fmt: skip
    finish(figure, look, height=150 + 38 * len(names), title=title, legend=True, hovermode="closest",
           note="nearer to the left is nearer to the truth")  # fmt: skip
    figure.update_yaxes(**positions(names), autorange="reversed", title_text="model", zeroline=False)
    figure.update_xaxes(title_text=unit.title, rangemode="tozero")
    return figure
