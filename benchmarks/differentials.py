"""Do a differential's 95 % intervals hold the true shares? By class: that of the count alone, and that which holds the
model's errors too; nobody reviews a cell.

At home: ``--draws`` differentials of 200 of the run's test cells, its errors measured on val: in the shares of an
adult's blood (said or not), in shares drawn anew round these for each, and in the test set's own. For each folder
``<name>_cells`` (labels.csv) below ``--labs``: ``--profiles`` profiles, each taught by 25 answers of the app's choice
about a natural batch, and ten differentials for each of cells that nobody named (drawn with replacement by class). True
are the shares from which cells are drawn. ``python -m benchmarks.differentials [RUN] [--labs DIR] [--draws 1000]
[--profiles 30]``
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.reporting import publish
from benchmarks.specimen import Laboratory, encoded_laboratory, learner_of
from core.adaptation.estimate import apply_temperature
from core.adaptation.head import base_run, exemplars_of
from core.adaptation.profile import asks_for_a_look, left_out_answers
from core.adaptation.simulation import DIFFERENTIAL, simulate
from core.cases.differential import PLATELETS, WHITE, CountedCell, Differential, differential
from core.inference.confusion import ModelErrors, answers_at_home, home_errors, laboratory_errors
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN, Specimen
from core.runs import Run, find_run

CELLS, ANSWERS, PER_PROFILE = 200, 25, 10
CONCENTRATION = 30.0  # of shares drawn round an adult's: neutrophils from 38 to 75 % in most
Drawn = tuple[np.ndarray, Differential]  # the shares that are true, and what is told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", metavar="RUN")
    parser.add_argument("--labs", type=Path, default=Path("../shared/data/other_labs"))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--profiles", type=int, default=30)
    options = parser.parse_args()
    run = find_run(options.run, "bloodmnist") if options.run else base_run("bloodmnist")
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):  # matrices are small here, several threads would wait for each other
        adult = np.array([ADULT_BLOOD.shares[code] for code in run.codes])
        own = np.bincount(run.predictions("test").labels, minlength=len(run.codes)).astype(float)
        for title, specimen, shares, concentration in (
            ("home, adult's shares", ANY_SPECIMEN, adult, None),
            ("home, the same, said", ADULT_BLOOD, adult, None),
            ("home, drawn round them", ANY_SPECIMEN, adult, CONCENTRATION),
            ("home, the test set's", ANY_SPECIMEN, own, None),
        ):
            drawn = list(_at_home(run, specimen, shares / shares.sum(), concentration, options.draws))
            rows += _rows(title, run.codes, drawn)
        for folder in sorted(options.labs.glob("*_cells")):
            drawn = list(_elsewhere(run, encoded_laboratory(run, folder), options.profiles))
            rows += _rows(folder.name.removesuffix("_cells"), run.codes, drawn)
    publish("differentials", rows, run=run.name, draws=options.draws, profiles=options.profiles)


def _at_home(
    run: Run, specimen: Specimen, shares: np.ndarray, concentration: float | None, draws: int
) -> Iterator[Drawn]:
    stored, errors = run.predictions("test"), home_errors(run, specimen)
    predicted, look = answers_at_home(run, stored.logits, specimen)
    for number in range(draws):
        rng = np.random.default_rng(number)
        true = rng.dirichlet(concentration * shares) if concentration else shares
        yield true, _told(run.codes, stored.labels, predicted, look, errors, true, rng)


def _elsewhere(run: Run, laboratory: Laboratory, profiles: int) -> Iterator[Drawn]:
    cells, labels = laboratory
    exemplars = exemplars_of(run)
    shares = np.array([DIFFERENTIAL.get(code, 0.0) for code in run.codes])
    for number, trial in enumerate(
        simulate(
            cells,
            labels,
            run.codes,
            budget=ANSWERS,
            population="natural",
            repeats=profiles,
            exemplars=exemplars,
            odds=ADULT_BLOOD.odds(run, elsewhere=True),
            prior=None,
        )
    ):
        learner = learner_of(run, cells, labels, trial, exemplars)
        estimate = learner.estimate()
        if estimate is None:
            continue
        errors = laboratory_errors(run, ADULT_BLOOD, left_out_answers(estimate))
        raw = learner.head.probabilities(cells.embeddings, cells.probabilities)
        posterior = apply_temperature(raw, estimate.temperature)
        look = asks_for_a_look(posterior, estimate.confidence_threshold)
        unnamed = np.setdiff1d(np.arange(len(labels)), trial.queried)
        unnamed = np.concatenate([unnamed, np.flatnonzero(~np.isin(labels, labels[unnamed]))])  # where all were named
        seen = labels[unnamed], posterior.argmax(1)[unnamed], look[unnamed]
        for draw in range(PER_PROFILE):
            rng = np.random.default_rng((number, draw))
            yield shares, _told(run.codes, *seen, errors, shares, rng)


def _told(
    codes: Sequence[str],
    labels: np.ndarray,
    predicted: np.ndarray,
    look: np.ndarray,
    errors: ModelErrors,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> Differential:
    """The differential of `CELLS` cells of ``labels`` drawn in ``shares``, as the model answers."""
    numbers = rng.multinomial(CELLS, shares)
    drawn = [rng.choice(np.flatnonzero(labels == k), n) for k, n in enumerate(numbers) if n]
    cells = [CountedCell(codes[predicted[i]], look=bool(look[i])) for i in np.concatenate(drawn)]
    return differential(cells, codes, errors)


def _rows(title: str, codes: Sequence[str], drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
    """A row a class, and one of all that occur: how often each interval holds the truth, and how wide it is, in %."""
    print(f"{title}: {len(drawn)} differentials", flush=True)
    white = np.array([code in WHITE for code in codes])
    rows, occurring = [], []
    for number, code in enumerate(codes):
        if code == PLATELETS:
            continue
        true = np.array([100 * shares[number] / shares[white].sum() for shares, _ in drawn])
        counted = [told.of(code) for _, told in drawn]
        row = {"cells": title, "class": code, "share": float(true.mean())}
        for name, key in (("count alone", "exact"), ("with errors", "with_errors")):
            low, high = np.array([getattr(of, key) for of in counted]).T
            row |= {
                name: 100 * float(((low <= true) & (true <= high)).mean()),
                f"{name}, wide": float((high - low).mean()),
            }
        rows.append(row)
        if true.any():
            occurring.append(row)
    mean = {key: float(np.mean([row[key] for row in occurring])) for key in ("count alone", "with errors")}
    return [*rows, {**dict.fromkeys(rows[0]), "cells": title, "class": "all that occur", **mean}]


if __name__ == "__main__":
    main()
