"""Cells that no patient has: made by a small network that learnt what BloodMNIST's look like.

Sampling needs numpy and ONNX Runtime only; training (`core.generator.training`) needs torch.
"""

from core.generator.sampling import (
    LABEL,
    BadGenerator,
    Generator,
    GeneratorConfig,
    Stage,
    find_generator,
    generate,
    generator_path,
    load_sheet,
)

__all__ = [
    "LABEL",
    "BadGenerator",
    "Generator",
    "GeneratorConfig",
    "Stage",
    "find_generator",
    "generate",
    "generator_path",
    "load_sheet",
]
