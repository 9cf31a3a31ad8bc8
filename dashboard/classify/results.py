"""Classify, the results: the summary line, how the uploads were framed, pictures of another domain or laboratory,
counts and all answers as tables, files to keep (CSV for a spreadsheet, JSON for a program).
"""

import json
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import DatasetSpec, get_dataset
from core.formatting import capitalized, counted, percent
from core.images.decode import DecodeError
from core.images.framing import BatchScale
from core.inference.predictor import CONFIDENT_PRECISION, Predictor
from core.inference.serialise import Answered, to_csv, to_json
from dashboard import cache
from dashboard.classify import ClassifyContext, forget_choice, lab_link
from dashboard.pickers import short_names, switch_to
from dashboard.session import Result, UploadedCell, UploadSession, failed_files, session_of, stats_line

_KINDS = ("sure", "unsure", "out_of_distribution")
FEWEST_FOR_LABORATORY = 5  # pictures of which most are foreign tell of a laboratory, fewer of themselves


def render(context: ClassifyContext) -> None:
    """The counts with files to keep, and what is to be said of all pictures together."""
    spec, session = context.spec, context.session
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _summary_line(context)
        failed_files(list(session.failures.values()))
        _downloads(context)
    if news := stats_line(session.stats):
        st.caption(news)
    _framing_line(session, context.predictors[0], spec)
    _other_domain_line(session, spec)
    _other_laboratory_line(context.results, spec)


def as_csv(results: Sequence[Result], failures: Sequence[DecodeError], predictors: Sequence[Predictor]) -> bytes:
    """A row for each cell and model, and one for each failed file; UTF-8 with a mark that spreadsheets understand."""
    return to_csv(_answered(results, failures), predictors).encode("utf-8-sig")


def as_json(results: Sequence[Result], failures: Sequence[DecodeError], predictors: Sequence[Predictor]) -> bytes:
    """The same, nested."""
    return json.dumps(to_json(_answered(results, failures), predictors), indent=1, ensure_ascii=False).encode()


def _answered(results: Sequence[Result], failures: Sequence[DecodeError]) -> list[Answered | DecodeError]:
    return [*(Answered(r.predictions, r.cell.source, r.cell.truth) for r in results), *failures]


def _summary_line(context: ClassifyContext) -> None:
    """'37 cells: 33 sure, 3 unsure, 1 foreign', and what that means."""
    results, lead, unit = context.results, context.predictors[0], context.spec.unit
    sure, unsure, foreign = (_count_kind(results, kind) for kind in _KINDS)
    line = f"{counted(len(results), unit)}: {sure} sure, {unsure} unsure"
    if lead.detects_ood:
        line += f", {foreign} foreign"
    if len(context.predictors) > 1:
        line += f", models disagree on {sum(not r.agree for r in results)}"
    if missing := sum(r.no_cell_found for r in results):
        line += f", no white cell found in {missing}"
    st.subheader(line, anchor=False, width="stretch", help=_what_verdicts_mean(lead, unit))


def _count_kind(results: Sequence[Result], kind: str) -> int:
    return sum(a.lead.verdict.kind == kind for a in results)


def _what_verdicts_mean(predictor: Predictor, unit: str) -> str:
    run = predictor.run
    if predictor.name:
        text = (
            f"Sure: as taught by {predictor.name}, the first class gets at least {percent(predictor.threshold)}. All "
            f"this holds for {unit}s of that laboratory; other stains and microscopes can mislead it."
        )
        foreign_text = f"Foreign: the picture lies farther from that laboratory's {unit}s than 99 of 100 of them do."
        return f"{text} {foreign_text}" if predictor.detects_ood else text
    calibrated = f"calibrated on validation {unit}s" if "temperature" in run.metrics else "not calibrated"
    text = (
        f"Sure: {run.title} gives its first class at least {percent(predictor.threshold)}. At or above that, its "
        f"answers on validation {unit}s were right in {CONFIDENT_PRECISION:.1%} of cases. The percentages are "
        f"{calibrated}"
    )
    if (ece := run.metrics["test"].get("ece")) is not None:
        text += f"; on test {unit}s they were off by {100 * ece:.1f} points on average"
    text += f". All this holds for {unit}s like those; other stains and microscopes can mislead the model."
    if predictor.detects_ood:
        return f"{text} Foreign: the picture lies farther from what the model learnt from than 99 of 100 such {unit}s."
    return f"{text} This model can't tell pictures that are foreign to it."


