"""The one look of every figure: class colours, scales, and the template that finishes a figure.

The colours of text, lines and grounds are those of ``.streamlit/config.toml`` (a test compares them).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

LIGHT = {"background": "#ffffff", "panel": "#f5f3fa", "text": "#231d36", "quiet": "#6a6579", "line": "#ddd8e8"}
DARK = {"background": "#15131d", "panel": "#211e2d", "text": "#edeaf5", "quiet": "#a8a3b8", "line": "#3a3549"}
INK = "#231d36"  # on light squares; on dark ones it is white
PRIMARY = {False: "#5b3fa8", True: "#b7a2f5"}
FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", sans-serif'

# One hue for each class; two shades, for the light and for the dark ground. Found by search for the
# largest smallest distance (CIEDE2000) between any two under full colour vision, deuteranopia,
# protanopia and tritanopia, at a contrast of at least 3:1; tests/dashboard/test_style.py checks both.
_CLASS_COLOURS = {
    "BA": ("#9477f3", "#977cf2"),
    "EO": ("#8e2406", "#be4021"),
    "ERB": ("#ec5385", "#d48e9f"),
    "IG": ("#728932", "#8fb01d"),
    "LY": ("#1954c1", "#a3c4fe"),
    "MO": ("#088d77", "#1c7867"),
    "NE": ("#613263", "#97559a"),
    "PLT": ("#4b4944", "#f7dbac"),
}

# A ninth that is told apart as well: nearly black, by night nearly white.
_NINTH = ("#100010", "#f0f0f8")
# Twelve more, in the families of hue of the eight, found one after another for the largest smallest distance to those
# before. So many can't all be told apart: codes and names must speak, the colours only help.
_FURTHER = {
    "ABE": ("#a05000", "#d0b098"),
    "ART": ("#103030", "#708080"),
    "FGC": ("#187068", "#c8f0d8"),
    "HAC": ("#302040", "#9080a0"),
    "KSC": ("#885060", "#a85060"),
    "LYI": ("#000040", "#8898c0"),
    "MMZ": ("#405030", "#f8f880"),
    "MYB": ("#706848", "#989060"),
    "NGB": ("#b078b0", "#c8b8c8"),
    "OTH": ("#888890", "#c0c8c0"),
    "PEB": ("#501018", "#c85880"),
    "PLM": ("#686088", "#3068d0"),
}
# What means the same has the same colour in every data set; bone marrow's promyelocyte is an immature granulocyte.
_SAME = {"BAS": "BA", "EBO": "ERB", "EOS": "EO", "LYT": "LY", "MON": "MO", "NGS": "NE", "NIF": "PLT", "PMO": "IG"}
_MARROW = {code: _CLASS_COLOURS[like] for code, like in _SAME.items()} | {"BLA": _NINTH} | _FURTHER
_ALL = {code: _CLASS_COLOURS[like] for code, like in {"BEN": "PLT", "EPB": "LY", "PRE": "ERB", "PRO": "EO"}.items()}
_PALETTES = (_CLASS_COLOURS, _ALL, _MARROW)
_IN_ORDER = (*_CLASS_COLOURS.values(), _NINTH, *_FURTHER.values())

# Counts and gates: zero has the ground's colour, more is deeper. Lightness falls evenly.
SEQUENTIAL = ["#ffffff", "#e9e3f6", "#cbbfe9", "#ab98d9", "#8b71c7", "#6b4cb3", "#4b2c8d", "#2c1560"]
SEQUENTIAL_DARK = ["#15131d", "#2a2144", "#412f6f", "#5b439a", "#7759c4", "#977be0", "#baa3f2", "#e3d8ff"]
# Differences: nothing at zero, teal below, orange above (told apart under every colour vision).
DIVERGING = ["#0f5f63", "#3f9195", "#93c6c8", "#ffffff", "#f0bb93", "#cf7a3a", "#8f4410"]
DIVERGING_DARK = ["#7fe0e2", "#3f9ea2", "#1f5357", "#15131d", "#64391d", "#bd6a2c", "#ffb67d"]


def ground(dark: bool = False) -> dict[str, str]:
    """Colours of the page: background, panel, text, quiet text, line."""
    return DARK if dark else LIGHT


def sequential(dark: bool = False) -> list[str]:
    """The scale for amounts, from the ground's colour (zero) up."""
    return SEQUENTIAL_DARK if dark else SEQUENTIAL


def diverging(dark: bool = False) -> list[str]:
    """The scale for differences, the ground's colour at zero (the middle)."""
    return DIVERGING_DARK if dark else DIVERGING


def class_colours(codes: Sequence[str], dark: bool = False) -> dict[str, str]:
    """The colour (hex) of each class, the same everywhere.

    Classes of BloodMNIST, ALL and bone marrow have colours of their own, those of other data sets get theirs by
    position: nine are told apart by everyone, 21 are different.
    """
    for palette in _PALETTES:
        if all(code in palette for code in codes):
            return {code: palette[code][dark] for code in codes}
    return {code: _IN_ORDER[position % len(_IN_ORDER)][dark] for position, code in enumerate(codes)}


