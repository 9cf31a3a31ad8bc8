"""Explain: which places of a cell an answer comes from, which gates open for it, which features it rests on."""

import streamlit as st

from core.errors import HemaLensError
from core.serving.predict import classify
from core.serving.preprocess import frame
from dashboard import catalogue, looks
from dashboard.state import DEFAULT_DATASET, dataset, prepare, put, share
from dashboard.widgets import explain, looked_at, maps
from dashboard.widgets.page import header
from dashboard.widgets.runs import labels, run_picker

PAGE = {"title": "Explain", "icon": ":material/visibility:", "path": "explain", "order": 50}

header("Explain", "Where a model looks on a cell, class by class, and which of its gates open.")

name = dataset()
spec = catalogue.spec(name)
installed = catalogue.runs(name)
put("dataset", None if name == DEFAULT_DATASET else name)
if not installed:
    st.info(
        f"No model for {spec.title} is installed yet. Train one in the terminal: "
        f"`python -m core train --dataset {name} --model cnn_cbam`. Then reload this page.",
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
    default=looks.telling_runs(installed),
    help="CNN + SE and CNN + CBAM have gates to look at; Grad-CAM reads networks, covering reads every model.",
)
if not runs:
    st.info("Choose a model above, and its maps appear here.", icon=":material/visibility:")
    st.stop()

asked = {"answer": "Its answer", "runner-up": "Its runner-up"} | {code: code for code in spec.codes}
if notice := prepare("class", list(asked), "answer", what="class"):
    notices.info(notice, icon=":material/link:")
with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
    choice = st.segmented_control(
        "Class asked about",
        list(asked),
        format_func=asked.get,
        key="class",
        required=True,
        help="'Its answer' and 'Its runner-up' are each model's own; a code asks all models about that class.",
    )
    drawing = explain.drawing_options()
share("class")

size = max(run.size for run in runs)
cell, notice = looked_at.current_cell(spec, size)
if notice:
    notices.info(notice, icon=":material/link:")
if problem := looked_at.trouble():
    notices.error(problem, icon=":material/broken_image:")

shown, short = [], labels(installed)
for run in runs:
    framed = frame(cell.pixels, run.size, spec)
    try:
        probabilities = classify(framed.pixels[None], run).probabilities[0]
    except HemaLensError as error:
        notices.error(str(error), icon=":material/error:")
        continue
    target = looks.asked_class(choice, probabilities, spec)
    shown.append(looks.Look(run, short[run.name], framed, probabilities, target))

tiles = st.grid(columns=4, min_column_width=230, gap="medium")
with tiles, st.container(gap="small"):
    looked_at.cell_tile(cell, frame(cell.pixels, size, spec), spec)
    looked_at.cell_buttons(cell, spec, size)
with tiles:
    draw_maps = [maps.map_tile(look, cell, drawing, spec) for look in shown]
explain.legend(drawing, shown)

# The page stands; what needs PyTorch comes now.
for draw in draw_maps:
    draw()
explain.gates_section(shown, spec)
explain.spatial_section(shown, cell, drawing)
explain.features_section(shown)
