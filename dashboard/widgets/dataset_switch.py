"""The one switch between data sets, the same beside the title of every page."""

import streamlit as st

from core.datasets import DatasetSpec, UnknownDataset, get_dataset
from core.serving.wording import count
from dashboard import catalogue, state
from dashboard.explore import way_to_images

KEY = "dataset"
# Choices of several runs: none of them is left in another data set, and 'none' would be taken for the visitor's wish.
_OF_ONE_SET = ("model", "models", "runs", "profile")


def titled(title: str) -> DatasetSpec:
    """The page's title with the switch beside it; returns the chosen data set's spec, with all its classes.

    The choice is kept in the address bar and from page to page. Offered are the data sets that have models or
    images here; a link to any other is told in a sentence.
    """
    offered = catalogue.datasets()
    notice = _told_if_gone(offered)
    state.prepare(KEY, list(offered), state.DEFAULT_DATASET, what="data set")
    titles = {name: f"{get_dataset(name).title} · {_models(number)}" for name, number in offered.items()}
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.title(title, anchor=False, width="content")
        st.selectbox(
            "Data set",
            list(offered),
            format_func=titles.get,
            key=KEY,
            on_change=_changed,
            label_visibility="collapsed",
            width=330,
        )
    state.share(KEY)
    if notice:
        st.info(notice, icon=":material/link:")
    return get_dataset(st.session_state[KEY])


def switch_to(name: str) -> None:
    """Choose the data set ``name`` (for a button's callback)."""
    st.session_state[KEY] = name
    _changed()


def cautions(spec: DatasetSpec) -> None:
    """The sentences that must stand beside every figure of the data set; nothing where there are none."""
    if spec.cautions:
        st.caption(f":material/info: {' '.join(spec.cautions)}")


def _models(number: int) -> str:
    return count(number, "model") if number else "no model"


def _told_if_gone(offered: dict[str, int]) -> str | None:
    """The sentence for a link to, or a memory of, a data set that is not here; it is forgotten with that."""
    wanted = state.parameter(KEY) or state.remembered(KEY)
    if wanted is None or wanted in offered:
        return None
    state.forget(KEY)
    instead = f"Showing {get_dataset(state.DEFAULT_DATASET).title} instead."
    try:
        spec = get_dataset(wanted)
    except UnknownDataset:
        return f"The data set '{wanted[:60]}' is not here (any more). {instead}"
    way = way_to_images(spec, spec.sizes[0])
    return f"Of {spec.title} there are neither images nor models on this computer. {instead} {way}"


def _changed() -> None:
    state.forget(*_OF_ONE_SET)
