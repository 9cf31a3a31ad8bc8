"""How much teaching gains, measured on a laboratory whose cells all have labels, which answer the questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.evaluation.elsewhere import balanced
from core.lab.cells import LabCells
from core.lab.head import Anchors
from core.lab.teaching import Teaching
from core.progress import Progress, Report, silent

Choice = Literal["active", "random"]
Draw = Literal["all", "natural"]

# Shares in the blood of healthy adults, as a differential finds them (Bain 2015, Blood Cells, 5th ed.).
DIFFERENTIAL = {"NE": 0.60, "LY": 0.30, "MO": 0.06, "EO": 0.03, "BA": 0.01}
BATCH = 165


@dataclass(frozen=True)
class Trial:
    """One repeat: the cells drawn (``batch``), those that were asked about, and figures by stage."""

    batch: np.ndarray
    asked: np.ndarray
    figures: dict[str, dict[str, float]]


def natural_draw(labels: np.ndarray, codes: Sequence[str], rng: np.random.Generator, size: int = BATCH) -> np.ndarray:
    """Indexes of about ``size`` cells in the proportions of `DIFFERENTIAL`, as far as there are enough of a class."""
    drawn = []
    for code, share in DIFFERENTIAL.items():
        own = np.flatnonzero(labels == codes.index(code)) if code in codes else np.array([], int)
        drawn.append(rng.permutation(own)[: max(1, round(share * size))])
    return np.sort(np.concatenate(drawn)) if drawn else np.arange(len(labels))


def run_trials(
    cells: LabCells,
    labels: np.ndarray,
    codes: Sequence[str],
    *,
    budget: int | None = None,
    per_class: int | None = None,
    choose: Choice = "active",
    draw: Draw = "all",
    repeats: int = 1,
    anchors: Anchors | None = None,
    report: Report = silent,
) -> list[Trial]:
    """``repeats`` times: draw a batch of ``cells``, ask about ``budget`` cells (or ``per_class`` of each class, drawn
    at random), and score.

    ``labels`` int (N,) of ``codes``. Stages: ``base`` (the run on the frames), ``adapted`` (what is done without any
    label), ``after`` (taught). Each has, on cells of the batch that were not asked about, ``accuracy`` (among the
    laboratory's classes), ``accuracy_all_classes``, ``balanced``, and on cells outside the batch (where it is not all)
    ``others_balanced``.
    """
    occurs = np.isin(np.arange(len(codes)), labels)
    found = []
    for number in range(repeats):
        rng = np.random.default_rng(number)
        batch = natural_draw(labels, codes, rng) if draw == "natural" else np.arange(len(labels))
        start = Teaching(cells.some(batch), occurs, anchors=anchors, seed=number)
        taught = _teach(start, labels[batch], budget, per_class, choose, rng)
        asked = np.array([cell for cell, _ in taught.answers], int)
        inside = np.setdiff1d(batch, batch[asked])
        outside = np.setdiff1d(np.arange(len(labels)), batch)
        stages = {
            "base": cells.probabilities,
            "adapted": start.head.probabilities(cells.embeddings, cells.probabilities),
            "after": taught.head.probabilities(cells.embeddings, cells.probabilities),
        }
        figures = {stage: _score(answers, labels, occurs, inside, outside) for stage, answers in stages.items()}
        found.append(Trial(batch, batch[asked], figures))
        report(Progress(number + 1, repeats, "repeating with other draws", "draw"))
    return found


def summary(trials: Sequence[Trial]) -> dict[str, dict[str, Any]]:
    """By stage and figure: ``mean``, ``sd`` and ``worst`` over the repeats, ``n`` cells scored in each on average."""
    found: dict[str, dict[str, Any]] = {}
    for stage in trials[0].figures:
        found[stage] = {}
        for name in trials[0].figures[stage]:
            if name.startswith("n_"):
                continue
            values = np.array([trial.figures[stage][name] for trial in trials])
            counted = "n_others" if name.startswith("others") else "n_batch"
            found[stage][name] = {
                "mean": float(values.mean()),
                "sd": float(values.std()),
                "worst": float(values.min()),
                "n": round(float(np.mean([trial.figures[stage][counted] for trial in trials]))),
            }
    return found


def _teach(
    teaching: Teaching,
    labels: np.ndarray,
    budget: int | None,
    per_class: int | None,
    choose: Choice,
    rng: np.random.Generator,
) -> Teaching:
    if per_class is not None:
        asked = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
        return _answer(teaching, np.concatenate(asked), labels)
    budget = min(budget or 0, len(labels))
    if choose == "random":
        return _answer(teaching, rng.permutation(len(labels))[:budget], labels)
    while len(teaching.answers) < budget:
        teaching = _answer(teaching, teaching.questions[: budget - len(teaching.answers)], labels)
    return teaching


def _answer(teaching: Teaching, asked: np.ndarray, labels: np.ndarray) -> Teaching:
    for cell in asked:
        teaching = teaching.answered(int(cell), int(labels[cell]))
    return teaching


def _score(
    probabilities: np.ndarray, labels: np.ndarray, occurs: np.ndarray, inside: np.ndarray, outside: np.ndarray
) -> dict[str, float]:
    among = np.where(occurs, probabilities, -1).argmax(1) == labels
    every = probabilities.argmax(1) == labels
    figures = {
        "accuracy": float(among[inside].mean()),
        "accuracy_all_classes": float(every[inside].mean()),
        "balanced": balanced(labels[inside], among[inside]),
        "n_batch": len(inside),
    }
    if len(outside):
        figures |= {"others_balanced": balanced(labels[outside], among[outside]), "n_others": len(outside)}
    return figures
