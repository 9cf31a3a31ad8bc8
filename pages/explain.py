"""Explain: which places of a cell an answer comes from, which gates open for it, which features it rests on."""

import streamlit as st

from core.errors import HemaLensError
from core.inference.predictor import Predictor
from core.inference.scope import on_trusted_split, spec_for
from dashboard import cache, explain
from dashboard.explain import gates, importance, maps, selected_cell
from dashboard.pickers import of_same_classes, page_title, profile_unused_line, run_picker, scope_line, short_names
from dashboard.url_state import prepare, share

MOST_CHIPS = 12  # in one row
PAGE = {"title": "Explain", "icon": ":material/visibility:", "path": "explain", "order": 50}

spec = page_title("Explain")
st.markdown(f"Where a model looks on a {spec.unit}, class by class, and which of its gates open.")
installed = cache.runs(spec.name)
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
    default=explain.default_runs(on_trusted_split(installed)),
    help="CNN + SE and CNN + CBAM have gates to look at; Grad-CAM reads networks, covering reads every model.",
)
if not runs:
    st.info("Choose a model above, and its maps appear here.", icon=":material/visibility:")
    st.stop()

runs = of_same_classes(runs)
spec = spec_for(runs[0])  # with the classes that these models know
scope_line(runs)
profile_unused_line(spec.name)
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
    drawing = maps.drawing_options()
share("class")

size = max(run.size for run in runs)
cell, notice = selected_cell.selected_cell(spec, size)
if notice:
    notices.info(notice, icon=":material/link:")
if cell is None:
    st.info(
        f"There are no sample {spec.unit}s: the images of {spec.title} are not on this computer. Drop a picture of "
        "your own, and its maps appear here.",
        icon=":material/visibility:",
    )
    selected_cell.own_picture_uploader(spec)
if problem := selected_cell.upload_error():
    notices.error(problem, icon=":material/broken_image:")

if cell is None:
    st.stop()

shown, short = [], short_names(installed)
for run in runs:
    framed = cell.frame(run.size, spec)
    try:
        probabilities = Predictor(run).predict_crops(framed.pixels[None]).probabilities[0]
    except HemaLensError as error:
        notices.error(str(error), icon=":material/error:")
        continue
    target = explain.target_class(choice, probabilities, spec)
    shown.append(explain.Explanation(run, short[run.name], framed, probabilities, target))

tiles = st.grid(columns=4, min_column_width=230, gap="medium")
with tiles, st.container(gap="small"):
    selected_cell.cell_tile(cell, cell.frame(size, spec), spec)
    selected_cell.cell_buttons(cell, spec, size)
with tiles:
    draw_maps = [maps.map_tile(look, cell, drawing, spec) for look in shown]
maps.legend(drawing, shown)

# The page stands; what needs PyTorch comes now.
for draw in draw_maps:
    draw()
gates.gates_section(shown, spec)
gates.spatial_section(shown, cell, drawing)
importance.importance_section(shown, spec.unit)
