"""A laboratory's profile on disk: one small file of numbers, without pictures or code, to give away or to delete."""

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from core import paths
from core.errors import HemaLensError
from core.lab.head import Head
from core.lab.teaching import Teaching
from core.runs import Run
from core.serving.guard import Guard, fit_guard
from core.serving.predict import SURE_FALLBACK

SUFFIX = ".safetensors"
_VERSION = 1
_HEAD = ("centre", "spread", "weights", "prior")
_FEWEST_FOR_GUARD = 60
_LISTED_FROM = 0.05  # probability of a class that the laboratory seems not to have
_LARGEST = 4 * 2**20  # bytes: a profile takes about 100 kB


class LabError(HemaLensError):
    """A laboratory's profile can't be read, written or used; the message says what to do."""


@dataclass(frozen=True)
class LabProfile:
    """What one laboratory taught ``run`` (a run's name) of ``dataset``.

    ``side``: of the square that is cut round a cell, px of the laboratory's pictures; None where they have the
    official shape. ``codes``: classes of the answers; ``labelled``: how many cells of each were labelled; ``cells``:
    how many it was fitted on. ``before``, ``after``: estimated shares right with their 95 % intervals, None where
    there were too few answers. ``sure_from``: top probability from which an answer is sure. ``guard`` tells strange
    pictures.
    """

    name: str
    run: str
    dataset: str
    codes: tuple[str, ...]
    side: float | None
    head: Head
    cells: int
    labelled: Mapping[str, int]
    sure_from: float
    before: tuple[float, float, float] | None = None
    after: tuple[float, float, float] | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    guard: Guard | None = None


def make_profile(name: str, run: Run, teaching: Teaching) -> LabProfile:
    """The profile ``name`` of what ``teaching`` about ``run`` has come to."""
    _, labels = teaching.labelled
    estimate = teaching.estimate()
    counts = np.bincount(labels, minlength=len(run.codes))
    shares = [None, None]
    if estimate:
        shares = [(estimate.before, *estimate.before_interval), (estimate.after, *estimate.after_interval)]
    return LabProfile(
        name=checked_name(name),
        run=run.name,
        dataset=run.dataset,
        codes=run.codes,
        side=teaching.cells.scale.side,
        head=replace(teaching.head, temperature=estimate.temperature) if estimate else teaching.head,
        cells=len(teaching.cells),
        labelled={code: int(n) for code, n in zip(run.codes, counts, strict=True) if n},
        sure_from=SURE_FALLBACK,
        before=shares[0],
        after=shares[1],
        guard=_guard(teaching),
    )


def _guard(teaching: Teaching) -> Guard | None:
    """What is strange to this laboratory: its own cells set the measure, half of them the limit."""
    cells = teaching.cells
    if len(cells) < _FEWEST_FOR_GUARD:
        return None
    answers = teaching.probabilities
    half = np.random.default_rng(teaching.seed).permutation(len(cells)) % 2 == 0
    found = fit_guard(
        cells.embeddings[half],
        answers[half].argmax(1),
        cells.embeddings[~half],
        answers[~half],
        answers[~half].argmax(1),
        cells.frames[half],
        cells.frames[~half],
    )
    # A class of which the laboratory has no cell would stand in every short list: nothing sets its threshold.
    there = np.isin(np.arange(answers.shape[1]), answers[~half].argmax(1))
    return replace(found, thresholds=np.where(there, found.thresholds, _LISTED_FROM).astype(np.float32))


def checked_name(name: str) -> str:
    """``name`` as a profile may be called. Raises `LabError`."""
    name = name.strip()
    if not re.fullmatch(r"\w[\w .-]{0,59}", name) or name.endswith("."):
        raise LabError(
            f"A laboratory can't be called {name!r}: use letters, digits, spaces, dots, - and _, at most 60 of them."
        )
    return name


def folder() -> Path:
    """Where the profiles lie."""
    return paths.cache_root() / "labs"


