"""What every view of Dataset is given: a data set at one size, split in one way, with its images and statistics, the
choices above the views, and the way to images that are not on this computer.
"""

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core import paths
from core.datasets import SPLITS, CellClass, DatasetSpec, DatasetUnavailable, LoadedDataset, get_dataset
from core.datasets.statistics import Summary, load_summary, save_summary, summarize
from core.formatting import counted, of_class
from core.progress import Progress
from dashboard import cache, pickers, samples, url_state
from dashboard.page import is_dark


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


_EVERY = 0.2  # seconds between two drawings of the bar


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
    bar = place.progress(0.0, text="Connecting")
    place.button("Stop", icon=":material/stop:", key="download_stop", help="What has arrived is kept.")
    try:
        began, before, shown = time.monotonic(), None, 0.0
        for step in spec.download(size):
            before = step.done if before is None else before
            now = time.monotonic()
            if now - shown >= _EVERY or step.message:
                bar.progress(min(step.done / max(step.total, 1), 1.0), text=download_line(step, now - began, before))
                shown = now
        spec.load(size)
    except DatasetUnavailable as error:
        st.session_state[failure] = str(error)
    st.rerun()


def download_line(step: Progress, seconds: float, before: int = 0) -> str:
    """'12 of 35 MB, 20 s left': what stands on the bar; ``before`` bytes were there at the start."""
    text = f"{step.done / 1e6:,.0f} of {step.total / 1e6:,.0f} MB"
    if step.message:
        return f"{text}, {step.message}"
    speed = (step.done - before) / seconds if seconds > 1 else 0
    if speed > 0:
        left = (step.total - step.done) / speed
        text += f", {left:.0f} s left" if left < 90 else f", {left / 60:.0f} min left"
    return text


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


def controls(name: str, shown: Collection[str]) -> DatasetContext:
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
    loaded, broken = load_images(name, size, scheme)
    summary, note = statistics(name, size, loaded)
    spec = _spec_as_present(spec, loaded.spec if loaded else None, summary)
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
    return DatasetContext(name, spec, size, code, split, loaded, summary, is_dark(), note, broken)


def cautions(context: DatasetContext) -> None:
    """What must be known of the data set before any of its figures."""
    whole = get_dataset(context.name)
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


def _scheme(spec: DatasetSpec) -> str:
    if len(spec.schemes) < 2:
        return ""
    titles = {s.name: s.title for s in spec.schemes}
    about = "\n\n".join(f"**{s.title}:** {s.description}" for s in spec.schemes)
    return _chips("scheme", "Way to split", list(titles), about, titles)


def _prepare(key: str, options: Sequence[str], default: str, what: str) -> None:
    notice = url_state.prepare(key, options, default, what=what)
    if notice:
        st.info(notice, icon=":material/link:")


def _boxed(key: str, label: str, options: Sequence[str], titles: dict[str, str], width: int) -> None:
    st.selectbox(label, options, key=key, format_func=titles.get, width=width)
    url_state.share(key)


def _chips(key: str, label: str, options: Sequence[str], about: str, titles: dict[str, str] | None = None) -> str:
    name = (titles or {}).get
    value = st.segmented_control(label, options, key=key, required=True, help=about, format_func=lambda o: name(o, o))
    url_state.share(key)
    return value


def _size_help(spec: DatasetSpec) -> str:
    return f"The same {spec.unit}s in several sizes. A model is trained for one of them."
