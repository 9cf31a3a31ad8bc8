"""Rows of one array on disk, read when they are asked for: what lets 171,000 pictures train in little memory."""

import mmap
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

FORGET = 64 * 2**20  # bytes read after which the pages that are mapped are handed back


class Rows:
    """Some rows, in some order, of a ``.npy`` file: slices and index arrays give arrays in memory, (n, ...).

    Looks like an array as far as len, shape, dtype, iteration and indexing by rows go. What was read does
    not stay in this process's memory; the system's own cache of files may keep it.
    """

    def __init__(self, path: Path, index: np.ndarray) -> None:
        self.path, self.index = path, np.asarray(index, np.int64)
        self._read = 0

    @cached_property
    def _file(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r", allow_pickle=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self._file.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self._file.dtype

    @property
    def ndim(self) -> int:
        return self._file.ndim

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | slice | np.ndarray | list) -> np.ndarray:
        taken = np.array(self._file[self.index[key]])
        self._read += taken.nbytes
        if self._read > FORGET and hasattr(mmap, "MADV_DONTNEED"):
            self._file._mmap.madvise(mmap.MADV_DONTNEED)
            self._read = 0
        return taken

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), 256):
            yield from self[start : start + 256]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def setflags(self, write: bool = False) -> None:
        """Rows are read-only already."""
        if write:
            raise ValueError("rows of a file can't be written to")
