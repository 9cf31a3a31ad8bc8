"""What a data set is: its classes, its provenance, its splits, its pictures in memory or on disk; and the registry of
all of them.

A data set is added by adding one module to this package that ends in ``register(DatasetSpec(...))``.
"""

import hashlib
import importlib
import os
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.errors import HemaLensError
from core.progress import Progress


class ImageRows:
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
        """(N, S, S, 3) of the rows in sight."""
        return (len(self.index), *self._header[0][1:])

    @property
    def dtype(self) -> np.dtype:
        """Kind of the stored numbers."""
        return self._header[1]

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the rows in sight would take in memory."""
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
        content = out.reshape(-1).view(np.uint8).data
        breaks = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        for start, stop in zip(breaks, breaks[1:], strict=False):  # rows that follow each other are read at once
            done, end = start * size, stop * size
            offset = begin + int(rows[start]) * size
            while done < end:
                count = os.preadv(self._file.fileno(), [content[done:end]], offset)
                if not count:
                    raise OSError(f"{self.path} is shorter than it says")
                done, offset = done + count, offset + count
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


SPLITS = ("train", "val", "test")


class DatasetUnavailable(HemaLensError):
    """The data set's file is absent, broken or can't be fetched; the message says what to do."""


class UnknownDataset(HemaLensError, LookupError):
    """No data set has the name asked for; the message names those there are."""


@dataclass(frozen=True)
class CellClass:
    """One class: ``code`` (two or three letters, the order's key), ``name``, and a textbook sentence."""

    code: str
    name: str
    description: str


@dataclass(frozen=True)
class Provenance:
    """Where a loaded split's pixels come from.

    ``kind``: 'official' (the publisher's file, MD5 checked), 'rebuilt', 'other' (an unknown build)
    or 'drawn'. ``label`` is what a person reads beside every number. ``content_hash`` is 12 hex
    digits of SHA-256 over images and labels of all splits.
    """

    kind: str
    label: str
    content_hash: str
    path: Path | None = None

    def as_json(self) -> dict[str, str]:
        """What is kept of it in runs and studies: all but the path, which is this computer's."""
        return {"kind": self.kind, "label": self.label, "content_hash": self.content_hash}


@dataclass(frozen=True)
class Scheme:
    """One way to split a data set: ``name`` (its key), ``title`` and a sentence on what its figures are worth."""

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Split:
    """``images`` uint8 (N, S, S, 3) RGB, ``labels`` int64 (N,), ``ids`` str (N,).

    ``images`` is an array in memory or `core.datasets.base.ImageRows` on disk: slice or index it, never all at once.
    """

    images: np.ndarray | ImageRows
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LoadedDataset:
    """A data set at one ``size`` (pixels a side), with its provenance.

    ``spec`` names the classes that are there, which may be fewer than the data set's; ``scheme`` the way it was
    split ('' where there is one only).
    """

    spec: "DatasetSpec"
    size: int
    provenance: Provenance
    splits: dict[str, Split]
    scheme: str = ""

    def __getitem__(self, split: str) -> Split:
        return self.splits[split]


@dataclass(frozen=True)
class AuxiliaryFor:
    """How a data set's cells can stand beside those of ``dataset``, another one, as a second laboratory's.

    ``classes``: code to the code there, of the classes that are the same; ``crop``: the share of the picture's side,
    from its centre, that spans as many micrometres as a whole picture there.
    """

    dataset: str
    classes: Mapping[str, str]
    crop: float


@dataclass(frozen=True)
class DatasetSpec:
    """Everything the rest of HemaLens needs to know of a data set.

    ``load(size, content_hash=None, scheme="", report=...)`` gives a `LoadedDataset` or raises `DatasetUnavailable`;
    with ``content_hash`` only the build of that content will do, whatever its scheme. ``schemes`` are the ways to split
    it, the one to trust first ('' means that one); () where it comes split. ``report`` is called with the `Progress` of
    work that takes long the first time. ``available(size)`` tells cheaply, without reading pixels, whether a file to
    load is there. ``download(size)`` (None where there is nothing to fetch) yields `Progress` in bytes and raises
    `DatasetUnavailable` with the manual way when it can't. ``real`` is False for drawn cells. ``parent_side`` is the
    side in pixels of the original crops, ``parent_crop`` that of the centre crop which the published pixels were made
    from (both None where crops are used whole). At ``jpeg_sizes`` the published pixels were stored as JPEG (quality 75,
    4:2:0) after resizing. ``unit`` is what one picture shows: 'cell', or 'field' (several cells). ``stretched``
    pictures are resized to a square whatever their shape; others are cut to their central square first. ``maps_to``
    names the data set whose classes these are, where the cells are another laboratory's ('' elsewhere).
    ``auxiliary_for``: the data set whose trainings may take these cells in as another laboratory's, None where there is
    none. ``cautions`` are sentences that must stand beside every figure of the data set.
    """

    name: str
    title: str
    summary: str
    classes: tuple[CellClass, ...]
    sizes: tuple[int, ...]
    real: bool
    domain: str
    licence: str
    citation: str
    url: str
    load: Callable[..., LoadedDataset]
    available: Callable[[int], bool]
    download: Callable[[int], Iterator[Progress]] | None = None
    parent_side: int | None = None
    parent_crop: int | None = None
    jpeg_sizes: tuple[int, ...] = ()
    schemes: tuple[Scheme, ...] = ()
    unit: str = "cell"
    stretched: bool = False
    maps_to: str = ""
    auxiliary_for: AuxiliaryFor | None = None
    cautions: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The classes' codes, in their order."""
        return tuple(c.code for c in self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes' names, in their order."""
        return tuple(c.name for c in self.classes)

    @property
    def names(self) -> dict[str, str]:
        """Name of each class by its code, in the classes' order."""
        return dict(zip(self.codes, self.class_names, strict=True))

    def with_classes(self, codes: Sequence[str]) -> "DatasetSpec":
        """The same data set with these classes only, in the order given; KeyError for one that it hasn't."""
        by_code = {c.code: c for c in self.classes}
        return replace(self, classes=tuple(by_code[code] for code in codes))

    def scheme(self, name: str) -> Scheme | None:
        """The scheme of that name ('' for the first); None where it comes split; KeyError where none has that name."""
        return {s.name: s for s in self.schemes}[name] if name else next(iter(self.schemes), None)


_REGISTRY: dict[str, DatasetSpec] = {}
_SOURCES: list[Callable[[], dict[str, DatasetSpec]]] = []  # what the user added, looked up each time


def register(spec: DatasetSpec) -> DatasetSpec:
    """Add ``spec`` to the registry; a second spec of the same name is a programming error."""
    if _REGISTRY.get(spec.name, spec) is not spec:
        raise ValueError(f"data set {spec.name!r} is registered twice")
    _REGISTRY[spec.name] = spec
    return spec


def register_source(source: Callable[[], dict[str, DatasetSpec]]) -> None:
    """Add a function that yields the specs, by name, of data sets that may come and go while the program runs."""
    _SOURCES.append(source)


def _all_specs() -> dict[str, DatasetSpec]:
    _discover()
    specs = dict(_REGISTRY)
    for source in _SOURCES:
        specs = source() | specs  # what is built in stands
    return specs


@cache
def _discover() -> None:
    package = importlib.import_module("core.datasets")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"core.datasets.{module.name}")


def dataset_names() -> list[str]:
    """Names of all data sets, BloodMNIST first, drawn cells last."""
    specs = _all_specs()
    return sorted(specs, key=lambda n: (not specs[n].real, n != "bloodmnist", n))


def get_dataset(name: str) -> DatasetSpec:
    """The spec of data set ``name``; `UnknownDataset` names the ones that exist."""
    _discover()
    spec = _REGISTRY.get(name) or _all_specs().get(name)
    if spec is None:
        raise UnknownDataset(f"no data set is called {name!r}; there are: {', '.join(dataset_names())}")
    return spec


def content_hash(splits: dict[str, Split]) -> str:
    """12 hex digits of SHA-256 over images and labels, split by split in the canonical order."""
    digest = hashlib.sha256()
    for name in SPLITS:
        digest.update(np.ascontiguousarray(splits[name].images).data)
        digest.update(splits[name].labels.astype("<i8").tobytes())
    return digest.hexdigest()[:12]
