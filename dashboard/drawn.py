"""Finished figures, kept: to build one takes 20 to 100 ms of the processor, to take it from here nothing."""

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

Figure = TypeVar("Figure")


def drawn(key: tuple[Any, ...], make: Callable[[], Figure]) -> Figure:
    """The figure that ``make`` builds, built once for each ``key`` and shared between visitors: don't change it.

    ``key`` says all that the figure depends on: its kind, the runs with their times of change
    (`catalogue.mark`), every option and the theme.
    """
    return _drawn(key, make)


@st.cache_resource(max_entries=256, show_spinner=False)
def _drawn(key: tuple[Any, ...], _make: Callable[[], Any]) -> Any:
    return _make()
