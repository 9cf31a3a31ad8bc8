"""Compare, the overview: all runs in one table and one scatter, below them the ticked ones side by side."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.runs import Run
from dashboard.figures.compare import curves, scatter
from dashboard.leaderboard import COSTS, leaderboard, measured_cost, per_class
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.export import exported
from dashboard.widgets.leaderboard import run_table
from dashboard.widgets.matrices import cell_inspector, compare_pair, matrices, prepare_cell, verdict
from dashboard.widgets.page import guarded, plot


def overview(bench: Bench) -> None:
    """Leaderboard and scatter; the matrices of the last two ticked runs, their difference and its test."""
    table = leaderboard(bench.runs, bench.names)
    with st.container(horizontal=True, gap="medium"):  # one below the other on a narrow page
        with st.container(width=760):
            chosen = run_table(table, bench.chosen, height=min(530, 38 + 35 * len(table)))
            _download(bench, table)
        with st.container(width="stretch"):
            axes = {key: f"Accuracy against {value[0][0].lower()}{value[0][1:]}" for key, value in COSTS.items()}
            cost = choice("against", "Axis", axes, measured_cost(table), "axis", box=True)
            figure = scatter(table, cost, chosen=chosen, dark=bench.dark).update_layout(height=470)
            exported(figure, table, f"accuracy-against-{cost}", "scatter")
    picked = bench.find(chosen)
    if not picked:
        st.info("Tick one run to see where it errs, two to see them side by side.", icon=":material/check_box:")
        return
    with guarded():
        _side_by_side(picked[-2:], bench)
    plot(curves({bench.names[run.name]: run.history for run in picked[-4:]}, dark=bench.dark), key="curves")


def _download(bench: Bench, table: pd.DataFrame) -> None:
    st.download_button(
        "Download table (CSV)",
        lambda: table.merge(per_class(bench.runs, bench.names), on="model").to_csv(index=False),
        "hemalens-runs.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _side_by_side(pair: Sequence[Run], bench: Bench) -> None:
    """Matrices, the test of the difference, and the cells behind a square."""
    names = bench.names
    prepare_cell(pair)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader(" and ".join(names[run.name] for run in pair), anchor=False, width="content")
        options = {"counts": "Cells", "percent": "% of the true class"}
        shown = choice("show", "Squares show", options, "counts", "unit")
    if len(pair) == 2:
        paired = compare_pair(*pair)
        if isinstance(paired, str):
            st.info(f"No test of the difference. {paired}", icon=":material/info:")
        else:
            st.markdown(verdict(paired, *(names[run.name] for run in pair), tuple(run.size for run in pair)))
    else:
        st.caption("Tick a second run in the table to see the two side by side, with the test of their difference.")
    matrices(pair, names, percent=shown == "percent", dark=bench.dark)
    with st.container(horizontal=True):
        for run in pair:
            with st.popover(f"About {names[run.name]}", icon=":material/description:"):
                st.markdown(run.card or "This run has no card.")
    st.subheader("The cells behind a square", anchor=False)
    st.caption("Click a square above, or choose here.")
    cell_inspector(pair, names)
