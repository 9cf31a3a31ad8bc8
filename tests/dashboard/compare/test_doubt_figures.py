"""Every figure of Doubt's table, computed anew from the answers that each shipped run stored, by other code."""

import math

import numpy as np
import pytest
from scipy.stats import beta

from core.inference.predictor import prediction_set_thresholds
from core.runs import list_runs
from dashboard.compare.uncertainty import home_uncertainty, uncertainty_table

SHIPPED = list_runs(shipped_only=True)


def stored(run, split):
    file = np.load(run.path / "predictions.npz", allow_pickle=False)
    logits = file[f"{split}_logits"].astype(np.float64)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return file[f"{split}_labels"].astype(int), powers / powers.sum(1, keepdims=True)


def set_thresholds(labels, probabilities):
    """Where the bound on a class's misnamed cells, times the share of them below, is one in a hundred."""
    cells = list(zip(labels.tolist(), probabilities.tolist(), strict=True))
    misnamed = sorted((p[label], label) for label, p in cells if p.index(max(p)) != label)
    rate = (len(misnamed) + 0.5) / (len(cells) + 1)
    thresholds = []
    for c in range(probabilities.shape[1]):
        n, own = sum(label == c for label, _ in cells), sum(label == c for _, label in misnamed)
        allowed = 0.01 / beta.ppf(0.95, own + 10 * rate, n - own + 10 * (1 - rate))
        total, reached, points = 10 + own, 0.0, []
        for given, label in misnamed:
            weight = 10 / len(misnamed) + (label == c)
            points.append(((reached + weight / 2) / total, math.log(min(given, 0.5))))
            reached += weight
        points.append((1, math.log(0.5)))
        if allowed >= 1:
            thresholds.append(0.5)
        elif allowed <= points[0][0]:
            thresholds.append(math.exp(points[0][1]))
        else:
            (x0, y0), (x1, y1) = next(
                (before, after) for before, after in zip(points, points[1:], strict=False) if after[0] >= allowed
            )
            thresholds.append(math.exp(y0 + (y1 - y0) * (allowed - x0) / (x1 - x0)))
    return np.array(thresholds)


def sure_from(labels, probabilities):
    """The lowest top probability from which 99.5 % of the answers are right, half at least."""
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    good = [at for at in np.unique(top) if right[top >= at].mean() >= 0.995]
    return max(0.5, min(good)) if good else max(0.9, top[~right].max())


def told(probabilities, thresholds, sure_at):
    sets = []
    for row in probabilities:
        first, second = sorted(range(len(row)), key=lambda k: (-row[k], k))[:2]
        listed = {first} | {k for k in range(len(row)) if row[k] >= thresholds[k]}
        sets.append(listed if listed == {first} and row[first] >= sure_at else listed | {second})
    return sets


def figures(run):
    val_labels, val = stored(run, "val")
    labels, probabilities = stored(run, "test")
    thresholds, sure_at = set_thresholds(val_labels, val), sure_from(val_labels, val)
    sets, val_sets = told(probabilities, thresholds, sure_at), told(val, thresholds, sure_at)
    held = np.array([label in listed for label, listed in zip(labels, sets, strict=True)])
    size = np.array([len(listed) for listed in sets])
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    error = 0.0
    for low in range(15):
        inside = (top * 15 >= low) & ((top * 15 < low + 1) | (low == 14))
        error += abs(top[inside].sum() - right[inside].sum()) / len(top)
    answered = max([0.0, *((top >= at).mean() for at in np.unique(top) if (~right[top >= at]).mean() <= 0.01)])
    return {
        "cells": len(labels),
        "error": 100 * error,
        "sure": 100 * (size == 1).mean(),
        "sure_right": 100 * right[size == 1].mean(),
        "held": 100 * held.mean(),
        "held_on_val": 100 * np.mean([label in listed for label, listed in zip(val_labels, val_sets, strict=True)]),
        "lowest": 100 * min(held[labels == c].mean() for c in np.unique(labels)),
        "size": size.mean(),
        "answered": 100 * answered,
    }, thresholds


@pytest.mark.parametrize("run", SHIPPED, ids=lambda run: run.name)
def test_the_table_of_doubt_follows_from_the_stored_answers(run):
    expected, thresholds = figures(run)
    np.testing.assert_allclose(prediction_set_thresholds(run), thresholds, rtol=1e-6)
    shown = uncertainty_table({"it": home_uncertainty(run)}).iloc[0].to_dict()
    assert {key for key, value in shown.items() if value == value} == {"name", *expected}
    for key, value in expected.items():
        assert shown[key] == pytest.approx(value, abs=1e-4), key
