"""The audit of a data set: near duplicates and leakage, label issues, shortcuts, colours by class; and the same in
words for the terminal.

`audit` computes an `Audit` from the pictures in a minute or two and keeps it in the user's cache; `cached` gives what
was kept. A file there that can't be read counts as none.

A shortcut is what a small model makes of parts of a picture that show no cell, or of its colours alone. A model that
learns the slide's stain, the vignette or a burned-in scale bar is right on the same laboratory's test pictures and
wrong elsewhere (Geirhos et al. 2020, Shortcut learning in deep neural networks, https://arxiv.org/abs/2004.07780).
"""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets.base import SPLITS, LoadedDataset
from core.datasets.quality.label_issues import PatchEmbedding, find_label_issues, out_of_fold_probabilities
from core.datasets.quality.near_duplicates import DuplicatePairs, ImageRef, near_duplicate_pairs, thumbnails
from core.formatting import percent
from core.paths import cache_root
from core.probabilities import wilson_interval
from core.progress import Progress, Report, batches, part, silent
from core.storage import write_bytes

VERSION = 2  # of what is computed: another one makes kept results void
MAX_LABEL_ISSUES = 200
CHUNK_PIXELS = 2**21
STEPS = ("Comparing pictures", "Describing pictures", "Looking for wrong labels", "Trying shortcuts")
SHARES = (0.35, 0.2, 0.25, 0.2)  # of the time, by step

BORDER_SIDE = 20  # of the thumbnail whose rim is the border
RIM = 2
CORNER = 0.2  # of the side
CORNER_SIDE = 10
WHOLE_SIDE = 8
TREES = 120
MAX_TRAIN = 8000  # pictures that a forest learns from
MIN_VAL = 150  # val pictures below which folds of train and val are used instead
FOLDS = 5


@dataclass(frozen=True)
class DuplicateGroup:
    """Pictures that show the same: all that are ``identical`` to each other, or two near copies.

    ``similarity``: 1 for identical ones, else the correlation of the two.
    """

    members: tuple[ImageRef, ...]
    identical: bool
    similarity: float

    @property
    def across_splits(self) -> bool:
        """Whether they are in two or three splits."""
        return len({member.split for member in self.members}) > 1

    @property
    def has_label_conflict(self) -> bool:
        """Whether they carry different labels."""
        return len({member.label for member in self.members}) > 1


@dataclass(frozen=True)
class LabelIssue:
    """A picture whose label is doubted: the probability of its label (``given_probability``) and of the ``suggested``
    class.
    """

    member: ImageRef
    suggested: int
    given_probability: float
    suggested_probability: float


@dataclass(frozen=True)
class Leakage:
    """Of ``n`` pictures of a split, how many have an identical one in train, and how many any copy there."""

    n: int
    identical: int
    any: int


@dataclass(frozen=True)
class Part:
    """What a small model is shown: ``key``, ``title``, ``meaning`` (a sentence), ``whole``: nothing is hidden."""

    key: str
    title: str
    meaning: str
    whole: bool = False


PARTS = (
    Part("colour", "Six colour numbers", "Mean and deviation of red, green and blue over the picture; no shapes."),
    Part("border", "Border alone", f"A rim of {100 * RIM // BORDER_SIDE} % of the side, averaged to coarse squares."),
    Part("corner", "Bottom right corner", f"The corner of {100 * CORNER:.0f} % of the side, where scale bars stand."),
    Part("whole", f"Whole picture at {WHOLE_SIDE} px", "For comparison: everything, but blurred.", whole=True),
)


@dataclass(frozen=True)
class Shortcut:
    """What a forest reached on one `Part`: ``right`` of ``n`` pictures it had not learnt from."""

    key: str
    right: int
    n: int

    @property
    def part(self) -> Part:
        """The part of the picture that was read: one of `PARTS`."""
        return next(each for each in PARTS if each.key == self.key)

    @property
    def accuracy(self) -> float:
        """Share read right, 0 to 1; 0 where nothing was read."""
        return self.right / max(self.n, 1)


