"""Compare, cell by cell: the test cells that most runs get wrong."""

import streamlit as st

from dashboard.widgets.compare.bench import Bench


def hardest(bench: Bench) -> None:
    """The cells that most of the shown runs name wrong."""
    st.info("The cells that most models get wrong will be here. There is nothing here yet.", icon=":material/search:")
