"""Compare, two runs on the same cells: where they agree, and which cells only one of them gets right."""

import streamlit as st

from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.matrices import compare_pair, verdict


def pair(bench: Bench) -> None:
    """The last two ticked runs: the test of their difference."""
    picked = bench.picked[-2:]
    if len(picked) < 2:
        st.info("Tick two runs in the overview to see them here.", icon=":material/check_box:")
        return
    paired = compare_pair(*picked)
    if isinstance(paired, str):
        st.info(f"No test of the difference. {paired}", icon=":material/info:")
    else:
        st.markdown(verdict(paired, *(bench.names[run.name] for run in picked), tuple(run.size for run in picked)))
