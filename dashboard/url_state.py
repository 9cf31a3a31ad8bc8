"""The address bar and the session: what a visitor has chosen, so that a pasted link opens the same view.

Use it around a widget that has the same ``key``::

    with linked("size", ["28", "64"], "64", "image size"):
        st.selectbox("Image size", ["28", "64"], key="size")
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.formatting import markdown_text
from dashboard.style import option_label

if TYPE_CHECKING:
    from core.images.framing import CropWindow

DEFAULT_DATASET = "bloodmnist"
_KEPT = "_kept"  # what each key had last, by key: survives leaving the page, unlike a widget's own state
_HANDED = "_handed_image"
_MOST_NAMED = 5  # of what a link asks for and isn't there


def nearest(asked: str, options: Iterable[str]) -> str | None:
    """The option most like ``asked``; None where there are no options."""
    options = list(options)
    close = difflib.get_close_matches(asked, options, n=1, cutoff=0)
    return close[0] if close else (options[0] if options else None)


def parameter(key: str) -> str | None:
    """What the address bar says for ``key``; None where it says nothing."""
    return st.query_params.get(key) or None


def remembered(key: str) -> str | None:
    """What ``key`` had last in this session; None where nothing was chosen."""
    return st.session_state.setdefault(_KEPT, {}).get(key)


def prepare(
    key: str,
    options: Sequence[str],
    default: str | Sequence[str] | None,
    *,
    what: str,
    many: bool = False,
    most: int | None = None,
) -> str | None:
    """Set the state of the widget ``key`` before it is drawn: from the link, else as it was left, else ``default``.

    ``options`` are the choices there are (strings). Returns a sentence where the link names something that
    is not there (the nearest is chosen instead), else None. With ``many`` the value is a list, of ``most`` options
    at most, and a link holds it separated by commas.
    """
    previous = st.session_state.setdefault(_KEPT, {})
    link = parameter(key)
    missing: list[str] = []
    too_many = ""
    if link is not None and link != previous.get(key):  # a link that this session has not written: it decides
        selected = []
        asked_for = list(dict.fromkeys(link.split(","))) if many else [link]
        for asked in asked_for[:most]:
            found: str | None = asked
            if asked not in options:
                missing.append(asked)
                found = nearest(asked, [o for o in options if o not in selected])
            if found is not None and found not in selected:
                selected.append(found)
        told = f"Only the first {most} of the {what}s that this link asks for are chosen."
        too_many = told if len(asked_for) > len(asked_for[:most]) else ""
        st.session_state[key] = selected if many else (selected[0] if selected else None)
    elif key in st.session_state:
        now = st.session_state[key]
        if many:
            st.session_state[key] = [v for v in now or [] if v in options]
        elif now is not None and now not in options:
            st.session_state[key] = _first(default)
    else:
        left = [v for v in (previous.get(key) or "").split(",") if v in options] if many else previous.get(key)
        if many:
            st.session_state[key] = left or _list(default)
        else:
            st.session_state[key] = left if left in options else _first(default)
    gone = not_there(what, missing, st.session_state[key]) if missing else ""
    return " ".join(filter(None, (gone, too_many))) or None


def share(key: str) -> None:
    """Write the widget's value into the address bar (nothing chosen removes it)."""
    value = st.session_state.get(key)
    put(key, ",".join(value) if isinstance(value, list | tuple) else value)


@contextmanager
def linked(
    key: str,
    options: Sequence[str],
    default: str | Sequence[str] | None,
    what: str,
    *,
    many: bool = False,
    most: int | None = None,
    notices: DeltaGenerator | None = None,
) -> Iterator[None]:
    """Around a widget of the same ``key``: it opens as the link says, else as it was left, else at ``default``.

    The address bar then says what is chosen. A link to an option that isn't there is told in a sentence, in
    ``notices`` or above the widget, with ``what`` naming the kind of thing. ``many``: the value is a list, of
    ``most`` at most.
    """
    notice = prepare(key, options, default, what=what, many=many, most=most)
    if notice:
        (st.info if notices is None else notices.info)(notice, icon=":material/link:")
    yield
    share(key)


def choice(
    key: str,
    label: str,
    options: Mapping[str, str],
    default: str,
    what: str,
    *,
    box: bool = False,
    width: int = 340,
    hidden: bool | None = None,
    help: str | None = None,
    notices: DeltaGenerator | None = None,
) -> str:
    """Draw the choice ``key`` of ``options`` (value: title) and return its value.

    ``what`` and ``notices`` as `linked` has them. ``box`` makes a select box of ``width`` pixels; ``hidden`` hides its
    label (a select box's is hidden unless said).
    """
    hidden = box if hidden is None else hidden
    common: dict[str, Any] = {"format_func": lambda value: options[value], "key": key, "help": help}
    common["label_visibility"] = "collapsed" if hidden else "visible"
    with linked(key, list(options), default, what, notices=notices):
        if box:
            st.selectbox(label, list(options), width=width, **common)
        else:
            common["format_func"] = lambda value: option_label(options[value])
            st.segmented_control(label, list(options), required=True, **common)
    return st.session_state[key]


def put(key: str, value: str | None) -> None:
    """Write ``key=value`` into the address bar; None or '' removes it. Unchanged values cause no traffic."""
    st.session_state.setdefault(_KEPT, {})[key] = value or None
    if value and st.query_params.get(key) != value:
        st.query_params[key] = value
    elif not value and key in st.query_params:
        del st.query_params[key]


def not_there(what: str, missing: Sequence[str], instead: str | Sequence[str] | None) -> str:
    """The sentence for a link that names what isn't there."""
    names = ", ".join(f"'{markdown_text(m)}'" for m in missing[:_MOST_NAMED])
    names += f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    shown = ", ".join(map(markdown_text, _list(instead)))
    tail = f"; showing the nearest instead: {shown}." if shown else ", and there is none to show instead."
    return f"This link asks for a {what} that isn't here: {names}{tail}"


def forget(*keys: str) -> None:
    """Take back what was chosen under ``keys``: in the session, in the address bar, and for other pages."""
    for key in keys:
        st.session_state.pop(key, None)
        put(key, None)


def _list(value: str | Sequence[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _first(value: str | Sequence[str] | None) -> str | None:
    return next(iter(_list(value)), None)


class HandedImage(NamedTuple):
    """A picture passed from one page to another: ``name``, ``pixels`` uint8 (H, W, 3) as uploaded, ``truth`` code.

    ``window``: where the models look in it; None leaves it to its shape.
    """

    name: str
    pixels: np.ndarray
    truth: str | None = None
    window: "CropWindow | None" = None


def hand_over_image(
    name: str, pixels: np.ndarray, truth: str | None = None, window: "CropWindow | None" = None
) -> None:
    """Leave a picture for another page of this session ('Explain this cell')."""
    st.session_state[_HANDED] = HandedImage(name, pixels, truth, window)


def handed_image() -> HandedImage | None:
    """The picture that another page left last; it stays until another one is left."""
    return st.session_state.get(_HANDED)