def path_of(name: str) -> Path:
    """The file of profile ``name``, which needn't exist."""
    return folder() / f"{checked_name(name)}{SUFFIX}"


def list_profiles() -> list[LabProfile]:
    """All profiles that can be read, the newest first."""
    found = []
    for path in sorted(folder().glob(f"*{SUFFIX}")):
        try:
            found.append(read(path))
        except LabError:
            continue
    return sorted(found, key=lambda profile: profile.created, reverse=True)


def find_profile(name: str) -> LabProfile:
    """The profile called ``name``. Raises `LabError`, which names those there are."""
    path = path_of(name)
    if not path.exists():
        names = ", ".join(profile.name for profile in list_profiles()) or "none yet"
        raise LabError(f"No laboratory is called {name!r}; there are: {names}.")
    return read(path)


def save(profile: LabProfile) -> Path:
    """Write ``profile`` into the user's folder, in place of one of its name. Raises `LabError`."""
    path = path_of(profile.name)
    arrays = {f"head.{name}": np.ascontiguousarray(getattr(profile.head, name)) for name in _HEAD}
    facts = {f.name: getattr(profile, f.name) for f in fields(profile) if f.name not in ("head", "guard")}
    facts |= {"version": _VERSION, "temperature": profile.head.temperature}
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if profile.guard:
            parts, facts["guard"] = profile.guard.parts()
            arrays |= {f"guard.{key}": array for key, array in parts.items()}
        save_file(arrays, temporary, {"profile": json.dumps(facts)})
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise LabError(
            f"The profile can't be written to {path.parent} ({error.strerror}). Free some room or check "
            "the folder's permissions."
        ) from error
    return path


def read(path: Path) -> LabProfile:
    """The profile in the file ``path``, which may come from anywhere. Raises `LabError`."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is far larger than a profile")
        with safe_open(path, framework="numpy") as file:
            facts = json.loads(file.metadata()["profile"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
        if facts.pop("version") != _VERSION:
            raise ValueError("another version of HemaLens wrote it")
        head = Head(*(arrays[f"head.{name}"] for name in _HEAD), temperature=float(facts.pop("temperature")))
        guard = None
        if text := facts.pop("guard", None):
            guard = Guard.from_parts(
                {name.removeprefix("guard."): a for name, a in arrays.items() if name.startswith("guard.")}, text
            )
        facts["codes"] = tuple(facts["codes"])
        for key in ("before", "after"):
            facts[key] = tuple(facts[key]) if facts[key] else None
        checked_name(facts["name"])
        if head.weights.shape != (len(head.centre) + 1, len(facts["codes"])) or not np.isfinite(head.weights).all():
            raise ValueError("its numbers don't fit together")
        return LabProfile(head=head, guard=guard, **facts)
    except LabError:
        raise
    except Exception as error:  # safetensors raises a kind of its own that derives from Exception only
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise LabError(f"{path.name} is no profile of a laboratory that can be read ({reason}).") from error


def delete(name: str) -> None:
    """Remove the profile ``name``. Raises `LabError` where there is none."""
    path_of(find_profile(name).name).unlink()


def export(name: str, target: Path) -> Path:
    """Copy the profile's file to ``target`` (a file or a folder). Raises `LabError`."""
    source = path_of(find_profile(name).name)
    target = target / source.name if target.is_dir() else target
    try:
        return Path(shutil.copyfile(source, target))
    except OSError as error:
        raise LabError(f"{target} can't be written ({error.strerror}).") from error


def import_profile(path: Path, name: str | None = None) -> LabProfile:
    """Take over a profile that another computer exported, as ``name`` (its own, if None). Raises `LabError`."""
    profile = read(path)
    if name:
        profile = replace(profile, name=checked_name(name))
    if path_of(profile.name).exists():
        raise LabError(
            f"There is a laboratory called {profile.name!r} already. Delete it first, or choose another name."
        )
    save(profile)
    return profile
