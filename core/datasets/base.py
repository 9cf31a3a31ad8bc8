"""What a data set is: its classes, its provenance, its splits; and the registry of all of them.

A data set is added by adding one module to this package that ends in ``register(DatasetSpec(...))``.
"""

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from core.errors import HemaLensError
from core.progress import Progress

SPLITS = ("train", "val", "test")


class DatasetUnavailable(HemaLensError):
    """The data set's file is absent, broken or can't be fetched; the message says what to do."""


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
class Split:
    """``images`` uint8 (N, S, S, 3) RGB, ``labels`` int64 (N,), ``ids`` str (N,)."""

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LoadedDataset:
    """A data set in memory at one ``size`` (pixels a side), with its provenance."""

    spec: "DatasetSpec"
    size: int
    provenance: Provenance
    splits: dict[str, Split]

    def __getitem__(self, split: str) -> Split:
        return self.splits[split]


@dataclass(frozen=True)
class DatasetSpec:
    """Everything the rest of HemaLens needs to know of a data set.

    ``load(size, content_hash=None)`` returns a `LoadedDataset` or raises `DatasetUnavailable`; with
    ``content_hash`` only the build of that content will do. ``available(size)`` tells cheaply,
    without reading pixels, whether a file to load is there. ``download(size)`` (None where there
    is nothing to fetch) yields `Progress` in bytes and raises `DatasetUnavailable` with the manual
    way when it can't. ``real`` is False for drawn cells.
    ``parent_side`` is the side in pixels of the original crops, ``parent_crop`` that of the centre
    crop which the published pixels were made from (both None where crops are used whole).
    At ``jpeg_sizes`` the published pixels were stored as JPEG (quality 75, 4:2:0) after resizing.
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

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(c.code for c in self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)


_REGISTRY: dict[str, DatasetSpec] = {}


def register(spec: DatasetSpec) -> DatasetSpec:
    """Add ``spec`` to the registry; a second spec of the same name is a programming error."""
    if _REGISTRY.get(spec.name, spec) is not spec:
        raise ValueError(f"data set {spec.name!r} is registered twice")
    _REGISTRY[spec.name] = spec
    return spec


@cache
def _discover() -> None:
    package = importlib.import_module("core.datasets")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"core.datasets.{module.name}")


def dataset_names() -> list[str]:
    """Names of all registered data sets, real ones first."""
    _discover()
    return sorted(_REGISTRY, key=lambda n: (not _REGISTRY[n].real, n))


def get_dataset(name: str) -> DatasetSpec:
    """The spec of data set ``name``; KeyError names the ones that exist."""
    _discover()
    if name not in _REGISTRY:
        raise KeyError(f"no data set is called {name!r}; there are: {', '.join(dataset_names())}")
    return _REGISTRY[name]


def content_hash(splits: dict[str, Split]) -> str:
    """12 hex digits of SHA-256 over images and labels, split by split in the canonical order."""
    digest = hashlib.sha256()
    for name in SPLITS:
        digest.update(np.ascontiguousarray(splits[name].images))
        digest.update(splits[name].labels.astype("<i8").tobytes())
    return digest.hexdigest()[:12]
