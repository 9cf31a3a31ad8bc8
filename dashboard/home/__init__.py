"""Home: three doors, each with a small picture (looked at, not read: no axes, no numbers to check), an example of an
answer, and what is installed on this computer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.datasets import DatasetSpec, dataset_names, get_dataset
from core.datasets.statistics import Summary
from core.errors import HemaLensError
from core.formatting import counted, percent
from core.images.crop import crop_by_shape
from core.inference.predictor import Predictor
from core.inference.scope import spec_for
from core.probabilities import wilson_interval
from core.runs import Run, best_run
from dashboard import cache
from dashboard.page import is_dark, is_page, link
from dashboard.pickers import external_validation_line
from dashboard.pictures import enlarge
from dashboard.samples import Sample, samples
from dashboard.style import class_colours, finish, ground, sequential

HEIGHT = 190
_STILL = {"staticPlot": True}


def doors(spec: DatasetSpec) -> None:
    """The ways in of three people, the clinician's first, shown with what the best model of ``spec`` does."""
    best, dark = best_run(cache.runs(spec.name)), is_dark()
    grid = st.grid(3, min_column_width=380, gap="small", border=True)
    with grid.container():
        st.header(":material/stethoscope: In the laboratory", anchor=False)
        st.markdown("A slide's cells: which need a second look, corrected by key, counted, signed, kept.")
        answered = example(best, spec) if best is not None else None
        if best is not None and answered is not None:
            with st.container(horizontal=True, vertical_alignment="center", height=HEIGHT, border=False):
                st.image(enlarge(answered.cell.pixels, 128), width=128, alt=f"a cell, {answered.cell.source}")
                with st.container(width="stretch"):
                    bars = door_answer(answered.probabilities, best.codes, spec_for(best).class_names, dark=dark)
                    st.plotly_chart(bars, theme=None, key="door_answer", config=_STILL)
            st.caption(f"Answered by {best.title}; the cell: {answered.cell.source}")
        with st.container(horizontal=True, gap="small"):
            if is_page("cases"):
                link("cases", "Open the cases", icon=":material/arrow_forward:")
                link("classify", "Have a quick look", icon=":material/biotech:")
            else:
                link("classify", "Classify cells", icon=":material/arrow_forward:")
            link("lab", "Teach it your stain", icon=":material/science:")
    with grid.container():
        st.header(":material/school: Learning", anchor=False)
        st.markdown("Many cells of each kind, what tells one kind from another, and a test of it.")
        summary = cache.summary(spec.name, 64)
        if summary is not None:
            st.plotly_chart(door_bars(summary, dark=dark), theme=None, key="door_bars", config=_STILL)
            st.caption(f"{summary.total:,} cells of {len(summary.codes)} classes; {summary.provenance.label}")
        link("dataset", "Look at the cells", icon=":material/arrow_forward:")
    with grid.container():
        st.header(":material/leaderboard: Teaching and research", anchor=False)
        st.markdown("Every model on the same cells: how good, how fast, and what it mixes up.")
        if best is not None:
            matrix = door_matrix(best.metrics["test"]["confusion"], best.codes, dark=dark)
            st.plotly_chart(matrix, theme=None, key="door_matrix", config=_STILL)
            st.caption(f"{best.title}, rows: the truth; {best.provenance}")
        link("compare", "Compare the models", icon=":material/arrow_forward:")


def on_this_computer(spec: DatasetSpec) -> None:
    """What is installed: models, images, and what the models of ``spec`` know."""
    runs = cache.runs(spec.name)
    st.header("On this computer", anchor=False)
    st.markdown(
        f"- **What runs here:** {models_line(best_run(runs), any(run.kind == 'combination' for run in runs))}.\n"
        f"- **Images:** {data_line()}.\n"
        f"- **What the models of {spec.title} know:** {spec.domain}. On other stains, microscopes or diseases, don't "
        f"rely on them. {external_validation_line(spec.name)}\n"
        "- **Your own pictures:** a folder with one folder a class becomes a data set of yours, to look at, train on "
        "and compare: `python -m core datasets add NAME FOLDER`"
    )
    others = [name for name, models in cache.datasets().items() if models and name != spec.name]
    if others:
        with st.container(horizontal=True, gap="small"):
            for name in others:
                label = f"Models of {get_dataset(name).title}"
                link("compare", label, icon=":material/leaderboard:", query={"dataset": name})


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


@dataclass(frozen=True)
class AnsweredExample:
    """A sample cell and a run's probabilities (C,) for it."""

    cell: Sample
    probabilities: np.ndarray


def example(run: Run, spec: DatasetSpec) -> AnsweredExample | None:
    """A sample cell that ``run`` knows for what it is, the surest such; None where it can't answer at all."""
    try:
        return _example(run, cache.images_version(spec.name), spec)
    except (HemaLensError, OSError):  # a broken run: Compare and Classify say so, Home only shows less
        return None


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=cache.BY_VERSION)
def _example(run: Run, images: str, _spec: DatasetSpec) -> AnsweredExample | None:
    cells = samples(_spec.name, run.size)
    if not cells:
        return None
    crops = np.stack([crop_by_shape(cell.pixels, run.size, _spec, mode="whole").pixels for cell in cells])
    answers = Predictor(run).predict_crops(crops).probabilities
    right = [run.codes[answer] == cell.truth for answer, cell in zip(answers.argmax(1), cells, strict=True)]
    chosen = int(np.argmax(answers.max(1) + right))  # a probability is 1 at most: right ones come first
    return AnsweredExample(cells[chosen], answers[chosen])


def models_line(best: Run | None, single: bool) -> str:
    """'35 for BloodMNIST, 3 for ALL. The best on val, ..., names 98.7 % of 3,421 test cells rightly (...), on ...'.

    ``best`` is BloodMNIST's best run; ``single`` tells that combinations, which may be better, didn't compete.
    """
    installed = [(get_dataset(name), number) for name, number in cache.datasets().items() if number]
    if not installed:
        return "none yet. Train one in the terminal: `python -m core train`"
    many = "; ".join(
        f"{counted(number, 'model') if not place else f'{number:,}'} for {spec.title}"
        for place, (spec, number) in enumerate(installed)
    )
    if best is None:
        return many
    test = best.metrics["test"]
    low, high = wilson_interval(round(test["accuracy"] * test["n"]), test["n"])
    which = f"best{' single one' if single else ''} for {get_dataset(best.dataset).title} on val"
    return (
        f"{many}. The {which}, **{best.title}**, names {100 * test['accuracy']:.1f} % of "
        f"{test['n']:,} test cells rightly (95 % interval {100 * low:.1f} to {100 * high:.1f}), on {best.provenance}"
    )


def data_line() -> str:
    """Which data sets' images are on this computer, at which sizes."""
    parts = []
    for name in dataset_names():
        spec = get_dataset(name)
        if spec.real:
            sizes_here = [str(size) for size in spec.sizes if cache.is_available(name, size)]
            absent = "not downloaded" if spec.download else "not on this computer"
            parts.append(f"{spec.title} at {', '.join(sizes_here)} px" if sizes_here else f"{spec.title} {absent}")
    return f"{'; '.join(parts)}. They never leave this computer, whose processor answers"
