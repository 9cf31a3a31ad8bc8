"""Data sets that the user added: a folder of pictures, a folder a class, and what was said of it; and the report on
such a folder, made before anything is trained on it: what is missing, broken, uneven or twice.

What is kept is one JSON file a data set in the user's cache; the pictures stay where they are.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets import splits
from core.datasets.base import CellClass, DatasetSpec, DatasetUnavailable, dataset_names, get_dataset, register_source
from core.datasets.folders import (
    COMPARISON_SIZE,
    FolderImages,
    FolderLayout,
    Scan,
    built_in_folder,
    count_readable,
    folder_dataset,
    natural_key,
    registry_entry,
    registry_path,
    scan_classes,
    scan_table,
)
from core.datasets.tables import Table, map_labels
from core.errors import plain_reason
from core.formatting import counted, name_key, printable
from core.progress import Report, silent
from core.schema import COUNT, DATASET, MAX_CLASSES, TEXT, Schema, list_of, record
from core.storage import cached_file, write_bytes, write_json


@dataclass(frozen=True)
class FolderReport:
    """``counts``: readable pictures by class code. ``left_out``: class code to the reason why it is not used.

    ``unreadable``: file to reason. ``shapes``: (width, height) to number of pictures, the commonest first.
    ``exact_duplicates``: pictures whose file equals another to the byte; ``near_duplicates``: pictures that another one
    equals or nearly equals. ``other_files``: files that are no pictures. ``missing``: files that the table names and
    that are not there. ``groups``: number of groups that stay together in the grouped split. ``all_classes``: number of
    classes, those left out counted. ``notes``: what else was made of names, folders and tables, in sentences.
    """

    counts: dict[str, int]
    left_out: dict[str, str]
    unreadable: dict[str, str]
    shapes: dict[tuple[int, int], int]
    exact_duplicates: int
    near_duplicates: int
    other_files: tuple[str, ...]
    groups: int
    all_classes: int
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def imbalance(self) -> float:
        """The commonest class's count over the rarest's."""
        return max(self.counts.values()) / min(self.counts.values())


def check_folder(spec: DatasetSpec, folder: FolderLayout, report: Report = silent) -> FolderReport:
    """Read every picture once (the decoded ones are kept for training). Raises `DatasetUnavailable`."""
    path = folder.path
    if path is None:
        raise DatasetUnavailable(f"the folder of {spec.name} is not there")
    pictures = FolderImages.read(folder, path, spec, COMPARISON_SIZE, report)
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
            left_out[code] = (
                f"only {counted(count_readable(files, arrays), 'picture')} that can be read, and train, val and test "
                f"need {splits.MIN_GROUPS}"
            )
    digests = np.array(arrays.digests)[pictures.rows]
    _, digest_counts = np.unique(digests, return_counts=True)
    _, group_sizes = np.unique(pictures.near_duplicates, return_counts=True)
    shapes = Counter((int(w), int(h)) for w, h in arrays.shapes[pictures.rows])
    return FolderReport(
        counts=dict(zip(pictures.spec.codes, np.bincount(pictures.labels).tolist(), strict=True)),
        left_out=left_out,
        unreadable={arrays.files[row]: why for row, why in arrays.unreadable.items()},
        shapes=dict(shapes.most_common()),
        exact_duplicates=int((digest_counts - 1).sum()),
        near_duplicates=int((group_sizes - 1).sum()),
        other_files=scan.other_files,
        groups=len(np.unique(pictures.groups)),
        all_classes=len(spec.codes),
        missing=scan.missing,
        notes=tuple(dict.fromkeys([*scan.notes, *_group_notes(folder, path, arrays.files)])),
    )


def _group_notes(folder: FolderLayout, root: Path, files: Sequence[str]) -> list[str]:
    """What is to be said of the table of groups; paths of other pictures are no fault of one that names labels too."""
    column = folder.groups(root, files)
    rest = len(files) - len(column.entries) if folder.groups_table else 0
    told = column.notes(unmatched=folder.groups_column != "slide")
    return told + ([f"{counted(rest, 'picture')} in no group of {column.table}."] if rest else [])


def folder_report_text(report: FolderReport, spec: DatasetSpec, most: int = 10) -> str:
    """The check-up as lines of text, at most ``most`` files by name in each list."""
    total = sum(report.counts.values())
    names, wide = spec.names, max(map(len, spec.class_names))
    of_all = f" (of {report.all_classes})" if len(report.counts) < report.all_classes else ""
    lines = [f"{total:,} pictures of {len(report.counts)} classes{of_all}"]
    lines += [f"  {code:<4}{names[code]:<{wide}}  {n:7,}  {n / total:6.1%}" for code, n in report.counts.items()]
    lines.append(f"Imbalance: the commonest class has {report.imbalance:.1f} times as many pictures as the rarest.")
    shape, count = next(iter(report.shapes.items()))
    sizes_text = f"{len(report.shapes)} different sizes, most often" if len(report.shapes) > 1 else "all"
    lines.append(f"Sizes: {sizes_text} {shape[0]} x {shape[1]} px ({count:,} pictures).")
    lines.append(
        f"Copies: {report.exact_duplicates:,} pictures equal another file to the byte, {report.near_duplicates:,} "
        f"equal or nearly equal another picture; {report.groups:,} groups stay together in the grouped split."
    )
    if report.missing:
        files = counted(len(report.missing), "file")
        lines.append(f"Named in the table, but not there: {_listed(report.missing, most)} ({files})")
    if report.other_files:
        files = counted(len(report.other_files), "file")
        lines.append(f"Left alone, no pictures: {_listed(report.other_files, most)} ({files})")
    lines += [f"Note: {note}" for note in report.notes]
    if report.all_classes > len(report.left_out) > most:
        lines.append(f"Not here: {', '.join(report.left_out)}")
    else:
        lines += [f"Left out: {names[code]} ({code}): {why}." for code, why in report.left_out.items()]
    if report.unreadable:
        lines.append(f"Can't be read, left out: {counted(len(report.unreadable), 'file')}")
        lines += [f"  {printable(name)}: {why}" for name, why in list(report.unreadable.items())[:most]]
        if len(report.unreadable) > most:
            lines.append(f"  ... and {len(report.unreadable) - most} more")
    return "\n".join(lines)


def _listed(names: tuple[str, ...], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


UNITS = ("cell", "field")


def is_user_defined(name: str) -> bool:
    """Whether ``name`` is a data set that the user defined (not one of ours whose folder was named)."""
    return "classes" in registry_entry(name)


def add_dataset(
    name: str,
    folder: Path,
    *,
    title: str = "",
    domain: str = "",
    unit: str = "cell",
    stretched: bool = False,
    groups_table: Path | None = None,
    table: Path | None = None,
    maps_to: str = "",
    mapping: Path | None = None,
) -> DatasetSpec:
    """Make the folder known as data set ``name``. Raises `DatasetUnavailable`.

    Its classes are the folder's subfolders, or the labels of ``table``, a CSV with the columns file, label and,
    where it has one, slide. ``maps_to`` names the data set whose classes these are under other names; see
    `core.datasets.tables.map_labels` for ``mapping``. A data set of ours that is read from a folder (``all4``,
    ``bone_marrow``) is pointed to it instead.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{1,39}", name):
        raise DatasetUnavailable(
            f"{name!r} can't be a data set's name: use 2 to 40 small letters, digits and _, such as my_lab."
        )
    folder = folder.expanduser().resolve()
    shipped_layout = built_in_folder(name)
    if shipped_layout is None and name in dataset_names() and not is_user_defined(name):
        raise DatasetUnavailable(
            f"{name} is a data set of HemaLens that is not read from a folder: choose another name."
        )
    content: dict[str, Any] = {"name": name, "folder": str(folder)}
    if shipped_layout is None:
        paths = {"table": table, "groups_table": groups_table}
        content |= {key: str(path.expanduser().resolve()) for key, path in paths.items() if path is not None}
        scan = _scan(content, folder)
        names = list(scan.files)
        content |= {
            "title": title or name,
            "domain": domain or f"the pictures of {folder.name}; from where they come was not said",
            "unit": unit,
            "stretched": stretched,
            "classes": _mapped_classes(names, get_dataset(maps_to), mapping) if maps_to else _named_classes(names),
            "maps_to": maps_to,
        }
        content["ungrouped"] = _ungrouped(content, scan)
    else:
        shipped_layout.scan(folder)  # raises where it is another folder
    path = registry_path(name)
    try:
        write_json(path, content)
    except OSError as error:
        raise DatasetUnavailable(
            f"{path} can't be written ({error.strerror}). Set HEMALENS_CACHE to a folder that can be written."
        ) from error
    return get_dataset(name)


