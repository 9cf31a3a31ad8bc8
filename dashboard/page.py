"""What every page has: a header, errors told plainly, the research-use line, links to other pages, a bar for work that
takes long.
"""

import logging
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core.errors import HemaLensError
from core.progress import Progress

PAGES = "_pages"  # where the router leaves the pages of this session, by their path
log = logging.getLogger("hemalens.dashboard")


def header(title: str, sentence: str) -> None:
    """The page's title and the one sentence that says what it is for."""
    st.title(title, anchor=False)
    st.markdown(sentence)


def research_line() -> None:
    """The line at the bottom of every page."""
    st.caption(
        "For research and teaching, not a medical device. A model knows only pictures like those that it learnt from, "
        "of one laboratory; on other stains and microscopes it can be wrong and sure of it."
    )


def is_dark() -> bool:
    """True where the visitor's browser shows the dark theme."""
    return st.context.theme.type == "dark"


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell errors plainly: an expected one by its message, any other by one sentence and a reference code.

    The detail of an unexpected error goes to the log under the same code. Streamlit's own control
    flow (stop, rerun) is not derived from Exception and passes through.
    """
    try:
        yield
    except HemaLensError as error:
        st.error(str(error), icon=":material/error:")
    except Exception:
        code = secrets.token_hex(3).upper()
        log.exception("reference %s", code)
        st.error(
            f"Something went wrong on our side; your images and results are untouched. Reload the page to go on. "
            f"If it happens again, tell us the reference {code}: the log of the terminal has the detail under it.",
            icon=":material/error:",
        )


def link(
    path: str, label: str, *, icon: str | None = None, query: dict[str, str] | None = None, **options: Any
) -> None:
    """A link to another page by its path ('classify'); ``query`` goes into its address. The session is kept."""
    pages = st.session_state.get(PAGES, {})
    if path in pages:
        st.page_link(pages[path], label=label, icon=icon, query_params=query, **options)
    else:  # a page that runs on its own (in a test), or a page that is not installed
        st.markdown(f"[{label}](/{path}{'?' + urlencode(query) if query else ''})")


def open_page(path: str, query: dict[str, str] | None = None) -> None:
    """Show another page by its path at once (for buttons); stays here where that page is not installed."""
    pages = st.session_state.get(PAGES, {})
    if path in pages:
        st.switch_page(pages[path], query_params=query)


_AFTER = 1.0  # seconds without a bar
_EVERY = 0.2  # seconds between two drawings of it


class ProgressBar:
    """Called with each `Progress`; draws a bar with ``text`` and the time left, and takes it away at the end."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, st.empty()
        self.began = self.drawn = time.monotonic()

    def __call__(self, step: Progress) -> None:
        now = time.monotonic()
        if step.done >= step.total:
            self.place.empty()
        elif now - self.began > _AFTER and now - self.drawn > _EVERY:
            self.drawn = now
            left = (now - self.began) / step.done * (step.total - step.done) if step.done else None
            time_left = "" if left is None else f", {max(1, round(left))} s left"
            self.place.progress(step.done / step.total, text=f"{self.text}{time_left}")


def markdown_text(name: str) -> str:
    """``name`` for Markdown: a file called '*a*.png' or '[x](y)' reads as it is called. Long names are cut."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:-])", r"\\\1", name if len(name) <= 60 else f"{name[:57]}...")
