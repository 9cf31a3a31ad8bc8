"""An open case: the line that says what it is, and the review screen under it."""

from typing import Any

import streamlit as st

from core.cases.case import REASONS, Case, CaseError, Reader
from core.cases.report import class_names
from core.cases.sprites import TILES_A_ROW
from core.cases.store import CaseStore
from core.colours import class_colours
from core.formatting import capitalized, counted, listed, markdown_text
from core.inference.specimen import SPECIMENS
from dashboard import url_state
from dashboard.cases import BLIND, BLIND_KEY, GO_TO, CaseContext, show_case
from dashboard.cases.reader import COOKIE, reader_picker
from dashboard.components.review import review
from dashboard.page import is_dark

STATES = {
    "open": ":blue-badge[open]",
    "reviewed": ":green-badge[reviewed]",
    "signed": ":violet-badge[:material/lock: signed]",
}


def opened(store: CaseStore, case_id: str) -> CaseContext | None:
    """The case of the address bar with its heading; None, with a sentence, where it isn't there or nobody reads."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Cases", key="cases_back", icon=":material/arrow_back:", type="tertiary", on_click=show_case, args=(None,)
        )
        try:
            case = store.case(case_id)
        except CaseError as error:
            st.title("Cases", anchor=False, width="content")
            st.info(str(error), icon=":material/link:")
            return None
        st.title(markdown_text(case.sample), anchor=False, width="content")
        version = f" :gray-badge[version {case.version}]" if case.version > 1 else ""
        st.markdown(STATES[case.state] + version, width="content")
        st.caption(_what_it_is(case), width="stretch", help=_facts(case))
        reader = reader_picker()
        if reader:
            _blind_choice(case, reader)
    if reader is None:
        st.info("Type your name above: it stands beside each of your decisions.", icon=":material/person:")
        return None
    return CaseContext(store, case, reader, st.session_state[BLIND_KEY])


def screen(context: CaseContext, waits: bool = False) -> None:
    """The review screen; ``waits``: what stands below asks to run once the cells are on the screen."""
    data = screen_data(context) | {"waits": waits}
    review(data, key=f"review-{context.case.id}-{context.reader.name}-{context.blind}")


def screen_data(context: CaseContext) -> dict[str, Any]:
    """What the review screen is given: its address for all else, the classes with their keys and colours, reference
    cells, and the cells to go to. The same as long as nothing of these changes, so that it is sent once.
    """
    case, dark = context.case, is_dark()
    cells, nonce = st.session_state.get(GO_TO, ((), 0))
    return {
        "base": context.permission.address,
        "reader": context.reader.name,
        "cookie": "" if context.reader.verified else COOKIE,
        "hidesModel": context.blind == "model",
        "classes": class_keys(case),
        "colours": class_colours(case.assignable, dark),
        "reasons": list(REASONS),
        "sheet": {"columns": TILES_A_ROW, "fixed": case.sheets},
        "goto": {"cells": list(cells), "nonce": nonce},
    }


def class_keys(case: Case) -> list[dict[str, str]]:
    """Every class that a reader may give, with its name and key: digits in the classes' order, N for no cell."""
    names = class_names(case)
    classes = [
        {"code": code, "name": capitalized(names[code]), "key": str(place) if place <= 9 else ""}
        for place, code in enumerate(case.assignable, start=1)
    ]
    return [*classes, {"code": "", "name": "Not a cell", "key": "N"}]


def _what_it_is(case: Case) -> str:
    slides = f"slide {listed(case.slides)} · " if case.slides else ""
    fields = sum(picture.kind == "field" for picture in case.pictures)
    pictures = counted(fields, "field") if fields == len(case.pictures) else counted(len(case.pictures), "picture")
    return markdown_text(f"{slides}{pictures} · {case.profile or case.run}", None)


def _facts(case: Case) -> str:
    specimen = SPECIMENS[case.specimen].title if case.specimen in SPECIMENS else case.specimen
    facts = [f"Taken in {case.created[:16].replace('T', ' ')} UTC", f"specimen: {specimen or 'not said'}"]
    facts += [text for text in (case.note, case.laboratory, case.scale) if text]
    if case.unused:
        facts.append(f"{counted(len(case.unused), 'file')} not used (below)")
    return markdown_text(". ".join(fact.removesuffix(".") for fact in facts) + ".", None)


def _blind_choice(case: Case, reader: Reader) -> None:
    """A second reader may be kept from what was read before; the address bar keeps that over a reload."""
    if url_state.parameter(BLIND_KEY) not in (None, *BLIND):
        url_state.forget(BLIND_KEY)
    st.session_state.setdefault(BLIND_KEY, url_state.parameter(BLIND_KEY) or "")
    others = {d.reader.name for d in case.decisions if d.cell is not None} - {reader.name}
    blind = st.session_state[BLIND_KEY]
    with st.popover("Second reader", icon=":material/visibility_off:" if blind else ":material/group:"):
        st.markdown(f"Read by {markdown_text(listed(sorted(others)))}." if others else "Nobody else has read it.")
        st.radio(
            "Read without seeing",
            ["", *BLIND],
            format_func=lambda key: capitalized(BLIND.get(key, "nothing: all is shown")),
            key=BLIND_KEY,
        )
        st.caption("Agreement between readers is told below, once all is shown again.")
    url_state.put(BLIND_KEY, st.session_state[BLIND_KEY])
