"""Figures of the Compare page: confusion matrices and their difference, training curves."""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.evaluation.compare import PairedComparison
from core.serving.wording import plural
from dashboard.figures.style import (
    diverging,
    finish,
    finish_altair,
    ground,
    inks,
    sequential,
    series_colours,
)

AXES = ("true class", "named")  # of a confusion matrix: rows and columns


def confusion_title(confusion: np.ndarray, names: Sequence[str]) -> str:
    """The finding of a confusion matrix (rows are the truth) in one sentence; ``names`` are class names."""
    matrix = np.asarray(confusion)
    errors = matrix - np.diag(np.diag(matrix))
    total = int(errors.sum())
    if matrix.sum() == 0:
        return "No cells were scored"
    if total == 0:
        return "Every test cell is named right"
    rows = matrix.sum(axis=1, keepdims=True)
    # The commonest mix-up; of equals, the one that hits the larger share of its class.
    rank = errors + errors / np.maximum(rows, 1) / 2
    truth, called = np.unravel_index(int(rank.argmax()), rank.shape)
    count, of = int(errors[truth, called]), int(rows[truth, 0])
    if count > of / 2:
        return f"{plural(names[truth]).capitalize()} are mostly taken for {plural(names[called])}"
    if count == 1:
        return f"{total} of {int(matrix.sum())} cells wrong, no mix-up twice"
    return f"{count} of {of} {plural(names[truth])} taken for {plural(names[called])}"


def confusion_chart(
    confusion: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    marked: tuple[str, str] | None = None,
    title: str | None = None,
    subtitle: str = "",
    axes: tuple[str, str] = AXES,
    dark: bool = False,
    side: int = 360,
) -> alt.Chart:
    """A clickable confusion matrix (rows are the truth); its selection ``cell`` gives truth and called.

    ``axes`` says what rows and columns are, where it is not a confusion matrix (then nothing is clickable).

    ``percent`` prints the share of the row instead of counts; ``marked`` draws a frame around a cell.
    The colour is the square root of the row's share, so that rare mix-ups stay visible.
    """
    matrix = np.asarray(confusion, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shown = 100 * shares if percent else matrix
    digits = _percent_text if percent else lambda v: f"{v:,.0f}" if v else ""
    scale, steps = sequential(dark), np.linspace(0, 1, len(sequential(dark)))
    data = _cells(codes, names, shown, digits)
    data["colour"] = np.sqrt(shares).ravel()
    data["ink"] = inks(data["colour"], steps, scale)
    data["count"], data["row"] = matrix.ravel(), (100 * shares).ravel()
    colour = alt.Color("colour:Q", scale=alt.Scale(domain=list(steps), range=scale, interpolate="rgb"), legend=None)
    tooltip = [
        alt.Tooltip("truth_name:N", title=axes[0]),
        alt.Tooltip("called_name:N", title=axes[1]),
        alt.Tooltip("count:Q", title="cells", format=",.0f"),
        alt.Tooltip("row:Q", title="% of the true class" if axes == AXES else "% of the row", format=".1f"),
    ]
    chart = _matrix(data, codes, colour, tooltip, marked, dark, side, axes)
    return _titled(chart, title or confusion_title(matrix, names), subtitle, dark)


def difference_chart(
    first: np.ndarray,
    second: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    marked: tuple[str, str] | None = None,
    title: str,
    subtitle: str = "",
    dark: bool = False,
    side: int = 360,
) -> alt.Chart:
    """First minus second confusion matrix on a diverging scale, the ground's colour at zero; clickable."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    share = 100 * (
        one / np.maximum(one.sum(axis=1, keepdims=True), 1) - two / np.maximum(two.sum(axis=1, keepdims=True), 1)
    )
    shown = share if percent else one - two
    digits = (lambda v: f"{v:+.1f}" if abs(v) >= 0.05 else "") if percent else (lambda v: f"{v:+,.0f}" if v else "")
    data = _cells(codes, names, shown, digits)
    limit = max(float(np.abs(shown).max()), 1e-9)
    scale = diverging(dark)
    steps = np.linspace(-limit, limit, len(scale))
    data["colour"] = shown.ravel()
    data["ink"] = inks(data["colour"], steps, scale)
    colour = alt.Color("colour:Q", scale=alt.Scale(domain=list(steps), range=scale, interpolate="rgb"), legend=None)
    tooltip = [
        alt.Tooltip("truth_name:N", title="true class"),
        alt.Tooltip("called_name:N", title="named"),
        alt.Tooltip("colour:Q", title="points of the row" if percent else "cells", format="+.1f" if percent else "+d"),
    ]
    return _titled(_matrix(data, codes, colour, tooltip, marked, dark, side), title, subtitle, dark)


def difference_title(paired: PairedComparison | None, first: str, second: str) -> str:
    """What two runs' difference says, in one line."""
    if paired is None:
        return f"{first} minus {second}, each on its own cells"
    if paired.only_first == paired.only_second == 0:
        return "Both runs are right and wrong on the same cells"
    return f"{paired.only_first} cells only {first} names right, {paired.only_second} only {second}"


def curves(histories: Mapping[str, Mapping[str, np.ndarray]], *, dark: bool = False) -> go.Figure:
    """Loss, val accuracy and learning rate by epoch; a colour a run, train dotted where both are drawn.

    ``histories`` maps a run's label to its `history`.
    """
    fig = make_subplots(
        rows=1, cols=3, horizontal_spacing=0.07, subplot_titles=["Loss", "Accuracy on val (%)", "Learning rate"]
    )
    for (label, history), colour in zip(histories.items(), series_colours(len(histories), dark), strict=True):
        if not len(history.get("train_loss", ())):  # a model that isn't trained in epochs
            continue
        line = {"color": colour, "width": 2}
        common = {"x": history["epoch"], "mode": "lines", "legendgroup": label}
        fig.add_scatter(
            y=history["train_loss"],
            line=line | {"dash": "dot", "width": 1.5},
            name=f"{label}, train",
            showlegend=False,
            hovertemplate="train %{y:.3f}",
            row=1,
            col=1,
            **common,
        )
        fig.add_scatter(
            y=history["val_loss"], line=line, name=label, hovertemplate="val %{y:.3f}", row=1, col=1, **common
        )
        fig.add_scatter(
            y=100 * history["val_accuracy"],
            line=line,
            name=label,
            showlegend=False,
            hovertemplate="%{y:.2f} %",
            row=1,
            col=2,
            **common,
        )
        fig.add_scatter(
            y=history["learning_rate"],
            line=line,
            name=label,
            showlegend=False,
            hovertemplate="%{y:.2g}",
            row=1,
            col=3,
            **common,
        )
    fig.update_xaxes(title="Epoch")
    finish(fig, title=curves_title(histories), height=360, dark=dark)
    fig.update_annotations(font={"size": 13, "color": ground(dark)["quiet"]})
    fig.update_layout(
        hovermode="x",
        margin={"t": 84},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.28, "yanchor": "top"},
    )
    return fig


