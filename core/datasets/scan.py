"""What lies in a folder of pictures: a folder a class, any nesting below, as it comes from Kaggle or a laboratory."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.datasets.base import DatasetUnavailable
from core.images.decode import SUFFIXES

MAX_DEPTH = 4  # folders below the root among which a class's folder is looked for
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


@dataclass(frozen=True)
class Scan:
    """The picture files of each class (by the class's folder name or code), as paths below ``root``, in natural order.

    ``other_files``: files that are no pictures by their name, which are left alone. ``missing``: files that a table
    names and that are not there.
    """

    root: Path
    files: dict[str, tuple[str, ...]]
    other_files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(map(len, self.files.values()))


def scan_classes(root: Path) -> Scan:
    """Every subfolder of ``root`` is a class, named as the folder is.

    Folders that only wrap (one subfolder and no picture in them) are passed through, and folders named train,
    val, test and the like are joined. Raises `DatasetUnavailable` where fewer than two classes are found.
    """
    top = _unwrapped(_check_folder(root))
    folders = _subfolders(top)
    if folders and all(folder.name.lower() in SPLIT_NAMES for folder in folders):
        folders = [inner for folder in folders for inner in _subfolders(folder)]
    by_name: dict[str, list[Path]] = {}
    for folder in folders:
        by_name.setdefault(folder.name, []).append(folder)
    if len(by_name) < 2:
        raise DatasetUnavailable(
            f"{root} holds {len(by_name)} folder{'' if len(by_name) == 1 else 's'}, and a data set needs at least two "
            "classes. Put the pictures of each class into a folder of its own, named after the class."
        )
    return _scan(root, by_name)


def scan_table(root: Path, labels: Mapping[str, str]) -> Scan:
    """The pictures that a table names: ``labels`` gives the class of each file below ``root``.

    Raises `DatasetUnavailable` where none of them is there.
    """
    _check_folder(root)
    files: dict[str, list[str]] = {}
    missing = []
    for name, label in labels.items():
        if (root / name).is_file():
            files.setdefault(label, []).append(name)
        else:
            missing.append(name)
    if not files:
        first = missing[0] if missing else "nothing"
        raise DatasetUnavailable(
            f"None of the files that the table names is in {root} (it names {first}). The column 'file' must hold "
            "paths below that folder."
        )
    ordered = {label: tuple(sorted(files[label], key=natural_key)) for label in sorted(files, key=natural_key)}
    return Scan(root, ordered, missing=tuple(missing))


def scan_layout(root: Path, layout: Mapping[str, Sequence[str]], excluded: Sequence[str] = ()) -> Scan:
    """The classes of a data set that is known: ``layout`` gives the folder names that each code may have.

    They are looked for at any place up to four folders deep, but not in folders named as in ``excluded``. A code
    without a folder is absent from the result. Raises `DatasetUnavailable` where none is found.
    """
    codes = {_plain(name): code for code, names in layout.items() for name in names}
    skipped = {_plain(name) for name in excluded}
    folders_by_code: dict[str, list[Path]] = {code: [] for code in layout}

    def look(folder: Path, depth: int) -> None:
        for inner in _subfolders(folder):
            name = _plain(inner.name)
            if name in codes:
                folders_by_code[codes[name]].append(inner)
            elif name not in skipped and depth < MAX_DEPTH:
                look(inner, depth + 1)

    look(_check_folder(root), 1)
    present = {code: folders for code, folders in folders_by_code.items() if folders}
    if not present:
        names = ", ".join(names[0] for names in layout.values())
        raise DatasetUnavailable(f"{root} holds none of the folders that are looked for, which are: {names}.")
    return _scan(root, present)


def _scan(root: Path, folders: Mapping[str, Sequence[Path]]) -> Scan:
    files: dict[str, tuple[str, ...]] = {}
    other_files: list[str] = []
    for name, class_folders in folders.items():
        pictures = []
        for class_folder in class_folders:
            for path in walk_files(class_folder):
                relative = path.relative_to(root).as_posix()
                (pictures if path.suffix.lower() in SUFFIXES else other_files).append(relative)
        files[name] = tuple(sorted(pictures, key=natural_key))
    other_files += [p.name for p in sorted(root.iterdir()) if p.is_file() and not _hidden(p.name)]
    return Scan(root, files, tuple(other_files))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts 'a2' before 'a10', without regard to case."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name.lower())]


def _check_folder(root: Path) -> Path:
    if not root.is_dir():
        raise DatasetUnavailable(f"{root} is not a folder. Name the folder that holds a folder for each class.")
    return root


def _unwrapped(folder: Path) -> Path:
    """``folder``, or the only folder in it where nothing else is there, and so on."""
    for _ in range(MAX_DEPTH):
        inner = _subfolders(folder)
        if len(inner) != 1 or any(p.suffix.lower() in SUFFIXES for p in folder.iterdir()):
            break
        folder = inner[0]
    return folder


def _subfolders(folder: Path) -> list[Path]:
    try:
        inside = [p for p in folder.iterdir() if p.is_dir() and not _hidden(p.name)]
    except OSError as error:
        raise DatasetUnavailable(f"{folder} can't be read ({error.strerror}). Check its permissions.") from error
    return sorted(inside, key=lambda p: natural_key(p.name))


def walk_files(folder: Path) -> Iterator[Path]:
    """All files below ``folder``, each once: a link that leads back up or to a folder seen before is not followed."""
    seen: set[tuple[int, int]] = set()
    for directory, inner, names in os.walk(folder, followlinks=True):
        facts = os.stat(directory)
        if (facts.st_dev, facts.st_ino) in seen:
            inner.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        inner[:] = sorted(name for name in inner if not _hidden(name))
        for name in sorted(names):
            path = Path(directory) / name
            if not _hidden(name) and path.is_file():
                yield path


def _hidden(name: str) -> bool:
    """What operating systems leave behind: .DS_Store, ._picture.jpg, __MACOSX, Thumbs.db, desktop.ini."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
