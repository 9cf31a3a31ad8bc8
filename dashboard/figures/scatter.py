"""Accuracy against what it costs: every run a point with its interval, the Pareto front, names where they fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.style import finish, ground, series_colours
from dashboard.leaderboard import COSTS, pareto_front

HEIGHT = 560
PLOT = (415, 330)  # pixels between the axes on a page of 1440: where names must not touch
SMALL, LARGE = 9, 14  # diameter of a point in pixels, by the size of the images
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "triangle-down", "pentagon", "hexagon", "x")
_LEAST_ERROR = 0.02  # percent: where a run without an error is drawn, on an axis that has no zero
Box = tuple[float, float, float, float]  # left, right, low, high
_LETTER, _LINE = 6.4, 15  # size of a name in pixels: width of a letter, height


def scatter(
    table: pd.DataFrame,
    cost: str,
    *,
    chosen: Sequence[str] = (),
    families: Sequence[str] | None = None,
    dark: bool = False,
) -> go.Figure:
    """Accuracy with its 95 % interval against ``cost`` (a key of `COSTS`), with the Pareto front.

    ``table`` is `leaderboard`'s. Colour and symbol tell the family (``families`` is the whole list, so that a
    family looks the same whatever is filtered away), the size of a point that of the images; a point is filled
    where it is on the front. ``chosen`` names runs to draw a ring around. Named are these and the front, as far
    as names find room; hovering names the others. The upright axis is logarithmic in the errors, so that 98 and
    99 % lie as far apart as 80 and 90 %.
    """
    axis_title, column, better = COSTS[cost]
    known = table[table[column].notna() & (table[column] > 0)].reset_index(drop=True)
    front = pareto_front(known[column].to_numpy(float), known["accuracy"].to_numpy(float))
    errors = np.maximum(100 - known["accuracy"].to_numpy(float), _LEAST_ERROR)
    fig = go.Figure()
    _draw_front(fig, known[column].to_numpy(float)[front], errors[front], dark)
    _draw_chosen(fig, known[column], errors, known["run"].isin(list(chosen)).to_numpy(), known["size"], dark)
    families = list(families) if families is not None else sorted(table["family"].unique())
    colours = series_colours(len(families), dark)
    for place, family in enumerate(families):
        here = np.flatnonzero(known["family"] == family)
        if len(here):
            symbol = _SYMBOLS[place % len(_SYMBOLS)]
            _draw_family(fig, known.iloc[here], errors[here], axis_title, column, front, here, colours[place], symbol)
    _draw_sizes(fig, known["size"], dark)
    if len(known):
        _axes(fig, known[column].to_numpy(float), errors, axis_title)
        ticked = np.flatnonzero(known["run"].isin(list(chosen)))
        named = list(dict.fromkeys([*ticked, *front[::-1]]))
        texts = [known["model"][i] for i in named]
        x, y = _in_pixels(fig, known[column], errors)
        line = _line_boxes(x[front], y[front])
        for name in place_names(x, y, texts, named, far=len(ticked), keep_off=line):
            _write(fig, known[column][name.point], errors[name.point], name, dark)
    fig.update_xaxes(visible=bool(len(known)))
    fig.update_yaxes(visible=bool(len(known)))
    finish(fig, title=scatter_title(known, front, better), height=HEIGHT, dark=dark)
    below = {"y": -0.16, "yanchor": "top", "x": 0, "xanchor": "left", "font": {"size": 11}}
    return fig.update_layout(legend=below | {"itemsizing": "trace", "itemwidth": 30})


def scatter_title(table: pd.DataFrame, front: np.ndarray, better: str) -> str:
    """What the scatter shows, in one line."""
    if table.empty:
        return "Not measured yet for any of these runs"
    names = [table["model"].iloc[i] for i in front]
    if len(names) == 1:
        return f"{names[0]} is the most accurate, and none is {better}"
    return f"{len(names)} of {len(table)} on the front: none is both {better} and more accurate"


@dataclass(frozen=True)
class Name:
    """Where a name stands: ``point`` it belongs to, ``dx`` and ``dy`` (pixels, up is positive) from it to the
    name's near end, ``anchor`` the end that is near ('left': the name begins there)."""

    point: int
    text: str
    dx: float
    dy: float
    anchor: str


