"""Figures of the Compare page: confusion matrices and their difference, training curves."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.evaluation.compare import PairedComparison
from core.serving.wording import of_class, sentence_case
from dashboard.figures.squares import Spec, even_steps, framed, squares
from dashboard.figures.style import diverging, finish, ground, sequential, series_colours

AXES = ("true class", "named")  # of a confusion matrix: rows and columns
CLICK = ("cell", ("truth", "called"))  # what a click on a square gives: the selection's name and its fields


def confusion_title(confusion: np.ndarray, names: Sequence[str], unit: str = "cell") -> str:
    """The finding of a confusion matrix (rows are the truth) in one sentence; ``names`` are class names.

    ``unit`` is what one picture shows.
    """
    matrix = np.asarray(confusion)
    errors = matrix - np.diag(np.diag(matrix))
    total = int(errors.sum())
    if matrix.sum() == 0:
        return f"No {unit}s were scored"
    if total == 0:
        return f"Every test {unit} is named right"
    rows = matrix.sum(axis=1, keepdims=True)
    # The commonest mix-up; of equals, the one that hits the larger share of its class.
    rank = errors + errors / np.maximum(rows, 1) / 2
    truth, called = np.unravel_index(int(rank.argmax()), rank.shape)
    count, of = int(errors[truth, called]), int(rows[truth, 0])
    if count > of / 2:
        return f"{sentence_case(of_class(names[truth], unit))} are mostly taken for {of_class(names[called], unit)}"
    if count == 1:
        return f"{total} of {int(matrix.sum())} {unit}s wrong, no mix-up twice"
    return f"{count} of {of} {of_class(names[truth], unit)} taken for {of_class(names[called], unit)}"


def confusion_chart(
    confusion: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    title: str | None = None,
    subtitle: str = "",
    axes: tuple[str, str] = AXES,
    unit: str = "cell",
    dark: bool = False,
) -> Spec:
    """A clickable confusion matrix (rows are the truth); its selection ``cell`` gives truth and called.

    ``axes`` says what rows and columns are, where it is not a confusion matrix (then nothing is clickable).
    ``percent`` prints the share of the row instead of counts. The colour is the square root of the row's share,
    so that rare mix-ups stay visible. `framed_cell` draws a frame around a square. ``unit`` is what one picture shows.
    """
    matrix = np.asarray(confusion, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shown = 100 * shares if percent else matrix
    digits = _percent_text if percent else lambda v: f"{v:,.0f}" if v else ""
    data = _cells(codes, names, shown, digits)
    data["colour"], data["count"], data["row"] = np.sqrt(shares).ravel(), matrix.ravel(), (100 * shares).ravel()
    tooltip = [
        {"field": "truth_name", "title": axes[0]},
        {"field": "called_name", "title": axes[1]},
        {"field": "count", "type": "quantitative", "title": f"{unit}s", "format": ",.0f"},
        {"field": "row", "type": "quantitative", "format": ".1f"}
        | {"title": "% of the true class" if axes == AXES else "% of the row"},
    ]
    scale = sequential(dark)
    texts = {"title": title or confusion_title(matrix, names, unit), "subtitle": subtitle}
    click = CLICK if axes == AXES else None
    return _matrix(data, codes, even_steps(0, 1, scale), scale, tooltip, axes, click, texts, dark)


def difference_chart(
    first: np.ndarray,
    second: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    percent: bool = False,
    title: str,
    subtitle: str = "",
    unit: str = "cell",
    dark: bool = False,
) -> Spec:
    """First minus second confusion matrix on a diverging scale, the ground's colour at zero; clickable."""
    one, two = np.asarray(first, float), np.asarray(second, float)
    share = 100 * (
        one / np.maximum(one.sum(axis=1, keepdims=True), 1) - two / np.maximum(two.sum(axis=1, keepdims=True), 1)
    )
    shown = share if percent else one - two
    digits = (lambda v: f"{v:+.1f}" if abs(v) >= 0.05 else "") if percent else (lambda v: f"{v:+,.0f}" if v else "")
    data = _cells(codes, names, shown, digits)
    data["colour"] = shown.ravel()
    limit = max(float(np.abs(shown).max()), 1e-9)
    what = {"title": "points of the row", "format": "+.1f"} if percent else {"title": f"{unit}s", "format": "+d"}
    tooltip = [
        {"field": "truth_name", "title": "true class"},
        {"field": "called_name", "title": "named"},
        {"field": "colour", "type": "quantitative"} | what,
    ]
    scale = diverging(dark)
    texts = {"title": title, "subtitle": subtitle}
    return _matrix(data, codes, even_steps(-limit, limit, scale), scale, tooltip, AXES, CLICK, texts, dark)


def framed_cell(spec: Spec, cell: tuple[str, str] | None, dark: bool = False) -> Spec:
    """A confusion matrix, or a difference of two, with a frame around the square (true class, class named)."""
    return framed(spec, {"truth": cell[0], "called": cell[1]} if cell else None, dark)


def difference_title(paired: PairedComparison | None, first: str, second: str, unit: str = "cell") -> str:
    """What two runs' difference says, in one line."""
    if paired is None:
        return f"{first} minus {second}, each on its own {unit}s"
    if paired.only_first == paired.only_second == 0:
        return f"Both runs are right and wrong on the same {unit}s"
    return f"{paired.only_first} {unit}s only {first} names right, {paired.only_second} only {second}"


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


def _matrix(data, codes, steps, scale, tooltip, axes, click, texts, dark) -> Spec:
    order, look = list(codes), {"steps": steps, "scale": scale, "dark": dark}
    return squares(data, "truth", "called", order=order, tooltip=tooltip, titles=axes, click=click, **texts, **look)


def _percent_text(value: float) -> str:
    if value == 0:
        return ""
    return "< 0.1" if value < 0.05 else f"{value:.1f}"
