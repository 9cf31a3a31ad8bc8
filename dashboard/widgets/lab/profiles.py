"""The laboratories that were kept: use, export, import, delete."""

import tempfile
from pathlib import Path

import streamlit as st

from core.lab import profile as profiles
from core.lab.profile import LabError, LabProfile
from core.serving.wording import count
from dashboard.widgets.page import go

_SURE, _IMPORT, _TOLD = "lab_delete_asked", "lab_import", "lab_import_told"


def accuracy_line(profile: LabProfile) -> str:
    """'estimated 94 % right (86 to 98 %)'; says so where there were too few answers."""
    if profile.after is None:
        return "too few answers to estimate how well it reads"
    share, low, high = (100 * v for v in profile.after)
    return f"estimated {min(share, 99):.0f} % right ({low:.0f} to {high:.0f} %)"


def profile_list(dataset: str) -> None:
    """A line each for the profiles of ``dataset``, with their buttons, and the way to import one."""
    found = [p for p in profiles.list_profiles() if p.dataset == dataset]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Your laboratories", anchor=False, width="content")
        with st.popover("Import a laboratory", icon=":material/upload_file:"):
            _import()
    if told := st.session_state.pop(_TOLD, None):
        (st.error if told[0] else st.success)(told[1], icon=":material/error:" if told[0] else ":material/check:")
    if not found:
        st.caption("None yet. What you teach here is kept on this computer as a small file of numbers, no picture.")
    for profile in found:
        _line(profile)


def _line(profile: LabProfile) -> None:
    labelled = ", ".join(f"{code} {n}" for code, n in profile.labelled.items()) or "none"
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width="stretch", gap="xxsmall"):
            st.markdown(f"**{profile.name}** · {accuracy_line(profile)}")
            st.caption(
                f"{profile.created[:10]} · {count(profile.cells, 'cell')} · labelled: {labelled} · for the model "
                f"{profile.run}"
            )
        with st.container(horizontal=True, width="content", gap="small"):
            if st.button("Use on Classify", key=f"lab_use_{profile.name}", icon=":material/biotech:"):
                use_on_classify(profile)
            st.download_button(
                "Export",
                data=lambda: profiles.path_of(profile.name).read_bytes(),
                file_name=profiles.path_of(profile.name).name,
                key=f"lab_export_{profile.name}",
                icon=":material/download:",
                on_click="ignore",
            )
            _delete(profile)


def use_on_classify(profile: LabProfile) -> None:
    """Go to Classify, where the profile answers."""
    go("classify", {"profile": profile.name, "dataset": profile.dataset})


def _delete(profile: LabProfile) -> None:
    if st.session_state.get(_SURE) != profile.name:
        st.button(
            "Delete", key=f"lab_delete_{profile.name}", icon=":material/delete:", on_click=_ask, args=(profile.name,)
        )
        return
    st.button("Yes, delete it", key=f"lab_gone_{profile.name}", type="primary", on_click=_gone, args=(profile.name,))
    st.button("Keep it", key=f"lab_stay_{profile.name}", on_click=_ask, args=(None,))


def _ask(name: str | None) -> None:
    st.session_state[_SURE] = name


def _gone(name: str) -> None:
    st.session_state[_SURE] = None
    try:
        profiles.delete(name)
    except LabError as error:
        st.session_state[_TOLD] = True, str(error)


def _import() -> None:
    number = st.session_state.setdefault(_IMPORT, 0)
    file = st.file_uploader("A laboratory's file that another computer exported", key=f"{_IMPORT}_{number}")
    if file is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.safetensors"
        path.write_bytes(file.getvalue())
        try:
            taken = profiles.import_profile(path)
            st.session_state[_TOLD] = False, f"{taken.name} is here now."
        except LabError as error:
            st.session_state[_TOLD] = True, str(error).replace(path.name, file.name)
    st.session_state[_IMPORT] += 1
    st.rerun()
