"""An open case: under the review screen the differential with its intervals and flags, readers' agreement, and what
closes a case: reviewed, signed, reported, amended.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from core.cases.agreement import Agreement, against_model, between_readers
from core.cases.case import Case, NewDecision
from core.cases.differential import ClassCount, Differential
from core.cases.documents import DOCUMENTS, document, file_name
from core.cases.limits import LimitsError, current_limits
from core.cases.report import (
    class_names,
    differing_text,
    interval_text,
    limits_note,
    pair_text,
    signature_of,
    utc_text,
)
from core.errors import HemaLensError
from core.formatting import capitalized, counted, markdown_text
from core.inference.specimen import ADULT_BLOOD, SPECIMENS
from dashboard.cases import REFUSED, CaseContext, go_to_cells, show_case
from dashboard.cases.review import screen
from dashboard.differential import apart_line, count_help, flag_lines
from dashboard.page import errors_told

_MANY, _COUNTED = 2000, "cases_counted"  # cells that take a moment to count; the case whose cells were
_TOLD, _WHY = "cases_told", "cases_amend_why"


@st.fragment
def render(context: CaseContext) -> None:
    """The review screen, and what the decisions come to so far; both follow all readers' decisions."""
    waits = len(context.case.cells) > _MANY and st.session_state.get(_COUNTED) != context.case.id
    st.session_state[_COUNTED] = context.case.id
    screen(context, waits)
    with errors_told():
        case = context.store.case(context.case.id)
        if case.state != context.case.state or case.version != context.case.version:
            st.rerun(scope="app")  # the page's heading says it
        if context.blind:
            st.info(
                "The count and the other readers' answers are hidden while you read without seeing them (Second "
                "reader, above).",
                icon=":material/visibility_off:",
            )
            return
        if waits:  # the cells first: the count follows when they are on the screen
            st.caption("Counting ...")
            return
        with st.container(horizontal=True, gap="large"):  # one below the other where both don't fit
            with st.container(width=720):
                _differential_section(case)
            with st.container(width=480):
                _closing_section(context, case)
        _agreement_section(case)
        _unused_section(case)


# ---------------------------------------------------------------- the differential
def _differential_section(case: Case) -> None:
    told = _told((case.id, case.head), case)
    st.header("Differential", anchor=False, help=count_help())
    table = differential_table(told, class_names(case))
    st.dataframe(
        table,
        hide_index=True,
        height=35 * (len(table) + 1) + 3,
        column_config={
            "Code": st.column_config.TextColumn(pinned=True, width="small"),
            "Share": st.column_config.NumberColumn(format="%.1f %%", help="Of the white cells; they add up to 100.0 %"),
            "95 % of the count": st.column_config.TextColumn(
                alignment="right", help="Exact (Clopper-Pearson), as if each cell had been named rightly"
            ),
            "with the model's errors": st.column_config.TextColumn(
                alignment="right",
                help="It holds the model's errors too, as these were measured on cells that it did not learn from; "
                "cells that a person named are certain. Empty where nobody measured them, or nothing is left to err.",
            ),
            "Reviewed": st.column_config.NumberColumn(help="Named or confirmed by a person"),
        },
        alt="The differential: cells, share and intervals of each class of white cells",
    )
    apart_line(told)
    flag_lines(told, SPECIMENS.get(case.specimen, ADULT_BLOOD))
    with suppress(LimitsError):  # which was told above
        if note := limits_note(case, current_limits()):
            st.caption(f":material/rule: {note}")


@st.cache_resource(max_entries=32, show_spinner=False)
def _told(key: tuple[str, str], _case: Case) -> Differential:
    return _case.differential()


def differential_table(told: Differential, names: dict[str, str]) -> pd.DataFrame:
    """A row for each white class; without any white cell there are no shares."""
    rows = [_row(white, names, told.white > 0) for white in told.classes]
    return pd.DataFrame(rows)


def _row(of_class: ClassCount, names: dict[str, str], has_shares: bool) -> dict[str, str | float | None]:
    return {
        "Code": of_class.code,
        "Class": capitalized(names.get(of_class.code, of_class.code)),
        "Cells": of_class.count,
        "Share": of_class.percent if has_shares else None,
        "95 % of the count": interval_text(of_class.exact) if has_shares else "",
        "with the model's errors": interval_text(of_class.with_errors) if has_shares else "",
        "Reviewed": of_class.reviewed,
    }