def curves_title(histories: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """When each run was at its best on val."""
    parts = []
    for label, history in histories.items():
        accuracy = history.get("val_accuracy", np.zeros(0))
        if len(accuracy):
            best = int(np.argmax(accuracy))
            parts.append(
                f"{label} at its best after {int(history['epoch'][best])} of {int(history['epoch'][-1])} epochs"
            )
    return "; ".join(parts[:2]) or "No training curve was stored"


def _cells(codes: Sequence[str], names: Sequence[str], shown: np.ndarray, text) -> pd.DataFrame:
    rows = []
    for i, truth in enumerate(codes):
        for j, called in enumerate(codes):
            rows.append((truth, called, names[i], names[j], text(shown[i, j])))
    return pd.DataFrame(rows, columns=["truth", "called", "truth_name", "called_name", "text"])


def _matrix(data, codes, colour, tooltip, marked, dark, side, axes=AXES) -> alt.LayerChart:
    order = list(codes)
    x = alt.X(
        "called:N", sort=order, title=axes[1], axis=alt.Axis(orient="top", labelAngle=0, ticks=False, domain=False)
    )
    y = alt.Y("truth:N", sort=order, title=axes[0], axis=alt.Axis(ticks=False, domain=False))
    clickable = axes == AXES
    click = alt.selection_point(name="cell", fields=["truth", "called"], on="click", clear="dblclick")
    line = ground(dark)["line"]
    squares = (
        alt.Chart(data)
        .mark_rect(stroke=line, strokeWidth=0.5, cursor="pointer" if clickable else "default")
        .encode(x=x, y=y, color=colour, tooltip=tooltip)
    )
    if clickable:
        squares = squares.add_params(click)
    numbers = (
        alt.Chart(data).mark_text(fontSize=12).encode(x=x, y=y, text="text:N", color=alt.Color("ink:N", scale=None))
    )
    layers = [squares, numbers]
    if marked:
        here = data[(data["truth"] == marked[0]) & (data["called"] == marked[1])]
        frame = alt.Chart(here).mark_rect(fillOpacity=0, stroke=ground(dark)["text"], strokeWidth=2.5)
        layers.append(frame.encode(x=x, y=y))
    # The inks are colours already; a scale shared with the squares would be read where there is none.
    return alt.layer(*layers).resolve_scale(color="independent").properties(height=side)


def _titled(chart: alt.LayerChart, title: str, subtitle: str, dark: bool) -> alt.LayerChart:
    done = finish_altair(chart, title=title, dark=dark)
    done.title = alt.TitleParams(
        title,
        subtitle=subtitle,
        anchor="start",
        fontSize=14,
        color=ground(dark)["text"],
        subtitleColor=ground(dark)["quiet"],
        subtitleFontSize=13,
        offset=10,
        limit=420,
    )
    return done


def _percent_text(value: float) -> str:
    if value == 0:
        return ""
    return "< 0.1" if value < 0.05 else f"{value:.1f}"
