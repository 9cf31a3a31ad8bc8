"""Pictures of a laboratory as they came, not yet cropped, with labels for all, some or none of them: from a folder and
a table, or from a data set that the user added. Always in natural order of their paths, so that whatever samples them
samples the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.datasets import DatasetUnavailable, get_dataset
from core.datasets.base import DatasetSpec
from core.datasets.folders import scan_classes
from core.datasets.tables import Table, column_of_files, map_labels, match_labels
from core.datasets.user import layout_of
from core.formatting import counted, natural_key, printable
from core.images.decode import SUFFIXES, decode_files
from core.images.files import files_below, left_out_text, odd_names
from core.images.framing import MeasuredPicture
from core.progress import Report, silent

UNLABELLED = -1


@dataclass(frozen=True)
class LabPictures:
    """N pictures of the laboratory ``name`` as they came: ``pixels`` uint8 (H, W, 3) each, ``files`` below its folder.

    ``labels`` int64 (N,) index into ``codes`` or are `UNLABELLED`; ``slides``: slide or person of each, None where no
    table tells; ``unreadable``: file to reason; ``pixel_sizes``: what a pixel of each spans in µm, None where its file
    doesn't say, () where none was asked. ``notes``: what was made of tables, names and folders, in sentences.
    """

    name: str
    pixels: tuple[np.ndarray, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    codes: tuple[str, ...]
    slides: tuple[str, ...] | None
    unreadable: dict[str, str]
    pixel_sizes: tuple[float | None, ...] = ()
    notes: tuple[str, ...] = ()

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
        raise DatasetUnavailable(
            f"{printable(str(folder))} is not a folder. Name the folder that holds the laboratory's pictures."
        )
    below = files_below(folder)
    if not below.pictures:
        raise DatasetUnavailable(
            f"{printable(str(folder))} holds no picture. Pictures end in {', '.join(SUFFIXES)}. "
            f"{left_out_text(below.others)}"
        )
    if odd := odd_names(below.pictures):
        raise DatasetUnavailable(
            f"{counted(len(odd), 'name')} in {printable(str(folder))} not UTF-8, such as {printable(odd[0])}. Rename "
            "them (convmv does all at once)."
        )
    notes = [note for note in [left_out_text(below.others)] if note]
    slides: Mapping[str, str] = {}
    if table:
        listed = Table.read(table.expanduser().resolve())
        column = column_of_files(listed, "label", below.pictures, folder)
        label_of_file = column.entries
        notes += column.notes()
        if listed.has_entries("slide"):
            of_slide = column_of_files(listed, "slide", below.pictures, folder)
            slides = of_slide.entries
            notes += [note for note in of_slide.notes() if note not in notes]
        codes_by_label = (
            map_labels(sorted(set(label_of_file.values()), key=natural_key), spec, mapping) if label_of_file else {}
        )
    else:
        label_of_file, codes_by_label, told = _folder_labels(folder, spec, mapping)
        notes += told
    used_files = [file for file in below.pictures if file not in label_of_file or label_of_file[file] in codes_by_label]
    index_of = {
        file: spec.codes.index(codes_by_label[label_of_file[file]]) if file in label_of_file else UNLABELLED
        for file in used_files
    }
    lab = _read(folder.name, folder, index_of, spec.codes, slides, report)
    if not lab.files:
        raise DatasetUnavailable(f"None of the {len(below.pictures)} pictures in {printable(str(folder))} can be used.")
    return replace(lab, notes=tuple(notes))


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
    slides = layout.groups(layout.path, list(in_order)).entries
    lab = _read(name, layout.path, in_order, spec.codes, slides, report)
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


def _folder_labels(
    folder: Path, spec: DatasetSpec, mapping: Path | None
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Label of each file that lies in a folder called like a class, the codes of these labels, and what is to be said
    of the other folders: their pictures have no label.
    """
    try:
        scan = scan_classes(folder, fewest=1)
    except DatasetUnavailable:  # no folders: pictures without labels
        return {}, {}, []
    codes, unmatched = match_labels(list(scan.files), spec, mapping)
    strange = [name for name in unmatched if scan.files[name]]
    if not codes:
        return {}, {}, ["No folder is called like a class, so no picture has a label (--mapping says what each is)."]
    notes = [note for note in scan.notes if "split" not in note]
    notes += [
        f"No class of {spec.title} is called {printable(name)!r}: {counted(len(scan.files[name]), 'picture')} in that "
        "folder without a label (--mapping says what it is)."
        for name in strange
    ]
    known = {name: files for name, files in scan.files.items() if name not in unmatched}
    return {file: name for name, files in known.items() for file in files}, codes, notes
