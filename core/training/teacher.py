"""Soft labels from runs that know more: distillation (Hinton, Vinyals and Dean 2015, arXiv:1503.02531).

A teacher may see the pictures at another size than its pupil: at 28 px a network learns what a 64 px one
saw (learning with privileged information, Lopez-Paz et al. 2016, arXiv:1511.03643).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from core.datasets import LoadedDataset, get_dataset
from core.evaluation import softmax
from core.runs import Run, find_run
from core.serving import engine
from core.training.config import BadConfig, TrainConfig

TEMPERATURE = 2.0  # softens the teachers' probabilities, so that the less likely classes are heard


def smoothed(labels: np.ndarray, classes: int, smoothing: float) -> Tensor:
    """Labels (N,) as float (N, classes), of which the share ``smoothing`` is spread over all classes."""
    return F.one_hot(torch.tensor(labels), classes).float() * (1 - smoothing) + smoothing / classes


def targets(config: TrainConfig, data: LoadedDataset) -> Tensor:
    """What the network shall answer for each training picture, float (N, classes), rows that sum to 1.

    A share ``config.teaching`` comes from the teachers named in ``config.teacher`` (their mean), the rest from
    the labels, smoothed by ``config.label_smoothing``. Raises `BadConfig` where a teacher doesn't fit.
    """
    labels = smoothed(data["train"].labels, len(data.spec.classes), config.label_smoothing)
    if not config.teacher:
        return labels
    taught = [_soft_labels(find_run(name, config.dataset), data) for name in config.teacher.split(",")]
    soft = torch.from_numpy(np.mean(taught, axis=0)).float()
    return config.teaching * soft + (1 - config.teaching) * labels


def _soft_labels(run: Run, data: LoadedDataset) -> np.ndarray:
    seen = data if run.size == data.size else get_dataset(run.dataset).load(run.size)
    if not np.array_equal(seen["train"].ids, data["train"].ids):
        raise BadConfig(
            f"teacher can't be {run.name}: its {run.size} px training pictures are not those of the "
            f"{data.size} px set ({seen.provenance.label}, {data.provenance.label})"
        )
    return softmax(engine.logits(run, seen["train"].images) / TEMPERATURE)
