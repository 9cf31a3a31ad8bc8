"""External validation: a run's predictions on another laboratory's labelled cells, cached for Compare, and on several
laboratories before and after teaching, kept with the run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from core import paths
from core.datasets import DatasetUnavailable, dataset_names, get_dataset
from core.datasets.folders import registry_entry
from core.datasets.pictures import LabPictures
from core.evaluation.metrics import balanced_accuracy
from core.evaluation.uncertainty import uncertainty_summary
from core.images.red_cells import Scale
from core.inference.laboratory import ExternalCalibration, Laboratory, SpecimenCalibration
from core.inference.predictor import Prediction, Predictor, VerdictKind
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN, IMMATURE_ELSEWHERE, Specimen, immature_likelihood
from core.probabilities import wilson_interval
from core.progress import Progress, Report, silent
from core.runs import CARD, Run, write_external_validation
from core.storage import write_json

RESAMPLES = 2000


def external_metrics(
    labels: np.ndarray,
    probabilities: np.ndarray,
    present_classes: Sequence[int],
    slides: Sequence[str] | None = None,
    confidence_threshold: float = 0.9,
) -> dict[str, Any]:
    """How well ``probabilities`` (N, C) name cells whose classes ``labels`` int (N,) are among ``present_classes``
    only.

    ``accuracy`` lets the run answer with any of its C classes, ``accuracy_present_classes`` with the laboratory's
    only, which is fair where it is known which can occur. Each has an ``..._interval`` (95 %): over ``slides`` where
    they are known (a bootstrap of whole slides, since cells of one slide are alike), else Wilson's. The balanced
    accuracies weigh each class alike. ``confusion``: counts, rows ``present_classes``, columns all C classes.
    ``mean_confidence``: of the likeliest class; ``confident``: share with ``confidence_threshold`` or more;
    ``confident_and_wrong``: share of all cells that are confident and wrong.
    """
    labels, present = np.asarray(labels), np.asarray(present_classes)
    answers = probabilities.argmax(1)
    predicted_present = present[probabilities[:, present].argmax(1)]
    confidence = probabilities.max(1)
    confusion = np.zeros((len(present), probabilities.shape[1]), int)
    row_of = np.full(probabilities.shape[1], -1)
    row_of[present] = np.arange(len(present))
    np.add.at(confusion, (row_of[labels], answers), 1)
    correct, correct_present = answers == labels, predicted_present == labels
    confident = confidence >= confidence_threshold
    return {
        "n": len(labels),
        "slides": None if slides is None else len(set(slides)),
        "accuracy": float(correct.mean()),
        "accuracy_interval": list(clustered_interval(correct, slides)),
        "accuracy_present_classes": float(correct_present.mean()),
        "accuracy_present_classes_interval": list(clustered_interval(correct_present, slides)),
        "balanced_accuracy": balanced_accuracy(labels, correct),
        "balanced_accuracy_present_classes": balanced_accuracy(labels, correct_present),
        "confusion": confusion.tolist(),
        "mean_confidence": float(confidence.mean()),
        "confident": float(confident.mean()),
        "confident_and_wrong": float((confident & ~correct).mean()),
    }


def clustered_interval(hits: np.ndarray, slides: Sequence[str] | None = None, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of ``hits`` bool (N,).

    With ``slides`` (N names, two or more different) whole slides are drawn anew `RESAMPLES` times (Davison and
    Hinkley 1997, Bootstrap Methods, section 3.8); else Wilson's interval.
    """
    names, index = np.unique(np.asarray(slides if slides is not None else []), return_inverse=True)
    if len(names) < 2:
        return wilson_interval(int(hits.sum()), len(hits))
    sums = np.bincount(index, hits, minlength=len(names))
    sizes = np.bincount(index, minlength=len(names))
    resamples = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[resamples].sum(1) / sizes[resamples].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def labels_for_run(lab: LabPictures, run: Run) -> tuple[np.ndarray, list[int]]:
    """Labels int64 (N,) as indexes into the run's classes, and those of the laboratory's classes among them.

    Raises `DatasetUnavailable` where the run does not know one of them.
    """
    unknown_codes = [code for code in lab.codes if code not in run.codes]
    if unknown_codes:
        raise DatasetUnavailable(
            f"{run.name} does not know {', '.join(unknown_codes)}, which {lab.name} has. Add its pictures in classes "
            f"that it knows: python -m core datasets add {lab.name} FOLDER --maps-to {run.dataset}"
        )
    run_index = np.array([run.codes.index(code) for code in lab.codes])
    return run_index[lab.labels], sorted(run_index[np.unique(lab.labels)].tolist())


