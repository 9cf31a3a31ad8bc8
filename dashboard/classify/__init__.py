"""What every part of Classify is given: the pictures with the answers of the chosen models (or of what a laboratory
taught), in the order in which they are looked at, and which one is shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.datasets import DatasetSpec, get_dataset
from core.formatting import counted
from core.images.files import is_system_file
from core.inference.laboratory import Laboratory
from core.inference.predictor import Predictor
from core.inference.scope import on_trusted_split
from core.inference.specimen import Specimen
from core.runs import Run, preferred_run
from dashboard import cache
from dashboard.page import ask_first, is_page, link, mark_unsaved
from dashboard.pickers import (
    answered_by_line,
    lab_picker,
    of_same_classes,
    problem_lines,
    run_picker,
    specimen_line,
    specimen_picker,
)
from dashboard.samples import Sample, sample_row, samples
from dashboard.session import Result, UploadSession, failed_table, session_of

CHOSEN = "classify_cell"
MOST_MODELS = 4
MOST_EXPLAINED = 3  # models that Explain shows beside each other
PANE = 616  # a gallery of six cells a row; two panes stand side by side at 1440 px, one below the other on less
_DROP, _BY_HAND = "classify_drop", "classify_by_hand"
# By what one picture shows: what is asked for, and what suits best.
_ASKED = {
    "cell": (
        "single cells",
        "Best: crops of 360 x 363 px as from a CellaVision DM96, or tight crops of one cell of about 200 px.",
    ),
    "field": ("whole microscope fields", "Best: the field as the microscope's camera gives it, not cut."),
}
GroupKey = int | Literal["alarm", "check", "not_a_cell"]


@dataclass(frozen=True)
class ClassifyContext:
    """The ``results`` of the ``predictors`` (the first leads) so far; ``spec`` has the classes that these know."""

    spec: DatasetSpec
    session: UploadSession
    predictors: tuple[Predictor, ...]
    results: tuple[Result, ...]

    @cached_property
    def laboratories(self) -> tuple[Laboratory, ...]:
        """Where each of the predictors takes the uploads to come from."""
        return tuple(self.session.laboratory(predictor) for predictor in self.predictors)

    @property
    def specimen_line(self) -> str:
        """What the leading model's answers are weighed by, '' where by nothing."""
        lead = self.predictors[0]
        return specimen_line(lead.specimen_at(self.laboratories[0]), lead.specimen_is_said)

    @cached_property
    def groups(self) -> list[tuple[GroupKey, list[Result]]]:
        """The results as `grouped` has them."""
        return grouped(self.results, by_class=self.laboratories[0].is_foreign)

    @cached_property
    def order(self) -> list[str]:
        """Ids of the cells in the order of the groups."""
        return [result.cell.id for _, results in self.groups for result in results]

    @cached_property
    def said(self) -> dict[str, str]:
        """By id of the cell, the code of the class that the leading model names; '' where it sees no cell."""
        return {r.cell.id: self.spec.codes[r.lead.predicted] if r.lead.is_cell else "" for r in self.results}

    @cached_property
    def changed(self) -> dict[str, str]:
        """As ``said``, what was named before the framing was changed, of the cells that are named otherwise now."""
        before = self.session.before.said if self.session.before else {}
        return {identity: before[identity] for identity, now in self.said.items() if before.get(identity, now) != now}

    @property
    def shown(self) -> Result:
        """The one that is shown in detail."""
        return next(result for result in self.results if result.cell.id == st.session_state[CHOSEN])


def grouped(results: Sequence[Result], by_class: bool = False) -> list[tuple[GroupKey, list[Result]]]:
    """First 'alarm' (may be abnormal) and 'check', the least sure at the top, then classes by index, 'not_a_cell'.

    ``by_class``: those to check stand first in their class instead, as where most of another laboratory's would be.
    """
    ranked = sorted(
        results,
        key=lambda r: (
            not r.to_check,
            not r.lead.verdict.must_be_seen,
            r.agree,
            not r.no_cell_found,
            not r.lead.verdict.is_odd,
            r.lead.confidence,
        ),
    )
    cells = [r for r in ranked if r.lead.is_cell]
    urgent = sorted((r for r in cells if r.is_urgent), key=lambda r: -(r.lead.verdict.alarm.score or 0))
    cells = [r for r in cells if not r.is_urgent]
    check = [] if by_class else [r for r in cells if r.to_check]
    groups: list[tuple[GroupKey, list[Result]]] = [("alarm", urgent), ("check", check)]
    for label in sorted({r.lead.predicted for r in cells}):
        groups.append((label, [r for r in cells if r.lead.predicted == label and (by_class or not r.to_check)]))
    groups.append(("not_a_cell", [r for r in ranked if not r.lead.is_cell]))
    return [(group, of_group) for group, of_group in groups if of_group]


