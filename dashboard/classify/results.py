"""Classify, the results: the summary line, how the uploads were framed, pictures of another domain or laboratory,
counts and all answers as tables, files to keep (CSV for a spreadsheet, JSON for a program).
"""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from core.cases.differential import (
    WHITE,
    CountedCell,
    Differential,
    differential,
    is_differential,
    rounded_shares,
)
from core.datasets import get_dataset
from core.formatting import capitalized, counted, percent
from core.images.decode import DecodeError
from core.images.framing import BatchScale
from core.images.remembered_scales import RememberedScale, offered_scales, remember_scale
from core.inference.confusion import errors_of
from core.inference.laboratory import Laboratory
from core.inference.predictor import CONFIDENT_PRECISION, Predictor
from core.inference.serialise import Answered, to_csv, to_json
from core.probabilities import NEVER_SURE
from dashboard import cache
from dashboard.cases import keep
from dashboard.classify import ClassifyContext, forget_choice, lab_link, reframe
from dashboard.differential import INTERVAL, apart_line, count_help, flag_lines, widest_text
from dashboard.pickers import short_names, side_picker, switch_to
from dashboard.session import Result, UploadedCell, UploadSession, failed_files, session_of, stats_line

_KINDS = ("sure", "unsure", "not_a_cell")
_NO_SMEAR = ("blank", "noise", "photograph")


def render(context: ClassifyContext) -> None:
    """The counts with files to keep, and what is to be said of all pictures together."""
    spec, session = context.spec, context.session
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _summary_line(context)
        failed_files(list(session.failures.values()))
        _downloads(context)
    if weighed := context.specimen_line:
        seen = sum(r.lead.verdict.must_be_seen for r in context.results)
        st.caption(f"{weighed} {counted(seen, spec.unit)} must be seen before they count." if seen else weighed)
    if news := stats_line(session.stats):
        st.caption(news)
    _framing_line(context)
    _changed_line(context)
    _other_domain_line(context)
    _other_laboratory_line(context)


def as_csv(
    results: Sequence[Result],
    failures: Sequence[DecodeError],
    predictors: Sequence[Predictor],
    laboratories: Sequence[Laboratory],
    scale: BatchScale | None = None,
) -> bytes:
    """A row for each cell and model, and one for each failed file; UTF-8 with a mark that spreadsheets understand."""
    return to_csv(_answered(results, failures), predictors, laboratories, scale).encode("utf-8-sig")


def as_json(
    results: Sequence[Result],
    failures: Sequence[DecodeError],
    predictors: Sequence[Predictor],
    laboratories: Sequence[Laboratory],
    scale: BatchScale | None = None,
) -> bytes:
    """The same, nested, with where the uploads come from in the eyes of each of ``predictors``, and the ``scale`` at
    which they were cut.
    """
    document = to_json(_answered(results, failures), predictors, laboratories, scale)
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def _answered(results: Sequence[Result], failures: Sequence[DecodeError]) -> list[Answered | DecodeError]:
    return [*(Answered(r.predictions, r.cell.source, r.cell.truth) for r in results), *failures]


def _summary_line(context: ClassifyContext) -> None:
    """'37 cells: 33 sure, 3 unsure, 1 may be abnormal; 2 pictures show no cell', and what that means."""
    results, lead, unit = context.results, context.predictors[0], context.spec.unit
    sure, unsure, not_a_cell = (_count_kind(results, kind) for kind in _KINDS)
    line = f"{counted(sure + unsure, unit)}: {sure} sure, {unsure} unsure"
    if urgent := sum(r.lead.is_cell and r.is_urgent for r in results):
        line += f", {urgent} may be abnormal"
    if len(context.predictors) > 1:
        line += f", models disagree on {sum(not r.agree for r in results)}"
    if missing := sum(r.no_cell_found for r in results):
        line += f", no white cell found in {missing}"
    if not_a_cell:
        line += f"; {counted(not_a_cell, 'picture')} {'shows' if not_a_cell == 1 else 'show'} no {unit}"
    st.header(line, anchor=False, width="stretch", help=_what_verdicts_mean(lead, context.laboratories[0], unit))


def _count_kind(results: Sequence[Result], kind: str) -> int:
    return sum(a.kind == kind for a in results)