@dataclass(frozen=True)
class ClassColours:
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

    ``duplicates``: those with different labels first, then those across splits, identical before near. ``leakage``: val
    and test against train. ``label_issues``: the surest first, at most `MAX_LABEL_ISSUES` of ``label_issue_count``.
    ``checker_accuracy``: the out-of-fold accuracy of the classifier that doubts. ``majority_share``: share of the
    commonest class where shortcuts were scored (``scored_on``: 'val' or 'folds'). ``seconds``: what it took,
    ``cpu_seconds`` of the processor.
    """

    dataset: str
    size: int
    scheme: str
    codes: tuple[str, ...]
    content_hash: str
    provenance: str
    counts: dict[str, int]
    duplicates: tuple[DuplicateGroup, ...]
    threshold: float
    leakage: dict[str, Leakage]
    label_issues: tuple[LabelIssue, ...]
    label_issue_count: int
    checker_accuracy: float
    shortcuts: tuple[Shortcut, ...]
    scored_on: str
    majority_share: float
    colours: ClassColours
    seconds: float
    cpu_seconds: float

    @property
    def total(self) -> int:
        """Pictures in all splits."""
        return sum(self.counts.values())

    def groups(self, *, identical: bool) -> tuple[DuplicateGroup, ...]:
        """The identical ones, or the near copies."""
        return tuple(c for c in self.duplicates if c.identical == identical)


def audit(loaded: LoadedDataset, report: Report = silent, *, fresh: bool = False) -> Audit:
    """The `Audit` of ``loaded``: the kept one, else (or with ``fresh``) computed, told to ``report``, and kept."""
    stored = None if fresh else cached(loaded)
    if stored is not None:
        return stored
    result = _compute(loaded, report)
    with suppress(OSError):  # a disk that can't be written to costs the memory of it only
        path = _path(result.dataset, result.size, result.scheme, result.content_hash)
        write_bytes(path, json.dumps(as_json(result)).encode())
    return result


def cached(loaded: LoadedDataset) -> Audit | None:
    """The kept audit of just these pictures in this split; None where there is none that can be read."""
    path = _path(loaded.spec.name, loaded.size, loaded.scheme, loaded.provenance.content_hash)
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def as_json(audit: Audit) -> dict[str, Any]:
    """What `from_json` reads; plain lists, numbers and text."""
    return {"version": VERSION} | asdict(audit)


def from_json(data: dict[str, Any]) -> Audit:
    """The audit that `as_json` wrote; ValueError, KeyError or TypeError where it is not one of today's."""
    if data["version"] != VERSION:
        raise ValueError(f"written by version {data['version']}")
    fields = {key: value for key, value in data.items() if key != "version"}
    fields["codes"] = tuple(data["codes"])
    fields["duplicates"] = tuple(
        DuplicateGroup(tuple(ImageRef(*m) for m in c["members"]), bool(c["identical"]), float(c["similarity"]))
        for c in data["duplicates"]
    )
    fields["label_issues"] = tuple(
        LabelIssue(**issue | {"member": ImageRef(*issue["member"])}) for issue in data["label_issues"]
    )
    fields["leakage"] = {split: Leakage(**leakage) for split, leakage in data["leakage"].items()}
    fields["shortcuts"] = tuple(Shortcut(**s) for s in data["shortcuts"])
    fields["colours"] = ClassColours(**{k: tuple(map(tuple, rows)) for k, rows in data["colours"].items()})
    return Audit(**fields)


def _path(name: str, size: int, scheme: str, content_hash: str) -> Path:
    tail = f"-{scheme}" if scheme else ""
    return cache_root() / "audits" / f"{name}-{size}{tail}-{content_hash}.json"


