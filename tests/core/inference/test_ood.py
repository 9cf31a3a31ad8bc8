"""How odd a cell is, and what is said of it for that; and the file that tells."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.datasets.synthetic import draw_cells
from core.images.cell_check import CellCheck
from core.inference import engine
from core.inference.laboratory import Laboratory
from core.inference.ood import (
    InvalidDetector,
    OODDetector,
    class_gaussians,
    energy,
    fit_class_gaussians,
    fit_detector,
    image_statistics,
)
from core.inference.predictor import Evidence, Predictor
from core.probabilities import softmax

SIZE = 28
CLASSES = 4


def cells(n: int, seed: int):
    """n drawn cells of four classes: embeddings (n, 12), labels, probabilities, frames."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    centres = 4 * np.eye(CLASSES, 12)
    embeddings = (centres[labels] + rng.normal(size=(n, 12)) @ np.diag(np.linspace(0.1, 1, 12))).astype("f4")
    probabilities = softmax(embeddings[:, :CLASSES] * 1.5 + rng.normal(size=(n, CLASSES)))
    return embeddings, labels, probabilities, draw_cells(labels, SIZE, seed)


@pytest.fixture(scope="module")
def known():
    """A detector, and 1,500 cells like those that it was fitted on."""
    embeddings, labels, _, frames = cells(1000, 0)
    val_embeddings, _, _, val_frames = cells(600, 1)
    detector = fit_detector(embeddings, labels, val_embeddings, frames, val_frames)
    return detector, cells(1500, 2)


class AsItIs:
    """A head that changes nothing, so that a detector of the test's own stands on the run."""

    def probabilities(self, embeddings, probabilities):
        return probabilities


@pytest.fixture
def decide(make_run, monkeypatch):
    """A function (detector, probabilities, embeddings, frames, threshold) that gives the verdicts of home cells."""
    run = make_run(size=SIZE, codes=("BA", "EO", "ERB", "IG"))
    monkeypatch.setattr(engine, "embedding_size", lambda _run: 12)

    def decide(detector, probabilities, embeddings, frames, threshold):
        predictor = Predictor(run, head=AsItIs(), detector=detector, threshold=threshold)
        statistics = image_statistics(frames) if detector and detector.statistics_gaussians else None
        checks = (CellCheck("cell", 1.0),) * len(probabilities)
        evidence = Evidence(probabilities, checks, np.zeros(len(probabilities), bool), embeddings, statistics)
        return predictor.decide(evidence, Laboratory(known=True))[1]

    return decide


def share(found, kind: str) -> float:
    return float(np.mean([verdict.kind == kind for verdict in found]))


def odd(found) -> float:
    return float(np.mean([verdict.is_odd for verdict in found]))


def test_known_cells_are_kept_and_named(known, decide):
    detector, (embeddings, labels, probabilities, frames) = known
    found = decide(detector, probabilities, embeddings, frames, 0.9)
    assert odd(found) <= 0.025
    assert share(found, "sure") > 0.9
    for verdict, row in zip(found, probabilities, strict=True):
        if verdict.kind == "sure":
            assert verdict.classes == (row.argmax(),)
            assert verdict.ood_score < 1
            assert verdict.unusual == ()
    held = [label in verdict.classes for verdict, label in zip(found, labels, strict=True) if verdict.kind == "unsure"]
    assert np.mean(held) > 0.95


def test_strange_pictures_are_odd_and_unsure_even_where_the_network_takes_them_for_a_cell(known, decide):
    detector, (embeddings, _, probabilities, frames) = known
    rng = np.random.default_rng(3)
    strange = {
        "blank": np.full((20, SIZE, SIZE, 3), 255, np.uint8),
        "noise": rng.integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8),
        "inverted": 255 - frames[:20],
    }
    for name, pictures in strange.items():
        found = decide(detector, probabilities[:20], embeddings[:20], pictures, 0.9)
        assert odd(found) == share(found, "unsure") == 1, name
        assert all("colour" in verdict.unusual for verdict in found), name
        assert found[0].classes[0] == probabilities[0].argmax()


