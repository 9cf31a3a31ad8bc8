"""Drawn cells with known faults: what an audit must find."""

import io

import numpy as np
from PIL import Image

from core.datasets import get_dataset
from core.datasets.base import LoadedDataset, Provenance, Split, content_hash
from core.datasets.synthetic import draw_cells

SIZE = 28
COUNTS = {"train": 480, "val": 160, "test": 80}
WRONG = 12  # labels changed in train
NEAR = (40, 41)  # rows of train that test holds, stored anew, as its first


def stored_anew(image: np.ndarray) -> np.ndarray:
    """The same picture a little brighter, after a JPEG of middling quality."""
    file = io.BytesIO()
    Image.fromarray(np.clip(image * 1.04 + 3, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))


def planted(*, faults: bool = True) -> LoadedDataset:
    """Drawn cells at 28 px; with ``faults`` copies across splits, wrong labels, and a bar whose shade tells the class.

    Identical: train 10 = train 11, train 20 = val 20, train 30 = test 30 with another label. Near: train 40, 41 and
    test 0, 1. Wrong labels: train 100 to 111, each moved on by three classes.
    """
    splits = {}
    for number, (name, count) in enumerate(COUNTS.items()):
        labels = np.arange(count) % 8
        images = draw_cells(labels, SIZE, seed=70 + number)
        if faults:
            for image, label in zip(images, labels, strict=True):  # a bar at the bottom right
                image[-3:-1, -5:-1] = 30 * label
        splits[name] = [images, labels, np.array([f"{name}-{i:03d}" for i in range(count)])]
    if faults:
        (train, learnt, _), (val, val_labels, _), (test, test_labels, _) = splits.values()
        train[11], learnt[11] = train[10], learnt[10]
        val[20], val_labels[20] = train[20], learnt[20]
        test[30], test_labels[30] = train[30], (learnt[30] + 1) % 8
        for row, near in enumerate(NEAR):
            test[row], test_labels[row] = stored_anew(train[near]), learnt[near]
        learnt[100 : 100 + WRONG] = (learnt[100 : 100 + WRONG] + 3) % 8
    parts = {name: Split(*arrays) for name, arrays in splits.items()}
    hash_ = content_hash(parts)
    return LoadedDataset(get_dataset("synthetic"), SIZE, Provenance("drawn", "drawn, not real", hash_), parts)
