"""Begins a training at weights learned from ImageNet's photographs, fetched by torchvision's own loader.

None of them ships with HemaLens. Our networks are slimmer than the published ones and have other stems and
heads, as small pictures need: only at the published width do the layers between have the same shapes,
and only those are taken.
"""

from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor, nn

from core.errors import HemaLensError
from core.models import ImageClassifier, get_model, model_names
from core.models.attention import GatedBlock
from core.training.config import BadConfig, TrainConfig


class WeightsUnavailable(HemaLensError):
    """The weights can't be fetched or read; the message says from where, and what to do."""


def begin_at_imagenet(network: ImageClassifier, config: TrainConfig) -> None:
    """Give ``network`` the published weights wherever shapes agree, and ImageNet's mean and deviation of pixels.

    Raises `BadConfig` where the model has no such weights at its width, `WeightsUnavailable` where there is no
    way to them.
    """
    name = published_name(config)
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    state = _fetched(weights)
    with torch.device("meta"):  # its structure only: the stored order of the tensors is not to be relied on
        structure = torchvision.models.get_model(name, weights=None)
    theirs = [{k: state[f"{layer}.{k}"] for k in shapes} for layer, shapes in layers(structure)]
    ours = layers(network.body)
    taken = False
    with torch.no_grad():
        for (_, mine), published in zip(ours, theirs, strict=True):
            convolution = mine["weight"].ndim == 4
            fits = all(mine[k].shape == published[k].shape for k in mine)
            # A norm follows its convolution: its statistics mean nothing behind another one.
            taken = fits and (convolution or taken)
            if taken:
                for key, tensor in mine.items():
                    tensor.copy_(published[key])
    preset = weights.transforms()
    network.set_normalisation(preset.mean, preset.std)


def published_name(config: TrainConfig) -> str:
    """torchvision's name of the published network that ``config``'s model begins at. Raises `BadConfig`."""
    at = get_model(config.model).imagenet
    if at is None:
        offering = ", ".join(n for n in model_names("network") if get_model(n).imagenet)
        raise BadConfig(f"weights can't be 'imagenet': none are published for {config.model}, but for {offering}")
    name, width = at
    chosen = config.complete_arguments()["width"]
    if chosen != width:
        raise BadConfig(
            f"weights can't be 'imagenet' for {config.model} of width {chosen}: torchvision's {name} has the width "
            f"{width}, choose it with --arg width={width}"
        )
    return name


def layers(network: nn.Module) -> list[tuple[str, dict[str, Tensor]]]:
    """Convolutions and batch norms of ``network`` outside attention: their names and tensors, counters left out."""
    gated = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, GatedBlock))
    return [
        (name, {k: v for k, v in module.state_dict(keep_vars=True).items() if v.is_floating_point()})
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and not name.startswith(gated)
    ]


def _fetched(weights: torchvision.models.WeightsEnum) -> Mapping[str, Tensor]:
    folder = f"{torch.hub.get_dir()}/checkpoints"
    file = weights.url.rsplit("/", 1)[-1]
    try:
        # Restricted to tensors: nothing that is stored in the file can run.
        return weights.get_state_dict(progress=False, check_hash=True, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsUnavailable(
            f"the ImageNet weights can't be fetched from {weights.url} ({getattr(error, 'reason', error)}). "
            f"Fetch that file elsewhere and put it into {folder}, or train from scratch, without --weights"
        ) from error
    except Exception as error:  # a broken file raises kinds of several packages
        raise WeightsUnavailable(
            f"the ImageNet weights in {folder}/{file} can't be read ({type(error).__name__}): delete that file, then "
            "it is fetched anew"
        ) from error
