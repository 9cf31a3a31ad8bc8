"""The audit of a data set: copies and leakage, labels that are likely wrong, shortcuts, colours by class.

`audit` computes an `Audit` from the pictures in a minute or two and keeps it in the user's cache; `cached` gives
what was kept. A file there that can't be read counts as none.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.datasets.base import SPLITS, LoadedDataset
from core.datasets.label_errors import doubted, out_of_fold
from core.datasets.patches import Patches
from core.datasets.shortcuts import Shortcut, shortcuts, views
from core.datasets.similar import Pairs, similar_pairs
from core.datasets.twins import Member
from core.paths import cache_root
from core.progress import Progress, Report, silent

VERSION = 1  # of what is computed: another one makes kept results void
MOST_SUSPECTS = 200
CHUNK_PIXELS = 2**21
STEPS = ("Comparing pictures", "Describing pictures", "Looking for wrong labels", "Trying shortcuts")
SHARES = (0.35, 0.2, 0.25, 0.2)  # of the time, by step


@dataclass(frozen=True)
class Copies:
    """Pictures that show the same: all that are ``identical`` to each other, or two near copies.

    ``similarity``: 1 for identical ones, else the correlation of the two.
    """

    members: tuple[Member, ...]
    identical: bool
    similarity: float

    @property
    def across(self) -> bool:
        """Whether they are in two or three splits."""
        return len({member.split for member in self.members}) > 1

    @property
    def conflict(self) -> bool:
        """Whether they carry different labels."""
        return len({member.label for member in self.members}) > 1


@dataclass(frozen=True)
class Suspect:
    """A picture whose label is doubted: the probability of its label (``given``) and of the ``suggested`` class."""

    member: Member
    suggested: int
    given: float
    other: float


@dataclass(frozen=True)
class Leak:
    """Of ``n`` pictures of a split, how many have an identical one in train, and how many any copy there."""

    n: int
    identical: int
    any: int


@dataclass(frozen=True)
class Colours:
    """By class, over all splits, levels 0 to 255 of R, G, B: (C, 3) each.

    ``mean``: of the pictures' means; ``between``: deviation of the pictures' means; ``within``: mean of the
    deviations inside a picture.
    """

    mean: tuple[tuple[float, ...], ...]
    between: tuple[tuple[float, ...], ...]
    within: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Audit:
    """What the audit of one build of a data set found. Classes are indices into ``codes``.

    ``copies``: those with different labels first, then those across splits, identical before near. ``leaks``: val
    and test against train. ``suspects``: the surest first, at most `MOST_SUSPECTS` of ``doubts``. ``checker``: the
    out-of-fold accuracy of the classifier that doubts. ``majority``: share of the commonest class where shortcuts
    were scored (``scored_on``: 'val' or 'folds'). ``seconds``: what it took, ``cpu_seconds`` of the processor.
    """

    dataset: str
    size: int
    scheme: str
    codes: tuple[str, ...]
    content_hash: str
    provenance: str
    counts: dict[str, int]
    copies: tuple[Copies, ...]
    threshold: float
    leaks: dict[str, Leak]
    suspects: tuple[Suspect, ...]
    doubts: int
    checker: float
    shortcuts: tuple[Shortcut, ...]
    scored_on: str
    majority: float
    colours: Colours
    seconds: float
    cpu_seconds: float

    @property
    def total(self) -> int:
        """Pictures in all splits."""
        return sum(self.counts.values())

    def groups(self, *, identical: bool) -> tuple[Copies, ...]:
        """The identical ones, or the near copies."""
        return tuple(c for c in self.copies if c.identical == identical)


def audit(
    loaded: LoadedDataset,
    report: Report = silent,
    embed: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    fresh: bool = False,
) -> Audit:
    """The `Audit` of ``loaded``: the kept one, else (or with ``fresh``) computed, told to ``report``, and kept.

    ``embed`` gives features float (n, D) of pictures uint8 (n, S, S, 3) for the search for wrong labels, instead
    of ones computed here; they must not come from a model that learnt these labels, and the result is not kept.
    """
    if embed is None and not fresh:
        kept = cached(loaded)
        if kept is not None:
            return kept
    found = _compute(loaded, report, embed)
    if embed is None:
        _keep(found)
    return found


def cached(loaded: LoadedDataset) -> Audit | None:
    """The kept audit of just these pictures in this split; None where there is none that can be read."""
    path = _path(loaded.spec.name, loaded.size, loaded.scheme, loaded.provenance.content_hash)
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def as_json(found: Audit) -> dict:
    """What `from_json` reads; plain lists, numbers and text."""
    return {"version": VERSION} | asdict(found)


def from_json(data: dict) -> Audit:
    """The audit that `as_json` wrote; ValueError, KeyError or TypeError where it is not one of today's."""
    if data["version"] != VERSION:
        raise ValueError(f"written by version {data['version']}")
    fields = {key: value for key, value in data.items() if key != "version"}
    fields["codes"] = tuple(data["codes"])
    fields["copies"] = tuple(
        Copies(tuple(Member(*m) for m in c["members"]), bool(c["identical"]), float(c["similarity"]))
        for c in data["copies"]
    )
    fields["suspects"] = tuple(Suspect(**s | {"member": Member(*s["member"])}) for s in data["suspects"])
    fields["leaks"] = {split: Leak(**leak) for split, leak in data["leaks"].items()}
    fields["shortcuts"] = tuple(Shortcut(**s) for s in data["shortcuts"])
    fields["colours"] = Colours(**{k: tuple(map(tuple, rows)) for k, rows in data["colours"].items()})
    return Audit(**fields)


