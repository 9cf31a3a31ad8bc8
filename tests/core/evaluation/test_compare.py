"""The paired comparison of two runs: hand-counted cases, and every reason not to compare."""

import numpy as np
import pytest

from core.evaluation.compare import (
    NotComparable,
    agreement,
    bootstrap,
    compare_predictions,
    compare_with_best,
    error_overlap,
    match_predictions,
    newcombe_interval,
    pairwise_agreement,
    similarity_order,
    why_not_comparable,
)
from core.runs import PREDICTIONS, Run, replace_sealed
from tests.fake_datasets import added, fake_spec
from tests.fake_runs import fake_run


def match_runs(first, second):
    """Rows of the same test images, as Compare finds them."""
    if reason := why_not_comparable(first, second):
        raise NotComparable(reason)
    return match_predictions(first.predictions("test"), second.predictions("test"))


def compare_runs(first, second):
    rows, others = match_runs(first, second)
    one, two = first.predictions("test"), second.predictions("test")
    return compare_predictions(one.labels[rows], one.logits[rows].argmax(1), two.logits[others].argmax(1))


def test_counts_and_exact_p_of_a_case_done_by_hand():
    labels = np.zeros(20, int)
    first, second = np.zeros(20, int), np.zeros(20, int)
    first[:1] = 1  # wrong in the first only
    second[1:9] = 1  # wrong in the second only
    first[9:11] = second[9:11] = 1  # wrong in both
    paired = compare_predictions(labels, first, second)
    assert (paired.both_right, paired.only_first, paired.only_second, paired.both_wrong) == (9, 8, 1, 2)
    assert paired.difference == pytest.approx(7 / 20)
    # Nine discordant pairs, one the other way: 2 * (1 + 9) / 2^9.
    assert paired.p_value == pytest.approx(20 / 512)
    assert paired.interval[0] < 7 / 20 < paired.interval[1]


def test_same_answers_differ_by_nothing():
    labels = np.arange(5)
    paired = compare_predictions(labels, labels, labels)
    assert paired.p_value == 1.0
    assert paired.difference == 0
    assert paired.interval[0] < 0 < paired.interval[1]


def test_swapping_the_runs_swaps_the_sign():
    rng = np.random.default_rng(0)
    labels, first, second = (rng.integers(0, 3, 200) for _ in range(3))
    one, other = compare_predictions(labels, first, second), compare_predictions(labels, second, first)
    assert one.difference == -other.difference
    assert one.interval == pytest.approx(tuple(-bound for bound in reversed(other.interval)))
    assert one.p_value == other.p_value


def test_unequal_lengths_are_a_programming_error():
    with pytest.raises(ValueError, match="not pairs"):
        compare_predictions(np.zeros(3), np.zeros(3), np.zeros(4))


def test_runs_of_two_sizes_are_paired_by_id_whatever_the_order(tmp_path):
    first = fake_run(tmp_path, "a-64-1", size=64, seed=1)
    second = fake_run(tmp_path, "b-28-1", size=28, seed=2)
    plain = compare_runs(first, second)

    with np.load(second.path / PREDICTIONS) as file:
        arrays = dict(file)
    shuffled = np.random.default_rng(0).permutation(len(arrays["test_ids"]))
    arrays |= {key: arrays[key][shuffled] for key in ("test_ids", "test_labels", "test_logits")}
    second = _with_predictions(second, arrays)

    assert compare_runs(first, second) == plain
    rows, others = match_runs(first, second)
    assert (first.predictions("test").ids[rows] == second.predictions("test").ids[others]).all()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"dataset": "synthetic", "label": "drawn, not real"}, "different cells"),
        ({"label": "official BloodMNIST"}, "test cells differ"),
        ({"content": "ffffffffffff"}, "contents of the two files differ"),
        ({"ids": [f"other-{i}" for i in range(320)]}, "none in common"),
        ({"codes": ("EO", "BA", "ERB", "IG", "LY", "MO", "NE", "PLT")}, "different classes"),
        ({"data_seed": 8}, "disagree on what some cells truly are"),
    ],
)
def test_runs_on_different_data_are_refused_with_the_reason(tmp_path, other, reason):
    first = fake_run(tmp_path, "a-64-1")
    second = fake_run(tmp_path, "b-64-1", **other)
    with pytest.raises(NotComparable, match=reason):
        compare_runs(first, second)


