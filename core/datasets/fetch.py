"""Fetches one big file over HTTP: resumed, retried, checked by MD5, never half there; and remembers MD5s."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from core.datasets.base import DatasetUnavailable
from core.paths import cache_root
from core.progress import Progress

try:
    import fcntl
except ImportError:  # not on Windows; there two downloads of one file are not kept apart
    fcntl = None

CHUNK = 1 << 18
TRIES = 3
TIMEOUT = (10, 30)  # seconds: to connect, between two pieces
SPARE = 64 << 20  # bytes that stay free on the disk


class Unreachable(Exception):
    """One attempt failed in a way that another attempt may mend."""


class Refused(Exception):
    """The server answers, and its answer is no."""


def md5_of(path: Path) -> str:
    """MD5 of a file as 32 hex digits; remembered by path, time and size, so that it is computed once."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_mtime_ns}|{stat.st_size}"
    memory = cache_root() / "md5.json"
    try:
        known = json.loads(memory.read_text())
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    if not isinstance(known.get(key), str):
        with path.open("rb") as file:
            known[key] = hashlib.file_digest(file, "md5").hexdigest()
        with contextlib.suppress(OSError):  # a read-only cache only costs the time to compute it again
            memory.parent.mkdir(parents=True, exist_ok=True)
            draft = memory.with_suffix(f".{os.getpid()}.tmp")
            draft.write_text(json.dumps(known, indent=1))
            draft.replace(memory)
    return known[key]


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
            _claim(file, target)
            yield from _attempts(url, file, pause)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            yield Progress(size, size, "checking", "B")
            _check(part, md5)
            part.replace(target)
    except Refused as error:
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


def _claim(file, target: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise DatasetUnavailable(
            f"{target.name} is being downloaded already, by another window or program. Wait until it is done."
        ) from error


def _attempts(url: str, file, pause: float) -> Iterator[Progress]:
    for attempt in range(1, TRIES + 1):
        try:
            yield from _attempt(url, file)
            return
        except (Unreachable, requests.RequestException) as error:
            if attempt == TRIES:
                reason = str(error) if isinstance(error, Unreachable) else f"no connection to {url.split('/')[2]}"
                raise Refused(f"{reason} (tried {TRIES} times)") from error
            wait = pause * 2 ** (attempt - 1)
            done = file.tell()
            yield Progress(done, max(done, 1), f"interrupted, next try in {wait:.0f} s", "B")
            time.sleep(wait)


def _attempt(url: str, file) -> Iterator[Progress]:
    done = file.seek(0, os.SEEK_END)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:  # what lies there is as long as the whole, or longer
            whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if whole == str(done):
                return
            file.truncate(0)
            raise Unreachable("the piece that was there did not fit the server's file")
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unreachable(f"the server answered {answer.status_code}")
        if answer.status_code >= 400:
            raise Refused(f"the server answered {answer.status_code} for {url}")
        if answer.status_code != 206 and done:  # no resuming here: from the beginning
            file.truncate(0)
            done = 0
        total = done + int(answer.headers.get("Content-Length") or 0)
        free = shutil.disk_usage(Path(file.name).parent).free
        if total - done > free - SPARE:
            raise Refused(f"the disk has {free / 1e6:,.0f} MB free and {(total - done) / 1e6:,.0f} MB are needed")
        yield Progress(done, max(total, 1), "", "B")
        for chunk in answer.iter_content(CHUNK):
            file.write(chunk)
            done += len(chunk)
            yield Progress(done, max(total, done), "", "B")
        if done < total:
            raise Unreachable(f"the connection broke off after {done / 1e6:,.1f} of {total / 1e6:,.1f} MB")


def _check(part: Path, md5: str) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        part.unlink()
        raise Refused(f"what arrived is not the published file (MD5 {found} instead of {md5}); it was removed")
