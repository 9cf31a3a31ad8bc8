"""How good generated cells are, and whether any is a copy of a training cell. Numpy and ONNX Runtime, no torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.datasets import LoadedDataset
from core.evaluation import accuracy_interval
from core.progress import Progress, Report, silent
from core.runs import Run
from core.serving import engine
from core.serving.embedding import embed
from core.serving.views import VIEWS, views

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75)
BLOCK = 1024  # training cells compared with at a time


@dataclass(frozen=True)
class Nearest:
    """For each of N cells the training cell that is most alike: ``distance`` float32 (N,), its ``row`` int64 (N,).

    ``ratio`` (N,) is that distance by the one to the second nearest: a copy stands out by a small one.
    """

    distance: np.ndarray
    row: np.ndarray
    ratio: np.ndarray


def agreement(run: Run, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The share of ``images`` uint8 (N, S, S, 3) that ``run`` names as they were asked for (``labels``), by class too.

    The classes are numbered as in the run. Shares are 0 to 1, the interval is Wilson's at 95 %.
    """
    named = engine.logits(run, images).argmax(1)
    right = named == labels
    by_class = {code: float(right[labels == i].mean()) for i, code in enumerate(run.codes) if (labels == i).any()}
    return {
        "run": run.name,
        "n": len(labels),
        "share": float(right.mean()),
        "interval": list(accuracy_interval(int(right.sum()), len(right))),
        "by_class": by_class,
    }


def nearest_pixels(cells: np.ndarray, train: np.ndarray, report: Report = silent) -> Nearest:
    """By pixels, in the best of the eight turns: the root mean square difference in grey levels (0 to 255).

    Two by two pixels are averaged: what is a copy to the eye is one then too, and noise hides it less.
    """
    turned = np.concatenate([v.reshape(len(cells), -1) for v in views(_halved(cells))])
    norms = np.einsum("ij,ij->i", turned, turned)
    best = np.full((len(cells), 2), np.inf, np.float32)
    row = np.zeros((len(cells), 2), np.int64)
    for start in range(0, len(train), BLOCK):
        block = _halved(train[start : start + BLOCK]).reshape(-1, turned.shape[1])
        square = norms[:, None] - 2 * turned @ block.T + np.einsum("ij,ij->i", block, block)
        best, row = _merge(best, row, square.reshape(VIEWS, len(cells), -1).min(0), start)
        report(Progress(min(start + BLOCK, len(train)), len(train), "", "cell"))
    distance = np.sqrt(np.maximum(best, 0) / turned.shape[1])
    return Nearest(distance[:, 0], row[:, 0], distance[:, 0] / np.maximum(distance[:, 1], 1e-6))


def _halved(images: np.ndarray) -> np.ndarray:
    """``images`` uint8 (N, S, S, 3) as float32 (N, S / 2, S / 2, 3) from -128 to 127, two by two pixels averaged."""
    n, side, _, _ = images.shape
    return images.reshape(n, side // 2, 2, side // 2, 2, 3).mean((2, 4), dtype=np.float32) - 128


def nearest_embedded(cells: np.ndarray, train: np.ndarray) -> Nearest:
    """By embeddings float32 (N, K) and (M, K): one less the cosine."""
    unit = [e / np.maximum(np.linalg.norm(e, axis=1, keepdims=True), 1e-9) for e in (cells, train)]
    best, row = np.full((len(cells), 2), np.inf, np.float32), np.zeros((len(cells), 2), np.int64)
    best, row = _merge(best, row, 1 - unit[0] @ unit[1].T, 0)
    return Nearest(best[:, 0], row[:, 0], best[:, 0] / np.maximum(best[:, 1], 1e-9))


def _merge(best: np.ndarray, row: np.ndarray, found: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """The two nearest so far and where they lie, with the distances ``found`` (N, m) to cells from ``start`` on."""
    two = np.argpartition(found, 1, axis=1)[:, :2]
    values = np.concatenate([best, np.take_along_axis(found, two, 1)], 1)
    rows = np.concatenate([row, two + start], 1)
    order = values.argsort(1)[:, :2]
    return np.take_along_axis(values, order, 1), np.take_along_axis(rows, order, 1)


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two sets of embeddings (N, K) and (M, K) (Heusel et al. 2017, arXiv:1706.08500).

    Of the classifier's own embedding, so to be compared only with other figures of the same one.
    """
    covariances = [np.cov(e.astype(np.float64), rowvar=False) for e in (first, second)]
    # The trace of the root of A B is the sum of the roots of its eigenvalues, which are real and not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0)).sum()
    apart = first.mean(0, dtype=np.float64) - second.mean(0, dtype=np.float64)
    return float(apart @ apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * roots)


def spread(values: np.ndarray) -> list[float]:
    """The `QUANTILES` of ``values``, rounded to five digits."""
    return [round(float(q), 5) for q in np.quantile(values, QUANTILES)]


def measure(
    images: np.ndarray,
    labels: np.ndarray,
    data: LoadedDataset,
    judge: Run,
    others: tuple[Run, ...] = (),
    report: Report = silent,
) -> tuple[dict[str, Any], Nearest]:
    """All figures of generated ``images`` (the same number of each class), and the training cell nearest to each.

    Held-out val cells, as many of each class, are put to the same questions: what they answer is what cells that
    no training has seen look like. ``judge`` gives the embedding.
    """
    per_class = int(np.bincount(labels).min())
    val, train = data["val"], data["train"]
    rng = np.random.default_rng(0)
    classes = range(len(data.spec.codes))
    chosen = np.concatenate([rng.permutation(np.flatnonzero(val.labels == c))[:per_class] for c in classes])
    held_out = val.images[chosen]
    pixels = nearest_pixels(images, train.images[:], report)
    pixels_val = nearest_pixels(held_out, train.images[:], report)
    known, made, kept = (embed(judge, part) for part in (train.images[:], images, held_out))
    embedded, embedded_val = nearest_embedded(made, known), nearest_embedded(kept, known)
    alike = np.concatenate([rng.permutation(np.flatnonzero(train.labels == c))[:per_class] for c in classes])
    figures = {
        "cells": len(images),
        "agreement": [agreement(run, images, labels) for run in (judge, *others)],
        "neighbours": {
            "held_out": len(held_out),
            "quantiles": list(QUANTILES),
            "pixels": {"generated": spread(pixels.distance), "val": spread(pixels_val.distance)},
            "pixel_ratio": {"generated": spread(pixels.ratio), "val": spread(pixels_val.ratio)},
            "embedding": {"generated": spread(embedded.distance), "val": spread(embedded_val.distance)},
            "embedding_ratio": {"generated": spread(embedded.ratio), "val": spread(embedded_val.ratio)},
        },
        "frechet": {"generated": frechet(made, known[alike]), "val": frechet(kept, known[alike])},
    }
    return figures, pixels