def test_a_strange_embedding_is_odd_too(known, decide):
    detector, (embeddings, _, probabilities, frames) = known
    found = decide(detector, probabilities, embeddings + 5, frames, 0.9)
    assert odd(found) == share(found, "unsure") == 1
    assert np.mean([verdict.unusual == () for verdict in found]) > 0.9  # nothing is wrong with the picture


def test_colour_scale_and_texture_are_told_apart(known, decide):
    detector, (embeddings, _, probabilities, frames) = known
    grainy = np.clip(frames + np.random.default_rng(0).normal(0, 12, (*frames.shape[:3], 1)), 0, 255).astype("u1")
    redder = frames.copy()
    redder[..., 1] = redder[..., 1] * 0.6
    for pictures, kind in ((grainy, "texture"), (redder, "colour")):
        found = decide(detector, probabilities, embeddings, pictures, 0.9)
        first = [verdict.unusual[0] for verdict in found if verdict.unusual]
        assert len(first) > 1000
        assert np.mean([kind == one for one in first]) > 0.8, kind


def test_without_a_detector_nothing_is_odd(decide):
    found = decide(None, np.array([[0.95, 0.03, 0.02, 0], [0.2, 0.5, 0.29, 0.01]]), None, None, 0.9)
    assert [(verdict.kind, verdict.classes[:2], verdict.ood_score, verdict.is_odd) for verdict in found] == [
        ("sure", (0,), 0.0, False),
        ("unsure", (1, 2), 0.0, False),
    ]
    assert decide(None, np.zeros((0, 4)), None, None, 0.9) == []


def test_fitted_without_pictures_the_embedding_decides(known, decide):
    embeddings, labels, probabilities, _ = cells(1000, 0)
    detector = fit_detector(embeddings[:500], labels[:500], embeddings[500:])
    assert detector.statistics_gaussians == {}
    assert (detector.ood_score(embeddings[500:]) < 1).mean() >= 0.99
    found = decide(detector, probabilities, embeddings + 5, None, 0.9)
    assert odd(found) == share(found, "unsure") == 1


