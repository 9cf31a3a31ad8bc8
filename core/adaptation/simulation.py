"""How much teaching gains, simulated on a laboratory whose cells all have labels, which answer the queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.adaptation.active import UNTAUGHT_POWER, ActiveLearner
from core.adaptation.estimate import PRIOR, AccuracyEstimate, ReliabilityPrior, apply_temperature
from core.adaptation.head import LabCells, LabelledCells
from core.evaluation.metrics import balanced_accuracy, expected_calibration_error
from core.inference.specimen import weighed
from core.progress import Progress, Report, silent

QueryStrategy = Literal["active", "random"]
Population = Literal["all", "natural"]

# Shares in the blood of healthy adults, as a differential finds them (Bain 2015, Blood Cells, 5th ed.).
DIFFERENTIAL = {"NE": 0.60, "LY": 0.30, "MO": 0.06, "EO": 0.03, "BA": 0.01}
BATCH = 165
_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Simulation:
    """One repeat: the cells drawn (``batch``), those that were asked about, figures by stage, and what all cells of the
    laboratory are called then among all classes (``predicted``, int (N,) by stage).

    ``estimate``: what the app tells of itself beside what is true, {} where it tells nothing: ``told``, ``low``,
    ``high`` and ``true`` share right among the unnamed cells of the batch, ``holds`` (1 where the interval holds it);
    ``calibration_told`` and ``calibration_true``; ``sure_inside`` and ``sure_outside``, the shares of unnamed cells and
    of cells outside the batch that are sure, and ``precision_inside``, ``precision_outside`` of these (missing where
    none is).
    """

    batch: np.ndarray
    queried: np.ndarray
    figures: dict[str, dict[str, float]]
    estimate: dict[str, float]
    predicted: dict[str, np.ndarray]


def draw_differential(
    labels: np.ndarray,
    codes: Sequence[str],
    rng: np.random.Generator,
    size: int = BATCH,
    shares: Mapping[str, float] = DIFFERENTIAL,
) -> np.ndarray:
    """Indexes of about ``size`` cells in the proportions ``shares``, as far as there are enough of a class."""
    drawn = []
    for code, share in shares.items():
        of_class = np.flatnonzero(labels == codes.index(code)) if code in codes else np.array([], int)
        drawn.append(rng.permutation(of_class)[: max(1, round(share * size))])
    return np.sort(np.concatenate(drawn)) if drawn else np.arange(len(labels))


def simulate(
    cells: LabCells,
    labels: np.ndarray,
    codes: Sequence[str],
    *,
    budget: int | None = None,
    per_class: int | None = None,
    strategy: QueryStrategy = "active",
    population: Population | Mapping[str, float] = "all",
    repeats: int = 1,
    exemplars: LabelledCells | None = None,
    odds: np.ndarray | None = None,
    size: int = BATCH,
    prior: ReliabilityPrior | None = PRIOR,
    report: Report = silent,
) -> list[Simulation]:
    """``repeats`` times: draw a batch of ``cells``, ask about ``budget`` cells (or ``per_class`` of each class, drawn
    at random), and score.

    ``labels`` int (N,) of ``codes``. ``population``: all cells, or about ``size`` of them in the shares of an adult's
    blood, or in those given by code. ``odds`` (C,): of the specimen that it is said to be, as `Specimen.odds` gives
    them; None: nothing is said. Stages: ``base`` (the run on the frames, weighed by these), ``adapted`` (what is done
    without any label), ``after`` (taught). Each has, on cells of the batch that were not asked about, ``accuracy``
    (among the laboratory's classes), ``accuracy_eight`` (among all that the run names, eight for blood cells),
    ``balanced``, and on cells outside the batch (where it is not all) ``others_balanced``. ``prior``: what
    the estimates begin with, None: there are none.
    """
    present = np.isin(np.arange(len(codes)), labels)
    simulations = []
    for number in range(repeats):
        rng = np.random.default_rng(number)
        batch = np.arange(len(labels))
        if population != "all":
            shares = DIFFERENTIAL if isinstance(population, str) else population
            batch = draw_differential(labels, codes, rng, size, shares)
        start = ActiveLearner(cells.subset(batch), present, exemplars=exemplars, seed=number, odds=odds)
        learner = _teach(start, labels[batch], budget, per_class, strategy, rng)
        queried = np.array([cell for cell, _ in learner.answers], int)
        inside = np.setdiff1d(batch, batch[queried])
        outside = np.setdiff1d(np.arange(len(labels)), batch)
        stages = {
            "base": cells.probabilities if odds is None else weighed(cells.probabilities, odds**UNTAUGHT_POWER),
            "adapted": start.head.probabilities(cells.embeddings, cells.probabilities),
            "after": learner.head.probabilities(cells.embeddings, cells.probabilities),
        }
        figures = {stage: _score(posterior, labels, present, inside, outside) for stage, posterior in stages.items()}
        estimate = learner.estimate(prior) if prior else None
        told = _check(estimate, stages["after"], labels, inside, outside) if estimate and len(inside) else {}
        predicted = {stage: posterior.argmax(1) for stage, posterior in stages.items()}
        simulations.append(Simulation(batch, batch[queried], figures, told, predicted))
        report(Progress(number + 1, repeats, "repeating with other draws", "draw"))
    return simulations


def summarize_simulations(simulations: Sequence[Simulation]) -> dict[str, dict[str, Any]]:
    """By stage and figure: ``mean``, ``sd`` and ``worst`` over the repeats, ``n`` cells scored in each on average."""
    summary: dict[str, dict[str, Any]] = {}
    for stage in simulations[0].figures:
        summary[stage] = {}
        for name in simulations[0].figures[stage]:
            if name.startswith("n_"):
                continue
            values = np.array([trial.figures[stage][name] for trial in simulations])
            counted = "n_others" if name.startswith("others") else "n_batch"
            summary[stage][name] = {
                "mean": float(values.mean()),
                "sd": float(values.std()),
                "worst": float(values.min()),
                "n": round(float(np.mean([trial.figures[stage][counted] for trial in simulations]))),
            }
    return summary


def summarize_estimates(simulations: Sequence[Simulation]) -> dict[str, float]:
    """Mean of each figure of the estimates over the repeats that have it, ``coverage`` (share of repeats whose interval
    holds the truth) and ``error`` (told less true); {} where none was told.
    """
    told = [trial.estimate for trial in simulations if trial.estimate]
    names = dict.fromkeys(name for figures in told for name in figures)
    summary = {name: float(np.mean([t[name] for t in told if name in t])) for name in names}
    if told:
        summary["coverage"] = summary.pop("holds")
        summary["error"] = summary["told"] - summary["true"]
    return summary


def _check(
    estimate: AccuracyEstimate, posterior: np.ndarray, labels: np.ndarray, inside: np.ndarray, outside: np.ndarray
) -> dict[str, float]:
    """What ``estimate`` says against the truth; ``posterior`` (N, C) of all cells, before its temperature."""
    calibrated = apply_temperature(posterior, estimate.temperature)
    confidence = calibrated.max(1)
    right = posterior.argmax(1) == labels
    low, high = estimate.after_interval
    true = float(right[inside].mean())
    figures = {
        "told": estimate.after,
        "low": low,
        "high": high,
        "true": true,
        "holds": float(low <= true <= high),
        "calibration_told": estimate.calibration_error,
        "calibration_true": expected_calibration_error(labels[inside], calibrated[inside], _CALIBRATION_BINS),
    }
    for where, cells in (("inside", inside), ("outside", outside)):
        sure = cells[confidence[cells] >= estimate.confidence_threshold]
        if len(cells):
            figures[f"sure_{where}"] = len(sure) / len(cells)
        if len(sure):
            figures[f"precision_{where}"] = float(right[sure].mean())
    return figures


def _teach(
    learner: ActiveLearner,
    labels: np.ndarray,
    budget: int | None,
    per_class: int | None,
    strategy: QueryStrategy,
    rng: np.random.Generator,
) -> ActiveLearner:
    if per_class is not None:
        queried = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
        return _give_answers(learner, np.concatenate(queried), labels)
    budget = min(budget or 0, len(labels))
    if strategy == "random":
        return _give_answers(learner, rng.permutation(len(labels))[:budget], labels)
    while len(learner.answers) < budget:
        learner = _give_answers(learner, learner.queries[: budget - len(learner.answers)], labels)
    return learner


def _give_answers(learner: ActiveLearner, queried: np.ndarray, labels: np.ndarray) -> ActiveLearner:
    for cell in queried:
        learner = learner.with_answer(int(cell), int(labels[cell]))
    return learner


def _score(
    probabilities: np.ndarray, labels: np.ndarray, present: np.ndarray, inside: np.ndarray, outside: np.ndarray
) -> dict[str, float]:
    right_among_present = np.where(present, probabilities, -1).argmax(1) == labels
    right = probabilities.argmax(1) == labels
    figures = {
        "accuracy": float(right_among_present[inside].mean()),
        "accuracy_eight": float(right[inside].mean()),
        "balanced": balanced_accuracy(labels[inside], right_among_present[inside]),
        "n_batch": len(inside),
    }
    if len(outside):
        figures |= {
            "others_balanced": balanced_accuracy(labels[outside], right_among_present[outside]),
            "n_others": len(outside),
        }
    return figures
