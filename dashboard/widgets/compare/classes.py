"""Compare, class by class: how well each run finds each class and leaves the others alone."""

import streamlit as st

from dashboard.leaderboard import per_class
from dashboard.widgets.compare.bench import Bench


def classes(bench: Bench) -> None:
    """Sensitivity and specificity of every run for every class."""
    st.markdown("Sensitivity: share of a class that is found. Specificity: share of the others left alone.")
    table = per_class(bench.runs, bench.names)
    number = st.column_config.NumberColumn(format="%.1f %%")
    config = dict.fromkeys(table.columns[1:], number) | {"model": st.column_config.TextColumn("Model", pinned=True)}
    st.dataframe(table, hide_index=True, column_config=config, placeholder="–")
