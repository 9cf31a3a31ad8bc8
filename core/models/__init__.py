"""Registry of models (needs torch): `build`, `load`, `get_model`, `model_names`."""

from core.models.base import ImageClassifier
from core.models.registry import ModelSpec, UnknownModel, build, get_model, load_network, model_names

__all__ = ["ImageClassifier", "ModelSpec", "UnknownModel", "build", "get_model", "load_network", "model_names"]
