"""Data sets that are folders of pictures, a folder a class: from files to splits.

The split is decided by the files alone and is the same at every size. What is costly (decoding, comparing) is done once
and kept in the cache: one array a size, keyed by the files' content. A picture is cropped just as an upload is
(`core.images.crop`), so that training and prediction see the same pixels.
"""

import hashlib
import json
import mmap
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets import splits, tables
from core.datasets.base import (
    SPLITS,
    DatasetSpec,
    DatasetUnavailable,
    ImageRows,
    LoadedDataset,
    Provenance,
    Scheme,
    Split,
    get_dataset,
    register_source,
)
from core.datasets.quality.near_duplicates import near_duplicate_groups
from core.formatting import counted, listed, name_key, natural_key, printable
from core.images.crop import crop_by_shape
from core.images.decode import DecodeError, decode
from core.images.files import files_below, has_pictures, is_picture_name, is_system_file, odd_names
from core.paths import cache_root, data_root
from core.progress import Progress, Report, batches, silent
from core.schema import parse_json, read_bytes
from core.storage import save_array, write_bytes

MAX_DEPTH = 4  # folders below the root among which a class's folder is looked for
# How folders of a split are called: train, TEST_SIMPLE, Test-A, fold_0. Where nothing else tells, folders whose inner
# ones are called alike are a split too, unless those are numbered (slides, people) or a split themselves.
_SPLIT_NAME = re.compile(
    r"(train|training|val|valid|validation|dev|test|testing|holdout|fold|split)([\W_].*|\d+|[ab])?", re.IGNORECASE
)
_NUMBERED = re.compile(r".*\d[\W_]*|[a-z]", re.IGNORECASE)


@dataclass(frozen=True)
class Scan:
    """The picture files of each class (by the class's folder name or code), as paths below ``root``, in natural order.

    ``other_files``: files that are no pictures by their name, which are left alone. ``missing``: files that a table
    names and that are not there. ``notes``: what was made of names and folders, in sentences.
    """

    root: Path
    files: dict[str, tuple[str, ...]]
    other_files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def scan_classes(root: Path, fewest: int = 2) -> Scan:
    """Every subfolder of ``root`` is a class, named as the folder is; names that differ in case only, or in how their
    accents are written, are one.

    Folders that only wrap (one subfolder and no picture in them) are passed through, and the folders of an existing
    split (train, test, fold_1, or any others whose subfolders are the same) are joined. Raises `DatasetUnavailable`
    where fewer than ``fewest`` classes are found.
    """
    top = _unwrapped(_check_folder(root))
    folders, notes = _class_folders(top)
    by_name: dict[str, list[Path]] = {}
    for folder in folders:
        by_name.setdefault(name_key(folder.name), []).append(folder)
    if len(by_name) < fewest:
        found = "no folder of pictures"
        if by_name:
            found = f"one folder of pictures only, {printable(next(iter(by_name.values()))[0].name)}"
        raise DatasetUnavailable(
            f"{printable(str(root))} holds {found}, and a data set needs at least two classes. Put the pictures of "
            "each class into a folder of its own, named after the class."
        )
    for same in by_name.values():
        if len(spellings := dict.fromkeys(unicodedata.normalize("NFC", folder.name) for folder in same)) > 1:
            notes.append(tables.spelling_note(list(map(printable, spellings))))
        elif len({folder.name for folder in same}) > 1:
            notes.append(f"Accents of the folders called {printable(next(iter(spellings)))} are written in two ways.")
    found_files = _scan(root, {unicodedata.normalize("NFC", same[0].name): same for same in by_name.values()})
    return replace(found_files, notes=(*found_files.notes, *notes))


