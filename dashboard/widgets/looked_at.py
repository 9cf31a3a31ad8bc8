"""The cell that the Explain page looks at: from a link, another page, a file, or the samples."""

import re
from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec, DatasetUnavailable, get_dataset
from core.errors import HemaLensError
from core.serving.decode import decode
from core.serving.domain import stranger
from core.serving.framing import Place
from core.serving.preprocess import Framed
from dashboard import catalogue
from dashboard.state import handed_image, parameter, prepare, put, share
from dashboard.widgets.answers import tray_of
from dashboard.widgets.pictures import enlarge
from dashboard.widgets.samples import DRAWN, Sample, samples

PER_CLASS = 3
SIDE = 384
_OWN, _SEEN, _TROUBLE = "_explain_own", "_explain_seen", "_explain_trouble"


@dataclass(frozen=True)
class Cell:
    """The cell looked at: ``pixels`` uint8 (H, W, 3) as it came, ``truth`` code where known, ``source`` in words.

    ``linked`` is True where a link can carry it (a cell of the test split or a drawn one). ``unit`` is what the
    pictures of its data set show: a cell, or a field with several. ``place`` is where models look in it.
    """

    name: str
    pixels: np.ndarray
    truth: str | None
    source: str
    linked: bool
    unit: str = "cell"
    place: Place = Place()

    def frame(self, size: int, spec: DatasetSpec) -> Framed:
        """What models of ``spec`` at ``size`` px see of it."""
        return self.place.frame(self.pixels, size, spec)

    @property
    def drawn(self) -> bool:
        return self.source == DRAWN


def current_cell(spec: DatasetSpec, size: int) -> tuple[Cell | None, str | None]:
    """The cell to look at (None where there is none at all), and a sentence where the link asks for one not here.

    A picture that another page has just handed over comes first, then the link's, then the last one looked
    at, then the first sample.
    """
    known = {s.name: s for s in samples(spec.name, size, PER_CLASS)}
    handed = handed_image()
    if handed is not None and st.session_state.get(_SEEN) is not handed:
        st.session_state[_SEEN] = handed
        if handed.name in known:
            _take_sample(handed.name, spec.name)
        else:
            place = handed.place or Place()
            cell = Cell(handed.name, handed.pixels, handed.truth, "from Classify", False, spec.unit, place)
            _take_own(cell, spec.name)
    elif parameter("cell"):
        _own().pop(spec.name, None)  # an own picture leaves no name in the address
    if own := _own().get(spec.name):
        return own, None
    for wanted in {parameter("cell"), st.session_state.get("cell")} - {None, *known}:
        if found := _test_cell(spec, size, wanted):
            known[found.name] = found
    if not known:
        return None, None
    notice = prepare("cell", list(known), next(iter(known)), what=spec.unit)
    share("cell")
    chosen = known[st.session_state["cell"]]
    return Cell(chosen.name, chosen.pixels, chosen.truth, chosen.source, linked=True, unit=spec.unit), notice


def _test_cell(spec: DatasetSpec, size: int, name: str) -> Sample | None:
    """The cell of the test split that a link names ('LY 00012', as samples are called); None if not here."""
    here = sorted((s for s in spec.sizes if catalogue.is_available(spec.name, s)), key=lambda s: (s != size, -s))
    if not spec.real or not here:  # thousands of cells would have to be drawn to find one
        return None
    try:
        loaded = catalogue.loaded(spec.name, here[0])
    except DatasetUnavailable:
        return None
    code, _, identity = name.partition(" ")
    for index in np.flatnonzero(loaded["test"].ids == (identity or name)):
        truth = loaded.spec.codes[loaded["test"].labels[index]]
        if code in (truth, name):
            return Sample(name, loaded["test"].images[index], truth, f"{loaded.provenance.label}, test split")
    return None


