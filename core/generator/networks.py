"""The generator's two networks, and the graphs that are shipped of them: an autoencoder of cells, and a flow.

Cells are generated where they are small (Rombach et al. 2022, arXiv:2112.10752): at a quarter of their side. Both
networks are plain convolutions, which is what a processor without a GPU multiplies fastest. Kernels are stored in half
precision and cast when they are loaded.
"""

import io
import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from core.generator.sampling import GeneratorConfig


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


class _Block(nn.Module):
    """x + conv(silu(conv(silu(x)))); begins as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class Encoder(nn.Module):
    """Pictures float (N, 3, S, S) in [-1, 1] to latents (N, C, S / 4, S / 4) of mean 0 and deviation 1 a channel."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.body = nn.Sequential(
            nn.PixelUnshuffle(2),
            _conv(12, half),
            nn.SiLU(),
            _conv(half, width, stride=2),
            _Block(width),
            _Block(width),
            nn.SiLU(),
            _conv(width, channels),
        )
        # Whatever the layers before it do, noise of a given size stays that size beside the latents.
        self.norm = nn.BatchNorm2d(channels, affine=False, momentum=0.02)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.norm(self.body(pictures).float())


class Decoder(nn.Module):
    """Latents (N, C, S / 4, S / 4) to pictures (N, 3, S, S), about -1 to 1."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half, quarter = width // 2, width // 4
        self.body = nn.Sequential(
            _conv(channels, width),
            _Block(width),
            _Block(width),
            nn.SiLU(),
            _conv(width, 4 * half),
            nn.PixelShuffle(2),
            _Block(half),
            nn.SiLU(),
            _conv(half, 4 * quarter),
            nn.PixelShuffle(2),
            nn.SiLU(),
            _conv(quarter, 3),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


class Autoencoder(nn.Module):
    """`Encoder` and `Decoder`, trained as one."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.channels, config.width)
        self.decoder = Decoder(config.channels, config.width)

    def forward(self, pictures: Tensor, noise: float = 0.0) -> Tensor:
        latents = self.encoder(pictures)
        return self.decoder(latents + noise * torch.randn_like(latents) if noise else latents)


class _ConditionedBlock(nn.Module):
    """A residual block whose second norm is scaled and shifted by what is asked for (time and class)."""

    def __init__(self, inputs: int, outputs: int, condition_width: int) -> None:
        super().__init__()
        self.norm, self.first = nn.GroupNorm(8, inputs), _conv(inputs, outputs)
        self.second_norm, self.second = nn.GroupNorm(8, outputs), _conv(outputs, outputs)
        self.modulation = nn.Linear(condition_width, 2 * outputs)
        self.shortcut = _conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        for layer in (self.second, self.modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y = self.first(F.silu(self.norm(x)))
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, 1)
        y = self.second(F.silu(self.second_norm(y) * (1 + scale) + shift))
        return self.shortcut(x) + y


