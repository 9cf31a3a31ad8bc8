"""What the models that read grey pictures or rows share."""

import torch
from torch import Tensor, nn


class Grey(nn.Module):
    """Luminance (N, 1, S, S) of pictures (N, 3, S, S), by the weights of ITU-R BT.601."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weights).sum(1, keepdim=True)
