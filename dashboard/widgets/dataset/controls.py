"""The choices above every view of the Dataset page, and the `View` that they make."""

from collections.abc import Collection, Sequence

import streamlit as st

from core.datasets import SPLITS, DatasetSpec, get_dataset
from core.datasets.summary import Summary
from dashboard import explore, state
from dashboard.widgets.dataset.view import View
from dashboard.widgets.page import is_dark


def controls(name: str, shown: Collection[str]) -> View:
    """Draw the choices for the data set ``name`` in one row and return what they make.

    'class' and 'split' are drawn where ``shown`` has them.
    """
    spec = get_dataset(name)
    sizes = [str(size) for size in spec.sizes]
    _prepare("size", sizes, "64" if "64" in sizes else sizes[0], "image size")
    if len(spec.schemes) > 1:
        _prepare("scheme", [s.name for s in spec.schemes], spec.schemes[0].name, "way to split")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        class_place = st.container(width="content") if "class" in shown else None
        size = int(_chips("size", "Pixels a side", sizes, _size_help(spec)))
        scheme = _scheme(spec)
        split_place = st.container(width="content") if "split" in shown else None
    loaded, broken = explore.present(name, size, scheme)
    summary, note = explore.statistics(name, size, loaded)
    spec = _as_it_is_here(spec, loaded.spec if loaded else None, summary)
    # The choice of the class comes last: only now is it known which classes are here.
    _prepare("class", spec.codes, spec.codes[0], "class")
    _prepare("split", SPLITS, SPLITS[0], "split")
    if class_place:
        titles = {c.code: f"{c.code}  {c.name}" for c in spec.classes}
        with class_place:
            _boxed("class", "Class", spec.codes, titles, 260)
    if split_place:
        with split_place:
            _chips("split", "Split", SPLITS, "Models learn from train, are chosen by val, and are scored once on test.")
    code, split = st.session_state["class"], st.session_state["split"]
    return View(name, spec, size, code, split, loaded, summary, is_dark(), note, broken)


def cautions(view: View) -> None:
    """What must be known of the data set before any of its figures."""
    whole = get_dataset(view.name)
    said = list(view.spec.cautions)
    if view.spec.unit == "field" and not any("microscope field" in caution for caution in said):
        said.insert(0, "Each picture is a microscope field with several cells, not one cell.")
    if len(view.spec.classes) < len(whole.classes):
        said.insert(0, f"{len(view.spec.classes)} of {len(whole.classes)} classes are here.")
    if said:
        st.caption(f":material/info: {' '.join(said)}")


def _as_it_is_here(spec: DatasetSpec, here: DatasetSpec | None, summary: Summary | None) -> DatasetSpec:
    if here is not None:
        return here
    return spec.with_classes(summary.codes) if summary is not None else spec


def _scheme(spec: DatasetSpec) -> str:
    if len(spec.schemes) < 2:
        return ""
    titles = {s.name: s.title for s in spec.schemes}
    about = "\n\n".join(f"**{s.title}:** {s.description}" for s in spec.schemes)
    return _chips("scheme", "Way to split", list(titles), about, titles)


def _prepare(key: str, options: Sequence[str], default: str, what: str) -> None:
    notice = state.prepare(key, options, default, what=what)
    if notice:
        st.info(notice, icon=":material/link:")


def _boxed(key: str, label: str, options: Sequence[str], titles: dict[str, str], width: int) -> None:
    st.selectbox(label, options, key=key, format_func=titles.get, width=width)
    state.share(key)


def _chips(key: str, label: str, options: Sequence[str], about: str, titles: dict[str, str] | None = None) -> str:
    name = (titles or {}).get
    value = st.segmented_control(label, options, key=key, required=True, help=about, format_func=lambda o: name(o, o))
    state.share(key)
    return value


def _size_help(spec: DatasetSpec) -> str:
    return f"The same {spec.unit}s in several sizes. A model is trained for one of them."
