"""What every page has: a header, errors told plainly, the research-use line, links to other pages, a bar for work that
takes long, and the views of its room.
"""

import importlib
import logging
import pkgutil
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core.errors import HemaLensError
from core.progress import Progress, time_left
from dashboard.url_state import choice

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


def is_page(path: str) -> bool:
    """Whether a page of that path is installed."""
    return path in st.session_state.get(PAGES, {})


def open_page(path: str, query: dict[str, str] | None = None) -> None:
    """Show another page by its path at once (for buttons); stays here where that page is not installed."""
    pages = st.session_state.get(PAGES, {})
    if path in pages:
        st.switch_page(pages[path], query_params=query)


_UNSAVED = "_unsaved"
_browser = st.components.v2.component(
    "hemalens_browser", js=(Path(__file__).parent / "assets" / "browser.js").read_text(encoding="utf-8")
)


def mark_unsaved(what: str, there: bool) -> None:
    """Say whether this session holds ``what`` ('pictures on Classify') that a reload would lose."""
    unsaved = st.session_state.setdefault(_UNSAVED, set())
    (unsaved.add if there else unsaved.discard)(what)


def browser_habits() -> None:
    """Have the browser ask before a reload loses work, and keep what pages write into the address out of the way back.

    Once a page, at its end.
    """
    _browser(key="browser_habits", data={"unsaved": bool(st.session_state.get(_UNSAVED))}, height=1)


def ask_first(label: str, question: str, yes: str, *, key: str, icon: str, on_yes: Callable[[], Any]) -> None:
    """A button ``label`` that loses work: it opens the ``question`` first, and ``yes`` in it does it."""
    with st.popover(label, icon=icon, type="tertiary"):
        st.markdown(question)
        st.button(yes, key=key, type="primary", icon=icon, on_click=on_yes)


_EVERY = 0.2  # seconds between two drawings of a bar


class ProgressBar:
    """Called with each `Progress`: draws a bar with a line and the time left. As a context manager it goes at the end.

    The bar says ``text``, or what ``line`` makes of the step. It appears ``after`` seconds: quick work needs none.
    """

    def __init__(self, text: str, line: Callable[[Progress], str] | None = None, *, after: float = 0) -> None:
        self.text, self.line, self.after = text, line, after
        self.place = st.empty()
        self.made, self.drawn = time.monotonic(), 0.0
        self.begun, self.done = (self.made, 0), -1  # when the present work began, and how much of it was done then
        if not after:
            self.place.progress(0.0, text=text)

    def __call__(self, step: Progress) -> None:
        now = time.monotonic()
        if self.done < 0 or step.done < self.done:  # the first step, or the first of other work
            self.begun = (now, step.done)
        self.done = step.done
        if now - self.made >= self.after and now - self.drawn >= _EVERY:
            self.drawn = now
            line = self.line(step) if self.line else self.text
            began, done_before = self.begun
            left = time_left(step.done, step.total, now - began, done_before)
            self.place.progress(min(step.done / max(step.total, 1), 1.0), text=f"{line}, {left} left" if left else line)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self.place.empty()


# ---------------------------------------------------------------- the views of a room
@dataclass(frozen=True)
class View:
    """One view of a room: ``render`` draws it from the room's context, ``title`` may hold '{unit}'.

    ``key`` stands in the address bar; ``needs`` names choices above the view that it alone asks for.
    """

    key: str
    title: str
    order: int
    needs: tuple[str, ...]
    render: Callable[[Any], None]


_VIEWS: dict[str, View] = {}  # by the module that holds it


def view(title: str, *, order: int, key: str = "", needs: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """Above a module's ``render(context)``: makes the module a view of its room. ``key`` is its name unless said."""

    def register(render: Callable[[Any], None]) -> Callable[[Any], None]:
        module = render.__module__
        _VIEWS[module] = View(key or module.rpartition(".")[2], title, order, needs, render)
        return render

    return register


def find_views(room: str) -> list[View]:
    """The views of a room (the package 'dashboard.compare') in their order: whatever module of it holds one."""
    folder = importlib.import_module(room).__path__
    modules = [f"{room}.{module.name}" for module in pkgutil.iter_modules(folder)]
    for module in modules:
        importlib.import_module(module)
    return sorted((_VIEWS[module] for module in modules if module in _VIEWS), key=lambda found: found.order)


def show_view(room: str, context_for: Callable[[View], Any], *, unit: str = "cell") -> None:
    """Draw the choice of a room's views and the chosen one; only that is computed.

    ``context_for`` draws what stands between the two and returns what the view is given; None where there is nothing
    to show (it has said so). ``unit`` stands in titles.
    """
    views = {found.key: found for found in find_views(room)}
    titles = {key: found.title.format(unit=unit) for key, found in views.items()}
    chosen = views[choice("view", "View", titles, next(iter(views)), "view", hidden=True)]
    context = context_for(chosen)
    if context is not None:
        with errors_told():
            chosen.render(context)