def tables(context: ClassifyContext) -> None:
    """Counts by class beside the list of all answers."""
    spec, results, predictors = context.spec, context.results, context.predictors
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.subheader(f"{capitalized(spec.unit)}s by class", anchor=False)
        rows = []
        for number, code in enumerate(spec.codes):
            mine = [a for a in results if a.lead.predicted == number]
            share = 100 * len(mine) / len(results)
            counts = [_count_kind(mine, kind) for kind in _KINDS]
            rows.append((code, spec.class_names[number], len(mine), *counts, share))
        columns = ["Code", "Class", f"{capitalized(spec.unit)}s", "Sure", "Unsure", "Foreign", "Share"]
        table = pd.DataFrame(rows, columns=columns)
        if not predictors[0].detects_ood:
            table = table.drop(columns="Foreign")
        st.dataframe(
            table,
            hide_index=True,
            height=36 * (len(rows) + 1),
            column_config={
                "Code": st.column_config.TextColumn(pinned=True, width="small"),
                "Share": st.column_config.NumberColumn(
                    format="%.0f %%", help=f"Share of the {spec.unit}s on this page"
                ),
            },
            alt=f"Number of {spec.unit}s by class",
        )
    with right:
        st.subheader("All answers", anchor=False)
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


def _answers_table(context: ClassifyContext) -> pd.DataFrame:
    results, predictors, spec = context.results, context.predictors, context.spec
    short, rows = short_names([p.run for p in predictors]), []
    any_unsure, any_missing = _count_kind(results, "unsure") > 0, any(r.no_cell_found for r in results)
    for a in (result for _, of_group in context.groups for result in of_group):
        row: dict[str, str | float] = {
            "File": a.cell.name,
            "Class": f"{spec.codes[a.lead.predicted]}  {spec.class_names[a.lead.predicted]}",
            "Probability": min(100 * a.lead.confidence, 99.4),  # shown as 99 %: never 100 %
            "Verdict": a.lead.verdict.word,
        }
        if any_unsure:
            unsure = a.lead.verdict.kind == "unsure"
            row["One of"] = ", ".join(spec.codes[k] for k in a.lead.verdict.classes) if unsure else ""
        if any_missing:
            row["Look yourself"] = "no white cell found" if a.no_cell_found else ""
        for predictor, prediction in list(zip(predictors, a.predictions, strict=True))[1:]:
            row[short[predictor.run.name]] = f"{spec.codes[prediction.predicted]}  {percent(prediction.confidence)}"
        rows.append(row | {"ms": a.lead.milliseconds})
    return pd.DataFrame(rows)


def _downloads(context: ClassifyContext) -> None:
    """Results to keep, made when the button is pressed."""
    failures = list(context.session.failures.values())
    with st.container(horizontal=True, width="content", gap="small"):
        for kind, make, mime in (("CSV", as_csv, "text/csv"), ("JSON", as_json, "application/json")):
            st.download_button(
                f"Download results ({kind})",
                data=partial(make, context.results, failures, context.predictors),
                file_name=f"hemalens-answers.{kind.lower()}",
                mime=mime,
                key=f"classify_{kind.lower()}",
                icon=":material/download:",
                on_click="ignore",
            )


