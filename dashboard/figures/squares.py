"""A matrix of coloured squares with numbers in them, as a Vega-Lite specification.

Written as the specification itself: an Altair chart of the same takes 80 ms of the processor to build and to
check, this 1 ms, and a page shows several. Show it with `dashboard.widgets.export.exported`.
https://vega.github.io/vega-lite/docs/
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dashboard.figures.style import FONT, ground, inks

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
Spec = dict[str, Any]


def squares(
    data: pd.DataFrame,
    rows: str,
    columns: str,
    *,
    order: Sequence[str],
    steps: Sequence[float],
    scale: Sequence[str],
    tooltip: Sequence[Mapping[str, str]],
    titles: tuple[str | None, str | None],
    title: str,
    subtitle: str = "",
    click: tuple[str, Sequence[str]] | None = None,
    side: int = 360,
    font_size: int = 12,
    label_size: int = 13,
    label_angle: int = 0,
    dark: bool = False,
) -> Spec:
    """One square for each row of ``data``: text 'text', colour by 'colour' on ``scale`` (hex, at the values ``steps``).

    ``rows`` and ``columns`` name the fields of the axes, both in ``order``, called ``titles``; ``tooltip`` holds
    Vega-Lite field definitions. ``click`` is the name of a selection and the fields that it gives. ``side`` is
    the height in pixels.
    """
    colours = ground(dark)
    axis = {"ticks": False, "domain": False, "labelFontSize": label_size, "labelLimit": 230}
    place = {
        "x": _axis(columns, order, titles[1], axis | {"orient": "top", "labelAngle": label_angle}),
        "y": _axis(rows, order, titles[0], axis),
    }
    hover = [{"type": "nominal"} | dict(field) for field in tooltip]
    colour = {"domain": [float(v) for v in steps], "range": list(scale), "interpolate": "rgb"}
    mark = {"type": "rect", "stroke": colours["line"], "strokeWidth": 0.5, "cursor": "pointer" if click else "default"}
    fill = {"field": "colour", "type": "quantitative", "scale": colour, "legend": None}
    squares_layer = {"mark": mark, "encoding": place | {"color": fill, "tooltip": hover}}
    if click:
        select = {"type": "point", "fields": list(click[1]), "on": "click", "clear": "dblclick"}
        squares_layer["params"] = [{"name": click[0], "select": select}]
    # The inks are colours already; a scale shared with the squares would be read where there is none.
    ink = {"field": "ink", "type": "nominal", "scale": None}
    text = {"field": "text", "type": "nominal"}
    numbers = {
        "mark": {"type": "text", "fontSize": font_size, "cursor": mark["cursor"]},
        "encoding": place | {"text": text, "color": ink, "tooltip": hover},
    }
    return {
        "$schema": SCHEMA,
        "data": {"values": data.assign(ink=inks(data["colour"], steps, scale)).to_dict("records")},
        "layer": [squares_layer, numbers],
        "resolve": {"scale": {"color": "independent"}},
        "height": side,
        "title": {"text": title, "subtitle": subtitle, "anchor": "start", "fontSize": 14, "offset": 10}
        | {"color": colours["text"], "subtitleColor": colours["quiet"], "subtitleFontSize": 13},
        "config": _config(colours),
    }


def framed(spec: Spec, square: Mapping[str, str] | None, dark: bool = False) -> Spec:
    """``spec`` of `squares` with a frame around the square that has these values on its axes; ``spec`` itself stays."""
    if square is None:
        return spec
    place = {axis: spec["layer"][0]["encoding"][axis] for axis in ("x", "y")}
    frame = {"type": "rect", "fillOpacity": 0, "stroke": ground(dark)["text"], "strokeWidth": 2.5}
    layer = {"data": {"values": [dict(square)]}, "mark": frame, "encoding": place}
    return spec | {"layer": [*spec["layer"], layer]}


def _axis(field: str, order: Sequence[str], title: str | None, axis: Mapping[str, Any]) -> dict[str, Any]:
    return {"field": field, "type": "nominal", "sort": list(order), "title": title, "axis": dict(axis)}


def _config(colours: Mapping[str, str]) -> dict[str, Any]:
    quiet = {"titleColor": colours["quiet"], "titleFontWeight": "normal", "titleFontSize": 13}
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"strokeWidth": 0},
        "title": {"font": FONT, "fontWeight": 600},
        "axis": quiet | {"labelColor": colours["text"], "gridColor": colours["line"]},
    }


def even_steps(low: float, high: float, scale: Sequence[str]) -> list[float]:
    """Where the colours of ``scale`` lie between ``low`` and ``high``."""
    return np.linspace(low, high, len(scale)).tolist()
