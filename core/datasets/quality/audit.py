"""The audit of a data set: near duplicates and leakage, label issues, shortcuts, colours by class; and the same in
words for the terminal.

`audit` computes an `Audit` from the pictures in a minute or two and keeps it in the user's cache; `cached` gives what
was kept. A file there that can't be read counts as none.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from core.datasets.base import SPLITS, LoadedDataset
from core.datasets.quality.label_issues import PatchEmbedding, find_label_issues, out_of_fold_probabilities
from core.datasets.quality.near_duplicates import DuplicatePairs, ImageRef, near_duplicate_pairs
from core.datasets.quality.shortcuts import Shortcut, find_shortcuts, part_features
from core.paths import cache_root
from core.probabilities import wilson_interval
from core.progress import Progress, Report, silent

VERSION = 1  # of what is computed: another one makes kept results void
MAX_LABEL_ISSUES = 200
CHUNK_PIXELS = 2**21
STEPS = ("Comparing pictures", "Describing pictures", "Looking for wrong labels", "Trying shortcuts")
SHARES = (0.35, 0.2, 0.25, 0.2)  # of the time, by step


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
        stored = cached(loaded)
        if stored is not None:
            return stored
    result = _compute(loaded, report, embed)
    if embed is None:
        _store(result)
    return result


def cached(loaded: LoadedDataset) -> Audit | None:
    """The kept audit of just these pictures in this split; None where there is none that can be read."""
    path = _path(loaded.spec.name, loaded.size, loaded.scheme, loaded.provenance.content_hash)
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def as_json(audit: Audit) -> dict:
    """What `from_json` reads; plain lists, numbers and text."""
    return {"version": VERSION} | asdict(audit)


def from_json(data: dict) -> Audit:
    """The audit that `as_json` wrote; ValueError, KeyError or TypeError where it is not one of today's."""
    if data["version"] != VERSION:
        raise ValueError(f"written by version {data['version']}")
    fields = {key: value for key, value in data.items() if key != "version"}
    fields["codes"] = tuple(data["codes"])
    fields["copies"] = tuple(
        DuplicateGroup(tuple(ImageRef(*m) for m in c["members"]), bool(c["identical"]), float(c["similarity"]))
        for c in data["copies"]
    )
    fields["suspects"] = tuple(LabelIssue(**s | {"member": ImageRef(*s["member"])}) for s in data["suspects"])
    fields["leaks"] = {split: Leakage(**leak) for split, leak in data["leaks"].items()}
    fields["shortcuts"] = tuple(Shortcut(**s) for s in data["shortcuts"])
    fields["colours"] = ClassColours(**{k: tuple(map(tuple, rows)) for k, rows in data["colours"].items()})
    return Audit(**fields)


def _path(name: str, size: int, scheme: str, content_hash: str) -> Path:
    tail = f"-{scheme}" if scheme else ""
    return cache_root() / "audits" / f"{name}-{size}{tail}-{content_hash}.json"


def _store(audit: Audit) -> None:
    """Write it whole or not at all; a disk that can't be written to costs the memory of it only."""
    path = _path(audit.dataset, audit.size, audit.scheme, audit.content_hash)
    temporary = path.with_suffix(f".{time.monotonic_ns()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(as_json(audit)), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)


class _AllImages:
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
            chosen = np.flatnonzero((rows >= start) & (rows < end))
            if len(chosen):
                out[chosen] = part[rows[chosen] - start]
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
    images, steps = _AllImages(loaded), _Steps(report)
    labels = np.concatenate([loaded[s].labels for s in SPLITS]).astype(np.int64)
    split = np.repeat(np.arange(len(SPLITS)), [len(loaded[s]) for s in SPLITS])
    ids = np.concatenate([loaded[s].ids for s in SPLITS])
    classes = len(loaded.spec.codes)

    def member(row: int) -> ImageRef:
        return ImageRef(SPLITS[split[row]], str(ids[row]), int(labels[row]))

    steps.start(0)
    # Reading takes about half of the time, comparing the other half.
    pairs = near_duplicate_pairs(
        images, report=lambda s: steps(s.done + (s.total if s.message == "comparing" else 0), 2 * s.total)
    )
    groups = pairs.groups(len(images))
    steps.start(1)
    features, shown = _features(images, embed, steps)
    steps.start(2)
    probabilities = out_of_fold_probabilities(features, labels, groups, classes, steps)
    doubts = find_label_issues(labels, probabilities)
    has_probabilities = np.isfinite(probabilities).all(1)
    checker = (
        float((probabilities[has_probabilities].argmax(1) == labels[has_probabilities]).mean())
        if has_probabilities.any()
        else 0.0
    )
    steps.start(3)
    train, val = np.flatnonzero(split == 0), np.flatnonzero(split == 1)
    shortcut_results, scored_on = find_shortcuts(shown, labels, train, val, steps)
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
        checker_accuracy=round(checker, 4),
        shortcuts=shortcut_results,
        scored_on=scored_on,
        majority_share=round(float(np.bincount(labels[scored], minlength=classes).max() / max(len(scored), 1)), 4),
        colours=_class_colours(shown["colour"], labels, classes),
        seconds=round(time.monotonic() - began, 1),
        cpu_seconds=round(time.process_time() - cpu, 1),
    )


def _features(
    images: _AllImages, embed: Callable[[np.ndarray], np.ndarray] | None, steps: _Steps
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features (N, D) for the search for wrong labels, and what the shortcuts show, in one reading."""
    embed = embed or PatchEmbedding.fit(images).transform
    features, parts = [], []
    for part, done in _parts(images):
        features.append(embed(part))
        parts.append(part_features(part))
        steps(done, len(images))
    return np.concatenate(features), {key: np.concatenate([s[key] for s in parts]) for key in parts[0]}


def _parts(images: _AllImages) -> Iterator[tuple[np.ndarray, int]]:
    step = max(1, CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        yield part, start + len(part)


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
        f"  {audit.label_issue_count:,} of {audit.total:,} ({share:.1f} %) are doubted by a classifier that had not seen the "
        f"picture and is right on {100 * audit.checker_accuracy:.1f} %: most of them are its own mistakes, look at the first",
    ]
    for number, s in enumerate(audit.label_issues[:MAX_LISTED], 1):
        lines.append(
            f"  {number:2}. {s.member.id} ({s.member.split}): labelled {audit.codes[s.member.label]} "
            f"({_percent(s.given_probability)}), looks like {audit.codes[s.suggested]} ({_percent(s.suggested_probability)})"
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


def _percent(probability: float) -> str:
    """As `core.formatting.percent`, which this layer can't reach."""
    return "< 1 %" if probability < 0.01 else "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"
