"""What mattered in a search: found where it is planted, and not claimed where there is nothing."""

import dataclasses
import math

import numpy as np
import pytest

from core.evaluation.importance import as_number, importance
from core.studies import Trial
from tests.fake_studies import PARAMETERS, fake_tune_study


def with_scores(score, trials: int = 60):
    study = fake_tune_study(trials)
    made = [
        dataclasses.replace(t, state="complete", score=score(t.params, np.random.default_rng(t.number)))
        for t in study.trials
    ]
    return dataclasses.replace(study, trials=tuple(made))


def test_what_is_planted_is_found():
    found = importance(with_scores(lambda p, rng: 0.9 + 0.05 * (p["optimizer"] == "sgd") + rng.normal(0, 0.003)))
    assert next(iter(found.drop)) == "optimizer"
    assert found.drop["optimizer"] > 0.5
    assert abs(found.drop["dropout"]) < 0.1
    assert found.explained > 0.8
    assert found.trials == 60


def test_a_logarithmic_setting_counts_by_its_logarithm():
    found = importance(with_scores(lambda p, rng: 0.9 - 0.02 * abs(math.log10(p["learning_rate"]) + 2.5)))
    assert next(iter(found.drop)) == "learning_rate"


def test_noise_explains_nothing():
    assert importance(with_scores(lambda p, rng: rng.normal(0.9, 0.01))).explained < 0.1


def test_too_few_trials_or_nothing_that_varies():
    assert importance(fake_tune_study(8)) is None
    assert importance(with_scores(lambda p, rng: 0.9)) is None
    assert importance(dataclasses.replace(fake_tune_study(), parameters={})) is None


def test_a_setting_that_some_trials_lack():
    study = with_scores(lambda p, rng: 0.9 + p["dropout"] / 10)
    trials = [
        Trial(t.number, {k: v for k, v in t.params.items() if k != "dropout" or t.number % 2}, 0, t.score, 1.0, 1)
        for t in study.trials
    ]
    assert importance(dataclasses.replace(study, trials=tuple(trials))).explained < 1


def test_as_number():
    assert as_number(PARAMETERS["learning_rate"], 0.01) == pytest.approx(-2)
    assert as_number(PARAMETERS["dropout"], 0.25) == 0.25
    assert as_number(PARAMETERS["batch_size"], 128) == 2
    assert as_number(PARAMETERS["optimizer"], "no such") == -1
    assert math.isnan(as_number(PARAMETERS["dropout"], None))
