"""Cells that no patient has, made by a small network that learnt what a data set's look like.

A generator is a folder ``<root>/<dataset>/generator``: two graphs (a flow, and the decoder of its latents), what is
known of them (`FACTS`), a card, and a sheet of cells made in advance. Making cells needs numpy and ONNX Runtime only;
`core.generator.training` needs torch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from PIL import Image

from core import paths
from core.errors import HemaLensError
from core.inference.engine import thread_count
from core.progress import Progress, Report, batches, silent
from core.storage import cached_file

LABEL = "generated, not a patient's cell"
FACTS, CARD, FLOW, DECODER, SHEET = "generator.json", "card.md", "flow.onnx", "decoder.onnx", "cells.jpg"
BATCH = 20  # cells made at a time: a page of them, and little memory
SHEET_QUALITY = 95  # of JPEG


class BadGenerator(HemaLensError):
    """A generator that can't be trained, read or asked; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Generator:
    """The generator in the folder ``path``, with the ``facts`` that its file holds."""

    path: Path
    facts: dict[str, Any]

    @property
    def codes(self) -> list[str]:
        """Codes of the classes that it makes, in the data set's order."""
        return self.facts["codes"]

    @property
    def size(self) -> int:
        """Side of its cells in pixels."""
        return self.facts["config"]["size"]

    @property
    def bytes(self) -> int:
        """What its folder takes on disk."""
        return sum(file.stat().st_size for file in self.path.iterdir())


def generator_path(root: Path, dataset: str) -> Path:
    """Where ``root`` keeps the generator of ``dataset``."""
    return root / dataset / "generator"


def find_generator(dataset: str) -> Generator | None:
    """The generator of ``dataset``'s cells: the user's own, else the shipped one; None where there is none.

    Raises `BadGenerator` where its facts can't be read.
    """
    for root in (paths.user_runs_root(), paths.shipped_runs_root()):
        try:
            return _read(generator_path(root, dataset) / FACTS)
        except OSError:
            continue
    return None


@cached_file(4)
def _read(path: Path) -> Generator:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        generator = Generator(path.parent, facts)
        _ = generator.codes, generator.size, facts["latent"], facts["sampling"]["time_exponent"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadGenerator(
            f"{path.parent} can't be read as a generator ({error!r}): restore it, or delete it and train it anew"
        ) from error
    return generator


def generate(
    generator: Generator, labels: Sequence[int] | np.ndarray, seed: int, report: Report = silent
) -> np.ndarray:
    """Cells uint8 (N, S, S, 3) of the classes ``labels`` (places in `Generator.codes`).

    The same on every computer but for rounding; a cell depends only on its class, its place in ``labels`` and
    ``seed``. Raises `BadGenerator` where a graph is missing or broken, or there is no such class.
    """
    classes = np.asarray(labels, np.int64)
    if classes.size and not 0 <= classes.min() <= classes.max() < len(generator.codes):
        raise BadGenerator(f"the generator knows {len(generator.codes)} classes, numbered from 0, not {classes.max()}")
    facts = generator.facts["sampling"]
    # Steps are shorter near the cells, where small things are decided.
    times = np.linspace(1, 0, facts["steps"] + 1) ** facts["time_exponent"]
    cells = [np.zeros((0, generator.size, generator.size, 3), np.uint8)]
    for rows in batches(len(classes), BATCH, report, unit="cell"):
        part = classes[rows]
        generators = [np.random.default_rng([seed, place]) for place in range(rows.start, rows.stop)]
        latents: np.ndarray = np.stack([g.standard_normal(generator.facts["latent"]) for g in generators]).astype(
            np.float32
        )
        for step, (now, then) in enumerate(pairwise(times), 1):  # Heun's method: Karras et al. 2022, arXiv:2206.00364
            slope = _velocity(generator, latents, part, now)
            ahead = latents + np.float32(then - now) * slope
            if then > 0:
                slope = (slope + _velocity(generator, ahead, part, then)) / 2
                ahead = latents + np.float32(then - now) * slope
            latents = ahead
            report(Progress(rows.start + len(part) * step // len(times), len(classes), unit="cell"))
        cells.append(decode(generator, latents))
    return np.concatenate(cells)


def _velocity(generator: Generator, latents: np.ndarray, classes: np.ndarray, time: float) -> np.ndarray:
    """The flow's float32 (n, C, L, L) at ``latents``, with guidance (Ho and Salimans 2022, arXiv:2207.12598).

    Guidance steps away from 'any cell' towards the class, but only between the times of ``interval`` (Kynkäänniemi
    et al. 2024, arXiv:2404.07724).
    """
    facts = generator.facts["sampling"]
    low, high = facts["interval"]
    guided = facts["guidance"] != 1 and low <= time <= high
    if guided:
        latents = np.concatenate([latents, latents])
        classes = np.concatenate([classes, np.full_like(classes, len(generator.codes))])
    times = np.full(len(classes), time, np.float32)
    velocity = _run(generator, FLOW, {"latent": latents, "time": times, "class": classes})
    if not guided:
        return velocity
    towards, anyhow = np.split(velocity, 2)
    return anyhow + facts["guidance"] * (towards - anyhow)


def decode(generator: Generator, latents: np.ndarray) -> np.ndarray:
    """Cells uint8 (N, S, S, 3) of ``latents`` float32 (N, C, L, L). Raises `BadGenerator`."""
    return _run(generator, DECODER, {"latent": latents.astype(np.float32)})


def _run(generator: Generator, graph: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    try:
        return _session(generator.path / graph).run(None, inputs)[0]
    except Exception as error:  # ONNX Runtime raises kinds of its own that derive from Exception only
        raise BadGenerator(
            f"the generator's {graph} can't be used: restore its folder, or delete it and let drawn cells stand in"
        ) from error


@cached_file(4)
def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count()
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def load_sheet(generator: Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Cells uint8 (N, S, S, 3) made in advance, and their labels int64 (N,): a row of the sheet is a class.

    None where the generator has no such sheet, or it can't be read.
    """
    try:
        with Image.open(generator.path / SHEET, formats=["JPEG"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError:
        return None
    size, classes = generator.size, len(generator.codes)
    columns = pixels.shape[1] // size
    if pixels.shape != (classes * size, columns * size, 3):
        return None
    cells = pixels.reshape(classes, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    return cells, np.repeat(np.arange(classes), columns)


def write_sheet(path: Path, cells: np.ndarray, classes: int) -> None:
    """Write ``cells`` uint8 (N, S, S, 3), in the order of their classes, as `load_sheet` reads them.

    Colour is kept at full size: halved, as most formats do, models take lymphocytes for other cells.
    """
    size = cells.shape[1]
    rows = cells.reshape(classes, -1, size, size, 3).swapaxes(1, 2)
    Image.fromarray(rows.reshape(classes * size, -1, 3)).save(path, "JPEG", quality=SHEET_QUALITY, subsampling=0)
