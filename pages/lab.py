"""Your lab: adapt a model to one laboratory's cells, teach it by a few answers, keep that as a profile."""

import streamlit as st

from dashboard.lab import ANSWERS_ASKED, CELLS_ASKED, start
from dashboard.lab.use import profile_list
from dashboard.pickers import page_title

PAGE = {"title": "Your lab", "icon": ":material/science:", "path": "lab", "order": 30}

spec = page_title("Your lab")
st.markdown(
    f"Drop {CELLS_ASKED} or more of your cells: HemaLens adapts to your stain. Answer {ANSWERS_ASKED} questions: it is "
    "yours. Images never leave this computer."
)
if context := start.lab_context(spec):
    lab = context.lab
    if lab.session.cells:
        start.show_step(context)
    if not lab.session.cells or lab.step in ("scale", "use"):
        profile_list(spec.name)
