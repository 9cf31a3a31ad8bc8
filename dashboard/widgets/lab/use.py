"""Step 4: what the answers changed, what is still wrong, and keeping it."""

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec
from core.lab.profile import LabError
from core.runs import Run
from core.serving.wording import count, percent
from dashboard.figures import lab as figures
from dashboard.lab import Lab
from dashboard.widgets.export import exported
from dashboard.widgets.lab.adapt import cell_row, counts
from dashboard.widgets.lab.profiles import use_on_classify
from dashboard.widgets.page import is_dark

_NAME = "lab_name"
_CHANGED = 22  # two rows at 1440 px


def use_step(lab: Lab, run: Run, spec: DatasetSpec) -> None:
    """Keep it first; then before and after."""
    if not lab.teaching.labelled[0].size:
        st.info("Answer some questions first: they are what makes the difference.", icon=":material/school:")
        return
    _keep(lab, run)
    estimate = lab.estimate
    plain, taught = lab.teaching.cells.probabilities, lab.probabilities
    if estimate is None:
        st.info("Five answers that name a class are needed to estimate how well it reads.", icon=":material/info:")
    else:
        with st.container(horizontal=True, gap="medium"):
            for title, share, interval in (
                ("Right before", estimate.before, estimate.before_interval),
                ("Right now", estimate.after, estimate.after_interval),
            ):
                low, high = (100 * v for v in interval)
                st.metric(
                    title,
                    percent(share),
                    f"95 % interval {low:.0f} to {high:.0f} %",
                    delta_color="off",
                    delta_arrow="off",
                    width=260,
                    help=f"The share of all your cells that is expected to be right. The {estimate.n} that you named "
                    "were left out of teaching in turn and then read (cross-validation): that tells how far its "
                    "confidence in the others may be trusted.",
                )
        _matrices(lab, spec)
    counts(lab, plain, taught, spec, key="lab_counts_after")
    changed = np.flatnonzero(plain.argmax(1) != taught.argmax(1))
    changed = changed[np.argsort(-taught[changed].max(1), kind="stable")]
    st.markdown(f"**{count(len(changed), 'answer')} changed**" + (", the surest first" if len(changed) else ""))
    cell_row(lab, changed[:_CHANGED], taught, spec, before=plain)
    if len(changed) > _CHANGED:
        st.caption(f"and {len(changed) - _CHANGED} more")


def _matrices(lab: Lab, spec: DatasetSpec) -> None:
    estimate = lab.estimate
    names, codes = spec.class_names, spec.codes
    pair = {
        "before": figures.confusion(estimate.labels, estimate.before_answers, len(codes)),
        "now": figures.confusion(estimate.labels, estimate.after_answers, len(codes)),
    }
    there = np.flatnonzero(sum(matrix.sum(0) + matrix.sum(1) for matrix in pair.values()))
    st.markdown(figures.worst_mix_up(pair["now"], names))
    with st.container(horizontal=True, gap="medium"):
        for when, matrix in pair.items():
            wrong = int(matrix.sum() - np.trace(matrix))
            title = f"{when.capitalize()}: {wrong} of {estimate.n} named cells wrong"
            with st.container(width=440):
                chart = figures.small_matrix(matrix, there, codes, names, title=title, dark=is_dark())
                table = figures.matrix_table(matrix, codes)
                exported(chart, table, f"lab-matrix-{when}", f"lab_matrix_{when}", index=True)


def _keep(lab: Lab, run: Run) -> None:
    free = lab.free_name()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.text_input("Name of your laboratory", key=_NAME, max_chars=60, placeholder=free, width=320)
        main, other = ("secondary", "primary") if lab.kept else ("primary", "secondary")
        keep = st.button("Keep this laboratory", key="lab_keep", icon=":material/save:", type=main)
        use = st.button(
            "Use on Classify", key="lab_use_now", icon=":material/biotech:", type=other, disabled=lab.kept is None
        )
    if keep:
        try:
            lab.keep(name or free, run)
        except LabError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.rerun()
    if lab.kept:
        st.caption(f"Kept as {lab.kept.name}: a small file of numbers on this computer, no picture.")
    if use and lab.kept:
        use_on_classify(lab.kept)