def test_runs_of_two_ways_to_split_are_compared_on_the_images_that_both_have(tmp_path, monkeypatch):
    added(monkeypatch, fake_spec())
    trusted = {"dataset": "smears", "scheme": "grouped", "ids": [f"{i:03d}" for i in range(320)]}
    random = {"dataset": "smears", "scheme": "random", "ids": [f"{i:03d}" for i in range(200, 520)], "label": "other"}
    first = fake_run(tmp_path, "a-64-1", seed=1, **trusted)
    second = fake_run(tmp_path, "b-64-1", seed=2, **random)
    with pytest.raises(NotComparable, match="disagree"):  # made up: the same images have other labels there
        match_runs(first, second)
    truth = dict(zip(first.predictions("test").ids, first.predictions("test").labels, strict=True))
    second = _with_labels(second, truth)
    rows, others = match_runs(first, second)
    assert len(rows) == 120
    assert (first.predictions("test").ids[rows] == second.predictions("test").ids[others]).all()
    assert compare_runs(first, second).n == 120


def _with_labels(run, labels):
    with np.load(run.path / PREDICTIONS) as file:
        arrays = dict(file)
    arrays["test_labels"] = np.array([labels.get(i, 0) for i in arrays["test_ids"]], np.uint8)
    return _with_predictions(run, arrays)


def _with_predictions(run, arrays):
    replace_sealed(run, PREDICTIONS, lambda path: np.savez(path, **arrays))
    return Run(run.path)


def test_the_interval_of_two_shares_agrees_with_the_published_example():
    # Newcombe 1998, table II: 56/70 against 48/80, method 10.
    low, high = newcombe_interval((56, 48), (70, 80))
    assert (low, high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    low, high = newcombe_interval((0, 0), (10, 10))
    assert low < 0 < high
    assert newcombe_interval((0, 0), (0, 10)) == (-1, 1)


def test_the_bootstrap_agrees_with_resampling_the_images_one_by_one():
    labels = np.zeros(200, int)
    first, second = np.zeros(200, int), np.zeros(200, int)
    first[:10] = 1
    second[5:40] = 1
    paired = compare_predictions(labels, first, second)
    quick = bootstrap(paired)
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 200, (4000, 200))
    slow = (first[rows] == 0).mean(axis=1) - (second[rows] == 0).mean(axis=1)
    assert quick.differences.mean() == pytest.approx(paired.difference, abs=0.002)
    assert quick.differences.std() == pytest.approx(slow.std(), rel=0.05)
    assert quick.interval == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.01)
    assert quick.fraction_ahead > 0.99
    assert len(quick.differences) >= 2000


def test_the_bootstrap_of_equals_and_of_nothing():
    labels = np.arange(5)
    same = bootstrap(compare_predictions(labels, labels, labels))
    assert same.interval == (0, 0)
    assert same.fraction_ahead == 0.5
    empty = bootstrap(compare_predictions([], [], []))
    assert empty.interval == (-1, 1)


def test_agreement_by_hand():
    # Cohen's own kind of example: 20 + 15 of 50 the same, expected by chance .5.
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    found = agreement(first, second, 2)
    assert found.matrix.tolist() == [[20, 5], [10, 15]]
    assert found.fraction_equal == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)


def test_kappa_where_it_says_nothing():
    assert agreement(np.zeros(4, int), np.zeros(4, int), 3).kappa is None
    assert agreement(np.zeros(0, int), np.zeros(0, int), 3).kappa is None
    assert agreement(np.arange(3), np.arange(3), 3).kappa == 1
    with pytest.raises(ValueError, match="not pairs"):
        agreement(np.zeros(3, int), np.zeros(4, int), 3)


def test_pairwise_agreement_by_hand():
    labels = np.array([0, 1, 2, 0])
    answers = np.array([[0, 1, 2, 1], [0, 1, 0, 1], [0, 1, 2, 0]])  # one error, two errors (one of them shared), none
    assert pairwise_agreement(answers).tolist() == [[1, 0.75, 0.75], [0.75, 1, 0.5], [0.75, 0.5, 1]]
    assert error_overlap(answers, labels).tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]


def test_the_order_puts_what_is_alike_side_by_side():
    groups = np.array([0, 1, 0, 1, 0, 1])
    alike = np.where(groups[:, None] == groups[None, :], 0.95, 0.5)
    np.fill_diagonal(alike, 1)
    order = groups[similarity_order(alike)]
    assert tuple(order) in ((0, 0, 0, 1, 1, 1), (1, 1, 1, 0, 0, 0))
    assert similarity_order(np.ones((1, 1))).tolist() == [0]
    assert sorted(similarity_order(np.ones((4, 4)))) == [0, 1, 2, 3]


def test_the_best_is_found_and_every_other_is_set_against_it():
    labels = np.zeros(1000, int)
    answers = np.zeros((3, 1000), int)
    answers[0, :300], answers[1, :5], answers[2, :6] = 1, 1, 1
    best, behind = compare_with_best(labels, answers)
    assert best == 1
    assert [round(one.difference, 4) for one in behind] == [0.295, 0, 0.001]
    assert behind[0].interval[0] > 0.25
    assert 0 < behind[2].interval[1] < 0.01
