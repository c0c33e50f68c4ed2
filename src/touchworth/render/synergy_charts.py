"""Plots of coalitions: UpSet matrix, synergy network, value against volume, waterfall of one coalition.

Each takes the coalition table (columns as in the documentation of ``touchworth synergy``) or parts of it, and returns a
Plotly figure; `theme` is ``light`` or ``dark``, `scale` that of the game (rate, log_rate, log_odds, or value for a real
target).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, log10, pi, sin
from typing import Any

from touchworth.errors import not_one_of
from touchworth.games.game import DELIMITER
from touchworth.render.palette import Theme, empty, finish, label, positions, shorten, theme_named
from touchworth.render.units import Unit, column, unit_named

__all__ = ["network", "upset", "value_volume", "waterfall"]

Z_95 = 1.959963984540054
MEASURES = ("synergy", "dividend", "contrast")
MOST_POINTS = 3_000
"""Points of a scatter plot: more are one blot and slow the page."""


@dataclass(frozen=True, slots=True)
class Row:
    """One coalition as it is drawn; numbers as in the table."""

    coalition: str
    members: tuple[str, ...]
    value: float
    low: float | None
    high: float | None
    support: float | None
    support_share: float | None
    rate: float | None
    q_value: float | None
    low_evidence: bool
    front_rank: int | None
    z: float | None


def rows_of(table: Any, measure: str) -> list[Row]:
    """Rows of the coalition table that have the measure, in its order."""
    if measure not in MEASURES:
        raise not_one_of("the measure", measure, MEASURES)
    values = column(table, measure)
    if measure == "synergy":
        lows, highs = column(table, "ci_low"), column(table, "ci_high")
    else:
        errors = column(table, f"{measure}_std_error")
        reach = [None if error is None else Z_95 * error for error in errors]
        lows = [None if v is None or r is None else v - r for v, r in zip(values, reach, strict=True)]
        highs = [None if v is None or r is None else v + r for v, r in zip(values, reach, strict=True)]
    q_values = column(table, "contrast_q_value" if measure == "contrast" else "q_value")
    names = table["coalition"].to_pylist()
    rest = (
        column(table, name) for name in ("support", "support_share", "rate", "low_evidence", "front_rank", "z")
    )  # fmt: skip
    return [
        Row(name, tuple(name.split(DELIMITER)), value, low, high, support, share, rate, q, bool(weak), front, z)
        for name, value, low, high, q, support, share, rate, weak, front, z in zip(
            names, values, lows, highs, q_values, *rest, strict=True
        )
        if value is not None
    ]


def hover(row: Row, measure: str, dividend: Unit, rate: Unit) -> str:
    """What a coalition's mark says."""
    lines = [f"<b>{label(row.coalition, None)}</b>", f"{measure} {dividend.text(row.value)}"]
    interval = dividend.between(row.low, row.high)
    if interval:
        lines[-1] += f" (95 %: {interval})"
    if row.support is not None:
        share = "" if row.support_share is None else f" ({100 * row.support_share:.3g} % of all)"
        lines.append(f"{row.support:,.0f} sessions{share}")
    if row.rate is not None:
        lines.append(f"value {rate.text(row.rate)}")
    if row.q_value is not None:
        lines.append(f"q = {row.q_value:.2g}")
    if row.low_evidence:
        lines.append("low evidence: fewer than 10 conversions or non-conversions")
    return "<br>".join(lines)


