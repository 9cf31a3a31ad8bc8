"""Cells to try a page with: real test cells where the data is on this computer, else drawn ones."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st

from core import paths
from core.datasets import DatasetUnavailable, get_dataset
from dashboard import catalogue
from dashboard.widgets.pictures import enlarge

DRAWN = "drawn, not real"
_SIDE = 96


@dataclass(frozen=True)
class Sample:
    """One cell: ``name``, ``pixels`` uint8 (S, S, 3), ``truth`` (class code), ``source`` as a person reads it."""

    name: str
    pixels: np.ndarray
    truth: str
    source: str

    @property
    def drawn(self) -> bool:
        return self.source == DRAWN


@st.cache_resource(max_entries=8, show_spinner="Reading sample cells")
def _samples(dataset: str, size: int, per_class: int, seed: int, available: tuple[int, ...], root: str) -> list[Sample]:
    spec = get_dataset(dataset)
    # The size asked for, else a larger one (which loses nothing when reduced), else the largest there is.
    for found in sorted(available, key=lambda s: (s != size, s < size, abs(s - size))):
        try:
            loaded = catalogue.loaded(dataset, found)
        except DatasetUnavailable:
            continue
        test, rng = loaded["test"], np.random.default_rng(seed)
        chosen = []
        for number, code in enumerate(spec.codes):
            where = np.flatnonzero(test.labels == number)
            for i in rng.permutation(where)[:per_class]:
                source = loaded.provenance.label + ", test split"
                chosen.append(Sample(f"{code} {test.ids[i]}", test.images[i], code, source))
        return chosen
    from core.datasets.synthetic import draw_cells

    labels = np.repeat(np.arange(len(spec.codes)), per_class)
    drawn = draw_cells(labels, size, seed)
    return [
        Sample(f"{spec.codes[c]} drawn {n + 1}", image, spec.codes[c], DRAWN)
        for n, (c, image) in enumerate(zip(labels, drawn, strict=True))
    ]


def samples(dataset: str, size: int, per_class: int = 1, seed: int = 0) -> list[Sample]:
    """``per_class`` cells of each class in the data set's order, at ``size`` px or the nearest size there is.

    Real cells come from the test split, which no model has learnt from; where the data is not on this
    computer, drawn cells of the same classes stand in, and say so. Shared and cached: don't write into them.
    """
    spec = get_dataset(dataset)
    available = tuple(s for s in spec.sizes if spec.real and catalogue.is_available(dataset, s))
    return _samples(dataset, size, per_class, seed, available, str(paths.data_root()))


def sample_row(
    cells: list[Sample], names: dict[str, str], *, key: str, on_pick: Callable[[list[Sample]], None]
) -> None:
    """A row of ``cells`` with a button under each and one for all; ``names`` spells out the codes.

    ``on_pick`` is called (before the page runs again) with the cells that were taken.
    """
    drawn = bool(cells) and cells[0].drawn
    source = "drawn cells, not real" if drawn else cells[0].source
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown("**Or try sample cells**", width="content")
        st.caption(source, width="content")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for cell in cells:
            with st.container(width=_SIDE, gap="xxsmall"):
                st.image(enlarge(cell.pixels, 2 * _SIDE), width=_SIDE, alt=f"{names[cell.truth]}, {source}")
                st.button(
                    cell.truth,
                    key=f"{key}_{cell.name}",
                    help=f"Take this cell: {names[cell.truth]}",
                    on_click=on_pick,
                    args=([cell],),
                    width="stretch",
                )
        st.button(
            f"Take all {len(cells)}", key=f"{key}_all", icon=":material/select_all:", on_click=on_pick, args=(cells,)
        )
