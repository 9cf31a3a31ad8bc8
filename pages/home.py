"""Home: what HemaLens is, the three ways in, and what is installed."""

import streamlit as st

from core.datasets import get_dataset
from core.inference.scope import spec_for
from core.runs import best_run
from dashboard import cache, url_state
from dashboard.home import doors as doors_module
from dashboard.home.doors import door_answer, door_bars, door_matrix
from dashboard.page import header, is_dark, link
from dashboard.pickers import external_validation_line
from dashboard.pictures import enlarge

PAGE = {"title": "Home", "icon": ":material/home:", "path": "home", "order": 10}

header("HemaLens", "Look at blood cells, compare the models that name them, and see what they say of yours and why.")

spec = cache.spec(url_state.DEFAULT_DATASET)
runs = cache.runs(spec.name)
best = best_run(runs)
dark = is_dark()
STILL = {"staticPlot": True}

doors = st.grid(3, min_column_width=380, gap="small", border=True)

with doors.container():
    st.subheader(":material/grid_view: Explore", anchor=False)
    st.markdown("Many cells of each kind, and what tells one kind from another.")
    summary = cache.summary(spec.name, 64)
    if summary is not None:
        st.plotly_chart(door_bars(summary, dark=dark), theme=None, key="door_bars", config=STILL)
        st.caption(f"{summary.total:,} cells of {len(summary.codes)} classes; {summary.provenance.label}")
    link("dataset", "Open the data set", icon=":material/arrow_forward:")

with doors.container():
    st.subheader(":material/leaderboard: Compare", anchor=False)
    st.markdown("Every model on the same cells: how good, how fast, and what it mixes up.")
    if best is not None:
        matrix = door_matrix(best.metrics["test"]["confusion"], best.codes, dark=dark)
        st.plotly_chart(matrix, theme=None, key="door_matrix", config=STILL)
        st.caption(f"{best.title}, rows: the truth; {best.provenance}")
    link("compare", "Compare the models", icon=":material/arrow_forward:")

with doors.container():
    st.subheader(":material/biotech: Classify", anchor=False)
    st.markdown("Drop pictures of your own cells: each gets its class, and how sure the model is.")
    example = doors_module.example(best, spec) if best is not None else None
    if example is not None:
        with st.container(horizontal=True, vertical_alignment="center", height=190, border=False):
            st.image(enlarge(example.cell.pixels, 128), width=128, alt=f"a cell, {example.cell.source}")
            with st.container(width="stretch"):
                bars = door_answer(example.probabilities, best.codes, spec_for(best).class_names, dark=dark)
                st.plotly_chart(bars, theme=None, key="door_answer", config=STILL)
        st.caption(f"Answered by {best.title}; the cell: {example.cell.source}")
    with st.container(horizontal=True, gap="small"):
        link("classify", "Classify cells", icon=":material/arrow_forward:")
        link("lab", "Teach it your laboratory", icon=":material/science:")

st.subheader("On this computer", anchor=False)
st.markdown(
    f"- **Models:** {doors_module.models_line(best, any(run.kind == 'combination' for run in runs))}.\n"
    f"- **Images:** {doors_module.data_line()}.\n"
    f"- **What the models of {spec.title} know:** {spec.domain}. On other stains, microscopes or diseases, don't rely "
    f"on them. {external_validation_line(spec.name)}\n"
    "- **Your own pictures:** a folder with one folder a class becomes a data set of yours, to look at, train on and "
    "compare: `python -m core datasets add NAME FOLDER`"
)
others = {name: models for name, models in cache.datasets().items() if models and name != spec.name}
if others:
    with st.container(horizontal=True, gap="small"):
        for name in others:
            link(
                "compare",
                f"Models of {get_dataset(name).title}",
                icon=":material/leaderboard:",
                query={"dataset": name},
            )
