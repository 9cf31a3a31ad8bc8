"""A run's detector: made with the run, read once, and told where there can be none."""

import os

import numpy as np
import pytest

from core.datasets import get_dataset
from core.errors import HemaLensError
from core.inference.engine import tta_views
from core.inference.ood import InvalidDetector, detector_of, make_detector
from core.inference.predictor import Predictor, prediction_set_thresholds
from core.inference.scope import training_data
from core.probabilities import class_thresholds, prediction_sets, softmax

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")


def test_a_newly_trained_network_has_a_detector_that_keeps_its_own_cells(tiny_run):
    assert tiny_run.ood_path.stat().st_size < 60_000
    test = get_dataset("synthetic").load(28)["test"]
    found = Predictor(tiny_run).predict_crops(test.images).verdicts
    assert np.mean([verdict.is_odd for verdict in found]) < 0.04
    held = [label in verdict.classes for verdict, label in zip(found, test.labels, strict=True)]
    assert np.mean(held) > 0.95


def test_noise_is_another_laboratorys_to_it_and_never_sure(tiny_run):
    strange = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 3), dtype=np.uint8)
    predictor = Predictor(tiny_run)
    output = predictor.predict_crops(strange)
    assert predictor.laboratory(output.evidence).is_foreign
    assert {verdict.kind for verdict in output.verdicts} == {"unsure"}


def test_a_detector_made_again_is_the_same(tiny_run):
    before, steps = tiny_run.ood_path.read_bytes(), []
    make_detector(tiny_run, report=steps.append)
    assert tiny_run.ood_path.read_bytes() == before
    assert steps[-1].done == steps[-1].total == 1600 + 320


def test_short_lists_hold_their_promise_from_whichever_side_a_cell_is_seen(tiny_run):
    val = training_data(tiny_run)["val"]
    for seen in tta_views(np.asarray(val.images)):
        probabilities = Predictor(tiny_run).predict_crops(np.ascontiguousarray(seen)).probabilities
        held = prediction_sets(probabilities, prediction_set_thresholds(tiny_run))[np.arange(len(val)), val.labels]
        assert min(held[val.labels == label].mean() for label in set(val.labels)) >= 0.97


def test_without_a_guard_that_can_be_read_val_sets_the_lists(tiny_run):
    own = prediction_set_thresholds(tiny_run)
    broken = type(tiny_run)(tiny_run.path)
    stored = tiny_run.ood_path.read_bytes()
    tiny_run.ood_path.write_bytes(b"no guard")
    try:
        found = prediction_set_thresholds(broken)
    finally:
        tiny_run.ood_path.write_bytes(stored)
    val = tiny_run.predictions("val")
    np.testing.assert_array_equal(found, class_thresholds(val.labels, softmax(val.logits)))
    assert (own <= found + 0.01).all(), "a cell's worst side asks for longer lists; stored logits are rounded"


def test_runs_without_one_are_sure_or_unsure(make_run, colour):
    run, images = make_run(), np.stack([colour((255, 0, 0)), colour((128, 128, 128))])
    assert detector_of(run) is None
    assert [verdict.kind for verdict in Predictor(run).predict_crops(images).verdicts] == ["sure", "unsure"]


def test_other_cells_than_its_own_are_refused(tiny_run):
    other = type(tiny_run)(tiny_run.path)
    other.__dict__["config"] = tiny_run.config | {
        "dataset": tiny_run.config["dataset"] | {"provenance": {"label": "other", "content_hash": "0" * 12}}
    }
    with pytest.raises(HemaLensError):
        make_detector(other)


def test_a_file_is_read_once_and_anew_when_it_changed(make_run, tiny_run):
    run = make_run()
    run.ood_path.write_bytes(tiny_run.ood_path.read_bytes())
    first = detector_of(run)
    assert detector_of(run) is first
    os.utime(run.ood_path, ns=(1, 1))
    assert detector_of(run) is not first
    run.ood_path.write_bytes(b"broken")
    with pytest.raises(InvalidDetector, match="core ood RUN"):
        detector_of(run)
