"""Dataset: how many cells of each class there are, what they look like, what tells them apart, and a test of it."""

import streamlit as st

from dashboard.dataset import dataset_context
from dashboard.page import show_view
from dashboard.pickers import page_title

PAGE = {"title": "Dataset", "icon": ":material/grid_view:", "path": "dataset", "order": 40}

spec = page_title("Dataset")
st.markdown(f"See many {spec.unit}s of a kind, and what tells one kind from another.")
show_view("dashboard.dataset", lambda view: dataset_context(spec, view.needs), unit=spec.unit)
