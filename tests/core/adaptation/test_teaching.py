"""Answers make the reading better, doubtful cells are asked about, and what was known before is not forgotten."""

from dataclasses import replace

import numpy as np
import pytest

from core.adaptation.active import (
    CANT_SAY,
    FIRST_QUERIES,
    NOT_A_CELL,
    QUERIES_PER_ROUND,
    UNTAUGHT_POWER,
    ActiveLearner,
)
from core.adaptation.head import fit_head, move_exemplars, untaught_head
from core.adaptation.simulation import draw_differential, simulate, summarize_estimates, summarize_simulations
from core.inference.specimen import weighed
from tests.core.adaptation.drawn_lab import CODES, home_exemplars, made_up

FIVE = {"BA": 30, "EO": 30, "LY": 30, "MO": 30, "NE": 30}


@pytest.fixture(scope="module")
def lab():
    return made_up(FIVE)


def present(labels):
    return np.isin(np.arange(len(CODES)), labels)


def answer(learner, labels, budget=25):
    while len(learner.answers) < budget:
        for cell in learner.queries[: budget - len(learner.answers)]:
            learner = learner.with_answer(int(cell), int(labels[cell]))
    return learner


def right(learner, labels):
    return (learner.posterior.argmax(1) == labels).mean()


def test_25_answers_make_a_shifted_laboratory_readable(lab):
    cells, labels = lab
    start = ActiveLearner(cells, present(labels))
    taught = answer(start, labels)
    assert right(start, labels) < 0.85
    assert right(taught, labels) > 0.95


def test_without_an_answer_the_run_decides(lab):
    cells, labels = lab
    start = ActiveLearner(cells, np.ones(len(CODES), bool), self_trains=False)
    assert (start.posterior.argmax(1) == cells.probabilities.argmax(1)).all()
    assert start.posterior == pytest.approx(cells.probabilities, abs=2e-3)


def test_a_balanced_batch_adapts_without_a_label_and_can_be_undone(lab):
    cells, labels = lab
    start = ActiveLearner(cells, present(labels))
    assert start.self_training.done
    assert right(start, labels) >= right(replace(start, self_trains=False), labels)
    assert np.abs(start.posterior - replace(start, self_trains=False).posterior).max() > 0.05


@pytest.mark.parametrize("counts", [{"NE": 120, "LY": 60, "MO": 12}, {"NE": 20, "LY": 20, "MO": 20}])
def test_a_natural_or_small_batch_is_left_alone(counts):
    cells, labels = made_up(counts)
    start = ActiveLearner(cells, present(labels))
    assert not start.self_training.done
    assert start.self_training.why
    assert (start.posterior == replace(start, self_trains=False).posterior).all()


def test_a_class_that_does_not_occur_is_believed_less_but_not_ruled_out(lab):
    cells, labels = lab
    start = ActiveLearner(cells, present(labels))
    absent = CODES.index("ERB")
    assert start.posterior[:, absent].max() < cells.probabilities[:, absent].max()
    plain = np.full((1, len(CODES)), 1e-3)
    plain[0, absent] = 1 - 1e-3 * (len(CODES) - 1)
    assert start.head.probabilities(cells.embeddings[:1], plain).argmax() == absent


def test_first_questions_stand_for_all_and_the_next_are_in_doubt(lab):
    cells, labels = lab
    start = ActiveLearner(cells, present(labels))
    assert len(start.queries) == FIRST_QUERIES
    assert len(set(start.queries)) == FIRST_QUERIES
    taught = answer(start, labels, FIRST_QUERIES)
    asked = {cell for cell, _ in taught.answers}
    assert len(taught.queries) == QUERIES_PER_ROUND
    assert not asked & set(taught.queries)
    top = taught.posterior.max(1)
    rest = [i for i in range(len(labels)) if i not in asked]
    assert top[taught.queries].mean() < top[rest].mean()


def test_questions_are_the_same_every_time(lab):
    cells, labels = lab
    one, other = (ActiveLearner(cells, present(labels)) for _ in range(2))
    assert (one.queries == other.queries).all()


def test_all_cells_answered_leaves_no_question():
    cells, labels = made_up({"LY": 4, "NE": 5})
    taught = answer(ActiveLearner(cells, present(labels)), labels, 9)
    assert len(taught.answers) == 9
    assert len(taught.queries) == 0


def test_not_a_cell_and_cant_say_teach_nothing_but_are_not_asked_again(lab):
    cells, labels = lab
    start = ActiveLearner(cells, present(labels))
    first, second = (int(q) for q in start.queries[:2])
    taught = start.with_answer(first, NOT_A_CELL).with_answer(second, CANT_SAY)
    assert len(taught.labelled[0]) == 0
    assert (taught.posterior == start.posterior).all()
    assert not {first, second} & set(taught.queries)


