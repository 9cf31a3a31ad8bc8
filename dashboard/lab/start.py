"""Your lab, around the steps: the drop zone, cells to try it with, files that could not be used, and the way from step
to step. A step is a view of this room.
"""

from itertools import islice

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec
from core.datasets.synthetic import SPEC as DRAWN
from core.datasets.synthetic import stain_shift_cells, stain_shift_labels
from core.formatting import counted, markdown_text
from core.inference.scope import spec_for
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN, SPECIMENS, Specimen
from core.progress import Progress
from core.runs import Run
from dashboard import url_state
from dashboard.cache import base_run
from dashboard.lab import CELLS_ASKED, LabContext, Laboratory
from dashboard.page import ProgressBar, ask_first, find_views, mark_unsaved
from dashboard.pickers import SPECIMEN_KEY, short_names
from dashboard.session import failed_files, failed_table
from dashboard.style import option_label

_LABS, _DROP, _STEP, _SPECIMEN = "labs", "lab_drop", "lab_step", "lab_specimen"
_LINKED = "_lab_specimen_linked"
SAMPLES = 100
_NAMED = 6  # pictures that are no cells, the others are counted


def lab_context(spec: DatasetSpec) -> LabContext | None:
    """The visitor's laboratory with what is dropped taken in; None where no model can be taught, and it says so."""
    run = base_run(spec.name)
    if run is None or spec.unit != "cell" or spec.stretched:
        why = "no network is installed that can learn"
        if spec.unit != "cell":
            why = "pictures of whole fields can't be taught so"
        st.info(
            f"This page teaches networks that name single cells; for {spec.title} {why}. Choose another data set "
            "above.",
            icon=":material/science:",
        )
        return None
    spec = spec_for(run)
    lab: Laboratory = st.session_state.setdefault(_LABS, {}).setdefault(spec.name, Laboratory())
    mark_unsaved("a laboratory being taught", bool(lab.session.cells) and lab.saved_profile is None)
    _specimen(lab, run)
    if not lab.session.cells and not lab.session.queue:
        _drop_zone(lab, spec)
    _read_files(lab, spec)
    if not lab.session.cells:
        if lab.session.failures:
            st.warning("None of the files could be used.", icon=":material/warning:")
            failed_table(list(lab.session.failures.values()))
        _sample_button(lab, spec)
    return LabContext(lab, run, spec)


def _specimen(lab: Laboratory, run: Run) -> None:
    """What the cells are of; nothing is asked, nor weighed, where the model names other classes than blood has."""
    if not set(run.codes) <= set(ADULT_BLOOD.shares):
        lab.specimen = ANY_SPECIMEN
        return
    asked = url_state.parameter(SPECIMEN_KEY)
    if asked != st.session_state.get(_LINKED):  # a link decides once, then the visitor
        st.session_state[_LINKED] = asked
        if asked in SPECIMENS:
            lab.set_specimen(run, SPECIMENS[asked])
        elif asked:  # the nearest word would be another specimen
            st.info(f"This link asks for a specimen that isn't here: '{markdown_text(asked)}'.", icon=":material/link:")
    st.session_state[_SPECIMEN] = lab.specimen.key
    st.selectbox(
        "What your cells are of",
        list(SPECIMENS),
        format_func=lambda key: _specimen_title(SPECIMENS[key]),
        key=_SPECIMEN,
        width=380,
        on_change=lambda: lab.set_specimen(run, SPECIMENS[st.session_state[_SPECIMEN]]),
        help="Answers are weighed by what such a specimen usually holds. Where you chose or sorted the cells, nothing "
        "is usual.",
    )


def _specimen_title(specimen: Specimen) -> str:
    title = specimen.title[0].upper() + specimen.title[1:]
    return title if specimen.shares else f"{title} (sorted cells, teaching sets)"


def show_step(context: LabContext) -> None:
    """How many cells there are, the choice of a step, and the step that was chosen."""
    lab, run = context.lab, context.run
    if lab.needs_reading(run):
        with ProgressBar(f"Looking for the cell in each of {len(lab.session.cells)} pictures", _reading_line) as bar:
            lab.read_pictures(run, bar)
    if lab.no_cells:
        _no_cells(lab)
    if not lab.can_learn:
        st.error(
            "None of these pictures is a single cell, so there is nothing to teach. Cut each cell out of its field, "
            "one a picture.",
            icon=":material/error:",
        )
        _forget_button(context.spec)
        return
    _state_line(lab, context.spec, short_names([run])[run.name])
    steps = {step.key: step for step in find_views("dashboard.lab")}
    names = list(steps)
    st.session_state[_STEP] = lab.step
    st.segmented_control(
        "Step",
        names,
        format_func=lambda key: option_label(f"{names.index(key) + 1}  {steps[key].title}"),
        key=_STEP,
        required=True,
        on_change=lambda: _go_to(lab, st.session_state[_STEP]),
        label_visibility="collapsed",
    )
    steps[lab.step].render(context)
    if lab.step not in ("teach", "use"):  # no button after the last, nor while questions wait
        following = names[names.index(lab.step) + 1]
        st.button(
            f"Next: {steps[following].title.lower()}",
            key="lab_next",
            type="primary",
            icon=":material/arrow_forward:",
            on_click=_go_to,
            args=(lab, following),
        )


def _reading_line(step: Progress) -> str:
    return f"{step.message}: {step.done} of {step.total}".capitalize()


