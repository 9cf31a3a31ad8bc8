"""A run as a reader: what it sees, what it says, and in which voice."""

import numpy as np

from core.datasets import get_dataset
from core.images import crop, framing
from core.inference import predictor
from core.inference.predictor import RunPredictor, Verdict

SPEC = get_dataset("bloodmnist")


def test_a_run_reads_what_its_training_pictures_were_like(make_run, colour):
    read = RunPredictor(make_run())
    read.load()
    assert read.key == str(read.run.path)
    assert read.side is None
    picture = colour((255, 0, 0), 363, 360)
    framed = read.crop(picture, framing.CropWindow())
    assert (framed.pixels == crop.crop_by_shape(picture, 64, SPEC).pixels).all()
    answers, voices = read.predict_crops(np.stack([framed.pixels, colour((130, 128, 126))]))
    assert answers.predicted[0] == 0
    assert [v.kind for v in voices] == ["sure", "unsure"]
    assert voices[0].classes == (0,)
    assert answers.probabilities[0].max() >= read.threshold > answers.probabilities[1].max()


def test_only_a_guarded_run_tells_strangers(make_run, colour, monkeypatch):
    read = RunPredictor(make_run())
    assert not read.detects_ood
    monkeypatch.setattr(predictor, "detector_of", lambda run: object())
    monkeypatch.setattr(
        predictor, "run_verdicts", lambda run, answers, frames: [Verdict("foreign", (3,), 2.0)] * len(answers)
    )
    assert read.detects_ood
    assert read.predict_crops(colour((0, 255, 0))[None])[1][0].kind == "foreign"
