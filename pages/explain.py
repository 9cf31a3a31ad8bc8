"""Explain: which places of a cell an answer comes from, which gates open for it, which features it rests on."""

import streamlit as st

from dashboard.explain import explain_context
from dashboard.page import find_views
from dashboard.pickers import page_title

PAGE = {"title": "Explain", "icon": ":material/visibility:", "path": "explain", "order": 60}

spec = page_title("Explain")
st.markdown(f"Where a model looks on a {spec.unit}, class by class, and which of its gates open.")
if context := explain_context(spec):
    for found in find_views("dashboard.explain"):
        found.render(context)
