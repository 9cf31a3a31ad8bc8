"""Cells that no patient has: made by a small network that learnt what BloodMNIST's look like.

Sampling needs numpy and ONNX Runtime only; training (`core.generator.building`) needs torch.
"""

from core.generator.config import BadGenerator, GeneratorConfig, Stage
from core.generator.sampling import LABEL, Generator, find_generator, generate, generator_path, sheet

__all__ = [
    "LABEL",
    "BadGenerator",
    "Generator",
    "GeneratorConfig",
    "Stage",
    "find_generator",
    "generate",
    "generator_path",
    "sheet",
]