def test_an_answer_can_be_changed_and_undone(lab):
    cells, labels = lab
    start = ActiveLearner(cells, present(labels))
    taught = start.with_answer(3, 4).with_answer(5, 6).with_answer(3, 0)
    assert taught.answers == ((5, 6), (3, 0))
    assert taught.without_last_answer().without_last_answer() == start.without_last_answer()


def test_an_unexpected_class_that_is_named_does_occur(lab):
    cells, labels = lab
    taught = ActiveLearner(cells, present(labels)).with_answer(0, CODES.index("PLT"))
    assert taught.prior()[CODES.index("PLT")] == 1


def test_before_and_after_teaching_answers_are_weighed_by_the_specimen(lab):
    cells, labels = lab
    odds = np.array([1, 1, 0.1, 0.1, 4, 1, 3, 0.1])
    plain = ActiveLearner(cells, np.ones(len(CODES), bool), self_trains=False)
    start = replace(plain, odds=odds)
    common = CODES.index("LY")
    assert (start.posterior[:, common] >= plain.posterior[:, common]).all()
    assert start.posterior == pytest.approx(weighed(cells.probabilities, odds**UNTAUGHT_POWER), abs=5e-3)
    taught = answer(start, labels)
    assert taught.head.prior == pytest.approx(odds)
    assert right(taught, labels) > right(start, labels)
    assert taught.estimate().before == pytest.approx(right(start, labels), abs=0.2)


def test_cells_are_asked_about_where_what_is_usual_overrules_the_picture():
    cells, _ = made_up({"NE": 60})
    probabilities = np.full((60, len(CODES)), 1e-6)
    probabilities[:, [CODES.index("NE"), CODES.index("LY")]] = 0.8, 0.2
    overruled = range(5)
    probabilities[:5, [CODES.index("NE"), CODES.index("LY"), CODES.index("EO")]] = 0.1, 1e-6, 0.9
    odds = np.where(np.array(CODES) == "EO", 0.01, 1.0)
    embeddings = cells.embeddings + 10 * (np.arange(60) < 5)[:, None]  # a kind of their own
    there = replace(cells, probabilities=probabilities, embeddings=embeddings)
    start = ActiveLearner(there, np.ones(len(CODES), bool), odds=odds)
    asked = start.with_answer(59, CANT_SAY)
    assert set(asked.posterior[:5].argmax(1)) == {CODES.index("NE")}
    assert asked.posterior[:5].max(1).min() > asked.posterior[5:].max(1).max()  # by what is said alone, the surest
    assert set(asked.queries) & set(overruled)


def test_a_class_that_nobody_named_is_not_given_away():
    """Natural batches show hardly any basophil; elsewhere in the laboratory there are some."""
    kept, lost = [], []
    for seed in range(3):
        cells, labels = made_up({"NE": 120, "LY": 60, "BA": 2}, shift=1.2, seed=seed)
        learner = ActiveLearner(cells, np.ones(len(CODES), bool), exemplars=home_exemplars())
        for cell in np.flatnonzero(labels != CODES.index("BA"))[:25]:
            learner = learner.with_answer(int(cell), int(labels[cell]))
        assert learner.moved_exemplars is not None
        others, truth = made_up({"BA": 60}, shift=1.2, seed=seed + 10)
        without = fit_head(
            replace(learner.untaught_head, prior=learner.prior(1)),
            cells.embeddings[learner.labelled[0]],
            cells.probabilities[learner.labelled[0]],
            learner.labelled[1],
            learner.exemplars,
        )
        for head, shares in ((learner.head, kept), (without, lost)):
            answers = head.probabilities(others.embeddings, others.probabilities)
            shares.append(answers[np.arange(len(truth)), truth].mean())
    assert np.mean(kept) > np.mean(lost)


def test_where_no_class_prevails_exemplars_stay_at_home(lab):
    cells, labels = lab
    assert ActiveLearner(cells, present(labels), exemplars=home_exemplars()).moved_exemplars is None


def test_exemplars_move_with_their_class():
    exemplars = home_exemplars()
    cells, labels = made_up({"NE": 200, "LY": 40})
    moved = move_exemplars(exemplars, cells.embeddings, labels)
    often = exemplars.labels == CODES.index("NE")
    assert moved.embeddings[often].mean(0) == pytest.approx(
        cells.embeddings[labels == CODES.index("NE")].mean(0), abs=0.1
    )
    never = exemplars.labels == CODES.index("PLT")
    shifts = [
        cells.embeddings[labels == c].mean(0) - exemplars.embeddings[exemplars.labels == c].mean(0) for c in (4, 6)
    ]
    shift = moved.embeddings[never].mean(0) - exemplars.embeddings[never].mean(0)
    assert shift == pytest.approx(np.mean(shifts, 0), abs=0.2)


