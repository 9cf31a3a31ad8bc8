"""Classify: drop cells, see what each one is, how sure the model is, and keep the results."""

import streamlit as st

from core.runs import best_run
from core.serving import engine
from dashboard import catalogue, state
from dashboard.cells import Tray, in_order
from dashboard.widgets import answers
from dashboard.widgets.page import header
from dashboard.widgets.runs import run_picker
from dashboard.widgets.samples import Sample, sample_row, samples

PAGE = {"title": "Classify", "icon": ":material/biotech:", "path": "classify", "order": 40}

TRAY, DROP = "classify_tray", "classify_drop"
MOST_MODELS = 4

dataset = state.dataset()
spec = catalogue.spec(dataset)
tray: Tray = st.session_state.setdefault(TRAY, Tray())
st.session_state.setdefault(DROP, 0)

header(
    "Classify",
    "Drop pictures of single cells: each gets its class, and how sure the model is. Images never leave this computer.",
)

installed = catalogue.runs(dataset)
if not installed:
    st.info(
        f"No model for {spec.title} is installed yet. Train one in the terminal: "
        f"`python -m core train --dataset {dataset}`. Then reload this page.",
        icon=":material/model_training:",
    )
    st.stop()


def take(cells: list[Sample]) -> None:
    """Put sample cells on the tray; one alone is shown at once."""
    taken = [tray.add_cell(cell.name, cell.pixels, cell.truth, cell.source) for cell in cells]
    if len(taken) == 1:
        answers.choose(taken[0])
    else:
        answers.forget_choice()


with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
    drop_zone = st.container(width="stretch")
    with st.popover("Models", icon=":material/tune:"):
        runs = run_picker(
            "Models that answer (the first leads)",
            installed,
            key="model",
            multiple=True,
            max_selections=MOST_MODELS,
            help="Several models answer side by side; where they disagree, look yourself.",
        )
        if not runs:
            runs = [best_run(installed)]
            st.caption(f"None chosen: {runs[0].title} answers.")
    if tray.cells or tray.failures or tray.queue:
        st.button("Clear all", key="classify_clear", icon=":material/delete_sweep:", on_click=tray.clear)

with drop_zone:
    files = st.file_uploader(
        "Pictures of single cells: PNG, JPEG, BMP, TIFF or WebP, one or hundreds at once",
        accept_multiple_files=True,
        key=f"{DROP}_{st.session_state[DROP]}",
        label_visibility="collapsed" if tray.cells or tray.queue else "visible",
        help="Best: crops of 360 x 363 px as from a CellaVision DM96, or tight crops of one cell of about 200 px.",
    )

if files:
    tray.put_in_queue([(file.name, file.getvalue()) for file in files])
    st.session_state[DROP] += 1  # a fresh drop zone: the files are on the tray now
    answers.forget_choice()
    st.rerun()

for run in runs:  # opened before the first cell comes
    engine.load(run)

if tray.busy(runs):
    working = st.empty()
    with working.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, text="Reading")
        st.button("Stop and keep what is done", key="classify_stop", on_click=tray.stop)
    for step in tray.work(runs, spec):
        bar.progress(step.done / step.total, text=step.message)
    if tray.drop.total == 1 and tray.drop.last:
        answers.choose(tray.drop.last)
    if not tray.busy(runs):
        working.empty()

answered = tray.answered(runs)
failures = list(tray.failures.values())
if not answered and not tray.busy(runs):
    if failures:
        st.warning("None of the files could be used.", icon=":material/warning:")
        answers.failed_table(failures)
    cells = samples(dataset, runs[0].size)
    sample_row(cells, dict(zip(spec.codes, spec.class_names, strict=True)), key="classify_sample", on_pick=take)
    st.stop()
if answered:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        answers.summary_line(answered, runs)
        answers.failed_files(failures)
        answers.downloads(answered, failures, runs, spec)
    if news := answers.news(tray.drop):
        st.caption(news)
    groups = in_order(answered)
    order = [entry.cell.id for _, cells in groups for entry in cells]
    answers.choose_first(order)
    shown = next(entry for entry in answered if entry.cell.id == st.session_state[answers.CHOSEN])
    if len(answered) == 1:
        answers.card(tray, shown, order, runs, spec)
    else:
        with st.container(horizontal=True, gap="medium"):
            left, right = st.container(width=answers.PANE), st.container(width=answers.PANE)
        left.caption("Click a cell to see it, or step through with the arrow keys.")
        with right:  # first: text is there before a chart is
            answers.card(tray, shown, order, runs, spec)
        with left:
            answers.wall(groups, spec)
        answers.tables(answered, runs, spec)
if tray.busy(runs):  # what is done is shown; go on with the rest
    st.rerun()
