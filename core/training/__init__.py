"""Training (needs torch): `train`, `TrainConfig`."""

from core.training.config import BadConfig, TrainConfig
from core.training.loop import TrainingFailed, train

__all__ = ["BadConfig", "TrainConfig", "TrainingFailed", "train"]
