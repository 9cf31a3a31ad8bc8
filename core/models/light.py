"""A network of fewer than 100,000 parameters that learns from larger ones (Hinton et al. 2015, arXiv:1503.02531)."""

from functools import partial

from core.models.attention import SqueezeExcitation
from core.models.base import ImageClassifier
from core.models.compact import compact_network
from core.models.registry import register


@register(
    "light",
    title="Light CNN",
    family="Light network",
    summary="The compact CNN + SE of {width} channels first: few parameters, made to be taught.",
    paper="Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network",
    paper_url="https://arxiv.org/abs/1503.02531",
    tunable={"width": ("int", 6, 12), "dropout": ("float", 0.0, 0.3), "reduction": ("choice", 2, 4, 8)},
)
def light(classes: int, size: int, width: int = 12, dropout: float = 0.0, reduction: int = 8) -> ImageClassifier:
    return compact_network(classes, size, width, dropout, partial(SqueezeExcitation, reduction=reduction))
