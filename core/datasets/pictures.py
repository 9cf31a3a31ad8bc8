"""Pictures of a laboratory as they came, not yet cropped, with labels for all, some or none of them: from a folder and
a table, or from a data set that the user added. Always in natural order of their paths, so that whatever samples them
samples the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets import DatasetUnavailable, get_dataset
from core.datasets.base import DatasetSpec
from core.datasets.folders import scan_classes, walk_files
from core.datasets.tables import has_column, map_labels, read_table
from core.datasets.user import layout_of
from core.formatting import natural_key
from core.images.decode import SUFFIXES, decode_files
from core.images.framing import MeasuredPicture
from core.progress import Report, silent

UNLABELLED = -1


@dataclass(frozen=True)
class LabPictures:
    """N pictures of the laboratory ``name`` as they came: ``pixels`` uint8 (H, W, 3) each, ``files`` below its folder.

    ``labels`` int64 (N,) index into ``codes`` or are `UNLABELLED`; ``slides``: slide or person of each, None where no
    table tells; ``unreadable``: file to reason; ``pixel_sizes``: what a pixel of each spans in µm, None where its file
    doesn't say, () where none was asked.
    """

    name: str
    pixels: tuple[np.ndarray, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    codes: tuple[str, ...]
    slides: tuple[str, ...] | None
    unreadable: dict[str, str]
    pixel_sizes: tuple[float | None, ...] = ()

    @property
    def pictures(self) -> list[MeasuredPicture]:
        """Ready to be measured, in their order."""
        sizes = self.pixel_sizes or (None,) * len(self)
        return [MeasuredPicture(p, pixel_size=size) for p, size in zip(self.pixels, sizes, strict=True)]

    def __len__(self) -> int:
        return len(self.files)


def read_folder_pictures(
    folder: Path,
    spec: DatasetSpec,
    table: Path | None = None,
    mapping: Path | None = None,
    report: Report = silent,
) -> LabPictures:
    """All pictures below ``folder``, whose classes are those of ``spec``.

    Labels come from ``table`` (CSV with the columns file, label and, where it has one, slide), which may name some
    pictures only, else from folders named as classes are; else there are none. ``mapping`` as for `map_labels`, which
    leaves pictures of other classes out. Raises `DatasetUnavailable`.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise DatasetUnavailable(f"{folder} is not a folder. Name the folder that holds the laboratory's pictures.")
    all_files = sorted(
        (p.relative_to(folder).as_posix() for p in walk_files(folder) if p.suffix.lower() in SUFFIXES), key=natural_key
    )
    if not all_files:
        raise DatasetUnavailable(f"{folder} holds no picture. Pictures end in {', '.join(SUFFIXES)}.")
    label_of_file = _labels_by_file(folder, spec, table, mapping)
    if table and not set(label_of_file) & set(all_files):
        raise DatasetUnavailable(
            f"None of the files that {table.name} names is in {folder} (it names "
            f"{next(iter(label_of_file), 'nothing')}). The column 'file' must hold paths below that folder."
        )
    codes_by_label = (
        map_labels(sorted(set(label_of_file.values()), key=natural_key), spec, mapping) if label_of_file else {}
    )
    slides = read_table(table, "slide") if table and has_column(table, "slide") else {}
    used_files = [file for file in all_files if file not in label_of_file or label_of_file[file] in codes_by_label]
    index_of = {
        file: spec.codes.index(codes_by_label[label_of_file[file]]) if file in label_of_file else UNLABELLED
        for file in used_files
    }
    lab = _read(folder.name, folder, index_of, spec.codes, slides, report)
    if not lab.files:
        raise DatasetUnavailable(f"None of the {len(all_files)} pictures in {folder} can be used.")
    return lab


def read_dataset_pictures(name: str, report: Report = silent) -> LabPictures:
    """All readable pictures of data set ``name``, which the user added from a folder. Raises `DatasetUnavailable`."""
    spec, layout = get_dataset(name), layout_of(name)
    if layout.path is None:
        raise DatasetUnavailable(
            f"The folder of {spec.title} is gone. Add it again: python -m core datasets add {name} ..."
        )
    files = layout.scan(layout.path).files
    index_of = {file: label for label, code in enumerate(spec.codes) for file in files.get(code, ())}
    in_order = {file: index_of[file] for file in sorted(index_of, key=natural_key)}
    lab = _read(name, layout.path, in_order, spec.codes, layout.groups(), report)
    if not lab.files:
        raise DatasetUnavailable(f"None of the {len(index_of)} pictures of {spec.title} can be read.")
    return lab


def _read(
    name: str,
    folder: Path,
    index_of: dict[str, int],
    codes: tuple[str, ...],
    slides: Mapping[str, str] | None,
    report: Report,
) -> LabPictures:
    """The files of ``index_of`` that can be read, in its order."""
    pictures, unreadable = decode_files(folder, tuple(index_of), report)
    labels = np.array([index_of[file] for file in pictures], np.int64)
    groups = tuple(slides.get(file, file) for file in pictures) if slides else None
    pixels = tuple(picture.pixels for picture in pictures.values())
    sizes = tuple(picture.pixel_size for picture in pictures.values())
    return LabPictures(name, pixels, tuple(pictures), labels, codes, groups, unreadable, sizes)


def _labels_by_file(folder: Path, spec: DatasetSpec, table: Path | None, mapping: Path | None) -> dict[str, str]:
    """Label of each file that has one, as the laboratory writes it."""
    if table:
        return read_table(table.expanduser().resolve(), "label")
    try:
        scan = scan_classes(folder)
        map_labels(list(scan.files), spec, mapping)
    except DatasetUnavailable:  # folders that are no classes: pictures without labels
        return {}
    return {file: name for name, files in scan.files.items() for file in files}
