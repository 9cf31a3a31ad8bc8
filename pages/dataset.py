"""Dataset: how many cells of each class there are, what they look like, what tells them apart, and a test of it."""

import streamlit as st

from dashboard.dataset import cautions, controls
from dashboard.dataset.audit import audit
from dashboard.dataset.features import learn
from dashboard.dataset.gallery import cells
from dashboard.dataset.map import map_
from dashboard.dataset.quiz import quiz
from dashboard.page import errors_told
from dashboard.pickers import choice, page_title

PAGE = {"title": "Dataset", "icon": ":material/grid_view:", "path": "dataset", "order": 20}

# Only the chosen one is computed.
VIEWS = {
    "cells": (":material/grid_view: Pictures", cells),
    "learn": (":material/school: Learn", learn),
    "map": (":material/scatter_plot: Map", map_),
    "quiz": (":material/quiz: Quiz", quiz),
    "audit": (":material/fact_check: Audit", audit),
}
CONTROLS = {"cells": ("class", "split"), "learn": ("split",)}  # beside data set and size


def main() -> None:
    spec = page_title("Dataset")
    st.markdown(f"See many {spec.unit}s of a kind, and what tells one kind from another.")
    titles = {key: title for key, (title, _) in VIEWS.items()}
    chosen = choice("view", "View", titles, "cells", "view", hidden=True)
    view = controls(spec.name, CONTROLS.get(chosen, ()))
    cautions(view)
    with errors_told():
        VIEWS[chosen][1](view)


main()
