"""Compare, study by study: what tuning, single ingredients and the seed changed."""

import streamlit as st

from dashboard.widgets.compare.bench import Bench


def studies(bench: Bench) -> None:
    """Tuning, ablation and seed studies of the shown data sets."""
    st.info("Tuning, ablation and seed studies will be here. There is none yet.", icon=":material/science:")
