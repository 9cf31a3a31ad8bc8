"""One cell's card: the upload with the frame, what the model saw, its answer, how it was framed."""

from collections.abc import Sequence

import streamlit as st

from core.datasets import DatasetSpec
from core.serving.reader import Reader
from core.serving.wording import listed, milliseconds, percent
from dashboard import state
from dashboard.cells import Answered, Cell, Reading, Tray
from dashboard.figures import classify as figures
from dashboard.figures.style import PRIMARY, class_colours
from dashboard.widgets.answers import CHOSEN, PANE, choose
from dashboard.widgets.page import PAGES, go, is_dark, link, plot
from dashboard.widgets.pictures import enlarge
from dashboard.widgets.runs import labels

_PICTURE, _BETWEEN = 224, 16
_BADGES = {
    "sure": ":green-badge[sure]",
    "unsure": ":orange-badge[unsure]",
    "foreign": ":violet-badge[foreign]",
}
_OFF = {"colour": "the colours", "scale": "the size of things", "texture": "the sharpness or grain"}
_MODES = {"search": "Round the cell", "auto": "As it fits", "parent": "Centre crop", "whole": "Whole"}


def card(tray: Tray, answered: Answered, order: list[str], readers: Sequence[Reader], spec: DatasetSpec) -> None:
    """One cell: the upload with the frame, what the model saw, the likeliest classes, how it was framed."""
    cell, dark = answered.cell, is_dark()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if len(order) > 1:
            place = order.index(cell.id) + 1
            st.button("Previous", key="classify_previous", shortcut="Left", on_click=_step, args=(order, -1))
            st.button("Next", key="classify_next", shortcut="Right", on_click=_step, args=(order, 1))
            st.caption(f"{place} of {len(order)}", width="content")
        if st.button(f"Explain this {spec.unit}", key="classify_explain", icon=":material/visibility:"):
            state.hand_over_image(cell.name, cell.pixels, cell.truth, answered.lead.place)
            go("explain")
        st.button(
            "Remove",
            key="classify_remove",
            icon=":material/close:",
            type="tertiary",
            on_click=_remove,
            args=(tray, order, cell.id),
        )
    with st.container(horizontal=True, gap="medium"):  # beside each other where there is room
        with st.container(width=PANE):
            _verdict(answered, spec)
            with st.container(horizontal=True, gap="small"):
                _pictures(answered, readers)
        with st.container(width=PANE):
            _bars(answered, readers, spec, dark)
            _facts(tray, answered, spec)


def _verdict(answered: Answered, spec: DatasetSpec) -> None:
    lead = answered.lead
    badges = _BADGES[lead.voice.kind]
    if not answered.agree:
        badges += " :orange-badge[models disagree]"
    if answered.missing:
        badges += " :orange-badge[no white cell found: look yourself]"
    if lead.voice.kind == "foreign":
        nearest = lead.nearest
        st.subheader(f"Nearest to {spec.codes[nearest]}  {spec.class_names[nearest]} {badges}", anchor=False)
        _foreign(lead, spec)
        return
    st.subheader(
        f"{spec.codes[lead.winner]}  {spec.class_names[lead.winner]}, {_escaped(percent(lead.top))} {badges}",
        anchor=False,
    )
    if lead.voice.kind == "unsure":
        some = [f"**{spec.class_names[k]}** ({_escaped(percent(lead.probabilities[k]))})" for k in lead.voice.classes]
        st.markdown(f"The model is not sure: {' or '.join([', '.join(some[:-1]), some[-1]])}.")


def _foreign(lead: Reading, spec: DatasetSpec) -> None:
    """In what the picture differs, and the way to a model that knows such pictures."""
    off = [_OFF[kind] for kind in lead.voice.off]
    what = f"unusual {'is' if len(off) == 1 else 'are'} {listed(off)}" if off else "no single thing, but all together"
    st.markdown(
        f"This does not look like the {spec.unit}s that the model knows: {what}. Don't rely on its class.",
        help=f"It lies {lead.voice.strangeness:.1f} times as far from the {spec.unit}s that the model learnt from as "
        f"99 of 100 of their kind do.",
    )
    lab_link()


def lab_link() -> None:
    """The way to the page where HemaLens learns a laboratory's own cells, where that page is installed."""
    if "lab" in st.session_state.get(PAGES, {}):
        link("lab", "Adapt HemaLens to your laboratory", icon=":material/labs:", width="content")


