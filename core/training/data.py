"""What a network trains on: images on the device, cells of an auxiliary data set, soft targets of distillation.

An auxiliary data set is another laboratory's: the network has one set of classes for both, the plainest way to
generalise over domains (Gulrajani and Lopez-Paz 2021, arXiv:2007.01434, find none that does better reliably).
Distillation (Hinton, Vinyals and Dean 2015, arXiv:1503.02531) may read the images at another size than the network
that learns (privileged information, Lopez-Paz et al. 2016, arXiv:1511.03643).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from core.datasets import LoadedDataset, Split, get_dataset
from core.datasets.base import AuxiliaryFor, ImageRows
from core.images.crop import centre_box
from core.inference import engine
from core.models.base import to_float
from core.probabilities import softmax
from core.progress import Report, batches, silent
from core.runs import Run, find_run
from core.training.config import BadConfig, TrainConfig
from core.training.optim import autocast


class DeviceImages:
    """Pictures uint8 (N, S, S, 3) that give those of a batch on ``device``: index with int64 (n,).

    Arrays in memory lie on the device as a whole. Rows on disk do so on a GPU with room for them; else each
    batch is read when it is asked for, so that memory does not grow with the data set.
    """

    def __init__(self, images: np.ndarray | ImageRows, device: torch.device) -> None:
        self.device, self.images = device, images
        fits = not isinstance(images, ImageRows) or (
            device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 2
        )
        # A copy: the data set's arrays are read-only and shared.
        self.held = torch.from_numpy(np.array(images)).to(device) if fits else None

    def __getitem__(self, chosen: Tensor) -> Tensor:
        if self.held is not None:
            return self.held[chosen]
        return torch.from_numpy(self.images[chosen.cpu().numpy()]).to(self.device)


def channel_statistics(images: np.ndarray | ImageRows) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of uint8 ``images`` (N, S, S, 3), in units of the full range."""
    sums, squares = np.zeros(3), np.zeros(3)
    for rows in batches(len(images), 512):
        pixels = images[rows].reshape(-1, 3).astype(np.float32) / 255
        sums += pixels.sum(0, dtype=np.float64)
        squares += (pixels**2).sum(0, dtype=np.float64)
    count = math.prod(images.shape) / 3
    mean = sums / count
    return mean.tolist(), np.sqrt(np.maximum(squares / count - mean**2, 1e-6)).tolist()


@torch.inference_mode()
def network_logits(
    network: nn.Module, images: np.ndarray | ImageRows, device: torch.device, *, bf16: bool = False, batch: int = 256
) -> Tensor:
    """Logits float32 (N, C) on the CPU for uint8 ``images`` (N, S, S, 3); leaves the network in eval mode."""
    network.eval()
    parts = []
    for rows in batches(len(images), batch):
        with autocast(device, bf16):
            parts.append(network(to_float(images[rows], device)).float().cpu())
    return torch.cat(parts)


_CHUNK = 512  # pictures


@dataclass(frozen=True)
class AuxiliaryData:
    """The cells ``split`` of another laboratory, at the size and in the classes of the data set that they join.

    ``facts`` is what a run says of them; ``content_hash`` stands for them in its name.
    """

    split: Split
    facts: dict[str, Any]
    content_hash: str


def load_auxiliary(config: TrainConfig, data: LoadedDataset, report: Report = silent) -> AuxiliaryData | None:
    """The cells that ``config.auxiliary`` names, None where it names none.

    Its test cells stay away, so that they remain unseen by whatever is trained here. Raises `DatasetUnavailable`, and
    `BadConfig` where no class that is there is one of the data set's.
    """
    if not config.auxiliary:
        return None
    spec = get_dataset(config.auxiliary)
    auxiliary_for = spec.auxiliary_for
    assert auxiliary_for is not None  # the configuration has made sure
    size = min((s for s in spec.sizes if s * auxiliary_for.crop >= config.size), default=max(spec.sizes))
    loaded = spec.load(size, report=report)
    part = _in_classes_of(loaded, auxiliary_for, data.spec.codes, config.size)
    counts = np.bincount(part.labels, minlength=len(data.spec.codes))
    facts = {
        "name": spec.name,
        "title": spec.title,
        "provenance": loaded.provenance.as_json(),
        "counts": {code: int(n) for code, n in zip(data.spec.codes, counts, strict=True) if n},
    }
    return AuxiliaryData(part, facts, loaded.provenance.content_hash)


