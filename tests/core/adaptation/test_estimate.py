"""What is told of a taught head is true of the cells that nobody named, and no more than so few answers prove."""

from dataclasses import replace

import numpy as np
import pytest

from core.adaptation.active import ActiveLearner
from core.adaptation.estimate import (
    MIN_SURE_CONFIDENCE,
    ReliabilityPrior,
    apply_temperature,
    estimate_accuracy,
    fit_reliability,
    others_text,
)
from core.adaptation.head import fit_head, untaught_head
from core.probabilities import exact_interval
from tests.core.adaptation.drawn_lab import CODES, made_up


def named(counts, budget, seed=0, shift=2.5, wrong=0.0):
    """A learner that was told ``budget`` cells, and the classes of all; ``wrong``: share of cells of another class."""
    cells, labels = made_up(counts, seed=seed, shift=shift)
    rng = np.random.default_rng(seed)
    present = np.unique(labels)
    labels = np.where(rng.random(len(labels)) < wrong, rng.choice(present, len(labels)), labels)
    learner = ActiveLearner(cells, np.isin(np.arange(len(CODES)), labels))
    for cell in rng.permutation(len(labels))[:budget]:
        learner = learner.with_answer(int(cell), int(labels[cell]))
    return learner, labels


def truth(learner, labels):
    rest = np.setdiff1d(np.arange(len(labels)), learner.labelled[0])
    return (learner.posterior[rest].argmax(1) == labels[rest]).mean()


@pytest.mark.parametrize("wrong", [0.0, 0.15])
def test_the_interval_holds_what_is_true_of_the_others(wrong):
    held, errors = [], []
    for seed in range(5):
        learner, labels = named({"LY": 60, "NE": 60, "MO": 20}, 25, seed=seed, wrong=wrong)
        estimate, true = learner.estimate(), truth(learner, labels)
        held.append(estimate.after_interval[0] <= true <= estimate.after_interval[1])
        errors.append(estimate.after - true)
        assert (estimate.n, estimate.unnamed) == (25, 115)
    assert sum(held) >= 4
    assert abs(np.mean(errors)) < 0.06


def test_few_right_answers_prove_little():
    learner, _ = named({"LY": 30, "NE": 30}, 12, shift=0)
    estimate = learner.estimate()
    assert (estimate.after_predicted == estimate.labels).all()
    assert estimate.after <= 12.5 / 13
    assert estimate.after_interval[0] <= exact_interval(12, 12)[0] < 0.75
    assert estimate.after_interval[1] == 1


def test_named_cells_do_not_count():
    learner, labels = named({"LY": 60, "NE": 60}, 20, wrong=0.3)
    rest = np.setdiff1d(np.arange(len(labels)), learner.labelled[0])
    alone = learner.estimate()
    chosen = np.r_[learner.labelled[0], rest[:10]]
    fewer = estimate_accuracy(
        learner.untaught_head,
        learner.head,
        lambda rows, classes: fit_head(
            learner.untaught_head,
            learner.cells.embeddings[chosen[rows]],
            learner.cells.probabilities[chosen[rows]],
            classes,
            pseudo_labels=learner.pseudo_labels,
        ),
        learner.cells.embeddings[chosen],
        learner.cells.probabilities[chosen],
        np.arange(20),
        learner.labelled[1],
    )
    assert fewer.unnamed == 10
    assert abs(fewer.after - alone.after) < 0.15  # counted in, 20 right of 30 would lift it
    assert fewer.after_interval[0] < alone.after_interval[0]


def test_where_all_are_named_it_is_of_cells_like_them():
    learner, _ = named({"LY": 15, "NE": 15}, 30)
    estimate = learner.estimate()
    assert estimate.unnamed == 0
    assert estimate.others == "cells like them"
    assert estimate.after_interval[0] <= estimate.after < 1


def test_the_mean_confidence_is_the_share_told():
    learner, _ = named({"LY": 60, "NE": 60, "MO": 20}, 25, wrong=0.2)
    estimate = learner.estimate()
    rest = np.setdiff1d(np.arange(140), learner.labelled[0])
    taught = replace(learner.head, temperature=estimate.temperature)
    confidence = taught.probabilities(learner.cells.embeddings[rest], learner.cells.probabilities[rest]).max(1)
    assert estimate.temperature >= 1
    assert confidence.mean() == pytest.approx(estimate.after, abs=0.01)
    assert 0 < estimate.calibration_error < 0.2


def test_it_is_sure_where_that_is_known_to_be_right():
    clean, _ = named({"LY": 60, "NE": 60}, 50)
    noisy, _ = named({"LY": 60, "NE": 60}, 50, wrong=0.5)
    assert MIN_SURE_CONFIDENCE <= clean.estimate().confidence_threshold < 1
    assert noisy.estimate().confidence_threshold == 1


def test_answers_outweigh_the_prior():
    prior = ReliabilityPrior()
    confidence = np.full(40, 0.95)
    wrong = fit_reliability(confidence, np.zeros(40, bool), prior).mean(np.array([0.95]))[0]
    none = fit_reliability(confidence[:0], np.zeros(0, bool), prior).mean(np.array([0.95]))[0]
    right = fit_reliability(confidence, np.ones(40, bool), prior).mean(np.array([0.95]))[0]
    assert wrong < 0.5 < 0.8 < none < right


def test_a_surer_answer_is_right_more_often():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1, 60)
    reliability = fit_reliability(confidence, rng.random(60) < confidence)
    assert (np.diff(reliability.mean(np.linspace(0.3, 1, 20))) >= 0).all()
    assert reliability.weights.sum() == pytest.approx(1)


def test_too_few_answers_or_one_slide_give_none():
    learner, _ = named({"LY": 30, "NE": 30}, 4)
    assert learner.estimate() is None
    cells, labels = made_up({"LY": 10, "NE": 10})
    head = untaught_head(cells.embeddings, np.ones(len(CODES)))
    rows = np.arange(8)
    args = head, head, lambda rows, classes: head, cells.embeddings, cells.probabilities, rows, labels[rows]
    assert estimate_accuracy(*args, groups=["one"] * 20) is None
    assert estimate_accuracy(*args, groups=[f"slide {i % 3}" for i in range(20)]).n == 8


def test_which_cells_it_is_about_is_told():
    assert [others_text(n) for n in (1400, 0, None)] == ["the other 1,400", "cells like them", "all cells"]


def test_a_temperature_above_one_makes_shyer():
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5]])
    softened = apply_temperature(probabilities, 2.0)
    assert softened.sum(1) == pytest.approx([1, 1])
    assert 0.5 < softened[0, 0] < 0.9
    assert softened[1, 0] == pytest.approx(0.5)
