"""Training (needs torch): `train`, `TrainConfig`."""

from core.training.config import BadConfig, TrainConfig
from core.training.dispatch import train
from core.training.loop import TrainingFailed

__all__ = ["BadConfig", "TrainConfig", "TrainingFailed", "train"]