def _go_to(lab: Laboratory, step: str) -> None:
    lab.step = step


def _drop_zone(lab: Laboratory, spec: DatasetSpec) -> None:
    """Where pictures, tables and folders are dropped; what was dropped is taken at once."""
    number = st.session_state.setdefault(_DROP, 0)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        files = st.file_uploader(
            "Drop pictures of single cells, all from one microscope, or a whole folder: PNG, JPEG, BMP, TIFF or WebP",
            accept_multiple_files=True,
            key=f"lab_files_{number}",
            help="One scale for all of them. A table (CSV with the columns file and label, and slide where you know "
            "it) may be dropped with them: its labels count as answers.",
        )
        with st.popover("From class folders", icon=":material/folder_open:"):
            more = st.file_uploader(
                "A folder with one folder a class",
                accept_multiple_files="directory",
                key=f"lab_folder_{number}",
                help="Folders that are called like classes (code, name or usual synonym) label what lies in them; in "
                "any other folder pictures have no label.",
            )
    if dropped := [*files, *more]:
        lab.take([(file.name, file.getvalue()) for file in dropped], spec)
        st.session_state[_DROP] += 1  # a fresh drop zone: the files are with the laboratory now
        st.rerun()


def _read_files(lab: Laboratory, spec: DatasetSpec) -> None:
    """Read what waits, under a bar that can be stopped; reruns until all is read."""
    if not lab.session.queue:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, text="Reading")
        st.button("Stop and go on with these", key="lab_stop", on_click=lab.session.stop)
    for step in lab.session.work([], spec):
        bar.progress(step.done / step.total, text=step.message)
    st.rerun()


def _sample_button(lab: Laboratory, spec: DatasetSpec) -> None:
    """A hundred drawn cells in a foreign stain, where the classes are those that can be drawn."""
    if not set(spec.codes) <= set(DRAWN.codes):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for image in _few_drawn():
            st.image(image, width=72, alt="a drawn cell in a foreign stain")
        st.button(
            f"Try it with {SAMPLES} drawn cells",
            key="lab_samples",
            icon=":material/draw:",
            on_click=_take_samples,
            args=(lab, spec),
            help="Drawn, not real: cells as a laboratory with another stain, lamp and camera might show them.",
        )


def _take_samples(lab: Laboratory, spec: DatasetSpec) -> None:
    lab.specimen = ANY_SPECIMEN  # as many of each class as of any other
    images, labels = _drawn()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        lab.session.add_cell(f"drawn-{number:03d}", image, DRAWN.codes[label], "drawn, not real")


@st.cache_resource(max_entries=1, show_spinner="Drawing cells")
def _drawn() -> tuple[np.ndarray, np.ndarray]:
    labels = stain_shift_labels(SAMPLES)
    images = stain_shift_cells(labels)
    images.setflags(write=False)
    return images, labels


@st.cache_resource(max_entries=1, show_spinner=False)
def _few_drawn() -> np.ndarray:
    return stain_shift_cells(np.array([6, 4, 1, 5, 0, 3]), 96)


def _no_cells(lab: Laboratory) -> None:
    """Which pictures are left out, and what they show."""
    number, of = len(lab.no_cells), len(lab.session.cells)
    verb = "is no cell" if number == 1 else "are no cells"
    st.warning(f"{number} of {counted(of, 'picture')} {verb}: left out.", icon=":material/warning:")
    lines = [f"**{markdown_text(name)}**: {sentence}" for name, sentence in islice(lab.no_cells.items(), _NAMED)]
    if number > _NAMED:
        lines.append(f"and {number - _NAMED} more")
    st.caption("  \n".join(lines))


def _forget_button(spec: DatasetSpec) -> None:
    ask_first(
        "Begin anew",
        "This page forgets these pictures and your answers. Laboratories that you kept stay.",
        "Yes, begin anew",
        key="lab_forget",
        icon=":material/delete_sweep:",
        on_yes=lambda: st.session_state[_LABS].pop(spec.name, None),
    )


def _state_line(lab: Laboratory, spec: DatasetSpec, answers_by: str) -> None:
    """How many cells there are, who looks at them, what could not be used; more can be added, or all forgotten."""
    cells = lab.learner.cells
    text = f"**{counted(len(cells), 'cell')}**, read by {answers_by}."
    if cells.missing:
        text += f" In {counted(len(cells.missing), 'picture')} no white cell was found: the middle was taken."
    if len(cells) < CELLS_ASKED:
        text += f" With {CELLS_ASKED} or more it learns better."
    if labelled_before := sum(lab.ids[cell] not in lab.answered_by_hand for cell in lab.answers):
        text += f" {labelled_before} are labelled already."
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(text, width="stretch")
        failed_files(list(lab.session.failures.values()))
        with st.popover("Add pictures", icon=":material/add_photo_alternate:", type="tertiary"):
            _drop_zone(lab, spec)
        _forget_button(spec)
    notes, drop = [*lab.notes, *lab.matches.notes], lab.session.stats
    if drop.duplicates:
        notes.append(f"{counted(drop.duplicates, 'picture')} {'was' if drop.duplicates == 1 else 'were'} here already.")
    if drop.unread:
        notes.append(f"Stopped: {counted(drop.unread, 'file')} not read.")
    if notes:
        st.caption(markdown_text(" ".join(notes), None))
