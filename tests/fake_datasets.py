"""A made-up data set for tests of what serves any data set: three classes, split in two ways, drawn in a moment."""

from dataclasses import replace

import numpy as np
import pytest

from core.datasets import CellClass, DatasetSpec, LoadedDataset, Provenance, Scheme, Split, base, content_hash

CLASSES = (
    CellClass("AAA", "first kind", "Red all over."),
    CellClass("BBB", "second kind", "Green all over."),
    CellClass("CCC", "third kind", "Blue all over."),
)
SCHEMES = (
    Scheme("grouped", "Groups kept together", "Near duplicates never stand in two parts."),
    Scheme("random", "At random", "Near duplicates stand in several parts, which flatters every model."),
)
CAUTION = "Every caution of this made-up data set stands beside its figures."


def fake_spec(name: str = "smears", *, here: bool = True, counts: int = 12, **changes: object) -> DatasetSpec:
    """The spec of a data set of plain coloured pictures, 16 and 64 px; ``here`` tells whether its images are."""

    def load(size: int, content: str | None = None, scheme: str = "", report: object = None) -> LoadedDataset:
        splits = {}
        for seed, split in enumerate(base.SPLITS):
            labels = np.arange(counts) % len(spec.classes)
            images = np.random.default_rng(seed).integers(0, 60, (counts, size, size, 3), dtype=np.uint8)
            images[np.arange(counts), :, :, labels % 3] += 150
            splits[split] = Split(images, labels, np.array([f"{split}/{i:03d}.png" for i in range(counts)]))
        kind = Provenance("other", f"{spec.title} of a test", content_hash(splits))
        return LoadedDataset(spec, size, kind, splits, scheme or (spec.schemes[0].name if spec.schemes else ""))

    spec = DatasetSpec(
        name=name,
        title="Smears",
        summary="Made up for tests.",
        classes=CLASSES,
        sizes=(16, 64),
        real=True,
        domain="plain coloured squares",
        licence="none",
        citation="none",
        url="",
        load=load,
        available=lambda size: here and size in (16, 64),
        schemes=SCHEMES,
        cautions=(CAUTION,),
    )
    spec = replace(spec, **changes)  # what ``load`` gives carries the changes too
    return spec


def added(patch: pytest.MonkeyPatch, *specs: DatasetSpec) -> None:
    """Have ``specs`` registered, as what a user added is, for as long as ``patch`` lasts."""
    base.dataset_names()  # what is built in registers itself now, not into the list that is put in its place
    patch.setattr(base, "_SOURCES", [lambda: {spec.name: spec for spec in specs}])