def validate_externally(
    run: Run,
    lab: LabPictures,
    specimen: Specimen = ANY_SPECIMEN,
    report: Report = silent,
    side: float | None = None,
) -> tuple[dict[str, Any], Scale]:
    """Figures of ``run`` on the laboratory's pictures (see `external_metrics`), and the scale they were cut at.

    ``specimen``: what they are said to be of; figures that are compared stand without what is usual in any, each class
    as common as any other. ``side``: of the square to cut out in px, where it is known.

    ``present_codes`` are the classes that have readable pictures there, in the run's order: the rows of ``confusion``.
    ``verdicts``: the share of each kind, and ``confident_and_wrong`` of all cells that are called sure and are wrong;
    ``uncertainty``: how far its certainty goes, see `core.evaluation.uncertainty.uncertainty_summary`.
    """
    labels, present = labels_for_run(lab, run)
    predictor, pictures = Predictor(run, specimen=specimen), lab.pictures
    scale, predictions = predictor.scale(pictures, side), []
    for prediction in predictor.stream(pictures, scale, Laboratory()):
        assert isinstance(prediction, Prediction)  # they are decoded already
        predictions.append(prediction)
        report(Progress(len(predictions), len(lab), "asking the model", "picture"))
    laboratory = predictor.laboratory_of(predictions)
    predictions = [p for p in predictor.decide_again(predictions, laboratory) if isinstance(p, Prediction)]
    probabilities = np.stack([prediction.probabilities for prediction in predictions])
    wrong = probabilities.argmax(1) != labels
    kinds, told = np.array([prediction.verdict.kind for prediction in predictions]), np.zeros(probabilities.shape, bool)
    for row, prediction in zip(told, predictions, strict=True):
        row[list(prediction.verdict.classes)] = True
    shares = {kind: float((kinds == kind).mean()) for kind in get_args(VerdictKind)}
    figures = external_metrics(labels, probabilities, present, lab.slides, predictor.thresholds_at(laboratory)[1]) | {
        "verdicts": shares | {"confident_and_wrong": float(((kinds == "sure") & wrong).mean())},
        "uncertainty": uncertainty_summary(labels, probabilities, told),
    }
    return {"present_codes": [run.codes[k] for k in present], "specimen": specimen.key, **figures}, scale.scale


_RIGHT_WHEN_SURE = 0.965  # asked for on the laboratories of the fit, so that others keep 95 %
_SET_COVERAGE = 0.98  # of the sets of answers that are not sure