def short(members: Sequence[str], length: int) -> str:
    """Name of a coalition in about so many letters: every member keeps its part of them."""
    whole = DELIMITER.join(members)
    if len(whole) <= length:
        return whole
    each = max(7, (length - 3 * (len(members) - 1)) // len(members))
    return DELIMITER.join(shorten(name, each) for name in members)


def whiskers(rows: Sequence[Row], unit: Unit, theme: Theme) -> dict[str, Any]:
    """Asymmetric error bars; none where an end is missing."""

    def reach(row: Row, end: float | None) -> float:
        return 0.0 if end is None else abs(end - row.value) * unit.factor

    return {
        "type": "data",
        "symmetric": False,
        "array": [reach(row, row.high) for row in rows],
        "arrayminus": [reach(row, row.low) for row in rows],
        "color": theme.ink,
        "thickness": 1.2,
        "width": 3,
    }


def upset(table: Any, *, top: int = 25, measure: str = "synergy", scale: str = "rate", theme: str = "light") -> Any:
    """UpSet matrix: bars of the measure with 95 % intervals, bars of support, and the members as linked dots.

    Parameters
    ----------
    table
        Coalition table; its first `top` rows that have the measure are drawn, in its order.
    top
        Number of coalitions.
    measure
        synergy, dividend or contrast.

    Returns
    -------
    plotly Figure (Lex, Gehlenborg, Strobelt, Vuillemot, Pfister 2014 for the layout).
    """
    from plotly.subplots import make_subplots

    look = theme_named(theme)
    dividend, rate = unit_named(scale)
    rows = rows_of(table, measure)[:top]
    title = f"Coalitions by {measure}"
    if not rows:
        return empty("No coalition to show: lower the minimum support or loosen the filters.", theme, title=title)
    used = {member for row in rows for member in row.members}
    # The most frequent member on top: its dots make the longest line.
    players = sorted(used, key=lambda name: (-sum(name in row.members for row in rows), name))
    place = {name: len(players) - 1 - i for i, name in enumerate(players)}
    heights = [270, 90, 26 + 22 * len(players)]
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.025, row_heights=[h / sum(heights) for h in heights]
    )
    x = list(range(len(rows)))
    texts = [hover(row, measure, dividend, rate) for row in rows]
    figure.add_bar(
        x=x, y=dividend.shown([row.value for row in rows]), error_y=whiskers(rows, dividend, look), width=0.62,
        marker={"color": [look.signed(row.value) for row in rows],
                "opacity": [0.4 if row.low_evidence else 1.0 for row in rows]},
        hovertext=texts, hoverinfo="text", row=1, col=1,
    )  # fmt: skip
    figure.add_bar(
        x=x, y=[row.support for row in rows], width=0.62, marker={"color": look.neutral},
        hovertext=texts, hoverinfo="text", row=2, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=[i for i in x for _ in players], y=[p for _ in x for p in range(len(players))], mode="markers",
        marker={"color": look.grid, "size": 9}, hoverinfo="skip", row=3, col=1,
    )  # fmt: skip
    lines_x: list[float | None] = []
    lines_y: list[float | None] = []
    for i, row in enumerate(rows):
        ends = [place[name] for name in row.members]
        lines_x += [i, i, None]
        lines_y += [min(ends), max(ends), None]
    figure.add_scatter(x=lines_x, y=lines_y, mode="lines", line={"color": look.ink, "width": 2}, hoverinfo="skip",
                       row=3, col=1)  # fmt: skip
    figure.add_scatter(
        x=[i for i, row in enumerate(rows) for _ in row.members],
        y=[place[name] for row in rows for name in row.members], mode="markers",
        marker={"color": look.ink, "size": 9}, hoverinfo="text",
        hovertext=[f"{label(name, None)}<br>in {label(row.coalition, None)}" for row in rows for name in row.members],
        row=3, col=1,
    )  # fmt: skip
    faint = ", faint bars have low evidence" if any(row.low_evidence for row in rows) else ""
    finish(
        figure,
        look,
        height=sum(heights) + 90,
        title=title,
        note=f"{len(rows)} of {len(table):,} rows; whiskers are 95 % intervals{faint}",
        bargap=0.3,
        hovermode="closest",
    )
    figure.update_xaxes(showgrid=False, zeroline=False, showticklabels=False, range=[-0.7, len(rows) - 0.3])
    figure.update_yaxes(title_text=f"{measure}<br>({dividend.title})", row=1, col=1, zerolinewidth=1.5)
    figure.update_yaxes(
        title_text="sessions", row=2, col=1, nticks=4, tickformat=",~f", rangemode="tozero", zeroline=False
    )
    figure.update_yaxes(
        **positions(players[::-1], 28), showgrid=False, zeroline=False, range=[-0.7, len(players) - 0.3], row=3, col=1
    )
    return figure