def classify_context(spec: DatasetSpec) -> ClassifyContext | None:
    """Take what is dropped and have it answered for a while; None where no model can answer, which it says."""
    session, (asked, best) = session_of(spec.name), _ASKED[spec.unit]
    st.session_state.setdefault(_DROP, 0)
    installed = cache.runs(spec.name)
    if not installed:
        st.info(
            f"No model for {spec.title} is installed yet. Train one in the terminal: "
            f"`python -m core train --dataset {spec.name}`. Then reload this page.",
            icon=":material/model_training:",
        )
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        drop_zone = st.container(width="stretch")
        folder_place = st.popover("Folder", icon=":material/folder_open:", help="Choose a whole folder of pictures")
        specimen = specimen_picker(spec)
        with st.popover("Models", icon=":material/tune:"):
            taught, runs = _who_answers(spec.name, installed, specimen)
        if session.cells or session.failures or session.queue:
            _clear_button(session)
    number = st.session_state[_DROP]
    files = drop_zone.file_uploader(
        f"Drop pictures of {asked}, one or hundreds at once, or a whole folder: PNG, JPEG, BMP, TIFF or WebP",
        accept_multiple_files=True,
        key=f"{_DROP}_{number}",
        label_visibility="collapsed" if session.cells or session.queue else "visible",
        help=best,
    )
    files += folder_place.file_uploader(
        "A folder with pictures, and all folders in it",
        accept_multiple_files="directory",
        key=f"{_DROP}_folder_{number}",
    )
    answered_by_line(taught, runs)
    if files:
        session.enqueue([(file.name, file.getvalue()) for file in files if not is_system_file(file.name)])
        st.session_state[_DROP] += 1  # a fresh drop zone: the files are in the session now
        forget_choice()
        st.rerun()
    predictors = (taught,) if taught else tuple(Predictor(run, specimen=specimen) for run in runs)
    for predictor in predictors:  # opened before the first cell comes
        predictor.load()
    problem_lines(predictors)
    spec = predictors[0].spec
    # Both places stay where they are, filled or not, so that what stands below is replaced and not mixed.
    working, offered = st.empty(), st.empty()
    if session.busy(predictors):
        _work(session, predictors, spec, working)
    mark_unsaved("pictures on Classify", any(cell.truth is None for cell in session.cells.values()))
    context = ClassifyContext(spec, session, predictors, tuple(session.results(predictors)))
    if context.results:
        choose_first_cell(context.order)
    elif not session.busy(predictors):
        with offered.container():
            _offer_samples(session, spec, runs[0].size)
    return context


def _who_answers(
    dataset: str, installed: Sequence[Run], specimen: Specimen | None
) -> tuple[Predictor | None, list[Run]]:
    """What the chosen laboratory taught, or None, and the runs that answer, at least one."""
    taught = lab_picker(dataset, specimen)
    runs = run_picker(
        "Models that answer (the first leads)",
        installed,
        key="model",
        multiple=True,
        max_selections=MOST_MODELS,
        help="Several models answer side by side; where they disagree, look yourself.",
    )
    if not runs and (best := preferred_run(on_trusted_split(installed))):
        runs = [best]
        st.caption(f"None chosen: {runs[0].title} answers.")
    return taught, [taught.run] if taught else of_same_classes(runs)


def _work(session: UploadSession, predictors: Sequence[Predictor], spec: DatasetSpec, place: DeltaGenerator) -> None:
    """Answer for a while, under a bar that can be stopped."""
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, text="Reading")
        st.button("Stop and keep what is done", key="classify_stop", on_click=session.stop)
    for step in session.work(predictors, spec):
        bar.progress(step.done / step.total, text=step.message)
    if session.stats.total == 1 and session.stats.last_id:
        choose_cell(session.stats.last_id)
    if not session.busy(predictors):
        place.empty()


def _clear_button(session: UploadSession) -> None:
    number = len(session.cells) + len(session.queue)
    ask_first(
        "Clear all",
        f"This page forgets {counted(number, 'picture')} and all that was answered. Download the results first if you "
        "want to keep them.",
        "Yes, clear all",
        key="classify_clear",
        icon=":material/delete_sweep:",
        on_yes=session.clear,
    )


def _offer_samples(session: UploadSession, spec: DatasetSpec, size: int) -> None:
    """Cells to try it with, below the files that could not be used."""
    if session.failures:
        st.warning("None of the files could be used.", icon=":material/warning:")
        failed_table(list(session.failures.values()))
    names, take = get_dataset(spec.name).names, partial(take_samples, session)
    sample_row(samples(spec.name, size), names, key="classify_sample", on_pick=take, unit=spec.unit)


def choose_cell(identity: str) -> None:
    """Show this cell in detail, whatever comes in later."""
    st.session_state[CHOSEN] = identity
    st.session_state[_BY_HAND] = True


def forget_choice() -> None:
    """Let the first cell of the gallery be shown again."""
    st.session_state.pop(_BY_HAND, None)


def reframe(context: ClassifyContext, change: Callable[[], None]) -> None:
    """Have ``change`` frame the pictures otherwise: the cell that is shown stays, and what changes will be told."""
    context.session.remember_framing(context.said)
    if st.session_state.get(CHOSEN) in context.said:
        choose_cell(st.session_state[CHOSEN])
    change()


def take_samples(session: UploadSession, cells: Sequence[Sample]) -> None:
    """Add sample cells; one alone is shown at once."""
    taken = [session.add_cell(cell.name, cell.pixels, cell.truth, cell.source) for cell in cells]
    if len(taken) == 1:
        choose_cell(taken[0])
    else:
        forget_choice()


def choose_first_cell(order: Sequence[str]) -> None:
    """Keep a cell that was chosen by hand while it is there, else show the first."""
    if not st.session_state.get(_BY_HAND) or st.session_state.get(CHOSEN) not in order:
        st.session_state[CHOSEN] = order[0]


def lab_link() -> None:
    """The way to the page where HemaLens learns a laboratory's own cells, where that page is installed."""
    if is_page("lab"):
        link("lab", "Adapt HemaLens to your laboratory", icon=":material/labs:", width="content")
