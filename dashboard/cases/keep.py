"""Classify's way to Cases: what was dropped for a quick look becomes a case, by the model that leads there."""

from collections.abc import Sequence

import streamlit as st

from core.cases.drop import DroppedFile
from core.cases.intake import take_in
from core.cases.store import open_store
from core.errors import HemaLensError
from core.images.red_cells import SIDE_MICROMETRES
from core.inference.predictor import Predictor
from dashboard.cases import CASE_KEY
from dashboard.cases.reader import reader_picker
from dashboard.cases.worklist import progress_line, suggested_sample
from dashboard.page import ProgressBar, open_page
from dashboard.pictures import as_png
from dashboard.session import UploadedCell


def render(cells: Sequence[UploadedCell], predictor: Predictor, side: float | None) -> None:
    """A button that asks for a sample and a reader, and keeps ``cells`` as a case; ``side``: of the square in px that a
    person chose for them.
    """
    with st.popover("Keep as a case", icon=":material/assignment:", key="classify_case", on_change="rerun") as asked:
        if not asked.open:
            return
        store = open_store()
        reader = reader_picker()
        suggested = suggested_sample(store.list())
        sample = st.text_input(
            "Sample", value=suggested, max_chars=80, help="An id, not a name.", key="classify_sample_id"
        )
        st.caption("The pictures are read once more, and stay on this computer until the case is deleted.")
        ready = bool(reader and sample.strip())
        if st.button("Keep and review", key="classify_keep", type="primary", disabled=not ready) and reader:
            files = [DroppedFile(cell.name, as_png(cell.pixels, cell.pixel_size)) for cell in cells]
            pixel_size = SIDE_MICROMETRES / side if side else None
            try:
                with ProgressBar("Keeping the pictures", progress_line) as bar:
                    case_id = take_in(
                        store, predictor, files, sample=sample, reader=reader, pixel_size=pixel_size, report=bar
                    )
            except HemaLensError as error:
                st.error(str(error), icon=":material/error:")
                return
            open_page("cases", {CASE_KEY: case_id})