def _what_verdicts_mean(predictor: Predictor, laboratory: Laboratory, unit: str) -> str:
    run, (_, threshold) = predictor.run, predictor.thresholds_at(laboratory)
    if threshold == NEVER_SURE:
        text = f"Sure: none here, because nobody measured what the answers for such {unit}s are worth."
    elif laboratory.is_foreign:
        text = (
            f"Sure: {run.title} gives its first class at least {percent(threshold)}. The percentages are those that "
            "hold at laboratories that no training saw."
        )
    elif predictor.name:
        text = (
            f"Sure: as taught by {predictor.name}, the first class gets at least {percent(threshold)}. All "
            f"this holds for {unit}s of that laboratory; other stains and microscopes can mislead it."
        )
    else:
        calibrated = f"calibrated on validation {unit}s" if "temperature" in run.metrics else "not calibrated"
        text = (
            f"Sure: {run.title} gives its first class at least {percent(threshold)}. At or above that, its "
            f"answers on validation {unit}s were right in {CONFIDENT_PRECISION:.1%} of cases. The percentages are "
            f"{calibrated}"
        )
        if (ece := run.metrics["test"].get("ece")) is not None:
            text += f"; on test {unit}s they were off by {100 * ece:.1f} points on average"
        text += f". All this holds for {unit}s like those; other stains and microscopes can mislead the model."
    if not predictor.detects_ood:
        text += f" It can't tell {unit}s of another laboratory, or odd ones, from those that it knows."
    return f"{text} {_ALARM_TEXT if predictor.has_alarm else _NO_ALARM_TEXT}"


_ALARM_TEXT = (
    "May be abnormal: an alarm of its own, learnt from blasts, which no confidence and no laboratory's profile "
    "silences; such a cell is never sure."
)
_NO_ALARM_TEXT = "This model has no alarm for abnormal cells."


def tables(context: ClassifyContext) -> None:
    """Counts by class beside the list of all answers."""
    spec = context.spec
    left, right = st.columns(2, gap="medium")
    with left:
        st.header(f"{capitalized(spec.unit)}s by class", anchor=False, help=context.specimen_line or None)
        told = _differential_of(context) if is_differential(spec.codes) else None
        table = _class_table(context, told)
        st.dataframe(
            table,
            hide_index=True,
            height=36 * (len(table) + 1),
            column_config={
                "Code": st.column_config.TextColumn(pinned=True, width="small"),
                "Share": st.column_config.NumberColumn(
                    format="%.1f %%",
                    help="Of the white cells" if told else f"Share of the {spec.unit}s on this page",
                ),
                INTERVAL: st.column_config.TextColumn(alignment="right", help=_interval_help(told)),
            },
            placeholder="",  # where a class has no share of the white cells
            alt=f"Number of {spec.unit}s by class",
        )
        if told:
            _beside_the_table(context, told)
    with right:
        st.header("All answers", anchor=False)
        st.dataframe(
            _answers_table(context),
            hide_index=True,
            height=36 * (len(spec.codes) + 1),
            column_config={
                "File": st.column_config.TextColumn(pinned=True),
                "Probability": st.column_config.NumberColumn(
                    format="%.0f %%", help="Of the first class; 99 % stands for 99 % or more"
                ),
                "ms": st.column_config.NumberColumn(format="%.1f", help=f"Milliseconds for this {spec.unit}"),
            },
            alt="All answers",
        )


def _class_table(context: ClassifyContext, told: Differential | None) -> pd.DataFrame:
    """A row a class: its cells and their verdicts, and their share, of the white ones where ``told`` a differential.

    What is no cell is in no count and no share.
    """
    spec, cells, rows = context.spec, [a for a in context.results if a.lead.is_cell], []
    by_class = [[a for a in cells if a.lead.predicted == number] for number in range(len(spec.codes))]
    shares = rounded_shares([len(mine) for mine in by_class])
    for number, (code, mine) in enumerate(zip(spec.codes, by_class, strict=True)):
        row: dict[str, str | float | None] = {"Code": code, f"{capitalized(spec.unit)}s": len(mine)}
        if told:
            white = told.of(code) if code in WHITE else None
            row["Share"] = white.percent if white else None
            row[INTERVAL] = widest_text(white) if white else ""
        else:
            row["Share"] = shares[number]
        row |= {"Class": spec.class_names[number], "Sure": _count_kind(mine, "sure")}
        row["Unsure"] = _count_kind(mine, "unsure")
        if context.predictors[0].has_alarm:
            row["May be abnormal"] = sum(a.is_urgent for a in mine)
        rows.append(row)
    return pd.DataFrame(rows)


