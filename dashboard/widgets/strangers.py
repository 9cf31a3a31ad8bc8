"""Uploads that are plainly of another domain: said gently, with a way to the models that know it."""

from collections.abc import Sequence

import streamlit as st

from core.datasets import DatasetSpec, get_dataset
from core.serving.wording import count
from dashboard import catalogue
from dashboard.cells import Cell, Tray
from dashboard.widgets import answers
from dashboard.widgets.dataset_switch import switch_to


def strangers(tray: Tray, spec: DatasetSpec) -> None:
    """Say gently which uploads are shaped like another domain's, and offer to look at them with a model of it."""
    found = tray.strangers(spec)
    if not found:
        return
    other = "field" if spec.unit == "cell" else "cell"
    shapes = sorted({cell.pixels.shape[1::-1] for cell in found})
    shape = " and ".join(f"{width} x {height} px" for width, height in shapes[:2]) + (" ..." if shapes[2:] else "")
    like = "a whole microscope field" if other == "field" else "the crop of one cell"
    these = (
        f"{count(len(found), 'picture')} ({shape}) is" if len(found) == 1 else f"{len(found)} pictures ({shape}) are"
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.info(
            f"{these} shaped like {like}, and the models of {spec.title} know {spec.unit}s only: don't rely on what "
            f"they say of {'it' if len(found) == 1 else 'them'}.",
            icon=":material/crop_free:",
            width="stretch",
        )
        for name in [n for n, models in catalogue.datasets().items() if models and get_dataset(n).unit == other][:2]:
            st.button(
                f"Ask the models of {get_dataset(name).title}",
                key=f"classify_move_{name}",
                icon=":material/move_item:",
                on_click=_move,
                args=(tray, found, name),
            )


def _move(tray: Tray, cells: Sequence[Cell], dataset: str) -> None:
    tray.give(cells, answers.tray_of(dataset))
    answers.forget_choice()
    switch_to(dataset)
