"""What pages look at, cached and read-only: data sets, their statistics, runs, predictions, studies.

Everything here is shared between visitors (`st.cache_resource` returns the same object to all), so
nobody may write into what it returns; arrays are marked read-only where they are loaded. What is computed from runs is
cached under their versions (`BY_VERSION`), what is computed from images under `images_version`: a run or a file that
was replaced is read anew.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from core import paths
from core.adaptation import head
from core.datasets import DatasetUnavailable, LoadedDataset, dataset_names, get_dataset
from core.datasets.folders import registry_entry
from core.datasets.statistics import Summary, load_summary
from core.progress import Progress
from core.runs import Predictions, Run, RunNotFound, list_runs
from core.studies import Study, list_studies
from dashboard.page import ProgressBar
from dashboard.url_state import DEFAULT_DATASET


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
    return list(_runs(dataset, _runs_version()))


@st.cache_resource(max_entries=16, show_spinner=False)
def _runs(dataset: str | None, files: str) -> list[Run]:
    return list_runs(dataset, thorough=True)


def _runs_version() -> str:
    return files_version(paths.shipped_runs_root(), paths.user_runs_root())


def files_version(*roots: Path) -> str:
    """A hash that changes with any file that is one of ``roots``, or lies below it."""
    marks = []
    for root in roots:
        marks.append(str(root))
        below = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in (*names, ".")]
        for path in [str(root), *below]:
            with suppress(OSError):  # not there, being replaced at this moment, or closed to us
                file = os.stat(path)
                marks.append(f"{path} {file.st_mtime_ns} {file.st_ctime_ns} {file.st_size}")
    return hashlib.sha256("\n".join(marks).encode("utf-8", "surrogateescape")).hexdigest()


def version(run: Run) -> str:
    """`Run.version`, read once for each object: `runs` hands out new ones when a file was replaced."""
    known = vars(run)
    if _VERSION not in known:
        known[_VERSION] = run.version
    return known[_VERSION]


_VERSION = "_version_at_first_sight"
BY_VERSION: dict[Any, Any] = {Run: version}  # hash_funcs of cached functions that are given runs


def studies() -> list[Study]:
    """All studies by data set, kind and name. New ones appear by themselves."""
    return list(_studies(_runs_version()))


@st.cache_resource(max_entries=4, show_spinner=False)
def _studies(files: str) -> list[Study]:
    return list_studies()


@st.cache_resource(max_entries=128, show_spinner=False, hash_funcs=BY_VERSION)
def predictions(run: Run, split: str = "test") -> Predictions:
    """A run's stored answers on a split, read once."""
    answers = run.predictions(split)
    for array in (answers.ids, answers.labels, answers.logits):
        array.setflags(write=False)
    return answers


def images_version(dataset: str) -> str:
    """Changes when the images of ``dataset`` are replaced, moved, or named elsewhere; nothing is read.

    That is told by the files and folders of its name in the data folder, and by those in the folder that holds one
    folder a class; a single picture that was overwritten there shows when the program starts again.
    """
    root = paths.data_root()
    folders = [root, root / dataset]
    if named := registry_entry(dataset).get("folder"):
        folders.append(Path(named))
    marks = [str(folder) for folder in folders]
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if folder is not root or dataset in entry.name:
                    file = entry.stat()
                    marks.append(f"{entry.path} {file.st_mtime_ns} {0 if entry.is_dir() else file.st_size}")
    return hashlib.sha256("\n".join(sorted(marks)).encode()).hexdigest()


def dataset_images(name: str, size: int, content_hash: str | None = None, scheme: str = "") -> LoadedDataset:
    """The images of a data set at ``size`` px; raises `DatasetUnavailable` (never cached) with what to do.

    With ``content_hash`` only the build of that content, for instance the one a run was scored on. ``scheme`` is the
    way to split it, '' for the data set's own or first.
    """
    _read_folder_first(name, size)
    return _dataset_images(name, size, content_hash, scheme, images_version(name))


@st.cache_resource(show_spinner=False)
def _folders_read() -> set[tuple[str, int, str]]:
    """What was read from folders since the program began."""
    return set()


def _read_folder_first(name: str, size: int) -> None:
    """Decode a folder's pictures under a bar: the first time it may take minutes, afterwards they lie on the disk."""
    key, spec = (name, size, images_version(name)), get_dataset(name)
    if not spec.schemes or key in _folders_read():
        return

    def line(step: Progress) -> str:
        return f"{spec.title}, the first time: {step.message} ({step.done:,} of {step.total:,})"

    with ProgressBar(f"Reading the pictures of {spec.title}", line) as bar:
        spec.load(size, report=bar)
    _folders_read().add(key)


@st.cache_resource(max_entries=2, show_spinner="Reading the images")
def _dataset_images(name: str, size: int, content_hash: str | None, scheme: str, version: str) -> LoadedDataset:
    dataset = get_dataset(name).load(size, content_hash, scheme)
    for split in dataset.splits.values():
        for array in (split.images, split.labels, split.ids):
            array.setflags(write=False)
    return dataset


def scored_images(run: Run) -> LoadedDataset | None:
    """The very images that a run was scored on; None where this computer hasn't got them."""
    if not is_available(run.dataset, run.size):
        return None
    content = run.config["dataset"]["provenance"]["content_hash"]
    return _scored_images(run.dataset, run.size, content, images_version(run.dataset))


@st.cache_resource(max_entries=2, show_spinner=False)
def _scored_images(name: str, size: int, content_hash: str, version: str) -> LoadedDataset | None:
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
def summary(name: str, size: int) -> Summary | None:
    """The shipped statistics of a data set at ``size`` px; None where none was computed."""
    return load_summary(name, size)


def is_available(name: str, size: int) -> bool:
    """True where the images are on this computer already (a look at the disk, nothing is read)."""
    dataset = get_dataset(name)
    return size in dataset.sizes and dataset.available(size)


def base_run(dataset: str) -> Run | None:
    """The run that laboratories build on; None where no network is installed."""
    return _base_run(dataset, _runs_version())


@st.cache_resource(max_entries=8, show_spinner=False)
def _base_run(dataset: str, files: str) -> Run | None:
    try:
        return head.base_run(dataset)
    except RunNotFound:
        return None
