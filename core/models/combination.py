"""Combinations of runs: an ensemble of several, or one run over the eight views of a picture.

Registered like any model so that tables, cards and pages know their names and papers; they are made of
runs by `core.training.ensemble`, not built and trained.
"""

from typing import NoReturn

from core.models.registry import UnknownModel, register


@register(
    "ensemble",
    title="Ensemble",
    family="Combination",
    summary="Several models answer; their probabilities are averaged (soft vote).",
    paper="Dietterich 2000, Ensemble methods in machine learning",
    paper_url="https://doi.org/10.1007/3-540-45014-9_1",
    kind="combination",
)
def ensemble(classes: int, size: int) -> NoReturn:
    raise UnknownModel("an ensemble isn't trained but made of runs: python -m core combine RUN RUN")


@register(
    "averaged_views",
    title="Averaged views",
    family="Combination",
    summary="One model answers to the eight flips and quarter turns of a picture; its probabilities are averaged.",
    paper="Krizhevsky et al. 2012, ImageNet classification with deep convolutional neural networks",
    paper_url="https://doi.org/10.1145/3065386",
    kind="combination",
)
def averaged_views(classes: int, size: int) -> NoReturn:
    raise UnknownModel("averaged_views isn't trained but made of one run: python -m core combine RUN")
