"""What the Dataset page shows: statistics and cells of a data set, with or without its images."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from core import paths
from core.datasets import SPLITS, DatasetSpec, DatasetUnavailable, LoadedDataset, get_dataset
from core.datasets.summary import Summary, load_summary, save_summary, summarize
from dashboard import catalogue, stand_in, state

PER_PAGE = 20
STAND_IN_PAGES = 10


@dataclass(frozen=True)
class Wall:
    """One page of cells: ``images`` uint8 (n, S, S, 3), their ``ids``, the first's number, and how many there are.

    ``real`` is False for cells that stand in for real ones.
    """

    images: np.ndarray
    ids: tuple[str, ...]
    first: int
    total: int
    source: str
    real: bool = True


def present(name: str, size: int, scheme: str = "") -> tuple[LoadedDataset | None, str | None]:
    """The images, where they are on this computer; else None, with what is wrong where a file is broken."""
    if not catalogue.is_available(name, size):
        return None, None
    try:
        return catalogue.loaded(name, size, scheme=scheme), None
    except DatasetUnavailable as error:
        return None, str(error)


def way_to_images(spec: DatasetSpec, size: int) -> str:
    """What to do where the images are not on this computer, as the data set itself says it."""
    try:
        spec.load(size)
    except DatasetUnavailable as error:
        return str(error)
    return "Reload this page: the images have just appeared."


def statistics(name: str, size: int, loaded: LoadedDataset | None) -> tuple[Summary | None, str | None]:
    """The statistics to show, and a sentence where they are not those of just these images.

    Shipped ones where they were computed from the same build, else computed now; without images
    those shipped for this size, else for the nearest size.
    """
    shipped = catalogue.summary(name, size)
    if loaded is not None:
        if shipped is not None and shipped.provenance.content_hash == loaded.provenance.content_hash:
            return shipped, None
        return _computed(name, size, loaded.provenance.content_hash, loaded.scheme), None
    if shipped is not None:
        return shipped, None
    for other in sorted(get_dataset(name).sizes, key=lambda s: abs(s - size)):
        near = catalogue.summary(name, other)
        if near is not None:
            return near, f"The counts and statistics are those of the same pictures at {other} px."
    return None, None


@st.cache_resource(max_entries=4, show_spinner="Computing the statistics of these images")
def _computed(name: str, size: int, content: str, scheme: str) -> Summary:
    folder = kept(content)
    found = load_summary(name, size, folder) if folder.is_dir() else None
    if found is None:
        found = summarize(catalogue.loaded(name, size, scheme=scheme))
        with suppress(OSError):  # a disk that can't be written to costs the time again, nothing else
            save_summary(found, folder)
    return found


def kept(content: str) -> Path:
    """The folder in the user's cache for what was computed from the images with this content hash."""
    return paths.cache_root() / "summaries" / content


def pages(count: int) -> int:
    """Pages of a wall of ``count`` cells, at least one."""
    return max(1, -(-count // PER_PAGE))


def count(loaded: LoadedDataset | None, code: str, split: str) -> int:
    """Pictures of a class in a split; without images some pages of those that stand in."""
    if loaded is None:
        return PER_PAGE * STAND_IN_PAGES
    return int((loaded[split].labels == loaded.spec.codes.index(code)).sum())


def wall(
    spec: DatasetSpec,
    loaded: LoadedDataset | None,
    size: int,
    code: str,
    split: str,
    page: int,
    report: stand_in.Report = stand_in.silent,
) -> Wall:
    """The pictures of one class and split on a page (from 1); where the images are not here, those that stand in.

    These may take seconds, of which ``report`` is told.
    """
    start = (page - 1) * PER_PAGE
    if loaded is None:
        images = stand_in.page(spec, size, code, STAND_IN_PAGES * SPLITS.index(split) + page - 1, report)
        ids = tuple(f"{start + i + 1}" for i in range(len(images)))
        return Wall(images, ids, start + 1, PER_PAGE * STAND_IN_PAGES, stand_in.label(spec), real=False)
    members = np.flatnonzero(loaded[split].labels == loaded.spec.codes.index(code))
    shown = members[start : start + PER_PAGE]
    ids = tuple(str(i) for i in loaded[split].ids[shown])
    return Wall(loaded[split].images[shown], ids, start + 1, len(members), loaded.provenance.label)


def first_page(view: str, count: int) -> tuple[int, str]:
    """The page a wall opens at (from a link, else 1) and its pager's key.

    ``view`` names what the wall shows: another view, or another link, gets another pager, because a
    pager can't be moved once it is there.
    """
    link = state.parameter("page")
    before = st.session_state.get("_pager")  # (view, page in the address bar as we left it, start, times)
    if before is None or before[0] != view or link != before[1]:
        moved = before is None or link != before[1]  # otherwise it still names a page of the view before
        start = int(link) if moved and link and link.isdecimal() and len(link) < 9 else 1
        times = before[3] + 1 if before else 0
        before = (view, link, min(max(start, 1), count), times)
        st.session_state["_pager"] = before
    return before[2], f"pager-{view}-{before[3]}"


def share_page(page: int) -> None:
    """Write the page into the address bar (the first needs no mention)."""
    shown = str(page) if page > 1 else None
    view, _, start, times = st.session_state["_pager"]
    st.session_state["_pager"] = (view, shown, start, times)
    state.put("page", shown)