def _ungrouped(content: dict[str, Any], scan: Scan) -> int:
    """How many pictures the table of groups says nothing of. Raises `DatasetUnavailable` where these are all."""
    layout, used = _layout(content), {name for one in content["classes"] for name in one["labels"]}
    files = [file for name in scan.files if name in used for file in scan.files[name]]
    column = layout.groups(scan.root, files)
    if layout.groups_table and not column.entries:
        raise DatasetUnavailable(
            f"{column.table} says of no picture to which person or slide it belongs. {' '.join(column.notes())}"
        )
    return len(files) - len(column.entries) if layout.groups_table else 0


def layout_of(name: str) -> FolderLayout:
    """How the pictures of ``name`` lie in their folder, for a data set that is read from one."""
    shipped_layout = built_in_folder(name)
    return shipped_layout if shipped_layout is not None else _layout(registry_entry(name))


@contextmanager
def restored_on_failure(name: str) -> Iterator[None]:
    """Where what is done inside raises, ``name`` is again what it was before: unknown, or the former folder."""
    path = registry_path(name)
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            write_bytes(path, before)
        raise


def remove_dataset(name: str) -> None:
    """Take the data set from the list; its pictures and the runs trained on it stay. Raises `DatasetUnavailable`."""
    if not registry_path(name).is_file():
        raise DatasetUnavailable(f"{name} was not added here, so there is nothing to remove.")
    registry_path(name).unlink()


