"""What is computed from runs' stored answers, cached and shared between visitors: nobody may write into it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st

from core.datasets.twins import Member, identical_images
from core.evaluation import softmax
from core.evaluation.curves import ClassCurves, class_curves
from core.evaluation.doubt import doubt
from core.evaluation.hardest import Combined, Hardness, Votes, combined, gather, hardness
from core.runs import Run
from core.serving.guarding import list_thresholds
from core.serving.predict import sure_threshold
from dashboard import catalogue


@dataclass(frozen=True)
class Hard:
    """The test images of ``runs`` as all of them answered; ``left_out`` are runs that could not take part."""

    runs: tuple[Run, ...]
    left_out: tuple[Run, ...]
    votes: Votes
    hardness: Hardness
    combined: Combined


def curves(run: Run, index: int) -> ClassCurves | None:
    """ROC and precision-recall curves of class ``index`` on test; None where there is nothing to tell apart."""
    return _curves(*catalogue.mark(run), index)


@st.cache_resource(max_entries=512, show_spinner=False)
def _curves(path: str, changed: int, index: int) -> ClassCurves | None:
    answers = catalogue.predictions(Run(Path(path)))
    return class_curves(answers.labels, softmax(answers.logits), index)


def doubt_at_home(run: Run) -> dict[str, Any]:
    """How far the run's certainty can be trusted on its test images, see `core.evaluation.doubt.doubt`."""
    return _doubt(*catalogue.mark(run))


@st.cache_resource(max_entries=128, show_spinner=False)
def _doubt(path: str, changed: int) -> dict[str, Any]:
    run = Run(Path(path))
    answers = catalogue.predictions(run)
    return doubt(answers.labels, softmax(answers.logits), list_thresholds(run), sure_threshold(run))


def voters(runs: Sequence[Run]) -> list[Run]:
    """The runs whose answers may be counted together: of the data that most of ``runs`` were scored on.

    Combinations (ensembles, averaged views) don't vote: the models that they ask do already.
    """
    single = [run for run in runs if run.kind != "combination"] or list(runs)
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in single:
        groups.setdefault((run.dataset, run.provenance, run.scheme, *run.codes), []).append(run)
    return max(groups.values(), key=len, default=[])


def hard(runs: Sequence[Run]) -> Hard:
    """How hard each test image is to ``runs`` (one or more, of one data set)."""
    found = _hard(tuple(catalogue.mark(run) for run in runs))
    by_path = {str(run.path): run for run in runs}  # the page's own objects, which have read their files already
    return replace(
        found,
        runs=tuple(by_path[str(run.path)] for run in found.runs),
        left_out=tuple(by_path[str(run.path)] for run in found.left_out),
    )


@st.cache_resource(max_entries=16, show_spinner="Asking every model about every test picture")
def _hard(marks: tuple[tuple[str, int], ...]) -> Hard:
    runs = [Run(Path(path)) for path, _ in marks]
    votes, out = gather([catalogue.predictions(run) for run in runs])
    for array in (votes.ids, votes.labels, votes.answers, votes.mean):
        array.setflags(write=False)
    inside = tuple(run for place, run in enumerate(runs) if place not in out)
    return Hard(inside, tuple(runs[place] for place in out), votes, hardness(votes), combined(votes))


def twins(run: Run) -> dict[str, tuple[Member, ...]]:
    """By id of a test image: the other images of the data set that are the same picture. {} without the images."""
    if catalogue.scored_on(run) is None:
        return {}
    return _twins(run.dataset, run.size, run.config["dataset"]["provenance"]["content_hash"], catalogue.mark(run)[0])


@st.cache_resource(max_entries=4, show_spinner="Looking for identical pictures")
def _twins(name: str, size: int, content_hash: str, path: str) -> dict[str, tuple[Member, ...]]:
    found: dict[str, tuple[Member, ...]] = {}
    loaded = catalogue.scored_on(Run(Path(path)))
    for members in identical_images(loaded) if loaded is not None else ():
        for one in members:
            if one.split == "test":
                found[one.id] = tuple(other for other in members if other != one)
    return found
