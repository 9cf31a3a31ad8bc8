"""Step 2: what is read before a single answer, and after the answers so far: counts, map, doubtful cells."""

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec
from core.evaluation.projection import FEWEST, project, unit
from core.runs import Run
from core.serving.wording import count, percent
from dashboard.figures import lab as figures
from dashboard.lab import Lab, crop
from dashboard.widgets.export import exported
from dashboard.widgets.page import is_dark

_DOUBTFUL = 11  # one row at 1440 px
_TILE = 100
_ADAPTS = "lab_adapts"


def adapt_step(lab: Lab, run: Run, spec: DatasetSpec) -> None:
    """Counts and map of the answers without a label, and the cells that are most in doubt."""
    plain, now = lab.teaching.cells.probabilities, lab.probabilities
    taught = bool(lab.teaching.labelled[0].size)
    if not taught:
        _without_labels(lab)
    changed = int((plain.argmax(1) != now.argmax(1)).sum())
    st.markdown(
        f"{run.title} is on average {percent(float(plain.max(1).mean()))} sure of its answers to your cells as it is. "
        + ("After your answers " if taught else "Now ")
        + (f"{count(changed, 'answer')} of {len(now)} changed." if changed else "no answer changed.")
    )
    with st.container(horizontal=True, gap="medium"):
        with st.container(width="stretch", key="lab_counts_side"):
            counts(lab, plain, now, spec)
        with st.container(width="stretch", key="lab_map_side"):
            cell_map(lab, now, spec)
    two = -np.partition(-now, 1, axis=1)[:, :2]
    doubtful = np.argsort(two[:, 0] - two[:, 1], kind="stable")[:_DOUBTFUL]
    st.markdown(f"**Most in doubt**: the {len(doubtful)} cells between two classes")
    cell_row(lab, doubtful, now, spec)


def _without_labels(lab: Lab) -> None:
    """What the pictures taught by themselves, and the switch that undoes it."""
    found = lab.teaching.adaptation
    st.markdown(found.why.replace("%", " %"))
    if found.done:
        st.session_state[_ADAPTS] = lab.adapts
        st.toggle(
            "Keep what the pictures taught without a label",
            key=_ADAPTS,
            on_change=lambda: lab.say_adapts(st.session_state[_ADAPTS]),
            help="Off: the model's own answers. Once you have named cells, these decide.",
        )


def counts(lab: Lab, before: np.ndarray, after: np.ndarray, spec: DatasetSpec, key: str = "lab_counts") -> None:
    """Bars of how many cells each class has, by probabilities (N, C) ``before`` and ``after``."""
    table = figures.counts_table(before.argmax(1), after.argmax(1), spec.codes)
    changed = (before.argmax(1) != after.argmax(1)).any()
    title = "Cells by class: as the model is (pale) and now" if changed else "Cells by class"
    table = table if changed else table.drop(columns="before")
    chart = figures.class_counts(table, _names(spec), title=title, dark=is_dark())
    exported(chart, table, key.replace("_", "-"), key)


def cell_map(lab: Lab, probabilities: np.ndarray, spec: DatasetSpec) -> None:
    """All cells as the model sees them, alike beside alike."""
    if len(lab.ids) < FEWEST:
        return
    points = project(unit(lab.teaching.cells.embeddings)).points
    table = figures.map_table(points, probabilities.argmax(1), probabilities.max(1), lab.answers, spec.codes)
    title = "Your cells as the model sees them: alike lie together"
    exported(
        figures.cell_map(table, spec.codes, _names(spec), title=title, dark=is_dark()), table, "lab-map", "lab_map"
    )


def cell_row(
    lab: Lab, cells: np.ndarray, probabilities: np.ndarray, spec: DatasetSpec, before: np.ndarray | None = None
) -> None:
    """The ``cells`` (indexes), each with its two likeliest classes, or with what it was ``before`` and is now."""
    with st.container(horizontal=True, gap="small"):
        for cell in cells:
            first, second = np.argsort(-probabilities[cell], kind="stable")[:2]
            if before is not None:
                line = f"{spec.codes[before[cell].argmax()]} :material/arrow_forward: **{spec.codes[first]}**"
            else:
                line = f"**{spec.codes[first]}** or {spec.codes[second]}"
            with st.container(width=_TILE, gap="xxsmall"):
                st.image(crop(lab, cell), width=_TILE, alt=f"cell {cell}, {spec.class_names[first]}")
                st.markdown(line, text_alignment="center")


def _names(spec: DatasetSpec) -> dict[str, str]:
    return dict(zip(spec.codes, spec.class_names, strict=True))
