"""A laboratory's folder of pictures, with labels for all, some or none of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.base import DatasetSpec, DatasetUnavailable
from core.datasets.mapping import map_labels
from core.datasets.scan import natural, scan_classes, walk
from core.datasets.splits import columns, read_table
from core.progress import Progress
from core.serving.decode import SUFFIXES, DecodeError, decode

UNKNOWN = -1
Report = Callable[[Progress], None]


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
    report: Report = lambda progress: None,
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
    codes = {code: index for index, code in enumerate(spec.codes)}
    slides = read_table(table, "slide") if table and "slide" in columns(table) else {}
    pixels, files, labels, unreadable = [], [], [], {}
    for done, file in enumerate(every, 1):
        code = known.get(named[file]) if file in named else ""
        if code is not None and (code == "" or code in codes):
            try:
                pixels.append(decode((folder / file).read_bytes(), file).pixels)
                files.append(file)
                labels.append(codes.get(code, UNKNOWN))
            except (DecodeError, OSError) as error:
                unreadable[file] = getattr(error, "reason", str(error))
        if done % 25 == 0 or done == len(every):
            report(Progress(done, len(every), "reading the pictures", "picture"))
    if not files:
        raise DatasetUnavailable(f"None of the {len(every)} pictures in {folder} can be used.")
    groups = tuple(slides.get(file, file) for file in files) if slides else None
    return Pictures(tuple(pixels), tuple(files), np.array(labels, int), groups, unreadable)


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
