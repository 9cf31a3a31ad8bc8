"""Registry of data sets: `get_dataset`, `dataset_names`; see `core.datasets.base`."""

from core.datasets.base import (
    SPLITS,
    CellClass,
    DatasetSpec,
    DatasetUnavailable,
    LoadedDataset,
    Provenance,
    Scheme,
    Split,
    UnknownDataset,
    content_hash,
    dataset_names,
    get_dataset,
    register,
    register_source,
)

__all__ = [
    "SPLITS",
    "CellClass",
    "DatasetSpec",
    "DatasetUnavailable",
    "LoadedDataset",
    "Provenance",
    "Scheme",
    "Split",
    "UnknownDataset",
    "content_hash",
    "dataset_names",
    "get_dataset",
    "register",
    "register_source",
]
