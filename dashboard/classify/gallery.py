"""Classify, the gallery: all cells as one composed picture, grouped by class with the ones to check first; a click
shows one.
"""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from PIL import Image, ImageColor

from core.datasets import DatasetSpec
from core.formatting import percent
from core.images.framing import cut_box
from dashboard.classify import CHOSEN, ClassifyContext, choose_cell
from dashboard.page import is_dark
from dashboard.session import Result
from dashboard.style import FONT, PRIMARY, class_colours, ground

TILE = 128


def crop_tile(result: Result) -> np.ndarray:
    """What the leading model looked at, in the upload's own resolution, uint8 (TILE, TILE, 3)."""
    image = Image.fromarray(np.ascontiguousarray(cut_box(result.cell.pixels, result.lead.crop.box)))
    kind = Image.Resampling.BOX if image.width >= TILE else Image.Resampling.NEAREST
    return np.asarray(image.resize((TILE, TILE), kind))


COLUMNS = 6
CELL = 96
GAP = 6
HEADING = 34
_CAPTION = 20


@dataclass(frozen=True)
class GalleryTile:
    """One cell in the gallery: its id, picture uint8 (T, T, 3), what a pointer over it reads, a line below or ''."""

    id: str
    picture: np.ndarray
    hover: str
    caption: str = ""


@dataclass(frozen=True)
class GalleryGroup:
    """Cells under one heading with one colour (hex)."""

    heading: str
    colour: str
    tiles: Sequence[GalleryTile]


def gallery_figure(
    groups: Sequence[GalleryGroup], selected: str | None, dark: bool = False, columns: int = COLUMNS
) -> go.Figure:
    """All cells as one composed picture with a place to click over each; ``customdata`` holds the cell's id.

    One picture, because hundreds of separate ones are slow in a browser. The figure has a fixed size
    in CSS pixels (``layout.width`` and ``layout.height``).
    """
    colours = ground(dark)
    width = columns * (CELL + GAP) - GAP
    places, headings, height = _places(groups, columns)
    tiles = [(t, g.colour) for g in groups for t in g.tiles]
    # Collected first and set at once: adding shapes one by one takes seconds for hundreds of cells.
    shapes, words = [], []
    for (tile, colour), (left, top) in zip(tiles, places, strict=True):
        chosen = tile.id == selected
        line = {"color": PRIMARY[dark] if chosen else colour, "width": 5 if chosen else 2}
        shapes.append({"type": "rect", "x0": left, "y0": top, "x1": left + CELL, "y1": top + CELL, "line": line})
        if tile.caption:
            words.append(_text(left, top + CELL, tile.caption, 13, colours["text"], "top"))
    for group, top in zip(groups, headings, strict=True):
        words.append(_text(0, top + HEADING / 2, f"<b>{group.heading}</b>", 15, colours["text"], "middle"))
    source = _sheet([t for t, _ in tiles], places, width, height, colours["background"])
    picture = {"source": source, "xref": "x", "yref": "y", "x": 0, "y": 0, "sizex": width, "sizey": height}
    picture |= {"sizing": "stretch", "layer": "below"}
    figure, see_through = go.Figure(), {"marker": {"opacity": 0}}
    figure.add_scatter(
        x=[left + CELL / 2 for left, _ in places],
        y=[top + CELL / 2 for _, top in places],
        mode="markers",
        marker={"symbol": "square", "size": CELL, "opacity": 0},
        customdata=[tile.id for tile, _ in tiles],
        text=[tile.hover for tile, _ in tiles],
        hovertemplate="%{text}<extra></extra>",
        selected=see_through,
        unselected=see_through,
    )
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        images=[picture],
        shapes=shapes,
        annotations=words,
        width=width,
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        dragmode=False,
        hovermode="closest",
        font={"family": FONT},
        xaxis={"range": [0, width], **hidden},
        yaxis={"range": [height, 0], **hidden},
        hoverlabel={
            "bgcolor": colours["panel"],
            "bordercolor": colours["line"],
            "font": {"color": colours["text"], "family": FONT},
        },
    )
    return figure


def _text(x: float, y: float, text: str, size: int, colour: str, anchor: str) -> dict:
    """A Plotly annotation without an arrow that begins at ``x``."""
    font = {"size": size, "color": colour}
    return {"x": x, "y": y, "text": text, "showarrow": False, "xanchor": "left", "yanchor": anchor, "font": font}


def _places(groups: Sequence[GalleryGroup], columns: int) -> tuple[list[tuple[int, int]], list[int], int]:
    """Left and top of every tile, top of every heading, and the height of it all."""
    places, headings, top = [], [], 0
    for group in groups:
        headings.append(top)
        top += HEADING
        step = CELL + GAP + (_CAPTION if any(t.caption for t in group.tiles) else 0)
        for number in range(len(group.tiles)):
            places.append((number % columns * (CELL + GAP), top + number // columns * step))
        top += -(-len(group.tiles) // columns) * step
    return places, headings, max(top, HEADING)


def _sheet(
    tiles: Sequence[GalleryTile], places: Sequence[tuple[int, int]], width: int, height: int, background: str
) -> str:
    """The tiles on one canvas as a JPEG ``data:`` URL, a third finer than it is shown, for sharp screens."""
    side = max((t.picture.shape[0] for t in tiles), default=CELL)
    scale = side / CELL
    canvas = Image.new("RGB", (round(width * scale), round(height * scale)), ImageColor.getrgb(background))
    for tile, (left, top) in zip(tiles, places, strict=True):
        canvas.paste(Image.fromarray(np.asarray(tile.picture)), (round(left * scale), round(top * scale)))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


GALLERY = "classify_wall"


def render(context: ClassifyContext) -> None:
    """The cells in their groups; a click shows that cell in detail."""
    spec, dark = context.spec, is_dark()
    st.caption(f"Click a {spec.unit} to see it, or step through with the arrow keys.")
    colours = class_colours(spec.codes, dark)
    figure_groups = []
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
        figure_groups.append(GalleryGroup(heading, colour, tiles))
    figure = gallery_figure(figure_groups, st.session_state[CHOSEN], dark)
    with st.container(height=min(620, int(figure.layout.height) + 34), border=False):
        st.plotly_chart(
            figure,
            theme=None,
            key=GALLERY,
            width="content",
            on_select=_clicked,
            selection_mode="points",
            config={"displayModeBar": False, "scrollZoom": False},
            alt=f"Wall of the {spec.unit}s, grouped by class",
        )


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
    name = html.escape(name if len(name) <= 40 else name[:37] + "...", quote=False)
    if not lead.is_cell:
        return GalleryTile(result.cell.id, crop_tile(result), f"{name}<br>{lead.verdict.check.sentence}", "")
    short_answer = f"{spec.codes[label]} {probability}"
    hover = f"{name}<br>{spec.class_names[label]}, {probability}" + ("" if result.kind == "sure" else ", unsure")
    if result.is_urgent:
        hover += "<br>may be abnormal: look yourself"
    if lead.verdict.immature:
        hover += "<br>looks immature: look yourself"
    if lead.verdict.is_odd:
        hover += "<br>odd among its like"
    if not result.agree:
        hover += "<br>the models disagree"
    if result.no_cell_found:
        hover += "<br>no white cell found: look yourself"
    return GalleryTile(result.cell.id, crop_tile(result), hover, short_answer if result.to_check else "")


def _clicked() -> None:
    points = st.session_state[GALLERY].selection.points
    if points:
        cell_id = points[0].get("customdata")
        choose_cell(cell_id[0] if isinstance(cell_id, list) else cell_id)
