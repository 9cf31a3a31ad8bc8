"""Which laboratory's profile answers on other pages: one box, kept in the address bar, named beside the answers."""

from collections.abc import Sequence

import streamlit as st

from core.lab import profile as profiles
from core.lab.profile import LabError
from core.lab.reader import LabReader, lab_reader
from core.runs import Run
from core.serving.wording import count
from dashboard import state
from dashboard.widgets.lab.profiles import accuracy_line
from dashboard.widgets.runs import domain_line

KEY = "profile"
_NONE = ""


def lab_picker(dataset: str) -> LabReader | None:
    """A select box over the laboratories that were taught with models of ``dataset``; None for none.

    Nothing is drawn where there is none yet; a link to one that is gone is told in a sentence.
    """
    names = [p.name for p in profiles.list_profiles() if p.dataset == dataset]
    if not names:
        state.forget(KEY)
        return None
    notice = state.prepare(KEY, [_NONE, *names], _NONE, what="laboratory")
    if notice:
        st.info(notice, icon=":material/link:")
    st.selectbox(
        "Laboratory",
        [_NONE, *names],
        format_func=lambda name: name or "none: the models as they are",
        key=KEY,
        help="Answers as one laboratory taught them on the page Your lab, at its scale.",
    )
    state.share(KEY)
    name = st.session_state[KEY]
    if not name:
        return None
    try:
        return lab_reader(profiles.find_profile(name))
    except LabError as error:
        st.error(str(error), icon=":material/error:")
        return None


def who_answers(taught: LabReader | None, runs: Sequence[Run]) -> None:
    """Who taught the answers, how good they are expected to be, and the way back to none; else the ``runs``."""
    if taught is None:
        domain_line(runs)
        return
    profile = taught.profile
    labelled = count(sum(profile.labelled.values()), "cell")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f":material/science: Answers as taught by your laboratory **{profile.name}**: {labelled}, "
            f"{accuracy_line(profile)}.",
            width="content",
            help=f"On top of {taught.run.title}; expected for pictures like the {profile.cells} that it was taught "
            "with. Other stains and microscopes can mislead it.",
        )
        st.button("Back to none", key="lab_none", type="tertiary", icon=":material/close:", on_click=_none)


def plain_line(dataset: str) -> None:
    """On a page where no laboratory answers: says so while one is in use elsewhere."""
    name = state.remembered(KEY)
    if name and name in [p.name for p in profiles.list_profiles() if p.dataset == dataset]:
        st.caption(
            f":material/science: Maps are those of the models as they are, without what your laboratory {name} taught."
        )


def _none() -> None:
    st.session_state[KEY] = _NONE
