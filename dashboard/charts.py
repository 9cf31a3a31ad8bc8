"""Figures on a page: built once and kept, drawn in one manner, with PNG, SVG and CSV to take along."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

Figure = TypeVar("Figure")


def cached_figure(key: tuple[Any, ...], make: Callable[[], Figure]) -> Figure:
    """The figure that ``make`` builds, built once for each ``key`` and shared between visitors: don't change it.

    ``key`` says all that the figure depends on: its kind, the runs with their times of change
    (`catalogue.mark`), every option and the theme.
    """
    return _cached_figure(key, make)


@st.cache_resource(max_entries=256, show_spinner=False)
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
    fig: go.Figure,
    data: pd.DataFrame,
    name: str,
    key: str,
    *,
    index: bool = False,
    **options: Any,
) -> Any:
    """Draw ``fig`` and under it 'PNG', 'SVG' and 'CSV'; returns what the chart's widget returns.

    ``data`` is what is drawn, written to the CSV file (its index too with ``index``); ``name`` is the files' name
    without ending ('hemalens-' is put before it); ``key`` is the chart's widget key, unique on the page. ``options`` go
    to the chart (``on_select`` ...). The pictures are made in the browser as they are seen there, on the theme's ground; no
    browser is needed on the server.
    """
    container_key, name = f"figure_{key}", f"hemalens-{name}"
    with st.container(key=container_key, gap="xsmall"):
        event = plot(fig, key=key, name=name, **options)
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


def csv_text(data: pd.DataFrame, *, index: bool = False) -> bytes:
    """``data`` as a CSV file that spreadsheets open with the right letters (UTF-8 with its mark)."""
    return data.to_csv(index=index).encode("utf-8-sig")
