"""The cases' pictures on disk: each content once, named by its SHA-256, written whole or absent."""

import hashlib
import re
from pathlib import Path

from core.cases.case import CaseAltered, CaseError, StoreUnavailable
from core.storage import write_bytes


def content_hash(data: bytes) -> str:
    """The SHA-256 of ``data`` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


class CaseFiles:
    """The files below ``root``, two letters a folder."""

    def __init__(self, root: Path):
        self._root = root

    def path(self, sha256: str) -> Path:
        """Where the content lies, or would. Raises `CaseError` for what is no SHA-256."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise CaseError(f"{sha256[:80]!r} names no file of a case.")
        return self._root / sha256[:2] / sha256

    def keep(self, data: bytes) -> str:
        """Store ``data`` unless it is there; its SHA-256. Raises `StoreUnavailable` where it can't be written."""
        sha256 = content_hash(data)
        path = self.path(sha256)
        if not path.exists() or path.stat().st_size != len(data):
            try:
                write_bytes(path, data)
            except OSError as error:
                raise StoreUnavailable(
                    f"The picture can't be written to {path.parent} ({error.strerror}). Free some room or check the "
                    "folder's permissions."
                ) from error
        return sha256

    def read(self, sha256: str) -> bytes:
        """The content. Raises `CaseError` where it is gone, `CaseAltered` where it is another."""
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CaseError(
                f"The picture {sha256[:12]} of the case can't be read ({error.strerror}): restore {path}."
            ) from error
        if content_hash(data) != sha256:
            raise CaseAltered(f"The picture {path} is not the one that was taken in: its content was changed.")
        return data

    def remove(self, sha256: str) -> None:
        """Delete the content, if it is there. Raises `StoreUnavailable` where it can't be."""
        try:
            self.path(sha256).unlink(missing_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"The picture {self.path(sha256)} can't be deleted ({error.strerror}).") from error
