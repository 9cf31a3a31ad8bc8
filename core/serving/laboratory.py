"""Another laboratory's pictures with their labels, read as uploads are, and what a run says of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import paths
from core.datasets import DatasetUnavailable, dataset_names, get_dataset
from core.datasets.folders import registered
from core.datasets.own import folder_of
from core.evaluation.doubt import doubt
from core.evaluation.elsewhere import score_elsewhere
from core.progress import Progress, Report, silent
from core.runs import Run, write_json
from core.serving import engine
from core.serving.decode import decode_files
from core.serving.framing import FramedBatch, frame_batch
from core.serving.guarding import list_thresholds, voiced
from core.serving.predict import classify_in_batches, sure_threshold


@dataclass(frozen=True)
class LabPictures:
    """N pictures of one laboratory as they came: ``pixels`` uint8 (H, W, 3) each, ``ids`` their files.

    ``labels`` int64 (N,) index into ``codes``, the classes that the laboratory has; ``slides``: name of each
    picture's slide or person, None where no table tells. ``unreadable``: file to reason.
    """

    name: str
    pixels: tuple[np.ndarray, ...]
    ids: tuple[str, ...]
    labels: np.ndarray
    codes: tuple[str, ...]
    slides: tuple[str, ...] | None
    unreadable: dict[str, str]

    def __len__(self) -> int:
        return len(self.ids)


def lab_pictures(name: str, report: Report = silent) -> LabPictures:
    """All readable pictures of data set ``name``, which the user added from a folder. Raises `DatasetUnavailable`."""
    spec, folder = get_dataset(name), folder_of(name)
    place = folder.place
    if place is None:
        raise DatasetUnavailable(
            f"The folder of {spec.title} is gone. Add it again: python -m core datasets add {name} ..."
        )
    scan = folder.scan(place)
    groups = folder.groups()
    every = {file: label for label, code in enumerate(spec.codes) for file in scan.files.get(code, ())}
    pixels, unreadable = decode_files(place, tuple(every), report)
    if not pixels:
        raise DatasetUnavailable(f"None of the {len(every)} pictures of {spec.title} can be read.")
    labels = np.array([every[file] for file in pixels], np.int64)
    slides = tuple(groups.get(file, file) for file in pixels) if groups else None
    return LabPictures(name, tuple(pixels.values()), tuple(pixels), labels, spec.codes, slides, unreadable)


def in_terms_of(lab: LabPictures, run: Run) -> tuple[np.ndarray, list[int]]:
    """Labels int64 (N,) as indexes into the run's classes, and those of the laboratory's classes among them.

    Raises `DatasetUnavailable` where the run does not know one of them.
    """
    strange = [code for code in lab.codes if code not in run.codes]
    if strange:
        raise DatasetUnavailable(
            f"{run.name} does not know {', '.join(strange)}, which {lab.name} has. Add its pictures in classes that "
            f"it knows: python -m core datasets add {lab.name} FOLDER --maps-to {run.dataset}"
        )
    place = np.array([run.codes.index(code) for code in lab.codes])
    return place[lab.labels], sorted(place[np.unique(lab.labels)].tolist())


def evaluate_on(run: Run, lab: LabPictures, report: Report = silent) -> tuple[dict, FramedBatch]:
    """Figures of ``run`` on the laboratory's pictures (see `score_elsewhere`), and how they were framed.

    ``lab_codes`` are the classes that have readable pictures there, in the run's order: the rows of ``confusion``.
    ``voices``: the share of each voice, and of all cells that are answered sure and wrong (`core.serving.guard`);
    ``doubt``: how far its certainty goes, see `core.evaluation.doubt.doubt`.
    """
    labels, there = in_terms_of(lab, run)
    framed = frame_batch(lab.pixels, get_dataset(run.dataset), run.size)
    batches = [framed.pixels[start : start + engine.BATCH] for start in range(0, len(lab), engine.BATCH)]
    parts, heard = [], []
    for frames, answers in zip(batches, classify_in_batches(batches, run), strict=True):
        parts.append(answers.probabilities)
        heard += voiced(run, answers, frames)
        report(Progress(len(heard), len(lab), "asking the model", "picture"))
    probabilities, sure_from = np.concatenate(parts), sure_threshold(run)
    wrong = probabilities.argmax(1) != labels
    spoken = np.array([voice.kind for voice in heard])
    shares = {kind: float((spoken == kind).mean()) for kind in ("sure", "unsure", "foreign")}
    figures = score_elsewhere(labels, probabilities, there, lab.slides, sure_from) | {
        "voices": shares | {"sure_and_wrong": float(((spoken == "sure") & wrong).mean())},
        "doubt": doubt(labels, probabilities, list_thresholds(run), sure_from),
    }
    return {"lab_codes": [run.codes[k] for k in there], **figures}, framed


def labs_for(run: Run) -> list[str]:
    """The names of the laboratories that the user added for the data set of ``run`` whose classes it knows."""
    return [
        name
        for name in dataset_names()
        if registered(name).get("maps_to") == run.dataset and set(get_dataset(name).codes) <= set(run.codes)
    ]


def keep(run: Run, name: str, figures: Mapping[str, Any]) -> None:
    """Remember `evaluate_on`'s figures of ``run`` on laboratory ``name`` in the user's cache, for Compare."""
    path = _kept_in(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**kept(run), name: figures})


def kept(run: Run) -> dict[str, dict[str, Any]]:
    """The figures that `keep` remembers of ``run``, by the laboratory's name."""
    try:
        return json.loads(_kept_in(run).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # never asked, or a file that is worth asking anew
        return {}


def _kept_in(run: Run) -> Path:
    return paths.cache_root() / "elsewhere" / run.dataset / f"{run.name}.json"
