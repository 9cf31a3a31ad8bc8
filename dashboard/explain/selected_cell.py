"""Explain, the selected cell: from a link, another page, a file, or the samples."""

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec, DatasetUnavailable, get_dataset
from core.errors import HemaLensError
from core.formatting import markdown_text
from core.images.crop import Crop
from core.images.decode import decode
from core.images.framing import CropWindow, MeasuredPicture, shape_warning
from core.inference.predictor import Predictor
from dashboard import cache
from dashboard.pictures import enlarge
from dashboard.samples import Sample, samples
from dashboard.session import session_of
from dashboard.url_state import HandedImage, handed_image, parameter, prepare, put, share

PER_CLASS = 3
SIDE = 384
_OWN, _SEEN, _UPLOAD_ERROR = "_explain_own", "_explain_seen", "_explain_trouble"


@dataclass(frozen=True)
class SelectedCell:
    """The cell looked at: ``pixels`` uint8 (H, W, 3) as it came, ``truth`` code where known, ``source`` in words.

    ``linked`` is True where a link can carry it (a cell of the test split or a drawn one). ``unit`` is what the
    pictures of its data set show: a cell, or a field with several. ``window`` is where models look in it, None while
    that waits for them; ``side`` is the predictor's own that it was placed for. ``pixel_size``: what a pixel spans in
    µm, None where the file says nothing.
    """

    name: str
    pixels: np.ndarray
    truth: str | None
    source: str
    linked: bool
    unit: str = "cell"
    window: CropWindow | None = CropWindow()
    side: float | None = None
    pixel_size: float | None = None

    def frame(self, size: int, spec: DatasetSpec) -> Crop:
        """What models of ``spec`` at ``size`` px see of it."""
        return (self.window or CropWindow()).crop(self.pixels, size, spec)


def cell_to_explain(spec: DatasetSpec, size: int, predictor: Predictor) -> tuple[SelectedCell | None, str | None]:
    """The cell to look at (None where there is none at all), and a sentence where the link asks for one not here.

    A picture that another page has just handed over comes first, then the link's, then the last one looked
    at, then the first sample. A picture of one's own is cut as Classify cuts it for ``predictor``.
    """
    by_name = {s.name: s for s in samples(spec.name, size, PER_CLASS)}
    handed = handed_image()
    if handed is not None and st.session_state.get(_SEEN) is not handed:
        st.session_state[_SEEN] = handed
        if _is_sample(handed, by_name.get(handed.name)):
            _take_sample(handed.name, spec.name)
        else:
            window = handed.window or CropWindow()
            cell = SelectedCell(handed.name, handed.pixels, handed.truth, "from Classify", False, spec.unit, window)
            _take_own(replace(cell, side=predictor.side), spec.name)
    elif parameter("cell"):
        _own().pop(spec.name, None)  # an own picture leaves no name in the address
    if own := _own().get(spec.name):
        if own.window is None or (own.window.searched and own.side != predictor.side):
            picture = MeasuredPicture(own.pixels, own.name, pixel_size=own.pixel_size)
            window = session_of(spec.name).window_beside(picture, spec, predictor)
            own = _own()[spec.name] = replace(own, window=window, side=predictor.side)
        return own, None
    for linked_name in {parameter("cell"), st.session_state.get("cell")} - set(by_name):
        if linked_name and (sample := _test_cell(spec, size, linked_name)):
            by_name[sample.name] = sample
    if not by_name:
        return None, None
    notice = prepare("cell", list(by_name), next(iter(by_name)), what=spec.unit)
    share("cell")
    chosen = by_name[st.session_state["cell"]]
    return SelectedCell(chosen.name, chosen.pixels, chosen.truth, chosen.source, linked=True, unit=spec.unit), notice


def _is_sample(handed: HandedImage, sample: Sample | None) -> bool:
    """Whether what was handed over is the ``sample``, and was looked at as samples are here."""
    return sample is not None and handed.window in (None, CropWindow()) and np.array_equal(handed.pixels, sample.pixels)


