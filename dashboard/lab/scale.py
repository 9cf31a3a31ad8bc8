"""Your lab, step 1: at which scale the cells are framed, and which classes can occur."""

import numpy as np
import streamlit as st

from core.images import crop
from core.images.framing import cut_box, spread_evenly
from dashboard.lab import LabContext, Laboratory
from dashboard.page import view
from dashboard.pickers import side_picker
from dashboard.pictures import enlarge, framed_upload
from dashboard.style import PRIMARY, option_label

_OCCURS = "lab_occurs"
_SHOWN, _WIDTH = 7, 156


@view("Scale and colour", order=10)
def render(context: LabContext) -> None:
    """The scale in a sentence, some cells before and after framing, the square by hand, the classes that occur."""
    lab, run, spec = context.lab, context.run, context.spec
    st.markdown(lab.learner.cells.scale.note)
    side = _side(lab)
    with st.container(horizontal=True, gap="small"):
        for cell in spread_evenly(range(len(lab.ids)), _SHOWN):
            pixels, box = lab.picture(cell), lab.box(cell, side)
            with st.container(width=_WIDTH, gap="xsmall"):
                shown = framed_upload(pixels, box, 2 * _WIDTH, PRIMARY[False])
                st.image(shown, width=_WIDTH, alt="your picture with the frame")
                seen = crop.resize_crop(cut_box(pixels, box), run.size, spec)
                st.image(enlarge(seen, 2 * _WIDTH), width=_WIDTH, alt="what the model sees")
    st.caption(
        f"Above your pictures with the frame, below what the model sees of them, {run.size} px. Right is where a red "
        "cell spans three eighths of the frame, and a neutrophil a little more than half."
    )
    st.session_state[_OCCURS] = list(lab.present_classes or spec.codes)
    names = spec.names
    st.pills(
        "Classes that can occur in your pictures",
        spec.codes,
        selection_mode="multi",
        format_func=lambda code: option_label(f"{code}  {names[code]}"),
        key=_OCCURS,
        on_change=lambda: lab.set_present_classes(run, st.session_state[_OCCURS]),
        help="Leave out what you are certain not to have: fewer mix-ups. A cell that looks plainly like one of them is "
        "named so all the same.",
    )


def _side(lab: Laboratory) -> int | None:
    """The side that is tried, None for that in use; 'Use this square' has all cells looked at anew."""
    shapes = [cell.pixels.shape[:2] for cell in lab.session.cells.values()]
    now = round(float(np.median([box[2] - box[0] for box in lab.boxes])))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        side = side_picker("lab", shapes, lab.tried_side or now, lambda side: setattr(lab, "tried_side", side))
        st.button(
            "Use this square",
            key="lab_use_side",
            type="primary" if side != now else "secondary",
            disabled=side == now,
            on_click=_use,
            args=(lab, side),
        )
        st.button("As measured", key="lab_measured", on_click=_use, args=(lab, None), disabled=lab.side is None)
    return None if side == now else side


def _use(lab: Laboratory, side: int | None) -> None:
    lab.side, lab.tried_side = side, None
