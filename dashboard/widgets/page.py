"""What every page has: a header, errors told plainly, the research-use line, charts in one manner."""

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core.errors import HemaLensError

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
def guarded() -> Iterator[None]:
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


def link(
    path: str, label: str, *, icon: str | None = None, query: dict[str, str] | None = None, **options: Any
) -> None:
    """A link to another page by its path ('classify'); ``query`` goes into its address. The session is kept."""
    pages = st.session_state.get(PAGES, {})
    if path in pages:
        st.page_link(pages[path], label=label, icon=icon, query_params=query, **options)
    else:  # a page that runs on its own (in a test), or a page that is not installed
        st.markdown(f"[{label}](/{path}{'?' + urlencode(query) if query else ''})")


def go(path: str, query: dict[str, str] | None = None) -> None:
    """Show another page by its path at once (for buttons); stays here where that page is not installed."""
    pages = st.session_state.get(PAGES, {})
    if path in pages:
        st.switch_page(pages[path], query_params=query)
