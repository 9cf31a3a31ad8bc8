"""Explain: which places of a cell an answer comes from, which gates open for it, which features it rests on."""

import streamlit as st

from core.errors import HemaLensError
from core.serving.domain import known, trusted
from core.serving.predict import classify
from dashboard import catalogue, looks
from dashboard.state import prepare, share
from dashboard.widgets import explain, looked_at, maps
from dashboard.widgets.dataset_switch import titled
from dashboard.widgets.lab.choice import plain_line
from dashboard.widgets.runs import domain_line, labels, of_same_classes, run_picker

MOST_CHIPS = 12  # in one row
PAGE = {"title": "Explain", "icon": ":material/visibility:", "path": "explain", "order": 50}

spec = titled("Explain")
st.markdown(f"Where a model looks on a {spec.unit}, class by class, and which of its gates open.")
installed = catalogue.runs(spec.name)
if not installed:
    st.info(
        f"No model for {spec.title} is installed yet. Train one in the terminal: "
        f"`python -m core train --dataset {spec.name} --model cnn_cbam`. Then reload this page.",
        icon=":material/model_training:",
    )
    st.stop()

notices = st.container()
runs = run_picker(
    "Models, up to three",
    installed,
    key="models",
    multiple=True,
    max_selections=3,
    default=looks.telling_runs(trusted(installed)),
    help="CNN + SE and CNN + CBAM have gates to look at; Grad-CAM reads networks, covering reads every model.",
)
if not runs:
    st.info("Choose a model above, and its maps appear here.", icon=":material/visibility:")
    st.stop()

runs = of_same_classes(runs)
spec = known(runs[0])  # with the classes that these models know
domain_line(runs)
plain_line(spec.name)
asked = {"answer": "Its answer", "runner-up": "Its runner-up"} | {code: code for code in spec.codes}
if notice := prepare("class", list(asked), "answer", what="class"):
    notices.info(notice, icon=":material/link:")
with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
    options = {"label": "Class asked about", "options": list(asked), "format_func": asked.get, "key": "class"}
    options["help"] = "'Its answer' and 'Its runner-up' are each model's own; a code asks all models about that class."
    if len(asked) > MOST_CHIPS:
        choice = st.selectbox(**options, width=260)
    else:
        choice = st.segmented_control(**options, required=True)
    drawing = explain.drawing_options()
share("class")

size = max(run.size for run in runs)
cell, notice = looked_at.current_cell(spec, size)
if notice:
    notices.info(notice, icon=":material/link:")
if cell is None:
    st.info(
        f"There are no sample {spec.unit}s: the images of {spec.title} are not on this computer. Drop a picture of "
        "your own, and its maps appear here.",
        icon=":material/visibility:",
    )
    looked_at.own_picture(spec)
if problem := looked_at.trouble():
    notices.error(problem, icon=":material/broken_image:")

if cell is None:
    st.stop()

shown, short = [], labels(installed)
for run in runs:
    framed = cell.frame(run.size, spec)
    try:
        probabilities = classify(framed.pixels[None], run).probabilities[0]
    except HemaLensError as error:
        notices.error(str(error), icon=":material/error:")
        continue
    target = looks.asked_class(choice, probabilities, spec)
    shown.append(looks.Look(run, short[run.name], framed, probabilities, target))

tiles = st.grid(columns=4, min_column_width=230, gap="medium")
with tiles, st.container(gap="small"):
    looked_at.cell_tile(cell, cell.frame(size, spec), spec)
    looked_at.cell_buttons(cell, spec, size)
with tiles:
    draw_maps = [maps.map_tile(look, cell, drawing, spec) for look in shown]
explain.legend(drawing, shown)

# The page stands; what needs PyTorch comes now.
for draw in draw_maps:
    draw()
explain.gates_section(shown, spec)
explain.spatial_section(shown, cell, drawing)
explain.features_section(shown, spec.unit)
