"""What pages look at, cached and read-only: data sets, their statistics, runs, predictions, studies.

Everything here is shared between visitors (`st.cache_resource` returns the same object to all), so
nobody may write into what it returns; arrays are marked read-only where they are loaded. A key holds the version of
all files that its value depends on, so that a run which was replaced is read anew.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from core import paths
from core.adaptation import head
from core.datasets import DatasetSpec, DatasetUnavailable, LoadedDataset, dataset_names, get_dataset
from core.progress import Progress
from core.runs import Predictions, Run, RunNotFound, list_runs
from core.studies import FOLDER, Study, list_studies
from dashboard.url_state import DEFAULT_DATASET


def spec(name: str) -> DatasetSpec:
    """The spec of a data set; KeyError where there is none of that name."""
    return get_dataset(name)


def datasets() -> dict[str, int]:
    """The data sets that have models or images on this computer, each with its number of models.

    BloodMNIST stands first and is always there, drawn cells stand last.
    """
    models = Counter(run.dataset for run in runs())
    return {
        name: models[name]
        for name in dataset_names()
        if models[name] or name == DEFAULT_DATASET or any(map(get_dataset(name).available, get_dataset(name).sizes))
    }


def runs_without_dataset() -> dict[str, int]:
    """How many runs there are of each data set that is not known here any more."""
    registered = set(dataset_names())
    return dict(Counter(run.dataset for run in runs() if run.dataset not in registered))


def runs(dataset: str | None = None) -> list[Run]:
    """All whole runs (of one data set): shipped ones first, then by val accuracy. New ones appear by themselves."""
    return list(_runs(dataset, _versions(paths.shipped_runs_root(), paths.user_runs_root())))


@st.cache_resource(max_entries=16, show_spinner=False)
def _runs(dataset: str | None, marks: tuple[tuple[str, int], ...]) -> list[Run]:
    return list_runs(dataset)


def _versions(*roots: Path) -> tuple[tuple[str, int], ...]:
    """Every run folder with its time of change: replacing a file in a run, or adding a run, changes it."""
    versions = []
    for root in roots:
        versions.append((str(root), 0))
        for path in sorted(root.glob("*/*")):
            try:
                versions.append((str(path), path.stat().st_mtime_ns))
            except FileNotFoundError:  # a run being replaced at this moment
                continue
    return tuple(versions)


def version(run: Run) -> tuple[str, int]:
    """A run's folder and its time of change: what everything computed from the run depends on."""
    return str(run.path), run.path.stat().st_mtime_ns


def studies() -> list[Study]:
    """All studies by data set, kind and name. New ones appear by themselves."""
    roots = (paths.shipped_runs_root(), paths.user_runs_root())
    files = [path for root in roots for path in sorted(root.glob(f"*/{FOLDER}/*.json"))]
    return list(_studies(tuple((str(path), path.stat().st_mtime_ns) for path in files)))


@st.cache_resource(max_entries=4, show_spinner=False)
def _studies(marks: tuple[tuple[str, int], ...]) -> list[Study]:
    return list_studies()


def predictions(run: Run, split: str = "test") -> Predictions:
    """A run's stored answers on a split, read once."""
    return _predictions(*version(run), split)


@st.cache_resource(max_entries=128, show_spinner=False)
def _predictions(path: str, changed: int, split: str) -> Predictions:
    answers = Run(Path(path)).predictions(split)
    for array in (answers.ids, answers.labels, answers.logits):
        array.setflags(write=False)
    return answers


def dataset_images(name: str, size: int, content_hash: str | None = None, scheme: str = "") -> LoadedDataset:
    """The images of a data set at ``size`` px; raises `DatasetUnavailable` (never cached) with what to do.

    With ``content_hash`` only the build of that content, for instance the one a run was scored on. ``scheme`` is the
    way to split it, '' for the data set's own or first.
    """
    _read_folder_first(name, size)
    return _dataset_images(name, size, content_hash, scheme, str(paths.data_root()))


