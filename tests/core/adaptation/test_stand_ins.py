"""Which cells speak for the classes that hardly anybody named."""

import numpy as np
import pytest

from core.adaptation.active import CANT_SAY, MIN_ANSWERS, PSEUDO_LABELS_PER_CLASS, ActiveLearner, select_pseudo_labels
from core.adaptation.head import LabCells
from core.images.red_cells import OFFICIAL

COMMON, RARE = 0, 1  # of three classes


def answered(counts=(60, 8, 6), sure=0.95) -> np.ndarray:
    """Answers (N, 3) that name each class so often, a little less sure from cell to cell."""
    winners = np.repeat(np.arange(3), counts)
    top = sure - 0.001 * np.arange(len(winners))
    found = np.repeat((1 - top)[:, None] / 2, 3, 1)
    found[np.arange(len(winners)), winners] = top
    return found


def chosen(answers, asked=(), labels=(), occurs=(True, True, True)):
    return select_pseudo_labels(answers, np.array(asked, int), np.array(labels, int), np.array(occurs))


def test_the_surest_of_a_class_that_was_named_once():
    answers = answered()
    found = chosen(answers, asked=(0, 60), labels=(COMMON, RARE))
    # The commonest class was named once too; the cells that were asked about speak for themselves.
    assert found.tolist() == [1, 2, 3, 61, 62, 63]
    assert len(found) == 2 * PSEUDO_LABELS_PER_CLASS


def test_a_class_that_was_named_often_enough_needs_none():
    answers = answered()
    labels = [COMMON] * MIN_ANSWERS + [RARE] * MIN_ANSWERS
    assert chosen(answers, asked=range(len(labels)), labels=labels).tolist() == []
    assert chosen(answers, asked=range(len(labels) - 1), labels=labels[:-1]).tolist() == [60, 61, 62]


def test_a_class_that_nobody_named_must_be_said_to_occur():
    answers = answered()
    labels = [COMMON] * MIN_ANSWERS
    assert chosen(answers, labels=labels).tolist() == []  # all may occur: that says nothing
    assert chosen(answers, labels=labels, occurs=(True, False, True)).tolist() == [68, 69, 70]


def test_only_sure_answers_and_only_where_a_class_prevails():
    assert chosen(answered(sure=0.7), labels=[RARE]).tolist() == []
    assert chosen(answered((20, 20, 20)), labels=[RARE]).tolist() == []


@pytest.fixture
def natural():
    """A natural batch in which the rare class lies beside the common one, as a run reads it that is sure."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), (60, 8, 6))
    places = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 6.0]])[labels] + 0.3 * rng.normal(size=(len(labels), 2))
    embeddings = np.c_[places, rng.normal(size=(len(labels), 6))].astype(np.float32)
    frames = np.zeros((len(labels), 4, 4, 3), np.uint8)
    return LabCells(frames, answered(), embeddings, OFFICIAL), labels


def test_teaching_hands_them_to_the_head(natural, monkeypatch):
    cells, labels = natural
    teaching = ActiveLearner(cells, np.array([True, True, True]))
    for cell in (0, 10, 20, 60):
        teaching = teaching.with_answer(cell, int(labels[cell]))
    teaching = teaching.with_answer(61, CANT_SAY)
    believed = teaching.pseudo_labels
    assert believed.labels.tolist() == [RARE] * PSEUDO_LABELS_PER_CLASS
    assert np.array_equal(believed.embeddings, cells.embeddings[[62, 63, 64]])
    rare = teaching.posterior[60:68, RARE].mean()
    monkeypatch.setattr("core.adaptation.active.select_pseudo_labels", lambda *_: np.array([], int))
    alone = ActiveLearner(cells, teaching.present_classes, teaching.answers)
    assert rare > alone.posterior[60:68, RARE].mean()
