"""Attention blocks that multiply a feature map by gates in (0, 1), and a way to look at these gates.

Gates are recorded only inside `record_gates`, per thread and without hooks or state in the network:
two visitors who share a network can't see each other's gates, and a plain forward pass is unchanged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Gate:
    """Gates of one block in one forward pass: ``channel`` (N, C) and, for CBAM, ``spatial`` (N, 1, h, w)."""

    stage: str
    channel: Tensor
    spatial: Tensor | None = None


_RECORDER: ContextVar[tuple[dict[int, str], list[Gate]] | None] = ContextVar("gate_recorder", default=None)


@contextmanager
def record_gates(network: nn.Module) -> Iterator[list[Gate]]:
    """Collect the gates of ``network``'s attention blocks, in order, for the forward passes inside the block."""
    blocks = [m for m in network.modules() if isinstance(m, GatedBlock)]
    gates: list[Gate] = []
    token = _RECORDER.set(({id(block): f"stage {i}" for i, block in enumerate(blocks, 1)}, gates))
    try:
        yield gates
    finally:
        _RECORDER.reset(token)


class GatedBlock(nn.Module):
    """Base of the attention blocks; tells the recorder, where one listens, which gates were used."""

    def _record(self, channel: Tensor, spatial: Tensor | None = None) -> None:
        stages, gates = _RECORDER.get() or ({}, [])
        if id(self) in stages:
            spatial = None if spatial is None else spatial.detach()
            gates.append(Gate(stages[id(self)], channel.detach().flatten(1), spatial))


class SqueezeExcitation(GatedBlock):
    """Channel gates from the globally averaged map (Hu, Shen, Sun 2018, arXiv:1709.01507).

    Input and output (N, C, h, w); gates sigmoid(W2 relu(W1 mean(x))), with C/``reduction`` hidden units.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(4, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def _mlp(self, pooled: Tensor) -> Tensor:
        return self.excite(torch.relu(self.squeeze(pooled)))

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self._mlp(x.mean((2, 3), keepdim=True)))
        self._record(gate)
        return x * gate


class CBAM(SqueezeExcitation):
    """Channel gates, then a spatial gate (Woo et al. 2018, arXiv:1807.06521).

    Channel gates sigmoid(MLP(mean) + MLP(max)) over space; spatial gate sigmoid(conv(mean, max over
    channels)) with a ``kernel`` x ``kernel`` convolution. Input and output (N, C, h, w).
    """

    def __init__(self, channels: int, reduction: int = 8, kernel: int = 7) -> None:
        super().__init__(channels, reduction)
        self.spatial = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        channel = torch.sigmoid(self._mlp(x.mean((2, 3), keepdim=True)) + self._mlp(x.amax((2, 3), keepdim=True)))
        x = x * channel
        spatial = torch.sigmoid(self.spatial(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))
        self._record(channel, spatial)
        return x * spatial
