"""How the uploads are framed: one line that says it, and behind a button the switch and the slider."""

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec
from core.serving.framing import Survey
from core.serving.reader import Reader
from dashboard.cells import Tray

_SEARCH, _SIDE = "classify_search", "classify_side"
_LEAST, _MOST = 0.15, 1.5  # of the pictures' shorter side


def framing_line(tray: Tray, reader: Reader, spec: DatasetSpec) -> None:
    """Say at which scale the visitor's own pictures were framed for ``reader``, and let it be changed.

    Nothing is shown where cells are never looked for, or before there are pictures.
    """
    if spec.unit != "cell" or spec.squeezed or not tray.uploads.pictures:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        survey = tray.survey(reader) if tray.default_mode == "search" else None
        st.caption(scale_line(survey, tray), width="content", help=survey.scale.note if survey else None)
        with st.popover("Framing", icon=":material/crop_free:", type="tertiary"):
            _controls(tray, reader)


def scale_line(survey: Survey | None, tray: Tray) -> str:
    """'Your pictures: one red cell spans 67 px, so squares of 180 px were cut round each cell.'"""
    if tray.default_mode != "search":
        return "Your pictures: cut by their shape, without looking for the cell."
    if survey is None:
        return "Your pictures: the scale is being measured."
    scale, ruler = survey.scale, survey.ruler
    if scale.source == "given":
        whose = "as you set it" if tray.side else "as your laboratory has it"
        return f"Your pictures: squares of {scale.side} px were cut round each cell, {whose}."
    if scale.source == "official":
        return "Your pictures have the size of those that the models learnt from, and were framed like them."
    if scale.side is None:
        return f"Your pictures: {scale.note[0].lower()}{scale.note[1:]}"
    what = f"squares of {scale.side} px were cut round each cell"
    if scale.source == "red cells" and ruler:
        also = ", hard to see, and nuclei have a size too" if scale.aided else ""
        return f"Your pictures: one red cell spans {ruler.diameter:.0f} px{also}, so {what}."
    why = "by the size of their nuclei" if scale.source == "nuclei" else "where models agree best"
    return f"Your pictures: red cells can't be measured, so {what} {why}. Look whether the frames seem right."


def _controls(tray: Tray, reader: Reader) -> None:
    st.session_state[_SEARCH] = tray.default_mode == "search"
    st.toggle(
        "Look for the cell in each picture",
        key=_SEARCH,
        on_change=_switch,
        args=(tray,),
        help="On: the cell is found by the stain of its nucleus, and one square of one size is cut round each, so that "
        "cells keep their sizes. Off: the middle of each picture is cut, by its shape. Pictures of the models' own "
        "laboratory are framed as ever either way.",
    )
    if tray.default_mode != "search":
        return
    shorter = float(np.median([min(p.shape) for p in tray.uploads.pictures.values()]))
    low, high = max(8, round(_LEAST * shorter)), max(16, round(_MOST * shorter))
    st.session_state[_SIDE] = int(np.clip(tray.side or _usual(tray, reader), low, high))
    st.slider(
        "Side of the square",
        low,
        high,
        key=_SIDE,
        format="%d px",
        on_change=_set_side,
        args=(tray,),
        help="In pixels of your pictures. Right is where a red cell spans three eighths of the square, and a "
        "neutrophil a little more than half. It is used for all your pictures until you close the page.",
    )
    st.button("As measured", key="classify_measured", on_click=_forget_side, args=(tray,), disabled=tray.side is None)


def _usual(tray: Tray, reader: Reader) -> float:
    """The side that frames have now."""
    widths = [a.lead.framed.box[2] - a.lead.framed.box[0] for a in tray.answered([reader]) if a.cell.truth is None]
    return float(np.median(widths)) if widths else 0.0


def _switch(tray: Tray) -> None:
    tray.use_mode_for_all("search" if st.session_state[_SEARCH] else "auto")


def _set_side(tray: Tray) -> None:
    tray.side = st.session_state[_SIDE]


def _forget_side(tray: Tray) -> None:
    tray.side = None