def make_codes(names: Sequence[str]) -> list[str]:
    """A code of two or three capitals for each class name, all different: initials, else first letters."""
    codes_so_far: list[str] = []
    for number, name in enumerate(names, 1):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
        words = re.findall(r"[A-Z0-9]+", plain)
        letters = "".join(words) or "C"
        tries = ["".join(word[0] for word in words)[:3], letters[:3]]
        tries += [letters[0] + letters[k : k + 2] for k in range(2, len(letters) - 1)]
        tries += [f"{letters[0]}{n}" for n in range(number, number + 99)]
        codes_so_far.append(next(code for code in tries if 2 <= len(code) <= 3 and code not in codes_so_far))
    return codes_so_far


def _named_classes(names: Sequence[str]) -> list[dict]:
    return [
        {"code": code, "name": re.sub(r"[\s_]+", " ", n).strip(), "labels": [n]}
        for code, n in zip(make_codes(names), names, strict=True)
    ]


def _mapped_classes(names: Sequence[str], target: DatasetSpec, table: Path | None) -> list[dict]:
    """The target's classes that are there, in its order, each with the labels that mean it."""
    codes_by_label = map_labels(names, target, table)
    return [
        {
            "code": cell.code,
            "name": cell.name,
            "description": cell.description,
            "labels": [label for label, code in codes_by_label.items() if code == cell.code],
        }
        for cell in target.classes
        if cell.code in codes_by_label.values()
    ]


