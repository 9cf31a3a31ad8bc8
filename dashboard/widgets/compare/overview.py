"""Compare, the overview: all runs in one table and one scatter, below them the ticked ones side by side."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.runs import Run
from core.serving.wording import sentence_case
from dashboard import catalogue
from dashboard.best import AIMS, MARGIN, Standing, advice, arranged, standing
from dashboard.drawn import drawn
from dashboard.figures.compare import curves
from dashboard.figures.scatter import scatter
from dashboard.leaderboard import COSTS, family, leaderboard, measured_cost, per_class
from dashboard.pairs import compare
from dashboard.schemes import scheme_of
from dashboard.widgets.choice import choice
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.compare.splits import what_the_split_decides
from dashboard.widgets.export import csv_text, exported
from dashboard.widgets.leaderboard import run_table
from dashboard.widgets.matrices import cell_inspector, matrices, prepare_cell, verdict
from dashboard.widgets.page import guarded


def overview(bench: Bench) -> None:
    """Leaderboard and scatter; the matrices of the last two ticked runs, their difference and its test."""
    table = leaderboard(bench.runs, bench.names, studies=catalogue.studies(), schemes=bench.ways)
    stand = _standing(bench.runs)
    with st.container(horizontal=True, gap="medium"):  # one below the other on a narrow page
        with st.container(width=760):
            aims = {key: f"Best for {title.lower()}" for key, (title, *_) in AIMS.items()}
            aim = choice("best", "Best for", aims, "accuracy", "aim", hidden=True)
            if len({scheme_of(run, bench.ways) for run in bench.runs}) > 1:
                st.markdown("Runs under several ways to split stand here together: their accuracies don't compare.")
            else:
                st.markdown(advice(table, stand, aim, bench.unit))
            table = arranged(table, stand, aim)
            height = min(458, 38 + 35 * len(table))
            chosen = run_table(table, bench.chosen, dataset=bench.spec.name, unit=bench.unit, height=height)
            _below_table(bench, table, aim)
        with st.container(width="stretch"):
            axes = {key: f"Accuracy against {value[0][0].lower()}{value[0][1:]}" for key, value in COSTS.items()}
            cost = choice("against", "Axis", axes, measured_cost(table), "axis", box=True)
            families = sorted({family(run) for run in bench.every})
            marks = (*map(catalogue.mark, bench.runs), *table["seeds"], *families)
            figure = drawn(
                ("scatter", cost, tuple(chosen), bench.dark, marks),
                lambda: scatter(table, cost, chosen=chosen, families=families, dark=bench.dark),
            )
            exported(figure, table, f"accuracy-against-{cost}", "scatter")
    what_the_split_decides(bench)
    picked = bench.find(chosen)
    if not picked:
        st.info("Tick one run to see where it errs, two to see them side by side.", icon=":material/check_box:")
        return
    with guarded():
        _side_by_side(picked[-2:], bench)
    histories = {bench.names[run.name]: run.history for run in picked[-4:]}
    key = ("curves", *map(catalogue.mark, picked[-4:]), *histories, bench.dark)
    figure = drawn(key, lambda: curves(histories, dark=bench.dark))
    exported(figure, _epochs(histories), "training-curves", "curves")


def _standing(runs: Sequence[Run]) -> Standing:
    return _stand(tuple(map(catalogue.mark, runs)), tuple(runs))


@st.cache_data(max_entries=32, show_spinner=False)
def _stand(marks: tuple[tuple[str, int], ...], _runs: tuple[Run, ...]) -> Standing:
    return standing([catalogue.predictions(run, "val") for run in _runs])


def _below_table(bench: Bench, table: pd.DataFrame, aim: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Download table (CSV)",
            lambda: csv_text(table.merge(per_class(bench.runs, bench.names), on="model")),
            "hemalens-runs.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        if AIMS[aim][1]:
            st.caption(f"First the runs surely within {MARGIN:g} point of the most accurate, then the others.")


def _epochs(histories: dict) -> pd.DataFrame:
    """The training curves as one table, a row an epoch of a run."""
    return pd.concat([pd.DataFrame(history).assign(model=label) for label, history in histories.items()])


def _side_by_side(pair: Sequence[Run], bench: Bench) -> None:
    """Matrices, the test of the difference, and the cells behind a square."""
    names = bench.names
    prepare_cell(pair)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.subheader(" and ".join(names[run.name] for run in pair), anchor=False, width="content")
        options = {"counts": f"{sentence_case(bench.unit)}s", "percent": "% of the true class"}
        shown = choice("show", "Squares show", options, "counts", "unit")
    if len(pair) == 2:
        found = compare(*pair)
        if isinstance(found, str):
            st.info(f"No test of the difference. {found}", icon=":material/info:")
        else:
            who, sizes = (names[run.name] for run in pair), tuple(run.size for run in pair)
            st.markdown(verdict(found.comparison, *who, sizes, unshared=found.unshared, unit=bench.unit))
    else:
        st.caption("Tick a second run in the table to see the two side by side, with the test of their difference.")
    matrices(pair, names, percent=shown == "percent", dark=bench.dark)
    with st.container(horizontal=True):
        for run in pair:
            with st.popover(f"About {names[run.name]}", icon=":material/description:"):
                st.markdown(run.card or "This run has no card.")
    st.subheader(f"The {bench.unit}s behind a square", anchor=False)
    st.caption("Click a square above, or choose here.")
    cell_inspector(pair, names)
