"""BloodMNIST: 17,092 cells of eight classes from healthy people, at 28, 64, 128 and 224 px.

Names, addresses and MD5s come from the package ``medmnist`` (Yang et al. 2023, MedMNIST v2,
https://doi.org/10.1038/s41597-022-01721-8). The cells are those of Acevedo et al. 2020
(https://doi.org/10.1016/j.dib.2020.105474): CellaVision DM96, May Grünwald-Giemsa.
"""

import importlib.util
import os
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from core.datasets.base import (
    SPLITS,
    CellClass,
    DatasetSpec,
    DatasetUnavailable,
    LoadedDataset,
    Provenance,
    Split,
    content_hash,
    register,
)
from core.datasets.fetch import fetch, md5_of
from core.paths import data_root
from core.progress import Progress, Report, silent

SIZES = (28, 64, 128, 224)

CLASSES = (
    CellClass(
        "BA",
        "basophil",
        "The rarest granulocyte, 10 to 14 µm across: coarse dark purple granules lie over a nucleus of two or three "
        "lobes and often hide it; at most 1 % of a differential.",
    ),
    CellClass(
        "EO",
        "eosinophil",
        "A granulocyte of 12 to 17 µm, usually with two nuclear lobes, its cytoplasm packed with round orange-red "
        "granules of one size; 1 to 5 % of a differential.",
    ),
    CellClass(
        "ERB",
        "erythroblast",
        "A red cell that still has its nucleus, 8 to 15 µm: the nucleus is round, very dense and dark, the cytoplasm "
        "blue-grey turning pink, without granules; none in the blood of a healthy adult.",
    ),
    CellClass(
        "IG",
        "immature granulocytes",
        "Promyelocytes, myelocytes and metamyelocytes, 12 to 25 µm: a large round to indented nucleus with finer "
        "chromatin, bluish to pink cytoplasm and granules; none, or under 1 %, in healthy blood.",
    ),
    CellClass(
        "LY",
        "lymphocyte",
        "A small cell of 7 to 15 µm: a round dense nucleus fills it and leaves a thin, clear, pale blue rim, mostly "
        "without granules; 20 to 40 % of a differential.",
    ),
    CellClass(
        "MO",
        "monocyte",
        "The largest cell of normal blood, 15 to 20 µm: a kidney-shaped or folded nucleus with lacy chromatin, plenty "
        "of grey-blue cytoplasm with fine dust and often vacuoles; 2 to 10 % of a differential.",
    ),
    CellClass(
        "NE",
        "neutrophil",
        "The commonest white cell, 12 to 15 µm: three to five nuclear lobes joined by threads (one bent band when "
        "young), pale pink cytoplasm with very fine granules; 40 to 75 % of a differential.",
    ),
    CellClass(
        "PLT",
        "platelet",
        "Not a cell but a fragment of one, 2 to 4 µm: a small pale blue disc with purple granules and no nucleus; "
        "150 to 400 thousand in a microlitre, outside the differential.",
    ),
)

