"""A laboratory's folder of pictures, with labels for all, some or none of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.base import DatasetSpec, DatasetUnavailable
from core.datasets.mapping import map_labels
from core.datasets.scan import natural, scan_classes, walk
from core.datasets.splits import columns, read_table
from core.progress import Report, silent
from core.serving.decode import SUFFIXES, decode_files

UNKNOWN = -1


@dataclass(frozen=True)
class Pictures:
    """N pictures: ``pixels`` uint8 (H, W, 3) each, ``files`` below the folder, ``labels`` int (N,) of the data set's
    classes or `UNKNOWN`; ``groups``: slide or person of each, None where no table tells; ``unreadable``: file to
    reason.
    """

    pixels: tuple[np.ndarray, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    groups: tuple[str, ...] | None
    unreadable: dict[str, str]

    def __len__(self) -> int:
        return len(self.files)


def read_pictures(
    folder: Path,
    spec: DatasetSpec,
    table: Path | None = None,
    mapping: Path | None = None,
    report: Report = silent,
) -> Pictures:
    """All pictures below ``folder``, whose classes are those of ``spec``.

    Labels come from ``table`` (CSV with the columns file, label and, where it has one, slide), which may name some
    pictures only, else from folders named as classes are; else there are none. ``mapping`` as for `map_labels`, which
    leaves pictures of other classes out. Raises `DatasetUnavailable`.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise DatasetUnavailable(f"{folder} is not a folder. Name the folder that holds the laboratory's pictures.")
    every = sorted(
        (p.relative_to(folder).as_posix() for p in walk(folder) if p.suffix.lower() in SUFFIXES), key=natural
    )
    if not every:
        raise DatasetUnavailable(f"{folder} holds no picture. Pictures end in {', '.join(SUFFIXES)}.")
    named = _named(folder, spec, table, mapping)
    if table and not set(named) & set(every):
        raise DatasetUnavailable(
            f"None of the files that {table.name} names is in {folder} (it names {next(iter(named), 'nothing')}). The "
            "column 'file' must hold paths below that folder."
        )
    known = map_labels(sorted(set(named.values()), key=natural), spec, mapping) if named else {}
    slides = read_table(table, "slide") if table and "slide" in columns(table) else {}
    wanted = [file for file in every if file not in named or named[file] in known]
    pixels, unreadable = decode_files(folder, wanted, report)
    if not pixels:
        raise DatasetUnavailable(f"None of the {len(every)} pictures in {folder} can be used.")
    labels = np.array([spec.codes.index(known[named[file]]) if file in named else UNKNOWN for file in pixels], int)
    groups = tuple(slides.get(file, file) for file in pixels) if slides else None
    return Pictures(tuple(pixels.values()), tuple(pixels), labels, groups, unreadable)


def _named(folder: Path, spec: DatasetSpec, table: Path | None, mapping: Path | None) -> dict[str, str]:
    """Label of each file that has one, as the laboratory writes it."""
    if table:
        return read_table(table.expanduser().resolve(), "label")
    try:
        scan = scan_classes(folder)
        map_labels(list(scan.files), spec, mapping)
    except DatasetUnavailable:  # folders that are no classes: pictures without labels
        return {}
    return {file: name for name, files in scan.files.items() for file in files}
