"""What mattered in a search: found where it is planted, and not claimed where there is nothing."""

import dataclasses
import math

import numpy as np
import pytest

from core.evaluation.importance import setting_importance
from core.studies import Trial
from tests.fake_studies import fake_tune_study


def with_scores(score, trials: int = 60):
    study = fake_tune_study(trials)
    made = [
        dataclasses.replace(t, state="complete", score=score(t.params, np.random.default_rng(t.number)))
        for t in study.trials
    ]
    return dataclasses.replace(study, trials=tuple(made))


def test_what_is_planted_is_found():
    found = setting_importance(
        with_scores(lambda p, rng: 0.9 + 0.05 * (p["optimizer"] == "sgd") + rng.normal(0, 0.003))
    )
    assert next(iter(found)) == "optimizer"
    assert found["optimizer"] > 0.9
    assert found["dropout"] < 0.1
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert sum(found.values()) == pytest.approx(1)


def test_a_logarithmic_setting_counts_by_its_logarithm():
    found = setting_importance(with_scores(lambda p, rng: 0.9 - 0.02 * abs(math.log10(p["learning_rate"]) + 2.5)))
    assert next(iter(found)) == "learning_rate"


def test_it_is_the_same_each_time():
    study = with_scores(lambda p, rng: rng.normal(0.9, 0.01))
    assert setting_importance(study) == setting_importance(study)


def test_too_few_trials_or_nothing_that_varies():
    assert setting_importance(fake_tune_study(8)) is None
    assert setting_importance(with_scores(lambda p, rng: 0.9)) is None
    assert setting_importance(dataclasses.replace(fake_tune_study(), parameters={})) is None


def test_a_setting_that_some_trials_lack_is_left_out():
    study = with_scores(lambda p, rng: 0.9 + p["dropout"] / 10)
    trials = [
        Trial(t.number, {k: v for k, v in t.params.items() if k != "dropout" or t.number % 2}, 0, t.score, 1.0, 1)
        for t in study.trials
    ]
    assert set(setting_importance(dataclasses.replace(study, trials=tuple(trials)))) == set(study.parameters) - {
        "dropout"
    }
