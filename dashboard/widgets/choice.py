"""One choice that the address bar keeps: a segmented control, or a select box where there are many options."""

from collections.abc import Mapping

import streamlit as st

from dashboard.state import prepare, share


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
) -> str:
    """Draw the choice ``key`` of ``options`` (value: title) and return its value.

    A link to an option that isn't there is told in a sentence, with ``what`` naming the kind of thing. ``box``
    makes a select box of ``width`` pixels; ``hidden`` hides its label (a select box's is hidden unless said).
    """
    notice = prepare(key, list(options), default, what=what)
    if notice:
        st.info(notice, icon=":material/link:")
    hidden = box if hidden is None else hidden
    common = {"format_func": options.get, "key": key, "help": help}
    common["label_visibility"] = "collapsed" if hidden else "visible"
    if box:
        st.selectbox(label, list(options), width=width, **common)
    else:
        st.segmented_control(label, list(options), required=True, **common)
    share(key)
    return st.session_state[key]
