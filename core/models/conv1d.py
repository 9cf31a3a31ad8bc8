"""One-dimensional convolutions over the grey pixels as one sequence, row after row (van den Oord et al. 2016).

The historical baseline beside the networks that know of two dimensions. A convolution with a
dilation of one row (arXiv:1609.03499) is what lets a sequence model see the pixel above.
"""

import torch
from torch import Tensor, nn

from core.models.base import Grayscale, ImageClassifier, dense_layers, downsample_layers
from core.models.registry import register


def _layer(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    )


class PixelSequence(nn.Module):
    """Grey pictures (N, 1, S, S) as sequences (N, 1, S * S), through 1-D convolutions, to a map (N, K, S, S / 4).

    Each of three stages looks along the row, then a row up and down; two poolings halve the rows' length.
    """

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.side = side
        stages: list[nn.Module] = []
        channels, row = 1, side
        for stage in range(3):
            outputs = width * 2**stage
            stages += [_layer(channels, outputs, 1), _layer(outputs, outputs, row)]
            if stage < 2:
                # Rows have an even length here, so that pairs never reach over a row's end.
                stages.append(nn.MaxPool1d(2))
                row //= 2
            channels = outputs
        self.stages = nn.Sequential(*stages)
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return self.stages(x.flatten(2)).unflatten(2, (self.side, -1))


@register(
    "conv1d",
    title="Conv1D, grey",
    family="Sequence model",
    summary="1-D convolutions ({width} filters first) over the grey pixels as one sequence, dropout, a dense layer of "
    "{hidden}.",
    paper="van den Oord et al. 2016, WaveNet: a generative model for raw audio",
    paper_url="https://arxiv.org/abs/1609.03499",
    published={28: 0.94},
    learning_rate=0.1,
    tunable={"width": ("int", 8, 48), "hidden": ("int", 32, 256, "log"), "dropout": ("float", 0.0, 0.6)},
)
def conv1d(classes: int, size: int, width: int = 32, hidden: int = 128, dropout: float = 0.5) -> ImageClassifier:
    """Pictures above 32 px are averaged to 32 or fewer a side first."""
    smaller, side = downsample_layers(size)
    sequence = PixelSequence(side, width)
    head = nn.Sequential(
        nn.AvgPool2d((side // 4, side // 16)),
        nn.Flatten(),
        *dense_layers(sequence.channels * 4 * (side // 4 // (side // 16)), [hidden], dropout, classes),
    )
    network = ImageClassifier(nn.Sequential(Grayscale(), *smaller, sequence), head)
    for module in network.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    with torch.no_grad():
        network.last_layer.weight.mul_(0.1)
    return network