@st.cache_resource(show_spinner=False)
def _folders_read() -> set[tuple[str, int, str]]:
    """What was read from folders since the program began."""
    return set()


def _read_folder_first(name: str, size: int) -> None:
    """Decode a folder's pictures under a bar: the first time it may take minutes, afterwards they lie on the disk."""
    key = (name, size, str(paths.data_root()))
    spec = get_dataset(name)
    if not spec.schemes or key in _folders_read():
        return
    bar = st.progress(0.0, text=f"Reading the pictures of {spec.title}")
    try:
        spec.load(
            size, report=lambda step: bar.progress(step.done / step.total, text=_folder_progress(step, spec.title))
        )
    finally:
        bar.empty()
    _folders_read().add(key)


def _folder_progress(step: Progress, title: str) -> str:
    return f"{title}, the first time: {step.message} ({step.done:,} of {step.total:,})"


@st.cache_resource(max_entries=2, show_spinner="Reading the images")
def _dataset_images(name: str, size: int, content_hash: str | None, scheme: str, root: str) -> LoadedDataset:
    dataset = get_dataset(name).load(size, content_hash, scheme)
    for split in dataset.splits.values():
        for array in (split.images, split.labels, split.ids):
            array.setflags(write=False)
    return dataset


def scored_images(run: Run) -> LoadedDataset | None:
    """The very images that a run was scored on; None where this computer hasn't got them."""
    if not is_available(run.dataset, run.size):
        return None
    root = paths.data_root()
    changed = root.stat().st_mtime_ns if root.exists() else 0
    return _scored_images(
        run.dataset, run.size, run.config["dataset"]["provenance"]["content_hash"], str(root), changed
    )


@st.cache_resource(max_entries=2, show_spinner=False)
def _scored_images(name: str, size: int, content_hash: str, root: str, changed: int) -> LoadedDataset | None:
    """Remembers a no as well: to find out that a file is another build, all of it must be read."""
    try:
        return dataset_images(name, size, content_hash)
    except DatasetUnavailable:
        return None


class TestPictures:
    """The test pictures that ``run`` was scored on, by their ids."""

    def __init__(self, run: Run, loaded: LoadedDataset) -> None:
        self.run, self._images = run, loaded["test"].images
        self._places = {identity: place for place, identity in enumerate(loaded["test"].ids.tolist())}

    def get(self, identity: str) -> np.ndarray | None:
        """A picture uint8 (S, S, 3); None where there is none of that id."""
        place = self._places.get(identity)
        return None if place is None else self._images[place]


def largest_pictures(runs: Sequence[Run]) -> TestPictures | str:
    """The largest test pictures of ``runs`` (one or more) that are on this computer; else a sentence why none."""
    by_size = sorted(runs, key=lambda run: -run.size)
    for run in by_size:
        loaded = scored_images(run)
        if loaded is not None:
            return TestPictures(run, loaded)
    run = by_size[0]
    return f"Pictures appear here once {run.provenance} at {run.size} px is on this computer (see Dataset)."


@st.cache_resource(max_entries=16, show_spinner=False)
def summary(name: str, size: int) -> Any | None:
    """The shipped statistics of a data set at ``size`` px; None where none was computed."""
    from core.datasets.statistics import load_summary

    return load_summary(name, size)


def is_available(name: str, size: int) -> bool:
    """True where the images are on this computer already (a look at the disk, nothing is read)."""
    dataset = get_dataset(name)
    return size in dataset.sizes and dataset.available(size)


def base_run(dataset: str) -> Run | None:
    """The run that laboratories build on; None where no network is installed."""
    return _base_run(dataset, tuple(version(run) for run in runs(dataset)))


@st.cache_resource(max_entries=8, show_spinner=False)
def _base_run(dataset: str, marks: tuple[tuple[str, int], ...]) -> Run | None:
    try:
        return head.base_run(dataset)
    except RunNotFound:
        return None
