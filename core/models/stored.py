"""A run's network, with its weights, ready to be looked at."""

import torch

from core.errors import HemaLensError
from core.models.base import ImageClassifier
from core.models.registry import build
from core.runs import Run


def load(run: Run) -> ImageClassifier:
    """The network of ``run`` with its stored weights, float32, in eval mode, on the CPU.

    Raises `HemaLensError` where the run holds no network or its weights do not fit.
    """
    config = run.config
    if run.kind != "network":
        raise HemaLensError(f"{run.title} is no network: it has no layers to look into; choose a network instead")
    network = build(
        config["train"]["model"], len(config["dataset"]["codes"]), run.size, **config["train"]["model_arguments"]
    )
    try:
        network.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in run.weights().items()})
    except (RuntimeError, FileNotFoundError) as error:
        raise HemaLensError(
            f"the weights of {run.name} do not fit its model: the run was written by another version or is damaged; "
            f"train it again with --force ({error})"
        ) from error
    return network.eval()
