"""Weights that a training begins with, where not at random: ImageNet's, or those of a stored run (warm start).

ImageNet's are fetched by torchvision's own loader; none of them ships with HemaLens. Our networks are slimmer than the
published ones and have other stems and heads: only at the published width do the layers between have the same shapes,
and only those are taken.
"""

from collections.abc import Mapping

import torch
import torchvision
from torch import Tensor, nn

from core.errors import HemaLensError
from core.models import ImageClassifier, get_model, load_network, model_names
from core.models.attention import GatedBlock
from core.runs import Run
from core.training.config import BadConfig, TrainConfig


class WeightsUnavailable(HemaLensError):
    """The weights can't be fetched or read; the message says from where, and what to do."""


def load_imagenet_weights(network: ImageClassifier, config: TrainConfig) -> None:
    """Give ``network`` the published weights wherever shapes agree, and ImageNet's mean and deviation of pixels.

    Raises `BadConfig` where the model has no such weights at its width, `WeightsUnavailable` where there is no
    way to them.
    """
    name = imagenet_model_name(config)
    weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    state = _download_weights(weights)
    with torch.device("meta"):  # its structure only: the stored order of the tensors is not to be relied on
        structure = torchvision.models.get_model(name, weights=None)
    published_layers = [{k: state[f"{layer}.{k}"] for k in shapes} for layer, shapes in conv_and_norm_layers(structure)]
    own_layers = conv_and_norm_layers(network.body)
    copied = False
    with torch.no_grad():
        for (_, own), published in zip(own_layers, published_layers, strict=True):
            convolution = own["weight"].ndim == 4
            fits = all(own[k].shape == published[k].shape for k in own)
            # A norm follows its convolution: its statistics mean nothing behind another one.
            copied = fits and (convolution or copied)
            if copied:
                for key, tensor in own.items():
                    tensor.copy_(published[key])
    preset = weights.transforms()
    network.set_normalisation(preset.mean, preset.std)


def imagenet_model_name(config: TrainConfig) -> str:
    """torchvision's name of the published network that ``config``'s model begins at. Raises `BadConfig`."""
    model = get_model(config.model)
    if not model.imagenet:
        offered = ", ".join(n for n in model_names("network") if get_model(n).imagenet)
        raise BadConfig(f"weights can't be 'imagenet': none are published for {config.model}, but for {offered}")
    chosen, width = config.all_model_arguments()["width"], model.published_width
    if chosen != width:
        raise BadConfig(
            f"weights can't be 'imagenet' for {config.model} of width {chosen}: torchvision's {model.imagenet} has the "
            f"width {width}, choose it with --arg width={width}"
        )
    return model.imagenet


def conv_and_norm_layers(network: nn.Module) -> list[tuple[str, dict[str, Tensor]]]:
    """Convolutions and batch norms of ``network`` outside attention: their names and tensors, counters left out."""
    gated = tuple(f"{name}." for name, module in network.named_modules() if isinstance(module, GatedBlock))
    return [
        (name, {k: v for k, v in module.state_dict(keep_vars=True).items() if v.is_floating_point()})
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and not name.startswith(gated)
    ]


def _download_weights(weights: torchvision.models.WeightsEnum) -> Mapping[str, Tensor]:
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


def load_warm_start(network: ImageClassifier, run: Run, codes: tuple[str, ...]) -> None:
    """Give ``network`` the weights of ``run``; raises `BadConfig` where they do not fit.

    Where the run knows the same classes (``codes``) it is taken whole, before its calibration, which is a warm
    restart (Loshchilov and Hutter 2017, arXiv:1608.03983). Where it knows others its last layer stays as it is in
    ``network``, and so does the mean and deviation of the pixels, which are those of the new pictures: transfer
    (Yosinski et al. 2014, arXiv:1411.1792).
    """
    if run.kind != "network":
        raise BadConfig(f"warm_start can't be {run.name}: it is no network ({run.title})")
    same_classes = run.codes == codes
    state = load_network(run).state_dict()
    if not same_classes:
        last = f"head.{len(network.head) - 1}."
        kept_tensors = {k: v for k, v in network.state_dict().items() if k.startswith(last) or k in ("mean", "std")}
        state = {k: v for k, v in state.items() if not k.startswith(last)} | kept_tensors
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        fits = "model, arguments and classes" if same_classes else "model and arguments"
        raise BadConfig(f"warm_start can't be {run.name}: its weights fit its own {fits} only ({run.title})") from error
    if same_classes:
        network.divide_logits(1 / run.metrics["temperature"])