def series_colours(n: int, dark: bool = False) -> list[str]:
    """Colours for ``n`` things that are not classes (runs, splits): the first is the primary one.

    The first six are told apart easily; where there are more, let symbols or names speak as well.
    """
    light = ["#b8601a", "#137d74", "#2f62b5", "#a3304f", LIGHT["quiet"], "#77801c", "#a93cab", "#7a4a2b", "#1c7fa6"]
    night = ["#f0a052", "#4fc0b5", "#8db7f5", "#f08fa8", DARK["quiet"], "#c9d15c", "#e58be5", "#d3a584", "#6fd0f0"]
    colours = [PRIMARY[dark], *(night if dark else light), "#8edb7b" if dark else "#35832a"]
    return [colours[i % len(colours)] for i in range(n)]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (hex), 1 to 21: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio."""
    brighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def inks(values: Sequence[float] | np.ndarray, steps: Sequence[float], scale: Sequence[str]) -> list[str]:
    """The ink, dark or white, that reads best on the colour that ``scale`` (hex, at ``steps``) has at each value."""
    channels = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in scale], float)
    under = np.stack([np.interp(np.asarray(values, float), steps, channel) for channel in channels.T], axis=-1) / 255
    linear = np.where(under <= 0.04045, under / 12.92, ((under + 0.055) / 1.055) ** 2.4)
    brightness = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    dark, white = _luminance(INK) + 0.05, 1.05
    return np.where(brightness / dark > white / brightness, INK, "#ffffff").tolist()


def finish(fig: go.Figure, *, title: str, height: int | None = None, dark: bool = False) -> go.Figure:
    """Give ``fig`` the dashboard's look: one font, margins, grid and colours, on the page's own ground.

    ``title`` says what to see. Shows with ``dashboard.charts.plot``. Returns ``fig``.
    """
    colours = ground(dark)
    axis = {
        "gridcolor": colours["line"],
        "linecolor": colours["line"],
        "zerolinecolor": colours["line"],
        "tickcolor": colours["line"],
        "tickfont": {"color": colours["quiet"], "size": 13},
        "title": {"font": {"color": colours["quiet"], "size": 13}},
        "automargin": True,
    }
    fig.update_layout(
        title={"text": title, "font": {"size": 16, "color": colours["text"]}, "x": 0, "xref": "container", "y": 0.98}
        | {"yanchor": "top", "pad": {"l": 4, "t": 4}},
        font={"family": FONT, "size": 14, "color": colours["text"]},
        colorway=series_colours(6, dark),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 8, "r": 8, "t": 48, "b": 8},
        hoverlabel={
            "bgcolor": colours["panel"],
            "bordercolor": colours["line"],
            "font": {"family": FONT, "color": colours["text"]},
        },
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "right", "x": 1, "title": None},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": colours["quiet"], "activecolor": PRIMARY[dark]},
        height=height,
    )
    fig.update_xaxes(**axis)
    fig.update_yaxes(**axis)
    return fig


def rows_axis(fig: go.Figure, dark: bool = False, **axis: Any) -> None:
    """Have the upright axis of ``fig`` name rows from the top down, in the ink of text; ``axis`` goes to Plotly."""
    axis = {"autorange": "reversed", "showgrid": False, "fixedrange": True} | axis
    fig.update_yaxes(tickfont={"color": ground(dark)["text"]}, **axis)


def name_rows(fig: go.Figure, labels: Sequence[str], dark: bool = False, *, room: float = 0.5, **axis: Any) -> None:
    """Have the upright axis of ``fig`` name the rows 0, 1, ... from the top down, ``room`` above and below them."""
    ink = {"tickfont": {"color": ground(dark)["text"]}}
    axis = ink | {"tickvals": list(range(len(labels))), "ticktext": list(labels)} | axis
    fig.update_yaxes(range=[len(labels) - (1 - room), -room], zeroline=False, **axis)


def end_labels(fig: go.Figure, x: Any, y: Any, texts: Sequence[str], dark: bool = False) -> None:
    """Write ``texts`` behind the ends of bars that lie at ``y`` and reach to ``x``."""
    fig.add_scatter(
        x=x,
        y=y,
        mode="text",
        text=texts,
        textposition="middle right",
        textfont={"color": ground(dark)["text"]},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )


# Between the title and the drawing, from the left.
LEGEND_ABOVE: dict[str, Any] = {
    "margin": {"t": 76},
    "legend": {"x": 0, "xanchor": "left", "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
}


def framed_legend(dark: bool = False, *, right: bool = False, y: float, **legend: Any) -> dict[str, Any]:
    """The layout of a figure whose legend stands on it: upright, framed, its lower (upper) end at ``y`` below (above)
    the middle."""
    colours = ground(dark)
    legend |= {"x": 0.985, "xanchor": "right"} if right else {"x": 0.015, "xanchor": "left"}
    legend |= {"y": y, "yanchor": "bottom" if y < 0.5 else "top", "orientation": "v", "font": {"size": 13}}
    legend |= {"bgcolor": colours["background"], "bordercolor": colours["line"], "borderwidth": 1}
    return {"legend": legend, "margin": {"t": 52, "r": 16}}


def error_bar(
    value: Any, low: Any, high: Any, colour: str, *, thickness: float = 1.2, width: int = 0
) -> dict[str, Any]:
    """Plotly's error bars from ``low`` to ``high`` around ``value`` (all (N,)); ``width`` of their ends in pixels."""
    value, low, high = (np.asarray(v, float) for v in (value, low, high))
    lengths = {"array": np.maximum(high - value, 0), "arrayminus": np.maximum(value - low, 0)}
    return {"type": "data", "symmetric": False, "color": colour, "thickness": thickness, "width": width} | lengths


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
