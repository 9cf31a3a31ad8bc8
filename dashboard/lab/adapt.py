"""Your lab, step 2: what is read before a single answer, and after the answers so far: counts, map, doubtful cells."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.datasets import DatasetSpec
from core.evaluation.embeddings import MIN_POINTS, normalise, project
from core.formatting import counted, percent
from dashboard.charts import show_figure
from dashboard.lab import LabContext, Laboratory, crop
from dashboard.page import is_dark, view
from dashboard.pickers import specimen_line
from dashboard.style import class_colours, finish, ground

_PALE = 0.35


def counts_table(
    before: np.ndarray, after: np.ndarray, codes: Sequence[str], columns: tuple[str, str] = ("before", "after")
) -> pd.DataFrame:
    """A row a class: how many of the answers ``before`` and ``after``, int (N,), name it."""
    numbers = [np.bincount(answers, minlength=len(codes)) for answers in (before, after)]
    return pd.DataFrame({"class": codes, columns[0]: numbers[0], columns[1]: numbers[1]})


def class_counts_figure(
    table: pd.DataFrame, names: Mapping[str, str], *, title: str, dark: bool = False, height: int = 360
) -> go.Figure:
    """A bar a class for each column of counts, the last one in full colour; ``table`` is `counts_table`'s."""
    codes = list(table["class"])
    colours = class_colours(codes, dark)
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
    points: np.ndarray, answers: np.ndarray, sureness: np.ndarray, named: Mapping[int, int], codes: Sequence[str]
) -> pd.DataFrame:
    """A row a cell: ``x``, ``y`` of ``points`` (N, 2), the class that it is taken for, how surely, what a person said.

    ``named``: class index by the cell's number; numbers below 0 are no class.
    """
    told = ["" if named.get(i, -1) < 0 else codes[named[i]] for i in range(len(points))]
    table = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "class": np.array(codes)[answers]})
    return table.assign(probability=sureness, told=told)


def cell_map_figure(
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
    named = table[table["told"] != ""]
    if len(named):
        figure.add_scatter(
            x=named["x"],
            y=named["y"],
            mode="markers",
            name="named by you",
            marker={"symbol": "circle-open", "size": 14, "color": named["told"].map(colours), "line": {"width": 2.5}},
            hovertemplate="you said %{customdata}<extra></extra>",
            customdata=named["told"],
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


_DOUBTFUL = 11  # one row at 1440 px
_TILE = 100
_ADAPTS = "lab_adapts"


@view("Adapt", order=20)
def render(context: LabContext) -> None:
    """Counts and map of the answers without a label, and the cells that are most in doubt."""
    lab, run, spec = context.lab, context.run, context.spec
    plain, now = lab.learner.cells.probabilities, lab.probabilities
    has_answers = bool(lab.learner.labelled[0].size)
    if not has_answers:
        _without_labels(lab)
    changed = int((plain.argmax(1) != now.argmax(1)).sum())
    st.markdown(
        f"{run.title} is on average {percent(float(plain.max(1).mean()))} sure of its answers to your cells as it is. "
        + ("After your answers " if has_answers else "Now ")
        + (f"{counted(changed, 'answer')} of {len(now)} changed." if changed else "no answer changed.")
    )
    with st.container(horizontal=True, gap="medium"):
        with st.container(width="stretch", key="lab_counts_side"):
            show_class_counts(lab, plain, now, spec)
        with st.container(width="stretch", key="lab_map_side"):
            show_cell_map(lab, now, spec)
    two = -np.partition(-now, 1, axis=1)[:, :2]
    doubtful = np.argsort(two[:, 0] - two[:, 1], kind="stable")[:_DOUBTFUL]
    st.markdown(f"**Most in doubt**: the {len(doubtful)} cells between two classes")
    cell_row(lab, doubtful, now, spec)


def _without_labels(lab: Laboratory) -> None:
    """What the pictures taught by themselves, and the switch that undoes it."""
    adaptation = lab.learner.self_training
    st.markdown(adaptation.why.replace("%", " %"))
    if adaptation.done:
        st.session_state[_ADAPTS] = lab.self_training
        st.toggle(
            "Keep what the pictures taught without a label",
            key=_ADAPTS,
            on_change=lambda: lab.set_self_training(st.session_state[_ADAPTS]),
            help="Off: the model's own answers. Once you have named cells, these decide.",
        )


def show_class_counts(
    lab: Laboratory, before: np.ndarray, after: np.ndarray, spec: DatasetSpec, key: str = "lab_counts"
) -> None:
    """Bars of how many cells each class has, by probabilities (N, C) ``before`` and ``after``."""
    table = counts_table(before.argmax(1), after.argmax(1), spec.codes)
    changed = (before.argmax(1) != after.argmax(1)).any()
    title = "Cells by class: as the model is (pale) and now" if changed else "Cells by class"
    table = table if changed else table.drop(columns="before")
    chart = class_counts_figure(table, spec.names, title=title, dark=is_dark())
    show_figure(chart, table, key.replace("_", "-"), key)
    if weighed := specimen_line(lab.specimen, True):
        st.caption(weighed)


def show_cell_map(lab: Laboratory, probabilities: np.ndarray, spec: DatasetSpec) -> None:
    """All cells as the model sees them, alike beside alike."""
    if len(lab.ids) < MIN_POINTS:
        return
    points = project(normalise(lab.learner.cells.embeddings)).points
    table = map_table(points, probabilities.argmax(1), probabilities.max(1), lab.answers, spec.codes)
    title = "Your cells as the model sees them: alike lie together"
    chart = cell_map_figure(table, spec.codes, spec.names, title=title, dark=is_dark())
    show_figure(chart, table, "lab-map", "lab_map")


def cell_row(
    lab: Laboratory, cells: np.ndarray, probabilities: np.ndarray, spec: DatasetSpec, before: np.ndarray | None = None
) -> None:
    """The ``cells`` (indexes), each with its two likeliest classes, or with what it was ``before`` and is now."""
    with st.container(horizontal=True, gap="small"):
        for cell in cells:
            first, second = np.argsort(-probabilities[cell], kind="stable")[:2]
            line = f"**{spec.codes[first]}** or {spec.codes[second]}"
            if before is not None:
                line = f"{spec.codes[before[cell].argmax()]} :material/arrow_forward: **{spec.codes[first]}**"
            with st.container(width=_TILE, gap="xxsmall"):
                st.image(crop(lab, cell), width=_TILE, alt=f"cell {cell}, {spec.class_names[first]}")
                st.markdown(line, text_alignment="center")
