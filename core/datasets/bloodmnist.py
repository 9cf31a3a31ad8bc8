"""BloodMNIST: 17,092 cells of eight classes from healthy people, at 28, 64, 128 and 224 px; and how its files are
fetched.

Names, addresses and MD5s come from the package ``medmnist`` (Yang et al. 2023, MedMNIST v2,
https://doi.org/10.1038/s41597-022-01721-8). The cells are those of Acevedo et al. 2020
(https://doi.org/10.1016/j.dib.2020.105474): CellaVision DM96, May Grünwald-Giemsa. A file comes over HTTP resumed,
retried, checked by MD5 and never half there; MD5s are remembered.
"""

import contextlib
import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import requests

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
from core.paths import cache_root, data_root
from core.progress import Progress, Report, silent
from core.storage import write_json

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not on Windows; there two downloads of one file are not kept apart
    fcntl = None

CHUNK = 1 << 18
TRIES = 3
TIMEOUT = (10, 30)  # seconds: to connect, between two pieces
MIN_FREE_BYTES = 64 << 20  # bytes that stay free on the disk


class RetryableError(Exception):
    """One attempt failed in a way that another attempt may mend."""


class DownloadRefused(Exception):
    """The server answers, and its answer is no."""


def md5_of(path: Path) -> str:
    """MD5 of a file as 32 hex digits; remembered by path, time and size, so that it is computed once."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_mtime_ns}|{stat.st_size}"
    cache_path = cache_root() / "md5.json"
    try:
        stored = json.loads(cache_path.read_text())
        stored = stored if isinstance(stored, dict) else {}
    except (OSError, ValueError):
        stored = {}
    if not isinstance(stored.get(key), str):
        with path.open("rb") as file:
            stored[key] = hashlib.file_digest(file, "md5").hexdigest()
        with contextlib.suppress(OSError):  # a read-only cache only costs the time to compute it again
            write_json(cache_path, stored)
    return stored[key]


def fetch(url: str, target: Path, md5: str, *, pause: float = 1.0) -> Iterator[Progress]:
    """Download ``url`` to ``target``; yields `Progress` in bytes ('B') and ends when the file is whole.

    Bytes are collected in ``target.part``, which a later call continues where the server allows
    it. An attempt that breaks off is repeated up to three times, after ``pause``, 2 and 4 times
    ``pause`` seconds. Raises `DatasetUnavailable` with the reason and the manual way.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise DatasetUnavailable(
                        f"{target.name} is being downloaded already, by another window or program. Wait until it is "
                        "done."
                    ) from error
            yield from _attempts(url, file, pause)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            yield Progress(size, size, "checking", "B")
            _check_md5(part, md5)
            part.replace(target)
    except DownloadRefused as error:
        raise DatasetUnavailable(manual_way(str(error), url, target, md5)) from error
    except OSError as error:
        reason = f"{target.parent} can't be written to ({error.strerror or error})"
        raise DatasetUnavailable(manual_way(reason, url, target, md5)) from error


def manual_way(reason: str, url: str, target: Path, md5: str) -> str:
    """The message of a failed download: what happened, and four steps to do it by hand."""
    return (
        f"The download of {target.name} failed: {reason}.\n"
        f"By hand:\n"
        f"1. On any computer with a network, open {url} and save the file.\n"
        f"2. Copy it to the folder {target.parent} under the name {target.name} "
        f"(or to another folder, and set HEMALENS_DATA to that folder).\n"
        f"3. Its MD5 should be {md5}.\n"
        f"4. Start HemaLens again; it finds and checks the file by itself."
    )


def _attempts(url: str, file: BinaryIO, pause: float) -> Iterator[Progress]:
    for attempt in range(1, TRIES + 1):
        try:
            yield from _attempt(url, file)
            return
        except (RetryableError, requests.RequestException) as error:
            if attempt == TRIES:
                reason = str(error) if isinstance(error, RetryableError) else f"no connection to {url.split('/')[2]}"
                raise DownloadRefused(f"{reason} (tried {TRIES} times)") from error
            wait = pause * 2 ** (attempt - 1)
            done = file.tell()
            yield Progress(done, max(done, 1), f"interrupted, next try in {wait:.0f} s", "B")
            time.sleep(wait)


