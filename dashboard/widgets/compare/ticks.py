"""The ticked runs, changed outside the overview's table: one choice, the same in every view."""

import streamlit as st

from core.runs import Run
from dashboard.widgets.compare.bench import Bench
from dashboard.widgets.leaderboard import tick

_WIDGET = "ticked_here"


def tick_runs(bench: Bench, label: str, *, help: str | None = None) -> list[Run]:
    """Draw a choice of the runs that the filters left, with the ticked ones chosen; returns these, last ticked last."""
    shown = {run.name: run for run in bench.runs}
    now = [name for name in bench.chosen if name in shown]
    hidden = [name for name in bench.chosen if name not in shown]  # filtered away, not unticked

    def remember() -> None:
        tick(bench.spec.name, [*hidden, *st.session_state[_WIDGET]])

    st.session_state[_WIDGET] = now
    st.multiselect(
        label, list(shown), format_func=lambda name: bench.names[name], key=_WIDGET, on_change=remember, help=help
    )
    return [shown[name] for name in now]
