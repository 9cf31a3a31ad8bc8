"""Answers of a run for one laboratory: what its profile adds, behind the same face as a run by itself."""

import time
from dataclasses import dataclass

import numpy as np

from core.errors import HemaLensError
from core.lab.cells import look
from core.lab.profile import LabError, LabProfile
from core.runs import Run, RunNotFound, find_run
from core.serving import engine
from core.serving.domain import known
from core.serving.framing import Place
from core.serving.guard import Voice, voices
from core.serving.predict import Answers
from core.serving.preprocess import Framed


@dataclass(frozen=True)
class LabReader:
    """`core.serving.reader.Reader` of ``profile`` on top of ``run``."""

    run: Run
    profile: LabProfile

    @property
    def key(self) -> str:
        return f"{self.run.path} for {self.profile.name}, {self.profile.created}"

    @property
    def laboratory(self) -> str:
        return self.profile.name

    @property
    def side(self) -> float | None:
        return self.profile.side

    @property
    def threshold(self) -> float:
        return self.profile.sure_from

    @property
    def tells_strangers(self) -> bool:
        return self.profile.guard is not None

    def load(self) -> None:
        engine.load(self.run)

    def frame(self, pixels: np.ndarray, place: Place) -> Framed:
        return place.frame(pixels, self.run.size, known(self.run))

    def answer(self, frames: np.ndarray) -> tuple[Answers, list[Voice]]:
        started = time.perf_counter()
        beliefs, embeddings = look(self.run, frames)
        probabilities = self.profile.head.probabilities(embeddings, beliefs)
        elapsed = (time.perf_counter() - started) * 1000
        answers = Answers(probabilities, np.full(len(frames), elapsed / max(1, len(frames))), embeddings)
        return answers, voices(self.profile.guard, probabilities, embeddings, frames, self.threshold)


def lab_reader(profile: LabProfile) -> LabReader:
    """The reader of ``profile``. Raises `LabError` where its run is not here or knows other classes."""
    try:
        run = find_run(profile.run, profile.dataset)
    except RunNotFound as error:
        raise LabError(
            f"The profile {profile.name!r} was made for the model {profile.run}, which is not on this computer. Teach "
            "your laboratory anew with a model that is."
        ) from error
    except HemaLensError as error:
        raise LabError(str(error)) from error
    if run.codes != profile.codes:
        raise LabError(f"The profile {profile.name!r} names other classes than the model {run.name}: teach it anew.")
    return LabReader(run, profile)