def _interval_help(told: Differential | None) -> str:
    if told is None:
        return ""
    if any(white.with_errors for white in told.classes):
        what = "It holds chance and the model's errors, as these were measured on cells that it did not learn from."
    else:
        what = "Of the count alone (exact): nobody measured how often the model errs on such cells."
    return f"{what} {count_help()}"


def _differential_of(context: ClassifyContext) -> Differential:
    lead, laboratory = context.predictors[0], context.laboratories[0]
    cells = Counter(
        CountedCell(
            context.spec.codes[a.lead.predicted] if a.lead.is_cell else "",
            look=a.kind == "unsure" or a.lead.verdict.must_be_seen,
            alarm=a.is_urgent,
        )
        for a in context.results
    )
    specimen = lead.specimen_at(laboratory).key
    key = lead.key, specimen, laboratory.is_foreign
    return _differential(tuple(cells.items()), context.spec.codes, key, lead, laboratory)


@st.cache_resource(max_entries=64, show_spinner=False)
def _differential(
    cells: tuple[tuple[CountedCell, int], ...],
    codes: tuple[str, ...],
    key: tuple[str, str, bool],  # of what follows
    _predictor: Predictor,
    _laboratory: Laboratory,
) -> Differential:
    every = [cell for cell, number in cells for _ in range(number)]
    return differential(every, codes, errors_of(_predictor, _laboratory))


def _beside_the_table(context: ClassifyContext, told: Differential) -> None:
    """What is apart from the white cells, and which rules the count so far breaks."""
    apart_line(told)
    flag_lines(told, context.predictors[0].specimen_at(context.laboratories[0]))


def _answers_table(context: ClassifyContext) -> pd.DataFrame:
    results, predictors, spec = context.results, context.predictors, context.spec
    short, rows = short_names([p.run for p in predictors]), []
    any_unsure = _count_kind(results, "unsure") > 0
    remarked = any(_why_look(r) for r in results)
    for a in (result for _, of_group in context.groups for result in of_group):
        is_cell, label = a.lead.is_cell, a.lead.predicted
        row: dict[str, str | float | None] = {
            "File": a.cell.name,
            "Class": f"{spec.codes[label]}  {spec.class_names[label]}" if is_cell else "",
            "Probability": min(100 * a.lead.confidence, 99.4) if is_cell else None,  # shown as 99 %: never 100 %
            "Verdict": a.kind.replace("_", " "),
        }
        if any_unsure:
            unsure = len(a.lead.verdict.classes) > 1
            row["One of"] = ", ".join(spec.codes[k] for k in a.lead.verdict.classes) if unsure else ""
        if remarked:
            row["Look yourself"] = _why_look(a)
        for predictor, prediction in list(zip(predictors, a.predictions, strict=True))[1:]:
            named = f"{spec.codes[prediction.predicted]}  {percent(prediction.confidence)}"
            row[short[predictor.run.name]] = named if is_cell else ""
        rows.append(row | {"ms": a.lead.milliseconds})
    return pd.DataFrame(rows)


def _why_look(result: Result) -> str:
    """What makes a person look at the picture itself, in a word or two; '' where nothing does."""
    if not result.lead.is_cell:
        return result.lead.verdict.check.sentence.rstrip(".")
    reasons = {
        "may be abnormal": result.is_urgent,
        "no white cell found": result.no_cell_found,
        "looks immature": result.lead.verdict.immature,
        "odd among its like": result.lead.verdict.is_odd,
        "another stain than the others": result.lead.verdict.is_stranger,
    }
    return ", ".join(reason for reason, applies in reasons.items() if applies)


def _downloads(context: ClassifyContext) -> None:
    """Results to keep, made when the button is pressed."""
    failures, predictors = list(context.session.failures.values()), context.predictors
    session = context.session
    scale = session.batch_scale(predictors[0]) if session.default_mode == "search" else None
    csv, nested = (
        partial(make, context.results, failures, predictors, context.laboratories, scale) for make in (as_csv, as_json)
    )
    with st.container(horizontal=True, width="content", gap="small"):
        for kind, make, mime in (("CSV", csv, "text/csv"), ("JSON", nested, "application/json")):
            st.download_button(
                f"Download results ({kind})",
                data=make,
                file_name=f"hemalens-answers.{kind.lower()}",
                mime=mime,
                key=f"classify_{kind.lower()}",
                icon=":material/download:",
                on_click="ignore",
            )
        keep.render([r.cell for r in context.results], predictors[0], session.side)


