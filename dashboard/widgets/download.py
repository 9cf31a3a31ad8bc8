"""Fetching a data set's images from a page: a button, a bar with time left, and the manual way on failure."""

import time

import streamlit as st

from core.datasets import DatasetSpec, DatasetUnavailable
from core.progress import Progress
from dashboard import catalogue, stand_in

_EVERY = 0.2  # seconds between two drawings of the bar


def offer_download(spec: DatasetSpec, size: int, *, standing_in: bool = True) -> None:
    """Say that the images of ``size`` px are not here, and fetch them on a click; reruns when done.

    ``standing_in`` tells whether generated or drawn cells are shown in their place.

    A bar shows how far it is. Leaving the page or 'Stop' interrupts it; what has arrived is kept, and
    the next click goes on from there.
    """
    if spec.download is None:
        return
    failure = f"_download_failed_{spec.name}_{size}"
    place = st.container()
    if st.session_state.get(failure):
        place.error(st.session_state[failure], icon=":material/cloud_off:")
    label = "Try again" if st.session_state.get(failure) else "Download them"
    help_line = f"From {spec.url.removeprefix('https://')}{sum_megabytes(spec, size)}; they stay on this computer."
    with place.container(horizontal=True, vertical_alignment="center"):
        missing = f"the {size} px images are not on this computer."
        instead = f":material/draw: These cells are **{stand_in.label(spec)}**: {missing}"
        st.markdown(instead if standing_in else f":material/hide_image: {missing.capitalize()}", width="stretch")
        clicked = st.button(label, icon=":material/download:", help=help_line, key=f"download_{spec.name}_{size}")
    if not clicked:
        return
    st.session_state.pop(failure, None)
    bar = place.progress(0.0, text="Connecting")
    place.button("Stop", icon=":material/stop:", key="download_stop", help="What has arrived is kept.")
    try:
        began, before, shown = time.monotonic(), None, 0.0
        for step in spec.download(size):
            before = step.done if before is None else before
            now = time.monotonic()
            if now - shown >= _EVERY or step.message:
                bar.progress(min(step.done / max(step.total, 1), 1.0), text=line(step, now - began, before))
                shown = now
        spec.load(size)
    except DatasetUnavailable as error:
        st.session_state[failure] = str(error)
    st.rerun()


def line(step: Progress, seconds: float, before: int = 0) -> str:
    """'12 of 35 MB, 20 s left': what stands on the bar; ``before`` bytes were there at the start."""
    text = f"{step.done / 1e6:,.0f} of {step.total / 1e6:,.0f} MB"
    if step.message:
        return f"{text}, {step.message}"
    speed = (step.done - before) / seconds if seconds > 1 else 0
    if speed > 0:
        left = (step.total - step.done) / speed
        text += f", {left:.0f} s left" if left < 90 else f", {left / 60:.0f} min left"
    return text


def sum_megabytes(spec: DatasetSpec, size: int) -> str:
    """', at most 210 MB': an upper bound from the shipped counts; '' where there are none."""
    for known in (size, *spec.sizes):
        summary = catalogue.summary(spec.name, known)
        if summary is not None:
            return f", at most {summary.total * size * size * 3 / 1e6:,.0f} MB"
    return ""