def _attempt(url: str, file: BinaryIO) -> Iterator[Progress]:
    done = file.seek(0, os.SEEK_END)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # what lies there is as long as the whole, or longer
            whole = response.headers.get("Content-Range", "").rpartition("/")[2]
            if whole == str(done):
                return
            file.truncate(0)
            raise RetryableError("the piece that was there did not fit the server's file")
        if response.status_code >= 500 or response.status_code == 429:
            raise RetryableError(f"the server answered {response.status_code}")
        if response.status_code >= 400:
            raise DownloadRefused(f"the server answered {response.status_code} for {url}")
        if response.status_code != 206 and done:  # no resuming here: from the beginning
            file.truncate(0)
            done = 0
        total = done + int(response.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(Path(file.name).parent).free
        if total - done > free - MIN_FREE_BYTES:
            raise DownloadRefused(
                f"the disk has {free / 1e6:,.0f} MB free and {(total - done) / 1e6:,.0f} MB are needed"
            )
        yield Progress(done, max(total, 1), "", "B")
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            done += len(chunk)
            yield Progress(done, max(total, done), "", "B")
        if done < total:
            raise RetryableError(f"the connection broke off after {done / 1e6:,.1f} of {total / 1e6:,.1f} MB")


def _check_md5(part: Path, md5: str) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    if digest != md5:
        part.unlink()
        raise DownloadRefused(f"what arrived is not the published file (MD5 {digest} instead of {md5}); it was removed")


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
_READ_ERRORS = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@cache
def medmnist_info() -> dict[str, Any]:
    """MedMNIST's own entry for BloodMNIST: MD5s, addresses, counts.

    The file ``medmnist/info.py`` is loaded by its place, because importing the package itself
    imports torch, which costs seconds and is needed by nobody here.
    """
    package = importlib.util.find_spec("medmnist")
    if package is None or not package.submodule_search_locations:
        raise DatasetUnavailable("The package medmnist is not installed. Run: pip install -r requirements.txt")
    path = Path(package.submodule_search_locations[0]) / "info.py"
    spec = importlib.util.spec_from_file_location("hemalens_medmnist_info", path)
    if spec is None or spec.loader is None:
        raise DatasetUnavailable(f"{path} can't be read. Run: pip install --force-reinstall medmnist")
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
    return medmnist_info()["MD5" if size == 28 else f"MD5_{size}"]


def download_url(size: int, base: str | None = None) -> str:
    """Where the file is published; ``base`` (else HEMALENS_BLOODMNIST_URL) replaces all but its name."""
    base = base or os.environ.get("HEMALENS_BLOODMNIST_URL")
    if base:
        return f"{base.rstrip('/')}/{file_name(size)}"
    return medmnist_info()["url" if size == 28 else f"url_{size}"]


def available(size: int) -> bool:
    """Whether a file to load is there; it is not opened."""
    return size in SIZES and any((data_root() / (before + file_name(size))).is_file() for before in ("", "rebuilt_"))


def builds(size: int) -> list[tuple[Path, str, str]]:
    """(path, kind, label) of each file of ``size`` in the data root, the one to prefer first."""
    builds_found = []
    path = data_root() / file_name(size)
    if path.is_file():
        md5 = md5_of(path)
        if md5 == official_md5(size):
            builds_found.append((path, "official", "official BloodMNIST (MedMNIST v2 split)"))
        else:
            builds_found.append((path, "other", f"another build of BloodMNIST (MD5 {md5[:8]}...)"))
    path = data_root() / f"rebuilt_{file_name(size)}"
    if path.is_file():
        builds_found.append((path, "rebuilt", "rebuilt BloodMNIST (own split)"))
    return sorted(builds_found, key=lambda build: ("official", "rebuilt", "other").index(build[1]))


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
            f"--size {size}`, or put {name} from {download_url(size)} into {data_root()}."
        )
    other_builds, errors = [], []
    for path, kind, label in candidates:
        try:
            loaded = _read(path, kind, label, size)
        except DatasetUnavailable as error:
            errors.append(error)
            continue
        if content_hash in (None, loaded.provenance.content_hash):
            return loaded
        other_builds.append(f"{label} (content {loaded.provenance.content_hash})")
    if not other_builds:
        raise errors[0]
    raise DatasetUnavailable(
        f"The build of BloodMNIST at {size} px with content {content_hash} is not on this computer. "
        f"There is: {'; '.join(other_builds)}."
    )


def _read(path: Path, kind: str, label: str, size: int) -> LoadedDataset:
    try:
        with np.load(path, allow_pickle=False) as file:
            splits = {split: _split(file, split, size) for split in SPLITS}
    except MemoryError as error:
        raise DatasetUnavailable(
            f"{path.name} does not fit into this computer's memory. Use a smaller size than {size} px."
        ) from error
    except _READ_ERRORS as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetUnavailable(
            f"{path} can't be read as BloodMNIST at {size} px ({reason}). Remove it and download or copy it anew."
        ) from error
    return LoadedDataset(SPEC, size, Provenance(kind, label, content_hash(splits), path), splits)


def _split(file: Mapping[str, np.ndarray], split: str, size: int) -> Split:
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
    if f"{split}_ids" in file:
        ids = file[f"{split}_ids"].astype(str).reshape(-1)
        if len(ids) != len(images):
            raise ValueError(f"{split} has {len(images)} images and {len(ids)} ids")
    else:
        ids = np.array([f"{split}-{i:05d}" for i in range(len(images))])
    for array in (images, labels, ids):
        array.setflags(write=False)
    return Split(images, labels, ids)


def download(size: int, base: str | None = None, pause: float = 1.0) -> Iterator[Progress]:
    """Fetch the official file of ``size`` into the data root; see `core.datasets.bloodmnist.fetch`."""
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
    yield from fetch(download_url(size, base), target, md5, pause=pause)


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
