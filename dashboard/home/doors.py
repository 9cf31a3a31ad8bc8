"""Home: the small pictures on its doors (looked at, not read: no axes, no numbers to check), an example of an answer,
and what is installed on this computer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.datasets import DatasetSpec, dataset_names, get_dataset
from core.datasets.statistics import Summary
from core.errors import HemaLensError
from core.evaluation import wilson_interval
from core.formatting import counted, percent
from core.images.crop import crop_by_shape
from core.inference.predictor import Predictor
from core.runs import Run
from dashboard import cache
from dashboard.samples import Sample, samples
from dashboard.style import class_colours, finish, ground, sequential

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


@dataclass(frozen=True)
class AnsweredExample:
    """A sample cell and a run's probabilities (C,) for it."""

    cell: Sample
    probabilities: np.ndarray


def example(run: Run, spec: DatasetSpec) -> AnsweredExample | None:
    """A sample cell that ``run`` knows for what it is, the surest such; None where it can't answer at all."""
    sizes_here = tuple(size for size in spec.sizes if cache.is_available(spec.name, size))
    try:
        return _example(str(run.path), run.path.stat().st_mtime_ns, sizes_here, run, spec)
    except (HemaLensError, OSError):  # a broken run: Compare and Classify say so, Home only shows less
        return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _example(
    path: str, changed: int, sizes_here: tuple[int, ...], _run: Run, _spec: DatasetSpec
) -> AnsweredExample | None:
    cells = samples(_spec.name, _run.size)
    if not cells:
        return None
    crops = np.stack([crop_by_shape(cell.pixels, _run.size, _spec, mode="whole").pixels for cell in cells])
    answers = Predictor(_run).predict_crops(crops).probabilities
    right = [_run.codes[answer] == cell.truth for answer, cell in zip(answers.argmax(1), cells, strict=True)]
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
