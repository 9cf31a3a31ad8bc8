"""Grad-CAM: which places of a feature map speak for a class (Selvaraju et al. 2017, arXiv:1610.02391).

The map is relu(sum_k w_k A_k), where A_k are the channels of a feature map and w_k the mean over space of the gradient
of the class's score (before the softmax) with respect to A_k. It says what raises one class's score, not what is there,
and it is as coarse as the feature map. For a network with global average pooling and one linear layer behind its last
map (all of ours but the plain CNNs) it equals the class activation map of Zhou et al. 2016 (arXiv:1512.04150) there, up
to a constant; at earlier stages the gradient's mean is a rougher summary.

Loaded networks are few at a time and shared between visitors; one of them at a time may take gradients.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from cachetools import LRUCache, cached
from captum.attr import LayerGradCam
from torch import Tensor, nn

from core.errors import HemaLensError
from core.models import load_network
from core.models.base import ImageClassifier, to_float
from core.runs import Run

MAX_NETWORKS = 8


@cached(LRUCache(MAX_NETWORKS), key=lambda run: (run, run.version), condition=threading.Condition())
def _open_network(run: Run) -> tuple[ImageClassifier, threading.RLock]:
    """The network of ``run`` and the lock of whoever changes it; read once until a file of the run changes."""
    return load_network(run).eval().requires_grad_(False), threading.RLock()


def shared_network(run: Run) -> ImageClassifier:
    """The network of ``run``, in eval mode, parameters frozen; the same object for all who ask.

    For forward passes only, which may run in many threads at once. Whoever sets hooks or takes gradients
    uses `exclusive_network`. At most `MAX_NETWORKS` are kept, the least recently used one goes first. Raises
    `HemaLensError` where the stored weights do not fit.
    """
    return _open_network(run)[0]


@contextmanager
def exclusive_network(run: Run) -> Iterator[ImageClassifier]:
    """The network of ``run`` for one user alone; modes and gradient flags are as before afterwards, come what may."""
    network, lock = _open_network(run)
    with lock, preserve_state(network):
        yield network


@contextmanager
def preserve_state(network: ImageClassifier) -> Iterator[None]:
    """Put back train/eval modes and gradient flags of ``network``, and drop gradients, at the end or on an error."""
    modes = [(module, module.training) for module in network.modules()]
    flags = [(p, p.requires_grad) for p in network.parameters()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
        network.zero_grad()


@dataclass(frozen=True)
class CamStage:
    """A feature map that Grad-CAM can read: ``name``, ``layer`` that yields it, its sides and its ``channels``.

    ``depth`` counts from 1 (nearest to the picture); ``last`` marks the map that the head reads.
    """

    name: str
    layer: nn.Module
    height: int
    width: int
    channels: int
    depth: int
    last: bool


@dataclass(frozen=True)
class CamMap:
    """A Grad-CAM map at its true resolution.

    ``values`` float32 (h, w), divided by their maximum: 0 (does not speak for the class) to 1 (speaks most).
    ``peak`` is that maximum, in units of the score; it is 0 where nothing speaks for the class, and the map
    is all zero then. Because each map is scaled by its own peak, two maps compare in place, not in strength.
    """

    values: np.ndarray
    peak: float
    target: int

    @property
    def is_empty(self) -> bool:
        """True where nothing in this map speaks for the class."""
        return self.peak == 0.0


@torch.no_grad()
def cam_stages(network: ImageClassifier, size: int) -> list[CamStage]:
    """The maps that Grad-CAM can read for pictures of ``size`` px, the finest first, the last feature map last.

    One for each resolution inside the body: its last map after a ReLU, because negative activations times
    positive weights would count against what a unit found. A body that is no plain sequence offers its
    last map only.
    """
    noise = torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0)).to(network.mean.device)
    x = (noise - network.mean) / network.std
    by_size: dict[tuple[int, ...], tuple[nn.Module, Tensor]] = {}
    if isinstance(network.body, nn.Sequential) and network.cam_layer is network.body:
        for layer in network.body:
            x = layer(x)
            if x.ndim == 4 and x.min() >= 0:
                by_size[tuple(x.shape[2:])] = (layer, x)
    final = network.features(noise)
    by_size.pop(tuple(final.shape[2:]), None)
    maps = [*by_size.values(), (network.cam_layer, final)]
    return [
        CamStage(f"{m.shape[2]} x {m.shape[3]}", layer, m.shape[2], m.shape[3], m.shape[1], depth, depth == len(maps))
        for depth, (layer, m) in enumerate(maps, 1)
    ]


def grad_cam(network: ImageClassifier, image: np.ndarray, target: int, layer: nn.Module | None = None) -> CamMap:
    """Grad-CAM of class ``target`` for one picture uint8 (S, S, 3) at ``layer`` (by default the last feature map).

    The network must be in eval mode; Captum hangs a hook on ``layer`` for the length of the call, so two
    threads must not share the network (`core.explain.gradcam.exclusive_network` sees to it). Raises `HemaLensError`
    for a class that the network does not know.
    """

    def scores(x: Tensor) -> Tensor:
        out = network(x)
        if not 0 <= target < out.shape[1]:
            raise HemaLensError(
                f"this model knows {out.shape[1]} classes (0 to {out.shape[1] - 1}), not number {target}"
            )
        return out

    x = to_float(image[None], network.mean.device)
    with torch.enable_grad():
        x.requires_grad_()  # parameters may be frozen: the gradient flows from the picture
        reader = LayerGradCam(scores, layer or network.cam_layer)
        raw = reader.attribute(x, target=int(target), relu_attributions=True)
    values = raw[0, 0].detach().float().cpu().numpy()
    return normalise_map(values, int(target))


def normalise_map(values: np.ndarray, target: int) -> CamMap:
    """The map ``values`` (h, w), at least 0, divided by its maximum; all zero stays all zero."""
    peak = float(values.max(initial=0.0))
    if not peak > 0:
        return CamMap(np.zeros(values.shape, np.float32), 0.0, target)
    return CamMap((values / peak).astype(np.float32), peak, target)
