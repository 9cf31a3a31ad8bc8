"""The one look of every figure: scales, and the template that finishes a figure. Colours that reports have too stand in
`core.colours`; here is where every view takes them from.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.colours import DARK, LIGHT, PRIMARY
from core.colours import class_colours as class_colours

INK = "#231d36"  # on light squares; on dark ones it is white
FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", sans-serif'

# Counts and gates: zero has the ground's colour, more is deeper by day and more vivid by night, never paler than the
# page's words. Lightness goes evenly.
SEQUENTIAL = ["#ffffff", "#e9e3f6", "#cbbfe9", "#ab98d9", "#8b71c7", "#6b4cb3", "#4b2c8d", "#2c1560"]
SEQUENTIAL_DARK = ["#15131d", "#251f3e", "#352c5f", "#463b7f", "#584aa0", "#6b5bbf", "#7f6cdc", "#947ff7"]
# Differences: nothing at zero, teal below, orange above (told apart under every colour vision).
DIVERGING = ["#0f5f63", "#3f9195", "#93c6c8", "#ffffff", "#f0bb93", "#cf7a3a", "#8f4410"]
DIVERGING_DARK = ["#3fb4b8", "#2b8185", "#1c4b4f", "#15131d", "#5a331b", "#a35a22", "#e0833a"]


_ICON = re.compile(r"(:material/\w+:\s*)?(.*)", re.DOTALL)


def option_label(title: str) -> str:
    """``title`` of a segment or pill, with or without a Material symbol before it, in a colour that is read on the
    chosen one's ground too: Streamlit's own for it is too dark there by night.
    """
    icon, words = _ICON.fullmatch(title).groups(default="")  # type: ignore[union-attr]
    return f"{icon}:violet[{words}]" if words else icon


def ground(dark: bool = False) -> dict[str, str]:
    """Colours of the page: background, panel, text, quiet text, line."""
    return DARK if dark else LIGHT


def sequential(dark: bool = False) -> list[str]:
    """The scale for amounts, from the ground's colour (zero) up."""
    return SEQUENTIAL_DARK if dark else SEQUENTIAL


def diverging(dark: bool = False) -> list[str]:
    """The scale for differences, the ground's colour at zero (the middle)."""
    return DIVERGING_DARK if dark else DIVERGING


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
