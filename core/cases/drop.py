"""What was dropped: files, folders whole, ZIP archives, each file under the name that it had there, folders kept.

Archives are read as `core.images.archives` does, a file at a time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.formatting import natural_key
from core.images.archives import SYSTEM_FILE, UnusedFile, is_archive, read_archive
from core.images.decode import FIELD_LIMITS, DecodeError, read_file
from core.images.files import is_system_file, walk_files


@dataclass(frozen=True)
class DroppedFile:
    """A file called ``name``, with its bytes or where they lie."""

    name: str
    source: bytes | Path

    def read(self) -> bytes:
        """The bytes, one more than a picture may have at most. Raises `DecodeError`."""
        return read_file(self.source, FIELD_LIMITS) if isinstance(self.source, Path) else self.source


def dropped(paths: Iterable[Path]) -> list[DroppedFile]:
    """The files that ``paths`` name: a folder stands for all below it, whose names begin with the folder's own."""
    found = []
    for path in paths:
        if path.is_dir():
            below = ((file.relative_to(path).as_posix(), file) for file in walk_files(path))
            top = path.resolve().name
            found += [DroppedFile(f"{top}/{name}", file) for name, file in below]
        else:
            found.append(DroppedFile(path.name, path))
    return found


def read_dropped(files: Sequence[DroppedFile]) -> Iterator[tuple[str, bytes] | UnusedFile]:
    """Name and bytes of each of ``files``, those in archives among them, in the natural order of their names, or why it
    is of no use. One is in memory at a time.
    """
    for file in sorted(files, key=lambda file: natural_key(file.name)):
        if is_system_file(file.name):
            yield UnusedFile(file.name, SYSTEM_FILE, "Nothing needs to be done.")
            continue
        try:
            data = file.read()
        except DecodeError as error:
            yield UnusedFile(file.name, error.reason, error.advice)
            continue
        if is_archive(data):
            yield from read_archive(file.name, file.source)
        else:
            yield file.name, data
