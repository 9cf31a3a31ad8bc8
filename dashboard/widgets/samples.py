"""Cells to try a page with: real test cells where the data is on this computer, else some that stand in."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from core import paths
from core.datasets import DatasetUnavailable, get_dataset
from dashboard import catalogue, stand_in
from dashboard.stand_in import DRAWN, GENERATED
from dashboard.widgets.pictures import enlarge

_WORDS = {DRAWN: "drawn", GENERATED: "generated"}  # in a cell's name
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
        return self.source not in _WORDS


@st.cache_resource(max_entries=8, show_spinner="Reading sample pictures")
def _samples(
    dataset: str, size: int, per_class: int, seed: int, available: tuple[int, ...], root: str, source: str
) -> list[Sample]:
    spec = get_dataset(dataset)
    # The size asked for, else a larger one (which loses nothing when reduced), else the largest there is.
    for found in sorted(available, key=lambda s: (s != size, s < size, abs(s - size))):
        try:
            loaded = catalogue.loaded(dataset, found)
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
    if not stand_in.possible(spec):
        return []
    return [
        Sample(f"{code} {_WORDS[source]} {n + 1}", image, code, source)
        for code in spec.codes
        for n, image in enumerate(stand_in.cells(spec, size, code, per_class))
    ]


def samples(dataset: str, size: int, per_class: int = 1, seed: int = 0) -> list[Sample]:
    """``per_class`` cells of each class in the data set's order, at ``size`` px or the nearest size there is.

    Real cells come from the test split, which no model has learnt from; where the data is not on this
    computer, generated or drawn cells of the same classes stand in, and say so; [] where nothing can.
    Shared and cached: don't write into them.
    """
    spec = get_dataset(dataset)
    available = tuple(s for s in spec.sizes if spec.real and catalogue.is_available(dataset, s))
    return _samples(dataset, size, per_class, seed, available, str(paths.data_root()), stand_in.label(spec))


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
