"""What a folder of pictures holds, told before anything is trained on it: what is missing, broken, uneven or twice."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from core.datasets import splits
from core.datasets.base import DatasetSpec, DatasetUnavailable
from core.datasets.folders import COMPARED_AT, Folder, Pictures, readable
from core.progress import Report, silent


@dataclass(frozen=True)
class Checkup:
    """``counts``: readable pictures by class code. ``left_out``: class code to the reason why it is not used.

    ``unreadable``: file to reason. ``shapes``: (width, height) to number of pictures, the commonest first.
    ``identical``: pictures whose file equals another to the byte; ``alike``: pictures that another one
    equals or nearly equals. ``others``: files that are no
    pictures. ``missing``: files that the table names and that are not there. ``groups``: number of groups that stay
    together in the grouped split.
    """

    counts: dict[str, int]
    left_out: dict[str, str]
    unreadable: dict[str, str]
    shapes: dict[tuple[int, int], int]
    identical: int
    alike: int
    others: tuple[str, ...]
    groups: int
    all_classes: int
    missing: tuple[str, ...] = ()

    @property
    def imbalance(self) -> float:
        """The commonest class's count over the rarest's."""
        return max(self.counts.values()) / min(self.counts.values())


def check(spec: DatasetSpec, folder: Folder, report: Report = silent) -> Checkup:
    """Read every picture once (the decoded ones are kept for training). Raises `DatasetUnavailable`."""
    place = folder.place
    if place is None:
        raise DatasetUnavailable(f"the folder of {spec.name} is not there")
    pictures = Pictures.read(folder, place, spec, COMPARED_AT, report)
    arrays, scan = pictures.arrays, pictures.scan
    left_out = {}
    for code in spec.codes:
        if code in pictures.spec.codes:
            continue
        files = scan.files.get(code)
        if files is None:
            left_out[code] = "no folder of that name"
        elif not files:
            left_out[code] = "its folder holds no pictures"
        else:
            good = readable(files, arrays)
            left_out[code] = (
                f"only {good} picture{'' if good == 1 else 's'} that can be read, and train, val and test need "
                f"{splits.FEWEST}"
            )
    digests = np.array(arrays.digests)[pictures.rows]
    _, copies = np.unique(digests, return_counts=True)
    _, likenesses = np.unique(pictures.alike, return_counts=True)
    shapes = Counter((int(w), int(h)) for w, h in arrays.shapes[pictures.rows])
    return Checkup(
        counts=dict(zip(pictures.spec.codes, np.bincount(pictures.labels).tolist(), strict=True)),
        left_out=left_out,
        unreadable={arrays.files[row]: why for row, why in arrays.unreadable.items()},
        shapes=dict(shapes.most_common()),
        identical=int((copies - 1).sum()),
        alike=int((likenesses - 1).sum()),
        others=scan.others,
        groups=len(np.unique(pictures.groups)),
        all_classes=len(spec.codes),
        missing=scan.missing,
    )


def in_words(found: Checkup, spec: DatasetSpec, most: int = 10) -> str:
    """The check-up as lines of text, at most ``most`` files by name in each list."""
    total = sum(found.counts.values())
    names = dict(zip(spec.codes, spec.class_names, strict=True))
    lines = [f"{total:,} pictures of {len(found.counts)} classes" + _of(found)]
    wide = max(map(len, names.values()))
    lines += [f"  {code:<4}{names[code]:<{wide}}  {n:7,}  {n / total:6.1%}" for code, n in found.counts.items()]
    lines.append(f"Imbalance: the commonest class has {found.imbalance:.1f} times as many pictures as the rarest.")
    shape, count = next(iter(found.shapes.items()))
    many = f"{len(found.shapes)} different sizes, most often" if len(found.shapes) > 1 else "all"
    lines.append(f"Sizes: {many} {shape[0]} x {shape[1]} px ({count:,} pictures).")
    lines.append(
        f"Copies: {found.identical:,} pictures equal another file to the byte, {found.alike:,} equal or nearly equal "
        f"another picture; {found.groups:,} groups stay together in the grouped split."
    )
    if found.missing:
        lines.append(f"Named in the table, but not there: {_listed(found.missing, most)}")
    if found.others:
        lines.append(f"Left alone, no pictures: {_listed(found.others, most)}")
    if found.all_classes > len(found.left_out) > most:
        lines.append(f"Not here: {', '.join(found.left_out)}")
    else:
        lines += [f"Left out: {names[code]} ({code}): {why}." for code, why in found.left_out.items()]
    if found.unreadable:
        lines.append(f"Can't be read, left out: {len(found.unreadable)} file{'s' if len(found.unreadable) > 1 else ''}")
        lines += [f"  {name}: {why}" for name, why in list(found.unreadable.items())[:most]]
        if len(found.unreadable) > most:
            lines.append(f"  ... and {len(found.unreadable) - most} more")
    return "\n".join(lines)


def _of(found: Checkup) -> str:
    return f" (of {found.all_classes})" if len(found.counts) < found.all_classes else ""


def _listed(names: tuple[str, ...], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
