"""Your lab: adapt a model to one laboratory's cells, teach it by a few answers, keep that as a profile."""

import streamlit as st

from core.progress import Progress
from core.serving.domain import known
from dashboard.lab import BUDGET, ENOUGH, base_run
from dashboard.widgets.answers import failed_table
from dashboard.widgets.dataset_switch import titled
from dashboard.widgets.lab import start
from dashboard.widgets.lab.adapt import adapt_step
from dashboard.widgets.lab.profiles import profile_list
from dashboard.widgets.lab.scale import scale_step
from dashboard.widgets.lab.teach import teach_step
from dashboard.widgets.lab.use import use_step
from dashboard.widgets.runs import labels

PAGE = {"title": "Your lab", "icon": ":material/science:", "path": "lab", "order": 45}

spec = titled("Your lab")
st.markdown(
    f"Drop {ENOUGH} or more of your cells: HemaLens adapts to your stain. Answer {BUDGET} questions: it is yours. "
    "Images never leave this computer."
)
run = base_run(spec.name)
if run is None or spec.unit != "cell" or spec.squeezed:
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
spec = known(run)
lab = start.lab_of(spec.name)
if not lab.tray.cells and not lab.tray.queue:
    start.drop_zone(lab, spec)
start.read_files(lab, spec)

if not lab.tray.cells:
    if lab.tray.failures:
        st.warning("None of the files could be used.", icon=":material/warning:")
        failed_table(list(lab.tray.failures.values()))
    start.samples(lab, spec)
    profile_list(spec.name)
    st.stop()

if lab.stale(run):
    bar = st.progress(0.0, text=f"Looking for the cell in each of {len(lab.tray.cells)} pictures")

    def report(step: Progress) -> None:
        bar.progress(step.done / step.total, text=f"{step.message}: {step.done} of {step.total}".capitalize())

    lab.look(run, report)
    bar.empty()

start.state_line(lab, spec, labels([run])[run.name])
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
