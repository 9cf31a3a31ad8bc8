"""A run as a reader: what it sees, what it says, and in which voice."""

import numpy as np

from core.datasets import get_dataset
from core.serving import framing, preprocess, reader
from core.serving.guard import Voice
from core.serving.reader import RunReader

SPEC = get_dataset("bloodmnist")


def test_a_run_reads_what_its_training_pictures_were_like(make_run, colour):
    read = RunReader(make_run())
    read.load()
    assert read.key == str(read.run.path)
    assert read.side is None
    picture = colour((255, 0, 0), 363, 360)
    framed = read.frame(picture, framing.Place())
    assert (framed.pixels == preprocess.frame(picture, 64, SPEC).pixels).all()
    answers, voices = read.answer(np.stack([framed.pixels, colour((130, 128, 126))]))
    assert answers.winners[0] == 0
    assert [v.kind for v in voices] == ["sure", "unsure"]
    assert voices[0].classes == (0,)
    assert answers.probabilities[0].max() >= read.threshold > answers.probabilities[1].max()


def test_only_a_guarded_run_tells_strangers(make_run, colour, monkeypatch):
    read = RunReader(make_run())
    assert not read.tells_strangers
    monkeypatch.setattr(reader, "guard_of", lambda run: object())
    monkeypatch.setattr(reader, "voiced", lambda run, answers, frames: [Voice("foreign", (3,), 2.0)] * len(answers))
    assert read.tells_strangers
    assert read.answer(colour((0, 255, 0))[None])[1][0].kind == "foreign"