def test_few_cells_of_some_classes_are_enough_to_fit():
    """A laboratory's profile: 25 cells of two of the four classes, and more numbers than cells."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(60, 100)).astype("f4")
    labels = np.repeat([0, 2], 30)
    embeddings[labels == 2] += 3
    detector = fit_detector(embeddings[::2], labels[::2], embeddings[1::2], in_distribution_share=0.9)
    assert (detector.ood_score(embeddings[1::2]) < 1).mean() >= 0.9
    assert (detector.ood_score(rng.normal(size=(20, 100)) * 4) >= 1).all()


def test_a_large_embedding_still_makes_a_small_file(tmp_path):
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(10, 600))
    labels = rng.integers(0, 8, 2000)
    embeddings = (rng.normal(size=(2000, 10)) @ basis + 0.1 * rng.normal(size=(2000, 600)) + labels[:, None]).astype(
        "f4"
    )
    frames = draw_cells(labels, SIZE, 0)
    detector = fit_detector(embeddings[:1500], labels[:1500], embeddings[1500:], frames[:1500], frames[1500:])
    detector.save(tmp_path / "ood.safetensors")
    assert (tmp_path / "ood.safetensors").stat().st_size < 80_000
    off_plane = embeddings[1500:] + rng.normal(size=(500, 600))  # off the ten directions in which cells differ
    assert (detector.ood_score(off_plane, frames[1500:]) >= 1).all()


def test_a_detector_comes_back_as_it_was_saved(known, decide, tmp_path):
    detector, (embeddings, _, probabilities, frames) = known
    path = tmp_path / "ood.safetensors"
    detector.save(path)
    assert path.stat().st_size < 60_000
    again = OODDetector.load(path)
    assert (again.threshold, again.usual_score) == (detector.threshold, detector.usual_score)
    assert decide(again, probabilities, embeddings, frames, 0.9) == decide(
        detector, probabilities, embeddings, frames, 0.9
    )


@pytest.mark.parametrize("content", [None, b"", b"not a detector", "other", "newer"])
def test_a_broken_file_is_told(known, tmp_path, content):
    path = tmp_path / "ood.safetensors"
    if content == "other":
        save_file({"a": np.zeros(3)}, path)
    elif content == "newer":
        save_file({"a": np.zeros(3)}, path, {"detector": json.dumps({"version": 99})})
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidDetector, match="core ood RUN"):
        OODDetector.load(path)


def test_without_an_embedding_pictures_alone_tell():
    _, labels, _, frames = cells(1000, 0)
    detector = fit_detector(None, labels[:500], None, frames[:500], frames[500:])
    assert (detector.ood_score(None, frames[500:]) < 1).mean() >= 0.98
    assert (detector.ood_score(None, np.full((3, *frames.shape[1:]), 250, np.uint8)) >= 1).all()
    again = OODDetector.from_tensors(*detector.to_tensors())
    np.testing.assert_array_equal(again.ood_score(None, frames), detector.ood_score(None, frames))
    with pytest.raises(ValueError, match="pictures"):
        detector.ood_score(None)


def test_class_gaussians_come_back_from_their_moments():
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 3
    vectors = rng.normal(size=(200, 6)) * np.arange(1, 7) + labels[:, None]
    fitted = fit_class_gaussians(vectors, labels, 0.05)
    again = class_gaussians(*fitted.moments())
    assert again.squared_distances(vectors) == pytest.approx(fitted.squared_distances(vectors), rel=0.02)
    longer = np.c_[vectors, rng.normal(size=(200, 2))]
    assert (fitted.squared_distances(longer) == fitted.squared_distances(vectors)).all()


def test_cells_of_a_kind_that_was_never_taught_are_told():
    """The unknown kind lies between the known ones: no plain distance calls it far."""
    rng = np.random.default_rng(0)
    centres = 4 * np.eye(CLASSES, 12)

    def draw(n, place=None):
        labels = rng.integers(0, CLASSES, n)
        embeddings = ((centres[labels] if place is None else place) + rng.normal(size=(n, 12))).astype("f4")
        return embeddings, labels, 3 * embeddings[:, :CLASSES]

    embeddings, labels, _ = draw(1000)
    val, _, val_logits = draw(1000)
    detector = fit_detector(embeddings, labels, val, val_logits=val_logits)
    known, _, logits = draw(2000)
    unknown, _, unknown_logits = draw(500, centres[:3].mean(0) / 2)
    assert (detector.ood_score_of(unknown, None) >= 1).mean() < 0.2
    assert (detector.ood_score_of(unknown, None, energy(unknown_logits)) >= 1).mean() > 0.5
    at_home = detector.ood_score_of(known, None, energy(logits))
    assert (at_home >= 1).mean() < 0.025
    assert np.median(at_home) == pytest.approx(detector.usual_score, abs=0.05)
    again = OODDetector.from_tensors(*detector.to_tensors())
    np.testing.assert_allclose(again.ood_score_of(known, None, energy(logits)), at_home)
    arrays, text = detector.to_tensors()
    facts = json.loads(text)
    facts["unknown_class"]["threshold"] = -1
    with pytest.raises(ValueError, match="none"):
        OODDetector.from_tensors(arrays, json.dumps(facts))


def test_the_detector_of_another_run_is_told(make_run):
    """Both embeddings have as many numbers, so that only the weights tell."""
    runs = [make_run(name=f"stub-64-00000{number}") for number in range(2)]
    for number, run in enumerate(runs):
        (run.path / "weights.safetensors").write_bytes(bytes([number]))
        size = engine.embedding_size(run)
        embeddings = np.random.default_rng(number).normal(size=(100, size)).astype("f4")
        detector = fit_detector(embeddings, np.arange(100) % 2, embeddings)
        replace(detector, weights_hash=run.weights_hash).save(run.ood_path)
    assert not Predictor(runs[0]).problems
    shutil.copy(runs[1].ood_path, runs[0].ood_path)
    (problem,) = Predictor(runs[0]).problems
    assert "made for another run" in problem
