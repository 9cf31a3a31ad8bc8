"""The generator's two networks, and the graphs that are shipped of them: an autoencoder of cells, and a flow.

Cells are generated where they are small (Rombach et al. 2022, arXiv:2112.10752): at a quarter of their side. Both
networks are plain convolutions, which is what a processor without a GPU multiplies fastest.
"""

import math
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from core.models.export import to_onnx


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def _zero(*layers: nn.Module) -> None:
    """Let ``layers`` begin by giving nothing."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


class _Block(nn.Module):
    """x + conv(silu(conv(silu(x)))); begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)
        _zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class Autoencoder(nn.Module):
    """From pictures float (N, 3, S, S) in -1 to 1 to latents (N, ``channels``, S / 4, S / 4), and back."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.encoder = nn.Sequential(
            *(nn.PixelUnshuffle(2), _conv(12, half), nn.SiLU(), _conv(half, width, stride=2)),
            *(_Block(width), _Block(width), nn.SiLU(), _conv(width, channels)),
        )
        # Whatever the layers before it do, noise of a given size stays that size beside the latents.
        self.norm = nn.BatchNorm2d(channels, affine=False, momentum=0.02)
        self.decoder = nn.Sequential(
            *(_conv(channels, width), _Block(width), _Block(width), nn.SiLU()),
            *(_conv(width, 4 * half), nn.PixelShuffle(2), _Block(half), nn.SiLU()),
            *(_conv(half, 4 * quarter), nn.PixelShuffle(2), nn.SiLU(), _conv(quarter, 3)),
        )

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents of mean 0 and deviation 1 a channel."""
        return self.norm(self.encoder(pictures).float())

    def forward(self, pictures: Tensor, noise: float = 0.0) -> Tensor:
        """The pictures as decoded from their latents, these blurred by ``noise`` (a deviation)."""
        latents = self.encode(pictures)
        return self.decoder(latents + noise * torch.randn_like(latents) if noise else latents)


class _ConditionedBlock(nn.Module):
    """A residual block whose second norm is scaled and shifted by what is asked for (time and class)."""

    def __init__(self, inputs: int, outputs: int, condition_width: int) -> None:
        super().__init__()
        self.norm, self.first = nn.GroupNorm(8, inputs), _conv(inputs, outputs)
        self.second_norm, self.second = nn.GroupNorm(8, outputs), _conv(outputs, outputs)
        self.modulation = nn.Linear(condition_width, 2 * outputs)
        self.shortcut = _conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        _zero(self.second, self.modulation)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.first(F.silu(self.norm(x)))
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, 1)
        y = self.second(F.silu(self.second_norm(y) * (1 + scale) + shift))
        return self.shortcut(x) + y


class _Attention(nn.Module):
    """x + what each place of the map takes from all others (Vaswani et al. 2017, arXiv:1706.03762)."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        _zero(self.attention.out_proj)

    def forward(self, x: Tensor) -> Tensor:
        places = self.norm(x).flatten(2).transpose(1, 2)
        taken, _ = self.attention(places, places, places, need_weights=False)
        return x + taken.transpose(1, 2).reshape(x.shape)


class _Stage(nn.ModuleList):
    """Layers in a row, of which some are told the condition."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, condition) if isinstance(layer, _ConditionedBlock) else layer(x)
        return x


class Flow(nn.Module):
    """The velocity from cells to noise at a place between them: a U-Net (Ronneberger et al. 2015, arXiv:1505.04597).

    Takes latents (N, C, L, L), times (N,) from 0 (a cell) to 1 (noise) and classes int64 (N,), of which the one
    after the last means 'any cell'; returns (N, C, L, L). ``width`` is that at full side, twice that below it.
    """

    frequencies: Tensor

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        w, w2, told = width, 2 * width, 2 * width

        def block(inputs: int, outputs: int) -> _ConditionedBlock:
            return _ConditionedBlock(inputs, outputs, told)

        self.times = nn.Sequential(nn.Linear(64, told), nn.SiLU(), nn.Linear(told, told))
        self.classes = nn.Embedding(classes + 1, told)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), 32)))
        self.fine = _Stage([_conv(channels, w), block(w, w)])
        self.middle = _Stage([_conv(w, w2, stride=2), block(w2, w2), block(w2, w2), _Attention(w2)])
        up = [_conv(w2, 4 * w2, 1), nn.PixelShuffle(2)]
        self.coarse = _Stage([_conv(w2, w2, stride=2), block(w2, w2), _Attention(w2), block(w2, w2), *up])
        up = [_conv(w2, 4 * w, 1), nn.PixelShuffle(2)]
        self.middle_again = _Stage([block(2 * w2, w2), _Attention(w2), block(w2, w2), *up])
        self.fine_again = _Stage([block(2 * w, w), block(w, w)])
        self.leave = nn.Sequential(nn.GroupNorm(8, w), nn.SiLU(), _conv(w, channels))
        nn.init.normal_(self.classes.weight, std=0.5)
        _zero(self.leave[-1])

    def forward(self, latents: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        """See the class."""
        angles = times[:, None] * self.frequencies
        condition = F.silu(self.times(torch.cat([angles.sin(), angles.cos()], 1)) + self.classes(classes))
        fine = self.fine(latents, condition)
        middle = self.middle(fine, condition)
        x = self.middle_again(torch.cat([self.coarse(middle, condition), middle], 1), condition)
        return self.leave(self.fine_again(torch.cat([x, fine], 1), condition))


class _PixelDecoder(nn.Module):
    """A decoder that ends in pixels: uint8 (N, S, S, 3)."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> Tensor:
        pictures = (self.decoder(latents).clamp(-1, 1) + 1) * 127.5
        return pictures.round().permute(0, 2, 3, 1).to(torch.uint8)


def export_decoder(decoder: nn.Module, latent: tuple[int, int, int], path: Path) -> None:
    """Write the graph from ``latent`` float32 (N, C, L, L) to ``image`` uint8 (N, S, S, 3)."""
    _export(_PixelDecoder(decoder), (torch.zeros(2, *latent),), ["latent"], "image", path)


def export_flow(flow: Flow, latent: tuple[int, int, int], path: Path) -> None:
    """Write the graph from ``latent``, ``time`` float32 (N,) and ``class`` int64 (N,) to ``velocity`` (N, C, L, L)."""
    example = (torch.zeros(2, *latent), torch.zeros(2), torch.zeros(2, dtype=torch.int64))
    _export(flow, example, ["latent", "time", "class"], "velocity", path)


def _export(network: nn.Module, example: tuple[Tensor, ...], inputs: list[str], output: str, path: Path) -> None:
    model = to_onnx(network, example, inputs, [output])
    # Matrices and kernels are stored in half precision; ONNX Runtime folds the casts away when it opens the graph.
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) > 1:
            name, half = tensor.name, f"{tensor.name}.half"
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half))
            casts.append(helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        model.graph.node.insert(0, cast)
    onnx.save_model(model, str(path))
