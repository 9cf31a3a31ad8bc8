"""What every part of Cases is given: which case is open (the address bar says it), who reads, what is hidden."""

from dataclasses import dataclass

import streamlit as st

from core.cases.case import Case, Reader
from core.cases.store import CaseStore
from dashboard import url_state
from dashboard.cases.served import Pass

CASE_KEY = "case"
BLIND_KEY = "blind"
BLIND = {"readers": "what other readers named", "model": "what other readers named and what the model says"}
REFUSED = "cases_refused"  # why what was asked of the open case was not done
GO_TO = "cases_go_to"  # cells that the review screen is to show, and a number that tells one wish from the next


@dataclass(frozen=True)
class CaseContext:
    """An open ``case`` and its ``reader``; ``blind``: what is hidden, a key of `BLIND`, '' for nothing."""

    store: CaseStore
    case: Case
    reader: Reader
    blind: str = ""

    @property
    def permission(self) -> Pass:
        """What this reader may fetch and send."""
        reader = self.reader
        return Pass(self.case.id, reader.name, reader.verified, reader.subject, bool(self.blind), self.blind == "model")


def show_case(case_id: str | None) -> None:
    """Have this case shown, None for the list (for a button's callback)."""
    st.session_state.pop(REFUSED, None)
    url_state.put(CASE_KEY, case_id)
    url_state.put(BLIND_KEY, None)


def go_to_cells(cells: tuple[int, ...]) -> None:
    """Have the review screen show these cells, the first of them chosen (for a button's callback)."""
    number = st.session_state.get(GO_TO, ((), 0))[1]
    st.session_state[GO_TO] = (cells, number + 1)