def as_text(name: str) -> str:
    """``name`` for Markdown: a file called '*a*.png' or '[x](y)' reads as it is called. Long names are cut."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:-])", r"\\\1", name if len(name) <= 60 else f"{name[:57]}...")


def cell_tile(cell: Cell, framed: Framed, spec: DatasetSpec) -> None:
    """The cell as the models see it, with what is known of it."""
    names = {c.code: c.name for c in get_dataset(spec.name).classes}
    side = framed.pixels.shape[0]
    st.image(enlarge(framed.pixels, SIDE), width="stretch", alt=f"{cell.name}, as the models see it")
    st.markdown(f"**{cell.truth}**, {names[cell.truth]}" if cell.truth in names else "**Your picture**")
    cut = "" if cell.linked else f" {framed.note}"
    st.caption(f"{as_text(cell.name)} · {cell.source} · {side} px, enlarged.{cut}")
    if not cell.linked and (told := stranger(cell.pixels.shape[1], cell.pixels.shape[0], spec)):
        st.caption(f":material/crop_free: {told}")


def cell_buttons(cell: Cell, spec: DatasetSpec, size: int) -> None:
    """Choose a sample or an own picture, or step to the next sample."""
    cells = samples(spec.name, size, PER_CLASS)
    names = [s.name for s in cells]
    with st.container(horizontal=True, gap="small"):
        label = f"Choose a {spec.unit}"
        choose = st.popover(label, icon=":material/grid_view:", key="explain_choose", on_change="rerun")
        if names:
            following = names[(names.index(cell.name) + 1) % len(names)] if cell.name in names else names[0]
            taken = {"on_click": _take_sample, "args": (following, spec.name)}
            st.button("Next", icon=":material/arrow_forward:", key="explain_next", **taken)
    if not choose.open:  # two dozen pictures that nobody looks at would be sent on every rerun
        return
    with choose, st.container(width=620):
        own_picture(spec)
        if not cells:
            return
        st.caption(f"or a sample {spec.unit} ({cells[0].source})")
        with st.grid(columns=min(8, len(cells) // PER_CLASS), min_column_width=60, gap="xsmall"):
            for row in range(PER_CLASS):  # each column is a class
                for sample in cells[row::PER_CLASS]:
                    with st.container(gap="xxsmall"):
                        st.image(enlarge(sample.pixels, 120), width="stretch", alt=sample.name)
                        st.button(
                            sample.truth,
                            key=f"explain_{sample.name}",
                            on_click=_take_sample,
                            args=(sample.name, spec.name),
                            type="primary" if sample.name == cell.name else "secondary",
                            width="stretch",
                        )


def own_picture(spec: DatasetSpec) -> None:
    """The place for a picture of one's own."""
    what = "one cell" if spec.unit == "cell" else "a whole field"
    st.file_uploader(
        f"Your own picture of {what} (PNG, JPEG, BMP, TIFF, WebP)",
        key="explain_file",
        on_change=_take_file,
        args=(spec,),
    )


def trouble() -> str | None:
    """Why the last upload could not be used; told once."""
    return st.session_state.pop(_TROUBLE, None)


def _own() -> dict[str, Cell]:
    """Pictures of the visitor's own, by the data set whose models look at them."""
    return st.session_state.setdefault(_OWN, {})


def _take_sample(name: str, dataset: str) -> None:
    _own().pop(dataset, None)
    st.session_state["cell"] = name
    put("cell", name)


def _take_own(cell: Cell, dataset: str) -> None:
    _own()[dataset] = cell
    put("cell", None)


def _take_file(spec: DatasetSpec) -> None:
    file = st.session_state.get("explain_file")
    if file is None:
        return
    try:
        decoded = decode(file.getvalue(), file.name)
    except HemaLensError as error:
        st.session_state[_TROUBLE] = str(error)
        return
    source = "; ".join(["your picture", *decoded.notes])
    place = tray_of(spec.name).place_beside(decoded.pixels, spec)  # framed as what was dropped on Classify
    _take_own(Cell(file.name, decoded.pixels, None, source, False, spec.unit, place), spec.name)
