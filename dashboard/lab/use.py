"""Your lab, step 4: what the answers changed, what is still wrong, and keeping it; the laboratories that were kept, to
use, export, import and delete.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.adaptation import profile as profiles
from core.adaptation.estimate import AccuracyEstimate
from core.adaptation.profile import LabProfile, ProfileError
from core.datasets import DatasetSpec
from core.formatting import counted, percent, plural
from core.inference.specimen import find_specimen
from core.runs import Run
from dashboard.charts import show_figure
from dashboard.lab import LabContext, Laboratory
from dashboard.lab.adapt import cell_row, show_class_counts
from dashboard.page import is_dark, open_page, view
from dashboard.pickers import accuracy_line, specimen_line
from dashboard.style import finish, ground, inks, sequential


def confusion_counts(labels: np.ndarray, answers: np.ndarray, classes: int) -> np.ndarray:
    """Counts int (C, C): rows what the cells are, columns what they were called."""
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (labels, answers), 1)
    return matrix


def matrix_table(matrix: np.ndarray, codes: Sequence[str]) -> pd.DataFrame:
    """``matrix`` (C, C) with the classes' codes: a row for what cells are, a column for what they were called."""
    return pd.DataFrame(matrix, index=pd.Index(codes, name="is"), columns=list(codes))


def small_matrix(
    matrix: np.ndarray,
    present: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    *,
    title: str,
    dark: bool = False,
    side: int = 360,
) -> go.Figure:
    """The classes ``present`` (indexes) of a confusion matrix of a few dozen cells; counts stand in the squares."""
    shown = matrix[np.ix_(present, present)]
    shares = np.sqrt(shown / np.maximum(shown.sum(1, keepdims=True), 1))
    labels, scale = [codes[i] for i in present], sequential(dark)
    steps = np.linspace(0, 1, len(scale)).tolist()
    hover = [
        [f"{counted(int(matrix[i, j]), 'cell')}<br>is {names[i]}, called {names[j]}" for j in present] for i in present
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=labels,
            y=labels,
            zmin=0,
            zmax=1,
            colorscale=[[s, c] for s, c in zip(steps, scale, strict=True)],
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
            i, j = divmod(number, len(present))
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
    truth, called = divmod(int(errors.argmax()), len(errors))
    number, of = int(errors[truth, called]), int(matrix[truth].sum())
    kind = plural(names[truth]) if of != 1 else names[truth]
    return f"Most often wrong: {number} of {of} {kind} taken for {plural(names[called])}."


_DELETE_ASKED, _IMPORT, _IMPORT_MESSAGE = "lab_delete_asked", "lab_import", "lab_import_told"


def profile_list(dataset: str) -> None:
    """A line each for the profiles of ``dataset``, with their buttons, and the way to import one."""
    of_dataset = [p for p in profiles.list_profiles() if p.dataset == dataset]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.header("Your laboratories", anchor=False, width="content")
        with st.popover("Import a laboratory", icon=":material/upload_file:"):
            _import_profile()
    if message := st.session_state.pop(_IMPORT_MESSAGE, None):
        failed, text = message
        (st.error if failed else st.success)(text, icon=":material/error:" if failed else ":material/check:")
    if not of_dataset:
        st.caption("None yet. What you teach here is kept on this computer as a small file of numbers, no picture.")
    for profile in of_dataset:
        _profile_line(profile)


def _profile_line(profile: LabProfile) -> None:
    labelled = ", ".join(f"{code} {n}" for code, n in profile.labelled.items()) or "none"
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width="stretch", gap="xxsmall"):
            st.markdown(f"**{profile.name}** · {accuracy_line(profile)}")
            st.caption(
                f"{profile.created[:10]} · {counted(profile.cells, 'cell')}, {find_specimen(profile.specimen).title} "
                f"· labelled: {labelled} · for the model {profile.run}"
            )
        with st.container(horizontal=True, width="content", gap="small"):
            if st.button("Use on Classify", key=f"lab_use_{profile.name}", icon=":material/biotech:"):
                use_on_classify(profile)
            path = profiles.profile_path(profile.name)
            st.download_button(
                "Export",
                data=path.read_bytes,
                file_name=path.name,
                key=f"lab_export_{profile.name}",
                icon=":material/download:",
                on_click="ignore",
            )
            _delete_button(profile)


def use_on_classify(profile: LabProfile) -> None:
    """Go to Classify, where the profile answers."""
    open_page("classify", {"profile": profile.name, "dataset": profile.dataset})


def _delete_button(profile: LabProfile) -> None:
    if st.session_state.get(_DELETE_ASKED) != profile.name:
        st.button(
            "Delete",
            key=f"lab_delete_{profile.name}",
            icon=":material/delete:",
            on_click=st.session_state.update,
            args=({_DELETE_ASKED: profile.name},),
        )
        return
    st.button(
        "Yes, delete it", key=f"lab_gone_{profile.name}", type="primary", on_click=_delete_now, args=(profile.name,)
    )
    st.button("Keep it", key=f"lab_stay_{profile.name}", on_click=st.session_state.pop, args=(_DELETE_ASKED, None))


