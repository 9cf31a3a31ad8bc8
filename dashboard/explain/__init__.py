"""What every view of Explain is given: the cell, what each model (or what a laboratory taught) answers for it, and the
maps and gates behind that, kept in the visitor's session so that a rerun computes nothing.

Torch and Captum are imported inside functions: importing this module, and drawing the page's frame, stays quick.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from cachetools import LRUCache
from streamlit.delta_generator import DeltaGenerator

from core.datasets import DatasetSpec, get_dataset
from core.errors import HemaLensError
from core.explain.occlusion import OcclusionMap, occlusion
from core.explain.overlay import COLOUR_MAPS, Interpolation
from core.images.crop import Crop
from core.images.framing import CropWindow, MeasuredPicture
from core.inference import engine
from core.inference.laboratory import Laboratory
from core.inference.predictor import Prediction, Predictor
from core.inference.scope import on_trusted_split
from core.runs import Run
from dashboard import cache
from dashboard.explain.selected_cell import SelectedCell, cell_to_explain, own_picture_uploader, upload_error
from dashboard.pickers import (
    answered_by_line,
    lab_picker,
    linked,
    of_same_classes,
    problem_lines,
    run_picker,
    short_names,
    specimen_picker,
)
from dashboard.session import session_of
from dashboard.style import option_label

if TYPE_CHECKING:
    from core.explain.gates import StageGates
    from core.explain.gradcam import CamMap, CamStage

KEPT = 256
MOST_MODELS = 3
_MOST_CHIPS = 12  # in one row
_MAPS = "_explain_maps"
MAPS = ("Grad-CAM", "Covering")
DETAIL = ("Last map", "One stage earlier", "Two stages earlier")


@dataclass(frozen=True)
class Explanation:
    """What one predictor says of the cell: its ``prediction``, and the index ``target`` of the class asked about.

    ``title``: the model's short name.
    """

    predictor: Predictor
    title: str
    prediction: Prediction
    target: int

    @property
    def run(self) -> Run:
        """The model whose maps and gates are drawn; beneath what a laboratory taught where one answers."""
        return self.predictor.run

    @property
    def crop(self) -> Crop:
        """What the model saw of the cell."""
        return self.prediction.crop

    @property
    def full_title(self) -> str:
        """The model's name, and who taught it."""
        return f"{self.title}, as taught by {self.predictor.name}" if self.predictor.name else self.title


@dataclass(frozen=True)
class Drawing:
    """Which maps are drawn and how: ``opacity`` 0 to 1, ``colours`` a scale's name, ``how`` they are enlarged.

    ``occlusion`` takes the place of Grad-CAM also where there is a map to read; ``fade`` lets the cell show
    through where a map is low; ``earlier`` counts stages before the last map; ``stretch`` lets each spatial
    map fill the colour scale.
    """

    occlusion: bool
    opacity: float
    colours: str
    how: Interpolation
    fade: bool
    earlier: int
    stretch: bool


@dataclass(frozen=True)
class ExplainContext:
    """The ``cell`` with the ``explanations`` of the chosen models, and how to draw; ``spec`` has the classes they know.

    ``size``: px of the largest picture that one of them sees.
    """

    spec: DatasetSpec
    cell: SelectedCell
    size: int
    explanations: tuple[Explanation, ...]
    drawing: Drawing


def explain_context(spec: DatasetSpec) -> ExplainContext | None:
    """Models, class asked about and cell, as they are chosen; None where nothing can be explained, which it says."""
    installed = cache.runs(spec.name)
    if not installed:
        st.info(
            f"No model for {spec.title} is installed yet. Train one in the terminal: "
            f"`python -m core train --dataset {spec.name} --model cnn_cbam`. Then reload this page.",
            icon=":material/model_training:",
        )
        return None
    notices = st.container()
    predictors = _predictors(spec.name, installed)
    if not predictors:
        st.info("Choose a model above, and its maps appear here.", icon=":material/visibility:")
        return None
    problem_lines(predictors)
    spec = predictors[0].spec  # with the classes that these models know
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        choice = _class_choice(spec, notices)
        drawing = _drawing_options()
    size = max(predictor.run.size for predictor in predictors)
    cell, notice = cell_to_explain(spec, size, predictors[0])
    if notice:
        notices.info(notice, icon=":material/link:")
    if problem := upload_error():
        notices.error(problem, icon=":material/broken_image:")
    if cell is None:
        st.info(
            f"There are no sample {spec.unit}s: the images of {spec.title} are not on this computer. Drop a picture of "
            "your own, and its maps appear here.",
            icon=":material/visibility:",
        )
        own_picture_uploader(spec)
        return None
    explanations, short = [], short_names(installed)
    for predictor in predictors:
        try:
            prediction = _prediction(predictor, cell, spec)
        except HemaLensError as error:
            notices.error(str(error), icon=":material/error:")
            continue
        target = target_class(choice, prediction.probabilities, spec)
        explanations.append(Explanation(predictor, short[predictor.run.name], prediction, target))
    return ExplainContext(spec, cell, size, tuple(explanations), drawing)


