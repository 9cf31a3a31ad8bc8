"""Cells to try a page with: real test cells where the data is on this computer, else placeholders, which a generator
makes or which are drawn. Each kind says what it is wherever it is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
import streamlit as st
from cachetools import LRUCache, cached

from core.datasets import DatasetSpec, DatasetUnavailable, get_dataset
from core.datasets.synthetic import PROVENANCE_LABEL as DRAWN
from core.datasets.synthetic import SPEC as DRAWN_SPEC
from core.datasets.synthetic import draw_cells
from core.generator import LABEL as GENERATED
from core.generator import BadGenerator, Generator, find_generator, generate, load_sheet
from core.images.crop import resize_crop
from core.progress import Report, silent
from dashboard import cache
from dashboard.pictures import enlarge

PLACEHOLDERS_PER_PAGE = 20  # cells of one class at a time
MAX_GENERATED_PAGES = 64  # that were generated and are kept


def has_placeholders(spec: DatasetSpec) -> bool:
    """Whether cells can stand in for the data set's."""
    return generator_of(spec) is not None or set(spec.codes) <= set(DRAWN_SPEC.codes)


def generator_of(spec: DatasetSpec) -> Generator | None:
    """The generator that makes all of the data set's classes, with its sheet; None where there is none."""
    try:
        generator = find_generator(spec.name) if spec.real else None
    except BadGenerator:  # drawn cells stand in; `python -m core generate show` tells what is wrong
        return None
    complete = generator and set(spec.codes) <= set(generator.codes) and _sheet(generator) is not None
    return generator if complete else None


def placeholder_label(spec: DatasetSpec) -> str:
    """What the cells that stand in for the data set's are, as a person reads it."""
    return GENERATED if generator_of(spec) else DRAWN


def placeholder_help(spec: DatasetSpec) -> str | None:
    """Where generated cells come from and how far they are to be trusted; None where cells are drawn."""
    generator = generator_of(spec)
    if generator is None:
        return None
    facts = generator.facts
    agreed = facts["figures"]["agreement"][0]
    return (
        f"Made out of random numbers by a small network that learnt from the {facts['data']['train']:,} training cells "
        f"of {spec.title}. A model that knows real cells named {100 * agreed['accuracy']:.0f} % of {agreed['n']:,} "
        "such cells as they were asked for. Pixel by pixel they are no more like a training cell than "
        "cells that no training has seen. They show what the page does, not what a cell must look like."
    )


def placeholder_cells(spec: DatasetSpec, size: int, code: str, count: int) -> np.ndarray:
    """``count`` (20 at most) cells uint8 (count, S, S, 3) of the class ``code`` at ``size`` px, without a wait."""
    if generator_of(spec) is None:
        return _drawn_page(DRAWN_SPEC.codes.index(code), size, 0, count)
    return placeholder_page(spec, size, code, 0)[:count]


def placeholder_page(spec: DatasetSpec, size: int, code: str, number: int, report: Report = silent) -> np.ndarray:
    """A page of cells uint8 (20, S, S, 3) of the class ``code`` at ``size`` px. Shared: don't write into it.

    Page 0 is at hand; others take seconds the first time, during which ``report`` is told how many are done.
    Raises `BadGenerator` where the generator is broken.
    """
    generator = generator_of(spec)
    if generator is None:
        return _drawn_page(DRAWN_SPEC.codes.index(code), size, number, PLACEHOLDERS_PER_PAGE)
    if number == 0:
        sheet = _sheet(generator)
        assert sheet is not None  # else it would not be the data set's generator
        made = sheet[0][sheet[1] == generator.codes.index(code)][:PLACEHOLDERS_PER_PAGE]
    else:
        made = _generated_page(generator, code, number, report)
    if size >= made.shape[1]:  # nothing is enlarged
        return made
    return np.stack([resize_crop(image, size, spec) for image in made])


def _generator_key(generator: Generator, *page: object) -> tuple[object, ...]:
    return str(generator.path), generator.facts["figures"]["cells"], *page[:2]


@st.cache_resource(max_entries=4, show_spinner=False, hash_funcs={Generator: _generator_key})
def _sheet(generator: Generator) -> tuple[np.ndarray, np.ndarray] | None:
    return load_sheet(generator)


