"""Pictures in, predictions out: thresholds, verdicts, what can't be read, and what a laboratory taught."""

import io

import numpy as np
import pytest
from PIL import Image

from core import runs
from core.datasets import get_dataset
from core.images import framing
from core.images.crop import crop_by_shape
from core.images.decode import DecodeError, decode
from core.images.framing import CropWindow, MeasuredPicture
from core.inference.laboratory import Laboratory
from core.inference.predictor import (
    FALLBACK_CONFIDENCE_THRESHOLD,
    MIN_CONFIDENCE_THRESHOLD,
    Prediction,
    Predictor,
    confidence_threshold,
    fit_confidence_threshold,
    prediction_set_thresholds,
)
from core.probabilities import softmax

SPEC = get_dataset("bloodmnist")
pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")


def png(pixels, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_answers_are_probabilities_with_times(make_run, colour):
    images = np.stack([colour((255, 0, 0)), colour((0, 255, 0)), colour((0, 0, 255))] * 30)
    output = Predictor(make_run()).predict_crops(images)
    assert len(output) == 90
    assert output.probabilities.shape == (90, 8)
    np.testing.assert_allclose(output.probabilities.sum(axis=1), 1)
    np.testing.assert_allclose(output.probabilities, softmax(output.logits))
    assert output.probabilities.argmax(1).tolist() == [0, 1, 2] * 30
    assert (output.milliseconds > 0).all()
    assert output.milliseconds.shape == (90,)


def test_no_cells_no_answers(make_run):
    output = Predictor(make_run()).predict_crops(np.zeros((0, 64, 64, 3), np.uint8))
    assert output.probabilities.shape == (0, 8)
    assert len(output.milliseconds) == 0
    assert output.verdicts == []
    assert Predictor(make_run("other")).predict([]) == []


def test_a_run_sees_what_its_training_pictures_were_like(make_run, colour):
    predictor = Predictor(make_run())
    predictor.load()
    assert (predictor.side, predictor.name, predictor.detects_ood) == (None, "", False)
    red, grey = colour((255, 0, 0), 363, 360), colour((130, 128, 126), 363, 360)
    sure, unsure = predictor.stream([red, grey], CropWindow(), Laboratory())
    assert (sure.crop.pixels == crop_by_shape(red, 64, SPEC).pixels).all()
    assert (sure.predicted, sure.prediction_set, sure.sure, sure.cell_missing) == (0, (0,), True, False)
    assert (unsure.verdict.kind, unsure.is_cell, len(unsure.prediction_set)) == ("unsure", True, 2)
    assert sure.confidence >= sure.threshold == predictor.threshold > unsure.confidence


def test_bytes_paths_and_pixels_give_the_same_prediction(make_run, colour, tmp_path):
    pixels = colour((255, 40, 30), 300, 280)
    (tmp_path / "cell.png").write_bytes(png(pixels))
    found = Predictor(make_run()).predict([pixels, png(pixels), tmp_path / "cell.png"])
    assert len({p.probabilities.tobytes() for p in found}) == len({p.crop.box for p in found}) == 1
    assert [p.name for p in found] == ["", "", str(tmp_path / "cell.png")]


def test_what_can_not_be_read_has_an_error_in_its_place_and_no_say_in_the_scale(make_run, colour, tmp_path):
    good = png(colour((255, 0, 0), 90, 90))
    noise = png(np.random.default_rng(0).integers(0, 256, (400, 420, 3), np.uint8))
    pictures = [MeasuredPicture(b"text", "a.png"), good, tmp_path, tmp_path / "none", noise[: len(noise) // 2]] * 20
    predictor = Predictor(make_run())
    found = predictor.predict(pictures)
    assert [isinstance(p, Prediction) for p in found] == [False, True, False, False, False] * 20
    assert [p.name for p in found[:4]] == ["a.png", "", str(tmp_path), str(tmp_path / "none")]
    assert isinstance(found[4], DecodeError)
    assert "damaged" in found[4].reason
    assert predictor.scale(pictures) == predictor.scale([good] * 20)


def test_each_file_is_decoded_once_and_let_go(make_run, colour, tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(framing, "decode", lambda data, name: decoded.append(name) or decode(data, name))
    files = [tmp_path / f"{n}.png" for n in range(5)]
    for n, file in enumerate(files):
        file.write_bytes(png(colour((255, 10 * n, 0), 90, 90)))
    pictures = [MeasuredPicture(file) for file in files]
    assert len(Predictor(make_run()).predict(pictures)) == 5
    assert sorted(decoded) == [str(file) for file in files]
    assert all(picture._decoded is None for picture in pictures)


def test_a_shape_is_known_before_the_pixels_are(colour):
    sideways = Image.Exif()
    sideways[0x0112] = 6
    for shape, options in (((90, 70), {}), ((90, 70), {"exif": sideways}), ((3301, 100), {"exif": sideways})):
        data = png(colour((1, 2, 3), *shape), **options)
        lazy, known = MeasuredPicture(data), MeasuredPicture(data)
        assert known.pixels.shape[:2] == lazy.shape
        assert lazy._decoded is None


def test_a_stream_takes_a_batch_at_a_time(make_run, colour):
    taken = []

    def source():
        for n in range(5):
            taken.append(n)
            yield colour((255, 0, 0), 90, 90)

    stream = Predictor(make_run()).stream(source(), CropWindow(mode="whole"), Laboratory(), batch=2)
    next(stream)
    assert taken == [0, 1]
    assert len(list(stream)) == 4


def test_windows_of_their_own_and_a_shape_of_another_domain(make_run, colour):
    field = colour((0, 255, 0), 600, 800)
    windows = [CropWindow(mode="whole"), CropWindow(side=80)]
    first, second = Predictor(make_run()).stream([field, field], windows, Laboratory())
    assert (first.crop.box, second.crop.box) == ((100, 0, 700, 600), (360, 260, 440, 340))
    assert "whole microscope field" in first.notes[0]


def test_a_replaced_run_is_asked_anew(make_run):
    """Same path, other files: threshold, prediction sets and key are the new run's."""
    run = make_run(cells=1000)
    before = (confidence_threshold(run), prediction_set_thresholds(run).tolist(), Predictor(run).key)
    assert before == (confidence_threshold(run), prediction_set_thresholds(run).tolist(), Predictor(run).key)
    labels, rng = np.arange(1000) % 8, np.random.default_rng(1)
    logits = 4 * np.eye(8)[labels] + rng.normal(size=(1000, 8))
    new = runs.Predictions(np.array([f"{n}" for n in range(1000)]), labels, logits)
    runs.write_run(
        run.path.parents[1],
        run.name,
        config=run.config,
        metrics=run.metrics,
        predictions={"val": new, "test": new},
        card="",
    )
    after = (confidence_threshold(run), prediction_set_thresholds(run).tolist(), Predictor(run).key)
    assert all(new != old for new, old in zip(after, before, strict=True))
    stored = run.predictions("val")
    probabilities = softmax(stored.logits)
    right = probabilities.argmax(1) == stored.labels
    assert after[0] == fit_confidence_threshold(probabilities.max(1), right)


def test_a_combination_changes_with_its_members(make_run):
    member = make_run("member")
    both = make_run("both", kind="combination")
    both.__dict__["members"] = (member,)
    before = both.version
    (member.path / "card.md").write_text("new")
    assert both.version != before


def test_the_threshold_keeps_its_promise():
    rng = np.random.default_rng(0)
    top = rng.uniform(0.3, 1, 5000)
    correct = rng.uniform(size=5000) < np.clip(top + 0.2, 0, 1)
    threshold = fit_confidence_threshold(top, correct)
    assert correct[top >= threshold].mean() >= 0.995
    lower = top[top < threshold].max()
    assert correct[top >= lower].mean() < 0.995


def test_a_model_that_is_always_right_is_still_unsure_below_the_floor():
    top = np.linspace(0.2, 0.95, 1000)
    assert fit_confidence_threshold(top, np.ones(1000, bool)) == MIN_CONFIDENCE_THRESHOLD


def test_too_few_cells_or_a_bad_model_fall_back():
    assert fit_confidence_threshold(np.full(10, 0.6), np.ones(10, bool)) == FALLBACK_CONFIDENCE_THRESHOLD
    top = np.linspace(0.5, 0.999, 1000)
    wrong_at_the_top = np.arange(1000) < 500
    assert fit_confidence_threshold(top, wrong_at_the_top) == pytest.approx(0.999)


def test_equal_probabilities_stand_or_fall_together():
    top = np.full(1000, 0.8)
    correct = np.arange(1000) < 900
    assert fit_confidence_threshold(top, correct) == FALLBACK_CONFIDENCE_THRESHOLD


def test_the_threshold_of_a_run_comes_from_its_validation_cells(make_run):
    assert confidence_threshold(make_run(cells=50)) == FALLBACK_CONFIDENCE_THRESHOLD
    assert confidence_threshold(make_run("chance", cells=1000)) > 0.5
