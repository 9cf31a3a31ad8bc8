"""Metrics, intervals and calibration: functions of (labels, logits or probabilities)."""

from core.evaluation.calibration import fit_temperature
from core.evaluation.metrics import accuracy_interval, expected_calibration_error, score, softmax

__all__ = ["accuracy_interval", "expected_calibration_error", "fit_temperature", "score", "softmax"]