# Not by Streamlit: from inside its cached functions no bar can be drawn.
@cached(LRUCache(MAX_GENERATED_PAGES), key=_generator_key, lock=Lock())
def _generated_page(generator: Generator, code: str, number: int, report: Report) -> np.ndarray:
    label = generator.codes.index(code)
    images = generate(generator, [label] * PLACEHOLDERS_PER_PAGE, seed=1000 * number + label, report=report)
    images.setflags(write=False)
    return images


@st.cache_resource(max_entries=64, show_spinner=False)
def _drawn_page(label: int, size: int, number: int, count: int) -> np.ndarray:
    images = draw_cells([label] * count, size, seed=1000 * number + label)
    images.setflags(write=False)
    return images


_KIND_IN_NAME = {DRAWN: "drawn", GENERATED: "generated"}  # in a cell's name
_SIDE = 96


@dataclass(frozen=True)
class Sample:
    """One cell: ``name``, ``pixels`` uint8 (S, S, 3), ``truth`` (class code), ``source`` as a person reads it."""

    name: str
    pixels: np.ndarray
    truth: str
    source: str

    @property
    def real(self) -> bool:
        """Whether it is a patient's cell, not one that stands in."""
        return self.source not in _KIND_IN_NAME


@st.cache_resource(max_entries=8, show_spinner="Reading sample pictures")
def _samples(
    dataset: str, size: int, per_class: int, seed: int, available: tuple[int, ...], version: str, source: str
) -> list[Sample]:
    spec = get_dataset(dataset)
    # The size asked for, else a larger one (which loses nothing when reduced), else the largest there is.
    for found_size in sorted(available, key=lambda s: (s != size, s < size, abs(s - size))):
        try:
            loaded = cache.dataset_images(dataset, found_size)
        except DatasetUnavailable:
            continue
        test, rng = loaded["test"], np.random.default_rng(seed)
        chosen = []
        for number, code in enumerate(loaded.spec.codes):  # the classes that are there
            where = np.flatnonzero(test.labels == number)
            for i in rng.permutation(where)[:per_class]:
                real = loaded.provenance.label + ", test split"
                chosen.append(Sample(f"{code} {test.ids[i]}", test.images[i], code, real))
        return chosen
    if not has_placeholders(spec):
        return []
    return [
        Sample(f"{code} {_KIND_IN_NAME[source]} {n + 1}", image, code, source)
        for code in spec.codes
        for n, image in enumerate(placeholder_cells(spec, size, code, per_class))
    ]


def samples(dataset: str, size: int, per_class: int = 1, seed: int = 0) -> list[Sample]:
    """``per_class`` cells of each class in the data set's order, at ``size`` px or the nearest size there is.

    Real cells come from the test split, which no model has learnt from; where the data is not on this
    computer, generated or drawn cells of the same classes stand in, and say so; [] where nothing can.
    Shared and cached: don't write into them.
    """
    spec = get_dataset(dataset)
    available = tuple(s for s in spec.sizes if spec.real and cache.is_available(dataset, s))
    return _samples(dataset, size, per_class, seed, available, cache.images_version(dataset), placeholder_label(spec))


def sample_row(
    cells: list[Sample],
    names: dict[str, str],
    *,
    key: str,
    on_pick: Callable[[list[Sample]], None],
    unit: str = "cell",
) -> None:
    """A row of ``cells`` with a button under each and one for all; ``names`` spells out the codes.

    ``unit`` is what one picture shows. Where there are none, says why.

    ``on_pick`` is called (before the page runs again) with the cells that were taken.
    """
    if not cells:
        st.caption(f"Sample {unit}s appear here once the images of this data set are on this computer (see Dataset).")
        return
    source = "drawn cells, not real" if cells[0].source == DRAWN else cells[0].source
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown(f"**Or try sample {unit}s**", width="content")
        st.caption(source, width="content")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for cell in cells:
            with st.container(width=_SIDE, gap="xxsmall"):
                st.image(enlarge(cell.pixels, 2 * _SIDE), width=_SIDE, alt=f"{names[cell.truth]}, {source}")
                st.button(
                    cell.truth,
                    key=f"{key}_{cell.name}",
                    help=f"Take this {unit}: {names[cell.truth]}",
                    on_click=on_pick,
                    args=([cell],),
                    width="stretch",
                )
        st.button(
            f"Take all {len(cells)}", key=f"{key}_all", icon=":material/select_all:", on_click=on_pick, args=(cells,)
        )
