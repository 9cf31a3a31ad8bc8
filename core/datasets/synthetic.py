"""Drawn cells of the eight classes: the offline default and the tests' data. Drawn, not real."""

from functools import lru_cache

import numpy as np

from core.datasets.base import (
    DatasetSpec,
    DatasetUnavailable,
    LoadedDataset,
    Provenance,
    Split,
    register,
)
from core.datasets.base import content_hash as hash_of
from core.datasets.bloodmnist import CLASSES
from core.datasets.drawing import draw
from core.progress import Report, silent

SIZES = (28, 64, 128, 224)
COUNTS = {"train": 1600, "val": 320, "test": 480}
LABEL = "drawn, not real"


def draw_cells(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Drawn cells, uint8 (N, size, size, 3) RGB: one for each class index (0 to 7) in ``labels``.

    The same labels and seed give the same cells, and the same ones at each size.
    """
    return draw(labels, size, seed)


def counts(size: int) -> dict[str, int]:
    """Cells by split; fewer at 128 and 224 px, where drawing takes long."""
    share = {128: 4, 224: 8}.get(size, 1)
    return {split: count // share for split, count in COUNTS.items()}


@lru_cache(maxsize=4)
def _loaded(size: int) -> LoadedDataset:
    splits = {}
    for number, (split, count) in enumerate(counts(size).items()):
        labels = np.random.default_rng(100 + number).permutation(np.arange(count) % len(CLASSES))
        images = draw_cells(labels, size, seed=number)
        ids = np.array([f"drawn-{split}-{i:05d}" for i in range(len(labels))])
        for array in (images, labels, ids):
            array.setflags(write=False)
        splits[split] = Split(images, labels, ids)
    return LoadedDataset(SPEC, size, Provenance("drawn", LABEL, hash_of(splits)), splits)


def load(size: int, content_hash: str | None = None, scheme: str = "", report: Report = silent) -> LoadedDataset:
    """The drawn data set at ``size``, always the same ones."""
    if size not in SIZES:
        raise DatasetUnavailable(f"Cells are drawn at {', '.join(map(str, SIZES))} px, not at {size} px.")
    loaded = _loaded(size)
    if content_hash not in (None, loaded.provenance.content_hash):
        raise DatasetUnavailable(
            f"The drawn cells with content {content_hash} came from another version of HemaLens; "
            f"this one draws {loaded.provenance.content_hash}."
        )
    return loaded


def available(size: int) -> bool:
    """Always, at the sizes there are."""
    return size in SIZES


SPEC = register(
    DatasetSpec(
        name="synthetic",
        title="Drawn cells",
        summary="Cells drawn by HemaLens for tests and for use without the real images; drawn, not real.",
        classes=CLASSES,
        sizes=SIZES,
        real=False,
        domain="drawings; no model trained on them knows anything of real cells",
        licence="the same as HemaLens's own",
        citation="HemaLens, core/datasets/synthetic.py",
        url="",
        load=load,
        available=available,
    )
)
