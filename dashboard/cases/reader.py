"""Who reads: the person who signed in where the laboratory's provider is configured, else a typed name."""

from urllib.parse import unquote

import streamlit as st

from core.cases.case import Reader
from dashboard.protection import signs_in

NAME_KEY = "cases_reader"
COOKIE = "hemalens_reader"  # of this browser: a typed name outlives a reload
_MOST_LETTERS = 80


def reader_picker() -> Reader | None:
    """Who reads, with the way to sign in or a field for a name; None until that is known."""
    if signs_in():
        return _signed_in()
    if NAME_KEY not in st.session_state:
        st.session_state[NAME_KEY] = unquote(st.context.cookies.get(COOKIE, ""))[:_MOST_LETTERS]
    st.text_input(
        "Reader",
        key=NAME_KEY,
        placeholder="Who reads? Your name",
        label_visibility="collapsed",
        max_chars=_MOST_LETTERS,
        width=220,
        help="Stands beside each of your decisions, which say that your identity was not verified. Where the "
        "laboratory has a sign-in, HemaLens can use it: see the README.",
    )
    name = " ".join(str(st.session_state[NAME_KEY] or "").split())
    return Reader(name) if name else None


def _signed_in() -> Reader | None:
    user = st.user
    if not user.is_logged_in:
        st.button("Sign in", icon=":material/login:", type="primary", on_click=st.login)
        return None
    name = str(user.get("name") or user.get("email") or user.get("sub") or "")[:_MOST_LETTERS]
    st.button(name, icon=":material/logout:", type="tertiary", on_click=st.logout, help="Sign out")
    return Reader(name, verified=True, subject=str(user.get("sub") or ""))