def network(
    table: Any,
    players: Mapping[str, float],
    *,
    edges: int = 40,
    largest_q: float | None = None,
    scale: str = "rate",
    theme: str = "light",
) -> Any:
    """Synergy network: players on a circle sized by their Shapley value, pairs as lines.

    A line's colour is the sign of the pair's synergy, its width the size, its strength the evidence (q).

    Parameters
    ----------
    table
        Coalition table; its rows of size 2 are the lines.
    players
        Player -> Shapley value.
    edges
        Lines drawn, those with the largest absolute synergy (low evidence last).
    largest_q
        Pairs with a larger (or no) q-value are left out.
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    dividend, rate = unit_named(scale)
    title = "Synergy of pairs"
    pairs = [row for row in rows_of(table, "synergy") if len(row.members) == 2 and set(row.members) <= set(players)]
    if largest_q is not None:
        pairs = [row for row in pairs if row.q_value is not None and row.q_value <= largest_q]
    if not players or not pairs:
        return empty("No pair to show: lower the minimum support or loosen the filters.", theme, title=title)
    found = len(pairs)
    pairs = sorted(pairs, key=lambda row: (row.low_evidence, -abs(row.value)))[:edges]
    names = arrange(players, pairs)
    angle = {name: pi / 2 - 2 * pi * i / len(names) for i, name in enumerate(names)}
    at = {name: (cos(a), sin(a)) for name, a in angle.items()}
    largest = max(abs(row.value) for row in pairs) or 1.0
    figure = go.Figure()
    middles: list[tuple[float, float, str]] = []
    for row in reversed(pairs):
        (x0, y0), (x1, y1) = at[row.members[0]], at[row.members[1]]
        # Bent towards the centre, so that lines between neighbours do not hide behind their dots.
        curve = [bend(t / 16, x0, x1, y0, y1) for t in range(17)]
        figure.add_scatter(
            x=[x for x, _ in curve], y=[y for _, y in curve], mode="lines", hoverinfo="skip", showlegend=False,
            opacity=strength(row), line={"color": look.signed(row.value), "width": 1 + 6 * abs(row.value) / largest,
                                         "dash": "dot" if row.low_evidence else "solid"},
        )  # fmt: skip
        middles.append((*curve[8], hover(row, "synergy", dividend, rate)))
    figure.add_scatter(
        x=[x for x, _, _ in middles], y=[y for _, y, _ in middles], mode="markers", showlegend=False,
        marker={"size": 14, "color": "rgba(0,0,0,0)"}, hovertext=[text for *_, text in middles], hoverinfo="text",
    )  # fmt: skip
    most = max(abs(players[name]) for name in names) or 1.0
    figure.add_scatter(
        x=[at[name][0] for name in names], y=[at[name][1] for name in names], mode="markers", showlegend=False,
        marker={"size": [10 + 30 * (abs(players[name]) / most) ** 0.5 for name in names],
                "color": [look.signed(players[name]) for name in names], "line": {"color": look.page, "width": 2},
                "opacity": 1},
        cliponaxis=False,
        hovertext=[f"<b>{label(name, None)}</b><br>Shapley value {dividend.text(players[name])}" for name in names],
        hoverinfo="text",
    )  # fmt: skip
    for name in names:
        x, y = at[name]
        size = 10 + 30 * (abs(players[name]) / most) ** 0.5
        figure.add_annotation(
            x=x, y=y, text=label(name, 22), showarrow=False, font={"size": 12, "color": look.ink},
            xshift=(size / 2 + 7) * x, yshift=(size / 2 + 11) * y,
            xanchor="center" if abs(x) < 0.18 else "left" if x > 0 else "right",
            yanchor="middle" if abs(x) >= 0.18 else "bottom" if y > 0 else "top",
        )  # fmt: skip
    for text, value in (("more than its parts", 1.0), ("less than its parts", -1.0)):
        figure.add_scatter(x=[None], y=[None], mode="lines", name=text, line={"color": look.signed(value), "width": 4})
    finish(
        figure,
        look,
        height=620,
        title=title,
        note=f"{len(pairs)} of {found} pairs; dot size: Shapley value\nline width: synergy, strength: evidence (q)",
        legend=True,
        hovermode="closest",
    )
    # The domain gives way to the shape of the page, not the ranges: those would keep what a narrow page once asked for.
    figure.update_xaxes(visible=False, range=[-2.4, 2.4], constrain="domain")
    figure.update_yaxes(visible=False, range=[-1.24, 1.24], scaleanchor="x", scaleratio=1, constrain="domain")
    return figure


def arrange(players: Mapping[str, float], pairs: Sequence[Row]) -> list[str]:
    """Order around the circle: players without a line are left out, linked ones stand near each other.

    The angle of the leading eigenvectors would do better; a greedy walk along the strongest lines is enough for the
    few dozen players that a circle holds, and is the same at every call.
    """
    weight: dict[tuple[str, str], float] = {}
    for row in pairs:
        a, b = row.members
        weight[a, b] = weight[b, a] = abs(row.value)
    left = sorted({name for row in pairs for name in row.members}, key=lambda name: (-abs(players[name]), name))
    walk = [left.pop(0)]
    while left:
        nearest = max(left, key=lambda name: weight.get((walk[-1], name), 0.0))
        left.remove(nearest)
        walk.append(nearest)
    return walk


def bend(t: float, x0: float, x1: float, y0: float, y1: float) -> tuple[float, float]:
    """Point of the quadratic curve between two points of the circle, pulled to 0.35 of their middle."""
    mx, my = 0.35 * (x0 + x1) / 2, 0.35 * (y0 + y1) / 2
    a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
    return a * x0 + b * mx + c * x1, a * y0 + b * my + c * y1


def strength(row: Row) -> float:
    """Opacity of a line from its q-value."""
    if row.q_value is None:
        return 0.35
    return next(
        opacity for limit, opacity in ((0.01, 0.9), (0.05, 0.65), (0.2, 0.35), (2.0, 0.15)) if row.q_value < limit
    )


def value_volume(
    table: Any, *, measure: str = "synergy", scale: str = "rate", labels: int = 8, theme: str = "light"
) -> Any:
    """Synergy against support (log): what is large and frequent at once; the Pareto front is linked.

    Parameters
    ----------
    table
        Coalition table; rows of size 2 and more are drawn, above 3,000 those with the largest absolute z.
    labels
        Names written at points of the front; all names are in the hover text.
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    dividend, rate = unit_named(scale)
    title = "Value against volume"
    found = [row for row in rows_of(table, measure) if len(row.members) > 1 and row.support]
    if not found:
        return empty("No coalition of two or more to show.", theme, title=title)
    rows = found
    if len(found) > MOST_POINTS:
        rows = sorted(found, key=lambda row: (row.front_rank != 1, -abs(row.z or 0.0)))[:MOST_POINTS]
    front = sorted((row for row in rows if row.front_rank == 1), key=lambda row: row.support or 0.0)
    others = [row for row in rows if row.front_rank != 1]
    figure = go.Figure()
    for text, some, symbol, colour in (
        ("low evidence", [row for row in others if row.low_evidence], "circle-open", look.neutral),
        ("more than the parts", [row for row in others if not row.low_evidence and row.value >= 0], "circle",
         look.positive),
        ("less than the parts", [row for row in others if not row.low_evidence and row.value < 0], "circle",
         look.negative),
    ):  # fmt: skip
        if not some:
            continue
        figure.add_scatter(
            x=[row.support for row in some], y=dividend.shown([row.value for row in some]), mode="markers", name=text,
            marker={"color": colour, "size": 7, "opacity": 0.55, "symbol": symbol},
            hovertext=[hover(row, measure, dividend, rate) for row in some], hoverinfo="text",
        )  # fmt: skip
    figure.add_scatter(
        x=[row.support for row in front], y=dividend.shown([row.value for row in front]), mode="lines+markers",
        name="front: none is both larger and more frequent", line={"color": look.accent, "width": 2},
        marker={"size": 11, "symbol": "diamond", "color": look.accent, "line": {"color": look.page, "width": 1}},
        hovertext=[hover(row, measure, dividend, rate) for row in front], hoverinfo="text",
    )  # fmt: skip
    more = f"{len(rows):,} of {len(found):,} coalitions of two or more"
    finish(figure, look, height=540, title=title, note=more, legend=True, hovermode="closest")
    low, high = log10(min(row.support or 1.0 for row in rows)), log10(max(row.support or 1.0 for row in rows))
    span = max(high - low, 0.3)
    # Room at the right for the names of the most frequent.
    figure.update_xaxes(
        type="log", title_text="sessions that hold the coalition (log scale)", **log_ticks(low, high),
        range=[low - 0.05 * span, high + (0.24 if front and labels else 0.05) * span],
    )  # fmt: skip
    values = [row.value for row in rows]
    tall = max(values) - min(values) or 1.0
    for row, (across, up) in free_places(front, labels, span * 1.29, tall):
        figure.add_annotation(
            x=log10(row.support or 1.0), y=row.value * dividend.factor, text=label(short(row.members, 34), None),
            showarrow=True, arrowhead=0, arrowwidth=1, arrowcolor=look.grid, ax=across, ay=up, xanchor="left",
            font={"size": 11, "color": look.ink},
        )  # fmt: skip
    figure.update_yaxes(title_text=f"{measure} ({dividend.title})", zerolinewidth=1.5)
    return figure


