"""Your lab: adapt a model to one laboratory's cells, teach it by a few answers, keep that as a profile."""

import streamlit as st

from core.inference.scope import spec_for
from core.progress import Progress
from dashboard.cache import base_run
from dashboard.lab import ANSWERS_ASKED, CELLS_ASKED, start
from dashboard.lab.adapt import adapt_step
from dashboard.lab.scale import scale_step
from dashboard.lab.teach import teach_step
from dashboard.lab.use import profile_list, use_step
from dashboard.pickers import page_title, short_names
from dashboard.session import failed_table

PAGE = {"title": "Your lab", "icon": ":material/science:", "path": "lab", "order": 45}

spec = page_title("Your lab")
st.markdown(
    f"Drop {CELLS_ASKED} or more of your cells: HemaLens adapts to your stain. Answer {ANSWERS_ASKED} questions: it is yours. "
    "Images never leave this computer."
)
run = base_run(spec.name)
if run is None or spec.unit != "cell" or spec.stretched:
    why = (
        "pictures of whole fields can't be taught so"
        if spec.unit != "cell"
        else "no network is installed that can learn"
    )
    st.info(
        f"This page teaches networks that name single cells; for {spec.title} {why}. Choose another data set above.",
        icon=":material/science:",
    )
    st.stop()
spec = spec_for(run)
lab = start.lab_of(spec.name)
if not lab.session.cells and not lab.session.queue:
    start.drop_zone(lab, spec)
start.read_files(lab, spec)

if not lab.session.cells:
    if lab.session.failures:
        st.warning("None of the files could be used.", icon=":material/warning:")
        failed_table(list(lab.session.failures.values()))
    start.sample_button(lab, spec)
    profile_list(spec.name)
    st.stop()

if lab.needs_reading(run):
    bar = st.progress(0.0, text=f"Looking for the cell in each of {len(lab.session.cells)} pictures")

    def report(step: Progress) -> None:
        bar.progress(step.done / step.total, text=f"{step.message}: {step.done} of {step.total}".capitalize())

    lab.read_pictures(run, report)
    bar.empty()

start.state_line(lab, spec, short_names([run])[run.name])
start.step_choice(lab)
if lab.step == "scale":
    scale_step(lab, run, spec)
elif lab.step == "adapt":
    adapt_step(lab, run, spec)
elif lab.step == "teach":
    teach_step(lab, spec)
else:
    use_step(lab, run, spec)
start.next_step(lab)
if lab.step in ("scale", "use"):
    profile_list(spec.name)