def _test_cell(spec: DatasetSpec, size: int, name: str) -> Sample | None:
    """The cell of the test split that a link names ('LY 00012', as samples are called); None if not here."""
    sizes_here = sorted((s for s in spec.sizes if cache.is_available(spec.name, s)), key=lambda s: (s != size, -s))
    if not spec.real or not sizes_here:  # thousands of cells would have to be drawn to find one
        return None
    try:
        loaded = cache.dataset_images(spec.name, sizes_here[0])
    except DatasetUnavailable:
        return None
    code, _, identity = name.partition(" ")
    test = loaded["test"]
    for index in np.flatnonzero(test.ids == (identity or name)).tolist():
        truth = loaded.spec.codes[test.labels[index]]
        if code in (truth, name):
            return Sample(name, test.images[index], truth, f"{loaded.provenance.label}, test split")
    return None


def cell_tile(cell: SelectedCell, crop: Crop, spec: DatasetSpec) -> None:
    """The cell as the models see it, with what is known of it."""
    names, side = get_dataset(spec.name).names, crop.pixels.shape[0]
    st.image(enlarge(crop.pixels, SIDE), width="stretch", alt=f"{cell.name}, as the models see it")
    st.markdown(f"**{cell.truth}**, {names[cell.truth]}" if cell.truth in names else "**Your picture**")
    cut = "" if cell.linked else f" {crop.note}"
    st.caption(f"{markdown_text(cell.name)} · {cell.source} · {side} px, enlarged.{cut}")
    if not cell.linked and (warning := shape_warning(cell.pixels.shape[1], cell.pixels.shape[0], spec)):
        st.caption(f":material/crop_free: {warning}")


def cell_buttons(cell: SelectedCell, spec: DatasetSpec, size: int) -> None:
    """Choose a sample or an own picture, or step to the next sample."""
    cells = samples(spec.name, size, PER_CLASS)
    names = [s.name for s in cells]
    with st.container(horizontal=True, gap="small"):
        label = f"Choose a {spec.unit}"
        choose = st.popover(label, icon=":material/grid_view:", key="explain_choose", on_change="rerun")
        if names:
            following = names[(names.index(cell.name) + 1) % len(names)] if cell.name in names else names[0]
            st.button(
                "Next",
                icon=":material/arrow_forward:",
                key="explain_next",
                on_click=_take_sample,
                args=(following, spec.name),
            )
    if not choose.open:  # two dozen pictures that nobody looks at would be sent on every rerun
        return
    with choose, st.container(width=620):
        own_picture_uploader(spec)
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


def own_picture_uploader(spec: DatasetSpec) -> None:
    """The place for a picture of one's own."""
    what = "one cell" if spec.unit == "cell" else "a whole field"
    st.file_uploader(
        f"Your own picture of {what} (PNG, JPEG, BMP, TIFF, WebP)",
        key="explain_file",
        on_change=_take_file,
        args=(spec,),
    )


def upload_error() -> str | None:
    """Why the last upload could not be used; told once."""
    return st.session_state.pop(_UPLOAD_ERROR, None)


def _own() -> dict[str, SelectedCell]:
    """Pictures of the visitor's own, by the data set whose models look at them."""
    return st.session_state.setdefault(_OWN, {})


def _take_sample(name: str, dataset: str) -> None:
    _own().pop(dataset, None)
    st.session_state["cell"] = name
    put("cell", name)


def _take_own(cell: SelectedCell, dataset: str) -> None:
    _own()[dataset] = cell
    put("cell", None)


def _take_file(spec: DatasetSpec) -> None:
    file = st.session_state.get("explain_file")
    if file is None:
        return
    try:
        decoded = decode(file.getvalue(), file.name)
    except HemaLensError as error:
        st.session_state[_UPLOAD_ERROR] = str(error)
        return
    source = "; ".join(["your picture", *decoded.notes])
    own = SelectedCell(file.name, decoded.pixels, None, source, False, spec.unit, None, pixel_size=decoded.pixel_size)
    _take_own(own, spec.name)
