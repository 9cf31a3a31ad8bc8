"""A compact residual CNN with squeeze-and-excitation (Hu, Shen, Sun 2018, arXiv:1709.01507)."""

from functools import partial

from core.models.attention import SqueezeExcitation
from core.models.balance import ColourBalance
from core.models.base import ImageClassifier
from core.models.compact import compact_network
from core.models.registry import register


@register(
    "cnn_se",
    title="CNN + SE",
    family="Attention CNN",
    summary="A compact residual CNN whose channels are gated by squeeze-and-excitation.",
    paper="Hu, Shen and Sun 2018, Squeeze-and-excitation networks",
    paper_url="https://arxiv.org/abs/1709.01507",
    published={64: 0.9503},
    tunable={"width": ("int", 16, 48), "dropout": ("float", 0.0, 0.5), "reduction": ("choice", 4, 8, 16)},
)
def cnn_se(
    classes: int, size: int, width: int = 32, dropout: float = 0.0, reduction: int = 8, balanced: bool | None = None
) -> ImageClassifier:
    """``balanced``: whether each picture's light and stain are evened out first, for cells of any laboratory."""
    attention = partial(SqueezeExcitation, reduction=reduction)
    return compact_network(classes, size, width, dropout, attention, ColourBalance() if balanced else None)