def fit_external_calibration(
    run: Run, laboratories: Sequence[LabPictures], report: Report = silent
) -> tuple[ExternalCalibration, dict[str, dict[str, dict[str, float]]]]:
    """What the answers of ``run`` are worth elsewhere, fitted on ``laboratories``, and by specimen ('blood', 'any') and
    name of each of them what the others tell of it: ``accuracy``, ``sure`` (share), ``right_when_sure``, ``error``
    (expected calibration error).

    Cells weigh as their class is common in an adult's blood, or all classes alike, and all laboratories weigh alike.
    Raises `HemaLensError` for a run of other classes than a differential's, `DatasetUnavailable` for a laboratory whose
    classes it doesn't know.
    """
    ADULT_BLOOD.odds(run, elsewhere=True)  # which raises where it says nothing of the run's classes
    answers = []
    for lab in laboratories:
        labels, _ = labels_for_run(lab, run)
        pictures, predictor = lab.pictures, Predictor(run)
        found = []
        for prediction in predictor.stream(pictures, predictor.scale(pictures), Laboratory()):
            assert isinstance(prediction, Prediction)  # they are decoded already
            found.append(prediction.probabilities)
            report(Progress(len(found), len(lab), f"asking about {lab.name}", "picture"))
        answers.append(_LabAnswers(lab.name, labels, np.stack(found)))
    parts, figures = {}, {}
    for specimen in (ADULT_BLOOD, ANY_SPECIMEN):
        of_specimen = {}
        for left_out in answers:
            others = [lab for lab in answers if lab is not left_out] or answers
            of_specimen[left_out.name] = _calibration_figures(
                _calibrate(others, specimen, run), left_out, specimen, run
            )
        accuracies = [of_lab["accuracy"] for of_lab in of_specimen.values()]
        fitted = _calibrate(answers, specimen, run)
        parts[specimen.key] = replace(fitted, lowest_accuracy=min(accuracies), highest_accuracy=max(accuracies))
        figures[specimen.key] = of_specimen
    names = tuple(lab.name for lab in answers)
    return ExternalCalibration(names, **parts, weights_hash=run.weights_hash), figures


@dataclass(frozen=True)
class _LabAnswers:
    """``labels`` int (N,) and the run's ``probabilities`` (N, C) of one laboratory's cells."""

    name: str
    labels: np.ndarray
    probabilities: np.ndarray

    def weights(self, specimen: Specimen, codes: Sequence[str]) -> np.ndarray:
        """Of each cell, so that classes have the shares of ``specimen``, or all alike; 1 together."""
        counts = np.bincount(self.labels, minlength=len(codes))
        shares = np.array([specimen.shares.get(code, 1.0) for code in codes])
        weights = shares[self.labels] / counts[self.labels]
        return weights / weights.sum()


def _calibrate(labs: Sequence[_LabAnswers], specimen: Specimen, run: Run) -> SpecimenCalibration:
    """Temperature and thresholds of ``labs``, of which each weighs alike."""
    from scipy.optimize import minimize_scalar

    labels = np.concatenate([lab.labels for lab in labs])
    plain = np.concatenate([lab.probabilities for lab in labs])
    weights = np.concatenate([lab.weights(specimen, run.codes) for lab in labs]) / len(labs)
    rows, odds = np.arange(len(labels)), specimen.odds(run, elsewhere=True)

    def at(temperature: float) -> SpecimenCalibration:
        return SpecimenCalibration(temperature, 1.0, 1.0, 0.0, 0.0)

    def loss(log: float) -> float:
        return float(-(weights * np.log(at(np.exp(log)).probabilities(plain, odds)[rows, labels])).sum())

    calibration = at(float(np.exp(minimize_scalar(loss, bounds=(-1.5, 2.0), method="bounded").x)))
    probabilities = calibration.probabilities(plain, odds)
    right = probabilities.argmax(1) == labels
    top = np.where(_may_be_sure(probabilities, plain, specimen, run), probabilities.max(1), 0.0)
    order = np.argsort(-top, kind="stable")
    precision = np.cumsum((weights * right)[order]) / np.cumsum(weights[order])
    kept = np.flatnonzero((precision >= _RIGHT_WHEN_SURE) & (top[order] > 0))
    confidence_threshold = float(top[order][kept[-1]]) if len(kept) else 1.0
    unsure = np.flatnonzero(top < confidence_threshold)
    given = probabilities[unsure, labels[unsure]]
    ranked = np.argsort(given, kind="stable")
    missed = np.searchsorted(np.cumsum(weights[unsure][ranked]), (1 - _SET_COVERAGE) * weights[unsure].sum())
    set_threshold = float(given[ranked][min(missed, len(ranked) - 1)]) if len(unsure) else 0.5
    return replace(calibration, confidence_threshold=confidence_threshold, set_threshold=min(0.5, set_threshold))


