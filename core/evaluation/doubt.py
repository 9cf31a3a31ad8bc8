"""How far a run's certainty can be trusted on one set of cells, in figures that can be stored and drawn."""

from typing import Any

import numpy as np

from core.evaluation.conformal import NOMINAL, coverage, prediction_sets, reliability, risk_coverage

MOST_POINTS = 200  # of a curve: more can't be seen


def doubt(
    labels: np.ndarray,
    probabilities: np.ndarray,
    thresholds: np.ndarray,
    sure_from: float,
    nominal: float = NOMINAL,
) -> dict[str, Any]:
    """Figures of ``probabilities`` (N, C) for cells of ``labels`` int (N,), ready for JSON; shares in 0 to 1.

    ``thresholds`` (C,) make the short lists, which promise to hold the right class of ``nominal`` of each class;
    answers of ``sure_from`` or more are sure. ``reliability``: lists confidence, accuracy, counts, and the calibration
    ``error``. ``lists``: ``coverage`` (C, None for a class without cells), ``counts``, ``overall``, ``size`` (C) and
    ``mean_size``, ``single`` (share of lists of one class). ``risk``: lists coverage, risk, from_probability (thinned
    to `MOST_POINTS`), and the ``area`` under them. ``sure``: share of the cells, ``sure_right``: share right of these.
    """
    said, silent = reliability(labels, probabilities), risk_coverage(labels, probabilities)
    held = coverage(labels, prediction_sets(probabilities, thresholds))
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    sure = top >= sure_from
    last = len(silent.coverage) - 1
    shown = np.unique(np.linspace(0, last, min(MOST_POINTS, last + 1)).round().astype(int))
    return {
        "n": len(labels),
        "nominal": nominal,
        "sure_from": float(sure_from),
        "sure": float(sure.mean()),
        "sure_right": float(right[sure].mean()) if sure.any() else None,
        "reliability": {
            "confidence": _numbers(said.confidence),
            "accuracy": _numbers(said.accuracy),
            "counts": said.counts.tolist(),
            "error": said.error,
        },
        "lists": {
            "coverage": _numbers(held.by_class),
            "counts": held.counts.tolist(),
            "overall": held.overall,
            "size": _numbers(held.mean_size_by_class),
            "mean_size": held.mean_size,
            "single": held.single,
        },
        "risk": {
            "coverage": _numbers(silent.coverage[shown]),
            "risk": _numbers(silent.risk[shown]),
            "from_probability": _numbers(silent.from_probability[shown]),
            "area": silent.area,
        },
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
