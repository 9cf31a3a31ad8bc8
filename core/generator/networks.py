"""The generator's two networks: an autoencoder of cells, and a flow that makes its latents out of noise.

Cells are generated where they are small (Rombach et al. 2022, arXiv:2112.10752): at a quarter of their side. Both
networks are plain convolutions, which is what a processor without a GPU multiplies fastest.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.generator.config import GeneratorConfig


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


class _Modulated(nn.Module):
    """A residual block whose second norm is scaled and shifted by what is asked for (time and class)."""

    def __init__(self, inputs: int, outputs: int, asked: int) -> None:
        super().__init__()
        self.norm, self.first = nn.GroupNorm(8, inputs), _conv(inputs, outputs)
        self.second_norm, self.second = nn.GroupNorm(8, outputs), _conv(outputs, outputs)
        self.modulation = nn.Linear(asked, 2 * outputs)
        self.shortcut = _conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        for layer in (self.second, self.modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, asked: Tensor) -> Tensor:
        y = self.first(F.silu(self.norm(x)))
        scale, shift = self.modulation(asked)[:, :, None, None].chunk(2, 1)
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
        asked = 2 * w
        self.times = nn.Sequential(nn.Linear(64, asked), nn.SiLU(), nn.Linear(asked, asked))
        self.classes = nn.Embedding(classes + 1, asked)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), 32)))
        self.enter = _conv(config.channels, w)
        self.fine = _Modulated(w, w, asked)
        self.down = _conv(w, 2 * w, stride=2)
        self.middle = nn.ModuleList([_Modulated(2 * w, 2 * w, asked), _Modulated(2 * w, 2 * w, asked)])
        self.middle_attention = _Attention(2 * w)
        self.down_again = _conv(2 * w, 2 * w, stride=2)
        self.coarse = nn.ModuleList([_Modulated(2 * w, 2 * w, asked), _Modulated(2 * w, 2 * w, asked)])
        self.coarse_attention = _Attention(2 * w)
        self.up = nn.Sequential(_conv(2 * w, 8 * w, 1), nn.PixelShuffle(2))
        self.middle_again = nn.ModuleList([_Modulated(4 * w, 2 * w, asked), _Modulated(2 * w, 2 * w, asked)])
        self.attention_again = _Attention(2 * w)
        self.up_again = nn.Sequential(_conv(2 * w, 4 * w, 1), nn.PixelShuffle(2))
        self.fine_again = nn.ModuleList([_Modulated(2 * w, w, asked), _Modulated(w, w, asked)])
        self.leave = nn.Sequential(nn.GroupNorm(8, w), nn.SiLU(), _conv(w, config.channels))
        nn.init.normal_(self.classes.weight, std=0.5)
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(self, latents: Tensor, times: Tensor, classes: Tensor) -> Tensor:
        angles = times[:, None] * self.frequencies
        asked = F.silu(self.times(torch.cat([angles.sin(), angles.cos()], 1)) + self.classes(classes))
        fine = self.fine(self.enter(latents), asked)
        middle = self.down(fine)
        for block in self.middle:
            middle = block(middle, asked)
        middle = self.middle_attention(middle)
        coarse = self.down_again(middle)
        coarse = self.coarse[0](coarse, asked)
        coarse = self.coarse[1](self.coarse_attention(coarse), asked)
        x = torch.cat([self.up(coarse), middle], 1)
        x = self.attention_again(self.middle_again[0](x, asked))
        x = self.middle_again[1](x, asked)
        x = torch.cat([self.up_again(x), fine], 1)
        for block in self.fine_again:
            x = block(x, asked)
        return self.leave(x)
