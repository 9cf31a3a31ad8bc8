"""Figures of the Compare page's view of doubt: reliability, risk against coverage, what short lists hold."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard.doubt import TARGET
from dashboard.figures.style import finish, ground, series_colours

SYMBOLS = ("circle", "diamond-open", "square", "cross-open")
MOST = len(SYMBOLS)
HEIGHT = 400


def reliability_figure(points: pd.DataFrame, *, title: str, unit: str = "cell", dark: bool = False) -> go.Figure:
    """What is right against what is said, a line a name with 95 % intervals; the diagonal is honest.

    ``points`` is `dashboard.doubt.reliability_points` of `MOST` names at most; larger dots stand for more cells.
    """
    fig = go.Figure()
    left, low = (10 * np.floor(min(values.min(), 89) / 10) for values in (points["said"], points["right"]))
    fig.add_scatter(
        x=[max(left, low), 100],
        y=[max(left, low), 100],
        mode="lines",
        line={"color": ground(dark)["quiet"], "dash": "dot", "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    for place, (name, part) in enumerate(_by_name(points)):
        colour = series_colours(MOST, dark)[place]
        share = part["cells"] / part["cells"].sum()
        fig.add_scatter(
            x=part["said"],
            y=part["right"],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"symbol": SYMBOLS[place], "color": colour, "size": 6 + 12 * np.sqrt(share)},
            error_y={"type": "data", "symmetric": False, "array": part["high"] - part["right"]}
            | {"arrayminus": part["right"] - part["low"], "color": colour, "thickness": 1, "width": 0},
            customdata=part[["cells", "low", "high"]].to_numpy(),
            hovertemplate=f"<b>{name}</b><br>said %{{x:.1f}} %, right %{{y:.1f}} %<br>95 % interval "
            f"%{{customdata[1]:.1f}} to %{{customdata[2]:.1f}}, %{{customdata[0]:,}} {unit}s<extra></extra>",
        )
    across, up = 0.03 * (100 - left), 0.03 * (100 - low)
    fig.update_xaxes(title="Said: probability of the answer (%)", range=[left - across, 100 + across], zeroline=False)
    fig.update_yaxes(title="Right (%)", range=[low - up, 100 + up], zeroline=False)
    return _finished(fig, title, dark, bottom=False)


def risk_figure(points: pd.DataFrame, *, title: str, unit: str = "cell", dark: bool = False) -> go.Figure:
    """Wrong answers (%) against the share of cells that are answered, the surest first; a line a name.

    ``points`` is `dashboard.doubt.risk_points` of `MOST` names at most.
    """
    fig = go.Figure()
    for place, (name, part) in enumerate(_by_name(points)):
        colour = series_colours(MOST, dark)[place]
        fig.add_scatter(
            x=part["answered"],
            y=part["wrong"],
            name=name,
            mode="lines",
            line={"color": colour, "width": 2, "dash": ("solid", "dash", "dot", "dashdot")[place]},
            customdata=part["from"],
            hovertemplate=f"<b>{name}</b><br>the surest %{{x:.1f}} % of the {unit}s: %{{y:.2f}} % wrong"
            "<br>probability from %{customdata:.1f} %<extra></extra>",
        )
    # One wrong answer among the ten surest cells is a tenth: the first twentieth would be all that one sees.
    high = max(points.loc[points["answered"] >= 5, "wrong"].max(), 1.5 * 100 * TARGET)
    fig.add_hline(100 * TARGET, line={"color": ground(dark)["quiet"], "width": 1, "dash": "dot"})
    fig.update_xaxes(title=f"{unit.capitalize()}s answered, the surest first (%)", range=[-1, 101], zeroline=False)
    fig.update_yaxes(title="Wrong among them (%)", range=[-0.02 * high, 1.05 * high], zeroline=False)
    return _finished(fig, title, dark, bottom=points["wrong"].median() > high / 2)


def coverage_figure(
    points: pd.DataFrame,
    codes: Sequence[str],
    names: Mapping[str, str],
    nominal: float,
    *,
    title: str,
    unit: str = "cell",
    dark: bool = False,
) -> go.Figure:
    """How often short lists hold the right class (left, with 95 % intervals) and how long they are (right), by class.

    ``points`` is `dashboard.doubt.coverage_points` of `MOST` names at most, ``nominal`` the share promised, 0 to 1.
    """
    fig = go.Figure()
    every = list(_by_name(points))
    step = 0.62 / max(len(every), 1)
    colours = series_colours(MOST, dark)
    for place, (name, part) in enumerate(every):
        here = part.set_index("code").reindex(list(codes))
        rows = np.arange(len(codes)) + (place - (len(every) - 1) / 2) * step
        marker = {"symbol": SYMBOLS[place], "color": colours[place], "size": 9, "line": {"width": 2}}
        marker["line"]["color"] = colours[place]
        common = {"y": rows, "mode": "markers", "name": name, "legendgroup": name, "marker": marker}
        fig.add_scatter(
            x=here["held"],
            error_x={"type": "data", "symmetric": False, "array": here["high"] - here["held"]}
            | {"arrayminus": here["held"] - here["low"], "color": colours[place], "thickness": 1.2, "width": 0},
            customdata=list(zip(here["low"], here["high"], here["cells"], [names[c] for c in codes], strict=True)),
            hovertemplate=f"<b>{name}</b><br>%{{customdata[3]}}: %{{x:.1f}} % held<br>95 % interval "
            f"%{{customdata[0]:.1f}} to %{{customdata[1]:.1f}}, %{{customdata[2]:,}} {unit}s<extra></extra>",
            **common,
        )
        fig.add_scatter(
            x=here["size"],
            xaxis="x2",
            showlegend=False,
            customdata=[names[c] for c in codes],
            hovertemplate=f"<b>{name}</b><br>%{{customdata}}: %{{x:.2f}} classes in a list<extra></extra>",
            **common,
        )
    quiet = ground(dark)["quiet"]
    fig.add_vline(100 * nominal, line={"color": quiet, "width": 1, "dash": "dot"})
    low = points["low"].min()
    low = 100 * nominal - 4 if np.isnan(low) else min(low, 100 * nominal - 2)
    longest = np.nanmax([points["size"].max(), 1.2])
    room = 0.02 * (100 - low)
    heading = {"yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 2, "showarrow": False, "xref": "paper"}
    heading |= {"font": {"size": 14, "color": quiet}}
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "layer": "below"}
    line |= {"line": {"color": ground(dark)["line"], "width": 1}}
    fig.update_layout(
        xaxis={"domain": [0, 0.64], "range": [low - room, 100 + room], "zeroline": False, "nticks": 6},
        xaxis2={"domain": [0.69, 1], "range": [0.9, longest * 1.08], "zeroline": False, "nticks": 5, "anchor": "y"},
        yaxis={"tickvals": list(range(len(codes))), "ticktext": [f"<b>{c}</b>  {names[c]}" for c in codes]}
        | {"range": [len(codes) - 0.5, -0.5], "showgrid": False, "zeroline": False},
        annotations=[
            heading | {"text": "Right class in the list (%)", "x": 0.32},
            heading | {"text": "Classes in a list", "x": 0.845},
        ],
        shapes=[*fig.layout.shapes, *(line | {"y0": k + 0.5, "y1": k + 0.5} for k in range(len(codes) - 1))],
    )
    finish(fig, title=title, height=132 + max(36, 14 + 15 * len(every)) * len(codes), dark=dark)
    legend = {"x": 0, "xanchor": "left", "xref": "container", "y": 0, "yref": "container", "yanchor": "bottom"}
    fig.update_layout(margin={"t": 76}, legend=legend, yaxis={"tickfont": {"color": ground(dark)["text"]}})
    return fig


def _by_name(points: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    found = list(points.groupby("name", sort=False))
    if len(found) > MOST:
        raise ValueError(f"{len(found)} names: {MOST} symbols at most can be told apart")
    return found


def _finished(fig: go.Figure, title: str, dark: bool, *, bottom: bool) -> go.Figure:
    finish(fig, title=title, height=HEIGHT, dark=dark)
    colours = ground(dark)
    legend = {"orientation": "v", "bgcolor": colours["background"], "bordercolor": colours["line"], "borderwidth": 1}
    legend |= {"x": 0.015, "xanchor": "left"}
    legend |= {"y": 0.06, "yanchor": "bottom"} if bottom else {"y": 0.97, "yanchor": "top"}
    fig.update_layout(legend=legend | {"font": {"size": 13}}, margin={"t": 52, "r": 16})
    return fig