def _pictures(answered: Answered, readers: Sequence[Reader]) -> None:
    cell, framed = answered.cell, answered.lead.framed
    height, width = cell.pixels.shape[:2]
    seen = {reader.run.size: reading.framed.pixels for reader, reading in zip(readers, answered.readings, strict=True)}
    side = min(_PICTURE, PANE // (len(seen) + 1) - _BETWEEN)
    with st.container(width=side, gap="xxsmall"):
        shown = figures.framed_upload(cell.pixels, framed.box, 2 * side, PRIMARY[False])
        st.image(shown, width=max(1, shown.shape[1] // 2), alt=f"{cell.name} with the frame that the model saw")
        st.caption(f"Your picture, {width} x {height} px" if cell.truth is None else f"{width} x {height} px")
    for size, pixels in seen.items():
        with st.container(width=side, gap="xxsmall"):
            st.image(enlarge(pixels, 2 * side), width=side, alt=f"The {size} px picture that the model saw")
            st.caption(f"What the model saw, {size} px")


def _bars(answered: Answered, readers: Sequence[Reader], spec: DatasetSpec, dark: bool) -> None:
    colours, short = class_colours(spec.codes, dark), labels([r.run for r in readers])
    for number, (reader, reading) in enumerate(zip(readers, answered.readings, strict=True)):
        title = "Likeliest classes" + (", if it were one of them" if reading.voice.kind == "foreign" else "")
        if len(readers) > 1:
            verdict = reading.voice.kind
            title = f"{short[reader.run.name]}: {spec.class_names[reading.winner]}, {verdict}"
        figure = figures.probability_bars(
            reading.probabilities,
            spec.codes,
            spec.class_names,
            colours,
            title=title,
            dark=dark,
            shown=figures.SHOWN if len(readers) == 1 else 3,
        )
        plot(figure, key=f"classify_bars_{number}", alt=f"Probabilities by {reader.run.title}")
    times = ", ".join(
        f"{short[reader.run.name]} in {milliseconds(reading.milliseconds)}"
        for reader, reading in zip(readers, answered.readings, strict=True)
    )
    st.caption(f"Answered by {times}.")


def _facts(tray: Tray, answered: Answered, spec: DatasetSpec) -> None:
    cell, framed = answered.cell, answered.lead.framed
    lines = [f"**{_escaped(cell.name)}**"]
    if cell.truth:
        name = dict(zip(spec.codes, spec.class_names, strict=True)).get(cell.truth, cell.truth)
        lines.append(f"Labelled {name} ({cell.source}).")
    lines.append(framed.note)
    lines += [f"{note[0].upper()}{note[1:]}." for note in cell.notes]
    st.markdown(" ".join(lines))
    if not spec.squeezed:  # else the whole picture is always used
        _framing(tray, cell, spec)


def _framing(tray: Tray, cell: Cell, spec: DatasetSpec) -> None:
    key, mode = f"classify_mode_{cell.id}", tray.mode(cell.id)
    searched = spec.unit == "cell" and cell.truth is None
    modes = [m for m in _MODES if m != "search" or searched]

    def choose() -> None:
        tray.modes[cell.id] = st.session_state[key]

    st.session_state[key] = mode if mode in modes else "auto"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.segmented_control(
            "What to cut out",
            modes,
            format_func=_MODES.get,
            key=key,
            required=True,
            on_change=choose,
            help=(
                "Round the cell: one square of one size for all your pictures, round the cell in each. "
                if searched
                else ""
            )
            + "As it fits: decided by the picture's shape. Centre crop: the middle, in the proportion of the crops "
            "that the models learnt from. Whole: the largest square in the middle.",
        )
        st.button(
            f"Use for all {spec.unit}s",
            key="classify_mode_all",
            type="tertiary",
            on_click=tray.use_mode_for_all,
            args=(mode,),
            disabled=len(tray.cells) < 2 or mode == tray.default_mode,
        )


def _escaped(name: str) -> str:
    """A file's name as plain text inside Markdown."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|<>~$:" else c for c in name)


def _step(order: list[str], by: int) -> None:
    now = order.index(st.session_state[CHOSEN]) if st.session_state.get(CHOSEN) in order else 0
    choose(order[(now + by) % len(order)])


def _remove(tray: Tray, order: list[str], identity: str) -> None:
    if len(order) > 1:
        _step(order, 1)
    tray.remove(identity)
