"""Images that are the same to the pixel: the same cell twice, perhaps in two splits or with two labels."""

from collections import defaultdict
from typing import NamedTuple

from core.datasets.base import SPLITS, LoadedDataset
from core.datasets.similar import pixel_digests


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
        for digest, identity, label in zip(pixel_digests(part.images), part.ids, part.labels, strict=True):
            found[digest.tobytes()].append(Member(split, str(identity), int(label)))
    return [tuple(members) for members in found.values() if len(members) > 1]
