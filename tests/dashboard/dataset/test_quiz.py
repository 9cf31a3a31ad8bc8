"""The quiz: balanced questions, one answer each, the score by class."""

from collections import Counter

import numpy as np
import pytest

from core.datasets import get_dataset
from dashboard.dataset.quiz import ROUNDS, Quiz, QuizAnswer, quiz_bars, score_table, start_quiz
from dashboard.style import class_colours

LABELS = np.array([0] * 50 + [1] * 5 + [2] * 20)
SPEC = get_dataset("bloodmnist")


def test_classes_come_equally_often_and_no_picture_twice():
    questions = start_quiz(LABELS, [0, 1, 2], seed=1).questions
    assert len(questions) == len(set(questions)) == len(LABELS)
    assert all(LABELS[row] == label for label, row in questions)
    first = Counter(label for label, _ in questions[: 2 * ROUNDS * 3])
    assert first == {0: 2 * ROUNDS, 1: 2 * ROUNDS, 2: 2 * ROUNDS}


def test_another_seed_is_another_order_and_only_the_wanted_classes_are_asked():
    assert start_quiz(LABELS, [0, 2], 1).questions == start_quiz(LABELS, [0, 2], 1).questions
    assert start_quiz(LABELS, [0, 2], 1).questions != start_quiz(LABELS, [0, 2], 2).questions
    assert {label for label, _ in start_quiz(LABELS, [0, 2], 1).questions} == {0, 2}
    assert start_quiz(LABELS, [3], 1).question is None


def test_one_answer_a_question():
    game = Quiz([(0, 10), (1, 11)])
    game.go_on()  # not before it is answered
    assert game.number == 0
    game.say(0, model=1)
    game.say(1)
    assert game.answer == QuizAnswer(0, 0, 1)
    game.go_on()
    assert game.answer is None
    game.say(0)
    game.go_on()
    assert game.question is None
    game.say(0)
    assert len(game.answers) == 2
    assert game.right == 1
    assert game.compared() == (1, 1, 0)


def test_score_by_class_names_the_commonest_mistake():
    game = Quiz([], [QuizAnswer(0, 0), QuizAnswer(0, 2), QuizAnswer(0, 1), QuizAnswer(0, 2), QuizAnswer(2, 2)])
    table = score_table(game, SPEC.codes)
    assert table.to_numpy().tolist() == [["BA", 4, 1, "ERB"], ["ERB", 1, 1, ""]]


@pytest.mark.parametrize("dark", [False, True])
def test_bars_add_up_to_what_was_asked(dark):
    table = score_table(Quiz([], [QuizAnswer(0, 0), QuizAnswer(0, 2), QuizAnswer(2, 2)]), SPEC.codes)
    names = dict(zip(SPEC.codes, SPEC.class_names, strict=True))
    right, rest = quiz_bars(table, SPEC.codes, names, title="t", dark=dark).data
    assert (np.array(right.x) + np.array(rest.x)).tolist() == [2, 1]
    assert list(right.marker.color) == [class_colours(SPEC.codes, dark)[c] for c in ("BA", "ERB")]
    assert list(rest.text) == ["1 of 2, taken for ERB", "1 of 1"]
