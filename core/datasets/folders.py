"""Data sets that are folders of pictures, a folder a class: from files to splits.

The split is decided by the files alone and is the same at every size. What is costly (decoding, comparing) is
done once and kept in the cache, see `core.datasets.arrays`.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets import splits
from core.datasets.arrays import Decoded, decoded, remembered
from core.datasets.base import (
    SPLITS,
    DatasetSpec,
    DatasetUnavailable,
    LoadedDataset,
    Provenance,
    Scheme,
    Split,
    get_dataset,
    register_source,
)
from core.datasets.rows import Rows
from core.datasets.scan import Scan
from core.datasets.similar import similar_groups
from core.paths import cache_root, data_root
from core.progress import Report, silent

SIZES = (28, 64, 128, 224)
COMPARED_AT = 64  # px at which pictures are compared with each other
SPLIT_TABLE = "published_split.csv"
ALIKE = "alike-2"  # what is kept of `core.datasets.similar`; another number for another way of comparing


@dataclass(frozen=True)
class Folder:
    """How the pictures of one data set lie in a folder and which of them belong together.

    ``scan(root)`` finds the files of each class code. ``series``: so many pictures that follow each other by
    name are kept in one split (0: none), a stand-in for slides where file names follow the order of taking.
    ``published``: whether a list of its test pictures was published, under the name `SPLIT_TABLE`.
    ``groups_table``: a CSV with the person or slide of each picture in its column ``groups_column``.
    """

    name: str
    scan: Callable[[Path], Scan]
    series: int = 0
    published: bool = False
    groups_table: Path | None = None
    groups_column: str = "group"

    @property
    def place(self) -> Path | None:
        """Where the pictures are on this computer: the folder that was named, else <data root>/<name>."""
        named = registered(self.name).get("folder")
        candidates = [Path(named)] if named else []
        return next((p for p in (*candidates, data_root() / self.name) if p.is_dir()), None)

    def groups(self) -> dict[str, str]:
        """The person or slide of each file, {} where no table tells. Raises `DatasetUnavailable`."""
        return splits.read_table(self.groups_table, self.groups_column) if self.groups_table else {}

    def available(self, size: int) -> bool:
        """Whether there is a folder to read; nothing in it is opened."""
        return size in SIZES and self.place is not None

    def schemes(self) -> tuple[Scheme, ...]:
        """The ways to split it: as published where a list lies with the pictures, by groups, at random.

        Without pictures they are those that runs elsewhere may have been trained with.
        """
        place = self.place
        listed = self.published if place is None else (place / SPLIT_TABLE).is_file()
        return (*((splits.PUBLISHED,) if listed else ()), splits.GROUPED, splits.RANDOM)

    def load(
        self,
        spec: DatasetSpec,
        size: int,
        content_hash: str | None = None,
        scheme: str = "",
        report: Report = silent,
    ) -> LoadedDataset:
        """The pictures at ``size``, as `DatasetSpec` promises. Raises `DatasetUnavailable`."""
        if size not in SIZES:
            raise DatasetUnavailable(f"{spec.title} is read at {', '.join(map(str, SIZES))} px, not at {size} px.")
        place = self.place
        if place is None:
            named = registered(self.name).get("folder")
            gone = f"The folder {named} is gone. " if named else ""
            raise DatasetUnavailable(
                f"{gone}{spec.title} is not on this computer: download it from {spec.url or 'where it comes from'}, "
                f"unpack it, and run `python -m core datasets add {self.name} FOLDER`."
            )
        pictures = Pictures.read(self, place, spec, size, report)
        wanted = [scheme] if scheme else [s.name for s in self.schemes()]
        there = []
        for name in wanted if content_hash or scheme else wanted[:1]:
            loaded = pictures.split(name)
            if content_hash in (None, loaded.provenance.content_hash):
                return loaded
            there.append(f"{loaded.provenance.label} (content {loaded.provenance.content_hash})")
        raise DatasetUnavailable(
            f"The build of {spec.title} at {size} px with content {content_hash} is not on this computer: the pictures "
            f"in {place} are others, or some were added or taken away. There is: {'; '.join(there)}."
        )


@dataclass(frozen=True)
class Pictures:
    """The readable pictures of a folder at one size. ``labels`` int64 (N,) index into ``spec``'s classes."""

    folder: Folder
    place: Path
    spec: DatasetSpec
    size: int
    arrays: Decoded
    scan: Scan
    small: Decoded

    @classmethod
    def read(cls, folder: Folder, place: Path, spec: DatasetSpec, size: int, report: Report) -> "Pictures":
        """Find and decode them; classes of fewer than three readable pictures are left out."""
        scan = folder.scan(place)
        files = [name for code in spec.codes for name in scan.files.get(code, ())]
        if not files:
            raise DatasetUnavailable(f"{place} holds no pictures of {spec.title}. Check that this is the right folder.")
        small = decoded(place, files, COMPARED_AT, spec, report)
        arrays = small if size == COMPARED_AT else decoded(place, files, size, spec, report)
        kept = [code for code in spec.codes if readable(scan.files.get(code, ()), small) >= splits.FEWEST]
        if len(kept) < 2:
            bad = [f"{small.files[row]} ({why})" for row, why in small.unreadable.items()]
            raise DatasetUnavailable(
                f"{place} holds {len(kept)} class{'' if len(kept) == 1 else 'es'} of {splits.FEWEST} or more pictures "
                "that can be read, and at least two are needed. Add pictures, each class in a folder of its own."
                + (f" Files that can't be read: {'; '.join(bad[:5])}{' ...' if len(bad) > 5 else ''}." if bad else "")
            )
        return cls(folder, place, spec.with_classes(kept), size, arrays, scan, small)

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of the arrays that hold a picture of a class that is kept, int64 (N,)."""
        bad, known = self.arrays.unreadable, self._label_of
        return np.array([r for r, f in enumerate(self.arrays.files) if f in known and r not in bad], np.int64)

    @cached_property
    def labels(self) -> np.ndarray:
        return np.array([self._label_of[self.arrays.files[row]] for row in self.rows], np.int64)

    @cached_property
    def _label_of(self) -> dict[str, int]:
        return {name: k for k, code in enumerate(self.spec.codes) for name in self.scan.files[code]}

    @cached_property
    def ids(self) -> np.ndarray:
        """The paths of the files below the folder, str (N,)."""
        return np.array([self.arrays.files[row] for row in self.rows])

    @cached_property
    def alike(self) -> np.ndarray:
        """int64 (N,): pictures that are the same or nearly so have the same number."""
        return remembered(self.small.path, ALIKE, lambda: similar_groups(Rows(self.small.path, self.rows)))

    @cached_property
    def groups(self) -> np.ndarray:
        """int64 (N,): what must stay together: likenesses, a person's or slide's pictures, a series."""
        parts = [self.alike]
        if self.folder.series:
            parts.append(splits.neighbours(self.labels, self.folder.series))
        if self.folder.groups_table is not None:
            named = self.folder.groups()
            numbers = {group: k for k, group in enumerate(sorted(set(named.values())))}
            parts.append(np.array([numbers.get(named.get(name, ""), -1) for name in self.ids], np.int64))
        return splits.joined(*parts)

    def split(self, scheme: str) -> LoadedDataset:
        """The data set split by ``scheme``."""
        if scheme == splits.RANDOM.name:
            where = splits.random_split(self.labels)
        elif scheme == splits.GROUPED.name:
            where = remembered(self.small.path, f"grouped-{_short(self.groups)}", self._grouped)
        elif scheme == splits.PUBLISHED.name:
            where = splits.listed_split(self.ids.tolist(), self.labels, self.alike, self.place / SPLIT_TABLE)
        else:
            raise DatasetUnavailable(f"{self.spec.title} has no split called {scheme!r}.")
        parts = {}
        for number, name in enumerate(SPLITS):
            chosen = np.flatnonzero(where == number)
            labels, ids = self.labels[chosen], self.ids[chosen]
            for array in (labels, ids):
                array.setflags(write=False)
            parts[name] = Split(Rows(self.arrays.path, self.rows[chosen]), labels, ids)
        return LoadedDataset(self.spec, self.size, self._provenance(scheme, where), parts, scheme)

    def _grouped(self) -> np.ndarray:
        return splits.grouped_split(self.labels, self.groups)

    def _provenance(self, scheme: str, where: np.ndarray) -> Provenance:
        known = next(s for s in self.folder.schemes() if s.name == scheme)
        every = len(self._all_codes)
        fewer = "" if len(self.spec.codes) == every else f", {len(self.spec.codes)} of {every} classes"
        digests = [self.arrays.digests[row] for row in self.rows]
        content = json.dumps([self.size, digests, self.labels.tolist(), where.tolist()])
        return Provenance(
            "folder",
            f"{self.spec.title}{fewer} ({known.title})",
            hashlib.sha256(content.encode()).hexdigest()[:12],
            self.place,
        )

    @property
    def _all_codes(self) -> tuple[str, ...]:
        return get_dataset(self.spec.name).codes


def readable(files: tuple[str, ...], arrays: Decoded) -> int:
    """How many of ``files`` could be read into ``arrays``."""
    bad = {arrays.files[row] for row in arrays.unreadable}
    return sum(name not in bad for name in files)


def _short(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:12]


def book(name: str) -> Path:
    """The file that remembers where the pictures of data set ``name`` lie, and what the user said of them."""
    return cache_root() / "datasets" / f"{name}.json"


def registered(name: str) -> dict:
    """What was registered under ``name``; {} where nothing was, or it can't be read."""
    try:
        return json.loads(book(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def folder_dataset(folder: Folder, **facts: Any) -> DatasetSpec:
    """The spec of a data set that is read from ``folder``; ``facts`` are the other fields of `DatasetSpec`."""

    def load(size: int, content_hash: str | None = None, scheme: str = "", report: Report = silent):
        return folder.load(spec, size, content_hash, scheme, report)

    spec = DatasetSpec(
        name=folder.name,
        sizes=SIZES,
        real=True,
        schemes=folder.schemes(),
        load=load,
        available=folder.available,
        **facts,
    )
    return spec


_BUILT_IN: dict[str, Folder] = {}


def register_folder(folder: Folder, **facts: Any) -> None:
    """Add a data set of ours that is read from ``folder``, wherever the user says that this is."""
    _BUILT_IN[folder.name] = folder
    register_source(lambda: {folder.name: folder_dataset(folder, **facts)})


def built_in(name: str) -> Folder | None:
    """The folder of a data set of ours; None where ``name`` is none of those."""
    return _BUILT_IN.get(name)