class _Attention(nn.Module):
    """x + what each place of the map takes from all others, by ``heads`` heads (Vaswani et al. 2017, 1706.03762)."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.take, self.give = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.give.weight)
        nn.init.zeros_(self.give.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        places = self.norm(x).flatten(2).transpose(1, 2)
        query, key, value = self.take(places).view(n, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) / math.sqrt(c // self.heads)).softmax(-1)
        taken = (weights @ value).transpose(1, 2).reshape(n, h * w, c)
        return x + self.give(taken).transpose(1, 2).view(n, c, h, w)


class Flow(nn.Module):
    """The velocity from cells to noise at a place between them: a U-Net (Ronneberger et al. 2015, arXiv:1505.04597).

    Takes latents (N, C, L, L), times (N,) from 0 (a cell) to 1 (noise) and classes int64 (N,), of which the one
    after the last means 'any cell'; returns (N, C, L, L).
    """

    def __init__(self, config: GeneratorConfig, classes: int) -> None:
        super().__init__()
        w = config.flow_width
        condition_width = 2 * w
        self.times = nn.Sequential(
            nn.Linear(64, condition_width), nn.SiLU(), nn.Linear(condition_width, condition_width)
        )
        self.classes = nn.Embedding(classes + 1, condition_width)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), 32)))
        self.enter = _conv(config.channels, w)
        self.fine = _ConditionedBlock(w, w, condition_width)
        self.down = _conv(w, 2 * w, stride=2)
        self.middle = nn.ModuleList(
            [_ConditionedBlock(2 * w, 2 * w, condition_width), _ConditionedBlock(2 * w, 2 * w, condition_width)]
        )
        self.middle_attention = _Attention(2 * w)
        self.down_again = _conv(2 * w, 2 * w, stride=2)
        self.coarse = nn.ModuleList(
            [_ConditionedBlock(2 * w, 2 * w, condition_width), _ConditionedBlock(2 * w, 2 * w, condition_width)]
        )
        self.coarse_attention = _Attention(2 * w)
        self.up = nn.Sequential(_conv(2 * w, 8 * w, 1), nn.PixelShuffle(2))
        self.middle_again = nn.ModuleList(
            [_ConditionedBlock(4 * w, 2 * w, condition_width), _ConditionedBlock(2 * w, 2 * w, condition_width)]
        )
        self.attention_again = _Attention(2 * w)
        self.up_again = nn.Sequential(_conv(2 * w, 4 * w, 1), nn.PixelShuffle(2))
        self.fine_again = nn.ModuleList(
            [_ConditionedBlock(2 * w, w, condition_width), _ConditionedBlock(w, w, condition_width)]
        )
        self.leave = nn.Sequential(nn.GroupNorm(8, w), nn.SiLU(), _conv(w, config.channels))
        nn.init.normal_(self.classes.weight, std=0.5)
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(self, latents: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        angles = times[:, None] * self.frequencies
        condition = F.silu(self.times(torch.cat([angles.sin(), angles.cos()], 1)) + self.classes(classes))
        fine = self.fine(self.enter(latents), condition)
        middle = self.down(fine)
        for block in self.middle:
            middle = block(middle, condition)
        middle = self.middle_attention(middle)
        coarse = self.down_again(middle)
        coarse = self.coarse[0](coarse, condition)
        coarse = self.coarse[1](self.coarse_attention(coarse), condition)
        x = torch.cat([self.up(coarse), middle], 1)
        x = self.attention_again(self.middle_again[0](x, condition))
        x = self.middle_again[1](x, condition)
        x = torch.cat([self.up_again(x), fine], 1)
        for block in self.fine_again:
            x = block(x, condition)
        return self.leave(x)


OPSET = 17


class _PixelDecoder(nn.Module):
    """A decoder that ends in pixels: uint8 (N, S, S, 3)."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latents: Tensor) -> Tensor:
        pictures = (self.decoder(latents).clamp(-1, 1) + 1) * 127.5
        return pictures.round().permute(0, 2, 3, 1).to(torch.uint8)


def export_decoder(decoder: Decoder, latent: tuple[int, int, int], path: Path) -> None:
    """Write the graph from ``latent`` float32 (N, C, L, L) to ``image`` uint8 (N, S, S, 3)."""
    _export(_PixelDecoder(decoder), (torch.zeros(2, *latent),), ["latent"], "image", path)


def export_flow(flow: Flow, latent: tuple[int, int, int], path: Path) -> None:
    """Write the graph from ``latent``, ``time`` float32 (N,) and ``class`` int64 (N,) to ``velocity`` (N, C, L, L)."""
    example = (torch.zeros(2, *latent), torch.zeros(2), torch.zeros(2, dtype=torch.int64))
    _export(flow, example, ["latent", "time", "class"], "velocity", path)


def _export(network: nn.Module, example: tuple[Tensor, ...], inputs: list[str], output: str, path: Path) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter without onnxscript announces its retirement on each call
        torch.onnx.export(
            network.eval(),
            example,
            buffer,
            input_names=inputs,
            output_names=[output],
            dynamic_axes={name: {0: "n"} for name in [*inputs, output]},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    _store_half_precision(model)
    onnx.save_model(model, str(path))


def _store_half_precision(model: onnx.ModelProto) -> None:
    """Store matrices and kernels in half precision; ONNX Runtime folds the casts away when it opens the graph."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        stored = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(stored, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
