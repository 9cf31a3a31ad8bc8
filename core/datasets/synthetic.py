"""Drawn cells of the eight classes: the offline default and the tests' data. Drawn, not real."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from core.datasets.base import SPLITS, DatasetSpec, DatasetUnavailable, LoadedDataset, Provenance, Split, register
from core.datasets.base import content_hash as hash_of
from core.datasets.bloodmnist import CLASSES

SIZES = (28, 64, 128, 224)
COUNTS = {"train": 1600, "val": 320, "test": 480}
LABEL = "drawn, not real"


def draw_cells(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Drawn cells, uint8 (N, size, size, 3) RGB: one for each class index (0 to 7) in ``labels``."""
    labels = np.asarray(labels, dtype=np.int64)
    rngs = np.random.default_rng(seed).spawn(len(labels))
    if not len(labels):
        return np.zeros((0, size, size, 3), np.uint8)
    return np.stack([_draw(int(label), size, rng) for label, rng in zip(labels, rngs, strict=True)])


def _draw(label: int, size: int, rng: np.random.Generator) -> np.ndarray:
    side = size * 2
    picture = Image.new("RGB", (side, side), (242, 228, 222))
    pen = ImageDraw.Draw(picture)

    def disc(x, y, r, colour, squash=1.0):
        pen.ellipse(
            [(x - r) * side, (y - r * squash) * side, (x + r) * side, (y + r * squash) * side], fill=tuple(colour)
        )

    for _ in range(4):
        x, y = rng.uniform(-0.1, 1.1, 2)
        disc(x, y, 0.19, (226, 184, 176))
        disc(x, y, 0.08, (236, 208, 200))
    x, y = rng.normal(0.5, 0.03, 2)
    radius = (0.29, 0.31, 0.22, 0.34, 0.24, 0.36, 0.30, 0.10)[label] * rng.uniform(0.92, 1.08)
    cytoplasm = ((190, 160, 190), (228, 178, 160), (176, 164, 186), (190, 176, 206), (170, 186, 222), (184, 184, 206),
                 (232, 206, 214), (202, 180, 210))[label]  # fmt: skip
    nucleus = np.array((96, 56, 130)) + rng.integers(-10, 11, 3)
    disc(x, y, radius, cytoplasm, rng.uniform(0.92, 1.08))
    turn = rng.uniform(0, 2 * np.pi)
    lobes = {0: 3, 1: 2, 6: int(rng.integers(3, 6))}.get(label, 0)
    for k in range(lobes):
        angle = turn + 2 * np.pi * k / lobes
        disc(x + 0.45 * radius * np.cos(angle), y + 0.45 * radius * np.sin(angle), 0.36 * radius, nucleus)
    if label in (2, 3, 4):
        disc(x, y, radius * (0.62, 0.74, 0.86)[label - 2], nucleus - (30, 25, 30) if label == 2 else nucleus)
    if label == 5:
        disc(x, y, radius * 0.75, nucleus)
        disc(x + 0.6 * radius * np.cos(turn), y + 0.6 * radius * np.sin(turn), radius * 0.35, cytoplasm)
    grain = {0: (70, 36, 104), 1: (214, 120, 84), 3: (140, 90, 160), 7: (130, 80, 160)}.get(label)
    if grain:
        for _ in range(14 if label == 7 else 60):
            angle, far = rng.uniform(0, 2 * np.pi), radius * 0.92 * np.sqrt(rng.uniform())
            disc(x + far * np.cos(angle), y + far * np.sin(angle), 0.018 + 0.006 * rng.uniform(), grain)
    small = np.asarray(picture.resize((size, size), Image.Resampling.BOX), np.float32)
    return np.clip(small * rng.normal(1, 0.03, 3) + rng.normal(0, 3, small.shape), 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _loaded(size: int) -> LoadedDataset:
    splits = {}
    for number, split in enumerate(SPLITS):
        labels = np.random.default_rng(100 + number).permutation(np.arange(COUNTS[split]) % len(CLASSES))
        images = draw_cells(labels, size, seed=number)
        ids = np.array([f"drawn-{split}-{i:05d}" for i in range(len(labels))])
        for array in (images, labels, ids):
            array.setflags(write=False)
        splits[split] = Split(images, labels, ids)
    return LoadedDataset(SPEC, size, Provenance("drawn", LABEL, hash_of(splits)), splits)


def load(size: int, content_hash: str | None = None) -> LoadedDataset:
    """The drawn data set at ``size``: 1,600 / 320 / 480 cells, always the same ones."""
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
