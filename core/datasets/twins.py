"""Images that are the same to the pixel: the same cell twice, perhaps in two splits or with two labels."""

import hashlib
from collections import defaultdict
from typing import NamedTuple

from core.datasets.base import SPLITS, LoadedDataset


class Member(NamedTuple):
    """One of several identical images: its split, its id there, and its label (class index)."""

    split: str
    id: str
    label: int


def identical_images(loaded: LoadedDataset) -> list[tuple[Member, ...]]:
    """Groups of two or more images of any splits that are the same to the pixel."""
    found: dict[bytes, list[Member]] = defaultdict(list)
    for split in SPLITS:
        part = loaded[split]
        for image, identity, label in zip(part.images, part.ids, part.labels, strict=True):
            found[hashlib.sha256(image).digest()].append(Member(split, str(identity), int(label)))
    return [tuple(members) for members in found.values() if len(members) > 1]
