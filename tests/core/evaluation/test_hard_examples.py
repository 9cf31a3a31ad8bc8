"""Hard images over several models: counted by hand, matched by id, suspects by a rule that can be checked."""

import numpy as np
import pytest

from core.evaluation.hard_examples import ensemble_accuracy, gather_votes, hardness
from core.runs import Predictions


def answers(called: list[int], labels: list[int], sure: float = 6.0, ids: list[str] | None = None) -> Predictions:
    logits = np.zeros((len(labels), 3))
    logits[np.arange(len(labels)), called] = sure
    names = ids if ids is not None else [f"{i:02d}" for i in range(len(labels))]
    return Predictions(np.array(names), np.array(labels), logits.astype("f4"))


LABELS = [0, 0, 1, 1, 2, 2]


@pytest.fixture
def votes():
    every = [
        answers([0, 1, 1, 1, 2, 0], LABELS),
        answers([0, 1, 1, 1, 2, 1], LABELS),
        answers([0, 1, 1, 0, 2, 2], LABELS),
    ]
    gathered, left_out = gather_votes(every)
    assert left_out == []
    return gathered


def test_shares_and_rivals_by_hand(votes):
    hard = hardness(votes)
    assert votes.wrong.tolist() == [0, 3, 0, 1, 0, 2]
    assert hard.error_rate == pytest.approx([0, 1, 0, 1 / 3, 0, 2 / 3])
    assert hard.rival.tolist()[:5] == [-1, 1, -1, 0, -1]
    assert hard.rival[5] in (0, 1)
    assert hard.rival_fraction == pytest.approx([0, 1, 0, 1 / 3, 0, 1 / 3])
    p = np.exp(6) / (np.exp(6) + 2)
    assert hard.p_label[0] == pytest.approx(p)
    assert hard.p_rival[1] == pytest.approx(p)
    assert hard.p_label[1] == pytest.approx((1 - p) / 2)


def test_of_two_rivals_with_equal_votes_the_likelier_counts():
    every = [answers([0], [2], sure=3), answers([1], [2], sure=6)]
    assert hardness(gather_votes(every)[0]).rival.tolist() == [1]


def test_a_label_is_suspect_where_most_models_agree_and_are_as_sure_as_usual(votes):
    assert hardness(votes).suspect.tolist() == [False, True, False, False, False, False]
    unsure = [answers([0, 1, 1, 1, 2, 2], LABELS, sure=6) for _ in range(3)]
    for one in unsure:
        one.logits[1] = [0, 0.5, 0]  # all name class 1, none as firmly as on the cells of class 1
    hard = hardness(gather_votes(unsure)[0])
    assert hard.error_rate[1] == 1
    assert not hard.suspect.any()


def test_one_model_alone_makes_no_label_suspect():
    assert not hardness(gather_votes([answers([1, 0, 1], [0, 0, 1])])[0]).suspect.any()


def test_order(votes):
    hard = hardness(votes)
    assert hard.order(suspects_first=False).tolist() == [1, 5, 3]
    assert hard.order(suspects_first=True)[0] == 1


def test_suspects_come_before_images_that_more_models_miss():
    labels = [0] * 10 + [1] * 10
    right = [*labels]
    suspect, lost = 0, 1
    models = []
    for number in range(3):
        called = [*right]
        called[suspect] = 1 if number < 2 else 0
        called[lost] = 2
        one = answers(called, labels, sure=9)
        one.logits[lost] = [0, 0, 0.3]
        models.append(one)
    models[2].logits[suspect] = [0.1, 0, 0]
    for one in models:  # class 1 is usually named with doubt here, the suspect cell firmly
        one.logits[10:] = [0, 0.2, 0]
    hard = hardness(gather_votes(models)[0])
    assert hard.suspect[[suspect, lost]].tolist() == [True, False]
    assert hard.order(suspects_first=True).tolist() == [suspect, lost]
    assert hard.order(suspects_first=False).tolist() == [lost, suspect]


def test_images_are_matched_by_id_whatever_their_order():
    one = answers([0, 1, 2], [0, 1, 1], ids=["a", "b", "c"])
    other = answers([2, 0, 1], [1, 0, 1], ids=["c", "a", "b"])
    votes, left_out = gather_votes([one, other])
    assert left_out == []
    assert votes.ids.tolist() == ["a", "b", "c"]
    assert votes.wrong.tolist() == [0, 0, 2]


def test_models_of_other_images_or_labels_are_left_out():
    base = answers([0, 1], [0, 1])
    votes, left_out = gather_votes(
        [base, answers([0, 1], [0, 1], ids=["x", "y"]), answers([0, 1], [1, 1]), answers([0], [0]), base]
    )
    assert left_out == [1, 2, 3]
    assert votes.models == 2
    with pytest.raises(ValueError, match="no answers"):
        gather_votes([])


def test_what_they_reach_together(votes):
    together = ensemble_accuracy(votes)
    assert together.n == 6
    assert together.best == pytest.approx(4 / 6)
    assert together.any_right == pytest.approx(5 / 6)
    assert together.missed.tolist() == [3, 1, 1, 1]


def test_nothing_missed():
    together = ensemble_accuracy(gather_votes([answers(LABELS, LABELS)] * 2)[0])
    assert (together.best, together.mean, together.any_right) == (1, 1, 1)
    assert together.missed.tolist() == [6, 0, 0]
    hard = hardness(gather_votes([answers(LABELS, LABELS)] * 2)[0])
    assert hard.order(suspects_first=True).tolist() == []
