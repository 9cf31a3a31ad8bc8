"""A laboratory's profile on disk: one small file of numbers, without pictures or code, to give away or to delete; and
the predictor that answers with it.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core import paths
from core.adaptation.active import ActiveLearner
from core.adaptation.estimate import AccuracyEstimate, apply_temperature, others_text
from core.adaptation.head import Head
from core.adaptation.oddness import IN_LAB_SHARE, fit_lab_detector
from core.errors import HemaLensError, plain_reason
from core.inference.ood import OODDetector
from core.inference.predictor import FALLBACK_CONFIDENCE_THRESHOLD, PROFILE_SET_THRESHOLD, Predictor
from core.inference.specimen import ANY_SPECIMEN, SPECIMENS, Specimen, find_specimen
from core.probabilities import NEVER_SURE, spoken_sets
from core.runs import Run, RunNotFound, find_run
from core.schema import (
    CODES,
    COUNT,
    DATASET,
    NAME,
    SHARE,
    SHARE_OR_NONE,
    TEXT,
    Schema,
    check_shape,
    list_of,
    optional,
    parse_json,
    record,
)
from core.storage import locked, read_tensors, save_tensors

SUFFIX = ".safetensors"
_VERSION = 5  # all before it are read as well
_HEAD = ("centre", "spread", "weights", "prior")
MIN_PROFILE_CELLS, MIN_PROFILE_ANSWERS = 30, 20  # with fewer a profile warns of itself
_MAX_BYTES = 4 * 2**20  # bytes: a profile takes about 100 kB
_MAX_SIDE = 4000  # px: a square of it is 48 MB
_LOCK_WAIT = 10.0  # seconds


class ProfileError(HemaLensError):
    """A laboratory's profile can't be read, written or used; the message says what to do."""


@dataclass(frozen=True)
class LabProfile:
    """What one laboratory taught ``run`` (a run's name) of ``dataset``.

    ``side``: of the square that is cut round a cell, px of the laboratory's pictures; None where they have the official
    shape. ``codes``: classes of the answers; ``labelled``: how many cells of each were labelled; ``cells``: how many it
    was fitted on. ``before``, ``after``: estimated shares right with their 95 % intervals among the ``unnamed`` cells,
    which nobody named (in files of older versions among all: None); None where there were too few answers.
    ``calibration_error``: by how much its confidences are expected to miss the share right, 0 to 1.
    ``specimen``: key of what its cells are of, by which its answers are weighed ('any' in files of older versions).
    ``left_out``: of each named cell its class, what it was called while it was left out of the teaching, and whether a
    look was asked for then; () where there were too few, and in files of older versions.
    ``confidence_threshold``: top probability from which an answer is sure. ``ood_detector`` tells what is out of
    distribution; ``in_distribution_share`` of the laboratory's own cells are promised not to be.
    """

    name: str
    run: str
    dataset: str
    codes: tuple[str, ...]
    side: float | None
    head: Head
    cells: int
    labelled: Mapping[str, int]
    confidence_threshold: float
    before: tuple[float, float, float] | None = None
    after: tuple[float, float, float] | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    ood_detector: OODDetector | None = None
    unnamed: int | None = None
    calibration_error: float | None = None
    in_distribution_share: float | None = None
    specimen: str = ANY_SPECIMEN.key
    left_out: tuple[tuple[int, int, bool], ...] = ()

    @property
    def named(self) -> int:
        """How many cells a person gave a class."""
        return sum(self.labelled.values())

    @property
    def others(self) -> str:
        """The cells that its estimate is about: 'the other 140', 'cells like them' where all were named."""
        return others_text(self.unnamed)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What must be said wherever it is shown, a sentence each: that it is made of little, or sure of nothing."""
        few = []
        if self.cells < MIN_PROFILE_CELLS:
            few.append(f"Made of {self.cells} cells only: what it says of itself is rough below {MIN_PROFILE_CELLS}.")
        if self.named < MIN_PROFILE_ANSWERS:
            few.append(f"Taught by {self.named} answers only: {MIN_PROFILE_ANSWERS} or more make it reliable.")
        if self.named >= MIN_PROFILE_ANSWERS and self.confidence_threshold >= 1:
            few.append("No answer will be sure: of so many answers too many were wrong. More of them may change that.")
        if self.ood_detector is None:
            few.append(
                "It can't tell odd cells: its model has no detector, and it was made of too few cells for its own."
            )
        return tuple(few)


def make_profile(name: str, run: Run, learner: ActiveLearner) -> LabProfile:
    """The profile ``name`` of what ``learner`` about ``run`` has come to."""
    _, labels = learner.labelled
    estimate = learner.estimate()
    counts = np.bincount(labels, minlength=len(run.codes))
    accuracies: list[tuple[float, float, float] | None] = [None, None]
    if estimate:
        accuracies = [(estimate.before, *estimate.before_interval), (estimate.after, *estimate.after_interval)]
    head = replace(learner.head, temperature=estimate.temperature) if estimate else learner.head
    posterior = head.probabilities(learner.cells.embeddings, learner.cells.probabilities)
    detector = fit_lab_detector(run, learner, posterior)
    return LabProfile(
        name=checked_name(name),
        run=run.name,
        dataset=run.dataset,
        codes=run.codes,
        side=learner.cells.scale.side,
        head=head,
        cells=len(learner.cells),
        labelled={code: int(n) for code, n in zip(run.codes, counts, strict=True) if n},
        confidence_threshold=estimate.confidence_threshold if estimate else FALLBACK_CONFIDENCE_THRESHOLD,
        before=accuracies[0],
        after=accuracies[1],
        ood_detector=detector,
        in_distribution_share=IN_LAB_SHARE if detector else None,
        specimen=learner.specimen.key,
        unnamed=estimate.unnamed if estimate else None,
        calibration_error=estimate.calibration_error if estimate else None,
        left_out=left_out_answers(estimate) if estimate else (),
    )


def left_out_answers(estimate: AccuracyEstimate) -> tuple[tuple[int, int, bool], ...]:
    """What ``estimate`` tells of each named cell, as `LabProfile.left_out` has it."""
    looks = asks_for_a_look(apply_temperature(estimate.left_out, estimate.temperature), estimate.confidence_threshold)
    answers = zip(estimate.labels, estimate.after_predicted, looks, strict=True)
    return tuple((int(label), int(predicted), bool(look)) for label, predicted, look in answers)


def asks_for_a_look(probabilities: np.ndarray, confidence_threshold: float) -> np.ndarray:
    """For which answers (N, C) of a profile with this threshold more than one class is named: bool (N,)."""
    set_thresholds = np.full(probabilities.shape[1], PROFILE_SET_THRESHOLD)
    return spoken_sets(probabilities, set_thresholds, confidence_threshold).sum(1) > 1


def checked_name(name: str) -> str:
    """``name`` as a profile may be called. Raises `ProfileError`."""
    name = name.strip()
    if not re.fullmatch(r"\w[\w .-]{0,59}", name) or name.endswith("."):
        raise ProfileError(
            f"A laboratory can't be called {name!r}: use letters, digits, spaces, dots, - and _, at most 60 of them."
        )
    return name


def profiles_folder() -> Path:
    """Where the profiles lie."""
    return paths.cache_root() / "labs"


def profile_path(name: str) -> Path:
    """The file of profile ``name``, which needn't exist."""
    return profiles_folder() / f"{checked_name(name)}{SUFFIX}"


def list_profiles() -> list[LabProfile]:
    """All profiles that can be read, the newest first. Raises `ProfileError` where their folder can't be."""
    read = [_read_own(path) for path in _files()]
    profiles = [profile for profile in read if isinstance(profile, LabProfile)]
    return sorted(profiles, key=lambda profile: profile.created, reverse=True)


def damaged_profiles() -> dict[Path, str]:
    """The files among the profiles that can't be read, each with the reason. Raises `ProfileError`."""
    return {path: found for path in _files() if isinstance(found := _read_own(path), str)}


def _files() -> list[Path]:
    folder = profiles_folder()
    try:
        return sorted(p for p in folder.iterdir() if p.name.endswith(SUFFIX)) if folder.exists() else []
    except OSError as error:
        raise ProfileError(f"The laboratories in {folder} can't be read ({plain_reason(error)}).") from error


def _read_own(path: Path) -> LabProfile | str:
    """The profile in ``path``, which must be called as it says; else the reason why not."""
    try:
        profile = read_profile(path)
        if profile_path(profile.name).name != path.name:
            raise ProfileError(f"{path.name} names itself {profile.name!r}: export and import it under that name.")
        return profile
    except ProfileError as error:
        return str(error)


def find_profile(name: str) -> LabProfile:
    """The profile called ``name``. Raises `ProfileError`, which names those there are."""
    path = profile_path(name)
    if not path.is_file():
        names = ", ".join(profile.name for profile in list_profiles()) or "none yet"
        raise ProfileError(f"No laboratory is called {name!r}; there are: {names}.")
    found = _read_own(path)
    if isinstance(found, str):
        raise ProfileError(found)
    return found


def save_profile(profile: LabProfile, *, is_new: bool = False) -> Path:
    """Write ``profile`` into the user's folder, in place of one of its name unless it ``is_new``.

    Two that save one profile do so one after the other. Raises `ProfileError`, `core.storage.Locked`.
    """
    path = profile_path(profile.name)
    arrays = {f"head.{name}": np.ascontiguousarray(getattr(profile.head, name)) for name in _HEAD}
    facts = {f.name: getattr(profile, f.name) for f in fields(profile) if f.name not in ("head", "ood_detector")}
    facts |= {"version": _VERSION, "temperature": profile.head.temperature}
    if profile.ood_detector:
        parts, facts["detector"] = profile.ood_detector.to_tensors()
        arrays |= {f"detector.{key}": array for key, array in parts.items()}
    try:
        with locked(path, _LOCK_WAIT):
            if is_new and path.exists():
                raise ProfileError(
                    f"There is a laboratory called {profile.name!r} already. Delete it first, or choose another name."
                )
            save_tensors(path, arrays, {"profile": json.dumps(facts)})
    except OSError as error:
        raise ProfileError(
            f"The profile can't be written to {path.parent} ({error.strerror}). Free some room or check "
            "the folder's permissions."
        ) from error
    return path


def read_profile(path: Path) -> LabProfile:
    """The profile in the file ``path``, which may come from anywhere. Raises `ProfileError`."""
    try:
        arrays, metadata = read_tensors(path, _MAX_BYTES)
        facts = parse_json(metadata["profile"])
        _ANY_VERSION.check(facts)
        version, prefix = facts.pop("version"), "detector."
        if version == 1:
            facts["confidence_threshold"], facts["detector"] = facts.pop("sure_from"), facts.pop("guard", None)
            prefix = "guard."
        elif version not in range(2, _VERSION + 1):
            raise ValueError("another version of HemaLens wrote it")
        _FACTS.check(facts)
        checked_name(facts["name"])
        datetime.fromisoformat(facts["created"])
        facts["codes"] = tuple(facts["codes"])
        if strange := set(facts["labelled"]) - set(facts["codes"]):
            raise ValueError(f"it labels {', '.join(sorted(strange))}, which is none of its classes")
        head = _checked_head(arrays, float(facts.pop("temperature")), len(facts["codes"]))
        detector = None
        if text := facts.pop("detector", None):
            own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            detector = OODDetector.from_tensors(own, text)
        for key in ("before", "after"):
            facts[key] = tuple(facts[key]) if facts[key] else None
        facts["left_out"] = tuple(_left_out(row, len(facts["codes"])) for row in facts.get("left_out", ()))
        return LabProfile(head=head, ood_detector=detector, **facts)
    except Exception as error:  # whatever a file made to do harm may bring about
        raise ProfileError(
            f"{path.name} is no profile of a laboratory that can be read ({plain_reason(error)})."
        ) from error


def _checked_head(arrays: Mapping[str, np.ndarray], temperature: float, classes: int) -> Head:
    """Raises ValueError where the numbers of a head don't fit together."""
    centre, spread, weights, prior = parts = [arrays[f"head.{name}"] for name in _HEAD]
    if any(part.dtype.kind != "f" for part in parts) or centre.ndim != 1 or not len(centre):
        raise ValueError("its numbers don't fit together")
    check_shape("spread", spread, len(centre))
    check_shape("weights", weights, len(centre) + 1, classes)
    check_shape("prior", prior, classes)
    if spread.min() <= 0 or prior.min() < 0:
        raise ValueError("a spread or a share of its head is none")
    return Head(centre, spread, weights, prior, temperature)


_ANY_VERSION = Schema(record({"version": COUNT}))
_THREE_SHARES = optional(list_of(SHARE, 3, 3))
_FACTS = Schema(
    record(
        {
            "name": TEXT,
            "run": NAME,
            "dataset": DATASET,
            "codes": CODES,
            "side": optional({"type": "number", "minimum": 1, "maximum": _MAX_SIDE}),
            "cells": COUNT,
            "labelled": {"type": "object", "additionalProperties": COUNT},
            "confidence_threshold": {"type": "number", "minimum": 0, "maximum": NEVER_SURE},
            "temperature": {"type": "number", "minimum": 0.05, "maximum": 20},
            "created": TEXT,
        },
        {
            "before": _THREE_SHARES,
            "after": _THREE_SHARES,
            "unnamed": optional(COUNT),
            "calibration_error": SHARE_OR_NONE,
            "in_distribution_share": SHARE_OR_NONE,
            "specimen": {"enum": list(SPECIMENS)},
            "left_out": list_of(list_of({}, 3, 3), 100_000),
            "detector": optional({"type": "string", "maxLength": 100_000}),
        },
        closed=True,
    )
)


def _left_out(row: Sequence[Any], classes: int) -> tuple[int, int, bool]:
    """Raises ValueError for what `left_out_answers` doesn't give."""
    label, predicted, look = row
    if not all(type(k) is int and 0 <= k < classes for k in (label, predicted)) or type(look) is not bool:
        raise ValueError("its left-out answers name no classes")
    return label, predicted, look


def delete_profile(name: str) -> None:
    """Remove the profile ``name``, be it damaged. Raises `ProfileError` where there is none."""
    path = profile_path(name)
    try:
        with locked(path, _LOCK_WAIT):
            if not path.is_file():
                find_profile(name)
            path.unlink()
    except OSError as error:
        raise ProfileError(f"{path} can't be deleted ({plain_reason(error)}).") from error


def export_profile(name: str, target: Path) -> Path:
    """Copy the profile's file to ``target`` (a file or a folder). Raises `ProfileError`."""
    source = profile_path(find_profile(name).name)
    target = target / source.name if target.is_dir() else target
    try:
        return Path(shutil.copyfile(source, target))
    except OSError as error:
        raise ProfileError(f"{target} can't be written ({error.strerror}).") from error


def import_profile(path: Path, name: str | None = None) -> LabProfile:
    """Take over a profile that another computer exported, as ``name`` (its own, if None). Raises `ProfileError`."""
    profile = read_profile(path)
    if name:
        profile = replace(profile, name=checked_name(name))
    save_profile(profile, is_new=True)
    return profile


def predictor_for(profile: LabProfile, specimen: Specimen | None = None) -> Predictor:
    """What answers as ``profile`` was taught, at its scale, for cells of ``specimen`` (None: what it was taught for).

    Raises `ProfileError` where its run is not here or knows other classes.
    """
    try:
        run = find_run(profile.run, profile.dataset)
    except RunNotFound as error:
        raise ProfileError(
            f"The profile {profile.name!r} was made for the model {profile.run}, which is not on this computer. Teach "
            "your laboratory anew with a model that is."
        ) from error
    except HemaLensError as error:
        raise ProfileError(str(error)) from error
    if run.codes != profile.codes:
        raise ProfileError(
            f"The profile {profile.name!r} names other classes than the model {run.name}: teach it anew."
        )
    return Predictor(
        run,
        head=profile.head,
        detector=profile.ood_detector,
        threshold=profile.confidence_threshold,
        side=profile.side,
        name=profile.name,
        version=profile.created,
        specimen=specimen,
        taught_specimen=find_specimen(profile.specimen),
        odds_power=1 / profile.head.temperature,
        left_out=profile.left_out,
    )
