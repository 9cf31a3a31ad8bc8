"""Another laboratory's pictures with their labels, read as uploads are, and what a run says of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.datasets import DatasetUnavailable, get_dataset
from core.datasets.own import folder_of
from core.evaluation import softmax
from core.evaluation.elsewhere import score_elsewhere
from core.progress import Progress
from core.runs import Run
from core.serving import engine
from core.serving.decode import DecodeError, decode
from core.serving.framing import FramedBatch, frame_batch
from core.serving.predict import sure_threshold


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


def lab_pictures(name: str, report: Callable[[Progress], None] = lambda progress: None) -> LabPictures:
    """All readable pictures of data set ``name``, which the user added from a folder. Raises `DatasetUnavailable`."""
    spec, folder = get_dataset(name), folder_of(name)
    place = folder.place
    if place is None:
        raise DatasetUnavailable(
            f"The folder of {spec.title} is gone. Add it again: python -m core datasets add {name} ..."
        )
    scan = folder.scan(place)
    groups = folder.groups()
    every = [(file, label) for label, code in enumerate(spec.codes) for file in scan.files.get(code, ())]
    pixels, kept, unreadable = [], [], {}
    for done, (file, label) in enumerate(every, 1):
        try:
            pixels.append(decode((place / file).read_bytes(), file).pixels)
            kept.append((file, label))
        except (DecodeError, OSError) as error:
            unreadable[file] = getattr(error, "reason", str(error))
        if done % 50 == 0 or done == len(every):
            report(Progress(done, len(every), "reading the pictures", "picture"))
    if not kept:
        raise DatasetUnavailable(f"None of the {len(every)} pictures of {spec.title} can be read.")
    files, labels = zip(*kept, strict=True)
    slides = tuple(groups.get(file, file) for file in files) if groups else None
    return LabPictures(name, tuple(pixels), files, np.array(labels, np.int64), spec.codes, slides, unreadable)


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


def evaluate_on(run: Run, lab: LabPictures) -> tuple[dict, FramedBatch]:
    """Figures of ``run`` on the laboratory's pictures (see `score_elsewhere`), and how they were framed.

    ``lab_codes`` are the classes that have readable pictures there, in the run's order: the rows of ``confusion``.
    """
    labels, there = in_terms_of(lab, run)
    framed = frame_batch(lab.pixels, get_dataset(run.dataset), run.size)
    logits = [
        engine.logits(run, framed.pixels[start : start + engine.BATCH]) for start in range(0, len(lab), engine.BATCH)
    ]
    probabilities = softmax(np.concatenate(logits))
    figures = score_elsewhere(labels, probabilities, there, lab.slides, sure_threshold(run))
    return {"lab_codes": [run.codes[k] for k in there], **figures}, framed
