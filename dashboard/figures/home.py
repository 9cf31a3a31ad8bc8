"""The small pictures on Home's three doors. They are looked at, not read: no axes, no numbers to check."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from core.datasets.summary import Summary
from core.serving.wording import percent
from dashboard.figures.style import class_colours, finish, ground, sequential

HEIGHT = 190


def _small(fig: go.Figure, dark: bool) -> go.Figure:
    finish(fig, title="", height=HEIGHT, dark=dark)
    fig.update_layout(margin={"l": 4, "r": 4, "t": 4, "b": 4}, showlegend=False)
    fig.update_xaxes(showgrid=False, zeroline=False, fixedrange=True)
    fig.update_yaxes(showgrid=False, zeroline=False, fixedrange=True)
    return fig


def door_bars(summary: Summary, *, dark: bool = False) -> go.Figure:
    """How many cells of each class there are: upright bars in the classes' colours, codes below."""
    colours = class_colours(summary.codes, dark)
    fig = go.Figure()
    fig.add_bar(
        x=list(summary.codes),
        y=summary.by_class,
        marker={"color": [colours[c] for c in summary.codes], "line": {"width": 0}},
        hovertemplate="%{x}: %{y:,} cells<extra></extra>",
    )
    _small(fig, dark)
    fig.update_layout(bargap=0.25)
    fig.update_yaxes(visible=False)
    return fig


def door_matrix(confusion: Sequence[Sequence[int]], codes: Sequence[str], *, dark: bool = False) -> go.Figure:
    """A confusion matrix as row shares, on a root scale that lets the few errors be seen."""
    counts = np.asarray(confusion, float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    scale = sequential(dark)
    fig = go.Figure()
    fig.add_heatmap(
        z=np.sqrt(shares),
        x=list(codes),
        y=list(codes),
        customdata=shares,
        zmin=0,
        zmax=1,
        colorscale=[[i / (len(scale) - 1), colour] for i, colour in enumerate(scale)],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="of the %{y}, %{customdata:.1%} were called %{x}<extra></extra>",
    )
    _small(fig, dark)
    fig.update_xaxes(constrain="domain", side="top", tickfont={"size": 11}, ticks="", showline=False)
    fig.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain", tickfont={"size": 11}, ticks="")
    fig.update_yaxes(showline=False)
    return fig


def door_answer(
    probabilities: np.ndarray, codes: Sequence[str], names: Sequence[str], *, dark: bool = False
) -> go.Figure:
    """The three likeliest classes of one cell as bars, probabilities (C,) written on them."""
    order = np.argsort(-probabilities, kind="stable")[:3]
    colours, text = class_colours(codes, dark), ground(dark)["text"]
    fig = go.Figure()
    fig.add_bar(
        x=probabilities[order],
        y=[str(i) for i in range(len(order))],
        orientation="h",
        marker={"color": [colours[codes[i]] for i in order], "line": {"width": 0}},
        hoverinfo="skip",
        width=0.28,
    )
    for row, i in enumerate(order):
        fig.add_annotation(
            x=0,
            y=row,
            yshift=21,
            text=f"<b>{codes[i]}</b>  {names[i]}, {percent(float(probabilities[i]))}",
            showarrow=False,
            xanchor="left",
            font={"size": 13, "color": text},
        )
    _small(fig, dark)
    fig.update_xaxes(visible=False, range=[0, 1])
    fig.update_yaxes(visible=False, range=[len(order) - 0.5, -0.75])
    return fig
