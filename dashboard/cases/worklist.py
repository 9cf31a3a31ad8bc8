"""Cases, the list: which there are, how far each is, and the way to a new one."""

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from core.cases.case import Reader
from core.cases.drop import DroppedFile
from core.cases.intake import take_in
from core.cases.store import CaseStore, CaseSummary
from core.datasets import get_dataset
from core.errors import HemaLensError
from core.formatting import capitalized, counted, listed, markdown_text
from core.inference.predictor import Predictor
from core.progress import Progress
from core.runs import Run
from dashboard import cache
from dashboard.cases import show_case
from dashboard.cases.reader import reader_picker
from dashboard.cases.review import STATES
from dashboard.page import ProgressBar, header
from dashboard.pickers import lab_picker, page_of, problem_lines, run_picker, specimen_picker
from dashboard.url_state import DEFAULT_DATASET

_OPEN, _DROPS, _FOLDER = "cases_new", "cases_drops", "cases_folder"
_A_PAGE = 25
_COLUMNS = {"Sample": 3, "Slides": 2, "Cells": 1.6, "State": 2, "To look at": 2, "Reader": 2, "Changed (UTC)": 2}
_MOST_MEGABYTES = 1024
_NOT_VERIFIED = Reader("").text  # how the name of a reader who only typed it ends


