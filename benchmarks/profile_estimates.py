"""Is what a profile says of itself true? The share right that it tells, its interval, calibration, what it calls sure,
and what it calls odd, on laboratories whose labels it never saw.

For each folder ``<name>_cells`` (labels.csv) below ``--labs``: ``--repeats`` drawn natural differentials, said to be
the blood of an adult, 25 and 50 answers, the questions chosen by the app or at random. Told and true are of the batch's
cells that nobody named; 'outside' are the laboratory's other cells. What estimates begin with (`ReliabilityPrior`) is
fitted without the laboratory that is measured. ``python -m benchmarks.profile_estimates [RUN] [--labs DIR] [--repeats
10]``
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from benchmarks.reporting import publish
from benchmarks.specimen import Laboratory, encoded_laboratory, learner_of
from core.adaptation.estimate import PRIOR, ReliabilityPrior, log_odds
from core.adaptation.head import LabCells, LabelledCells, base_run, exemplars_of
from core.adaptation.oddness import fit_lab_detector
from core.adaptation.simulation import QueryStrategy, Simulation, simulate, summarize_estimates
from core.inference.specimen import ADULT_BLOOD
from core.runs import Run, find_run

ANSWERS = (25, 50)
STRATEGIES: tuple[QueryStrategy, ...] = ("active", "random")
COLUMNS = (
    "told",
    "true",
    "error",
    "coverage",
    "calibration_told",
    "calibration_true",
    "sure_inside",
    "precision_inside",
    "sure_outside",
    "precision_outside",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", metavar="RUN")
    parser.add_argument("--labs", type=Path, default=Path("../shared/data/other_labs"))
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    run = find_run(options.run, "bloodmnist") if options.run else base_run("bloodmnist")
    laboratories = {
        folder.name.removesuffix("_cells"): encoded_laboratory(run, folder)
        for folder in sorted(options.labs.glob("*_cells"))
    }
    with threadpool_limits(1):  # matrices are small here, several threads would wait for each other
        rows = measure(run, laboratories, options.repeats)
    publish("profile_estimates", rows, taught=run.name, repeats=options.repeats)


def measure(run: Run, laboratories: dict[str, Laboratory], repeats: int) -> list[dict[str, Any]]:
    """A row a laboratory, strategy and number of answers, and one of all laboratories for each strategy; in %."""
    exemplars = exemplars_of(run)
    outcomes = {name: _outcomes(run, *laboratory, exemplars) for name, laboratory in laboratories.items()}
    rows: list[dict[str, Any]] = []
    for strategy in STRATEGIES:
        of_all: list[Simulation] = []
        for name, (cells, labels) in laboratories.items():
            prior = fit_prior([outcomes[other] for other in outcomes if other != name])
            for answers in ANSWERS:
                trials = simulate(
                    cells,
                    labels,
                    run.codes,
                    budget=answers,
                    strategy=strategy,
                    population="natural",
                    repeats=repeats,
                    exemplars=exemplars,
                    odds=ADULT_BLOOD.odds(run, elsewhere=True),
                    prior=prior,
                )
                of_all += trials
                odd = _odd_shares(run, cells, labels, trials, exemplars)
                rows.append(_row(name, strategy, answers, trials, odd))
                print(f"{name}: {strategy}, {answers} answers", flush=True)
        rows.append(_row("all", strategy, None, of_all, []))
    return rows


def _row(name: str, strategy: str, answers: int | None, trials: list[Simulation], odd: list[float]) -> dict[str, Any]:
    figures = summarize_estimates(trials)
    row: dict[str, Any] = {"laboratory": name, "questions": strategy, "answers": answers, "profiles": len(trials)}
    row |= {column.replace("_", " "): 100 * figures[column] if column in figures else None for column in COLUMNS}
    row["odd outside"] = 100 * float(np.mean(odd)) if odd else None
    row["odd, worst draw"] = 100 * max(odd) if odd else None
    return row


def _odd_shares(
    run: Run, cells: LabCells, labels: np.ndarray, trials: list[Simulation], exemplars: LabelledCells | None
) -> list[float]:
    """Of each draw, the share of the laboratory's other cells that its profile calls odd."""
    shares = []
    for trial in trials:
        learner = learner_of(run, cells, labels, trial, exemplars)
        detector = fit_lab_detector(run, learner, learner.posterior)
        outside = np.setdiff1d(np.arange(len(labels)), trial.batch)
        if detector and len(outside):
            shares.append(float((detector.ood_score(cells.embeddings[outside], cells.crops[outside]) >= 1).mean()))
    return shares


def _outcomes(
    run: Run, cells: LabCells, labels: np.ndarray, exemplars: LabelledCells | None, draws: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of the confidence in unnamed cells of natural draws, taught by 25 answers, and whether it was right."""
    odds, right = [], []
    for strategy in STRATEGIES:
        for trial in simulate(
            cells,
            labels,
            run.codes,
            budget=ANSWERS[0],
            strategy=strategy,
            population="natural",
            repeats=draws,
            exemplars=exemplars,
            odds=ADULT_BLOOD.odds(run, elsewhere=True),
            prior=None,
        ):
            learner = learner_of(run, cells, labels, trial, exemplars)
            unnamed = np.setdiff1d(np.arange(len(trial.batch)), learner.labelled[0])
            posterior = learner.posterior[unnamed]
            odds.append(log_odds(posterior.max(1)))
            right.append(posterior.argmax(1) == labels[trial.batch][unnamed])
    return np.concatenate(odds), np.concatenate(right)


def fit_prior(outcomes: list[tuple[np.ndarray, np.ndarray]]) -> ReliabilityPrior:
    """`PRIOR` with the intercept and the slope of other laboratories' ``outcomes`` (log-odds (n,), right bool (n,))."""
    odds, right = (np.concatenate(parts) for parts in zip(*outcomes, strict=True))

    def loss(line: np.ndarray) -> float:
        scores = line[0] + line[1] * odds
        return float((np.logaddexp(0, scores) - right * scores).mean())

    intercept, slope = minimize(loss, [PRIOR.intercept, PRIOR.slope]).x
    return replace(PRIOR, intercept=float(intercept), slope=float(slope))


if __name__ == "__main__":
    main()