def _class_folders(top: Path) -> tuple[list[Path], list[str]]:
    """The folders that are classes, those of an existing split joined; and what was made of the split, in sentences."""
    folders = _subfolders(top)
    tops = {folder: _unwrapped(folder) for folder in folders if has_pictures(folder)}
    inner = {folder: [f for f in _subfolders(start) if has_pictures(f)] for folder, start in tops.items()}
    whole = {folder for folder, start in tops.items() if inner[folder] and not _holds_pictures(start)}
    named = [folder for folder in tops if _SPLIT_NAME.fullmatch(folder.name)]
    if split := [folder for folder in named if folder in whole]:
        pass
    elif len(named) == len(tops) > 1:
        raise DatasetUnavailable(
            f"{printable(str(top))} holds the parts of a split ({_names(named)}) with pictures that lie in no class's "
            "folder. Put the pictures of each class into a folder named after it, or name a table (--table) with the "
            "columns file and label."
        )
    elif len(whole) == len(tops) > 1 and len({frozenset(_keys(inner[folder])) for folder in tops}) == 1:
        keys = _keys(inner[next(iter(tops))])
        numbered = all(_NUMBERED.fullmatch(key) or _SPLIT_NAME.fullmatch(key) for key in keys)
        if len(keys) > 1 and not numbered:
            split = list(tops)
    if not split:
        return folders, []
    classes = {key for folder in split for key in _keys(inner[folder])}
    beside = [folder for folder in tops if folder not in split]
    more = [folder for folder in beside if folder in whole and set(_keys(inner[folder])) <= classes]
    split, beside = split + more, [folder for folder in beside if folder not in more]
    notes = [
        f"Taken for an existing split: the folders {_names(split)}. What lies in folders of one name is one class; the "
        "pictures are split anew, likenesses together."
    ]
    if beside:
        notes.append(f"Left out, beside the split: the folders {_names(beside)}.")
    return [folder for part in split for folder in inner[part]], notes


def _names(folders: Sequence[Path]) -> str:
    return listed([printable(folder.name) for folder in folders])


def _keys(folders: Sequence[Path]) -> list[str]:
    return [name_key(folder.name) for folder in folders]


def _holds_pictures(folder: Path) -> bool:
    return any(is_picture_name(p.name) and not is_system_file(p.name) and p.is_file() for p in folder.iterdir())


def scan_table(root: Path, table: Path) -> Scan:
    """The pictures that a table (columns file and label) names, by label.

    Raises `DatasetUnavailable` where none of them is there.
    """
    _check_folder(root)
    below = files_below(root)
    column = tables.column_of_files(tables.Table.read(table), "label", [*below.pictures, *below.others], root)
    by_label: dict[str, list[str]] = {}
    for name, label in column.entries.items():
        by_label.setdefault(label, []).append(name)
    if not by_label:
        raise DatasetUnavailable(f"{printable(table.name)} says of no picture what it is. {' '.join(column.notes())}")
    _refuse_odd_names(root, [name for names in by_label.values() for name in names])
    ordered = {label: tuple(sorted(by_label[label], key=natural_key)) for label in sorted(by_label, key=natural_key)}
    notes = column.notes(unmatched=False)
    if (rest := len(set(below.pictures) - set(column.entries) - set(column.contradicting)) - column.blank) > 0:
        notes.append(f"{counted(rest, 'picture')} in the folder that {column.table} doesn't name: not used.")
    return Scan(root, ordered, missing=column.unmatched, notes=tuple(notes))


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
        pictures: list[str] = []
        for class_folder in class_folders:
            below, start = files_below(class_folder), class_folder.relative_to(root)
            pictures += ((start / file).as_posix() for file in below.pictures)
            other_files += ((start / file).as_posix() for file in below.others)
        files[name] = tuple(sorted(pictures, key=natural_key))
    _refuse_odd_names(root, [*files, *(name for names in files.values() for name in names)])
    own = [p.name for p in sorted(root.iterdir()) if p.is_file() and not is_system_file(p.name)]
    other_files += (name for name in own if not is_picture_name(name))
    loose = [name for name in own if is_picture_name(name)]
    notes = [
        f"In no class's folder, not used: {counted(len(loose), 'picture')}, such as {printable(n)}." for n in loose
    ]
    return Scan(root, files, tuple(other_files), notes=tuple(notes[:1]))


def _refuse_odd_names(root: Path, names: Sequence[str]) -> None:
    if odd := odd_names(names):
        raise DatasetUnavailable(
            f"{printable(str(root))} holds {counted(len(odd), 'name')} of files or folders that are not UTF-8, such as "
            f"{printable(odd[0])}. Rename them, or unpack the archive from which they come anew (convmv does all "
            "at once)."
        )


def _check_folder(root: Path) -> Path:
    if not root.is_dir():
        raise DatasetUnavailable(
            f"{printable(str(root))} is not a folder. Name the folder that holds a folder for each class."
        )
    return root


