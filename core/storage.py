"""Files written whole or not at all, and files read once: JSON, bytes, arrays, tensors (safetensors).

What is written replaces the old file in one step, so that a reader sees the old one or the new one, never half of
one, whoever else writes it; it is readable by all. `cached_file` keeps what was read until the file changes.
"""

import json
import os
import tempfile
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from threading import Condition
from typing import Any, ParamSpec, TypeVar

import numpy as np
from cachetools import LRUCache, cached
from safetensors.numpy import save_file

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
    """Write arrays, and text beside them, as a safetensors file, as `write_atomic` does."""
    write_atomic(
        path, lambda temporary: save_file(dict(arrays), temporary, None if metadata is None else dict(metadata))
    )


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
