"""Which files of a folder are pictures: the one way in which folders are walked, whoever asks."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import HemaLensError
from core.formatting import counted, natural_key, printable
from core.images.decode import SUFFIXES

# What operating systems and servers leave in folders, beside all that begins with a dot (.DS_Store, ._picture.jpg).
_SYSTEM = {
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "lost+found",
}
_ENDINGS_TOLD = 5


class FolderError(HemaLensError):
    """A folder that can't be read."""


@dataclass(frozen=True)
class FolderFiles:
    """Paths below a folder, in natural order: ``pictures`` by their endings, ``others`` that are none."""

    pictures: tuple[str, ...]
    others: tuple[str, ...]


def is_picture_name(name: str) -> bool:
    """Whether a file of that name is taken for a picture."""
    return name.lower().endswith(SUFFIXES)


def is_system_file(name: str) -> bool:
    """Whether a file at the path ``name`` is one that a computer keeps for itself, or lies in a folder of that kind."""
    parts = PurePosixPath(name).parts
    return any((part.startswith(".") and part != "..") or part.lower() in _SYSTEM for part in parts)


def walk_files(folder: Path) -> Iterator[Path]:
    """All files below ``folder``, each once, without those that computers keep for themselves.

    A link is followed unless it leads back up or to a folder seen before; one that leads nowhere is no file. Raises
    `FolderError` for a folder that can't be read.
    """
    seen: set[tuple[int, int]] = set()
    for directory, inner, names in os.walk(folder, followlinks=True, onerror=_refuse):
        facts = os.stat(directory)
        if (facts.st_dev, facts.st_ino) in seen:
            inner.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        inner[:] = sorted(name for name in inner if not is_system_file(name))
        for name in sorted(names):
            path = Path(directory) / name
            if not is_system_file(name) and path.is_file():
                yield path


def _refuse(error: OSError) -> None:
    raise FolderError(
        f"{printable(str(error.filename))} can't be read ({error.strerror}). Check its permissions."
    ) from error


def files_below(folder: Path) -> FolderFiles:
    """The files below ``folder``. Raises `FolderError`."""
    names = sorted((path.relative_to(folder).as_posix() for path in walk_files(folder)), key=natural_key)
    return FolderFiles(
        tuple(name for name in names if is_picture_name(name)),
        tuple(name for name in names if not is_picture_name(name)),
    )


def has_pictures(folder: Path) -> bool:
    """Whether a picture lies anywhere below ``folder``; it is looked for until the first. Raises `FolderError`."""
    return any(is_picture_name(path.name) for path in walk_files(folder))


def left_out_text(others: Sequence[str]) -> str:
    """What is said of files that are no pictures by their names; '' where there are none."""
    if not others:
        return ""
    endings = Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in others).most_common()
    told = ", ".join(f"{printable(ending)} ({number:,})" for ending, number in endings[:_ENDINGS_TOLD])
    more = ", and others" if len(endings) > _ENDINGS_TOLD else ""
    return f"Left out, since no picture ends so: {counted(len(others), 'file')}: {told}{more}."


def odd_names(names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are not UTF-8 on the disk (Python shows their bytes as halves of letters)."""
    return [name for name in names if any("\ud800" <= letter <= "\udfff" for letter in name)]
