"""What answers are worth at other laboratories, fitted on some and measured on one that is left out."""

import numpy as np
import pytest

from core.datasets.pictures import LabPictures
from core.errors import HemaLensError
from core.evaluation import external
from core.evaluation.external import fit_external_calibration
from core.inference.laboratory import ExternalCalibration, SpecimenCalibration, external_calibration_of
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN, IMMATURE_ELSEWHERE, SPECIMENS, immature_likelihood

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")


def answers(name, seed, sharpness=3.0, count=400):
    """Answers that are too sure, and prefer immature granulocytes where neutrophils are."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 4, 5, 6], count)
    logits = rng.normal(size=(count, 8))
    logits[np.arange(count), labels] += 2.2
    logits[:, 3] += 1.0
    scores = np.exp(sharpness * logits)
    return external._LabAnswers(name, labels, scores / scores.sum(1, keepdims=True))


@pytest.fixture
def run(make_run):
    """A run of a differential's classes, of which each is about as common at home."""
    return make_run(codes=CODES, cells=800)


def test_overconfident_answers_are_tempered_and_sure_ones_are_right(run):
    fitted = external._calibrate([answers("a", 0), answers("b", 1)], ADULT_BLOOD, run)
    assert fitted.temperature > 1.1
    figures = external._calibration_figures(fitted, answers("c", 2), ADULT_BLOOD, run)
    plain = SpecimenCalibration(1.0, fitted.confidence_threshold, 0.1, 0.0, 0.0)
    unweighed = external._calibration_figures(plain, answers("c", 2), ANY_SPECIMEN, run)
    assert figures["error"] < 0.1
    assert figures["accuracy"] > unweighed["accuracy"] + 0.05
    assert figures["right_when_sure"] > 0.94
    assert 0.2 < figures["sure"] < 1


def test_without_usual_counts_confidence_is_tempered_too(run):
    fitted = external._calibrate([answers("a", 0), answers("b", 1)], ANY_SPECIMEN, run)
    figures = external._calibration_figures(fitted, answers("c", 2), ANY_SPECIMEN, run)
    untempered = SpecimenCalibration(1.0, fitted.confidence_threshold, 0.1, 0.0, 0.0)
    assert figures["error"] < external._calibration_figures(untempered, answers("c", 2), ANY_SPECIMEN, run)["error"]
    assert figures["right_when_sure"] > figures["accuracy"] + 0.1


def test_what_the_specimen_overrules_or_is_immature_is_never_sure(run):
    lab = answers("a", 0)
    fitted = external._calibrate([lab], ADULT_BLOOD, run)
    probabilities = fitted.probabilities(lab.probabilities, ADULT_BLOOD.odds(run, elsewhere=True))
    overruled = probabilities.argmax(1) != lab.probabilities.argmax(1)
    immature = immature_likelihood(run, lab.probabilities) >= IMMATURE_ELSEWHERE
    assert overruled.any()
    assert (immature & ~overruled).any()
    weights = lab.weights(ADULT_BLOOD, CODES)
    assert weights.sum() == pytest.approx(1)
    figures = external._calibration_figures(fitted, lab, ADULT_BLOOD, run)
    assert figures["sure"] <= weights[~overruled & ~immature].sum() + 1e-9


def test_a_sure_answer_is_told_alone_and_any_other_in_a_set_that_holds_it(run):
    fitted = external._calibrate([answers("a", 0), answers("b", 1)], ADULT_BLOOD, run)
    lab = answers("c", 2)
    probabilities = fitted.probabilities(lab.probabilities, ADULT_BLOOD.odds(run, elsewhere=True))
    told, sure = fitted.told(probabilities), probabilities.max(1) >= fitted.confidence_threshold
    assert ((told.sum(1) == 1) == sure).all()
    assert told[np.arange(len(told)), probabilities.argmax(1)].all()
    weights = lab.weights(ADULT_BLOOD, CODES)[~sure]
    assert weights @ told[np.arange(len(told)), lab.labels][~sure] / weights.sum() > 0.93


def test_a_calibration_comes_back_as_it_was_saved_and_fits_its_run(run, make_run):
    parts = {s.key: external._calibrate([answers("a", 0)], s, run) for s in (ADULT_BLOOD, ANY_SPECIMEN)}
    fitted = ExternalCalibration(("a",), **parts)
    fitted.save(run.external_calibration_path)
    assert external_calibration_of(run) == fitted
    assert (fitted.of(SPECIMENS["newborn"]), fitted.of(ANY_SPECIMEN)) == (parts["blood"], parts["any"])
    nobody = LabPictures("x", (), (), np.array([]), (), None, {})
    with pytest.raises(HemaLensError, match="other classes than a differential"):
        fit_external_calibration(make_run("colours", codes=("R", "G")), [nobody])
