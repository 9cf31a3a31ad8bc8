"""Rows of one array on disk, read when they are asked for: what lets 171,000 pictures train in little memory."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np


class Rows:
    """Some rows, in some order, of a ``.npy`` file: slices and index arrays give arrays in memory, (n, ...).

    Looks like an array as far as len, shape, dtype, iteration and indexing by rows go. The file is read, not
    mapped: mapped pages would count as this process's memory, and the more so the more pictures there are.
    """

    def __init__(self, path: Path, index: np.ndarray) -> None:
        self.path, self.index = path, np.asarray(index, np.int64)

    @cached_property
    def _file(self) -> BinaryIO:
        return self.path.open("rb", buffering=0)

    @cached_property
    def _header(self) -> tuple[tuple[int, ...], np.dtype, int]:
        """Shape of the array in the file, its type, and where in the file it begins."""
        with self.path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_column, dtype = read(file)
            if by_column or dtype.hasobject:
                raise ValueError(f"{self.path} does not hold plain rows")
            return shape, dtype, file.tell()

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.index), *self._header[0][1:])

    @property
    def dtype(self) -> np.dtype:
        return self._header[1]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | slice | np.ndarray | list) -> np.ndarray:
        rows = self.index[key]
        return self._read(rows) if rows.ndim else self._read(rows[None])[0]

    def _read(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        if not out.size:
            return out
        size, begin = out[0].nbytes, self._header[2]
        content = memoryview(out.reshape(-1).view(np.uint8))
        breaks = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        for start, stop in zip(breaks, breaks[1:], strict=False):  # rows that follow each other are read at once
            done, end = start * size, stop * size
            place = begin + int(rows[start]) * size
            while done < end:
                count = os.preadv(self._file.fileno(), [content[done:end]], place)
                if not count:
                    raise OSError(f"{self.path} is shorter than it says")
                done, place = done + count, place + count
        return out

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), 256):
            yield from self[start : start + 256]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def setflags(self, write: bool = False) -> None:
        """Rows are read-only already."""
        if write:
            raise ValueError("rows of a file can't be written to")
