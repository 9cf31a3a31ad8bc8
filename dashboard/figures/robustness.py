"""Figure of the Compare page's view of picture quality: accuracy against severity, a small panel a corruption."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.style import PRIMARY, finish, ground, series_colours

SYMBOLS = ("circle", "diamond", "square", "cross")
MOST_RUNS = len(SYMBOLS)
_COLUMNS = 4
_BETWEEN = 0.03, 0.11  # panels, of the width and of the height


def severity_panels(
    points: pd.DataFrame, chosen: str, *, title: str, sure: bool = False, unit: str = "cell", dark: bool = False
) -> go.Figure:
    """A panel for each corruption with a line a run: accuracy (%) at severity 0 (as it came) to 5.

    ``points`` is `dashboard.robustness.severity_points` of `MOST_RUNS` runs at most; the panel of corruption
    ``chosen`` stands out. With ``sure`` a dotted line tells the mean confidence. A dot's customdata begins with its
    corruption, so that a click can choose it.
    """
    runs, panels = list(dict.fromkeys(points["run"])), list(dict.fromkeys(points["corruption"]))
    if len(runs) > MOST_RUNS:
        raise ValueError(f"{len(runs)} runs: {MOST_RUNS} lines at most can be told apart")
    colours, look = series_colours(len(runs), dark), ground(dark)
    rows = -(-len(panels) // _COLUMNS)
    low = points["accuracy"].min()
    low = 10 * int((min(low, points["confidence"].min()) if sure else low) / 10.5)
    table = dict(iter(points.groupby(["run", "corruption"])))
    traces, axes, headings, shapes = [], {}, [], []
    # One dictionary, checked by plotly once: adding traces to subplots one by one takes several times as long.
    for place, corruption in enumerate(panels):
        number = str(place + 1) if place else ""
        (left, right), (bottom, top) = (
            _domain(place % _COLUMNS, _COLUMNS, _BETWEEN[0]),
            _domain(rows - 1 - place // _COLUMNS, rows, _BETWEEN[1]),
        )
        last = place + _COLUMNS >= len(panels)
        axes[f"xaxis{number}"] = {
            "domain": [left, right],
            "anchor": f"y{number}",
            "range": [-0.3, 5.3],
            "tickvals": list(range(6)),
            "showgrid": False,
            "zeroline": False,
            "fixedrange": True,
        } | ({"title": {"text": "Severity", "standoff": 4}} if last else {})
        axes[f"yaxis{number}"] = {
            "domain": [bottom, top],
            "anchor": f"x{number}",
            "range": [low, 103],
            "nticks": 5,
            "zeroline": False,
            "fixedrange": True,
            "showticklabels": place % _COLUMNS == 0,
        } | ({} if place % _COLUMNS else {"title": {"text": "Right (%)"}})
        outstanding = corruption == chosen
        heading = points.loc[points["corruption"] == corruption, "title"].iloc[0]
        headings.append(
            {"text": f"<b>{heading}</b>" if outstanding else heading, "x": left, "xref": "paper", "xanchor": "left"}
            | {"y": top, "yref": "paper", "yanchor": "bottom", "yshift": 1, "showarrow": False}
            | {"font": {"size": 14, "color": PRIMARY[dark] if outstanding else look["text"]}}
        )
        if outstanding:
            shapes.append(
                {"type": "rect", "xref": "paper", "yref": "paper", "layer": "below", "line": {"width": 0}}
                | {"x0": left, "x1": right, "y0": bottom, "y1": top, "fillcolor": look["panel"]}
            )
        for order, run in enumerate(runs):
            part = table.get((run, corruption))
            if part is None:
                continue
            common = {"type": "scatter", "x": part["severity"], "xaxis": f"x{number}", "yaxis": f"y{number}"}
            common |= {"legendgroup": run, "name": part["model"].iloc[0]}
            facts = ["corruption", "low", "high", "confidence", "title", "cells"]
            if sure:
                line = {"color": colours[order], "width": 1.5, "dash": "dot"}
                traces.append(
                    common
                    | {"y": part["confidence"], "mode": "lines", "line": line}
                    | {"showlegend": False, "hoverinfo": "skip"}
                )
            traces.append(
                common
                | {
                    "y": part["accuracy"],
                    "mode": "lines+markers",
                    "showlegend": place == 0,
                    "line": {"color": colours[order], "width": 2},
                    "marker": {"symbol": SYMBOLS[order], "size": 7, "color": colours[order]},
                    "unselected": {"marker": {"opacity": 1}},
                    "customdata": part[facts].to_numpy(),
                    "hovertemplate": f"<b>{part['model'].iloc[0]}</b><br>%{{customdata[4]}}, severity %{{x}}: "
                    "%{y:.1f} % right<br>95 % interval %{customdata[1]:.1f} to %{customdata[2]:.1f}, "
                    f"on %{{customdata[5]:,}} {unit}s<br>mean confidence %{{customdata[3]:.0f}} %<extra></extra>",
                }
            )
    fig = go.Figure({"data": traces, "layout": axes | {"annotations": headings, "shapes": shapes}})
    finish(fig, title=title, height=200 * rows + 60, dark=dark)
    fig.update_layout(margin={"t": 76, "l": 8})
    if len(panels) % _COLUMNS:  # the legend fills the place that is left over
        fig.update_layout(
            legend={
                "orientation": "v",
                "x": _domain(len(panels) % _COLUMNS, _COLUMNS, _BETWEEN[0])[0],
                "xanchor": "left",
                "y": _domain(0, rows, _BETWEEN[1])[1],
                "yanchor": "top",
                "font": {"size": 13},
            }
        )
    return fig


def _domain(place: int, of: int, gap: float) -> tuple[float, float]:
    """Where panel ``place`` of ``of`` begins and ends, 0 to 1, with ``gap`` between two."""
    width = (1 + gap) / of - gap
    start = place * (width + gap)
    return start, min(1.0, start + width)