# ---------------------------------------------------------------- closing a case
def _closing_section(context: CaseContext, case: Case) -> None:
    st.header("Sign and report", anchor=False)
    if told := st.session_state.pop(_TOLD, ""):
        st.success(told, icon=":material/check:")
    if case.state == "signed":
        _signed_section(context, case)
    else:
        _open_section(context, case)
    _files(context, case)
    _more(context, case)


def _open_section(context: CaseContext, case: Case) -> None:
    """What is left to look at, with the way there; the buttons that close the case."""
    stopping = case.unreviewed
    if stopping:
        cells = tuple(reading.cell.number for reading in stopping)
        why = Counter(reading.open_reason for reading in stopping)
        told = ", ".join(f"{count} {reason}" for reason, count in why.most_common())
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"{counted(len(stopping), 'cell')} must be looked at first: {told}.", width="stretch")
            st.button(
                "Show them", key="cases_show", icon=":material/arrow_upward:", on_click=go_to_cells, args=(cells,)
            )
    else:
        st.markdown("Every cell that asked for a look has been looked at.")
    if refused := st.session_state.get(REFUSED):
        st.error(refused, icon=":material/block:")
    with st.container(horizontal=True, gap="small"):
        if case.state == "open":
            st.button(
                "Mark as reviewed",
                key="cases_review",
                icon=":material/done_all:",
                on_click=_try,
                args=(partial(_decide, context, "review"), "Marked as reviewed."),
            )
        else:
            st.button(
                "Reopen",
                key="cases_reopen",
                icon=":material/undo:",
                on_click=_try,
                args=(partial(_decide, context, "reopen"), "Open again."),
            )
        st.button(
            "Sign",
            key="cases_sign",
            icon=":material/lock:",
            type="primary",
            on_click=_try,
            args=(partial(_sign, context, len(case.decisions)), "Signed. The case is read-only now."),
            help=f"As {context.reader.text}. A signed case can't be changed; an amendment opens a new version.",
        )


def _signed_section(context: CaseContext, case: Case) -> None:
    if signature := signature_of(case):
        who = markdown_text(signature.reader.text)
        st.markdown(f"Signed by **{who}** on {utc_text(signature.at)}; read-only.")
    if refused := st.session_state.get(REFUSED):
        st.error(refused, icon=":material/block:")
    with st.popover("Amend", icon=":material/edit:"):
        st.text_input("Why", key=_WHY, max_chars=1000)
        st.button(
            f"Open version {case.version + 1}",
            key="cases_amend",
            on_click=_try,
            args=(partial(_amend, context), "Open again, a version on."),
            help="The signed version and its report stay as they are.",
        )


def _sign(context: CaseContext, seen: int) -> None:
    """Sign what the reader saw: the case as it was after its first ``seen`` decisions."""
    context.store.sign(context.case.id, context.reader, seen=seen)


def _amend(context: CaseContext) -> None:
    context.store.amend(context.case.id, context.reader, st.session_state[_WHY])


def _decide(context: CaseContext, action: str) -> None:
    context.store.decide(context.case.id, context.reader, [NewDecision(action)])  # type: ignore[arg-type]


def _try(does: Callable[[], object], told: str) -> None:
    """Do it; what stops it is told (for a button's callback)."""
    _is_done(does, told)


def _is_done(does: Callable[[], object], told: str) -> bool:
    """Do it; what stops it is told. Whether it was done."""
    st.session_state.pop(REFUSED, None)
    try:
        does()
    except HemaLensError as error:
        st.session_state[REFUSED] = str(error)
        return False
    st.session_state[_TOLD] = told
    return True


def _files(context: CaseContext, case: Case) -> None:
    """What can be kept of the case, each made when its button is pressed."""
    with st.container(horizontal=True, gap="small"):
        for key, kind in DOCUMENTS.items():
            st.download_button(
                kind.title,
                data=partial(_document, context, key),
                file_name=file_name(case, key),
                mime=kind.mime,
                key=f"cases_file_{key}",
                icon=":material/download:",
                on_click="ignore",
            )
    if case.state != "signed":
        st.caption("Until the case is signed, each of these says that it is a draft.")


