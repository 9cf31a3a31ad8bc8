"""The paired comparison of two runs: hand-counted cases, and every reason not to compare."""

import numpy as np
import pytest

from core.evaluation.compare import NotComparable, compare_answers, compare_runs, pair_up
from tests.fake_runs import fake_run


def test_counts_and_exact_p_of_a_case_done_by_hand():
    labels = np.zeros(20, int)
    first, second = np.zeros(20, int), np.zeros(20, int)
    first[:1] = 1  # wrong in the first only
    second[1:9] = 1  # wrong in the second only
    first[9:11] = second[9:11] = 1  # wrong in both
    paired = compare_answers(labels, first, second)
    assert (paired.both_right, paired.only_first, paired.only_second, paired.both_wrong) == (9, 8, 1, 2)
    assert paired.difference == pytest.approx(7 / 20)
    # Nine discordant pairs, one the other way: 2 * (1 + 9) / 2^9.
    assert paired.p_value == pytest.approx(20 / 512)
    assert paired.interval[0] < 7 / 20 < paired.interval[1]


def test_same_answers_differ_by_nothing():
    labels = np.arange(5)
    paired = compare_answers(labels, labels, labels)
    assert paired.p_value == 1.0
    assert paired.difference == 0
    assert paired.interval[0] < 0 < paired.interval[1]


def test_swapping_the_runs_swaps_the_sign():
    rng = np.random.default_rng(0)
    labels, first, second = (rng.integers(0, 3, 200) for _ in range(3))
    one, other = compare_answers(labels, first, second), compare_answers(labels, second, first)
    assert one.difference == -other.difference
    assert one.interval == pytest.approx(tuple(-bound for bound in reversed(other.interval)))
    assert one.p_value == other.p_value


def test_unequal_lengths_are_a_programming_error():
    with pytest.raises(ValueError, match="not pairs"):
        compare_answers(np.zeros(3), np.zeros(3), np.zeros(4))


def test_runs_of_two_sizes_are_paired_by_id_whatever_the_order(tmp_path):
    first = fake_run(tmp_path, "a-64-1", size=64, seed=1)
    second = fake_run(tmp_path, "b-28-1", size=28, seed=2)
    plain = compare_runs(first, second)

    stored = second.path / "predictions.npz"
    with np.load(stored) as file:
        arrays = dict(file)
    shuffled = np.random.default_rng(0).permutation(len(arrays["test_ids"]))
    arrays |= {key: arrays[key][shuffled] for key in ("test_ids", "test_labels", "test_logits")}
    np.savez(stored, **arrays)

    assert compare_runs(first, second) == plain
    rows, others = pair_up(first, second)
    assert (first.predictions("test").ids[rows] == second.predictions("test").ids[others]).all()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"dataset": "synthetic", "label": "drawn, not real"}, "different cells"),
        ({"label": "official BloodMNIST"}, "test cells differ"),
        ({"content": "ffffffffffff"}, "contents of the two files differ"),
        ({"n": 300}, "different test images"),
        ({"data_seed": 8}, "disagree on what some cells truly are"),
    ],
)
def test_runs_on_different_data_are_refused_with_the_reason(tmp_path, other, reason):
    first = fake_run(tmp_path, "a-64-1")
    second = fake_run(tmp_path, "b-64-1", **other)
    with pytest.raises(NotComparable, match=reason):
        compare_runs(first, second)
