"""Cells of a second laboratory that train beside a data set's own: what holds in two stains holds sooner in a third.

The network has one set of classes for both, so that a lymphocyte is a lymphocyte in either stain: the plainest way to
generalise over domains (Gulrajani and Lopez-Paz 2021, arXiv:2007.01434, find none that does better reliably).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.datasets import LoadedDataset, Split, get_dataset
from core.datasets.base import Kin
from core.progress import Report, silent
from core.serving.preprocess import centre_box
from core.training.config import BadConfig, TrainConfig

_AT_A_TIME = 512  # pictures


@dataclass(frozen=True)
class Guests:
    """The cells ``part`` of another laboratory, at the size and in the classes of the data set that they join.

    ``facts`` is what a run says of them; ``content_hash`` stands for them in its name.
    """

    part: Split
    facts: dict[str, Any]
    content_hash: str


def invite(config: TrainConfig, data: LoadedDataset, report: Report = silent) -> Guests | None:
    """The cells that ``config.beside`` names, None where it names none.

    Its test cells stay away, so that they remain unseen by whatever is trained here. Raises `DatasetUnavailable`, and
    `BadConfig` where no class that is there is one of the data set's.
    """
    if not config.beside:
        return None
    spec = get_dataset(config.beside)
    size = min((s for s in spec.sizes if s * spec.kin.crop >= config.size), default=max(spec.sizes))
    found = spec.load(size, report=report)
    part = _in_terms_of(found, spec.kin, data.spec.codes, config.size)
    counts = np.bincount(part.labels, minlength=len(data.spec.codes))
    facts = {
        "name": spec.name,
        "title": spec.title,
        "provenance": found.provenance.as_json(),
        "counts": {code: int(n) for code, n in zip(data.spec.codes, counts, strict=True) if n},
    }
    return Guests(part, facts, found.provenance.content_hash)


def _in_terms_of(data: LoadedDataset, kin: Kin, codes: tuple[str, ...], size: int) -> Split:
    """Train and val cells of ``data`` whose class is among ``codes`` of its ``kin``, cut to one physical scale.

    Raises `BadConfig` where there is none.
    """
    names = [kin.classes.get(code) for code in data.spec.codes]
    there = np.array([codes.index(name) if name in codes else -1 for name in names])
    images, labels, ids = [], [], []
    for part in (data["train"], data["val"]):
        known = np.flatnonzero(there[part.labels] >= 0)
        # A few at a time: all of a large set, whole and at its own size, need not fit into memory.
        for chosen in np.array_split(known, -(-len(known) // _AT_A_TIME)) if len(known) else ():
            images.append(_cut(part.images[chosen], kin.crop, size))
            labels.append(there[part.labels[chosen]])
            ids.append(part.ids[chosen])
    if not images:
        raise BadConfig(
            f"beside can't be {data.spec.name!r}: none of its classes that are here ({', '.join(data.spec.codes)}) is "
            f"one of {', '.join(codes)}"
        )
    return Split(np.concatenate(images), np.concatenate(labels), np.concatenate(ids))


def _cut(images: np.ndarray, crop: float, size: int) -> np.ndarray:
    """The central share ``crop`` of pictures uint8 (N, S, S, 3), resized to uint8 (N, size, size, 3)."""
    box = centre_box(*images.shape[1:3], round(crop * images.shape[1]))
    bilinear = Image.Resampling.BILINEAR
    cut = [np.asarray(Image.fromarray(image).crop(box).resize((size, size), bilinear)) for image in images]
    return np.stack(cut)


def content_hashes(data: LoadedDataset, guests: Guests | None) -> list[str]:
    """What stands for all cells that a run trains on, in its name."""
    return [data.provenance.content_hash, *([guests.content_hash] if guests else [])]


def joined(own: Split, guests: Guests | None) -> Split:
    """``own`` cells and after them the guests'."""
    if guests is None:
        return own
    pairs = ((getattr(own, name), getattr(guests.part, name)) for name in ("images", "labels", "ids"))
    return Split(*(np.concatenate([np.asarray(a[:]), b]) for a, b in pairs))


def epoch_order(own: int, guests: int, config: TrainConfig, draws: torch.Generator) -> Tensor:
    """The order int64 in which an epoch meets the cells: ``own`` ones first in the count, then ``guests``.

    With guests each batch has the share ``config.beside_share`` of them, drawn anew, and an epoch stays as long as it
    would be without, so that each meets a part of its own cells.
    """
    order = torch.randperm(own, generator=draws)
    if not guests:
        return order
    steps = max(1, own // config.batch_size)
    invited = round(config.beside_share * config.batch_size)
    at_home = order[: steps * (config.batch_size - invited)].view(steps, -1)
    return torch.cat([at_home, own + torch.randint(guests, (steps, invited), generator=draws)], 1).flatten()
