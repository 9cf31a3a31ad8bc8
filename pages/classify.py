"""Classify: drop cells, see what each one is, how sure the model is, and keep the results."""

from functools import partial

import streamlit as st

from core.datasets import get_dataset
from core.inference.predictor import Predictor
from core.inference.scope import on_trusted_split, spec_for
from core.runs import preferred_run
from dashboard import cache, classify, session
from dashboard.classify import gallery, results
from dashboard.classify.detail import detail
from dashboard.classify.gallery import grouped_for_gallery
from dashboard.classify.results import framing_line, other_domain_line, other_laboratory_line
from dashboard.pickers import answered_by_line, lab_picker, of_same_classes, page_title, run_picker
from dashboard.samples import sample_row, samples

PAGE = {"title": "Classify", "icon": ":material/biotech:", "path": "classify", "order": 40}

DROP = "classify_drop"
MOST_MODELS = 4
# By what one picture shows: what is asked for, and what suits best.
ASKED = {
    "cell": (
        "single cells",
        "Best: crops of 360 x 363 px as from a CellaVision DM96, or tight crops of one cell of about 200 px.",
    ),
    "field": ("whole microscope fields", "Best: the field as the microscope's camera gives it, not cut."),
}

spec = page_title("Classify")
tray = session.session_of(spec.name)
st.session_state.setdefault(DROP, 0)
asked, best = ASKED[spec.unit]
st.markdown(
    f"Drop pictures of {asked}: each gets its class, and how sure the model is. Images never leave this computer."
)

installed = cache.runs(spec.name)
if not installed:
    st.info(
        f"No model for {spec.title} is installed yet. Train one in the terminal: "
        f"`python -m core train --dataset {spec.name}`. Then reload this page.",
        icon=":material/model_training:",
    )
    st.stop()

with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
    drop_zone = st.container(width="stretch")
    with st.popover("Models", icon=":material/tune:"):
        taught = lab_picker(spec.name)
        runs = run_picker(
            "Models that answer (the first leads)",
            installed,
            key="model",
            multiple=True,
            max_selections=MOST_MODELS,
            help="Several models answer side by side; where they disagree, look yourself.",
        )
        if not runs:
            runs = [preferred_run(on_trusted_split(installed))]
            st.caption(f"None chosen: {runs[0].title} answers.")
        runs = [taught.run] if taught else of_same_classes(runs)
    if tray.cells or tray.failures or tray.queue:
        st.button("Clear all", key="classify_clear", icon=":material/delete_sweep:", on_click=tray.clear)

with drop_zone:
    files = st.file_uploader(
        f"Pictures of {asked}: PNG, JPEG, BMP, TIFF or WebP, one or hundreds at once",
        accept_multiple_files=True,
        key=f"{DROP}_{st.session_state[DROP]}",
        label_visibility="collapsed" if tray.cells or tray.queue else "visible",
        help=best,
    )

spec = spec_for(runs[0])  # with the classes that these models know
answered_by_line(taught, runs)

if files:
    tray.enqueue([(file.name, file.getvalue()) for file in files])
    st.session_state[DROP] += 1  # a fresh drop zone: the files are on the tray now
    classify.forget_choice()
    st.rerun()

readers = [taught] if taught else [Predictor(run) for run in runs]
for reader in readers:  # opened before the first cell comes
    reader.load()

# Both places stay where they are, filled or not, so that what stands below is replaced and not mixed.
working, offered = st.empty(), st.empty()
if tray.busy(readers):
    with working.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, text="Reading")
        st.button("Stop and keep what is done", key="classify_stop", on_click=tray.stop)
    for step in tray.work(readers, spec):
        bar.progress(step.done / step.total, text=step.message)
    if tray.stats.total == 1 and tray.stats.last_id:
        classify.choose_cell(tray.stats.last_id)
    if not tray.busy(readers):
        working.empty()

answered = tray.results(readers)
failures = list(tray.failures.values())
if not answered and not tray.busy(readers):
    with offered.container():
        if failures:
            st.warning("None of the files could be used.", icon=":material/warning:")
            session.failed_table(failures)
        cells = samples(spec.name, runs[0].size)
        names = {c.code: c.name for c in get_dataset(spec.name).classes}
        sample_row(cells, names, key="classify_sample", on_pick=partial(classify.take_samples, tray), unit=spec.unit)
    st.stop()
if answered:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        results.summary_line(answered, readers, spec.unit)
        session.failed_files(failures)
        results.downloads(answered, failures, readers, spec)
    if news := session.stats_line(tray.stats):
        st.caption(news)
    framing_line(tray, readers[0], spec)
    other_domain_line(tray, spec)
    other_laboratory_line(answered, spec)
    groups = grouped_for_gallery(answered)
    order = [entry.cell.id for _, cells in groups for entry in cells]
    classify.choose_first_cell(order)
    shown = next(entry for entry in answered if entry.cell.id == st.session_state[classify.CHOSEN])
    if len(answered) == 1:
        detail(tray, shown, order, readers, spec)
    else:
        with st.container(horizontal=True, gap="medium"):
            left, right = st.container(width=classify.PANE), st.container(width=classify.PANE)
        left.caption(f"Click a {spec.unit} to see it, or step through with the arrow keys.")
        with right:  # first: text is there before a chart is
            detail(tray, shown, order, readers, spec)
        with left:
            gallery.gallery(groups, spec)
        results.tables(answered, readers, spec)
if tray.busy(readers):  # what is done is shown; go on with the rest
    st.rerun()
