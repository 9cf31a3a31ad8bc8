"""Figures on a page: built once and kept, drawn in one manner, with PNG, SVG and CSV to take along."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from core.csv_text import guarded
from dashboard import cache
from dashboard.style import finish, ground, name_rows

Figure = TypeVar("Figure")


def cached_figure(key: tuple[Any, ...], make: Callable[[], Figure]) -> Figure:
    """The figure that ``make`` builds, built once for each ``key`` and shared between visitors: don't change it.

    ``key`` says all that the figure depends on: its kind, the runs (they count by their versions), every option and the
    theme.
    """
    return _cached_figure(key, make)


@st.cache_resource(max_entries=256, show_spinner=False, hash_funcs=cache.BY_VERSION)
def _cached_figure(key: tuple[Any, ...], _make: Callable[[], Any]) -> Any:
    return _make()


def plot(figure: Any, *, key: str, name: str | None = None, **options: Any) -> Any:
    """Show a Plotly figure that `style.finish` made: full width, own colours, an export button for a slide.

    ``name`` is the exported file's name without ending, else it is made of ``key``. Box and lasso stand in the
    toolbar where ``options`` hold a ``selection_mode`` of that name.
    """
    modes = options.get("selection_mode", ())
    unused = [button for button, mode in (("select2d", "box"), ("lasso2d", "lasso")) if mode not in modes]
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": [*unused, "autoScale2d"],
        "toImageButtonOptions": {"format": "svg", "filename": name or f"hemalens-{key}"},
    }
    return st.plotly_chart(figure, theme=None, key=key, config=config, **options)


@dataclass(frozen=True)
class Panel:
    """A panel of `class_dots`: its ``heading``, where it begins and ends (0 to 1), its ``axis`` (Plotly's settings).

    ``traces`` has one a run: Plotly's x (a value a class), error_x, customdata and hovertemplate.
    """

    heading: str
    left: float
    right: float
    axis: Mapping[str, Any]
    traces: Sequence[Mapping[str, Any]]


SYMBOLS = ("circle", "diamond-open", "square", "cross-open")
MOST_RUNS = len(SYMBOLS)  # that can be told apart


def class_dots(
    panels: Sequence[Panel],
    runs: Sequence[str],
    codes: Sequence[str],
    names: Mapping[str, str],
    colours: Sequence[str | Sequence[str]],
    *,
    title: str,
    lines: Sequence[Mapping[str, Any]] = (),
    dark: bool = False,
) -> go.Figure:
    """Dots in ``panels`` side by side: a row a class, a symbol a run, in the run's colour or in those of the classes.

    ``runs`` are names for the legend, `MOST_RUNS` at most; ``names`` gives each code's class name; ``lines`` are
    further shapes.
    """
    if len(runs) > MOST_RUNS:
        raise ValueError(f"{len(runs)} runs: {MOST_RUNS} symbols at most can be told apart")
    quiet, step = ground(dark)["quiet"], 0.62 / max(len(runs), 1)
    # Put together as one dictionary: plotly then checks it once, which takes a third of the time of adding trace by
    # trace to subplots.
    traces: list[dict[str, Any]] = []
    axes, headings = {}, []
    heading: dict[str, Any] = {"xref": "paper", "yref": "paper", "y": 1, "yanchor": "bottom", "yshift": 2}
    for number, panel in enumerate(panels):
        axis = f"x{number + 1}" if number else "x"
        axes[axis.replace("x", "xaxis")] = {"domain": [panel.left, panel.right], "zeroline": False} | dict(panel.axis)
        words = {"text": panel.heading, "x": (panel.left + panel.right) / 2, "showarrow": False}
        headings.append(heading | words | {"font": {"size": 14, "color": quiet}})
        for place, trace in enumerate(panel.traces):
            y = np.arange(len(codes)) + (place - (len(runs) - 1) / 2) * step
            own = {"xaxis": axis, "y": y, "showlegend": False} | dict(trace)
            traces.append(_dots(place, runs[place], colours[place]) | own)
    for place, name in enumerate(runs if len(runs) > 1 else ()):
        # The legend's sample: where dots have their classes' colours, a grey stands for the symbol.
        colour = colours[place] if isinstance(colours[place], str) else quiet
        traces.append(_dots(place, name, colour) | {"x": [None], "y": [None]})
    border = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": ground(dark)["line"], "width": 1}}
    borders = [border | {"y0": k + 0.5, "y1": k + 0.5, "layer": "below"} for k in range(len(codes) - 1)]
    layout = axes | {"annotations": headings, "shapes": [*borders, *map(dict, lines)]}
    height = 126 + max(38, 14 + 15 * len(runs)) * len(codes)
    fig = finish(go.Figure({"data": traces, "layout": layout}), title=title, height=height, dark=dark)
    legend = {"x": 0, "xanchor": "left", "xref": "container", "y": 0, "yref": "container", "yanchor": "bottom"}
    name_rows(fig, [f"<b>{code}</b>  {names[code]}" for code in codes], dark, showgrid=False)
    return fig.update_layout(margin={"t": 76}, legend=legend)


def _dots(place: int, name: str, colour: str | Sequence[str]) -> dict[str, Any]:
    """What the dots of the run at ``place`` have in common with its sample in the legend."""
    marker = {"symbol": SYMBOLS[place], "size": 9, "color": colour, "line": {"width": 2, "color": colour}}
    return {"type": "scatter", "mode": "markers", "name": name, "legendgroup": str(place), "marker": marker}


def clicked(key: str) -> Any:
    """The ``customdata`` of the first point that is selected in the chart ``key``, None where none is."""
    points = st.session_state[key].selection.points
    return points[0]["customdata"] if points else None


_ASSETS = Path(__file__).resolve().parent / "assets"
# Plotly's own toolbar offers one format only: a component saves both.
_BUTTONS = """<div role="group" aria-label="Save this figure">
<button id="png" type="button">PNG</button>
<button id="svg" type="button">SVG</button>
</div>
"""
_save = st.components.v2.component(
    "hemalens_export",
    html=_BUTTONS,
    css=(_ASSETS / "export.css").read_text(encoding="utf-8"),
    js=(_ASSETS / "export.js").read_text(encoding="utf-8"),
)


def show_figure(
    fig: go.Figure | Callable[[], go.Figure],
    data: pd.DataFrame,
    name: str,
    key: str,
    *,
    made_of: tuple[Any, ...] = (),
    index: bool = False,
    **options: Any,
) -> Any:
    """Draw ``fig`` and under it 'PNG', 'SVG' and 'CSV'; returns what the chart's widget returns.

    ``fig`` may be what makes the figure: that is kept for this ``key`` and ``made_of`` (see `cached_figure`).
    ``data`` is what is drawn, written to the CSV file (its index too with ``index``); ``name`` is the files' name
    without ending ('hemalens-' is put before it); ``key`` is the chart's widget key, unique on the page. ``options`` go
    to the chart (``on_select`` ...). The pictures are made in the browser as they are seen there, on the theme's
    ground; no browser is needed on the server.
    """
    container_key, name = f"figure_{key}", f"hemalens-{name}"
    with st.container(key=container_key, gap="xsmall"):
        figure = cached_figure((key, *made_of), fig) if callable(fig) else fig
        event = plot(figure, key=key, name=name, **options)
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            _save(key=f"save_{key}", data={"figure": container_key, "name": name}, width="content", height="content")
            st.download_button(
                "CSV",
                lambda: csv_text(data, index=index),
                f"{name}.csv",
                "text/csv",
                key=f"csv_{key}",
                on_click="ignore",
                type="tertiary",
                help="The numbers of this figure",
            )
    return event


def csv_button(label: str, data: Callable[[], pd.DataFrame], name: str, **options: Any) -> None:
    """A button that saves ``data()`` as the file 'hemalens-<name>.csv'; made when it is pressed."""
    st.download_button(
        label,
        lambda: csv_text(data()),
        f"hemalens-{name}.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        **options,
    )


def csv_text(data: pd.DataFrame, *, index: bool = False) -> bytes:
    """``data`` as a CSV file that spreadsheets open with the right letters (UTF-8 with its mark) and take no text in it
    for a formula.
    """
    safe = data.map(guarded).rename(columns=guarded, index=guarded)
    return safe.to_csv(index=index).encode("utf-8-sig")
