"""Random forests on features of the picture (Breiman 2001, doi:10.1023/A:1010933404324)."""

from core.models.classical import TUNABLE, Classical, grown
from core.models.registry import register

ABOUT = {
    "paper": "Breiman 2001, Random forests",
    "paper_url": "https://doi.org/10.1023/A:1010933404324",
    "family": "Trees",
    "kind": "classical",
    "tunable": {**TUNABLE, "tried": ("float", 0.05, 0.6, "log")},
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
) -> Classical:
    return grown("grey", size, trees=trees, leaves=leaves, smallest=smallest, tried=tried, rows=rows)


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
) -> Classical:
    return grown("colour", size, trees=trees, leaves=leaves, smallest=smallest, tried=tried, rows=rows)