def _may_be_sure(probabilities: np.ndarray, plain: np.ndarray, specimen: Specimen, run: Run) -> np.ndarray:
    """Bool (N,): whether the specimen leaves the class that the picture says, and that is none to look at."""
    agreed = probabilities.argmax(1) == plain.argmax(1)
    immature = immature_likelihood(run, plain)
    if specimen.immature_is_usual or immature is None:
        return agreed
    return agreed & (immature < IMMATURE_ELSEWHERE)


def _calibration_figures(
    calibration: SpecimenCalibration, lab: _LabAnswers, specimen: Specimen, run: Run
) -> dict[str, float]:
    weights, probabilities = (
        lab.weights(specimen, run.codes),
        calibration.probabilities(lab.probabilities, specimen.odds(run, elsewhere=True)),
    )
    right = probabilities.argmax(1) == lab.labels
    may_be = _may_be_sure(probabilities, lab.probabilities, specimen, run)
    sure = may_be & (calibration.told(probabilities).sum(1) == 1)
    bins = np.minimum((probabilities.max(1) * 15).astype(int), 14)
    gaps = np.bincount(bins, weights * (probabilities.max(1) - right), minlength=15)
    return {
        "accuracy": float(weights @ right),
        "sure": float(weights @ sure),
        "right_when_sure": float(weights @ (sure & right) / max(weights @ sure, 1e-9)),
        "error": float(np.abs(gaps).sum()),
    }


def external_datasets(run: Run) -> list[str]:
    """The names of the laboratories that the user added for the data set of ``run`` whose classes it knows."""
    return [
        name
        for name in dataset_names()
        if registry_entry(name).get("maps_to") == run.dataset and set(get_dataset(name).codes) <= set(run.codes)
    ]


def cache_validation(run: Run, name: str, figures: Mapping[str, Any]) -> None:
    """Remember `validate_externally`'s figures of ``run`` on laboratory ``name`` in the user's cache, for Compare."""
    path = _validation_path(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**cached_validation(run), name: figures})


def cached_validation(run: Run) -> dict[str, dict[str, Any]]:
    """The figures that `cache_validation` remembers of ``run``, by the laboratory's name."""
    try:
        return json.loads(_validation_path(run).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never asked, or a file that is worth asking anew
        return {}


_FIGURES = "external_validation-4"  # another folder whenever other figures are kept: those of before are asked anew


def _validation_path(run: Run) -> Path:
    return paths.cache_root() / _FIGURES / run.dataset / f"{run.name}.json"


_CARD_TITLE, _NEXT_CARD_TITLE = "## Other laboratories", "## Limits"


def store_validation(run: Run, laboratories: Sequence[Mapping[str, Any]]) -> None:
    """Store ``laboratories`` (entries as of `Run.external_validation`) and write them on the card, in place of older
    ones.
    """
    write_external_validation(run, laboratories)
    before, there, existing = run.card.partition(_CARD_TITLE)
    if there:
        following = existing.find("\n## ")
        after = existing[following + 1 :] if following >= 0 else ""
    else:
        before, title, rest = run.card.partition(_NEXT_CARD_TITLE)
        after = title + rest
    (run.path / CARD).write_text(f"{before}{validation_section(laboratories)}\n{after}", encoding="utf-8")


def validation_section(laboratories: Sequence[Mapping[str, Any]]) -> str:
    """The card's section, Markdown."""
    lines = [
        _CARD_TITLE,
        "",
        "Cells of laboratories that no training saw, framed at a scale that was found without labels. Mean share that "
        "is right, among the classes that occur there, of the cells of drawn natural differentials that nobody named; "
        "answers are weighed as of an adult's blood.",
        "",
        "| laboratory | draws | cells scored in each | before | after the answers | answers |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {entry['laboratory']} | {entry['draws']} | {entry['cells']} | {entry['before']:.1%} | {entry['after']:.1%} "
        f"| {entry['answers']} |"
        for entry in laboratories
    ]
    return "\n".join([*lines, ""])