def place_names(
    x: np.ndarray,
    y: np.ndarray,
    texts: Sequence[str],
    points: Sequence[int],
    *,
    far: int = 0,
    keep_off: Sequence[Box] = (),
    size: tuple[int, int] = PLOT,
) -> list[Name]:
    """Places for names that touch neither each other nor any point, nor leave the plot; first come, first served.

    ``x``, ``y`` (N,) are all points in pixels (up is positive) in a plot of ``size``; ``texts`` are the names of
    ``points``; ``keep_off`` are other places that no name may cover. A name that finds no room near its point is
    left out; the first ``far`` may stand far from theirs.
    """
    taken = [(a - 8, a + 8, b - 8, b + 8) for a, b in zip(x, y, strict=True)] + list(keep_off)
    placed = []
    for number, (point, text) in enumerate(zip(points, texts, strict=True)):
        offsets = _offsets(15 if number < far else 5)
        length = _LETTER * len(text)
        for dx, dy, anchor in ((dx, dy, anchor) for dx, dy in offsets for anchor in ("left", "right")):
            near = x[point] + (dx if anchor == "left" else -dx)
            left = near if anchor == "left" else near - length
            box = (left, left + length, y[point] + dy - _LINE / 2, y[point] + dy + _LINE / 2)
            inside = box[0] >= 2 and box[1] <= size[0] and box[2] >= 0 and box[3] <= size[1] + 10
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append(Name(point, text, near - x[point], dy, anchor))
                break
    return placed


def _line_boxes(x: np.ndarray, y: np.ndarray) -> list[Box]:
    """Where the front's stairs run, in pixels: level from each point to the next one's cost, then up."""
    level = [(a + 9, b, c - 2, c + 2) for a, b, c in zip(x[:-1], x[1:], y[:-1], strict=True)]
    return level + [(a - 2, a + 2, b, c) for a, b, c in zip(x[1:], y[:-1], y[1:], strict=True)]


def _offsets(steps: int) -> list[tuple[float, float]]:
    """Where a name may stand beside its point, the nearest first: pixels to the side, pixels up."""
    found = [(dx, _LINE * step) for dx in (15, 28, 48) for step in range(-steps, steps + 1)]
    return sorted(found, key=lambda offset: (offset[0] + 1.2 * abs(offset[1]), offset[1] < 0))


def _draw_front(fig: go.Figure, x: np.ndarray, y: np.ndarray, dark: bool) -> None:
    if len(x) > 1:
        line = {"color": ground(dark)["quiet"], "width": 1.5, "dash": "dot", "shape": "hv"}
        fig.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False, name="front")


def _draw_chosen(fig: go.Figure, x: pd.Series, y: np.ndarray, chosen: np.ndarray, size: pd.Series, dark: bool) -> None:
    if chosen.any():
        ring = {"color": "rgba(0,0,0,0)", "line": {"width": 2, "color": ground(dark)["text"]}}
        ring["size"] = [_diameter(px) + 10 for px in size[chosen]]
        fig.add_scatter(x=x[chosen], y=y[chosen], mode="markers", marker=ring, hoverinfo="skip", name="ticked")


def _draw_sizes(fig: go.Figure, sizes: pd.Series, dark: bool) -> None:
    """Legend entries that say which points are small, where there are both."""
    if {_diameter(px) for px in sizes} != {SMALL, LARGE}:
        return
    for text, px in (("28 px", 28), ("64 px or more", 64)):
        dot = {"size": _diameter(px), "color": "rgba(0,0,0,0)", "line": {"width": 1, "color": ground(dark)["quiet"]}}
        fig.add_scatter(x=[None], y=[None], mode="markers", marker=dot, name=text, hoverinfo="skip")