def log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks at 1, 2 and 5 times the powers of ten between two decimal logarithms; powers only over many decades."""
    steps = (1, 2, 5) if high - low < 3 else (1,)
    values = [step * 10.0**power for power in range(int(low) - 1, int(high) + 2) for step in steps]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{value:,.6g}" for value in values]}


def free_places(front: Sequence[Row], most: int, wide: float, tall: float) -> list[tuple[Row, tuple[int, int]]]:
    """Points of the front whose names fit, and where: right of the point, on one of four heights above it.

    `wide` and `tall` are the lengths of the axes (log support, value); the plot is taken as 1,000 by 400 pixels. Names
    that would lie on others are left to the hover text.
    """
    taken: list[tuple[float, float, float]] = []
    placed: list[tuple[Row, tuple[int, int]]] = []
    for row in sorted(front, key=lambda row: -row.value):
        x = 1000 * log10(row.support or 1.0) / wide + 14
        end = x + 6.4 * len(short(row.members, 34))
        for up in (-14, -28, -42, -56):
            y = 400 * row.value / tall - up
            if len(placed) < most and all(end < a or x > b or abs(y - level) > 14 for a, b, level in taken):
                taken.append((x, end, y))
                placed.append((row, (14, up)))
                break
    return placed


def waterfall(
    parts: Sequence[tuple[str, float]],
    *,
    total: float | None = None,
    name: str = "",
    most: int = 24,
    scale: str = "rate",
    theme: str = "light",
) -> Any:
    """How the value of one coalition is built from the dividends of its parts.

    Parameters
    ----------
    parts
        (label, dividend) in the order drawn, from the top.
    total
        v(S); the sum of the parts if None.
    name
        The coalition.
    most
        Steps drawn; of more parts the largest are drawn and the others added up in one.
    """
    import plotly.graph_objects as go

    look = theme_named(theme)
    _, unit = unit_named(scale)
    title = "How its value is built"
    steps = [(text, float(value)) for text, value in parts]
    if not steps:
        return empty("No coalition is selected.", theme, title=title)
    whole = sum(value for _, value in steps) if total is None else total
    if len(steps) > most:
        large = sorted(range(len(steps)), key=lambda i: -abs(steps[i][1]))[: most - 1]
        rest = [steps[i][1] for i in range(len(steps)) if i not in set(large)]
        steps = [steps[i] for i in sorted(large)] + [(f"{len(rest)} smaller parts", sum(rest))]
    names = [*(text for text, _ in steps), "value of the coalition"]
    values = [*(value for _, value in steps), whole]
    texts = [unit.text(value) for value in values]
    signs = ["+" if value > 0 else "" for value in values[:-1]] + [""]
    y = list(range(len(names)))
    figure = go.Figure(
        go.Waterfall(
            orientation="h", y=y, x=unit.shown(values), measure=["relative"] * len(steps) + ["total"],
            text=[sign + text for sign, text in zip(signs, texts, strict=True)], textposition="outside",
            cliponaxis=False, textfont={"size": 12, "color": look.ink},
            hovertext=[f"<b>{label(text, None)}</b><br>{value}" for text, value in zip(names, texts, strict=True)],
            hoverinfo="text", width=0.66,
            increasing={"marker": {"color": look.positive}}, decreasing={"marker": {"color": look.negative}},
            totals={"marker": {"color": look.neutral}}, connector={"line": {"color": look.muted, "width": 1}},
        )
    )  # fmt: skip
    finish(
        figure,
        look,
        height=110 + 30 * len(names),
        title=title,
        note=short(name.split(DELIMITER), 52) or "each step is the dividend of one part",
    )
    figure.update_yaxes(
        **positions([short(text.split(DELIMITER), 48) for text in names], 60),
        autorange="reversed",
        showgrid=False,
        zeroline=False,
    )
    low, high = reach_of(values)
    pad = 0.13 * (high - low or 1.0)
    figure.update_xaxes(
        title_text=unit.title, zerolinewidth=1.5,
        range=[unit.factor * (low - (pad if low < 0 else 0)), unit.factor * (high + pad)],
    )  # fmt: skip
    return figure


def reach_of(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest point that a waterfall touches; 0 is always inside."""
    at, low, high = 0.0, min(0.0, values[-1]), max(0.0, values[-1])
    for value in values[:-1]:
        at += value
        low, high = min(low, at), max(high, at)
    return low, high