def _document(context: CaseContext, key: str) -> bytes:
    """A file of the case as it stands, each row of it checked. Raises `CaseAltered`."""
    case = context.store.case(context.case.id, verified=True)
    return document(case, key, context.store.picture_bytes)


def _more(context: CaseContext, case: Case) -> None:
    """What is seldom wanted: whether the record is whole, the case as one file, deleting it."""
    with st.popover("More", icon=":material/more_horiz:"):
        if st.button("Check the record", key="cases_verify", icon=":material/verified_user:"):
            altered = context.store.verify(case.id, files=True)
            if altered:
                st.error(altered.text, icon=":material/error:")
            else:
                st.success(f"All {counted(len(case.decisions), 'decision')} are as they were written down.")
        st.download_button(
            "Export the case (ZIP)",
            data=partial(_exported, context),
            file_name=f"{file_name(case, 'json').removesuffix('.json')}.zip",
            mime="application/zip",
            key="cases_export",
            icon=":material/folder_zip:",
            on_click="ignore",
            help="Everything with its pictures and the whole record; another HemaLens can import it.",
        )
        st.text_input("Note", key="cases_case_note", max_chars=1000, placeholder="Added to the record")
        st.button("Add the note", key="cases_add_note", on_click=_note, args=(context,))
        what = "signed case, its report's source," if case.state == "signed" else "case"
        sure = st.checkbox(f"Delete this {what} with its pictures", key=f"cases_delete_sure_{case.state}")
        st.button(
            "Delete for good",
            key="cases_delete",
            icon=":material/delete:",
            disabled=not sure,
            on_click=_delete,
            args=(context, case.state == "signed"),
        )


def _exported(context: CaseContext) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return context.store.export(context.case.id, Path(folder) / "case.zip").read_bytes()


def _note(context: CaseContext) -> None:
    if text := st.session_state.get("cases_case_note", "").strip():
        note = NewDecision("note", text=text)
        decide = partial(context.store.decide, context.case.id, context.reader, [note])
        if _is_done(decide, "The note is written."):
            st.session_state["cases_case_note"] = ""


def _delete(context: CaseContext, signed: bool) -> None:
    delete = partial(context.store.delete, context.case.id, context.reader, even_if_signed=signed)
    if _is_done(delete, "Deleted."):
        show_case(None)


# ---------------------------------------------------------------- agreement, files that are in no count
def _agreement_section(case: Case) -> None:
    found = _agreements((case.id, case.head), case)
    if not found:
        return
    with st.expander("Agreement", icon=":material/groups:"):
        st.dataframe(
            agreement_table(found),
            hide_index=True,
            column_config={"Alike": st.column_config.NumberColumn(format="%.1f %%")},
            alt="Agreement between readers, and of readers with the model",
        )
        for told in found:
            notes = [f"Differing: {differing}." if (differing := differing_text(told)) else "", told.caution]
            if any(notes):
                st.caption(f"{markdown_text(pair_text(told), None)}. {' '.join(filter(None, notes))}")
        st.caption("Readers look at doubtful cells first, so this is no estimate of how often the model is right.")


@st.cache_resource(max_entries=32, show_spinner=False)
def _agreements(key: tuple[str, str], _case: Case) -> tuple[Agreement, ...]:
    with_model = against_model(_case)
    return (*between_readers(_case), *([with_model] if with_model else []))


def agreement_table(found: Sequence[Agreement]) -> pd.DataFrame:
    """A row for each two who named the same cells."""
    return pd.DataFrame(
        {
            "Who": pair_text(told),
            "Cells": told.cells,
            "Alike": 100 * told.share,
            "95 % interval": interval_text((100 * told.interval[0], 100 * told.interval[1])),
            "Kappa": "" if told.kappa is None else f"{told.kappa:.2f}",
            "its interval": f"{told.kappa_interval[0]:.2f} to {told.kappa_interval[1]:.2f}"
            if told.kappa_interval
            else "",
        }
        for told in found
    )


def _unused_section(case: Case) -> None:
    if not case.unused:
        return
    with st.expander(f"{counted(len(case.unused), 'file')} not used", icon=":material/draft:"):
        table = [{"File": f.name, "Why": f.reason, "What to do": f.way_out} for f in case.unused]
        st.dataframe(pd.DataFrame(table), hide_index=True, alt="Files that were not used")
