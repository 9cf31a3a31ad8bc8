"""Step 3: questions, a few cells on a screen; a click or a key answers, the next cell stands there at once."""

import streamlit as st

from core.datasets import DatasetSpec
from core.lab.estimate import Estimate
from core.lab.teaching import CANT_SAY, NOT_A_CELL
from core.serving.wording import percent, plural
from dashboard.figures.style import PRIMARY, class_colours
from dashboard.lab import PER_CLASS, Lab, Round, crop
from dashboard.widgets.looked_at import as_text
from dashboard.widgets.page import is_dark
from dashboard.widgets.pictures import framed_tile

_LARGE, _SMALL = 300, 112
_KEYS = "123456789"
_OTHER = {NOT_A_CELL: ("Not a cell", "N"), CANT_SAY: ("Can't say", "S")}


@st.fragment
def teach_step(lab: Lab, spec: DatasetSpec) -> None:
    """Progress, the cell in focus with its answers, and all cells of the round."""
    now = lab.round()
    progress(lab, spec)
    if now is None:
        _finished(lab)
        return
    cell = lab.focused()
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=_LARGE):
            _in_focus(lab, now, cell, spec)
        with st.container(width=280, gap="xsmall"):
            _answers(lab, now, cell, spec)
        with st.container(width="stretch"):
            _round(lab, now, cell, spec)


def progress(lab: Lab, spec: DatasetSpec) -> None:
    """'12 of 25 answers', the classes' counts, the estimate so far."""
    given = list(lab.answers.values())
    done = lab.asked / max(lab.goal, 1)
    st.progress(min(1.0, done), text=f"**{lab.asked} of {lab.goal} answers.** {estimate_line(lab.estimate)}")
    parts = []
    for number, (code, name) in enumerate(zip(spec.codes, spec.class_names, strict=True)):
        if lab.occurs is None or code in lab.occurs or number in given:
            parts.append(f"**{code}** {plural(name)} {given.count(number)} of {PER_CLASS}")
    st.caption(" · ".join(parts))


def estimate_line(estimate: Estimate | None) -> str:
    """'About 92 % of all your cells are read right now (81 to 98 %), before 54 %.'"""
    if estimate is None:
        return "How well it reads your cells is estimated after each screen."
    low, high = (100 * v for v in estimate.after_interval)
    return (
        f"About {percent(estimate.after)} of your cells are read right now (95 % interval {low:.0f} to {high:.0f} %), "
        f"{percent(estimate.before)} before."
    )


def _in_focus(lab: Lab, now: Round, cell: int, spec: DatasetSpec) -> None:
    asked = lab.tray.cells[lab.ids[cell]]
    st.image(crop(lab, cell, 2 * _LARGE), width=_LARGE, alt=f"asked about: {asked.name}")
    guess = int(now.probabilities[cell].argmax())
    text = f"The model says **{spec.class_names[guess]}**, {percent(now.probabilities[cell, guess])}".replace(
        "<", "\\<"
    )
    st.markdown(text.replace(">", "\\>"))
    if asked.truth:
        name = dict(zip(spec.codes, spec.class_names, strict=True))[asked.truth]
        st.caption(f"This one is drawn, as a cell of the class {asked.truth} ({name}).")
    else:
        st.caption(as_text(asked.name))


def _answers(lab: Lab, now: Round, cell: int, spec: DatasetSpec) -> None:
    guess = int(now.probabilities[cell].argmax())
    for number, (code, name) in enumerate(zip(spec.codes, spec.class_names, strict=True)):
        st.button(
            f"{code}  {name}",
            key=f"lab_answer_{code}",
            type="primary" if number == guess else "secondary",
            shortcut=_KEYS[number] if number < len(_KEYS) else None,
            on_click=lab.answer,
            args=(cell, number),
            width="stretch",
        )
    with st.container(horizontal=True, gap="small"):
        for answer, (label, key) in _OTHER.items():
            st.button(
                label, key=f"lab_answer_{key}", shortcut=key, on_click=lab.answer, args=(cell, answer), width="stretch"
            )
    st.button(
        "Undo",
        key="lab_undo",
        icon=":material/undo:",
        shortcut="U",
        on_click=lab.undo,
        disabled=not lab.asked,
        type="tertiary",
    )


def _round(lab: Lab, now: Round, focus: int, spec: DatasetSpec) -> None:
    """All cells of this screen: the one in focus framed, the answered ones in their class's colour."""
    dark = is_dark()
    colours, answers = class_colours(spec.codes, dark), lab.answers
    st.caption("These cells teach most now. The button under a cell confirms the model's guess, or opens an answer.")
    with st.container(horizontal=True, gap="small"):
        for cell in now.cells:
            said = answers.get(cell)
            guess = int(now.probabilities[cell].argmax())
            border = None if said is None or said < 0 else colours[spec.codes[said]]
            border = PRIMARY[dark] if cell == focus else border
            with st.container(width=_SMALL, gap="xxsmall"):
                st.image(framed_tile(crop(lab, cell), border, _SMALL), width=_SMALL, alt=f"cell {cell}")
                if said is None:
                    st.button(
                        f"{spec.codes[guess]} {percent(now.probabilities[cell, guess])}",
                        key=f"lab_confirm_{cell}",
                        help=f"Yes, {spec.class_names[guess]}",
                        on_click=lab.answer,
                        args=(cell, guess),
                        width="stretch",
                    )
                else:
                    st.button(
                        spec.codes[said] if said >= 0 else _OTHER[said][0],
                        key=f"lab_open_{cell}",
                        icon=":material/check:",
                        help="Answer anew",
                        type="tertiary",
                        on_click=_look_at,
                        args=(lab, cell),
                        width="stretch",
                    )


def _look_at(lab: Lab, cell: int) -> None:
    lab.focus = cell


def _finished(lab: Lab) -> None:
    if len(lab.answers) >= len(lab.ids):
        st.success("All cells are answered.", icon=":material/check_circle:")
    else:
        st.success(f"{lab.asked} answers given: it is yours.", icon=":material/check_circle:")
    with st.container(horizontal=True, gap="small"):
        if st.button("See what they changed", key="lab_to_use", type="primary", icon=":material/arrow_forward:"):
            lab.step = "use"
            st.rerun()
        if len(lab.answers) < len(lab.ids):
            st.button("Answer five more", key="lab_more", on_click=lab.ask_more)
        st.button("Undo", key="lab_undo", icon=":material/undo:", shortcut="U", on_click=lab.undo, type="tertiary")
