"""Figures of the page 'Your lab': counts before and after, the map of the cells, matrices of the estimate."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.serving.wording import count, plural
from dashboard.figures.style import class_colours, finish, ground, inks, sequential

_PALE = 0.35


def counts_table(
    before: np.ndarray, after: np.ndarray, codes: Sequence[str], columns: tuple[str, str] = ("before", "after")
) -> pd.DataFrame:
    """A row a class: how many of the answers ``before`` and ``after``, int (N,), name it."""
    numbers = [np.bincount(answers, minlength=len(codes)) for answers in (before, after)]
    return pd.DataFrame({"class": codes, columns[0]: numbers[0], columns[1]: numbers[1]})


def class_counts(
    table: pd.DataFrame, names: Mapping[str, str], *, title: str, dark: bool = False, height: int = 360
) -> go.Figure:
    """A bar a class for each column of counts, the last one in full colour; ``table`` is `counts_table`'s."""
    colours = class_colours(list(table["class"]), dark)
    codes = list(table["class"])
    figure = go.Figure()
    for number, column in enumerate(columns := list(table.columns[1:])):
        figure.add_bar(
            x=codes,
            y=table[column],
            name=column,
            marker={"color": [colours[c] for c in codes], "opacity": 1 if number == len(columns) - 1 else _PALE},
            text=[str(n) if n else "" for n in table[column]],
            textposition="outside",
            cliponaxis=False,
            customdata=[names[c] for c in codes],
            hovertemplate="%{customdata}<br>" + column + ": %{y}<extra></extra>",
        )
    finish(figure, title=title, height=height, dark=dark)
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.05, dragmode=False, showlegend=False)
    figure.update_yaxes(title_text="cells", rangemode="tozero", nticks=5, fixedrange=True)
    figure.update_xaxes(showgrid=False, fixedrange=True, tickfont={"color": ground(dark)["text"], "size": 14})
    return figure


def map_table(
    points: np.ndarray, answers: np.ndarray, sureness: np.ndarray, told: Mapping[int, int], codes: Sequence[str]
) -> pd.DataFrame:
    """A row a cell: ``x``, ``y`` of ``points`` (N, 2), the class that it is taken for, how surely, what a person said.

    ``told``: class index by the cell's number; numbers below 0 are no class.
    """
    said = ["" if told.get(i, -1) < 0 else codes[told[i]] for i in range(len(points))]
    return pd.DataFrame(
        {
            "x": points[:, 0],
            "y": points[:, 1],
            "class": np.array(codes)[answers],
            "probability": sureness,
            "told": said,
        }
    )


def cell_map(
    table: pd.DataFrame,
    codes: Sequence[str],
    names: Mapping[str, str],
    *,
    title: str,
    dark: bool = False,
    height: int = 360,
) -> go.Figure:
    """A point a cell in the colour of its answer, a ring round those that a person named; ``table``: `map_table`'s."""
    colours, figure = class_colours(codes, dark), go.Figure()
    for code in codes:
        here = table[table["class"] == code]
        if here.empty:
            continue
        figure.add_scatter(
            x=here["x"],
            y=here["y"],
            mode="markers",
            name=code,
            marker={"color": colours[code], "size": 8, "opacity": 0.8},
            customdata=np.stack([100 * here["probability"].clip(upper=0.994), here.index], -1),
            hovertemplate=f"<b>{code}</b> {names[code]}, %{{customdata[0]:.0f}} %<br>cell %{{customdata[1]:.0f}}"
            "<extra></extra>",
        )
    told = table[table["told"] != ""]
    if len(told):
        figure.add_scatter(
            x=told["x"],
            y=told["y"],
            mode="markers",
            name="named by you",
            marker={
                "symbol": "circle-open",
                "size": 14,
                "color": [colours[c] for c in told["told"]],
                "line": {"width": 2.5},
            },
            hovertemplate="you said %{customdata}<extra></extra>",
            customdata=told["told"],
        )
    finish(figure, title=title, height=height, dark=dark)
    figure.update_layout(
        dragmode=False,
        legend={"x": 0, "xanchor": "left", "y": -0.04, "yanchor": "top", "itemsizing": "constant"},
        margin={"b": 40},
    )
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(showticklabels=False, ticks="", zeroline=False, showgrid=False, showline=False, fixedrange=True)
    return figure


def confusion(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """Counts int (C, C): rows what the cells are, columns what they were called."""
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def matrix_table(matrix: np.ndarray, codes: Sequence[str]) -> pd.DataFrame:
    """``matrix`` (C, C) with the classes' codes: a row for what cells are, a column for what they were called."""
    return pd.DataFrame(matrix, index=pd.Index(codes, name="is"), columns=list(codes))


def small_matrix(
    matrix: np.ndarray,
    there: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    title: str,
    dark: bool = False,
    side: int = 360,
) -> go.Figure:
    """The classes ``there`` (indexes) of a confusion matrix of a few dozen cells; counts stand in the squares."""
    shown = matrix[np.ix_(there, there)]
    shares = np.sqrt(shown / np.maximum(shown.sum(1, keepdims=True), 1))
    labels, scale = [codes[i] for i in there], sequential(dark)
    steps = np.linspace(0, 1, len(scale))
    hover = [
        [
            f"{count(int(shown[i, j]), 'cell')}<br>is {names[there[i]]}, called {names[there[j]]}"
            for j in range(len(there))
        ]
        for i in range(len(there))
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=labels,
            y=labels,
            zmin=0,
            zmax=1,
            colorscale=[[float(s), c] for s, c in zip(steps, scale, strict=True)],
            showscale=False,
            xgap=2,
            ygap=2,
            text=hover,
            hovertemplate="%{text}<extra></extra>",
        )
    )
    ink = inks(shares.ravel(), steps, scale)
    for number, value in enumerate(shown.ravel()):
        if value:
            i, j = divmod(number, len(there))
            font = {"size": 14, "color": ink[number]}
            figure.add_annotation(x=labels[j], y=labels[i], text=str(value), showarrow=False, font=font)
    finish(figure, title=title, height=side, dark=dark)
    text = {"tickfont": {"size": 13, "color": ground(dark)["text"]}, "showgrid": False, "fixedrange": True}
    figure.update_xaxes(title_text="called", side="bottom", **text)
    figure.update_yaxes(title_text="what it is", autorange="reversed", **text)
    figure.update_layout(dragmode=False)
    return figure


def worst_mix_up(matrix: np.ndarray, names: Sequence[str]) -> str:
    """What is still got wrong, in a sentence; ``matrix`` (C, C), rows what the cells are."""
    errors = matrix - np.diag(np.diag(matrix))
    if not errors.sum():
        return "None of the cells that you named is misread when it is left out."
    truth, called = np.unravel_index(int(errors.argmax()), errors.shape)
    number, of = int(errors[truth, called]), int(matrix[truth].sum())
    kind = plural(names[truth]) if of != 1 else names[truth]
    return f"Most often wrong: {number} of {of} {kind} taken for {plural(names[called])}."