def render(store: CaseStore) -> None:
    """The list of cases with the form for a new one."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container():
            header("Cases", "Take in the pictures of a slide, review them by keyboard, sign the differential.")
        reader = reader_picker()
    runs = cache.runs(DEFAULT_DATASET)
    if not runs:
        st.info(
            "No model is installed that can read new cases. Train one in the terminal: `python -m core train`. Then "
            "reload this page.",
            icon=":material/model_training:",
        )
    summaries = store.list()
    st.session_state.setdefault(_OPEN, False)
    if st.session_state[_OPEN] and runs:
        _new_case(store, reader, runs, summaries)
    else:
        with st.container(horizontal=True, gap="small"):
            if runs:
                st.button("New case", key="cases_new_button", icon=":material/add:", type="primary", on_click=_toggle)
            _import(store, reader)
    if summaries:
        _list(summaries)
    elif not st.session_state[_OPEN]:
        st.caption(
            "Your cases will stand here: sample, slides, cells, state, who read them last. They stay on this computer, "
            f"in {store.location}."
        )


def _import(store: CaseStore, reader: Reader | None) -> None:
    """Take over a case that was exported."""
    with st.popover(
        "Import", icon=":material/unarchive:", type="tertiary", key="cases_import", on_change="rerun"
    ) as asked:
        if not asked.open:
            return
        if reader is None:
            st.caption("Type your name first: it stands in the record.")
            return
        as_copy = st.checkbox("As a copy", help="Under an id of its own, beside the same case here.")
        file = st.file_uploader("An exported case (ZIP)", "zip", max_upload_size=_MOST_MEGABYTES)
        if file is None:
            return
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "case.zip"
                path.write_bytes(file.getbuffer())
                case_id = store.load(path, reader, as_copy=as_copy)
        except HemaLensError as error:
            st.error(str(error), icon=":material/error:")
            return
        show_case(case_id)
        st.rerun()


def _toggle() -> None:
    st.session_state[_OPEN] = not st.session_state[_OPEN]


def _new_case(store: CaseStore, reader: Reader | None, runs: Sequence[Run], known: Sequence[CaseSummary]) -> None:
    """The form: whose cells these are, the drop zone, who answers; then reading them, which can be stopped."""
    spec = get_dataset(DEFAULT_DATASET)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            sample = st.text_input(
                "Sample",
                value=suggested_sample(known),
                key=f"cases_sample_{st.session_state.setdefault(_DROPS, 0)}",
                max_chars=80,
                width=220,
                help="An id, not a name: nothing that says who the patient is.",
            )
            slide = st.text_input("Slide", key="cases_slide", max_chars=80, width=160, placeholder="optional")
            note = st.text_input("Note", key="cases_note", max_chars=1000, placeholder="optional")
            with st.popover("Model and specimen", icon=":material/tune:"):
                specimen = specimen_picker(spec)
                taught = lab_picker(spec.name, specimen)
                chosen = run_picker("Model that answers", runs, key="model")
        folder = st.session_state.setdefault(_FOLDER, False)
        files = st.file_uploader(
            "Drop pictures of cells or whole fields, a folder whole, or a ZIP: PNG, JPEG, BMP, TIFF, WebP",
            accept_multiple_files="directory" if folder else True,
            key=f"cases_drop_{st.session_state[_DROPS]}_{folder}",
            max_upload_size=_MOST_MEGABYTES,
            help="One file or thousands. To choose a folder instead of dropping it, use the switch below.",
        )
        st.toggle("Choose a whole folder", key=_FOLDER)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            start = st.button(
                f"Read {counted(len(files), 'file')}" if files else "Read the files",
                key="cases_read",
                type="primary",
                icon=":material/play_arrow:",
                disabled=not (files and sample.strip() and reader),
            )
            st.button("Cancel", key="cases_cancel", type="tertiary", on_click=_toggle)
            if not reader:
                st.caption("Type your name above first: it stands in the record.")
    predictor = taught or Predictor(chosen[0], specimen=specimen)
    problem_lines([predictor])
    if start and files and reader:
        _read(
            store, predictor, [DroppedFile(file.name, file.getvalue()) for file in files], sample, slide, note, reader
        )


def _read(
    store: CaseStore,
    predictor: Predictor,
    files: Sequence[DroppedFile],
    sample: str,
    slide: str,
    note: str,
    reader: Reader,
) -> None:
    """Take the files in, under a bar; the case is opened when it is there, whole or not at all."""
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.container()
        st.button(
            "Stop", key="cases_stop", icon=":material/stop:", help="Nothing is kept; your files stay in the form."
        )
    try:
        with place, ProgressBar("Reading the files", progress_line) as bar:
            case_id = take_in(store, predictor, files, sample=sample, slide=slide, note=note, reader=reader, report=bar)
    except HemaLensError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state[_OPEN] = False
    st.session_state[_DROPS] += 1
    show_case(case_id)
    st.rerun()


def progress_line(step: Progress) -> str:
    """'Finding the cells (40 %)'."""
    return f"{capitalized(step.message or 'reading')} ({round(100 * step.done / max(1, step.total))} %)"


def suggested_sample(known: Sequence[CaseSummary]) -> str:
    """An id that no case has: today and a number."""
    today, there = f"{datetime.now(UTC):%Y-%m-%d}", {summary.sample for summary in known}
    return next(name for number in range(1, len(there) + 2) if (name := f"{today}-{number}") not in there)


def _list(summaries: Sequence[CaseSummary]) -> None:
    """A row a case, the one changed last first."""
    place, shown = page_of("cases", len(summaries), _A_PAGE)
    with place:
        for column, title in zip(st.columns(list(_COLUMNS.values()), gap="small"), _COLUMNS, strict=True):
            column.caption(title)
        for summary in summaries[shown]:
            _row(summary)


def _row(summary: CaseSummary) -> None:
    columns = st.columns(list(_COLUMNS.values()), gap="small", vertical_alignment="center")
    columns[0].button(
        markdown_text(summary.sample),
        key=f"cases_open_{summary.id}",
        icon=":material/folder_open:",
        on_click=show_case,
        args=(summary.id,),
        width="stretch",
        help=f"Open{f': {markdown_text(summary.note)}' if summary.note else ''}",
    )
    version = f" :gray-badge[v{summary.version}]" if summary.version > 1 else ""
    open_cells = []
    if summary.open_alarms:
        open_cells.append(f":red[{counted(summary.open_alarms, 'alarm')}]")
    if summary.unidentified:
        open_cells.append(f":orange[{counted(summary.unidentified, 'doubt')}]")
    columns[1].markdown(markdown_text(listed(summary.slides)) if summary.slides else "–")
    columns[2].markdown(f"{summary.cells:,}")
    columns[3].markdown(STATES[summary.state] + version)
    columns[4].markdown(", ".join(open_cells) or "–")
    columns[5].markdown(markdown_text(summary.reader.removesuffix(_NOT_VERIFIED)))
    columns[6].markdown(summary.changed[:16].replace("T", " "))
