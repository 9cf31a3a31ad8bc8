"""Your lab, step 3: questions, a few cells on a screen; a click or a key answers, and the next cell stands there."""

import streamlit as st

from core.adaptation.active import CANT_SAY, NOT_A_CELL
from core.adaptation.estimate import AccuracyEstimate
from core.datasets import DatasetSpec
from core.formatting import markdown_text, percent, plural
from dashboard.lab import ANSWERS_PER_CLASS, LabContext, Laboratory, QuestionRound, crop
from dashboard.page import is_dark, view
from dashboard.pickers import specimen_line
from dashboard.pictures import framed_tile
from dashboard.style import PRIMARY, class_colours

_LARGE, _SMALL = 300, 112
_KEYS = "123456789"
_OTHER = {NOT_A_CELL: ("Not a cell", "N"), CANT_SAY: ("Can't say", "S")}


@view("Teach", order=30)
@st.fragment
def render(context: LabContext) -> None:
    """Progress, the cell in focus with its answers, and all cells of the round."""
    lab, spec = context.lab, context.spec
    now, cell = lab.round(), lab.focused()
    progress(lab, spec)
    if now is None or cell is None:
        _finished(lab)
        return
    with st.container(horizontal=True, gap="medium"):
        with st.container(width=_LARGE):
            _in_focus(lab, now, cell, spec)
        with st.container(width=280, gap="xsmall"):
            _answers(lab, now, cell, spec)
        with st.container(width="stretch"):
            _round_section(lab, now, cell, spec)


def progress(lab: Laboratory, spec: DatasetSpec) -> None:
    """'12 of 25 answers', the classes' counts, the estimate so far."""
    given = list(lab.answers.values())
    done = lab.asked / max(lab.goal, 1)
    told = f"{estimate_line(lab.estimate)} {specimen_line(lab.specimen, True)}"
    st.progress(min(1.0, done), text=f"**{lab.asked} of {lab.goal} answers.** {told}")
    parts = []
    for number, (code, name) in enumerate(zip(spec.codes, spec.class_names, strict=True)):
        if lab.present_classes is None or code in lab.present_classes or number in given:
            parts.append(f"**{code}** {plural(name)} {given.count(number)} of {ANSWERS_PER_CLASS}")
    st.caption(" · ".join(parts))


def estimate_line(estimate: AccuracyEstimate | None) -> str:
    """'12 named by you; of the other 140 about 92 % are read right now (81 to 98 %), 54 % before.'"""
    if estimate is None:
        return "How well it reads your cells is estimated after each screen."
    low, high = (100 * v for v in estimate.after_interval)
    return (
        f"{estimate.n} named by you; of {estimate.others} about {percent(estimate.after)} are read right now (95 % "
        f"interval {low:.0f} to {high:.0f} %), {percent(estimate.before)} before."
    )


def _in_focus(lab: Laboratory, now: QuestionRound, cell: int, spec: DatasetSpec) -> None:
    asked = lab.session.cells[lab.ids[cell]]
    st.image(crop(lab, cell, 2 * _LARGE), width=_LARGE, alt=f"asked about: {asked.name}")
    guess = int(now.probabilities[cell].argmax())
    probability = markdown_text(percent(now.probabilities[cell, guess]))
    st.markdown(f"The model says **{spec.class_names[guess]}**, {probability}")
    if asked.truth:
        st.caption(f"This one is drawn, as a cell of the class {asked.truth} ({spec.names[asked.truth]}).")
    else:
        st.caption(markdown_text(asked.name))


def _answers(lab: Laboratory, now: QuestionRound, cell: int, spec: DatasetSpec) -> None:
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


def _round_section(lab: Laboratory, now: QuestionRound, focus: int, spec: DatasetSpec) -> None:
    """All cells of this screen: the one in focus framed, the answered ones in their class's colour."""
    dark = is_dark()
    colours, answers = class_colours(spec.codes, dark), lab.answers
    st.caption("These cells teach most now. The button under a cell confirms the model's guess, or opens an answer.")
    with st.container(horizontal=True, gap="small"):
        for cell in now.cells:
            given = answers.get(cell)
            guess = int(now.probabilities[cell].argmax())
            border = None if given is None or given < 0 else colours[spec.codes[given]]
            border = PRIMARY[dark] if cell == focus else border
            with st.container(width=_SMALL, gap="xxsmall"):
                st.image(framed_tile(crop(lab, cell), border, _SMALL), width=_SMALL, alt=f"cell {cell}")
                if given is None:
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
                        spec.codes[given] if given >= 0 else _OTHER[given][0],
                        key=f"lab_open_{cell}",
                        icon=":material/check:",
                        help="Answer anew",
                        type="tertiary",
                        on_click=_look_at,
                        args=(lab, cell),
                        width="stretch",
                    )


def _look_at(lab: Laboratory, cell: int) -> None:
    lab.focus = cell


def _finished(lab: Laboratory) -> None:
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
