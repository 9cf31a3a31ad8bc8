"""Classify: drop cells, see what each one is, how sure the model is, and keep the results."""

import streamlit as st

from dashboard.classify import PANE, classify_context, detail, gallery, results
from dashboard.pickers import page_title

PAGE = {"title": "Classify", "icon": ":material/biotech:", "path": "classify", "order": 25}

spec = page_title("Classify")
what = "single cells" if spec.unit == "cell" else "whole microscope fields"
st.markdown(
    f"Drop pictures of {what}: each gets its class, and how sure the model is. Images never leave this computer."
)
context = classify_context(spec)
if context and len(context.results) == 1:
    results.render(context)
    detail.render(context)
elif context and context.results:
    results.render(context)
    with st.container(horizontal=True, gap="medium"):
        left, right = st.container(width=PANE), st.container(width=PANE)
    with right:  # first: text is there before a chart is
        detail.render(context)
    with left:
        gallery.render(context)
    results.tables(context)
if context and context.session.busy(context.predictors):  # what is done is shown; go on with the rest
    st.rerun()
