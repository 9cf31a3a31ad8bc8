"""Explain, the maps: one model's answer for the cell a tile, the map that says where it comes from, how maps are drawn
and kept.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from PIL import Image, ImageColor, ImageDraw, ImageFont
from streamlit.delta_generator import DeltaGenerator

from core.errors import HemaLensError
from core.explain.overlay import overlay
from core.formatting import capitalized, percent
from core.inference.serialise import remarks
from core.runs import Run
from dashboard import explain
from dashboard.explain import MOST_MODELS, Drawing, ExplainContext, Explanation
from dashboard.explain.selected_cell import SIDE, SelectedCell, cell_buttons, cell_tile
from dashboard.page import is_dark, view
from dashboard.pictures import as_png, enlarge
from dashboard.style import ground


def colour_strip(
    name: str, opacity: float, fade: bool, *, dark: bool = False, width: int = 240, height: int = 10
) -> np.ndarray:
    """The colour scale from nothing to most, uint8 (height, width, 3), laid on the page's ground as on a cell."""
    paper = np.empty((height, width, 3), np.uint8)
    paper[:] = ImageColor.getrgb(ground(dark)["background"])
    return overlay(paper, np.linspace(0, 1, width)[None], colour_map=name, opacity=opacity, fade=fade)


def labelled(picture: np.ndarray, lines: Sequence[str], side: int = 640) -> np.ndarray:
    """``picture`` uint8 (H, W, 3) at ``side`` pixels of width above ``lines`` of text: uint8 (H', side, 3).

    The text travels with the picture when it is copied into slides. The first line is set larger.
    """
    height = max(1, round(side * picture.shape[0] / picture.shape[1]))
    fonts = {size: ImageFont.load_default(size) for size in (22, 16)}
    texts = [
        (part, size)
        for line, size in zip(lines, (22, *[16] * (len(lines) - 1)), strict=True)
        for part in _wrapped(line, fonts[size], side - 24)
    ]
    canvas = Image.new("RGB", (side, height + sum(round(size * 1.45) for _, size in texts) + 24), "#ffffff")
    canvas.paste(Image.fromarray(picture).resize((side, height), Image.Resampling.BICUBIC))
    draw, top = ImageDraw.Draw(canvas), height + 12
    for number, (text, size) in enumerate(texts):
        draw.text((12, top), text, fill="#231d36" if number == 0 else "#5a5568", font=fonts[size])
        top += round(size * 1.45)
    return np.asarray(canvas)


