"""Metrics, intervals and calibration: functions of (labels, logits or probabilities)."""

from core.evaluation.metrics import expected_calibration_error, score
from core.probabilities import fit_temperature, softmax, wilson_interval

__all__ = ["wilson_interval", "expected_calibration_error", "fit_temperature", "score", "softmax"]