def _of_other_domain(context: ClassifyContext) -> list[UploadedCell]:
    """The uploads that show what models of another domain know: by their shape, or by what is seen in them.

    What plainly shows no smear is no other domain's.
    """
    kinds = {r.cell.id: r.lead.verdict.check.kind for r in context.results}
    others = {cell.id for cell in context.session.of_other_domain(context.spec) if kinds.get(cell.id) not in _NO_SMEAR}
    if context.spec.unit == "cell":
        others |= {identity for identity, kind in kinds.items() if kind == "field"}
    return [cell for cell in context.session.cells.values() if cell.id in others and cell.truth is None]


def _other_domain_line(context: ClassifyContext) -> None:
    """Say gently which uploads show what models of another domain know, and offer to look at them with one of these."""
    session, spec, others = context.session, context.spec, _of_other_domain(context)
    if not others:
        return
    other = "field" if spec.unit == "cell" else "cell"
    shapes = sorted({cell.pixels.shape[1::-1] for cell in others})
    shape = " and ".join(f"{width} x {height} px" for width, height in shapes[:2]) + (" ..." if shapes[2:] else "")
    one = len(others) == 1
    what = {"field": ("a whole microscope field", "whole microscope fields"), "cell": ("one cell", "single cells")}
    shows = f"1 picture ({shape}) shows" if one else f"{len(others)} pictures ({shape}) show"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.info(
            f"{shows} {what[other][0 if one else 1]}, as far as one can tell, and the models of {spec.title} know "
            f"{spec.unit}s only: "
            + (
                "ask models of fields, or cut the cells out, one a picture."
                if other == "field"
                else "don't rely on what they say."
            ),
            icon=":material/crop_free:",
            width="stretch",
        )
        for name in [n for n, models in cache.datasets().items() if models and get_dataset(n).unit == other][:2]:
            st.button(
                f"Ask the models of {get_dataset(name).title}",
                key=f"classify_move_{name}",
                icon=":material/move_item:",
                on_click=_move,
                args=(session, others, name),
            )


def _other_laboratory_line(context: ClassifyContext) -> None:
    """Say once where the uploads come from another laboratory than the leading model's, with the way to teach it."""
    lead, laboratory = context.predictors[0], context.laboratories[0]
    uploads = sum(cell.truth is None for cell in context.session.cells.values())
    if not laboratory.is_foreign or 2 * len(_of_other_domain(context)) > uploads:  # fields are no cells to teach with
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.info(lead.laboratory_note(laboratory), icon=":material/travel_explore:", width="stretch")
        lab_link()


def _move(source: UploadSession, cells: Sequence[UploadedCell], dataset: str) -> None:
    source.move_to(cells, session_of(dataset))
    forget_choice()
    switch_to(dataset)


_SEARCH_KEY = "classify_search"
_MOST_OFFERED = 3


def _changed_line(context: ClassifyContext) -> None:
    """How many cells have another class since the framing was changed, and the way back."""
    session, changed, now = context.session, context.changed, context.said
    if not changed or session.busy(context.predictors):
        return
    moves = Counter((was or "no cell", now[identity] or "no cell") for identity, was in changed.items())
    told = ", ".join(f"{number} from {was} to {to}" for (was, to), number in moves.most_common(_MOST_MOVES))
    more = ", ..." if len(moves) > _MOST_MOVES else ""
    verb = "has" if len(changed) == 1 else "have"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.info(
            f"Cut out so, {counted(len(changed), context.spec.unit)} {verb} another class: {told}{more}.",
            icon=":material/published_with_changes:",
            width="stretch",
        )
        st.button(
            "Cut as before",
            key="classify_as_before",
            icon=":material/undo:",
            on_click=session.frame_as_before,
        )


_MOST_MOVES = 4