class _AllImages:
    """The pictures of all splits one after another, taken by slice or index array, never all at once."""

    def __init__(self, loaded: LoadedDataset) -> None:
        self.parts = [loaded[split].images for split in SPLITS]
        self.starts = np.cumsum([0, *map(len, self.parts)])
        self.shape: tuple[int, ...] = (int(self.starts[-1]), *self.parts[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | np.ndarray) -> np.ndarray:
        rows = np.arange(len(self))[key]
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for images, start, end in zip(self.parts, self.starts, self.starts[1:], strict=False):
            chosen = np.flatnonzero((rows >= start) & (rows < end))
            if len(chosen):
                out[chosen] = images[rows[chosen] - start]
        return out


def _compute(loaded: LoadedDataset, report: Report) -> Audit:
    began, cpu = time.monotonic(), time.process_time()
    images = _AllImages(loaded)
    labels = np.concatenate([loaded[s].labels for s in SPLITS]).astype(np.int64)
    split = np.repeat(np.arange(len(SPLITS)), [len(loaded[s]) for s in SPLITS])
    ids = np.concatenate([loaded[s].ids for s in SPLITS])
    classes = len(loaded.spec.codes)

    def member(row: int) -> ImageRef:
        return ImageRef(SPLITS[split[row]], str(ids[row]), int(labels[row]))

    def begin(number: int) -> Report:
        """What tells ``report`` of that step, in percent of the whole audit."""
        tell = part(report, sum(SHARES[:number]), SHARES[number], unit="%")
        tell(Progress(0, 1, STEPS[number]))
        return lambda step: tell(replace(step, message=STEPS[number]))

    comparing = begin(0)  # reading takes about half of the time, comparing the other half
    pairs = near_duplicate_pairs(
        images, lambda s: comparing(Progress(s.done + (s.total if s.message == "comparing" else 0), 2 * s.total))
    )
    features, shown = _features(images, begin(1))
    probabilities = out_of_fold_probabilities(features, labels, pairs.groups(len(images)), classes, begin(2))
    doubts = find_label_issues(labels, probabilities)
    has_probabilities = np.isfinite(probabilities).all(1)
    is_right = probabilities[has_probabilities].argmax(1) == labels[has_probabilities]
    train, val = np.flatnonzero(split == 0), np.flatnonzero(split == 1)
    shortcut_results, scored_on = find_shortcuts(shown, labels, train, val, begin(3))
    scored = val if scored_on == "val" else np.concatenate([train, val])
    return Audit(
        dataset=loaded.spec.name,
        size=loaded.size,
        scheme=loaded.scheme,
        codes=tuple(loaded.spec.codes),
        content_hash=loaded.provenance.content_hash,
        provenance=loaded.provenance.label,
        counts={s: len(loaded[s]) for s in SPLITS},
        duplicates=_duplicate_groups(pairs, member),
        threshold=pairs.threshold,
        leakage={SPLITS[s]: _leakage(pairs, split, s) for s in (1, 2)},
        label_issues=tuple(
            LabelIssue(member(row), int(suggested), round(float(given), 4), round(float(other), 4))
            for row, suggested, given, other in list(
                zip(doubts.rows, doubts.suggested, doubts.given_probability, doubts.suggested_probability, strict=True)
            )[:MAX_LABEL_ISSUES]
        ),
        label_issue_count=len(doubts.rows),
        checker_accuracy=round(float(is_right.mean()) if len(is_right) else 0.0, 4),
        shortcuts=shortcut_results,
        scored_on=scored_on,
        majority_share=round(float(np.bincount(labels[scored], minlength=classes).max() / max(len(scored), 1)), 4),
        colours=_class_colours(shown["colour"], labels, classes),
        seconds=round(time.monotonic() - began, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
    )


def _features(images: _AllImages, report: Report) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features (N, D) for the search for wrong labels, and what the shortcuts show, in one reading."""
    embedding, step = PatchEmbedding.fit(images), max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    features, parts = [], []
    for rows in batches(len(images), step, report):
        pixels = images[rows]
        features.append(embedding.transform(pixels))
        parts.append(_part_features(pixels))
    return np.concatenate(features), {key: np.concatenate([p[key] for p in parts]) for key in parts[0]}


def _part_features(images: np.ndarray) -> dict[str, np.ndarray]:
    """For each of `PARTS` the numbers that it shows of ``images`` uint8 (n, S, S, 3), float32 (n, D)."""
    number, size = images.shape[:2]
    rim = np.ones((BORDER_SIDE, BORDER_SIDE), bool)
    rim[RIM:-RIM, RIM:-RIM] = False
    edge, flat = max(1, round(CORNER * size)), images.reshape(number, -1, 3)
    corner = thumbnails(images[:, size - edge :, size - edge :], min(edge, CORNER_SIDE))
    return {
        "colour": np.concatenate([flat.mean(1, dtype=np.float32), flat.std(1, dtype=np.float32)], 1),
        "border": thumbnails(images, BORDER_SIDE)[:, rim].reshape(number, -1),
        "corner": corner.reshape(number, -1),
        "whole": thumbnails(images, WHOLE_SIDE).reshape(number, -1),
    }


def find_shortcuts(
    features: dict[str, np.ndarray],
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    report: Report = silent,
) -> tuple[tuple[Shortcut, ...], str]:
    """What a forest reaches on each of `PARTS`, and on what it was scored: 'val' or 'folds'.

    ``features`` are float32 (N, D) by the part's key; ``train`` and ``val`` are rows of them. Scored on val, or where
    val has few pictures over folds of train and val together.
    """
    scored = "val" if len(val) >= MIN_VAL else "folds"
    results = []
    for number, each in enumerate(PARTS, 1):
        x = features[each.key]
        if scored == "val":
            right, n = _score(x, labels, train, val), len(val)
        else:
            right, n = _over_folds(x, labels, np.concatenate([train, val]))
        results.append(Shortcut(each.key, right, n))
        report(Progress(number, len(PARTS)))
    return tuple(results), scored


def _score(x: np.ndarray, labels: np.ndarray, train: np.ndarray, val: np.ndarray) -> int:
    from sklearn.ensemble import RandomForestClassifier

    train = np.sort(np.random.default_rng(0).permutation(train)[:MAX_TRAIN])
    forest = RandomForestClassifier(TREES, max_features="sqrt", min_samples_leaf=2, random_state=0)
    forest.fit(x[train], labels[train])
    return int((forest.predict(x[val]) == labels[val]).sum())


def _over_folds(x: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> tuple[int, int]:
    rows = np.random.default_rng(0).permutation(rows)
    parts = np.array_split(rows, min(FOLDS, len(rows)))
    if len(parts) < 2:
        return 0, 0
    right = 0
    for number, held in enumerate(parts):
        right += _score(x, labels, np.concatenate(parts[:number] + parts[number + 1 :]), held)
    return right, len(rows)


def _duplicate_groups(pairs: DuplicatePairs, member: Callable[[int], ImageRef]) -> tuple[DuplicateGroup, ...]:
    same: dict[int, list[int]] = {}
    for first, second in zip(pairs.first[pairs.identical], pairs.second[pairs.identical], strict=True):
        same.setdefault(int(first), [int(first)]).append(int(second))
    groups = [DuplicateGroup(tuple(map(member, sorted(rows))), True, 1.0) for rows in same.values()]
    for first, second, similarity, identical in zip(
        pairs.first, pairs.second, pairs.similarity, pairs.identical, strict=True
    ):
        if not identical:
            groups.append(DuplicateGroup((member(int(first)), member(int(second))), False, round(float(similarity), 4)))
    return tuple(
        sorted(groups, key=lambda c: (not c.has_label_conflict, not c.across_splits, not c.identical, -c.similarity))
    )


def _leakage(pairs: DuplicatePairs, split: np.ndarray, number: int) -> Leakage:
    """Pictures of split ``number`` whose copy, or a copy's copy, is in train."""
    counts = []
    for identical in (True, False):
        groups = pairs.groups(len(split), identical_only=identical)
        in_train = np.zeros(groups.max(initial=-1) + 1, bool)
        in_train[groups[split == 0]] = True
        counts.append(int(in_train[groups[split == number]].sum()))
    return Leakage(int((split == number).sum()), *counts)


def _class_colours(numbers: np.ndarray, labels: np.ndarray, classes: int) -> ClassColours:
    mean, between, within = np.zeros((3, classes, 3))
    for label in range(classes):
        class_numbers = numbers[labels == label].astype(np.float64)
        if len(class_numbers):
            mean[label], between[label], within[label] = (
                class_numbers[:, :3].mean(0),
                class_numbers[:, :3].std(0),
                class_numbers[:, 3:].mean(0),
            )
    return ClassColours(
        *(tuple(tuple(round(float(v), 2) for v in row) for row in part) for part in (mean, between, within))
    )


MAX_LISTED = 10


def audit_text(audit: Audit, loaded: LoadedDataset) -> str:
    """The audit as lines of text."""
    split = loaded.spec.scheme(audit.scheme) if loaded.spec.schemes else None
    scheme_text = f", {split.title}" if split and split.title not in audit.provenance else ""
    head = [
        f"{loaded.spec.title}, {audit.size} px, {audit.provenance}{scheme_text}",
        f"{audit.total:,} pictures: " + ", ".join(f"{s} {audit.counts[s]:,}" for s in SPLITS)
        + f"; content {audit.content_hash}; took {audit.seconds:.0f} s ({audit.cpu_seconds:.0f} s of the processor)",
    ]  # fmt: skip
    parts = [_duplicates_text(audit), _label_issues_text(audit), _shortcuts_text(audit), _colours_text(audit)]
    return "\n".join([*head, *(line for part in parts for line in ("", *part))])


def _duplicates_text(audit: Audit) -> list[str]:
    lines = ["Copies and leakage"]
    for identical, what in ((True, "are the same to the pixel"), (False, "are nearly the same")):
        groups = audit.groups(identical=identical)
        across, conflict = (sum(c.across_splits for c in groups), sum(c.has_label_conflict for c in groups))
        kind = "groups" if any(len(c.members) > 2 for c in groups) else "pairs"
        lines.append(f"  {len(groups)} {kind} {what}; {across} across splits, {conflict} with different labels")
    for split, leak in audit.leakage.items():
        share, same = (100 * n / max(leak.n, 1) for n in (leak.any, leak.identical))
        lines.append(
            f"  leakage: {leak.any} of {leak.n:,} {split} pictures ({share:.2f} %) have a copy in train; "
            f"{leak.identical} ({same:.2f} %) an identical one"
        )
    shown = [c for c in audit.duplicates if c.has_label_conflict or c.across_splits]
    lines += [f"  {_members_text(c, audit)}" for c in shown[:MAX_LISTED]]
    if len(shown) > MAX_LISTED:
        lines.append(
            f"  ... and {len(shown) - MAX_LISTED} more across splits or with different labels (--json has all)"
        )
    return lines


def _members_text(copies: DuplicateGroup, audit: Audit) -> str:
    members = " = ".join(f"{m.id} ({audit.codes[m.label]}, {m.split})" for m in copies.members)
    kind = "identical" if copies.identical else f"likeness {copies.similarity:.3f}"
    return f"{members}  {kind}{'  DIFFERENT LABELS' if copies.has_label_conflict else ''}"


def _label_issues_text(audit: Audit) -> list[str]:
    share = 100 * audit.label_issue_count / max(audit.total, 1)
    lines = [
        "Labels that are likely wrong",
        f"  {audit.label_issue_count:,} of {audit.total:,} ({share:.1f} %) are doubted by a classifier that had not "
        f"seen the picture and is right on {100 * audit.checker_accuracy:.1f} %: most of them are its own mistakes, "
        "look at the first",
    ]
    for number, issue in enumerate(audit.label_issues[:MAX_LISTED], 1):
        member, given, other = issue.member, percent(issue.given_probability), percent(issue.suggested_probability)
        lines.append(
            f"  {number:2}. {member.id} ({member.split}): labelled {audit.codes[member.label]} ({given}), looks like "
            f"{audit.codes[issue.suggested]} ({other})"
        )
    return lines


def _shortcuts_text(audit: Audit) -> list[str]:
    scored = "val" if audit.scored_on == "val" else "folds of train and val"
    lines = [f"Shortcuts: what a random forest reaches, scored on {scored} (95 % interval)"]
    wide = max(len(s.part.title) for s in audit.shortcuts)
    lines.append(f"  {'Always the commonest class':<{max(wide, 26)}}  {100 * audit.majority_share:5.1f} %")
    for s in audit.shortcuts:
        low, high = wilson_interval(s.right, s.n)
        lines.append(
            f"  {s.part.title:<{max(wide, 26)}}  {100 * s.accuracy:5.1f} %  ({100 * low:.1f} to {100 * high:.1f})"
        )
    return lines


def _colours_text(audit: Audit) -> list[str]:
    lines = ["Colours by class: mean, and deviation between pictures, of red, green, blue (0 to 255)"]
    for code, mean, between in zip(audit.codes, audit.colours.mean, audit.colours.between, strict=True):
        numbers = "  ".join(f"{m:6.1f} ± {d:4.1f}" for m, d in zip(mean, between, strict=True))
        lines.append(f"  {code:<4} {numbers}")
    return lines
