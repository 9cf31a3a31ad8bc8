"""What every view of Explain is given: what a model answers for the selected cell and what its maps and gates are, kept
in the visitor's session so that a rerun computes nothing.

Torch and Captum are imported inside functions: importing this module, and drawing the page's frame, stays quick.
"""

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec
from core.explain.occlusion import OcclusionMap, occlusion
from core.images.crop import Crop
from core.inference import engine
from core.probabilities import softmax
from core.runs import Run

if TYPE_CHECKING:
    from core.explain.gates import StageGates
    from core.explain.gradcam import CamMap, CamStage

KEPT = 256
_MAPS = "_explain_maps"


@dataclass(frozen=True)
class Explanation:
    """One model looking at the cell: its answer ``probabilities`` (C,), the ``crop`` cell, and class ``target``."""

    run: Run
    title: str
    crop: Crop
    probabilities: np.ndarray
    target: int

    @property
    def answer(self) -> int:
        """Index of the likeliest class."""
        return int(self.probabilities.argmax())


def target_class(choice: str, probabilities: np.ndarray, spec: DatasetSpec) -> int:
    """Index of the class that ``choice`` means for a model: 'answer', 'runner-up' (its own), or a code."""
    if choice in spec.codes:
        return spec.codes.index(choice)
    order = np.argsort(-probabilities, kind="stable")
    return int(order[0 if choice == "answer" else 1])


def default_runs(runs: Sequence[Run]) -> list[str]:
    """Names of up to three runs that show all there is to see: the best, and the best with SE and with CBAM."""
    ranked = sorted(runs, key=lambda r: -r.metrics["val"]["accuracy"])
    chosen = ranked[:1]
    for kind in ("se", "cbam"):
        if not any(r.model.endswith(f"_{kind}") for r in chosen):
            chosen += [r for r in ranked if r.model.endswith(f"_{kind}")][:1]
    chosen += [r for r in ranked if r.model not in {c.model for c in chosen}]
    return [run.name for run in chosen[:3]]


def grad_cam(explanation: Explanation, earlier: int) -> "tuple[CamMap, CamStage]":
    """Grad-CAM of the class asked about, and the stage it was read at: ``earlier`` stages before the last map."""
    run, image = explanation.run, explanation.crop.pixels

    def compute() -> "tuple[CamMap, CamStage]":
        from core.explain import gradcam
        from core.explain import gradcam as network

        with network.exclusive_network(run) as net:
            net_stages = gradcam.cam_stages(net, run.size)
            stage = net_stages[max(0, len(net_stages) - 1 - earlier)]
            answer = gradcam.grad_cam(net, image, explanation.target, stage.layer)
        return answer, replace(stage, layer=None)  # a session must not hold on to a network

    return _kept(("cam", *_key(explanation), explanation.target, earlier), compute)


def has_grad_cam(explanation: Explanation, earlier: int) -> bool:
    """True where `grad_cam` would answer at once."""
    return ("cam", *_key(explanation), explanation.target, earlier) in st.session_state.get(_MAPS, {})


def has_spatial_map(explanation: Explanation) -> bool:
    """Whether the model is a network whose last map tells places apart, which Grad-CAM needs.

    A fully connected network sees the picture as a whole, trees see features, a combination has no map at all.
    """
    if explanation.run.kind != "network":
        return False

    def compute() -> bool:
        try:
            height, width = engine.feature_maps(explanation.run, explanation.crop.pixels[None]).shape[2:]
        except engine.EngineError:  # a graph without its last map: it can still be covered
            return False
        return height * width > 1

    return _kept(("places", *_key(explanation)[:2]), compute)


def occlusion_map(explanation: Explanation) -> OcclusionMap:
    """What the class asked about needs, by covering one place after another; through the engine, for every kind."""

    def compute() -> OcclusionMap:
        def answer(pictures: np.ndarray) -> np.ndarray:
            return softmax(engine.logits(explanation.run, pictures))

        return occlusion(answer, explanation.crop.pixels, explanation.target)

    return _kept(("occlusion", *_key(explanation), explanation.target), compute, "Covering one place after another")


def has_occlusion_map(explanation: Explanation) -> bool:
    """True where `occlusion_map` would answer at once."""
    return ("occlusion", *_key(explanation), explanation.target) in st.session_state.get(_MAPS, {})


def gates(look: Explanation) -> "list[StageGates]":
    """Gates of every attention stage; empty for a network without attention and for what is no network."""
    if look.run.kind != "network":
        return []

    def compute() -> "list[StageGates]":
        from core.explain.gates import image_gates
        from core.explain.gradcam import shared_network

        return image_gates(shared_network(look.run), look.crop.pixels)

    return _kept(("gates", *_key(look)), compute)


def waiting_line() -> str:
    """What is said while maps are drawn; the first time takes longer, because PyTorch is loaded then."""
    return "Drawing the maps" if "captum" in sys.modules else "Loading the drawing tools, a few seconds the first time"


def _kept(key: tuple, compute: Callable[[], Any], waiting: str | None = None) -> Any:
    """What was computed for ``key`` in this session, else ``compute()``; the oldest of many are dropped."""
    maps = st.session_state.setdefault(_MAPS, OrderedDict())
    if key not in maps:
        with st.spinner(waiting or waiting_line()):
            maps[key] = compute()
        while len(maps) > KEPT:
            maps.popitem(last=False)
    return maps[key]


def _key(explanation: Explanation) -> tuple:
    pixels = hashlib.sha256(np.ascontiguousarray(explanation.crop.pixels)).hexdigest()[:16]
    return str(explanation.run.path), explanation.run.path.stat().st_mtime_ns, pixels