def _other_domain_line(session: UploadSession, spec: DatasetSpec) -> None:
    """Say gently which uploads are shaped like another domain's, and offer to look at them with a model of it."""
    others = session.of_other_domain(spec)
    if not others:
        return
    other = "field" if spec.unit == "cell" else "cell"
    shapes = sorted({cell.pixels.shape[1::-1] for cell in others})
    shape = " and ".join(f"{width} x {height} px" for width, height in shapes[:2]) + (" ..." if shapes[2:] else "")
    like = "a whole microscope field" if other == "field" else "the crop of one cell"
    one = len(others) == 1
    these = f"1 picture ({shape}) is" if one else f"{len(others)} pictures ({shape}) are"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.info(
            f"{these} shaped like {like}, and the models of {spec.title} know {spec.unit}s only: don't rely on what "
            f"they say of {'it' if one else 'them'}.",
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


def _other_laboratory_line(results: Sequence[Result], spec: DatasetSpec) -> None:
    """Say once where most uploads are foreign to the leading model, with the way to one that learns from them."""
    mine = [a for a in results if a.cell.truth is None]
    foreign = sum(a.lead.is_ood for a in mine)
    if len(mine) < FEWEST_FOR_LABORATORY or foreign <= len(mine) / 2:
        return
    every = counted(len(mine), "picture")
    which = f"None of your {every} looks" if foreign == len(mine) else f"{foreign} of your {every} do not look"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.info(
            f"{which} like the {spec.unit}s that this model knows: another stain, camera or scale can do that. "
            "Don't rely on their classes.",
            icon=":material/travel_explore:",
            width="stretch",
        )
        lab_link()


def _move(source: UploadSession, cells: Sequence[UploadedCell], dataset: str) -> None:
    source.move_to(cells, session_of(dataset))
    forget_choice()
    switch_to(dataset)


_SEARCH_KEY, _SIDE_KEY = "classify_search", "classify_side"
_LEAST, _MOST = 0.15, 1.5  # of the pictures' shorter side


def _framing_line(session: UploadSession, predictor: Predictor, spec: DatasetSpec) -> None:
    """Say at which scale the visitor's own pictures were framed for ``predictor``, and let it be changed.

    Nothing is shown where cells are never looked for, or before there are pictures.
    """
    if spec.unit != "cell" or spec.stretched or not session.framing.pictures:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        batch = session.batch_scale(predictor) if session.default_mode == "search" else None
        st.caption(scale_line(batch, session), width="content", help=batch.scale.note if batch else None)
        with st.popover("Framing", icon=":material/crop_free:", type="tertiary"):
            _framing_controls(session, predictor)


def scale_line(scale_of_batch: BatchScale | None, session: UploadSession) -> str:
    """'Your pictures: one red cell spans 67 px, so squares of 180 px were cut round each cell.'"""
    if session.default_mode != "search":
        return "Your pictures: cut by their shape, without looking for the cell."
    if scale_of_batch is None:
        return "Your pictures: the scale is being measured."
    scale, red_cells = scale_of_batch.scale, scale_of_batch.red_cells
    if scale.source == "given":
        whose = "as you set it" if session.side else "as your laboratory has it"
        return f"Your pictures: squares of {scale.side} px were cut round each cell, {whose}."
    if scale.source == "official":
        return "Your pictures have the size of those that the models learnt from, and were framed like them."
    if scale.side is None:
        return f"Your pictures: {scale.note[0].lower()}{scale.note[1:]}"
    what = f"squares of {scale.side} px were cut round each cell"
    if scale.source == "red cells" and red_cells:
        also = ", hard to see, and nuclei have a size too" if scale.used_nuclei else ""
        return f"Your pictures: one red cell spans {red_cells.diameter:.0f} px{also}, so {what}."
    why = "by the size of their nuclei" if scale.source == "nuclei" else "where models agree best"
    return f"Your pictures: red cells can't be measured, so {what} {why}. Look whether the frames seem right."


def _framing_controls(session: UploadSession, predictor: Predictor) -> None:
    st.session_state[_SEARCH_KEY] = session.default_mode == "search"
    st.toggle(
        "Look for the cell in each picture",
        key=_SEARCH_KEY,
        on_change=lambda: session.use_mode_for_all("search" if st.session_state[_SEARCH_KEY] else "auto"),
        help="On: the cell is found by the stain of its nucleus, and one square of one size is cut round each, so that "
        "cells keep their sizes. Off: the middle of each picture is cut, by its shape. Pictures of the models' own "
        "laboratory are framed as ever either way.",
    )
    if session.default_mode != "search":
        return
    shorter = float(np.median([min(p.shape) for p in session.framing.pictures.values()]))
    low, high = max(8, round(_LEAST * shorter)), max(16, round(_MOST * shorter))
    st.session_state[_SIDE_KEY] = int(np.clip(session.side or _usual_side(session, predictor), low, high))
    st.slider(
        "Side of the square",
        low,
        high,
        key=_SIDE_KEY,
        format="%d px",
        on_change=lambda: session.set_side(st.session_state[_SIDE_KEY]),
        help="In pixels of your pictures. Right is where a red cell spans three eighths of the square, and a "
        "neutrophil a little more than half. It is used for all your pictures until you close the page.",
    )
    st.button(
        "As measured", key="classify_measured", on_click=session.set_side, args=(None,), disabled=session.side is None
    )


def _usual_side(session: UploadSession, predictor: Predictor) -> float:
    """The side that frames have now."""
    widths = [a.lead.crop.box[2] - a.lead.crop.box[0] for a in session.results([predictor]) if a.cell.truth is None]
    return float(np.median(widths)) if widths else 0.0
