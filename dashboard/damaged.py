"""What is damaged on this computer, at the foot of every page where there is any: its reason, and a button to be rid of
it.
"""

import hashlib
import os
from functools import partial

import streamlit as st

from core import paths
from core.damaged import DamagedThing, damaged_things, delete_damaged
from core.errors import HemaLensError
from core.formatting import capitalized, counted, markdown_text
from dashboard.cache import files_version
from dashboard.page import ask_first

_TOLD = "damaged_told"
_MOST = 20
_PARTS = ("runs", "labs", "datasets", "limits.json")  # of which `damaged_things` speaks


def show_damaged() -> None:
    """A closed list of `damaged_things`; nothing where there are none."""
    if message := st.session_state.pop(_TOLD, None):
        st.error(markdown_text(message, None), icon=":material/error:")
    root = paths.cache_root()
    found = _damaged_things(files_version(*(root / part for part in _PARTS)))
    if not found:
        return
    with st.expander(f"{counted(len(found), 'thing')} here can't be used", icon=":material/heart_broken:"):
        for thing in found[:_MOST]:
            name, reason = (markdown_text(text, None) for text in (thing.name, thing.reason[:400]))
            st.markdown(f"**{capitalized(thing.kind)} {name}**: {reason}")
            ask_first(
                "Delete",
                f"Delete {name} for good?",
                "Yes, delete it",
                key=f"damaged_{hashlib.sha256(os.fsencode(thing.path)).hexdigest()[:12]}",
                icon=":material/delete:",
                on_yes=partial(_delete, thing.name),
            )
        if len(found) > _MOST:
            st.caption(f"And {len(found) - _MOST} more: `python -m core check` lists them all.")


def _delete(name: str) -> None:
    try:
        delete_damaged(name)
    except HemaLensError as error:
        st.session_state[_TOLD] = str(error)


@st.cache_resource(max_entries=4, show_spinner=False)
def _damaged_things(version: str) -> list[DamagedThing]:
    return damaged_things()
