"""Pictures and charts of answers: the wall of cells, one cell's probabilities, the upload with its frame."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageColor, ImageDraw

from core.serving.wording import percent
from dashboard.figures.style import FONT, PRIMARY, finish, ground

COLUMNS = 6
CELL = 96
GAP = 6
HEADING = 34
_CAPTION = 20
SHOWN = 4


@dataclass(frozen=True)
class Tile:
    """One cell on the wall: its id, picture uint8 (T, T, 3), what a pointer over it reads, a line below or ''."""

    id: str
    picture: np.ndarray
    hover: str
    caption: str = ""


@dataclass(frozen=True)
class Group:
    """Cells under one heading with one colour (hex)."""

    heading: str
    colour: str
    tiles: Sequence[Tile]


def wall(groups: Sequence[Group], selected: str | None, dark: bool = False, columns: int = COLUMNS) -> go.Figure:
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
    picture = {
        "source": _sheet([t for t, _ in tiles], places, width, height, colours["background"]),
        "xref": "x",
        "yref": "y",
        "x": 0,
        "y": 0,
        "sizex": width,
        "sizey": height,
        "sizing": "stretch",
        "layer": "below",
    }
    figure = go.Figure()
    see_through = {"marker": {"opacity": 0}}
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


def _places(groups: Sequence[Group], columns: int) -> tuple[list[tuple[int, int]], list[int], int]:
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


def _sheet(tiles: Sequence[Tile], places: Sequence[tuple[int, int]], width: int, height: int, background: str) -> str:
    """The tiles on one canvas as a JPEG ``data:`` URL, a third finer than it is shown, for sharp screens."""
    side = max((t.picture.shape[0] for t in tiles), default=CELL)
    scale = side / CELL
    canvas = Image.new("RGB", (round(width * scale), round(height * scale)), ImageColor.getrgb(background))
    for tile, (left, top) in zip(tiles, places, strict=True):
        canvas.paste(Image.fromarray(np.asarray(tile.picture)), (round(left * scale), round(top * scale)))
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def probability_bars(
    probabilities: np.ndarray,
    codes: Sequence[str],
    names: Sequence[str],
    colours: dict[str, str],
    *,
    title: str,
    dark: bool = False,
    shown: int = SHOWN,
) -> go.Figure:
    """The likeliest ``shown`` classes of one cell as bars in their colours, probabilities (C,) written beside them."""
    order = np.argsort(-probabilities, kind="stable")[:shown]
    labels = [f"{codes[i]}  {names[i]}" for i in order]
    figure = go.Figure(
        go.Bar(
            x=[float(probabilities[i]) for i in order],
            y=labels,
            orientation="h",
            marker={"color": [colours[codes[i]] for i in order], "line": {"width": 0}},
            text=[percent(float(probabilities[i])) for i in order],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": 14},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    finish(figure, title=title, height=52 + 28 * len(order), dark=dark)
    figure.update_layout(bargap=0.3, margin={"l": 8, "r": 56, "t": 40, "b": 4}, showlegend=False, dragmode=False)
    figure.update_xaxes(visible=False, range=[0, 1], fixedrange=True)
    figure.update_yaxes(autorange="reversed", ticks="", showgrid=False, showline=False, fixedrange=True)
    figure.update_yaxes(tickfont={"size": 14, "color": ground(dark)["text"]}, ticklabelstandoff=6)
    return figure


def framed_upload(pixels: np.ndarray, box: tuple[int, int, int, int], side: int, colour: str) -> np.ndarray:
    """The upload uint8 (h, w, 3), fitted into ``side`` px, the frame ``box`` drawn, what lies outside it paler.

    A frame that reaches over the picture's border is drawn along it.
    """
    height, width = pixels.shape[:2]
    scale = side / max(width, height)
    kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), kind)
    left, top, right, bottom = (round(v * scale) for v in box)
    shown = np.array(image)
    left, top, right, bottom = max(0, left), max(0, top), min(shown.shape[1], right), min(shown.shape[0], bottom)
    inside = shown[top:bottom, left:right].copy()
    shown = (shown * 0.55 + 255 * 0.45).astype(np.uint8)
    shown[top:bottom, left:right] = inside
    image = Image.fromarray(shown)
    line = max(2, side // 120)
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), outline=colour, width=line)
    return np.asarray(image)
