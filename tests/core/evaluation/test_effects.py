"""Effects of ingredients and spreads of seeds, against scipy and by hand."""

import dataclasses

import pytest
from scipy.stats import ttest_ind

from core.evaluation.importance import base_label, seed_spread, study_measures, variant_effects
from core.studies import Trial, mean_interval
from tests.fake_studies import fake_ablation_study, fake_seeds_study, fake_tune_study


def test_the_base_comes_first_and_the_others_against_it():
    study = fake_ablation_study()
    found = variant_effects(study, "score")
    assert found[0].label == "base: 4 layers"
    assert (found[0].gain, found[0].low, found[0].high, found[0].significant) == (0, None, None, False)
    assert [one.label for one in found[1:]] == [label for label in study.by_label() if label != found[0].label]
    base = [t.score for t in study.complete if t.label == found[0].label]
    for one in found[1:]:
        scores = [t.score for t in study.complete if t.label == one.label]
        interval = ttest_ind(scores, base, equal_var=False).confidence_interval(0.95)
        assert one.gain == pytest.approx(sum(scores) / 3 - sum(base) / 3)
        assert (one.low, one.high) == pytest.approx((interval.low, interval.high))
        assert one.significant == (interval.low > 0 or interval.high < 0)


def test_another_base_turns_the_sign():
    study = fake_ablation_study()
    forth = {one.label: one.gain for one in variant_effects(study, "test")}
    back = variant_effects(study, "test", "SE")
    assert back[0].label == "SE"
    assert next(one.gain for one in back if one.label == "base: 4 layers") == pytest.approx(-forth["SE"])
    with pytest.raises(KeyError):
        variant_effects(study, "test", "no such variant")


def test_the_base_is_the_first_where_none_is_called_so():
    study = fake_ablation_study()
    trials = tuple(dataclasses.replace(t, label=t.label.removeprefix("base: ")) for t in reversed(study.trials))
    assert base_label(dataclasses.replace(study, trials=trials)) == "SE"
    empty = dataclasses.replace(study, trials=())
    assert base_label(empty) is None
    assert variant_effects(empty) == []
    assert study_measures(empty) == ()


def test_one_seed_has_no_interval():
    found = variant_effects(fake_ablation_study(seeds=1))
    assert all(one.low is None and not one.significant for one in found)
    assert found[1].spread.low is None


def test_equal_scores_have_an_interval_of_no_width():
    trials = [Trial(i, {}, i, 0.9 + 0.05 * (i > 1), 1.0, 1, label="base" if i < 2 else "more") for i in range(4)]
    study = dataclasses.replace(fake_ablation_study(), trials=tuple(trials))
    assert variant_effects(study)[1].low == variant_effects(study)[1].high == pytest.approx(0.05)


def test_spread_over_seeds():
    study = fake_seeds_study(4)
    one = seed_spread(study.complete, "test")
    assert one.values == tuple(t.test for t in study.trials)
    assert (one.mean, one.low, one.high) == pytest.approx(mean_interval(one.values))
    assert one.seeds == (0, 1, 2, 3)
    assert one.seconds == pytest.approx(study.seconds / 4)


def test_measures_are_those_that_every_trial_has():
    assert study_measures(fake_seeds_study()) == ("test", "score")
    assert study_measures(fake_tune_study()) == ("score",)
