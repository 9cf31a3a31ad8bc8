"""Who answers: one object from a picture's place to its class, so that whoever shows answers needs not know the kind.

A run by itself is one kind (`RunReader`); what a laboratory taught its own copy of a run is another. Both name the run
behind them, whose classes, size and title they share.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from core.runs import Run
from core.serving import engine
from core.serving.domain import known
from core.serving.framing import Place
from core.serving.guard import Voice
from core.serving.guarding import guard_of, voiced
from core.serving.predict import Answers, classify, sure_threshold
from core.serving.preprocess import Framed


class Reader(Protocol):
    """``key`` changes whenever answers would; ``side``: of the square in px where the reader brings its own scale."""

    @property
    def run(self) -> Run: ...

    @property
    def key(self) -> str: ...

    @property
    def side(self) -> float | None: ...

    @property
    def laboratory(self) -> str:
        """The name of the laboratory that taught it, '' for a run as it is."""
        ...

    @property
    def threshold(self) -> float:
        """The top probability, 0 to 1, from which an answer counts as sure."""
        ...

    @property
    def tells_strangers(self) -> bool:
        """Whether it can call a picture foreign."""
        ...

    def load(self) -> None:
        """Get ready now, so that the first answer needn't wait. Raises `EngineError`."""
        ...

    def frame(self, pixels: np.ndarray, place: Place) -> Framed:
        """What the reader sees of ``pixels`` uint8 (H, W, 3) at ``place``."""
        ...

    def answer(self, frames: np.ndarray) -> tuple[Answers, list[Voice]]:
        """Answers for ``frames`` uint8 (N, S, S, 3), made by `frame`, and their voices. Raises `EngineError`."""
        ...


@dataclass(frozen=True)
class RunReader:
    """A run as it is: frames as its training pictures were, answers of its graph."""

    run: Run
    side: float | None = None

    @property
    def key(self) -> str:
        return str(self.run.path)

    @property
    def laboratory(self) -> str:
        return ""

    @property
    def threshold(self) -> float:
        return sure_threshold(self.run)

    @property
    def tells_strangers(self) -> bool:
        return guard_of(self.run) is not None

    def load(self) -> None:
        engine.load(self.run)

    def frame(self, pixels: np.ndarray, place: Place) -> Framed:
        return place.frame(pixels, self.run.size, known(self.run))

    def answer(self, frames: np.ndarray) -> tuple[Answers, list[Voice]]:
        answers = classify(frames, self.run)
        return answers, voiced(self.run, answers, frames)
