"""Decoded pictures of a folder as one array on disk, made once and keyed by the files' content.

A picture is framed just as an upload is (`core.serving.preprocess.frame`), so that training and answering see
the same pixels.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets.base import DatasetSpec, DatasetUnavailable
from core.paths import cache_root
from core.progress import Progress, Report, silent
from core.serving.decode import DecodeError, decode
from core.serving.preprocess import frame

VERSION = 1  # of what is stored; an older one is made anew
ARRAY, INDEX, FILES = "images.npy", "index.json", "files.json"
AT_ONCE = 256  # pictures in memory while they are decoded
SPARE = 200 * 10**6  # bytes that stay free on the disk


@dataclass(frozen=True)
class Decoded:
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


def decoded(root: Path, files: Sequence[str], size: int, spec: DatasetSpec, report: Report = silent) -> Decoded:
    """The pictures ``files`` below ``root`` framed at ``size`` px, from the cache where their content is the same.

    Raises `DatasetUnavailable` where the cache can't be written or the disk is full.
    """
    folder = arrays_root() / spec.name
    with _told(folder):
        digests = _digests(root, files, folder, report)
        key = hashlib.sha256(json.dumps([VERSION, size, list(zip(files, digests, strict=True))]).encode()).hexdigest()
        place = folder / f"{size}-{key[:16]}"
        if not (place / INDEX).is_file():
            _make(root, files, size, spec, place, report)
        index = json.loads((place / INDEX).read_text(encoding="utf-8"))
    return Decoded(
        path=place / ARRAY,
        files=tuple(files),
        unreadable={int(row): why for row, why in index["unreadable"].items()},
        shapes=np.array(index["shapes"], np.int64).reshape(-1, 2),
        digests=tuple(digests),
    )


def remembered(array: Path, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What ``make`` computes from the array ``array``, kept beside it as ``name``.npy."""
    path = array.with_name(f"{name}.npy")
    if path.is_file():
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            path.unlink(missing_ok=True)
    made = make()
    with _told(path.parent):
        temporary = path.with_name(f".{name}-{os.getpid()}.npy")
        np.save(temporary, made, allow_pickle=False)
        temporary.replace(path)
    return made


def _digests(root: Path, files: Sequence[str], folder: Path, report: Report) -> list[str]:
    """SHA-256 of every file; those whose length and time of change are as before are not read again."""
    book = folder / FILES
    try:
        known: dict[str, list[Any]] = json.loads(book.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    found: dict[str, list[Any]] = {}
    changed = False
    for done, name in enumerate(files, 1):
        path = root / name
        facts = path.stat()
        key, marks = str(path), [facts.st_size, facts.st_mtime_ns]
        entry = known.get(key)
        if entry is None or entry[:2] != marks:
            changed = True
            try:
                with path.open("rb") as file:
                    entry = [*marks, hashlib.file_digest(file, "sha256").hexdigest()]
            except OSError as error:
                entry = [*marks, f"unreadable {error.errno}"]
        found[key] = entry
        if done % AT_ONCE == 0 and changed:
            report(Progress(done, len(files), "checking the files", "picture"))
    if changed:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = book.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(known | found), encoding="utf-8")
        temporary.replace(book)
    return [found[str(root / name)][2] for name in files]


def _make(root: Path, files: Sequence[str], size: int, spec: DatasetSpec, place: Path, report: Report) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    needed, free = len(files) * size * size * 3, shutil.disk_usage(place.parent).free
    if needed > free - SPARE:
        raise DatasetUnavailable(
            f"{len(files):,} pictures of {size} px need {needed / 1e6:,.0f} MB, and the disk of {place.parent} has "
            f"{free / 1e6:,.0f} MB free. Make room, choose a smaller size, or set HEMALENS_CACHE to another disk."
        )
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        images = np.lib.format.open_memmap(work / ARRAY, "w+", np.uint8, (len(files), size, size, 3))
        unreadable: dict[int, str] = {}
        shapes: list[tuple[int, int]] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = iter(enumerate(files))
            while part := list(islice(rows, AT_ONCE)):
                answers = pool.map(lambda row: _read(root / row[1], row[1], size, spec), part)
                for (row, _), answer in zip(part, answers, strict=True):
                    if isinstance(answer, str):
                        unreadable[row] = answer
                        shapes.append((0, 0))
                    else:
                        images[row] = answer[0]
                        shapes.append(answer[1])
                images.flush()
                _release(images)
                report(Progress(len(shapes), len(files), f"reading the pictures at {size} px", "picture"))
        del images
        index = {"version": VERSION, "unreadable": unreadable, "shapes": shapes}
        (work / INDEX).write_text(json.dumps(index), encoding="utf-8")
        work.chmod(0o755)
        if not place.exists():
            work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _release(images: np.ndarray) -> None:
    """Hand back the memory of what was written already."""
    import mmap

    if hasattr(mmap, "MADV_DONTNEED"):
        images._mmap.madvise(mmap.MADV_DONTNEED)


def _read(path: Path, name: str, size: int, spec: DatasetSpec) -> tuple[np.ndarray, tuple[int, int]] | str:
    """Pixels (size, size, 3) and the file's (width, height); or what is wrong with it."""
    try:
        picture = decode(path.read_bytes(), name)
    except DecodeError as error:
        return error.reason
    except OSError as error:
        return f"the file can't be opened ({error.strerror})"
    height, width = picture.pixels.shape[:2]
    return frame(picture.pixels, size, spec, "auto").pixels, (width, height)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Errors of the disk in words."""
    try:
        yield
    except OSError as error:
        raise DatasetUnavailable(
            f"{folder} can't be written ({error.strerror or error}). HemaLens keeps decoded pictures there: set "
            "HEMALENS_CACHE to a folder on a disk that can be written and has room."
        ) from error
