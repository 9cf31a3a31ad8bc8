"""Folders of drawn pictures, as a user or Kaggle would deliver them: what folder data sets are tested on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from core.datasets.synthetic import draw_cells


def write_pictures(folder: Path, count: int, label: int = 0, *, side: int = 48, seed: int = 0, suffix: str = "png"):
    """``count`` drawn cells of one class in ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(draw_cells(np.full(count, label), 64, seed), 1):
        Image.fromarray(pixels).resize((side, side)).save(folder / f"cell {number}.{suffix}")


def drawn_folder(root: Path, counts: Mapping[str, int] | None = None, **options) -> Path:
    """A folder a class below ``root``, by default three classes of 24, 18 and 12 pictures."""
    for label, (name, count) in enumerate((counts or {"alpha": 24, "beta": 18, "gamma": 12}).items()):
        write_pictures(root / name, count, label, seed=label, **options)
    return root
