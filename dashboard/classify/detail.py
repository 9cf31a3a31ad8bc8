"""Classify, one cell in detail: the upload with the frame, what the model saw, its answer, how it was framed."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.datasets import DatasetSpec
from core.formatting import capitalized, listed, markdown_text, milliseconds, percent
from core.inference.predictor import Predictor
from dashboard import url_state
from dashboard.charts import plot
from dashboard.classify import CHOSEN, MOST_EXPLAINED, PANE, ClassifyContext, choose_cell, reframe
from dashboard.page import is_dark, open_page
from dashboard.pickers import short_names
from dashboard.pictures import enlarge, framed_upload
from dashboard.session import Result, UploadedCell, UploadSession
from dashboard.style import PRIMARY, class_colours, finish, ground, option_label

SHOWN = 4


def probability_bars(
    probabilities: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    colours: dict[str, str],
    *,
    title: str,
    dark: bool = False,
    shown: int = SHOWN,
) -> go.Figure:
    """The likeliest ``shown`` classes of one cell as bars in their colours, probabilities (C,) written beside them."""
    order = np.argsort(-probabilities, kind="stable")[:shown]
    labels = [f"{codes[i]}  {names[i]}" for i in order]
    figure = go.Figure(
        go.Bar(
            x=[float(probabilities[i]) for i in order],
            y=labels,
            orientation="h",
            marker={"color": [colours[codes[i]] for i in order], "line": {"width": 0}},
            text=[percent(float(probabilities[i])) for i in order],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": 14},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    finish(figure, title=title, height=52 + 28 * len(order), dark=dark)
    figure.update_layout(bargap=0.3, margin={"l": 8, "r": 56, "t": 40, "b": 4}, showlegend=False, dragmode=False)
    figure.update_xaxes(visible=False, range=[0, 1], fixedrange=True)
    figure.update_yaxes(autorange="reversed", ticks="", showgrid=False, showline=False, fixedrange=True)
    figure.update_yaxes(tickfont={"size": 14, "color": ground(dark)["text"]}, ticklabelstandoff=6)
    return figure


_PICTURE, _BETWEEN = 224, 16
_BADGES = {
    "sure": ":green-badge[sure]",
    "unsure": ":orange-badge[unsure]",
    "not_a_cell": ":gray-badge[not a cell]",
}
_DIFFERENCES = {"colour": "the colours", "scale": "the size of things", "texture": "the sharpness or grain"}
_MODES = {"search": "Round the cell", "auto": "As it fits", "parent": "Centre crop", "whole": "Whole"}


def render(context: ClassifyContext) -> None:
    """One cell: the upload with the frame, what the model saw, the likeliest classes, how it was framed."""
    result, order, predictors, spec = context.shown, context.order, context.predictors, context.spec
    session, cell, dark = context.session, result.cell, is_dark()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if len(order) > 1:
            place = order.index(cell.id) + 1
            st.button("Previous", key="classify_previous", shortcut="Left", on_click=_step, args=(order, -1))
            st.button("Next", key="classify_next", shortcut="Right", on_click=_step, args=(order, 1))
            st.caption(f"{place} of {len(order)}", width="content")
        if st.button(f"Explain this {spec.unit}", key="classify_explain", icon=":material/visibility:"):
            url_state.hand_over_image(cell.name, cell.pixels, cell.truth, result.lead.window)
            asked = {} if predictors[0].name else {"models": ",".join(p.run.name for p in predictors[:MOST_EXPLAINED])}
            open_page("explain", asked)
        st.button(
            "Remove",
            key="classify_remove",
            icon=":material/close:",
            type="tertiary",
            on_click=_remove,
            args=(session, order, cell.id),
        )
    with st.container(horizontal=True, gap="medium"):  # beside each other where there is room
        with st.container(width=PANE):
            _verdict(result, spec)
            _changed_line(context)
            with st.container(horizontal=True, gap="small"):
                _pictures(result, predictors)
        with st.container(width=PANE):
            _probability_section(result, predictors, spec, dark)
            _facts(context)


def _verdict(result: Result, spec: DatasetSpec) -> None:
    lead = result.lead
    badges = _BADGES[result.kind]
    if not result.agree:
        badges += " :orange-badge[models disagree]"
    if result.no_cell_found:
        badges += " :orange-badge[no white cell found: look yourself]"
    if not lead.is_cell:
        st.subheader(f"Not a {spec.unit}", anchor=False)
        st.markdown(f"{lead.verdict.check.sentence} It is in no count and no share.")
        return
    if lead.verdict.immature:
        badges += " :orange-badge[looks immature]"
    if lead.verdict.is_odd:
        badges += " :violet-badge[odd]"
    if lead.verdict.is_stranger:
        badges += " :gray-badge[another stain than the others]"
    if result.is_urgent:
        badges = f":red-badge[may be abnormal] {badges}"
    sure = markdown_text(percent(lead.confidence))
    st.subheader(f"{spec.codes[lead.predicted]}  {spec.class_names[lead.predicted]}, {sure} {badges}", anchor=False)
    if result.is_urgent:
        st.warning(
            "This may be an abnormal cell: a blast or another immature cell that no class stands for. Look yourself.",
            icon=":material/notification_important:",
        )
    elif lead.verdict.is_near_alarm:
        st.markdown("It is a little like an abnormal cell, so it is not called sure.")
    if lead.verdict.immature:
        st.markdown(
            "The picture speaks for an immature cell, which this specimen seldom holds: look yourself, whatever is "
            "named first."
        )
    if lead.verdict.kind == "unsure":
        given = {k: markdown_text(percent(lead.probabilities[k])) for k in lead.prediction_set}
        some = [f"**{spec.class_names[k]}** ({probability})" for k, probability in given.items()]
        st.markdown(f"The model is not sure: {' or '.join([', '.join(some[:-1]), some[-1]])}.")
    if lead.verdict.is_odd:
        off = [_DIFFERENCES[kind] for kind in lead.verdict.unusual]
        what = f": unusual {'is' if len(off) == 1 else 'are'} {listed(off)}" if off else ""
        st.markdown(
            f"It does not look like the other {spec.unit}s of its kind{what}.",
            help=f"Its oddness is {lead.verdict.ood_score:.1f}; from 1 on it is odd, which few {spec.unit}s reach that "
            "are known here.",
        )


def _changed_line(context: ClassifyContext) -> None:
    """That another framing gave the shown cell another class, and which it had."""
    was = context.changed.get(context.shown.cell.id)
    if was is not None:
        before = f"**{was}**, {context.spec.names[was]}" if was else "not a cell"
        st.markdown(
            f":material/published_with_changes: Its class changed with what is cut out: before, it was {before}."
        )


def _pictures(result: Result, predictors: Sequence[Predictor]) -> None:
    cell, framed = result.cell, result.lead.crop
    height, width = cell.pixels.shape[:2]
    seen = {
        predictor.run.size: prediction.crop.pixels
        for predictor, prediction in zip(predictors, result.predictions, strict=True)
    }
    side = min(_PICTURE, PANE // (len(seen) + 1) - _BETWEEN)
    with st.container(width=side, gap="xxsmall"):
        shown = framed_upload(cell.pixels, framed.box, 2 * side, PRIMARY[False])
        st.image(shown, width=max(1, shown.shape[1] // 2), alt=f"{cell.name} with the frame that the model saw")
        st.caption(f"Your picture, {width} x {height} px" if cell.truth is None else f"{width} x {height} px")
    for size, pixels in seen.items():
        with st.container(width=side, gap="xxsmall"):
            st.image(enlarge(pixels, 2 * side), width=side, alt=f"The {size} px picture that the model saw")
            st.caption(f"What the model saw, {size} px")


def _probability_section(result: Result, predictors: Sequence[Predictor], spec: DatasetSpec, dark: bool) -> None:
    colours, short = class_colours(spec.codes, dark), short_names([p.run for p in predictors])
    times = []
    if not result.lead.is_cell:  # then there is no class to draw
        return
    for number, (predictor, prediction) in enumerate(zip(predictors, result.predictions, strict=True)):
        title = "Likeliest classes"
        if len(predictors) > 1:
            named = spec.class_names[prediction.predicted]
            title = f"{short[predictor.run.name]}: {named}, {prediction.verdict.word}"
        figure = probability_bars(
            prediction.probabilities,
            spec.codes,
            spec.class_names,
            colours,
            title=title,
            dark=dark,
            shown=SHOWN if len(predictors) == 1 else 3,
        )
        plot(figure, key=f"classify_bars_{number}", alt=f"Probabilities by {predictor.run.title}")
        times.append(f"{short[predictor.run.name]} in {milliseconds(prediction.milliseconds)}")
    st.caption(f"Answered by {', '.join(times)}.")


def _facts(context: ClassifyContext) -> None:
    result, spec = context.shown, context.spec
    cell, framed = result.cell, result.lead.crop
    lines = [f"**{markdown_text(cell.name, most=None)}**"]
    if cell.truth:
        lines.append(f"Labelled {spec.names.get(cell.truth, cell.truth)} ({cell.source}).")
    lines.append(framed.note)
    lines += [f"{capitalized(note)}." for note in cell.notes]
    st.markdown(" ".join(lines))
    if not spec.stretched:  # else the whole picture is always used
        _framing(context, cell)


def _framing(context: ClassifyContext, cell: UploadedCell) -> None:
    session, spec = context.session, context.spec
    key, mode = f"classify_mode_{cell.id}", session.mode(cell.id)
    searched = spec.unit == "cell" and cell.truth is None
    modes = [m for m in _MODES if m != "search" or searched]
    round_cell = "Round the cell: one square of one size for all your pictures, round the cell in each. "
    st.session_state[key] = mode if mode in modes else "auto"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.segmented_control(
            "What to cut out",
            modes,
            format_func=lambda mode: option_label(_MODES[mode]),
            key=key,
            required=True,
            on_change=lambda: reframe(context, lambda: session.set_mode(cell.id, st.session_state[key])),
            help=(round_cell if searched else "")
            + "As it fits: decided by the picture's shape. Centre crop: the middle, in the proportion of the crops "
            "that the models learnt from. Whole: the largest square in the middle.",
        )
        st.button(
            f"Use for all {spec.unit}s",
            key="classify_mode_all",
            type="tertiary",
            on_click=lambda: reframe(context, lambda: session.use_mode_for_all(mode)),
            disabled=len(session.cells) < 2 or mode == session.default_mode,
        )


def _step(order: list[str], by: int) -> None:
    now = order.index(st.session_state[CHOSEN]) if st.session_state.get(CHOSEN) in order else 0
    choose_cell(order[(now + by) % len(order)])


def _remove(session: UploadSession, order: list[str], identity: str) -> None:
    if len(order) > 1:
        _step(order, 1)
    session.remove(identity)
