"""What every view of Dataset is given: a data set at one size, split in one way, with its images and statistics, the
choices above the views, and the way to images that are not on this computer.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import paths
from core.datasets import SPLITS, CellClass, DatasetSpec, DatasetUnavailable, LoadedDataset, get_dataset
from core.datasets.statistics import Summary, load_summary, save_summary, summarize
from core.formatting import counted, of_class
from core.progress import Progress
from dashboard import cache, pickers, samples, url_state
from dashboard.page import ProgressBar, is_dark
from dashboard.url_state import choice


@dataclass(frozen=True)
class DatasetContext:
    """The data set ``name`` at ``size`` px a side.

    ``spec`` names the classes that are there; of these ``code`` is the chosen one and ``split`` the chosen split.
    ``loaded`` are the images, None where they are not on this computer, with ``broken`` saying what is wrong where
    their file can't be read. ``summary`` are the statistics (None where there are none) and ``note`` a sentence where
    they are not those of just these images. ``dark`` tells the theme.
    """

    name: str
    spec: DatasetSpec
    size: int
    code: str
    split: str
    loaded: LoadedDataset | None
    summary: Summary | None
    dark: bool = False
    note: str | None = None
    broken: str | None = None

    @property
    def scheme(self) -> str:
        """The way in which the images are split; '' where there is one only, or no images."""
        return self.loaded.scheme if self.loaded else ""

    @property
    def content(self) -> str:
        """What the images are, for keys of what is computed from them; '' where they are not here."""
        return self.loaded.provenance.content_hash if self.loaded else ""

    @property
    def has_placeholders(self) -> bool:
        """Whether generated or drawn cells can stand in where the images are not here."""
        return samples.has_placeholders(self.spec)

    @property
    def cell(self) -> CellClass:
        """The chosen class."""
        return self.of(self.code)

    def of(self, code: str) -> CellClass:
        """The class with this code."""
        return self.spec.classes[self.spec.codes.index(code)]

    def plural_of(self, code: str) -> str:
        """Several pictures of a class in words: 'lymphocytes', 'benign fields'."""
        return of_class(self.of(code).name, self.spec.unit)

    def count(self, number: int) -> str:
        """'1 cell', '1,234 fields'."""
        return counted(number, self.spec.unit)


def load_images(name: str, size: int, scheme: str = "") -> tuple[LoadedDataset | None, str | None]:
    """The images, where they are on this computer; else None, with what is wrong where a file is broken."""
    if not cache.is_available(name, size):
        return None, None
    try:
        return cache.dataset_images(name, size, scheme=scheme), None
    except DatasetUnavailable as error:
        return None, str(error)


def statistics(name: str, size: int, loaded: LoadedDataset | None) -> tuple[Summary | None, str | None]:
    """The statistics to show, and a sentence where they are not those of just these images.

    Shipped ones where they were computed from the same build, else computed now; without images
    those shipped for this size, else for the nearest size.
    """
    shipped = cache.summary(name, size)
    if loaded is not None:
        if shipped is not None and shipped.provenance.content_hash == loaded.provenance.content_hash:
            return shipped, None
        return _computed_statistics(name, size, loaded.provenance.content_hash, loaded.scheme), None
    if shipped is not None:
        return shipped, None
    for other in sorted(get_dataset(name).sizes, key=lambda s: abs(s - size)):
        near = cache.summary(name, other)
        if near is not None:
            return near, f"The counts and statistics are those of the same pictures at {other} px."
    return None, None


@st.cache_resource(max_entries=4, show_spinner="Computing the statistics of these images")
def _computed_statistics(name: str, size: int, content: str, scheme: str) -> Summary:
    folder = statistics_folder(content)
    summary = load_summary(name, size, folder) if folder.is_dir() else None
    if summary is None:
        summary = summarize(cache.dataset_images(name, size, scheme=scheme))
        with suppress(OSError):  # a disk that can't be written to costs the time again, nothing else
            save_summary(summary, folder)
    return summary


def statistics_folder(content: str) -> Path:
    """The folder in the user's cache for what was computed from the images with this content hash."""
    return paths.cache_root() / "summaries" / content


def offer_download(spec: DatasetSpec, size: int, *, placeholders_shown: bool = True) -> None:
    """Say that the images of ``size`` px are not here, and fetch them on a click; reruns when done.

    ``placeholders_shown`` tells whether generated or drawn cells are shown in their place.

    A bar shows how far it is. Leaving the page or 'Stop' interrupts it; what has arrived is kept, and
    the next click goes on from there.
    """
    if spec.download is None:
        return
    failure = f"_download_failed_{spec.name}_{size}"
    place = st.container()
    if st.session_state.get(failure):
        place.error(st.session_state[failure], icon=":material/cloud_off:")
    label = "Try again" if st.session_state.get(failure) else "Download them"
    help_line = f"From {spec.url.removeprefix('https://')}{most_megabytes(spec, size)}; they stay on this computer."
    with place.container(horizontal=True, vertical_alignment="center"):
        missing = f"the {size} px images are not on this computer."
        instead = f":material/draw: These cells are **{samples.placeholder_label(spec)}**: {missing}"
        st.markdown(instead if placeholders_shown else f":material/hide_image: {missing.capitalize()}", width="stretch")
        clicked = st.button(label, icon=":material/download:", help=help_line, key=f"download_{spec.name}_{size}")
    if not clicked:
        return
    st.session_state.pop(failure, None)
    with place:
        bar = ProgressBar("Connecting", download_line)
        st.button("Stop", icon=":material/stop:", key="download_stop", help="What has arrived is kept.")
    try:
        for step in spec.download(size):
            bar(step)
        spec.load(size)
    except DatasetUnavailable as error:
        st.session_state[failure] = str(error)
    st.rerun()