def _unwrapped(folder: Path) -> Path:
    """``folder``, or the only folder with pictures in it where no picture lies beside that and it holds folders with
    pictures itself, and so on.
    """
    for _ in range(MAX_DEPTH):
        inner = [inside for inside in _subfolders(folder) if has_pictures(inside)]
        if len(inner) != 1 or _holds_pictures(folder) or not any(map(has_pictures, _subfolders(inner[0]))):
            break
        folder = inner[0]
    return folder


def _subfolders(folder: Path) -> list[Path]:
    try:
        inside = [p for p in folder.iterdir() if p.is_dir() and not is_system_file(p.name)]
    except OSError as error:
        raise DatasetUnavailable(
            f"{printable(str(folder))} can't be read ({error.strerror}). Check its permissions."
        ) from error
    return sorted(inside, key=lambda p: natural_key(p.name))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()


VERSION = 1  # of what is stored; an older one is made anew
ARRAY, INDEX, FILES = "images.npy", "index.json", "files.json"
PICTURES_IN_MEMORY = 256  # while they are decoded
MIN_FREE_BYTES = 200 * 10**6  # that stay free on the disk


@dataclass(frozen=True)
class DecodedArrays:
    """Pictures on disk: ``path`` of a ``.npy`` uint8 (N, size, size, 3) with a row for each of ``files``.

    ``unreadable``: row to the reason and the advice, for files that could not be read (their rows are black).
    ``shapes`` int64 (N, 2): width and height of each file. ``digests``: SHA-256 (hex) of each file.
    """

    path: Path
    files: tuple[str, ...]
    unreadable: dict[int, str]
    shapes: np.ndarray
    digests: tuple[str, ...]


def arrays_root() -> Path:
    """Folder of all decoded arrays."""
    return cache_root() / "arrays"


def decode_folder(
    root: Path, files: Sequence[str], size: int, spec: DatasetSpec, report: Report = silent
) -> DecodedArrays:
    """The pictures ``files`` below ``root`` framed at ``size`` px, from the cache where their content is the same.

    Raises `DatasetUnavailable` where the cache can't be written or the disk is full.
    """
    folder = arrays_root() / spec.name
    with _disk_errors(folder):
        digests = _digests(root, files, folder, report)
        key = hashlib.sha256(json.dumps([VERSION, size, list(zip(files, digests, strict=True))]).encode()).hexdigest()
        array_folder = folder / f"{size}-{key[:16]}"
        if not (array_folder / INDEX).is_file():
            _write_arrays(root, files, size, spec, array_folder, report)
        index = json.loads((array_folder / INDEX).read_text(encoding="utf-8"))
    return DecodedArrays(
        path=array_folder / ARRAY,
        files=tuple(files),
        unreadable={int(row): why for row, why in index["unreadable"].items()},
        shapes=np.array(index["shapes"], np.int64).reshape(-1, 2),
        digests=tuple(digests),
    )


