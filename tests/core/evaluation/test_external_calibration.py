"""What answers are worth at other laboratories, fitted on some and measured on one that is left out."""

import numpy as np
import pytest

from core.datasets.pictures import LabPictures
from core.errors import HemaLensError
from core.evaluation import external
from core.evaluation.external import fit_external_calibration
from core.inference.laboratory import ExternalCalibration, external_calibration_of
from core.inference.specimen import ADULT_BLOOD

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


ODDS = np.array([ADULT_BLOOD.shares[code] for code in CODES]) * 8


def test_overconfident_answers_are_tempered_and_sure_ones_are_right():
    fitted = external._calibrate([answers("a", 0), answers("b", 1)], ODDS, CODES)
    assert fitted.laboratories == ("a", "b")
    assert fitted.temperature > 1.1
    figures = external._calibration_figures(fitted, answers("c", 2), CODES)
    plain = ExternalCalibration(("a",), (1.0,) * 8, 1.0, fitted.confidence_threshold, 0.1, 0.0, 0.0)
    untempered = external._calibration_figures(plain, answers("c", 2), CODES)
    assert figures["error"] < min(0.1, untempered["error"])
    assert figures["accuracy"] > untempered["accuracy"] + 0.05
    assert figures["right_when_sure"] > 0.94
    assert 0.2 < figures["sure"] < 1


def test_what_two_views_disagree_on_is_never_sure():
    lab = answers("a", 0)
    fitted = external._calibrate([lab], ODDS, CODES)
    probabilities = fitted.probabilities(lab.probabilities)
    overruled = probabilities.argmax(1) != lab.probabilities.argmax(1)
    assert overruled.any()
    weights = lab.weights(CODES)
    assert weights.sum() == pytest.approx(1)
    assert external._calibration_figures(fitted, lab, CODES)["sure"] <= weights[~overruled].sum() + 1e-9


def test_a_calibration_comes_back_as_it_was_saved_and_fits_its_run(make_run):
    run = make_run()
    fitted = external._calibrate([answers("a", 0)], ODDS, CODES)
    fitted.save(run.external_calibration_path)
    assert external_calibration_of(run) == fitted
    nobody = LabPictures("x", (), (), np.array([]), (), None, {})
    with pytest.raises(HemaLensError, match="other classes than a differential"):
        fit_external_calibration(make_run("colours", codes=("R", "G")), [nobody])