def _framing_line(context: ClassifyContext) -> None:
    """Say at which scale the visitor's own pictures were framed for the leading model, and let it be changed; what many
    pictures were found to have is remembered, and offered to few of the same shape.

    Nothing is shown where cells are never looked for, or before there are pictures.
    """
    session, predictor, spec = context.session, context.predictors[0], context.spec
    if spec.unit != "cell" or spec.stretched or not session.framing.pictures:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        batch = session.batch_scale(predictor) if session.default_mode == "search" else None
        more = batch.scale.note if batch and batch.scale.source not in ("given", "stated") else None
        st.caption(scale_line(batch, session), width="content", help=more)
        with st.popover("Framing", icon=":material/crop_free:", type="tertiary"):
            _framing_controls(context)
        if batch and not session.busy([predictor]):
            shapes = [picture.shape for picture in session.framing.pictures.values()]
            remember_scale(batch, shapes)
            for scale in offered_scales(batch, shapes)[:_MOST_OFFERED]:
                st.button(
                    offer_text(scale),
                    key=f"classify_as_{scale.side}",
                    icon=":material/history:",
                    on_click=lambda side=scale.side: reframe(context, lambda: session.set_side(side)),
                    help="So the red cells of those pictures, which have the shape of these, were measured.",
                )


def offer_text(scale: RememberedScale) -> str:
    """'Cut as your 200 pictures of 12 November: 244 px'."""
    day = f"{scale.day.day} {scale.day:%B}" + (f" {scale.day.year}" if scale.day.year != date.today().year else "")
    return f"Cut as your {scale.pictures:,} pictures of {day}: {scale.side} px"


def scale_line(scale_of_batch: BatchScale | None, session: UploadSession) -> str:
    """'Your pictures: one red cell spans 67 px, so squares of 180 px were cut round each cell.'"""
    if session.default_mode != "search":
        return "Your pictures: cut by their shape, without looking for the cell."
    if scale_of_batch is None:
        return "Your pictures: the scale is being measured."
    scale, red_cells = scale_of_batch.scale, scale_of_batch.red_cells
    if scale_of_batch.groups:
        return f"Your pictures: {scale.note[0].lower()}{scale.note[1:]}"
    if scale.source == "given":
        whose = "as you set it" if session.side else "as your laboratory has it"
        return f"Your pictures: squares of {scale.side} px were cut round each cell, {whose}."
    if scale.source == "official":
        return "Your pictures have the size of those that the models learnt from, and were framed like them."
    if scale.side is None or scale.source == "stated":
        return f"Your pictures: {scale.note[0].lower()}{scale.note[1:]}"
    what = f"squares of {scale.side} px were cut round each cell"
    if scale.source == "red cells" and red_cells:
        also = ", hard to see, and nuclei have a size too" if scale.used_nuclei else ""
        return f"Your pictures: one red cell spans {red_cells.diameter:.0f} px{also}, so {what}."
    why = "by the size of their nuclei" if scale.source == "nuclei" else "where models agree best"
    return f"Your pictures: red cells can't be measured, so {what} {why}. Look whether the frames seem right."


def _framing_controls(context: ClassifyContext) -> None:
    session, predictor = context.session, context.predictors[0]

    def set_side(side: int | None) -> None:
        reframe(context, lambda: session.set_side(side))

    st.session_state[_SEARCH_KEY] = session.default_mode == "search"
    st.toggle(
        "Look for the cell in each picture",
        key=_SEARCH_KEY,
        on_change=lambda: reframe(
            context, lambda: session.use_mode_for_all("search" if st.session_state[_SEARCH_KEY] else "auto")
        ),
        help="On: the cell is found by the stain of its nucleus, and one square of one size is cut round each, so that "
        "cells keep their sizes. Off: the middle of each picture is cut, by its shape. Pictures of the models' own "
        "laboratory are framed as ever either way.",
    )
    if session.default_mode != "search":
        return
    shapes = [picture.shape for picture in session.framing.pictures.values()]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        side_picker("classify", shapes, session.side or _usual_side(session, predictor), set_side)
    st.button("As measured", key="classify_measured", on_click=set_side, args=(None,), disabled=session.side is None)
    st.caption("Either is used for all your pictures until you clear them or close the page.")


def _usual_side(session: UploadSession, predictor: Predictor) -> float:
    """The side that frames have now."""
    widths = [a.lead.crop.box[2] - a.lead.crop.box[0] for a in session.results([predictor]) if a.cell.truth is None]
    return float(np.median(widths)) if widths else 0.0