def _draw_family(
    fig: go.Figure,
    runs: pd.DataFrame,
    errors: np.ndarray,
    axis_title: str,
    column: str,
    front: np.ndarray,
    places: np.ndarray,
    colour: str,
    symbol: str,
) -> None:
    on_front = np.isin(places, front)
    seeds = [f"<br>{text} % over seeds" if text else "" for text in runs["seeds"]]
    fig.add_scatter(
        x=runs[column],
        y=errors,
        mode="markers",
        error_y={
            "type": "data",
            "symmetric": False,
            "array": np.maximum(runs["accuracy"] - runs["low"], 0),
            "arrayminus": np.clip(runs["high"] - runs["accuracy"], 0, 0.9 * errors),
            "color": colour,
            "thickness": 1,
            "width": 3,
        },
        marker={
            "size": [_diameter(px) for px in runs["size"]],
            "color": colour,
            "symbol": [symbol if filled else f"{symbol}-open" for filled in on_front],
            "line": {"width": 2, "color": colour},
        },
        customdata=np.stack([runs["model"], runs["accuracy"], runs["interval"], seeds], axis=1),
        hovertemplate=f"<b>%{{customdata[0]}}</b><br>%{{customdata[1]:.2f}} % (95 % interval %{{customdata[2]}})"
        f"%{{customdata[3]}}<br>{axis_title}: %{{x:,.4~g}}<extra>{runs['family'].iloc[0]}</extra>",
        name=runs["family"].iloc[0],
    )


def _diameter(size: int) -> int:
    return SMALL if size < 64 else LARGE


def _axes(fig: go.Figure, cost: np.ndarray, errors: np.ndarray, title: str) -> None:
    low, high = np.log10(cost.min()), np.log10(cost.max())
    room = 0.12 * max(0.5, high - low)
    ticks = _log_ticks(10**low, 10**high)
    fig.update_xaxes(type="log", range=(low - room, high + room), tickvals=ticks, ticktext=[_short(v) for v in ticks])
    fig.update_xaxes(title=title)
    low, high = np.log10(errors.min()), np.log10(errors.max())
    room = 0.1 * max(0.5, high - low)
    ticks = [v for v in _log_ticks(10**low, 10**high) if v < 100]
    fig.update_yaxes(
        type="log", range=(high + room, low - room), tickvals=ticks, ticktext=[f"{100 - v:g}" for v in ticks]
    )
    fig.update_yaxes(title="Accuracy on test (%)")


def _in_pixels(fig: go.Figure, cost: pd.Series, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = []
    for values, axis, length in ((cost, fig.layout.xaxis, PLOT[0]), (errors, fig.layout.yaxis, PLOT[1])):
        first, last = axis.range
        pixels.append((np.log10(np.asarray(values, float)) - first) / (last - first) * length)
    return pixels[0], pixels[1]


def _write(fig: go.Figure, x: float, y: float, name: Name, dark: bool) -> None:
    far = abs(name.dy) > _LINE or abs(name.dx) > 24
    fig.add_annotation(
        x=np.log10(x),
        y=np.log10(y),
        text=name.text,
        ax=name.dx,
        ay=-name.dy,
        xanchor=name.anchor,
        yanchor="middle",
        showarrow=True,
        arrowhead=0,
        arrowwidth=1,
        arrowcolor=ground(dark)["quiet"] if far else "rgba(0,0,0,0)",
        standoff=7,
        font={"size": 12, "color": ground(dark)["text"]},
        borderpad=0,
    )


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


def _log_ticks(low: float, high: float) -> list[float]:
    """Round values over a logarithmic axis: as few a decade as leave three or more between ``low`` and ``high``."""
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    ticks: list[float] = []
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [step * 10.0**decade for decade in decades for step in steps]
        if sum(low <= tick <= high for tick in ticks) >= 3:
            break
    return ticks


def _short(value: float) -> str:
    for unit, letter in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