def download_line(step: Progress) -> str:
    """'12 of 35 MB': what stands on the bar."""
    text = f"{step.done / 1e6:,.0f} of {step.total / 1e6:,.0f} MB"
    return f"{text}, {step.message}" if step.message else text


def most_megabytes(spec: DatasetSpec, size: int) -> str:
    """', at most 210 MB': an upper bound from the shipped counts; '' where there are none."""
    for other_size in (size, *spec.sizes):
        summary = cache.summary(spec.name, other_size)
        if summary is not None:
            return f", at most {summary.total * size * size * 3 / 1e6:,.0f} MB"
    return ""


def missing_images(context: DatasetContext, *, placeholders_shown: bool = True) -> None:
    """Say it, and offer the download or the way by hand; nothing where the images are here.

    ``placeholders_shown`` tells whether generated or drawn cells are shown in their place.
    """
    if context.broken:
        st.warning(context.broken, icon=":material/broken_image:")
    if context.loaded is not None or not context.spec.real:
        return
    if context.spec.download is not None:
        offer_download(context.spec, context.size, placeholders_shown=placeholders_shown)
    elif not context.broken:
        st.info(pickers.how_to_get_images(context.spec, context.size), icon=":material/hide_image:")


def dataset_context(spec: DatasetSpec, needs: Collection[str]) -> DatasetContext:
    """Draw the choices in one row, then what must be known before any figure; returns what the choices make.

    'class' and 'split' are drawn where ``needs`` has them.
    """
    notices = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        class_place = st.container(width="content") if "class" in needs else None
        sizes = {str(size): str(size) for size in spec.sizes}
        about = f"The same {spec.unit}s in several sizes. A model is trained for one of them."
        first = "64" if "64" in sizes else next(iter(sizes))
        row: Any = {"hidden": False, "notices": notices}
        size = int(choice("size", "Pixels a side", sizes, first, "image size", help=about, **row))
        scheme = ""
        if len(spec.schemes) > 1:
            titles = {s.name: s.title for s in spec.schemes}
            about = "\n\n".join(f"**{s.title}:** {s.description}" for s in spec.schemes)
            scheme = choice("scheme", "Way to split", titles, next(iter(titles)), "way to split", help=about, **row)
        split_place = st.container(width="content") if "split" in needs else None
    loaded, broken = load_images(spec.name, size, scheme)
    summary, note = statistics(spec.name, size, loaded)
    whole, spec = spec, _spec_as_present(spec, loaded.spec if loaded else None, summary)
    # The choice of the class comes last: only now is it known which classes are here.
    code = _drawn_or_kept("class", "Class", {c.code: f"{c.code}  {c.name}" for c in spec.classes}, class_place, notices)
    split = _drawn_or_kept("split", "Split", {split: split for split in SPLITS}, split_place, notices)
    context = DatasetContext(spec.name, spec, size, code, split, loaded, summary, is_dark(), note, broken)
    _cautions(context, whole)
    return context


def _drawn_or_kept(
    key: str, label: str, titles: dict[str, str], place: DeltaGenerator | None, notices: DeltaGenerator
) -> str:
    """The choice ``key``, drawn in ``place``; as it was left where there is none."""
    row: Any = {"box": key == "class", "width": 260, "hidden": False, "notices": notices}
    if key == "split":
        row["help"] = "Models learn from train, are chosen by val, and are scored once on test."
    if place is not None:
        with place:
            return choice(key, label, titles, next(iter(titles)), key, **row)
    if notice := url_state.prepare(key, list(titles), next(iter(titles)), what=key):
        notices.info(notice, icon=":material/link:")
    return st.session_state[key]


def _cautions(context: DatasetContext, whole: DatasetSpec) -> None:
    """What must be known of the data set before any of its figures; ``whole`` is its spec with all classes."""
    sentences = list(context.spec.cautions)
    if context.spec.unit == "field" and not any("microscope field" in caution for caution in sentences):
        sentences.insert(0, "Each picture is a microscope field with several cells, not one cell.")
    if len(context.spec.classes) < len(whole.classes):
        sentences.insert(0, f"{len(context.spec.classes)} of {len(whole.classes)} classes are here.")
    if sentences:
        st.caption(f":material/info: {' '.join(sentences)}")


def _spec_as_present(spec: DatasetSpec, present_spec: DatasetSpec | None, summary: Summary | None) -> DatasetSpec:
    if present_spec is not None:
        return present_spec
    return spec.with_classes(summary.codes) if summary is not None else spec
