"""Compare: all runs of a data set in one honest table, any two side by side, class by class, cell by cell."""

import streamlit as st

from dashboard.compare import compare_context, missing_datasets_line, nothing_yet
from dashboard.page import show_view
from dashboard.pickers import cautions, page_title

PAGE = {"title": "Compare", "icon": ":material/leaderboard:", "path": "compare", "order": 50}

spec = page_title("Compare")
st.markdown(f"Every trained model, scored on {spec.unit}s that it had never seen. Tick two to see where they differ.")
cautions(spec)
if not nothing_yet(spec):
    show_view("dashboard.compare", lambda view: compare_context(spec), unit=spec.unit)
missing_datasets_line()