# What a broken or foreign file makes numpy and zipfile raise.
_BROKEN = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@cache
def published() -> dict:
    """MedMNIST's own entry for BloodMNIST: MD5s, addresses, counts.

    The file ``medmnist/info.py`` is loaded by its place, because importing the package itself
    imports torch, which costs seconds and is needed by nobody here.
    """
    package = importlib.util.find_spec("medmnist")
    if package is None or not package.submodule_search_locations:
        raise DatasetUnavailable("The package medmnist is not installed. Run: pip install -r requirements.txt")
    path = Path(package.submodule_search_locations[0]) / "info.py"
    spec = importlib.util.spec_from_file_location("hemalens_medmnist_info", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.INFO["bloodmnist"]


def file_name(size: int) -> str:
    """MedMNIST's name for the file of ``size``: bloodmnist.npz (28), bloodmnist_64.npz ..."""
    if size not in SIZES:
        raise DatasetUnavailable(f"BloodMNIST has no images of {size} px; there are: {', '.join(map(str, SIZES))} px.")
    return "bloodmnist.npz" if size == 28 else f"bloodmnist_{size}.npz"


def official_md5(size: int) -> str:
    """The published file's MD5."""
    return published()["MD5" if size == 28 else f"MD5_{size}"]


def address(size: int, base: str | None = None) -> str:
    """Where the file is published; ``base`` (else HEMALENS_BLOODMNIST_URL) replaces all but its name."""
    base = base or os.environ.get("HEMALENS_BLOODMNIST_URL")
    if base:
        return f"{base.rstrip('/')}/{file_name(size)}"
    return published()["url" if size == 28 else f"url_{size}"]


def available(size: int) -> bool:
    """Whether a file to load is there; it is not opened."""
    return size in SIZES and any((data_root() / (before + file_name(size))).is_file() for before in ("", "rebuilt_"))


def builds(size: int) -> list[tuple[Path, str, str]]:
    """(path, kind, label) of each file of ``size`` in the data root, the one to prefer first."""
    found = []
    path = data_root() / file_name(size)
    if path.is_file():
        md5 = md5_of(path)
        if md5 == official_md5(size):
            found.append((path, "official", "official BloodMNIST (MedMNIST v2 split)"))
        else:
            found.append((path, "other", f"another build of BloodMNIST (MD5 {md5[:8]}...)"))
    path = data_root() / f"rebuilt_{file_name(size)}"
    if path.is_file():
        found.append((path, "rebuilt", "rebuilt BloodMNIST (own split)"))
    return sorted(found, key=lambda build: ("official", "rebuilt", "other").index(build[1]))


def load(size: int, content_hash: str | None = None, scheme: str = "", report: Report = silent) -> LoadedDataset:
    """BloodMNIST at ``size``; the official file before a rebuilt one before any other.

    With ``content_hash`` the build with that content, whichever it is. Raises `DatasetUnavailable`
    when there is no such build or the file is broken.
    """
    name = file_name(size)
    candidates = builds(size)
    if not candidates:
        raise DatasetUnavailable(
            f"BloodMNIST at {size} px is not on this computer. Run `python -m core datasets download bloodmnist "
            f"--size {size}`, or put {name} from {address(size)} into {data_root()}."
        )
    others, errors = [], []
    for path, kind, label in candidates:
        try:
            loaded = _read(path, kind, label, size)
        except DatasetUnavailable as error:
            errors.append(error)
            continue
        if content_hash in (None, loaded.provenance.content_hash):
            return loaded
        others.append(f"{label} (content {loaded.provenance.content_hash})")
    if not others:
        raise errors[0]
    raise DatasetUnavailable(
        f"The build of BloodMNIST at {size} px with content {content_hash} is not on this computer. "
        f"There is: {'; '.join(others)}."
    )


def _read(path: Path, kind: str, label: str, size: int) -> LoadedDataset:
    try:
        with np.load(path, allow_pickle=False) as file:
            splits = {split: _split(file, split, size) for split in SPLITS}
    except MemoryError as error:
        raise DatasetUnavailable(
            f"{path.name} does not fit into this computer's memory. Use a smaller size than {size} px."
        ) from error
    except _BROKEN as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetUnavailable(
            f"{path} can't be read as BloodMNIST at {size} px ({reason}). Remove it and download or copy it anew."
        ) from error
    return LoadedDataset(SPEC, size, Provenance(kind, label, content_hash(splits), path), splits)


def _split(file, split: str, size: int) -> Split:
    """One split out of the opened file, checked; its arrays can't be written to."""
    images = file[f"{split}_images"]
    labels = file[f"{split}_labels"]
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3):
        raise ValueError(f"{split}_images are {images.dtype} {images.shape}, not uint8 (N, {size}, {size}, 3)")
    if labels.size != len(images) or not np.issubdtype(labels.dtype, np.integer) or not len(images):
        raise ValueError(f"{split} has {len(images)} images and {labels.size} labels of type {labels.dtype}")
    labels = labels.reshape(-1).astype(np.int64)
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(f"{split}_labels go from {labels.min()} to {labels.max()}, not from 0 to {len(CLASSES) - 1}")
    if f"{split}_ids" in file.files:
        ids = file[f"{split}_ids"].astype(str).reshape(-1)
        if len(ids) != len(images):
            raise ValueError(f"{split} has {len(images)} images and {len(ids)} ids")
    else:
        ids = np.array([f"{split}-{i:05d}" for i in range(len(images))])
    for array in (images, labels, ids):
        array.setflags(write=False)
    return Split(images, labels, ids)


def download(size: int, base: str | None = None, pause: float = 1.0) -> Iterator[Progress]:
    """Fetch the official file of ``size`` into the data root; see `core.datasets.fetch.fetch`."""
    target = data_root() / file_name(size)
    md5 = official_md5(size)
    if target.is_file():
        if md5_of(target) != md5:
            raise DatasetUnavailable(
                f"{target} exists and is not the official file. Rename or remove it, then download again."
            )
        length = target.stat().st_size
        yield Progress(length, length, "already here", "B")
        return
    yield from fetch(address(size, base), target, md5, pause=pause)


SPEC = register(
    DatasetSpec(
        name="bloodmnist",
        title="BloodMNIST",
        summary="17,092 single cells of eight kinds from the blood of healthy people.",
        classes=CLASSES,
        sizes=SIZES,
        real=True,
        domain="single cells from smears of healthy people, May Grünwald-Giemsa stain, CellaVision DM96, "
        "Hospital Clínic of Barcelona",
        licence="CC BY 4.0",
        citation="Acevedo A. et al., A dataset of microscopic peripheral blood cell images for development of "
        "automatic recognition systems, Data in Brief 30 (2020) 105474; Yang J. et al., MedMNIST v2, "
        "Scientific Data 10 (2023) 41.",
        url="https://medmnist.com",
        load=load,
        available=available,
        download=download,
        parent_side=360,
        parent_crop=200,
        jpeg_sizes=(28,),
    )
)