def _path(name: str, size: int, scheme: str, content_hash: str) -> Path:
    tail = f"-{scheme}" if scheme else ""
    return cache_root() / "audits" / f"{name}-{size}{tail}-{content_hash}.json"


def _keep(found: Audit) -> None:
    """Write it whole or not at all; a disk that can't be written to costs the memory of it only."""
    path = _path(found.dataset, found.size, found.scheme, found.content_hash)
    part = path.with_suffix(f".{time.monotonic_ns()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(as_json(found)), encoding="utf-8")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


class _Joined:
    """The pictures of all splits one after another, taken by slice or index array, never all at once."""

    def __init__(self, loaded: LoadedDataset) -> None:
        self.parts = [loaded[split].images for split in SPLITS]
        self.starts = np.cumsum([0, *map(len, self.parts)])
        self.shape = (int(self.starts[-1]), *self.parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        rows = np.arange(len(self))[key]
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for part, start, end in zip(self.parts, self.starts, self.starts[1:], strict=False):
            here = np.flatnonzero((rows >= start) & (rows < end))
            if len(here):
                out[here] = part[rows[here] - start]
        return out


@dataclass
class _Steps:
    """Turns what the four steps tell into one count to 100."""

    report: Report
    number: int = 0

    def __call__(self, done: int, total: int) -> None:
        before, share = sum(SHARES[: self.number]), SHARES[self.number]
        at = round(100 * (before + share * min(done / max(total, 1), 1)))
        self.report(Progress(at, 100, STEPS[self.number], "%"))

    def start(self, number: int) -> None:
        self.number = number
        self(0, 1)


def _compute(loaded: LoadedDataset, report: Report, embed: Callable[[np.ndarray], np.ndarray] | None) -> Audit:
    began, cpu = time.monotonic(), time.process_time()
    images, steps = _Joined(loaded), _Steps(report)
    labels = np.concatenate([loaded[s].labels for s in SPLITS]).astype(np.int64)
    split = np.repeat(np.arange(len(SPLITS)), [len(loaded[s]) for s in SPLITS])
    ids = np.concatenate([loaded[s].ids for s in SPLITS])
    classes = len(loaded.spec.codes)

    def member(row: int) -> Member:
        return Member(SPLITS[split[row]], str(ids[row]), int(labels[row]))

    steps.start(0)
    # Reading takes about half of the time, comparing the other half.
    pairs = similar_pairs(
        images, report=lambda s: steps(s.done + (s.total if s.message == "comparing" else 0), 2 * s.total)
    )
    groups = pairs.groups(len(images))
    steps.start(1)
    features, shown = _described(images, embed, steps)
    steps.start(2)
    probabilities = out_of_fold(features, labels, groups, classes, steps)
    doubts = doubted(labels, probabilities)
    known = np.isfinite(probabilities).all(1)
    checker = float((probabilities[known].argmax(1) == labels[known]).mean()) if known.any() else 0.0
    steps.start(3)
    train, val = np.flatnonzero(split == 0), np.flatnonzero(split == 1)
    reached, scored_on = shortcuts(shown, labels, train, val, steps)
    scored = val if scored_on == "val" else np.concatenate([train, val])
    return Audit(
        dataset=loaded.spec.name,
        size=loaded.size,
        scheme=loaded.scheme,
        codes=tuple(loaded.spec.codes),
        content_hash=loaded.provenance.content_hash,
        provenance=loaded.provenance.label,
        counts={s: len(loaded[s]) for s in SPLITS},
        copies=_copies(pairs, member),
        threshold=pairs.threshold,
        leaks={SPLITS[s]: _leak(pairs, split, s) for s in (1, 2)},
        suspects=tuple(
            Suspect(member(row), int(suggested), round(float(given), 4), round(float(other), 4))
            for row, suggested, given, other in list(
                zip(doubts.rows, doubts.suggested, doubts.given, doubts.other, strict=True)
            )[:MOST_SUSPECTS]
        ),
        doubts=len(doubts.rows),
        checker=round(checker, 4),
        shortcuts=reached,
        scored_on=scored_on,
        majority=round(float(np.bincount(labels[scored], minlength=classes).max() / max(len(scored), 1)), 4),
        colours=_colours(shown["colour"], labels, classes),
        seconds=round(time.monotonic() - began, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
    )


def _described(
    images: _Joined, embed: Callable[[np.ndarray], np.ndarray] | None, steps: _Steps
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features (N, D) for the search for wrong labels, and what the shortcuts show, in one reading."""
    embed = embed or Patches.learn(images).embed
    features, shown = [], []
    for part, done in _parts(images):
        features.append(embed(part))
        shown.append(views(part))
        steps(done, len(images))
    return np.concatenate(features), {key: np.concatenate([s[key] for s in shown]) for key in shown[0]}


def _parts(images: _Joined) -> Iterator[tuple[np.ndarray, int]]:
    step = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        yield part, start + len(part)


def _copies(pairs: Pairs, member: Callable[[int], Member]) -> tuple[Copies, ...]:
    same: dict[int, list[int]] = {}
    for first, second in zip(pairs.first[pairs.identical], pairs.second[pairs.identical], strict=True):
        same.setdefault(int(first), [int(first)]).append(int(second))
    found = [Copies(tuple(map(member, sorted(rows))), True, 1.0) for rows in same.values()]
    for first, second, similarity, identical in zip(
        pairs.first, pairs.second, pairs.similarity, pairs.identical, strict=True
    ):
        if not identical:
            found.append(Copies((member(int(first)), member(int(second))), False, round(float(similarity), 4)))
    return tuple(sorted(found, key=lambda c: (not c.conflict, not c.across, not c.identical, -c.similarity)))


def _leak(pairs: Pairs, split: np.ndarray, number: int) -> Leak:
    """Pictures of split ``number`` whose copy, or a copy's copy, is in train."""
    counts = []
    for identical in (True, False):
        groups = pairs.groups(len(split), identical_only=identical)
        in_train = np.zeros(groups.max(initial=-1) + 1, bool)
        in_train[groups[split == 0]] = True
        counts.append(int(in_train[groups[split == number]].sum()))
    return Leak(int((split == number).sum()), *counts)


def _colours(numbers: np.ndarray, labels: np.ndarray, classes: int) -> Colours:
    mean, between, within = np.zeros((3, classes, 3))
    for label in range(classes):
        here = numbers[labels == label].astype(np.float64)
        if len(here):
            mean[label], between[label], within[label] = here[:, :3].mean(0), here[:, :3].std(0), here[:, 3:].mean(0)
    return Colours(*(tuple(tuple(round(float(v), 2) for v in row) for row in part) for part in (mean, between, within)))