@cached_file(maxsize=64)
def _spec(path: Path) -> DatasetSpec | None:
    """The data set that the file describes; None where it describes none or is broken."""
    try:
        content = _RECORD.read(path)
        classes = tuple(
            CellClass(
                c["code"],
                c["name"],
                c.get("description")
                or f"The pictures that are called '{c['labels'][0]}' here; nothing more was said of this class.",
            )
            for c in content["classes"]
        )
        folder = _layout(content)
        return folder_dataset(
            folder,
            title=content["title"],
            summary=f"{len(classes)} classes of your own, from {content['folder']}.",
            classes=classes,
            domain=content["domain"],
            licence="your own pictures",
            citation=content["folder"],
            url="",
            unit=content["unit"],
            stretched=content.get("stretched", content.get("squeezed", False)),  # its name in files of old
            maps_to=content.get("maps_to", ""),
            cautions=_group_cautions(folder, content.get("ungrouped", 0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _group_cautions(folder: FolderLayout, ungrouped: int) -> tuple[str, ...]:
    if not folder.groups_table:
        return (_NO_GROUPS,)
    if not ungrouped:
        return ()
    return (
        f"No table says of which person or slide {counted(ungrouped, 'picture')} {'is' if ungrouped == 1 else 'are'}: "
        "patient leakage can't be excluded there.",
    )


_RECORD = Schema(
    record(
        {"name": DATASET, "folder": TEXT},
        {
            **dict.fromkeys(("title", "domain", "maps_to", "table", "groups_table"), TEXT),
            "unit": {"enum": list(UNITS)},
            "stretched": {"type": "boolean"},
            "ungrouped": COUNT,
            "squeezed": {"type": "boolean"},
            "classes": list_of(
                record({"code": TEXT, "name": TEXT, "labels": list_of(TEXT, 10_000, 1)}, {"description": TEXT}),
                MAX_CLASSES,
                1,
            ),
        },
    )
)


def damaged_records() -> dict[Path, str]:
    """The files of data sets that were added and that can't be read, each with the reason."""
    damaged = {}
    for path in sorted(registry_path("x").parent.glob("*.json")):
        try:
            content = _RECORD.read(path)
            if content["name"] != path.stem:
                raise ValueError(f"it describes {content['name']}")
            if "classes" in content and _spec(path) is None:
                raise ValueError("it describes no data set")
        except (OSError, ValueError) as error:
            damaged[path] = plain_reason(error)
    return damaged


def _layout(content: dict[str, Any]) -> FolderLayout:
    labels = {c["code"]: c["labels"] for c in content["classes"]}

    def scan(root: Path) -> Scan:
        found = _scan(content, root)
        by_key = {name_key(name): found_files for name, found_files in found.files.items()}
        files = {
            code: tuple(sorted((f for name in names for f in by_key.pop(name_key(name), ())), key=natural_key))
            for code, names in labels.items()
        }
        return replace(found, files=files)

    table, groups_table = content.get("table"), content.get("groups_table")
    has_slides = bool(not groups_table and table and _has_slides(Path(table)))
    groups_table = table if has_slides else groups_table
    return FolderLayout(
        name=content["name"],
        scan=scan,
        groups_table=Path(groups_table) if groups_table else None,
        groups_column="slide" if has_slides else "group",
    )


def _has_slides(table: Path) -> bool:
    try:
        return Table.read(table).has_entries("slide")
    except DatasetUnavailable:  # who reads the labels tells it
        return False


def _scan(content: dict[str, Any], root: Path) -> Scan:
    table = content.get("table")
    return scan_table(root, Path(table)) if table else scan_classes(root)


_NO_GROUPS = (
    "No table says which pictures are of one person or slide: patient leakage can't be excluded. Add one with --groups."
)


def user_specs() -> dict[str, DatasetSpec]:
    """All data sets that the user defined, by name."""
    specs_by_name = {}
    for path in sorted(registry_path("x").parent.glob("*.json")):
        try:
            spec = _spec(path)
        except FileNotFoundError:  # removed at this moment
            continue
        if spec is not None and spec.name == path.stem:
            specs_by_name[spec.name] = spec
    return specs_by_name


register_source(user_specs)
