"""A bidirectional LSTM that reads a picture row by row (Hochreiter and Schmidhuber 1997)."""

from torch import Tensor, nn

from core.models.base import ImageClassifier, downsample_layers, pooled_head
from core.models.registry import register


class RowReader(nn.Module):
    """Pictures (N, 3, S, S) read as S steps of 3 S values; the states of both directions as a map (N, 2 H, S, 1)."""

    def __init__(self, side: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            3 * side, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x.permute(0, 2, 1, 3).flatten(2))
        return states.transpose(1, 2).unsqueeze(3)


@register(
    "lstm",
    title="LSTM over rows",
    family="Sequence model",
    summary="A bidirectional LSTM ({layers} layers of {width} units) that reads the colour picture row by row.",
    paper="Hochreiter and Schmidhuber 1997, Long short-term memory",
    paper_url="https://doi.org/10.1162/neco.1997.9.8.1735",
    optimizer="adamw",
    learning_rate=3e-3,
    weight_decay=0.01,
    epochs=40,
    tunable={"width": ("int", 32, 256, "log"), "layers": ("int", 1, 3), "dropout": ("float", 0.0, 0.5)},
)
def lstm(classes: int, size: int, width: int = 128, layers: int = 2, dropout: float = 0.2) -> ImageClassifier:
    """``width`` units a direction; pictures above 32 px are averaged to 32 or fewer a side first."""
    smaller, side = downsample_layers(size)
    reader = RowReader(side, width, layers, dropout)
    return ImageClassifier(nn.Sequential(*smaller, reader), pooled_head(2 * width, classes, dropout))
