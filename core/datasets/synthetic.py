"""Drawn cells of the eight classes: the offline default and the tests' data; and the same cells as another laboratory
would show them, with another stain, another magnification and more around each cell. Drawn, not real.
"""

from functools import lru_cache

import numpy as np

from core.datasets.base import DatasetSpec, DatasetUnavailable, LoadedDataset, Provenance, Split, register
from core.datasets.base import content_hash as hash_of
from core.datasets.bloodmnist import CLASSES
from core.datasets.drawing import draw_cells_by_class
from core.progress import Report, silent

# Of optical density: how much of red, green and blue each of red, green and blue of the usual stain becomes. Bluer
# nuclei, duller reds, as with more azure B, less eosin and a buffer that is not acid enough.
_STAIN = np.array([[1.25, 0.10, 0.00], [0.12, 0.72, 0.10], [0.18, 0.05, 0.62]])
_DENSITY_GAIN = 1.1
_LAMP = np.array([0.02, 0.10, 0.16])  # optical density of an empty field: a yellowish lamp
_MARGIN = 0.12  # of a drawing's side, on each side of it
# BA, EO, ERB, IG, LY, MO, NE, PLT, of a hundred: a differential with a few of each rare kind.
CLASS_SHARES = np.array([5, 9, 4, 6, 24, 11, 36, 5])


def stain_shift_labels(count: int, seed: int = 0) -> np.ndarray:
    """Classes int (count,) of cells as a smear shows them, mixed, with at least one of each from 25 cells on."""
    rank = (np.arange(count) + 0.5) * CLASS_SHARES.sum() / count
    return np.random.default_rng(seed).permutation(np.searchsorted(np.cumsum(CLASS_SHARES), rank, side="right"))


def stain_shift_cells(labels: np.ndarray, side: int = 190, seed: int = 0) -> np.ndarray:
    """Drawn cells of class indexes ``labels`` (N,) in a foreign stain, uint8 (N, S, S, 3).

    ``side`` px is the drawing's side, the square that models know; S is a quarter more, mirrored at the border.
    """
    cells = draw_cells_by_class(labels, side, seed)
    density = -np.log((np.arange(256) + 1) / 256)[cells]
    tinted = 256 * np.exp(-_DENSITY_GAIN * (density @ _STAIN.T) - _LAMP) - 1
    margin = round(_MARGIN * side)
    cells = np.clip(tinted + 0.5, 0, 255).astype(np.uint8)
    return np.pad(cells, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="symmetric")


SIZES = (28, 64, 128, 224)
COUNTS = {"train": 1600, "val": 320, "test": 480}
PROVENANCE_LABEL = "drawn, not real"


def draw_cells(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Drawn cells, uint8 (N, size, size, 3) RGB: one for each class index (0 to 7) in ``labels``.

    The same labels and seed give the same cells, and the same ones at each size.
    """
    return draw_cells_by_class(labels, size, seed)


def split_counts(size: int) -> dict[str, int]:
    """Cells by split; fewer at 128 and 224 px, where drawing takes long."""
    divisor = {128: 4, 224: 8}.get(size, 1)
    return {split: count // divisor for split, count in COUNTS.items()}


@lru_cache(maxsize=4)
def _loaded(size: int) -> LoadedDataset:
    splits = {}
    for number, (split, count) in enumerate(split_counts(size).items()):
        labels = np.random.default_rng(100 + number).permutation(np.arange(count) % len(CLASSES))
        images = draw_cells(labels, size, seed=number)
        ids = np.array([f"drawn-{split}-{i:05d}" for i in range(len(labels))])
        for array in (images, labels, ids):
            array.setflags(write=False)
        splits[split] = Split(images, labels, ids)
    return LoadedDataset(SPEC, size, Provenance("drawn", PROVENANCE_LABEL, hash_of(splits)), splits)


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
