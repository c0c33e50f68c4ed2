"""One look for every plot: colours that colour-blind readers tell apart, system fonts, texts cut and escaped.

The colours are those of Okabe and Ito (2008), "Color Universal Design".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from touchworth.errors import not_one_of

__all__ = ["CONFIG", "THEMES", "Theme", "empty", "finish", "label", "save_html", "shorten", "take_title", "theme_named"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
PATTERNS = ("", "/", ".", "x")

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d", "sendDataToCloud"],
}
"""How figures behave in a page: no logo, no service of anyone else."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of plots on a light or a dark page.

    Attributes
    ----------
    name
        ``light`` or ``dark``.
    page, ink, muted, grid
        Background of the page the figure stands on, text, secondary text, lines.
    positive, negative, neutral, accent
        Of signed quantities, of what carries no message, and of what is pointed at.
    series
        Categories, in the order of use; further ones take the same colours with a pattern.
    scale
        Sequential scale from nothing to much; `ink` can be read on all of it.
    """

    name: str
    page: str
    ink: str
    muted: str
    grid: str
    positive: str
    negative: str
    neutral: str
    accent: str
    series: tuple[str, ...]
    scale: tuple[str, ...]

    def colour(self, place: int) -> str:
        """Colour of a category."""
        return self.series[place % len(self.series)]

    def pattern(self, place: int) -> str:
        """Fill pattern of a category: what tells categories apart once the colours are used up."""
        return PATTERNS[place // len(self.series) % len(PATTERNS)]

    def signed(self, value: float) -> str:
        """Colour of a value by its sign."""
        return self.positive if value >= 0 else self.negative


THEMES = {
    "light": Theme(
        name="light", page="#ffffff", ink="#1f2328", muted="#57606a", grid="rgba(31,35,40,0.12)",
        positive="#0072B2", negative="#D55E00", neutral="#8c959f", accent="#009E73",
        series=("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7f7f7f"),
        scale=("#f7fbff", "#c6dbef", "#6baed6"),
    ),
    "dark": Theme(
        name="dark", page="#0e1117", ink="#e6edf3", muted="#9aa4ae", grid="rgba(230,237,243,0.16)",
        positive="#56B4E9", negative="#F28E4B", neutral="#7d8590", accent="#2FC79A",
        series=("#56B4E9", "#E69F00", "#2FC79A", "#E08CC0", "#F0E442", "#F28E4B", "#a0a8b0"),
        scale=("#161d29", "#1b3f66", "#1f5f99"),
    ),
}  # fmt: skip


def theme_named(name: str) -> Theme:
    """The theme ``light`` or ``dark``."""
    if name not in THEMES:
        raise not_one_of("the theme", name, THEMES)
    return THEMES[name]


def shorten(text: str, length: int = 24) -> str:
    """A name cut in its middle, where names of one family differ least; the whole name belongs into the hover text."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 3
    return f"{text[: length - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def label(text: str, length: int | None = 24) -> str:
    """A name as Plotly shows it literally: cut, and without the power of markup."""
    return escape(text if length is None else shorten(text, length), quote=False)


def finish(
    figure: Any, theme: Theme, *, height: int, title: str = "", note: str = "", legend: bool = False, **more: Any
) -> Any:
    """Give a figure the common look; returns it.

    `note` is one quiet line or more below the title, short enough for a phone; `more` goes to the layout.
    """
    top = 14 + 28 * bool(title) + (6 + 16 * (note.count("\n") + 1)) * bool(note) + 24 * legend
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 16, "t": top, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 13, "color": theme.ink},
        title={
            "text": f"<b>{escape(title, quote=False)}</b>" if title else "",
            "font": {"size": 16}, "pad": {"t": 8, "l": 8},
            "subtitle": {"text": escape(note, quote=False).replace("\n", "<br>"),
                         "font": {"size": 12, "color": theme.muted}},
            "x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top",
        },
        meta={"title": title, "note": note},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)",
                "font": {"size": 12}},
        hoverlabel={"bgcolor": theme.page, "bordercolor": theme.muted, "align": "left",
                    "font": {"family": FONT, "size": 13, "color": theme.ink}},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.ink},
        **more,
    )  # fmt: skip
    axis = {
        "automargin": True,
        "gridcolor": theme.grid,
        "linecolor": theme.muted,
        "zerolinecolor": theme.muted,
        "tickfont": {"size": 12},
        "title_font": {"size": 12, "color": theme.muted},
        "title_standoff": 8,
        "separatethousands": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def take_title(figure: Any) -> tuple[str, str]:
    """Take title and note off a figure, for a page that shows them above it; returns both as plain texts."""
    told = figure.layout.meta
    legend_above = figure.layout.showlegend and figure.layout.legend.orientation == "h"
    top = 34 if legend_above else 12
    figure.update_layout(title=None, margin_t=top, height=figure.layout.height - max(0, figure.layout.margin.t - top))
    return told["title"], told["note"]


def empty(text: str, theme: str = "light", *, title: str = "") -> Any:
    """A figure that says why there is nothing to draw."""
    import plotly.graph_objects as go

    look = theme_named(theme)
    figure = go.Figure()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(
        text=escape(text, quote=False), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False,
        font={"color": look.muted, "size": 14},
    )  # fmt: skip
    return finish(figure, look, height=220, title=title)


def positions(names: Sequence[str], length: int = 24) -> dict[str, Any]:
    """Axis of names at 0, 1, 2 ...: two names that are cut alike, or look like numbers, stay two."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [label(name, length) for name in names],
    }


def save_html(figure: Any, path: str | Path, *, theme: str = "light", title: str = "", force: bool = False) -> None:
    """Write a figure as one HTML file that opens without any network (plotly.js is inside).

    The file is written beside and moved into place; an existing one is replaced only with `force`.
    """
    from touchworth.output import replace_file

    look = theme_named(theme)
    drawn = figure.to_html(include_plotlyjs=True, full_html=False, config=CONFIG)
    page = (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title or 'touchworth')}</title>"
        f"<style>html{{color-scheme:{look.name}}}body{{margin:16px;background:{look.page};color:{look.ink};"
        f"font-family:{FONT}}}</style></head>\n<body>{drawn}</body></html>\n"
    )
    with replace_file(path, force=force) as temporary:
        temporary.write_text(page, "utf-8")