def cached_array(array: Path, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What ``make`` computes from the array ``array``, kept beside it as ``name``.npy."""
    path = array.with_name(f"{name}.npy")
    if path.is_file():
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            path.unlink(missing_ok=True)
    values = make()
    with _disk_errors(path.parent):
        save_array(path, values)
    return values


def _digests(root: Path, files: Sequence[str], folder: Path, report: Report) -> list[str]:
    """SHA-256 of every file; those whose length and time of change are as before are not read again."""
    digests_path = folder / FILES
    try:
        stored: dict[str, list[Any]] = json.loads(digests_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stored = {}
    digests: dict[str, list[Any]] = {}
    changed = False
    for done, name in enumerate(files, 1):
        path = root / name
        facts = path.stat()
        key, stat_key = str(path), [facts.st_size, facts.st_mtime_ns]
        entry = stored.get(key)
        if entry is None or entry[:2] != stat_key:
            changed = True
            try:
                with path.open("rb") as file:
                    entry = [*stat_key, hashlib.file_digest(file, "sha256").hexdigest()]
            except OSError as error:
                entry = [*stat_key, f"unreadable {error.errno}"]
        digests[key] = entry
        if done % PICTURES_IN_MEMORY == 0 and changed:
            report(Progress(done, len(files), "checking the files", "picture"))
    if changed:
        write_bytes(digests_path, json.dumps(stored | digests).encode())
    return [digests[str(root / name)][2] for name in files]


def _write_arrays(root: Path, files: Sequence[str], size: int, spec: DatasetSpec, target: Path, report: Report) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    needed, free = len(files) * size * size * 3, shutil.disk_usage(target.parent).free
    if needed > free - MIN_FREE_BYTES:
        raise DatasetUnavailable(
            f"{len(files):,} pictures of {size} px need {needed / 1e6:,.0f} MB, and the disk of {target.parent} has "
            f"{free / 1e6:,.0f} MB free. Make room, choose a smaller size, or set HEMALENS_CACHE to another disk."
        )
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
    try:
        images = np.lib.format.open_memmap(work / ARRAY, "w+", np.uint8, (len(files), size, size, 3))
        unreadable: dict[int, str] = {}
        shapes: list[tuple[int, int]] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            message = f"reading the pictures at {size} px"
            for part in batches(len(files), PICTURES_IN_MEMORY, report, message, "picture"):
                for result in pool.map(lambda name: _read_crop(root / name, name, size, spec), files[part]):
                    if isinstance(result, str):
                        unreadable[len(shapes)] = result
                        shapes.append((0, 0))
                    else:
                        images[len(shapes)], shape = result
                        shapes.append(shape)
                images.flush()
                if hasattr(mmap, "MADV_DONTNEED"):  # hand back the memory of what was written already
                    images._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # numpy shows it no other way
        del images
        index = {"version": VERSION, "unreadable": unreadable, "shapes": shapes}
        (work / INDEX).write_text(json.dumps(index), encoding="utf-8")
        work.chmod(0o755)
        if not target.exists():
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _read_crop(path: Path, name: str, size: int, spec: DatasetSpec) -> tuple[np.ndarray, tuple[int, int]] | str:
    """Pixels (size, size, 3) and the file's (width, height); or what is wrong with it."""
    try:
        picture = decode(path.read_bytes(), name)
    except DecodeError as error:
        return error.reason
    except OSError as error:
        return f"the file can't be opened ({error.strerror})"
    height, width = picture.pixels.shape[:2]
    return crop_by_shape(picture.pixels, size, spec, "auto").pixels, (width, height)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Errors of the disk in words."""
    try:
        yield
    except OSError as error:
        raise DatasetUnavailable(
            f"{folder} can't be written ({error.strerror or error}). HemaLens keeps decoded pictures there: set "
            "HEMALENS_CACHE to a folder on a disk that can be written and has room."
        ) from error


SIZES = (28, 64, 128, 224)
COMPARISON_SIZE = 64  # px at which pictures are compared with each other
SPLIT_TABLE = "published_split.csv"
# What is kept of `core.datasets.quality.near_duplicates`; another number for another way of comparing.
NEAR_DUPLICATES_FILE = "alike-2"


@dataclass(frozen=True)
class FolderLayout:
    """How the pictures of one data set lie in a folder and which of them belong together.

    ``scan(root)`` finds the files of each class code. ``series``: so many pictures that follow each other by
    name are kept in one split (0: none), a stand-in for slides where file names follow the order of taking.
    ``published``: whether a list of its test pictures was published, under the name `SPLIT_TABLE`.
    ``groups_table``: a CSV with the person or slide of each picture in its column ``groups_column``.
    """

    name: str
    scan: Callable[[Path], Scan]
    series: int = 0
    published: bool = False
    groups_table: Path | None = None
    groups_column: str = "group"

    @property
    def path(self) -> Path | None:
        """Where the pictures are on this computer: the folder that was named, else <data root>/<name>."""
        named_folder = registry_entry(self.name).get("folder")
        candidates = ([Path(named_folder)] if named_folder else []) + [data_root() / self.name]
        return next((path for path in candidates if path.is_dir()), None)

    def groups(self, root: Path, files: Sequence[str]) -> tables.FileColumn:
        """The person or slide of each of ``files`` below ``root``; nothing where no table tells.

        Raises `DatasetUnavailable`.
        """
        if not self.groups_table:
            return tables.FileColumn(self.groups_column)
        table = tables.Table.read(self.groups_table)
        return tables.column_of_files(table, self.groups_column, files, root)

    def available(self, size: int) -> bool:
        """Whether there is a folder to read; nothing in it is opened."""
        return size in SIZES and self.path is not None

    def schemes(self) -> tuple[Scheme, ...]:
        """The ways to split it: as published where a list lies with the pictures, by groups, at random.

        Without pictures they are those that runs elsewhere may have been trained with.
        """
        path = self.path
        has_published_split = self.published if path is None else (path / SPLIT_TABLE).is_file()
        return (*((splits.PUBLISHED,) if has_published_split else ()), splits.GROUPED, splits.RANDOM)

    def load(
        self,
        spec: DatasetSpec,
        size: int,
        content_hash: str | None = None,
        scheme: str = "",
        report: Report = silent,
    ) -> LoadedDataset:
        """The pictures at ``size``, as `DatasetSpec` promises. Raises `DatasetUnavailable`."""
        if size not in SIZES:
            raise DatasetUnavailable(f"{spec.title} is read at {', '.join(map(str, SIZES))} px, not at {size} px.")
        path = self.path
        if path is None:
            named_folder = registry_entry(self.name).get("folder")
            gone = f"The folder {named_folder} is gone. " if named_folder else ""
            raise DatasetUnavailable(
                f"{gone}{spec.title} is not on this computer: download it from {spec.url or 'where it comes from'}, "
                f"unpack it, and run `python -m core datasets add {self.name} FOLDER`."
            )
        pictures = FolderImages.read(self, path, spec, size, report)
        scheme_names = [scheme] if scheme else [s.name for s in self.schemes()]
        other_builds = []
        for name in scheme_names if content_hash or scheme else scheme_names[:1]:
            loaded = pictures.split(name)
            if content_hash in (None, loaded.provenance.content_hash):
                return loaded
            other_builds.append(f"{loaded.provenance.label} (content {loaded.provenance.content_hash})")
        raise DatasetUnavailable(
            f"The build of {spec.title} at {size} px with content {content_hash} is not on this computer: the pictures "
            f"in {path} are others, or some were added or taken away. There is: {'; '.join(other_builds)}."
        )


@dataclass(frozen=True)
class FolderImages:
    """The readable pictures of a folder at one size. ``labels`` int64 (N,) index into ``spec``'s classes."""

    folder: FolderLayout
    path: Path
    spec: DatasetSpec
    size: int
    arrays: DecodedArrays
    scan: Scan
    small: DecodedArrays

    @classmethod
    def read(cls, folder: FolderLayout, path: Path, spec: DatasetSpec, size: int, report: Report) -> "FolderImages":
        """Find and decode them; classes of fewer than three readable pictures are left out."""
        scan = folder.scan(path)
        files = [name for code in spec.codes for name in scan.files.get(code, ())]
        if not files:
            raise DatasetUnavailable(f"{path} holds no pictures of {spec.title}. Check that this is the right folder.")
        small = decode_folder(path, files, COMPARISON_SIZE, spec, report)
        arrays = small if size == COMPARISON_SIZE else decode_folder(path, files, size, spec, report)
        kept_codes = [
            code for code in spec.codes if count_readable(scan.files.get(code, ()), small) >= splits.MIN_GROUPS
        ]
        if len(kept_codes) < 2:
            bad = [f"{small.files[row]} ({why})" for row, why in small.unreadable.items()]
            raise DatasetUnavailable(
                f"{path} holds {len(kept_codes)} class{'' if len(kept_codes) == 1 else 'es'} of {splits.MIN_GROUPS} or "
                "more pictures that can be read, and at least two are needed. Add pictures, each class in a folder of "
                "its own."
                + (f" Files that can't be read: {'; '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}." if bad else "")
            )
        return cls(folder, path, spec.with_classes(kept_codes), size, arrays, scan, small)

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of the arrays that hold a picture of a class that is kept, int64 (N,)."""
        bad, label_of = self.arrays.unreadable, self._label_of
        return np.array([r for r, f in enumerate(self.arrays.files) if f in label_of and r not in bad], np.int64)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class index of each of its pictures: int64 (N,)."""
        return np.array([self._label_of[self.arrays.files[row]] for row in self.rows], np.int64)

    @cached_property
    def _label_of(self) -> dict[str, int]:
        return {name: k for k, code in enumerate(self.spec.codes) for name in self.scan.files[code]}

    @cached_property
    def ids(self) -> np.ndarray:
        """The paths of the files below the folder, str (N,)."""
        return np.array([self.arrays.files[row] for row in self.rows])

    @cached_property
    def near_duplicates(self) -> np.ndarray:
        """int64 (N,): pictures that are the same or nearly so have the same number."""
        return cached_array(
            self.small.path, NEAR_DUPLICATES_FILE, lambda: near_duplicate_groups(ImageRows(self.small.path, self.rows))
        )

    @cached_property
    def groups(self) -> np.ndarray:
        """int64 (N,): what must stay together: likenesses, a person's or slide's pictures, a series."""
        parts = [self.near_duplicates]
        if self.folder.series:
            parts.append(splits.series_groups(self.labels, self.folder.series))
        if self.folder.groups_table is not None:
            group_of_file = self.folder.groups(self.path, self.arrays.files).entries
            numbers = {group: k for k, group in enumerate(sorted(set(group_of_file.values())))}
            parts.append(np.array([numbers.get(group_of_file.get(name, ""), -1) for name in self.ids], np.int64))
        return splits.join_groupings(*parts)

    def split(self, scheme: str) -> LoadedDataset:
        """The data set split by ``scheme``."""
        if scheme == splits.RANDOM.name:
            where = splits.random_split(self.labels)
        elif scheme == splits.GROUPED.name:
            groups_hash = hashlib.sha256(np.ascontiguousarray(self.groups).data).hexdigest()[:12]
            where = cached_array(
                self.small.path, f"grouped-{groups_hash}", lambda: splits.grouped_split(self.labels, self.groups)
            )
        elif scheme == splits.PUBLISHED.name:
            where = splits.listed_split(self.ids.tolist(), self.labels, self.near_duplicates, self.path / SPLIT_TABLE)
        else:
            raise DatasetUnavailable(f"{self.spec.title} has no split called {scheme!r}.")
        parts = {}
        for number, name in enumerate(SPLITS):
            chosen = np.flatnonzero(where == number)
            labels, ids = self.labels[chosen], self.ids[chosen]
            for array in (labels, ids):
                array.setflags(write=False)
            parts[name] = Split(ImageRows(self.arrays.path, self.rows[chosen]), labels, ids)
        return LoadedDataset(self.spec, self.size, self._provenance(scheme, where), parts, scheme)

    def _provenance(self, scheme: str, where: np.ndarray) -> Provenance:
        scheme_spec = next(s for s in self.folder.schemes() if s.name == scheme)
        all_classes = len(get_dataset(self.spec.name).codes)
        fewer = "" if len(self.spec.codes) == all_classes else f", {len(self.spec.codes)} of {all_classes} classes"
        digests = [self.arrays.digests[row] for row in self.rows]
        content = json.dumps([self.size, digests, self.labels.tolist(), where.tolist()])
        return Provenance(
            "folder",
            f"{self.spec.title}{fewer} ({scheme_spec.title})",
            hashlib.sha256(content.encode()).hexdigest()[:12],
            self.path,
        )


def count_readable(files: tuple[str, ...], arrays: DecodedArrays) -> int:
    """How many of ``files`` could be read into ``arrays``."""
    bad = {arrays.files[row] for row in arrays.unreadable}
    return sum(name not in bad for name in files)


def registry_path(name: str) -> Path:
    """The file that remembers where the pictures of data set ``name`` lie, and what the user said of them."""
    return cache_root() / "datasets" / f"{name}.json"


def registry_entry(name: str) -> dict:
    """What was registered under ``name``; {} where nothing was, or it can't be read."""
    try:
        entry = parse_json(read_bytes(registry_path(name)))
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) and isinstance(entry.get("folder"), str) else {}


def folder_dataset(folder: FolderLayout, **facts: Any) -> DatasetSpec:
    """The spec of a data set that is read from ``folder``; ``facts`` are the other fields of `DatasetSpec`."""

    def load(size: int, content_hash: str | None = None, scheme: str = "", report: Report = silent) -> LoadedDataset:
        return folder.load(spec, size, content_hash, scheme, report)

    spec = DatasetSpec(
        name=folder.name,
        sizes=SIZES,
        real=True,
        schemes=folder.schemes(),
        load=load,
        available=folder.available,
        **facts,
    )
    return spec


_BUILT_IN_FOLDERS: dict[str, FolderLayout] = {}


def register_folder(folder: FolderLayout, **facts: Any) -> None:
    """Add a data set of ours that is read from ``folder``, wherever the user says that this is."""
    _BUILT_IN_FOLDERS[folder.name] = folder
    register_source(lambda: {folder.name: folder_dataset(folder, **facts)})


def built_in_folder(name: str) -> FolderLayout | None:
    """The folder of a data set of ours; None where ``name`` is none of those."""
    return _BUILT_IN_FOLDERS.get(name)