def _wrapped(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """``line`` broken between words so that no part is wider than ``width`` pixels."""
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if font.getlength(longer) <= width or not parts[-1]:
            parts[-1] = longer
        else:
            parts.append(word)
    return parts


@view("Maps", order=10)
def render(context: ExplainContext) -> None:
    """The cell, and beside it each model's answer and the map that says where it comes from."""
    cell, spec, explanations = context.cell, context.spec, context.explanations
    tiles = st.grid(columns=4, min_column_width=230, gap="medium")
    with tiles, st.container(gap="small"):
        cell_tile(cell, cell.frame(context.size, spec), spec)
        cell_buttons(cell, spec, context.size)
    with tiles:
        draw_maps = [map_tile(explanation, context) for explanation in explanations]
    legend(context.drawing, explanations)
    for draw in draw_maps:  # the page stands; what needs PyTorch comes now
        draw()


def legend(drawing: Drawing, shown: Sequence[Explanation]) -> None:
    """The colour scale, and what the maps of ``shown`` can't tell."""
    occluded = [drawing.occlusion or not explain.has_spatial_map(explanation) for explanation in shown]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("matters nothing" if all(occluded) else "does not speak for the class", width="content")
        strip = colour_strip(drawing.colours, drawing.opacity, drawing.fade, dark=is_dark())
        st.image(strip, width=240, alt="Colour scale from nothing to most")
        st.caption("matters most" if all(occluded) else "speaks for it most", width="content")
    parts = []
    if not all(occluded):
        parts.append("Grad-CAM shows where this model found what raised the score of the class asked about.")
    if any(occluded):
        parts.append(
            "Covering shows without which place the class becomes less likely, one place at a time: what two places "
            "tell alike may show in neither."
        )
    parts.append(
        "Each map is scaled to its own maximum: compare places within a map, not brightness between maps. "
        "It can't tell whether the answer is right, what the model saw there, or why; light on the background or the "
        "rim is a reason to doubt the answer."
    )
    st.caption(" ".join(parts))


def overlaid(image: np.ndarray, values: np.ndarray, drawing: Drawing) -> np.ndarray:
    """The map ``values`` (h, w), 0 to 1, over the framed cell, enlarged: uint8 of at least `SIDE` pixels a side."""
    large = enlarge(image, SIDE)
    return overlay(
        large, values, colour_map=drawing.colours, opacity=drawing.opacity, interpolation=drawing.how, fade=drawing.fade
    )


def keep_button(
    label: str,
    picture: np.ndarray,
    lines: list[str],
    kind: str,
    explanation: Explanation,
    cell: SelectedCell,
    part: str,
) -> None:
    """A quiet button that makes the PNG, labelled with ``lines`` and its cell, when it is clicked, not before."""
    lines = [
        *lines,
        f"{capitalized(cell.unit)} {cell.name}, {cell.source}, {explanation.run.size} px",
        "HemaLens, for research and teaching, not a medical device",
    ]
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{kind} {explanation.run.name} {part} {cell.name}").strip("-")
    st.download_button(
        label,
        lambda: as_png(labelled(picture, lines)),
        f"{name}.png",
        "image/png",
        key=f"keep-{kind}-{explanation.run.name}-{part}",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )


def unbroken(text: str) -> str:
    """``text`` with spaces at which no line breaks, so that '8 x 8' and '97 %' stay together."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


_ASKED = "_explain_covered"  # combinations whose members are many: covered when asked


@dataclass(frozen=True)
class _MapTile:
    """What a map is drawn into: the ``box`` of all, the ``place`` of the picture, the ``line`` under it."""

    explanation: Explanation
    context: ExplainContext
    box: DeltaGenerator
    place: DeltaGenerator
    line: DeltaGenerator

    @property
    def code(self) -> str:
        return self.context.spec.codes[self.explanation.target]

    @property
    def name(self) -> str:
        return self.context.spec.class_names[self.explanation.target]

    @property
    def given(self) -> str:
        """The probability that the model gives the class asked about."""
        return unbroken(percent(self.explanation.prediction.probabilities[self.explanation.target]))

    @property
    def asked(self) -> str:
        return f"{self.code}, {self.name} ({self.given})"

    def show(self, picture: np.ndarray, kind: str, method: str) -> None:
        """Put the finished map into its place, and a button that keeps it, labelled, below."""
        of = {"grad-cam": "Grad-CAM", "covering": "Covering"}[kind]
        who = self.explanation.full_title
        self.place.image(picture, width="stretch", alt=f"{of} of {who} for {self.name}")
        none = "" if self.explanation.prediction.is_cell else f"not a {self.context.spec.unit}, asked about "
        lines = [f"{who}: {none}{self.code}, {self.given}", method]
        with self.box:
            keep_button("Download map (PNG)", picture, lines, kind, self.explanation, self.context.cell, self.code)


def map_tile(explanation: Explanation, context: ExplainContext) -> Callable[[], None]:
    """A tile for the map of one model: the cell and the model's answer at once.

    Returns what draws the map into the tile, to be called when all tiles stand.
    """
    drawing, prediction = context.drawing, explanation.prediction
    box = st.container(gap="small")
    occlusion = drawing.occlusion or not explain.has_spatial_map(explanation)
    with box:
        place = st.empty()
        if not (
            explain.has_occlusion_map(explanation) if occlusion else explain.has_grad_cam(explanation, drawing.earlier)
        ):
            place.image(enlarge(explanation.crop.pixels, SIDE), width="stretch", alt=context.cell.name)
        st.markdown(
            f"**{explanation.full_title}**: {_answer(explanation, context)}",
            help=". ".join(remarks(prediction, context.spec)) or None,
        )
        tile = _MapTile(explanation, context, box, place, line=st.empty())

    def draw() -> None:
        try:
            _draw_occlusion(tile, drawing) if occlusion else _draw_grad_cam(tile, drawing)
        except HemaLensError as error:
            tile.line.warning(str(error), icon=":material/warning:")

    return draw


def _answer(explanation: Explanation, context: ExplainContext) -> str:
    """'BA, 97 %, sure', with what must be looked at; what a picture shows that is no cell."""
    prediction = explanation.prediction
    verdict = prediction.verdict
    if not verdict.is_cell:
        return f"not a {context.spec.unit}. {verdict.check.sentence}"
    code, given = context.spec.codes[prediction.predicted], unbroken(percent(prediction.confidence))
    return f"{code}, {given}, {verdict.word}{', may be abnormal' if verdict.alarm.raised else ''}"


def _draw_grad_cam(tile: _MapTile, drawing: Drawing) -> None:
    with tile.line:
        cam, stage = explain.grad_cam(tile.explanation, drawing.earlier)
    size = unbroken(f"{stage.height} x {stage.width}")
    what = f"Grad-CAM for {tile.asked}"
    beneath = ", of the model beneath what was taught" if tile.explanation.predictor.name else ""
    if cam.is_empty:
        tile.line.caption(f"{what}: nothing in this {size} map speaks for it, so the map is empty.")
    elif stage.width == 1:
        tile.line.caption(
            f"{what} · {size} map, enlarged: a band for each step of reading. What the model holds at one step also "
            "comes from the steps before and after it."
        )
    else:
        stage_note = "" if stage.last else " · an earlier, finer stage"
        tile.line.caption(f"{what} · {size} map, enlarged{stage_note}{beneath}")
    picture = overlaid(tile.explanation.crop.pixels, cam.values, drawing)
    silent = " (nothing speaks for it)" if cam.is_empty else ", enlarged"
    tile.show(picture, "grad-cam", f"Grad-CAM for {tile.name}, {size} map{silent}{beneath}")


def _draw_occlusion(tile: _MapTile, drawing: Drawing) -> None:
    explanation = tile.explanation
    combined = explanation.run.kind == "combination"
    if not combined or explain.has_occlusion_map(explanation) or _is_asked(tile):
        with tile.line:
            occlusion = explain.occlusion_map(explanation)
        size = unbroken(f"{occlusion.values.shape[0]} x {occlusion.values.shape[1]}")
        effect = (
            "no place alone lowers it, so the map is empty"
            if occlusion.is_empty
            else f"{unbroken(percent(occlusion.minimum))} without the place that counts most"
        )
        reason = "" if drawing.occlusion else f" {_why_no_map(explanation.run)}"
        tile.line.caption(f"Covering, for {tile.asked} · {size} map, enlarged · {effect}.{reason}")
        picture = overlaid(explanation.crop.pixels, occlusion.values, drawing)
        tile.show(picture, "covering", f"Covering, for {tile.name}, {size} map, enlarged; {effect}")
    if combined and not explanation.predictor.name:  # what was taught stands on all of them
        with tile.box:
            _members_button(explanation)


def _is_asked(tile: _MapTile) -> bool:
    """Whether a combination's map was asked for; offers it where it was not, because it takes a while."""
    asked: set[str] = st.session_state.setdefault(_ASKED, set())
    run = tile.explanation.run
    if run.name in asked:
        return True
    with tile.line.container(gap="small"):
        st.caption(_why_no_map(run))
        st.button(
            "Cover it place by place",
            key=f"cover-{run.name}",
            icon=":material/grid_on:",
            on_click=asked.add,
            args=(run.name,),
            help="Asks all its models about a hundred pictures made from this one, which takes some seconds.",
        )
    return False


def _members_button(explanation: Explanation) -> None:
    """A way to the maps of a combination's members."""
    members = list({member.name: member for member in explanation.run.members}.values())
    best = sorted(members, key=lambda run: -run.metrics["val"]["accuracy"])[:MOST_MODELS]
    label = "Look at its model" if len(members) == 1 else "Look at its models"
    st.button(
        label if len(members) == len(best) else f"Look at its best {len(best)} models",
        key=f"members-{explanation.run.name}",
        icon=":material/groups:",
        on_click=st.session_state.update,
        kwargs={"models": [run.name for run in best]},
        help="; ".join(run.title for run in members),
    )


def _why_no_map(run: Run) -> str:
    """Why Grad-CAM has nothing to read in a model."""
    if run.kind == "classical":
        return "It decides by features of the whole picture, so there is no map inside it."
    if run.kind == "combination":
        members = len({member.name for member in run.members})
        many = "one model's answers" if members == 1 else f"the answers of {members} models"
        views = f" to {run.tta_views} views" if run.tta_views > 1 else ""
        return f"It averages {many}{views} and has no map of its own."
    return "It reads all pixels at once, so there is no map inside it."
