"""Files written whole or not at all, and files read once: JSON, bytes, arrays, tensors (safetensors).

What is written replaces the old file in one step, so that a reader sees the old one or the new one, never half of
one, whoever else writes it; it is readable by all. `cached_file` keeps what was read until the file changes.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition
from typing import Any, ParamSpec, TypeVar

import numpy as np
from cachetools import LRUCache, cached
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from core import paths
from core.errors import HemaLensError
from core.schema import check_numbers, parse_json, read_bytes

MAKING = ".making-"  # in the name of a folder that is not whole yet
P = ParamSpec("P")
T = TypeVar("T")


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Put in the place of ``path`` what ``write`` puts into the temporary file beside it that it is given.

    Missing folders are made. Where ``write`` raises, the old file stays, nothing is left over, and the error goes on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)  # temporary files and those of safetensors are readable by their owner alone
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` as `write_atomic` does."""
    write_atomic(path, lambda temporary: temporary.write_bytes(content))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON (ASCII, a key a line) as `write_atomic` does; ValueError for numbers that are not finite."""
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a ``.npy`` as `write_atomic` does; ValueError for arrays of Python objects."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    write_atomic(path, write)


def save_tensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays, and text beside them, as a safetensors file, as `write_atomic` does. Raises OSError alone."""

    def write(temporary: Path) -> None:
        try:
            save_file(dict(arrays), temporary, None if metadata is None else dict(metadata))
        except SafetensorError as error:  # what it makes of a full disk is no OSError
            code = re.search(r"os error (\d+)", str(error))
            number = int(code[1]) if code else errno.EIO
            raise OSError(number, os.strerror(number), str(path)) from error

    write_atomic(path, write)


def read_tensors(path: Path, most: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file of at most ``most`` bytes, and the text beside them; all numbers are finite.

    The file is read, not mapped: whoever truncates it meanwhile ends no process. Raises OSError, ValueError.
    """
    content = read_bytes(path, most)
    try:
        arrays = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = parse_json(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError("it is damaged, or no file of tensors") from error
    check_numbers(arrays)
    return arrays, metadata


LEFTOVER_AGE = 24 * 3600  # seconds after which what a killed process left behind is swept


def sweep_leftovers(folder: Path, age: float = LEFTOVER_AGE) -> None:
    """Delete what killed processes left half made under ``folder``: hidden temporary files and folders, untouched for
    ``age`` seconds. What was put aside (`swap_folder`) and never replaced goes back to its place.
    """
    with suppress(OSError):
        for found in [*folder.rglob(".*.tmp"), *folder.rglob(f".*{MAKING.lstrip('.')}*")]:
            with suppress(OSError):
                if time.time() - found.lstat().st_ctime < age:
                    continue
                former = found.name.endswith(_FORMER) and MAKING in found.name
                place = found.with_name(found.name[1:].partition(MAKING)[0])
                if former and not place.exists():
                    found.rename(place)
                elif found.is_dir() and not found.is_symlink():
                    shutil.rmtree(found, ignore_errors=True)
                else:
                    found.unlink()


_FORMER = "-former"


def swap_folder(made: Path, place: Path) -> None:
    """Put the folder ``made``, whose name has `MAKING` in it, in the place of the folder ``place``, if there is one."""
    former = made.with_name(f"{made.name}{_FORMER}")
    with locked(place, 60):
        if place.exists():
            place.rename(former)  # in one step: no half of it is ever there
        made.rename(place)
    shutil.rmtree(former, ignore_errors=True)


@contextmanager
def locked(path: Path, waits: float) -> Iterator[None]:
    """Hold ``path`` for this thread alone, over all processes; the lock lies in the user's cache, freed by any end.

    Raises `Locked` where another one holds it for more than ``waits`` seconds.
    """
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    folder = paths.cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key}.lock", timeout=waits)
    try:
        lock.acquire()
    except Timeout as error:
        raise Locked(
            f"{path.name} is being written by another process or visitor. Try again once it has ended."
        ) from error
    try:
        yield
    finally:
        lock.release()


class Locked(HemaLensError):
    """Another process or visitor is writing what is to be written; the message says which."""


def cached_file(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function of a file: what it returns is kept until the file (its first argument, a Path) changes.

    Further arguments must be hashable. At most ``maxsize`` results are kept, the one not asked for longest goes first;
    ``cache_clear()`` of the decorated function drops all. Threads that ask for one file at once read it once. Errors
    are not kept; OSError where the file is not there.
    """

    def key(path: Path, *arguments: Hashable, **options: Hashable) -> Hashable:
        stat = path.stat()
        mark = str(path.absolute()), stat.st_mtime_ns, stat.st_size, stat.st_ino
        return mark, arguments, tuple(sorted(options.items()))

    return cached(LRUCache(maxsize), key=key, condition=Condition())
