"""ZIP archives of pictures, which may come from anywhere: nothing is unpacked to a path of theirs, links and locks are
refused, and no more is read than a picture may have.
"""

import hashlib
import io
import lzma
import re
import shutil
import stat
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import HemaLensError
from core.formatting import counted, natural_key, printable
from core.images.decode import FIELD_LIMITS, FORMAT_NAMES
from core.images.files import is_system_file
from core.paths import cache_root

_MOST_FILES = 50_000  # of an archive
_MOST_BYTES = 16 * 2**30  # of an archive, unpacked
_MOST_RATIO = 1_000  # of a file, unpacked by packed: flat pictures without compression of their own shrink so
_MIN_FREE_BYTES = 200 * 10**6  # that stay free on the disk
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
class UnusedFile:
    """A file that is of no use: why, and what a person can do."""

    name: str
    reason: str
    way_out: str


class ArchiveError(HemaLensError):
    """An archive that can't be unpacked."""


def is_archive(data: bytes) -> bool:
    """Whether these are the bytes of a ZIP; of a long one the beginning is not enough."""
    return data.startswith(_ZIP) and zipfile.is_zipfile(io.BytesIO(data))


def read_archive(name: str, source: Path | bytes) -> Iterator[tuple[str, bytes] | UnusedFile]:
    """Name (which begins with the archive's own ``name``) and bytes of each file in a ZIP, in natural order, or why it
    is of no use. One is in memory at a time.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
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


def unpacked(archive: Path) -> tuple[Path, tuple[UnusedFile, ...]]:
    """The folder in the cache that holds what is in a ZIP, made where it isn't there yet, whole or not at all; and
    which of its files are left out, () where they were told before. Raises `ArchiveError`.
    """
    unused: list[UnusedFile] = []
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", archive.stem)[:40] or "archive"
        target = cache_root() / "unpacked" / digest[:16] / name
        if target.is_dir():
            return target, ()
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent.parent) as made:
            inside = Path(made) / digest[:16] / name
            inside.mkdir(parents=True)
            for found in read_archive("", archive):
                if isinstance(found, UnusedFile):
                    unused.append(found)
                else:
                    _write(inside, found[0].lstrip("/"), found[1], unused)
            if not any(inside.iterdir()):
                why = unused[0].reason if unused else "nothing is in it"
                raise ArchiveError(f"{printable(str(archive))} holds no file that can be used: {why}.")
            if not target.parent.exists():
                inside.parent.rename(target.parent)
    except OSError as error:
        raise ArchiveError(
            f"{printable(str(archive))} can't be unpacked ({error.strerror or error}). Unpack it yourself, and name "
            "the folder."
        ) from error
    return target, tuple(file for file in unused if file.reason != SYSTEM_FILE)


def _write(folder: Path, name: str, data: bytes, unused: list[UnusedFile]) -> None:
    path = folder / name
    try:
        if shutil.disk_usage(folder).free < len(data) + _MIN_FREE_BYTES:
            raise OSError(28, "the disk is full")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except (FileExistsError, NotADirectoryError, IsADirectoryError, UnicodeEncodeError):
        unused.append(UnusedFile(name, "its name is no name of a file here", "Pack it anew under another name."))


def is_archive_file(path: Path) -> bool:
    """Whether a file is a ZIP, by what is in it; pipes and devices are not asked."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except OSError:
        return False


def folder_or_archive(path: Path) -> Path:
    """``path``, or where it is a ZIP the folder that this is unpacked to, which is told on the standard error.

    Raises `ArchiveError`.
    """
    if not is_archive_file(path):
        return path
    folder, unused = unpacked(path)
    left = ""
    if unused:
        first = f"{printable(unused[0].name.lstrip('/'))}: {printable(unused[0].reason)}"
        left = f" Left out: {counted(len(unused), 'file')}, such as {first}."
    print(f"note: {printable(str(path))} is unpacked in {printable(str(folder))}.{left}", file=sys.stderr)
    return folder
