"""Between a data set's uint8 arrays and the tensors a network takes."""

import numpy as np
import torch
from torch import Tensor, nn

from core.datasets import Split
from core.training.device import autocast


def to_device(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pictures uint8 (N, S, S, 3) and labels int64 (N,) of ``split`` on ``device``."""
    # A copy: the data set's arrays are read-only and shared.
    return torch.from_numpy(split.images.copy()).to(device), torch.from_numpy(split.labels.astype(np.int64)).to(device)


def as_float(pictures: Tensor) -> Tensor:
    """float (N, 3, S, S) in [0, 1], channels last in memory, from uint8 (N, S, S, 3)."""
    return pictures.permute(0, 3, 1, 2).float().div_(255)


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of uint8 ``images`` (N, S, S, 3), in units of the full range."""
    sums, squares = np.zeros(3), np.zeros(3)
    for chunk in np.array_split(images, max(1, len(images) // 512)):
        pixels = chunk.reshape(-1, 3).astype(np.float32) / 255
        sums += pixels.sum(0, dtype=np.float64)
        squares += (pixels**2).sum(0, dtype=np.float64)
    count = images.size / 3
    mean = sums / count
    return mean.tolist(), np.sqrt(np.maximum(squares / count - mean**2, 1e-6)).tolist()


@torch.inference_mode()
def network_logits(
    network: nn.Module, images: np.ndarray, device: torch.device, *, bf16: bool = False, batch: int = 256
) -> Tensor:
    """Logits float32 (N, C) on the CPU for uint8 ``images`` (N, S, S, 3); leaves the network in eval mode."""
    network.eval()
    parts = []
    for start in range(0, len(images), batch):
        pictures = torch.from_numpy(images[start : start + batch].copy()).to(device)
        with autocast(device, bf16):
            parts.append(network(as_float(pictures)).float().cpu())
    return torch.cat(parts)
