"""Classify, the gallery: all cells as one wall, grouped by class with the ones to check first; a click shows one, and
the one that is shown stays in view.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from core.datasets import DatasetSpec
from core.formatting import percent
from core.images.framing import cut_box
from dashboard.classify import CHOSEN, ClassifyContext, choose_cell
from dashboard.page import is_dark
from dashboard.session import Result
from dashboard.style import class_colours, ground

TILE = 128


def crop_tile(result: Result) -> np.ndarray:
    """What the leading model looked at, in the upload's own resolution, uint8 (TILE, TILE, 3)."""
    image = Image.fromarray(np.ascontiguousarray(cut_box(result.cell.pixels, result.lead.crop.box)))
    kind = Image.Resampling.BOX if image.width >= TILE else Image.Resampling.NEAREST
    return np.asarray(image.resize((TILE, TILE), kind))


_COLUMNS = 16  # of the sheet


@dataclass(frozen=True)
class GalleryTile:
    """One cell in the gallery: its id, picture uint8 (TILE, TILE, 3), what it is in lines of text, a caption or ''."""

    id: str
    picture: np.ndarray
    text: str
    caption: str = ""


@dataclass(frozen=True)
class GalleryGroup:
    """Cells under one heading with one colour (hex)."""

    heading: str
    colour: str
    tiles: Sequence[GalleryTile]


def wall_data(groups: Sequence[GalleryGroup], chosen: str, label: str) -> dict[str, Any]:
    """What `assets/wall.js` draws: one picture of all tiles, because hundreds of separate ones are slow in a browser,
    and each cell's id and texts; the cell with the id ``chosen`` is marked.
    """
    tiles = [tile for group in groups for tile in group.tiles]
    columns = min(_COLUMNS, len(tiles))
    sheet = Image.new("RGB", (columns * TILE, -(-len(tiles) // columns) * TILE))
    for number, tile in enumerate(tiles):
        sheet.paste(Image.fromarray(tile.picture), (number % columns * TILE, number // columns * TILE))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88)
    return {
        "sheet": "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"),
        "columns": columns,
        "groups": [
            {
                "heading": group.heading,
                "colour": group.colour,
                "cells": [{"id": tile.id, "text": tile.text, "caption": tile.caption} for tile in group.tiles],
            }
            for group in groups
        ],
        "chosen": chosen,
        "label": label,
    }


_ASSETS = Path(__file__).resolve().parents[1] / "assets"
_wall = st.components.v2.component(
    "hemalens_wall",
    html='<div id="wall" role="group"></div>',
    css=(_ASSETS / "wall.css").read_text(encoding="utf-8"),
    js=(_ASSETS / "wall.js").read_text(encoding="utf-8"),
)


GALLERY = "classify_wall"


def render(context: ClassifyContext) -> None:
    """The cells in their groups; a click shows that cell in detail."""
    spec, dark = context.spec, is_dark()
    st.caption(f"Click a {spec.unit} to see it, or step through with the arrow keys.")
    colours = class_colours(spec.codes, dark)
    groups = []
    for number, (group, cells) in enumerate(context.groups):
        if isinstance(group, str):
            first = " first" if number == 0 else ""
            heading = f"{_HEADINGS[group].format(first=first, why=_why_to_check(cells), unit=spec.unit)}: {len(cells)}"
            colour = ground(dark)["quiet"]
        else:
            code = spec.codes[group]
            heading, colour = f"{code}  {spec.class_names[group]}: {len(cells)}", colours[code]
            if doubtful := sum(a.to_check for a in cells):
                every = "to check" if len(cells) == 1 else "all to check"
                heading += f", {every}" if doubtful == len(cells) else f", the first {doubtful} to check"
        tiles = [_gallery_tile(a, spec) for a in cells]
        groups.append(GalleryGroup(heading, colour, tiles))
    data = wall_data(groups, st.session_state[CHOSEN], f"All {spec.unit}s, grouped by class")
    _wall(key=GALLERY, data=data, on_picked_change=_clicked, width="stretch")


_HEADINGS = {
    "alarm": "Look at these{first}, may be abnormal",
    "check": "To check{first}, {why}",
    "not_a_cell": "Not a {unit}: in no count",
}


def _why_to_check(cells: Sequence[Result]) -> str:
    """What the ``cells`` of the group to check have: 'unsure', 'unsure or no white cell found'."""
    reasons = {
        "immature": any(a.lead.verdict.immature for a in cells),
        "odd": any(a.lead.verdict.is_odd for a in cells),
        "unsure": any(a.kind == "unsure" for a in cells),
        "models disagree": any(not a.agree for a in cells),
        "no white cell found": any(a.no_cell_found for a in cells),
    }
    return " or ".join(reason for reason, applies in reasons.items() if applies)


def _gallery_tile(result: Result, spec: DatasetSpec) -> GalleryTile:
    lead, name = result.lead, result.cell.name
    label, probability = lead.predicted, percent(lead.confidence)
    name = name if len(name) <= 40 else name[:37] + "..."
    if not lead.is_cell:
        return GalleryTile(result.cell.id, crop_tile(result), f"{name}\n{lead.verdict.check.sentence}", "")
    short_answer = f"{spec.codes[label]} {probability}"
    text = f"{name}\n{spec.class_names[label]}, {probability}" + ("" if result.kind == "sure" else ", unsure")
    if result.is_urgent:
        text += "\nmay be abnormal: look yourself"
    if lead.verdict.immature:
        text += "\nlooks immature: look yourself"
    if lead.verdict.is_odd:
        text += "\nodd among its like"
    if not result.agree:
        text += "\nthe models disagree"
    if result.no_cell_found:
        text += "\nno white cell found: look yourself"
    return GalleryTile(result.cell.id, crop_tile(result), text, short_answer if result.to_check else "")


def _clicked() -> None:
    if identity := st.session_state[GALLERY].picked:
        choose_cell(identity)
