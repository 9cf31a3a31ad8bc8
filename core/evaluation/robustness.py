"""What spoilt pictures cost: figures of one run over corruptions and severities, ready to be stored beside it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.evaluation.elsewhere import balanced
from core.evaluation.metrics import accuracy_interval

# Balanced error of MedMNIST-C's AlexNet on BloodMNIST-C at 224 px, mean over severities: the paper's errors BE and rBE
# are shares of these (arXiv:2406.17536, section 3; figures from https://github.com/francescodisalvo05/medmnistc-api).
ALEXNET_CLEAN = 0.01837
ALEXNET = {
    "pixelate": 0.05976,
    "jpeg_compression": 0.13976,
    "defocus_blur": 0.22400,
    "motion_blur": 0.18452,
    "brightness_up": 0.06946,
    "brightness_down": 0.07901,
    "contrast_up": 0.05215,
    "contrast_down": 0.07966,
    "saturate": 0.03479,
    "stain_deposit": 0.18536,
    "bubble": 0.12899,
}
_DIGITS = 4


def stratified(labels: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Places int (min(n, N),), ascending, of pictures drawn so that each class keeps its share of ``labels`` (N,).

    They depend on the labels, ``n`` and the seed alone, so they are the same cells at every picture size.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.empty(len(labels))
    for label in np.unique(labels):
        here = order[labels[order] == label]
        turn[here] = (np.arange(len(here)) + 0.5) / len(here)
    return np.sort(order[np.argsort(turn[order], kind="stable")[:n]])


def summarize(
    labels: np.ndarray, clean: np.ndarray, spoilt: Mapping[str, Sequence[np.ndarray]], *, relative: bool = True
) -> dict[str, Any]:
    """Figures (0 to 1) of answers on the same N cells, clean and spoilt.

    ``labels`` int (N,), ``clean`` probabilities (N, C), ``spoilt`` five such arrays a corruption, by severity.
    ``clean`` and each of ``corruptions`` have ``accuracy``, ``balanced_error`` (1 - mean sensitivity) and
    ``confidence`` (mean probability of the answer): a figure, or one a severity. ``mean_accuracy`` is over severities,
    and at the top over all corruptions. An ``..._interval`` is Wilson's at 95 % for N cells, which for means errs
    on the wide side: several answers on one cell count once. With ``relative`` (BloodMNIST only) ``be`` and ``rbe``
    are MedMNIST-C's errors, those of its AlexNet being 1: its pictures are of 224 px, so compare them with care.
    """
    labels = np.asarray(labels)
    ways = {name: _by_severity(labels, answers) for name, answers in spoilt.items()}
    whole = {measure: values[0] for measure, values in _by_severity(labels, [clean]).items()}
    found = {
        "n": len(labels),
        "clean": whole | {"accuracy_interval": _interval(whole["accuracy"], len(labels))},
        "corruptions": {name: way | _mean(way["accuracy"], len(labels)) for name, way in ways.items()},
        **_mean([value for way in ways.values() for value in way["accuracy"]], len(labels)),
    }
    if relative:
        errors = {name: float(np.mean(way["balanced_error"])) for name, way in ways.items()}
        clean_error = found["clean"]["balanced_error"]
        be = [error / ALEXNET[name] for name, error in errors.items()]
        rbe = [(error - clean_error) / (ALEXNET[name] - ALEXNET_CLEAN) for name, error in errors.items()]
        found |= {"be": round(float(np.mean(be)), _DIGITS), "rbe": round(float(np.mean(rbe)), _DIGITS)}
    return found


def worst(figures: Mapping[str, Any]) -> str:
    """The name of the corruption that costs the most accuracy, of what `summarize` gave."""
    return min(figures["corruptions"], key=lambda name: figures["corruptions"][name]["mean_accuracy"])


def _by_severity(labels: np.ndarray, answers: Sequence[np.ndarray]) -> dict[str, list]:
    hits = [probabilities.argmax(1) == labels for probabilities in answers]
    return {
        "accuracy": [round(float(hit.mean()), _DIGITS) for hit in hits],
        "balanced_error": [round(1 - balanced(labels, hit), _DIGITS) for hit in hits],
        "confidence": [round(float(probabilities.max(1).mean()), _DIGITS) for probabilities in answers],
    }


def _mean(accuracies: Sequence[float], n: int) -> dict[str, Any]:
    mean = float(np.mean(accuracies))
    return {"mean_accuracy": round(mean, _DIGITS), "mean_accuracy_interval": _interval(mean, n)}


def _interval(share: float, n: int) -> list[float]:
    return [round(bound, _DIGITS) for bound in accuracy_interval(share * n, n)]