def _delete_now(name: str) -> None:
    st.session_state.pop(_DELETE_ASKED, None)
    try:
        profiles.delete_profile(name)
    except ProfileError as error:
        st.session_state[_IMPORT_MESSAGE] = True, str(error)


def _import_profile() -> None:
    number = st.session_state.setdefault(_IMPORT, 0)
    file = st.file_uploader("A laboratory's file that another computer exported", key=f"{_IMPORT}_{number}")
    if file is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.safetensors"
        path.write_bytes(file.getvalue())
        try:
            taken = profiles.import_profile(path)
            st.session_state[_IMPORT_MESSAGE] = False, f"{taken.name} is here now."
        except ProfileError as error:
            st.session_state[_IMPORT_MESSAGE] = True, str(error).replace(path.name, file.name)
    st.session_state[_IMPORT] += 1
    st.rerun()


_NAME = "lab_name"
_CHANGED = 22  # two rows at 1440 px


@view("Use", order=40)
def render(context: LabContext) -> None:
    """Keep it first; then before and after."""
    lab, run, spec = context.lab, context.run, context.spec
    if not lab.learner.labelled[0].size:
        st.info("Answer some questions first: they are what makes the difference.", icon=":material/school:")
        return
    _keep(lab, run)
    estimate = lab.estimate
    plain, now = lab.learner.cells.probabilities, lab.probabilities
    if estimate is None:
        st.info(
            "Five answers that name a class are needed to estimate how well it reads.",
            icon=":material/info:",
        )
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
                    help=f"The share of {estimate.others} that is expected to be right; the {estimate.n} that you "
                    "named don't count. They were left out of teaching in turn and then read (cross-validation): that "
                    "tells how far its confidence in the others may be trusted.",
                )
        st.caption(
            f"{estimate.n} named by you; the figures are of {estimate.others}. Its probabilities miss the share right "
            f"by about {100 * estimate.calibration_error:.0f} points on average (calibration error); "
            + (
                f"it calls itself sure from {percent(estimate.confidence_threshold)} on."
                if estimate.confidence_threshold < 1
                else "so few answers don't allow it to call itself sure."
            )
            + f" {specimen_line(lab.specimen, True)}"
        )
        _matrices(estimate, spec)
    show_class_counts(lab, plain, now, spec, key="lab_counts_after")
    changed = np.flatnonzero(plain.argmax(1) != now.argmax(1))
    changed = changed[np.argsort(-now[changed].max(1), kind="stable")]
    st.markdown(f"**{counted(len(changed), 'answer')} changed**" + (", the surest first" if len(changed) else ""))
    cell_row(lab, changed[:_CHANGED], now, spec, before=plain)
    if len(changed) > _CHANGED:
        st.caption(f"and {len(changed) - _CHANGED} more")


def _matrices(estimate: AccuracyEstimate, spec: DatasetSpec) -> None:
    names, codes = spec.class_names, spec.codes
    pair = {
        "before": confusion_counts(estimate.labels, estimate.before_predicted, len(codes)),
        "now": confusion_counts(estimate.labels, estimate.after_predicted, len(codes)),
    }
    both = pair["before"] + pair["now"]
    present = np.flatnonzero(both.sum(0) + both.sum(1))
    st.markdown(worst_mix_up(pair["now"], names))
    with st.container(horizontal=True, gap="medium"):
        for when, matrix in pair.items():
            wrong = int(matrix.sum() - np.trace(matrix))
            title = f"{when.capitalize()}: {wrong} of {estimate.n} named cells wrong"
            with st.container(width=440):
                chart = small_matrix(matrix, present, codes, names, title=title, dark=is_dark())
                table = matrix_table(matrix, codes)
                show_figure(chart, table, f"lab-matrix-{when}", f"lab_matrix_{when}", index=True)


def _keep(lab: Laboratory, run: Run) -> None:
    free = lab.free_name()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.text_input("Name of your laboratory", key=_NAME, max_chars=60, placeholder=free, width=320)
        kept = lab.saved_profile
        keep = st.button(
            "Keep this laboratory",
            key="lab_keep",
            icon=":material/save:",
            type="secondary" if kept else "primary",
        )
        use = st.button(
            "Use on Classify",
            key="lab_use_now",
            icon=":material/biotech:",
            type="primary" if kept else "secondary",
            disabled=kept is None,
        )
    if keep:
        try:
            lab.save_profile(name or free, run)
        except ProfileError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.rerun()
    if lab.saved_profile:
        share = lab.saved_profile.in_distribution_share
        promise = f" Of cells like these {percent(share)} or more are not called odd." if share else ""
        st.caption(f"Kept as {lab.saved_profile.name}: a small file of numbers on this computer, no picture.{promise}")
    if use and lab.saved_profile:
        use_on_classify(lab.saved_profile)
