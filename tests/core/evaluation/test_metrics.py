import numpy as np
import pytest

from core.evaluation.metrics import expected_calibration_error, score
from core.probabilities import fit_temperature, softmax, wilson_interval


def logits_for(predicted: list[int], classes: int, confidence: float = 5.0) -> np.ndarray:
    out = np.zeros((len(predicted), classes))
    out[np.arange(len(predicted)), predicted] = confidence
    return out


def test_figures_of_a_small_matrix_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    figures = score(truth, logits_for([0, 0, 1, 1, 1, 0], 3))
    assert figures["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    per_class = figures["per_class"]
    assert per_class["sensitivity"] == pytest.approx([2 / 3, 1, 0])
    assert per_class["specificity"] == pytest.approx([2 / 3, 3 / 4, 1])
    assert per_class["precision"][:2] == pytest.approx([2 / 3, 2 / 3])
    assert per_class["precision"][2] is None  # class 2 was never called
    assert per_class["f1"] == pytest.approx([2 / 3, 4 / 5, 0])
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_a_class_without_images_is_left_out_of_the_means() -> None:
    figures = score(np.array([0, 1]), logits_for([0, 1], 3))
    assert figures["per_class"]["sensitivity"][2] is None
    assert figures["balanced_accuracy"] == 1
    assert figures["macro_auroc"] == 1


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611), (20, 20, 0.8389, 1.0)]
)
def test_wilson_against_published_values(correct: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, Statistics in Medicine 17, 857-872, table I (method 3)."""
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=1e-4)


def test_softmax_of_large_logits() -> None:
    assert softmax(np.array([[1000.0, 1000.0]])) == pytest.approx(np.array([[0.5, 0.5]]))


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.8, 0.2]] * 10)
    labels = np.array([0] * 6 + [1] * 4)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(0.2)


def test_temperature_is_found_again() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 4)) * 2
    labels = np.array([generator.choice(4, p=p) for p in softmax(logits)])
    assert fit_temperature(labels, logits * 3) == pytest.approx(3, rel=0.05)
    assert fit_temperature(labels, logits / 2) == pytest.approx(0.5, rel=0.05)