def _predictors(dataset: str, installed: Sequence[Run]) -> list[Predictor]:
    """What answers here as on Classify: the chosen laboratory's profile, else the chosen models."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        runs = run_picker(
            "Models, up to three",
            installed,
            key="models",
            multiple=True,
            max_selections=MOST_MODELS,
            default=default_runs(on_trusted_split(installed)),
            help="CNN + SE and CNN + CBAM have gates to look at; Grad-CAM reads networks, covering reads every model.",
        )
        specimen = specimen_picker(get_dataset(dataset))
        taught = lab_picker(dataset, specimen)
    if taught:
        answered_by_line(taught, [taught.run])
        st.caption(
            f"Covering asks {taught.run.title} as {taught.name} taught it. Grad-CAM and gates are those of the model "
            "beneath, without what was taught."
        )
        return [taught]
    if runs:
        runs = of_same_classes(runs)
        answered_by_line(None, runs)
    return [Predictor(run, specimen=specimen) for run in runs]


def _class_choice(spec: DatasetSpec, notices: DeltaGenerator) -> str:
    """'answer', 'runner-up', or the code of a class."""
    asked = {"answer": "Its answer", "runner-up": "Its runner-up"} | {code: code for code in spec.codes}
    options: dict[str, Any] = {"options": list(asked), "key": "class"}
    options["help"] = "'Its answer' and 'Its runner-up' are each model's own; a code asks all models about that class."
    with linked("class", list(asked), "answer", "class", notices=notices):
        if len(asked) > _MOST_CHIPS:
            st.selectbox("Class asked about", width=260, format_func=asked.__getitem__, **options)
        else:
            st.segmented_control(
                "Class asked about", required=True, format_func=lambda code: option_label(asked[code]), **options
            )
    return st.session_state["class"]


def _drawing_options() -> Drawing:
    """A popover with what most people never touch; the choices stay when one leaves the page."""
    with st.popover("Drawing", icon=":material/palette:", key="explain_drawing"):
        kind = st.segmented_control(
            "Map", MAPS, default=MAPS[0], required=True, format_func=option_label, key="map", persist_state="session",
            help="Grad-CAM reads where a network's own last map speaks for the class; models without such a map are "
            "covered. Covering hides one place after another and sees how far the answer falls, in every model.",
        )  # fmt: skip
        opacity = st.number_input("Opacity of the maps in %", 0, 100, 70, 5, key="opacity", persist_state="session")
        colours = st.selectbox("Colours", COLOUR_MAPS, index=0, key="colours", persist_state="session")
        how = st.segmented_control(
            "Enlarge", ["Smooth", "True resolution"], default="Smooth", required=True, key="enlarge",
            persist_state="session", format_func=option_label,
            help="True resolution shows each field of the map as one block.",
        )  # fmt: skip
        fade = st.toggle(
            "Clear where the map is low", value=True, key="fade", persist_state="session",
            help="On: the picture keeps its own colours where the map says little. Off: the colours cover all of it.",
        )  # fmt: skip
        detail = st.segmented_control(
            "Grad-CAM reads", DETAIL, default=DETAIL[0], required=True, key="detail", persist_state="session",
            format_func=option_label,
            help="The last map is what the answer is made of. Earlier maps are finer, but further from the answer.",
        )  # fmt: skip
        stretch = st.toggle(
            "Stretch spatial maps", value=True, key="stretch", persist_state="session",
            help="On: each spatial map of CBAM fills the colour scale from its least to its greatest gate. "
            "Off: the scale runs from 0 (shut) to 1 (open) for all.",
        )  # fmt: skip
    enlarging: Interpolation = "smooth" if how == "Smooth" else "blocks"
    return Drawing(kind == MAPS[1], opacity / 100, colours, enlarging, fade, DETAIL.index(detail), stretch)


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
    return [run.name for run in chosen[:MOST_MODELS]]


def _prediction(predictor: Predictor, cell: SelectedCell, spec: DatasetSpec) -> Prediction:
    """What ``predictor`` answers for the cell, cut where Classify cuts it, with the verdict that Classify gives.

    A picture of the visitor's own is taken for one of the laboratory whose pictures lie on Classify. Raises
    `EngineError`.
    """

    def compute() -> Prediction:
        pictures = [MeasuredPicture(cell.pixels, cell.name)]
        (answer,) = predictor.stream(pictures, cell.window or CropWindow(), Laboratory())
        if not isinstance(answer, Prediction):
            raise answer
        return answer

    answer = _kept(("answer", predictor.key, _digest(cell.pixels), cell.window), compute, "Asking the model")
    beside: Laboratory | None = Laboratory()  # a sample of the model's own
    if not cell.linked and cell.truth is None:
        uploads = session_of(spec.name).laboratory(predictor)
        beside = uploads if uploads.pictures else None
    (decided,) = predictor.decide_again([answer], beside)
    assert isinstance(decided, Prediction)
    return decided


def grad_cam(explanation: Explanation, earlier: int) -> "tuple[CamMap, CamStage]":
    """Grad-CAM of the class asked about, and the stage it was read at: ``earlier`` stages before the last map."""
    run, image = explanation.run, explanation.crop.pixels

    def compute() -> "tuple[CamMap, CamStage]":
        from torch.nn import Identity

        from core.explain import gradcam

        with gradcam.exclusive_network(run) as network:
            stages = gradcam.cam_stages(network, run.size)
            stage = stages[max(0, len(stages) - 1 - earlier)]
            cam = gradcam.grad_cam(network, image, explanation.target, stage.layer)
        return cam, replace(stage, layer=Identity())  # a session must not hold on to a network

    return _kept(_key("cam", explanation, explanation.target, earlier), compute)


def has_grad_cam(explanation: Explanation, earlier: int) -> bool:
    """True where `grad_cam` would answer at once."""
    return _key("cam", explanation, explanation.target, earlier) in st.session_state.get(_MAPS, {})


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

    return _kept(("places", explanation.predictor.key), compute)


def occlusion_map(explanation: Explanation) -> OcclusionMap:
    """What the class asked about needs, by covering one place after another; through the predictor, for every kind."""

    def compute() -> OcclusionMap:
        def answer(pictures: np.ndarray) -> np.ndarray:
            return explanation.predictor.predict_crops(pictures).probabilities

        return occlusion(answer, explanation.crop.pixels, explanation.target)

    return _kept(_key("occlusion", explanation, explanation.target), compute, "Covering one place after another")


def has_occlusion_map(explanation: Explanation) -> bool:
    """True where `occlusion_map` would answer at once."""
    return _key("occlusion", explanation, explanation.target) in st.session_state.get(_MAPS, {})


def stage_gates(explanation: Explanation) -> "list[StageGates]":
    """Gates of every attention stage; empty for a network without attention and for what is no network."""
    if explanation.run.kind != "network":
        return []

    def compute() -> "list[StageGates]":
        from core.explain.gates import image_gates
        from core.explain.gradcam import shared_network

        return image_gates(shared_network(explanation.run), explanation.crop.pixels)

    return _kept(_key("gates", explanation), compute)


def _kept(key: tuple[object, ...], compute: Callable[[], Any], waiting: str | None = None) -> Any:
    """What was computed for ``key`` in this session, else ``compute()``; of many the least recently seen are dropped.

    The first map takes longer, because PyTorch is loaded then: ``waiting`` is what is said instead.
    """
    maps = st.session_state.setdefault(_MAPS, LRUCache(KEPT))
    if key not in maps:
        loaded = "captum" in sys.modules
        first = "Drawing the maps" if loaded else "Loading the drawing tools, a few seconds the first time"
        with st.spinner(waiting or first):
            maps[key] = compute()
    return maps[key]


def _key(kind: str, explanation: Explanation, *more: int) -> tuple[object, ...]:
    return kind, explanation.predictor.key, _digest(explanation.crop.pixels), *more


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:16]
