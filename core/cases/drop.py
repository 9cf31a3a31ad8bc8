"""What was dropped: files, folders whole, ZIP archives, each file under the name that it had there, folders kept.

Archives may come from anywhere: nothing is unpacked to a path of theirs, and no more is read than a picture may have.
"""

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.cases.case import UnusedFile
from core.formatting import natural_key
from core.images.decode import FIELD_LIMITS, FORMAT_NAMES, DecodeError, read_file
from core.images.files import is_system_file, walk_files

_MOST_FILES = 50_000  # of an archive
_MOST_BYTES = 16 * 2**30  # of an archive, unpacked
_MOST_RATIO = 1_000  # of a file, unpacked by packed: flat pictures without compression of their own shrink so
SYSTEM_FILE = "a file of the computer's own"
# What a ZIP that comes from anywhere is answered with: each of its ways to pack has errors of its own.
UNPACKING_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # locked by a password; of a way to pack that Python doesn't know: NotImplementedError
    ValueError,
    IndexError,
    MemoryError,
)
_ZIP = b"PK\x03\x04"


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
        if data.startswith(_ZIP) and zipfile.is_zipfile(io.BytesIO(data)):
            source: Path | io.BytesIO = file.source if isinstance(file.source, Path) else io.BytesIO(data)
            yield from _of_archive(file.name, source)
        else:
            yield file.name, data


def _of_archive(name: str, source: Path | io.BytesIO) -> Iterator[tuple[str, bytes] | UnusedFile]:
    try:
        with zipfile.ZipFile(source) as archive:
            inside = sorted(
                (entry for entry in archive.infolist() if not entry.filename.endswith("/")),
                key=lambda entry: natural_key(entry.filename),
            )
            if len(inside) > _MOST_FILES or sum(entry.file_size for entry in inside) > _MOST_BYTES:
                yield UnusedFile(name, "the archive holds too much", "Unpack it, and drop parts of it as folders.")
                return
            for entry in inside:
                yield _entry(archive, entry, name)
    except UNPACKING_ERRORS as error:
        yield UnusedFile(name, f"the archive is damaged ({error})", "Make it anew, or drop the pictures themselves.")


def _entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, archive_name: str) -> tuple[str, bytes] | UnusedFile:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    name = f"{archive_name}/{path if path.parts else entry.filename}"
    if is_system_file(str(path)):
        return UnusedFile(name, SYSTEM_FILE, "Nothing needs to be done.")
    if not path.parts:
        return UnusedFile(name, "it has no name in the archive", "Pack it anew, with the names of the files.")
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        return UnusedFile(name, "its path leads out of the archive", "Pack it anew, with paths inside the folder.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        return UnusedFile(name, "it is a link, no file", "Pack the file itself.")
    if entry.flag_bits & 1:
        return UnusedFile(name, "it is locked by a password", "Pack it without one.")
    limit = FIELD_LIMITS.file_bytes
    if entry.file_size > limit or entry.file_size > _MOST_RATIO * max(entry.compress_size, 1_000):
        return UnusedFile(name, "it unpacks to far more than a picture has", f"Drop it alone, as {FORMAT_NAMES}.")
    try:
        with archive.open(entry) as file:
            data = file.read(limit + 1)
    except UNPACKING_ERRORS as error:
        return UnusedFile(name, f"it is damaged in the archive ({error})", "Pack it anew, or drop it alone.")
    if data.startswith(_ZIP):
        return UnusedFile(name, "an archive within an archive", "Unpack it, and drop what is in it.")
    return name, data
