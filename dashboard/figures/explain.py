"""Figures of the Explain page: channel gates against what is usual for a class, and labelled pictures to keep."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageColor, ImageDraw, ImageFont
from plotly.subplots import make_subplots

from core.explain.overlay import overlay
from dashboard.figures.style import diverging, finish, ground

ROW_HEIGHT = 104
NAMED = 3


def unusual(channel: np.ndarray, mean: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` channels whose gate differs most from ``mean``, both (C,), most different first."""
    return np.argsort(-np.abs(channel - mean), kind="stable")[:count]


def nearest_classes(channels: Mapping[str, np.ndarray], means: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mean absolute difference between a cell's gates and each class's means over all stages, (classes,).

    ``channels`` holds (C,) and ``means`` (classes, C) by stage; stages count alike. NaN for a class without means.
    """
    return np.mean([np.abs(means[stage] - gates).mean(1) for stage, gates in channels.items()], axis=0)


def gates_figure(
    channels: Mapping[str, np.ndarray],
    means: Mapping[str, np.ndarray],
    target: int,
    name: str,
    *,
    limits: tuple[float, float] = (0, 1),
    dark: bool = False,
) -> go.Figure:
    """Channel gates of one cell, a row a stage, beside the mean gates over cells of class ``target``.

    ``channels`` (C,) and ``means`` (classes, C) by stage; ``means`` may be empty: then the gates stand alone,
    sorted by size. Channels run from the most to the least open for the class; a stem leads from the class's
    mean to this cell's gate, and the `NAMED` channels that differ most are named. ``limits`` of the y axes.
    """
    colours, scale = ground(dark), diverging(dark)
    below, above = scale[0 if not dark else 1], scale[-1 if not dark else -2]
    fig = make_subplots(rows=max(1, len(channels)), cols=1, vertical_spacing=0.045)
    largest = ("", 0.0)
    for row, (stage, gates) in enumerate(channels.items(), 1):
        usual = means[stage][target] if stage in means and np.isfinite(means[stage][target]).all() else None
        order = np.argsort(-(gates if usual is None else usual), kind="stable")
        x, y = np.arange(len(gates)), gates[order]
        if usual is None:
            fig.add_bar(
                x=x, y=y, marker_color=above, name="this picture", showlegend=row == 1, row=row, col=1,
                customdata=order + 1, hovertemplate="channel %{customdata}: %{y:.2f}<extra></extra>",
            )  # fmt: skip
        else:
            base = usual[order]
            shift = float(np.abs(gates - usual).mean())
            largest = max(largest, (stage, shift), key=lambda pair: pair[1])
            _stems(fig, row, x, base, y, y >= base, above, "opens wider than usual", order)
            _stems(fig, row, x, base, y, y < base, below, "opens less than usual", order)
            fig.add_scatter(
                x=x, y=base, mode="lines", line={"color": colours["text"], "width": 1.5, "shape": "hvh"},
                name=f"usual for {name}", showlegend=row == 1, hoverinfo="skip", row=row, col=1,
            )  # fmt: skip
            for channel, place in _apart(unusual(gates, usual, NAMED), order):
                up = gates[channel] >= usual[channel]
                fig.add_annotation(
                    x=place, y=gates[channel], text=str(channel + 1), showarrow=False, yshift=8 if up else -8,
                    font={"size": 11, "color": colours["text"]}, row=row, col=1,
                )  # fmt: skip
        fig.update_xaxes(
            showticklabels=False, showgrid=False, zeroline=False, ticks="", range=[-1, len(gates)], row=row, col=1
        )
        fig.update_yaxes(
            range=list(limits), nticks=4, title_text=f"{stage}<br>{len(gates)} channels", row=row, col=1
        )  # fmt: skip
    title = f"{largest[0].capitalize()} departs most from what is usual for {name}" if largest[0] else "Channel gates"
    finish(fig, title=title, height=116 + ROW_HEIGHT * max(1, len(channels)), dark=dark)
    fig.update_xaxes(title_text="channels, the widest open first", row=max(1, len(channels)), col=1)
    fig.update_yaxes(title_font_size=12, tickfont_size=11)
    fig.update_layout(
        margin_t=104,  # room for a legend of two lines: three models stand in a row
        legend={"xanchor": "left", "x": 0, "y": 1.01, "font": {"size": 12}},
        bargap=0.25,
        title_font_size=15,
    )
    return fig


def _apart(channels: np.ndarray, order: np.ndarray) -> list[tuple[int, int]]:
    """``channels`` with their places in ``order``, without those whose name would lie on an earlier one's."""
    kept: list[tuple[int, int]] = []
    for channel in channels:
        place = int(np.flatnonzero(order == channel)[0])
        if all(abs(place - other) > len(order) / 24 for _, other in kept):
            kept.append((int(channel), place))
    return kept


def _stems(
    fig: go.Figure,
    row: int,
    x: np.ndarray,
    base: np.ndarray,
    tip: np.ndarray,
    which: np.ndarray,
    shade: str,
    name: str,
    order: np.ndarray,
) -> None:
    """Bars from ``base`` to ``tip`` for the channels ``which``, each as wide as its place, so that none vanishes."""
    fig.add_bar(
        x=x[which],
        y=(tip - base)[which],
        base=base[which],
        marker={"color": shade, "line": {"width": 0}},
        name=name,
        legendgroup=name,
        showlegend=row == 1,
        customdata=np.stack([order[which] + 1, tip[which], base[which]], 1),
        hovertemplate="channel %{customdata[0]:.0f}: %{customdata[1]:.2f}, usual %{customdata[2]:.2f}<extra></extra>",
        row=row,
        col=1,
    )


def colour_strip(
    name: str, opacity: float, fade: bool, *, dark: bool = False, width: int = 240, height: int = 10
) -> np.ndarray:
    """The colour scale from nothing to most, uint8 (height, width, 3), laid on the page's ground as on a cell."""
    paper = np.empty((height, width, 3), np.uint8)
    paper[:] = ImageColor.getrgb(ground(dark)["background"])
    return overlay(paper, np.linspace(0, 1, width)[None], name=name, opacity=opacity, fade=fade)


def labelled(picture: np.ndarray, lines: Sequence[str], side: int = 640) -> np.ndarray:
    """``picture`` uint8 (H, W, 3) at ``side`` pixels of width above ``lines`` of text: uint8 (H', side, 3).

    The text travels with the picture when it is copied into slides. The first line is set larger.
    """
    height = max(1, round(side * picture.shape[0] / picture.shape[1]))
    fonts = [ImageFont.load_default(size) for size in (22, *[16] * (len(lines) - 1))]
    texts = [part for line, font in zip(lines, fonts, strict=True) for part in _wrapped(line, font, side - 24)]
    spans = [round(font.size * 1.45) for _, font in texts]
    canvas = Image.new("RGB", (side, height + sum(spans) + 24), "#ffffff")
    canvas.paste(Image.fromarray(picture).resize((side, height), Image.Resampling.BICUBIC))
    draw, top = ImageDraw.Draw(canvas), height + 12
    for number, ((text, font), span) in enumerate(zip(texts, spans, strict=True)):
        draw.text((12, top), text, fill="#231d36" if number == 0 else "#5a5568", font=font)
        top += span
    return np.asarray(canvas)


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """``line`` broken between words so that no part is wider than ``width`` pixels."""
    parts = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if font.getlength(longer) <= width or not parts[-1]:
            parts[-1] = longer
        else:
            parts.append(word)
    return [(part, font) for part in parts]
