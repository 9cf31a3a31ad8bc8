"""Random forests on features of the picture (Breiman 2001, doi:10.1023/A:1010933404324)."""

from core.models.classical import FOREST_TUNABLE, ClassicalModel, build_forest
from core.models.registry import register

ABOUT = {
    "paper": "Breiman 2001, Random forests",
    "paper_url": "https://doi.org/10.1023/A:1010933404324",
    "family": "Trees",
    "kind": "classical",
    "tunable": {**FOREST_TUNABLE, "tried": ("float", 0.05, 0.6, "log")},
}


@register(
    "random_forest",
    title="Random forest, grey",
    summary="Trees on texture, brightness and size of the grey picture; each split chooses among a few features.",
    published={28: 0.649},
    **ABOUT,
)
def random_forest(
    classes: int,
    size: int,
    trees: int = 80,
    leaves: int = 400,
    smallest: int = 2,
    tried: float = 0.3,
    rows: float = 1.0,
) -> ClassicalModel:
    return build_forest("grey", size, trees=trees, leaves=leaves, smallest=smallest, tried=tried, rows=rows)


@register(
    "random_forest_colour",
    title="Random forest, colour and shape",
    summary="Trees on texture, brightness, colour and the shape of the nucleus; each split chooses among a few.",
    **ABOUT,
)
def random_forest_colour(
    classes: int,
    size: int,
    trees: int = 80,
    leaves: int = 400,
    smallest: int = 2,
    tried: float = 0.15,
    rows: float = 1.0,
) -> ClassicalModel:
    return build_forest("colour", size, trees=trees, leaves=leaves, smallest=smallest, tried=tried, rows=rows)
