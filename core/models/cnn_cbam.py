"""A compact residual CNN with channel and spatial attention (Woo et al. 2018, arXiv:1807.06521)."""

from functools import partial

from core.models.attention import CBAM
from core.models.base import ImageClassifier
from core.models.compact import compact_network
from core.models.registry import register


@register(
    "cnn_cbam",
    title="CNN + CBAM",
    family="Attention CNN",
    summary="A compact residual CNN with gates on its channels and on its places (CBAM).",
    paper="Woo et al. 2018, CBAM: convolutional block attention module",
    paper_url="https://arxiv.org/abs/1807.06521",
    tunable={"width": ("int", 16, 48), "dropout": ("float", 0.0, 0.5), "reduction": ("choice", 4, 8, 16)},
)
def cnn_cbam(classes: int, size: int, width: int = 32, dropout: float = 0.0, reduction: int = 8) -> ImageClassifier:
    return compact_network(classes, size, width, dropout, partial(CBAM, reduction=reduction))
