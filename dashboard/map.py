"""A map of a data set's pictures as a model sees them: the sample, where the model puts it, who lies beside whom."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import LoadedDataset
from core.evaluation.projection import Projection, project, same_class_share, unit
from core.progress import Progress
from core.runs import Run
from core.serving.embedding import embed, has_embedding
from dashboard import catalogue

SAMPLE = 1500
SPLITS = ("val", "test")  # what no model has learnt from


@dataclass(frozen=True)
class Sample:
    """N pictures of val and test: ``splits`` and ``ids`` str (N,), ``rows`` within their split and ``labels`` (N,)."""

    splits: np.ndarray
    rows: np.ndarray
    ids: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, loaded: LoadedDataset, chosen: np.ndarray | None = None) -> np.ndarray:
        """The pictures uint8 (n, S, S, 3) of the ``chosen`` positions, in their order (None: all)."""
        chosen = np.arange(len(self)) if chosen is None else np.asarray(chosen, int)
        out = np.empty((len(chosen), loaded.size, loaded.size, 3), np.uint8)
        for split in SPLITS:
            here = np.flatnonzero(self.splits[chosen] == split)
            if len(here):
                out[here] = loaded[split].images[self.rows[chosen[here]]]
        return out

    def name(self, position: int) -> str:
        """What the picture is called in an address: ids are unique within a split only."""
        return f"{self.splits[position]} {self.ids[position]}"

    def find(self, name: str) -> int | None:
        """The position of the picture with this `name`; None where the sample hasn't got it."""
        split, _, identity = name.partition(" ")
        found = np.flatnonzero((self.splits == split) & (self.ids == identity))
        return int(found[0]) if len(found) else None


@dataclass(frozen=True)
class Atlas:
    """A sample and the ``vectors`` float32 (N, K) that a model gives it; ``agree``: see `same_class_share`, K = 10."""

    sample: Sample
    vectors: np.ndarray
    agree: np.ndarray


def suitable(name: str, size: int, scheme: str, codes: tuple[str, ...]) -> list[Run]:
    """Runs that can draw a map of the data set at ``size``: networks of these classes that learnt in this split."""
    return [
        run
        for run in catalogue.runs(name)
        if run.size == size and has_embedding(run) and run.codes == codes and run.scheme in ("", scheme)
    ]


def sample(loaded: LoadedDataset, most: int = SAMPLE) -> Sample:
    """Up to ``most`` pictures of val and test, each as likely as any other, always the same ones."""
    sizes = [len(loaded[split]) for split in SPLITS]
    chosen = np.sort(np.random.default_rng(0).permutation(sum(sizes))[:most])
    splits = np.repeat(SPLITS, sizes)[chosen]
    rows = np.concatenate([np.arange(size) for size in sizes])[chosen]
    ids = np.concatenate([loaded[split].ids for split in SPLITS])[chosen].astype(str)
    labels = np.concatenate([loaded[split].labels for split in SPLITS])[chosen]
    return Sample(splits, rows, ids, labels)


def atlas(run: Run, loaded: LoadedDataset, report: Callable[[Progress], None]) -> Atlas:
    """Where ``run`` puts the sample; asked once for each run and build of the images. Raises `EngineError`."""

    def make() -> Atlas:
        chosen = sample(loaded)
        vectors = embed(run, chosen.images(loaded), report)
        return Atlas(chosen, vectors, same_class_share(vectors, chosen.labels))

    return _slot("atlas", *catalogue.mark(run), loaded.provenance.content_hash).fill(make)


def points(run: Run, loaded: LoadedDataset, found: Atlas, method: str) -> Projection:
    """The map of ``found``, by directions as likeness is, drawn once for each run, build and method."""
    slot = _slot(f"points-{method}", *catalogue.mark(run), loaded.provenance.content_hash)
    return slot.fill(lambda: project(unit(found.vectors), method))


def table(found: Atlas, drawn: Projection, codes: tuple[str, ...]) -> pd.DataFrame:
    """A row a picture: id, split, class, x and y on the map, and the share of its ten nearest of its own class."""
    chosen = found.sample
    return pd.DataFrame(
        {
            "id": chosen.ids,
            "split": chosen.splits,
            "class": np.array(codes)[chosen.labels],
            "x": drawn.points[:, 0],
            "y": drawn.points[:, 1],
            "same_class": found.agree,
        }
    )


class _Slot:
    """A place for one result that several visitors may ask for: the first one makes it, the others wait.

    Not a cached function: those can't draw a progress bar that stands outside of them.
    """

    def __init__(self) -> None:
        self._lock, self._value = threading.Lock(), None

    def fill(self, make: Callable[[], Any]) -> Any:
        with self._lock:
            if self._value is None:
                self._value = make()
            return self._value


@st.cache_resource(max_entries=24, show_spinner=False)
def _slot(*key: object) -> _Slot:
    return _Slot()
