"""A bar for work that is mostly quick: it comes only where the work takes longer than a second."""

import time

import streamlit as st

from core.progress import Progress

_AFTER = 1.0  # seconds without a bar
_EVERY = 0.2  # seconds between two drawings of it


class Waiting:
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
            told = "" if left is None else f", {max(1, round(left))} s left"
            self.place.progress(step.done / step.total, text=f"{self.text}{told}")
