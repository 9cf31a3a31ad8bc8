"""What every part of Classify is given: which cell is shown, and who chose it."""

from collections.abc import Sequence

import streamlit as st

from dashboard.samples import Sample
from dashboard.session import UploadSession

CHOSEN = "classify_cell"
_BY_HAND = "classify_by_hand"
PANE = 616  # a wall of six cells; two panes stand side by side at 1440 px, one below the other on less


def choose_cell(identity: str) -> None:
    """Show this cell's card, whatever comes in later."""
    st.session_state[CHOSEN] = identity
    st.session_state[_BY_HAND] = True


def forget_choice() -> None:
    """Let the first cell of the wall be shown again."""
    st.session_state.pop(_BY_HAND, None)


def take_samples(session: UploadSession, cells: Sequence[Sample]) -> None:
    """Put sample cells on the tray; one alone is shown at once."""
    taken = [session.add_cell(cell.name, cell.pixels, cell.truth, cell.source) for cell in cells]
    if len(taken) == 1:
        choose_cell(taken[0])
    else:
        forget_choice()


def choose_first_cell(order: Sequence[str]) -> None:
    """Keep a cell that was chosen by hand while it is there, else show the first."""
    if not st.session_state.get(_BY_HAND) or st.session_state.get(CHOSEN) not in order:
        st.session_state[CHOSEN] = order[0]
