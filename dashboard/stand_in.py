"""Cells that stand in where no real image is on this computer: generated ones where a generator is, else drawn ones.

Either kind says what it is wherever it is shown.
"""

from collections import OrderedDict

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec
from core.datasets.synthetic import LABEL as DRAWN
from core.datasets.synthetic import SPEC as DRAWN_SPEC
from core.datasets.synthetic import draw_cells
from core.generator import LABEL as GENERATED
from core.generator import BadGenerator, Generator, find_generator, generate, sheet
from core.progress import Report, silent
from core.serving.preprocess import resized

PAGE = 20  # cells of one class at a time
MAX_PAGES = 64  # that were generated and are kept


def possible(spec: DatasetSpec) -> bool:
    """Whether cells can stand in for the data set's."""
    return generator_of(spec) is not None or set(spec.codes) <= set(DRAWN_SPEC.codes)


def generator_of(spec: DatasetSpec) -> Generator | None:
    """The generator that makes all of the data set's classes, with its sheet; None where there is none."""
    try:
        found = find_generator(spec.name) if spec.real else None
    except BadGenerator:  # drawn cells stand in; `python -m core generate show` tells what is wrong
        return None
    return found if found and set(spec.codes) <= set(found.codes) and _sheet(found) is not None else None


def label(spec: DatasetSpec) -> str:
    """What the cells that stand in for the data set's are, as a person reads it."""
    return GENERATED if generator_of(spec) else DRAWN


def about(spec: DatasetSpec) -> str | None:
    """Where generated cells come from and how far they are to be trusted; None where cells are drawn."""
    generator = generator_of(spec)
    if generator is None:
        return None
    facts = generator.facts
    agreed = facts["figures"]["agreement"][0]
    return (
        f"Made out of random numbers by a small network that learnt from the {facts['data']['train']:,} training cells "
        f"of {spec.title}. A model that knows real cells named {100 * agreed['share']:.0f} % of {agreed['n']:,} such "
        "cells as they were asked for. Pixel by pixel they are no more like a training cell than "
        "cells that no training has seen. They show what the page does, not what a cell must look like."
    )


def cells(spec: DatasetSpec, size: int, code: str, count: int) -> np.ndarray:
    """``count`` (20 at most) cells uint8 (count, S, S, 3) of the class ``code`` at ``size`` px, without a wait."""
    if generator_of(spec) is None:
        return _drawn(DRAWN_SPEC.codes.index(code), size, 0, count)
    return page(spec, size, code, 0)[:count]


def page(spec: DatasetSpec, size: int, code: str, number: int, report: Report = silent) -> np.ndarray:
    """A page of cells uint8 (20, S, S, 3) of the class ``code`` at ``size`` px. Shared: don't write into it.

    Page 0 is at hand; others take seconds the first time, during which ``report`` is told how many are done.
    Raises `BadGenerator` where the generator is broken.
    """
    generator = generator_of(spec)
    if generator is None:
        return _drawn(DRAWN_SPEC.codes.index(code), size, number, PAGE)
    if number == 0:
        made, labels = _sheet(generator)
        made = made[labels == generator.codes.index(code)][:PAGE]
    else:
        made = _generated(generator, code, number, report)
    return _at(made, size, spec)


def _at(images: np.ndarray, size: int, spec: DatasetSpec) -> np.ndarray:
    """``images`` uint8 (N, S, S, 3) at ``size`` px; as they are where that would enlarge them."""
    if size >= images.shape[1]:
        return images
    return np.stack([resized(image, size, spec) for image in images])


def _sheet(generator: Generator) -> tuple[np.ndarray, np.ndarray] | None:
    return _read_sheet(str(generator.path), generator.facts["figures"]["cells"], generator)


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_sheet(path: str, cells: int, _generator: Generator) -> tuple[np.ndarray, np.ndarray] | None:
    return sheet(_generator)


@st.cache_resource(show_spinner=False)
def _kept() -> OrderedDict[tuple[str, str, int], np.ndarray]:
    """Pages that were generated, the least recently seen first; a bar can't be drawn from inside a cached function."""
    return OrderedDict()


def _generated(generator: Generator, code: str, number: int, report: Report) -> np.ndarray:
    kept, key = _kept(), (str(generator.path), code, number)
    images = kept.pop(key, None)
    if images is None:
        label = generator.codes.index(code)
        images = generate(generator, [label] * PAGE, seed=1000 * number + label, report=report)
        images.setflags(write=False)
    kept[key] = images
    while len(kept) > MAX_PAGES:
        kept.popitem(last=False)
    return images


@st.cache_resource(max_entries=64, show_spinner=False)
def _drawn(label: int, size: int, number: int, count: int) -> np.ndarray:
    images = draw_cells([label] * count, size, seed=1000 * number + label)
    images.setflags(write=False)
    return images
