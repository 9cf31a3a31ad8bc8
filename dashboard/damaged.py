"""What is damaged on this computer, at the foot of every page where there is any: its reason, and a button to be rid of
it.
"""

import hashlib
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import streamlit as st

from core import paths
from core.damaged import DamagedThing, damaged_things, delete_damaged
from core.errors import HemaLensError
from core.formatting import counted, markdown_text
from dashboard.page import ask_first

_TOLD = "damaged_told"
_MOST = 20


def show_damaged() -> None:
    """A closed list of `damaged_things`; nothing where there are none."""
    if message := st.session_state.pop(_TOLD, None):
        st.error(markdown_text(message, None), icon=":material/error:")
    found = _damaged_things(_version())
    if not found:
        return
    with st.expander(f"{counted(len(found), 'thing')} here can't be used", icon=":material/heart_broken:"):
        for thing in found[:_MOST]:
            st.markdown(
                f"**{thing.kind} {markdown_text(thing.name, None)}**: {markdown_text(thing.reason[:400], None)}"
            )
            ask_first(
                "Delete",
                f"Delete {markdown_text(thing.name, None)} for good?",
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


def _version() -> str:
    """A hash that changes with any file of which `damaged_things` speaks."""
    root, marks = paths.cache_root(), [str(paths.cache_root())]
    for part in ("runs", "labs", "datasets", "limits.json"):
        places: list[str | Path] = [
            root / part,
            *(os.path.join(d, n) for d, _, names in os.walk(root / part) for n in (*names, ".")),
        ]
        for place in places:
            with suppress(OSError):
                stat = os.stat(place)
                marks.append(f"{place} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_size}")
    return hashlib.sha256("\n".join(marks).encode("utf-8", "surrogateescape")).hexdigest()


@st.cache_resource(max_entries=4, show_spinner=False)
def _damaged_things(version: str) -> list[DamagedThing]:
    return damaged_things()
