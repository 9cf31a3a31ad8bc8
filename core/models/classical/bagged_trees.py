"""Bagged decision trees on features of the picture (Breiman 1996, doi:10.1007/BF00058655).

Bagging is a random forest whose splits choose among all features, and is grown as one here: the same trees,
and one compact graph instead of one for each tree.
"""

from core.models.classical import FOREST_TUNABLE, ClassicalModel, build_forest
from core.models.registry import register

ABOUT = {
    "paper": "Breiman 1996, Bagging predictors",
    "paper_url": "https://doi.org/10.1007/BF00058655",
    "family": "Trees",
    "kind": "classical",
    "tunable": FOREST_TUNABLE,
}


@register(
    "bagged_trees",
    title="Bagged trees, grey",
    summary="Trees on texture, brightness and size of the grey picture; each split chooses among all features.",
    published={28: 0.641},
    **ABOUT,
)
def bagged_trees(
    classes: int, size: int, trees: int = 60, leaves: int = 400, smallest: int = 2, rows: float = 1.0
) -> ClassicalModel:
    return build_forest("grey", size, trees=trees, leaves=leaves, smallest=smallest, tried=1.0, rows=rows)


@register(
    "bagged_trees_colour",
    title="Bagged trees, colour and shape",
    summary="Trees on texture, brightness, colour and the shape of the nucleus; each split chooses among all.",
    **ABOUT,
)
def bagged_trees_colour(
    classes: int, size: int, trees: int = 60, leaves: int = 400, smallest: int = 2, rows: float = 1.0
) -> ClassicalModel:
    return build_forest("colour", size, trees=trees, leaves=leaves, smallest=smallest, tried=1.0, rows=rows)