def test_home_cells_are_not_forgotten():
    exemplars = home_exemplars()
    cells, labels = made_up({"LY": 60, "NE": 60})
    taught = answer(ActiveLearner(cells, present(labels), exemplars=exemplars), labels)
    home, truth = made_up(dict.fromkeys(CODES, 30), shift=0, seed=8)
    others = ~np.isin(truth, [CODES.index("LY"), CODES.index("NE")])
    before = (home.probabilities.argmax(1) == truth)[others].mean()
    after = (taught.head.probabilities(home.embeddings, home.probabilities).argmax(1) == truth)[others].mean()
    assert before > 0.9
    assert after >= 0.9 * before


def test_a_feature_that_never_varies_does_no_harm(lab):
    cells, labels = lab
    flat = cells.embeddings.copy()
    flat[:, 0] = 3.0
    head = untaught_head(flat, np.ones(len(CODES)))
    taught = fit_head(head, flat[:40], cells.probabilities[:40], labels[:40])
    assert np.isfinite(taught.probabilities(flat, cells.probabilities)).all()


def test_the_estimate_is_near_what_is_found_with_all_labels(lab):
    cells, labels = lab
    taught = answer(ActiveLearner(cells, present(labels)), labels, 40)
    estimate = taught.estimate()
    assert estimate.n == 40
    assert estimate.before_interval[0] <= estimate.before <= estimate.before_interval[1]
    assert abs(estimate.after - right(taught, labels)) < 0.12
    assert estimate.after > estimate.before


def test_whole_slides_are_left_out():
    cells, labels = made_up(FIVE, groups=True)
    taught = answer(ActiveLearner(cells, present(labels)), labels, 20)
    assert taught.estimate().n == 20
    alone = ActiveLearner(cells.subset(np.flatnonzero([g == "slide 0" for g in cells.groups])), present(labels))
    own = labels[[g == "slide 0" for g in cells.groups]]
    assert answer(alone, own, 10).estimate() is None


def test_few_answers_give_no_estimate(lab):
    cells, labels = lab
    assert answer(ActiveLearner(cells, present(labels)), labels, 4).estimate() is None


def test_a_natural_draw_has_the_shares_of_a_differential():
    labels = np.repeat(np.arange(len(CODES)), 200)
    drawn = labels[draw_differential(labels, CODES, np.random.default_rng(0))]
    counts = dict(zip(CODES, np.bincount(drawn, minlength=len(CODES)), strict=True))
    assert counts == {"BA": 2, "EO": 5, "ERB": 0, "IG": 0, "LY": 50, "MO": 10, "NE": 99, "PLT": 0}


@pytest.mark.parametrize("choice", [{"budget": 25}, {"budget": 25, "strategy": "random"}, {"per_class": 5}])
def test_trials_measure_the_gain_on_cells_that_were_not_asked_about(lab, choice):
    cells, labels = lab
    trials = simulate(cells, labels, CODES, repeats=2, **choice)
    assert all(len(trial.queried) == 25 for trial in trials)
    figures = summarize_simulations(trials)
    assert figures["base"]["accuracy"]["n"] == len(labels) - 25
    assert figures["after"]["accuracy"]["mean"] > figures["base"]["accuracy"]["mean"]
    assert figures["after"]["accuracy"]["worst"] <= figures["after"]["accuracy"]["mean"]


def test_a_natural_trial_scores_the_other_cells_too():
    cells, labels = made_up({"BA": 10, "EO": 20, "LY": 80, "MO": 30, "NE": 150})
    trial = simulate(cells, labels, CODES, budget=25, population="natural")[0]
    assert trial.figures["after"]["n_others"] == len(labels) - len(trial.batch)
    assert 0 < trial.figures["after"]["others_balanced"] <= 1
    told = summarize_estimates([trial])
    assert told["true"] == trial.figures["after"]["accuracy_eight"]
    assert told["error"] == pytest.approx(told["told"] - told["true"])
    assert told["coverage"] == (told["low"] <= told["true"] <= told["high"])
    assert {"sure_inside", "sure_outside", "calibration_told", "calibration_true"} <= set(told)


def test_a_mix_is_drawn_and_weighed(lab):
    cells, labels = lab
    odds = np.where(np.array(CODES) == "EO", 9.0, 1.0)
    trial = simulate(cells, labels, CODES, budget=0, population={"EO": 0.5, "NE": 0.5}, size=40, odds=odds)[0]
    assert np.bincount(labels[trial.batch], minlength=len(CODES)).tolist() == [0, 20, 0, 0, 0, 0, 20, 0]
    expected = weighed(cells.probabilities, odds**UNTAUGHT_POWER).argmax(1)
    assert (trial.predicted["base"] == expected).all()
    assert trial.figures["base"]["accuracy_eight"] == pytest.approx((expected == labels)[trial.batch].mean())
    assert trial.estimate == {}


def test_a_budget_of_nothing_only_adapts(lab):
    cells, labels = lab
    trial = simulate(cells, labels, CODES, budget=0)[0]
    assert len(trial.queried) == 0
    assert trial.figures["after"] == trial.figures["adapted"]
    assert summarize_estimates([trial]) == {}
