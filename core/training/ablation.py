"""What each ingredient of a small CNN gives: variants that differ from a base in one thing each."""

from typing import Any

from core.studies import Study
from core.training.config import TrainConfig
from core.training.repeats import Variant, repeat

MODEL = "cnn_custom"
NORMED = "batch norm"
# The plain recipe: no averaged weights, no smoothed labels and no weight decay, so that nothing hides what
# an ingredient gives. Adam, because with it weight decay is the L2 penalty that textbooks speak of, and
# because it also trains the networks that have no batch norm.
BASE: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "ema": 0.0,
    "augment": "flips",
    "layers": 4,
    "norm": False,
    "dropout": 0.0,
    "attention": "",
    "residual": False,
}
VARIANTS = (
    Variant("base: 4 layers"),
    Variant("2 layers", {"layers": 2}),
    Variant("3 layers", {"layers": 3}),
    Variant("dropout 0.4", {"dropout": 0.4}),
    Variant("dropout 0.5", {"dropout": 0.5}),
    Variant("L2 1e-4", {"weight_decay": 1e-4}),
    Variant("L2 1e-3", {"weight_decay": 1e-3}),
    Variant("L2 1e-2", {"weight_decay": 1e-2}),
    Variant("SE", {"attention": "se"}),
    Variant("CBAM", {"attention": "cbam"}),
    Variant("residual", {"residual": True}),
    Variant(NORMED, {"norm": True}),
    Variant(f"{NORMED} + dropout 0.4", {"norm": True, "dropout": 0.4}),
    Variant(f"{NORMED} + SE", {"norm": True, "attention": "se"}),
    Variant(f"{NORMED} + CBAM", {"norm": True, "attention": "cbam"}),
    Variant(f"{NORMED} + residual", {"norm": True, "residual": True}),
)
NOTE = (
    "The base is a CNN of four layers without batch norm, dropout, weight decay, attention or shortcuts. Every "
    f"variant changes one thing in it; those called '{NORMED} + ...' change one thing in '{NORMED}'. All share "
    "the recipe, which is tuned for none of them."
)


def ablate(config: TrainConfig, seeds: int, name: str | None = None, **options: Any) -> Study:
    """The study of all `VARIANTS` on top of ``config``, which is `BASE` with what the caller changed."""
    return repeat(
        config,
        VARIANTS,
        seeds,
        name=name or f"ablation-{config.size}",
        kind="ablation",
        title=f"What each ingredient of a small CNN gives, {config.size} px",
        note=NOTE,
        **options,
    )
