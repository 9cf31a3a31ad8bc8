"""Uploads that are plainly of another domain or laboratory: said gently, with a way to models that know them."""

from collections.abc import Sequence

import streamlit as st

from core.datasets import DatasetSpec, get_dataset
from core.serving.wording import count
from dashboard import catalogue
from dashboard.cells import Answered, Cell, Tray
from dashboard.widgets import answers
from dashboard.widgets.card import lab_link
from dashboard.widgets.dataset_switch import switch_to

FEWEST = 5  # pictures of which most are foreign tell of a laboratory, fewer of themselves


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


def foreign_laboratory(answered: Sequence[Answered], spec: DatasetSpec) -> None:
    """Say once where most uploads are foreign to the leading model, with the way to one that learns from them."""
    mine = [a for a in answered if a.cell.truth is None]
    foreign = sum(a.lead.voice.kind == "foreign" for a in mine)
    if len(mine) < FEWEST or foreign <= len(mine) / 2:
        return
    every = count(len(mine), "picture")
    which = f"None of your {every} looks" if foreign == len(mine) else f"{foreign} of your {every} do not look"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.info(
            f"{which} like the {spec.unit}s that this model knows: another stain, camera or scale can do that. "
            "Don't rely on their classes.",
            icon=":material/travel_explore:",
            width="stretch",
        )
        lab_link()


def _move(tray: Tray, cells: Sequence[Cell], dataset: str) -> None:
    tray.give(cells, answers.tray_of(dataset))
    answers.forget_choice()
    switch_to(dataset)
