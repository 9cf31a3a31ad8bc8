"""Gates of SE and CBAM blocks: for one picture, and as means over the pictures of each class.

SE: Hu, Shen and Sun 2018, arXiv:1709.01507 (figure 5 there plots gates by class as is done here).
CBAM: Woo et al. 2018, arXiv:1807.06521.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from core.datasets.base import ImageRows
from core.models.attention import GatedBlock, record_gates
from core.models.base import ImageClassifier, to_float
from core.progress import batches


@dataclass(frozen=True)
class StageGates:
    """Gates of one stage for one picture, all in (0, 1).

    ``channel`` float32 (C,); ``spatial`` float32 (h, w) for CBAM, else None.
    """

    stage: str
    channel: np.ndarray
    spatial: np.ndarray | None = None


def has_gates(network: torch.nn.Module) -> bool:
    """True where the network holds attention blocks."""
    return any(isinstance(module, GatedBlock) for module in network.modules())


def image_gates(network: ImageClassifier, image: np.ndarray) -> list[StageGates]:
    """Gates of every stage for one picture uint8 (S, S, 3), first stage first; empty without attention.

    Sets no hook and changes nothing in the network, which must be in eval mode (as `core.models.load`
    returns it).
    """
    with torch.inference_mode(), record_gates(network) as gates:
        network.features(to_float(image[None], network.mean.device))
    return [
        StageGates(
            gate.stage,
            gate.channel[0].float().cpu().numpy(),
            None if gate.spatial is None else gate.spatial[0, 0].float().cpu().numpy(),
        )
        for gate in gates
    ]


@torch.inference_mode()
def class_gate_means(
    network: ImageClassifier,
    images: np.ndarray | ImageRows,
    labels: np.ndarray,
    classes: int | Sequence[str],
    batch: int = 256,
) -> dict[str, np.ndarray]:
    """Mean channel gates of each class: stage -> float32 (classes, C); empty without attention.

    ``images`` uint8 (N, S, S, 3), ``labels`` int (N,) from 0 to classes - 1 (``classes``: their number
    or their names). A class without pictures has NaN. The network is read in eval mode and left in the
    mode it came in.
    """
    count = classes if isinstance(classes, int) else len(classes)
    if not has_gates(network):
        return {}
    labels = np.asarray(labels).reshape(-1).astype(np.int64)
    class_counts = np.bincount(labels, minlength=count).astype(np.float64)
    sums: dict[str, np.ndarray] = {}
    was_training = network.training
    network.eval()
    try:
        for rows in batches(len(images), batch):
            one_hot = np.eye(count)[:, labels[rows]]
            with record_gates(network) as gates:
                network.features(to_float(images[rows], network.mean.device))
            for gate in gates:
                total = one_hot @ gate.channel.double().cpu().numpy()
                sums[gate.stage] = sums.get(gate.stage, 0.0) + total
    finally:
        network.train(was_training)
    with np.errstate(invalid="ignore"):
        return {stage: (total / class_counts[:, None]).astype(np.float32) for stage, total in sums.items()}