def _in_classes_of(data: LoadedDataset, auxiliary_for: AuxiliaryFor, codes: tuple[str, ...], size: int) -> Split:
    """Train and val cells of ``data`` whose class there is one of ``codes`` here, cut to one physical scale.

    Raises `BadConfig` where there is none.
    """
    names = [auxiliary_for.classes.get(code) for code in data.spec.codes]
    target_of = np.array([codes.index(name) if name in codes else -1 for name in names])
    images, labels, ids = [], [], []
    for part in (data["train"], data["val"]):
        rows = np.flatnonzero(target_of[part.labels] >= 0)
        # A few at a time: all of a large set, whole and at its own size, need not fit into memory.
        for chosen in np.array_split(rows, -(-len(rows) // _CHUNK)) if len(rows) else ():
            images.append(_centre_crops(part.images[chosen], auxiliary_for.crop, size))
            labels.append(target_of[part.labels[chosen]])
            ids.append(part.ids[chosen])
    if not images:
        raise BadConfig(
            f"auxiliary can't be {data.spec.name!r}: none of its classes that are here ({', '.join(data.spec.codes)}) "
            f"is one of {', '.join(codes)}"
        )
    return Split(np.concatenate(images), np.concatenate(labels), np.concatenate(ids))


def _centre_crops(images: np.ndarray, fraction: float, size: int) -> np.ndarray:
    """The central share ``fraction`` of pictures uint8 (N, S, S, 3), resized to uint8 (N, size, size, 3)."""
    side = images.shape[1]
    box = centre_box(side, side, round(fraction * side))
    bilinear = Image.Resampling.BILINEAR
    crops = [np.asarray(Image.fromarray(image).crop(box).resize((size, size), bilinear)) for image in images]
    return np.stack(crops)


def content_hashes(data: LoadedDataset, auxiliary: AuxiliaryData | None) -> list[str]:
    """What stands for all cells that a run trains on, in its name."""
    return [data.provenance.content_hash, *([auxiliary.content_hash] if auxiliary else [])]


def concatenate_auxiliary(own_split: Split, auxiliary: AuxiliaryData | None) -> Split:
    """``own_split`` and after it the cells of the auxiliary data set."""
    if auxiliary is None:
        return own_split
    pairs = ((getattr(own_split, name), getattr(auxiliary.split, name)) for name in ("images", "labels", "ids"))
    return Split(*(np.concatenate([np.asarray(a[:]), b]) for a, b in pairs))


def epoch_order(own_count: int, auxiliary_count: int, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """The order int64 in which an epoch meets the cells: ``own_count`` ones first in the count, then
    ``auxiliary_count``.

    With an auxiliary data set each batch has the share ``config.auxiliary_fraction`` of its cells, drawn anew, and an
    epoch stays as long as it would be without, so that each meets a part of its own cells.
    """
    order = torch.randperm(own_count, generator=generator)
    if not auxiliary_count:
        return order
    steps = max(1, own_count // config.batch_size)
    auxiliary_per_batch = round(config.auxiliary_fraction * config.batch_size)
    own_batches = order[: steps * (config.batch_size - auxiliary_per_batch)].view(steps, -1)
    return torch.cat(
        [own_batches, own_count + torch.randint(auxiliary_count, (steps, auxiliary_per_batch), generator=generator)], 1
    ).flatten()


DISTILL_TEMPERATURE = 2.0  # softens the teachers' probabilities, so that the less likely classes are heard


def smooth_labels(labels: np.ndarray, classes: int, smoothing: float) -> Tensor:
    """Labels (N,) as float (N, classes), of which the share ``smoothing`` is spread over all classes."""
    return F.one_hot(torch.tensor(labels), classes).float() * (1 - smoothing) + smoothing / classes


def training_targets(config: TrainConfig, data: LoadedDataset) -> Tensor:
    """What the network shall answer for each training picture, float (N, classes), rows that sum to 1.

    A share ``config.distill_alpha`` comes from the runs named in ``config.distill_from`` (their mean), the rest from
    the labels, smoothed by ``config.label_smoothing``. Raises `BadConfig` where one doesn't fit.
    """
    labels = smooth_labels(data["train"].labels, len(data.spec.classes), config.label_smoothing)
    if not config.distill_from:
        return labels
    predictions = [
        _teacher_probabilities(find_run(name, config.dataset), data) for name in config.distill_from.split(",")
    ]
    soft_labels = torch.from_numpy(np.mean(predictions, axis=0)).float()
    return config.distill_alpha * soft_labels + (1 - config.distill_alpha) * labels


def _teacher_probabilities(run: Run, data: LoadedDataset) -> np.ndarray:
    teacher_data = data if run.size == data.size else get_dataset(run.dataset).load(run.size)
    if not np.array_equal(teacher_data["train"].ids, data["train"].ids):
        raise BadConfig(
            f"distill_from can't be {run.name}: its {run.size} px training pictures are not those of the "
            f"{data.size} px set ({teacher_data.provenance.label}, {data.provenance.label})"
        )
    return softmax(engine.logits(run, teacher_data["train"].images) / DISTILL_TEMPERATURE)
