"""Tiles of the Explain page: one model's answer for the cell, and the map that says where it comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.datasets import DatasetSpec
from core.errors import HemaLensError
from core.runs import Run
from core.serving.predict import sure_threshold
from core.serving.wording import percent, sentence_case
from dashboard import looks
from dashboard.looks import Look
from dashboard.widgets.explain import RESEARCH, Drawing, drawn_over, keep_button, whole
from dashboard.widgets.looked_at import SIDE, Cell
from dashboard.widgets.pictures import enlarge

MOST_MODELS = 3
_ASKED = "_explain_covered"  # combinations whose members are many: covered when asked


@dataclass(frozen=True)
class _Tile:
    """What a map is drawn into: the ``box`` of all, the ``place`` of the picture, the ``line`` under it."""

    look: Look
    cell: Cell
    spec: DatasetSpec
    box: DeltaGenerator
    place: DeltaGenerator
    line: DeltaGenerator

    @property
    def code(self) -> str:
        return self.spec.codes[self.look.target]

    @property
    def name(self) -> str:
        return self.spec.class_names[self.look.target]

    @property
    def given(self) -> str:
        """The probability that the model gives the class asked about."""
        return whole(percent(self.look.probabilities[self.look.target]))

    @property
    def asked(self) -> str:
        return f"{self.code}, {self.name} ({self.given})"

    def show(self, picture: np.ndarray, kind: str, method: str) -> None:
        """Put the finished map into its place, and a button that keeps it, labelled, below."""
        of = {"grad-cam": "Grad-CAM", "covering": "Covering"}[kind]
        self.place.image(picture, width="stretch", alt=f"{of} of {self.look.title} for {self.name}")
        lines = [
            f"{self.look.title}: {self.code}, {self.given}",
            method,
            f"{sentence_case(self.cell.unit)} {self.cell.name}, {self.cell.source}, {self.look.run.size} px",
            RESEARCH,
        ]
        with self.box:
            keep_button("Download map (PNG)", picture, lines, kind, self.look, self.cell, self.code)


def map_tile(look: Look, cell: Cell, drawing: Drawing, spec: DatasetSpec) -> Callable[[], None]:
    """A tile for the map of one model: the cell and the model's answer at once.

    Returns what draws the map into the tile, to be called when all tiles stand.
    """
    box = st.container(gap="small")
    covering = drawing.covering or not looks.sees_places(look)
    with box:
        place = st.empty()
        if not (looks.has_occlusion_map(look) if covering else looks.has_grad_cam(look, drawing.earlier)):
            place.image(enlarge(look.framed.pixels, SIDE), width="stretch", alt=cell.name)
        top = float(look.probabilities[look.answer])
        verdict = "sure" if top >= sure_threshold(look.run) else "unsure"
        st.markdown(f"**{look.title}**: {spec.codes[look.answer]}, {whole(percent(top))}, {verdict}")
        tile = _Tile(look, cell, spec, box, place, line=st.empty())

    def draw() -> None:
        try:
            _draw_covering(tile, drawing) if covering else _draw_grad_cam(tile, drawing)
        except HemaLensError as error:
            tile.line.warning(str(error), icon=":material/warning:")

    return draw


def _draw_grad_cam(tile: _Tile, drawing: Drawing) -> None:
    with tile.line:
        cam, stage = looks.grad_cam(tile.look, drawing.earlier)
    size = whole(f"{stage.height} x {stage.width}")
    what = f"Grad-CAM for {tile.asked}"
    if cam.silent:
        tile.line.caption(f"{what}: nothing in this {size} map speaks for it, so the map is empty.")
    elif stage.width == 1:
        tile.line.caption(
            f"{what} · {size} map, enlarged: a band for each step of reading. What the model holds at one step also "
            "comes from the steps before and after it."
        )
    else:
        tile.line.caption(f"{what} · {size} map, enlarged{'' if stage.last else ' · an earlier, finer stage'}")
    picture = drawn_over(tile.look.framed.pixels, cam.values, drawing)
    silent = " (nothing speaks for it)" if cam.silent else ", enlarged"
    tile.show(picture, "grad-cam", f"Grad-CAM for {tile.name}, {size} map{silent}")


def _draw_covering(tile: _Tile, drawing: Drawing) -> None:
    look = tile.look
    combined = look.run.kind == "combination"
    if not combined or looks.has_occlusion_map(look) or _wanted(tile):
        with tile.line:
            found = looks.occlusion_map(look)
        size = whole(f"{found.values.shape[0]} x {found.values.shape[1]}")
        told = (
            "no place alone lowers it, so the map is empty"
            if found.silent
            else f"{whole(percent(found.least))} without the place that counts most"
        )
        reason = "" if drawing.covering else f" {_reason(look.run)}"
        tile.line.caption(f"Covering, for {tile.asked} · {size} map, enlarged · {told}.{reason}")
        picture = drawn_over(look.framed.pixels, found.values, drawing)
        tile.show(picture, "covering", f"Covering, for {tile.name}, {size} map, enlarged; {told}")
    if combined:
        with tile.box:
            _members_button(look)


def _wanted(tile: _Tile) -> bool:
    """Whether a combination's map was asked for; offers it where it was not, because it takes a while."""
    wanted: set[str] = st.session_state.setdefault(_ASKED, set())
    run = tile.look.run
    if run.name in wanted:
        return True
    with tile.line.container(gap="small"):
        st.caption(_reason(run))
        st.button(
            "Cover it place by place",
            key=f"cover-{run.name}",
            icon=":material/grid_on:",
            on_click=wanted.add,
            args=(run.name,),
            help="Asks all its models about a hundred pictures made from this one, which takes some seconds.",
        )
    return False


def _members_button(look: Look) -> None:
    """A way to the maps of a combination's members."""
    members = list({member.name: member for member in look.run.members}.values())
    best = sorted(members, key=lambda run: -run.metrics["val"]["accuracy"])[:MOST_MODELS]
    label = "Look at its model" if len(members) == 1 else "Look at its models"
    st.button(
        label if len(members) == len(best) else f"Look at its best {len(best)} models",
        key=f"members-{look.run.name}",
        icon=":material/groups:",
        on_click=_show_models,
        args=([run.name for run in best],),
        help="; ".join(run.title for run in members),
    )


def _show_models(names: Sequence[str]) -> None:
    st.session_state["models"] = list(names)


def _reason(run: Run) -> str:
    """Why Grad-CAM has nothing to read in a model."""
    if run.kind == "classical":
        return "It decides by features of the whole picture, so there is no map inside it."
    if run.kind == "combination":
        members = len({member.name for member in run.members})
        many = "one model's answers" if members == 1 else f"the answers of {members} models"
        views = f" to {run.views} views" if run.views > 1 else ""
        return f"It averages {many}{views} and has no map of its own."
    return "It reads all pixels at once, so there is no map inside it."
