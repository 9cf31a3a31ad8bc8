"""Figures of predictions, in numpy: metrics, comparisons, uncertainty, robustness, other laboratories. No torch."""
