"""Between a data set's uint8 arrays and the tensors a network takes."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from core.datasets import Split
from core.datasets.rows import Rows
from core.training.device import autocast


class Pictures:
    """Pictures uint8 (N, S, S, 3) that give those of a batch on ``device``: index with int64 (n,).

    Arrays in memory lie on the device as a whole. Rows on disk do so on a GPU with room for them; else each
    batch is read when it is asked for, so that memory does not grow with the data set.
    """

    def __init__(self, images: np.ndarray | Rows, device: torch.device) -> None:
        self.device, self.images = device, images
        # A copy: the data set's arrays are read-only and shared.
        self.held = torch.from_numpy(np.array(images)).to(device) if _fits(images, device) else None

    def __getitem__(self, chosen: Tensor) -> Tensor:
        if self.held is not None:
            return self.held[chosen]
        return torch.from_numpy(self.images[chosen.cpu().numpy()]).to(self.device)


def _fits(images: np.ndarray | Rows, device: torch.device) -> bool:
    if not isinstance(images, Rows):
        return True
    return device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] / 2


def to_device(split: Split, device: torch.device) -> tuple[Pictures, Tensor]:
    """Pictures and labels int64 (N,) of ``split`` for training on ``device``."""
    return Pictures(split.images, device), torch.from_numpy(split.labels.astype(np.int64)).to(device)


def as_float(pictures: Tensor) -> Tensor:
    """float (N, 3, S, S) in [0, 1], channels last in memory, from uint8 (N, S, S, 3)."""
    return pictures.permute(0, 3, 1, 2).float().div_(255)


def channel_statistics(images: np.ndarray | Rows) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of uint8 ``images`` (N, S, S, 3), in units of the full range."""
    sums, squares = np.zeros(3), np.zeros(3)
    for start in range(0, len(images), 512):
        pixels = images[start : start + 512].reshape(-1, 3).astype(np.float32) / 255
        sums += pixels.sum(0, dtype=np.float64)
        squares += (pixels**2).sum(0, dtype=np.float64)
    count = math.prod(images.shape) / 3
    mean = sums / count
    return mean.tolist(), np.sqrt(np.maximum(squares / count - mean**2, 1e-6)).tolist()


@torch.inference_mode()
def network_logits(
    network: nn.Module, images: np.ndarray | Rows, device: torch.device, *, bf16: bool = False, batch: int = 256
) -> Tensor:
    """Logits float32 (N, C) on the CPU for uint8 ``images`` (N, S, S, 3); leaves the network in eval mode."""
    network.eval()
    parts = []
    for start in range(0, len(images), batch):
        pictures = torch.from_numpy(images[start : start + batch].copy()).to(device)
        with autocast(device, bf16):
            parts.append(network(as_float(pictures)).float().cpu())
    return torch.cat(parts)
