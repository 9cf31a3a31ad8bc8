"""Which file of a folder a path in a table means, however the path was written down: with ./ or a folder in front,
absolute, as Windows writes it, in another case, with accents composed or not. A file's name without its folders never
decides between two files.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.formatting import name_key


@dataclass(frozen=True)
class Matches:
    """``files``: file of the folder by the path as a table has it. ``unmatched``: paths that mean no file;
    ``ambiguous``: paths that may mean several, or a file that another path means as well. ``by_name``: paths whose
    folders are not those of their file, which is the only one of its name.
    """

    files: dict[str, str]
    unmatched: tuple[str, ...]
    ambiguous: tuple[str, ...]
    by_name: tuple[str, ...]


_Parts = tuple[str, ...]


def match_files(paths: Iterable[str], files: Sequence[str], root: Path | None = None) -> Matches:
    """The one of ``files`` (paths below ``root``) that each of ``paths`` means.

    The first of these that any file fits decides: the same path; the same but for case; a file's path that ends in it
    (a folder in front is left out); a file's path that it ends in (a folder in front is added). Where several files fit
    equally, or several paths mean one file, none is taken; two files of one name count as two.
    """
    same: dict[_Parts, list[str]] = {}
    alike: dict[_Parts, list[str]] = {}
    endings: dict[_Parts, list[str]] = {}
    for file in files:
        parts = path_parts(file)
        folded = _folded(parts)
        same.setdefault(parts, []).append(file)
        alike.setdefault(folded, []).append(file)
        for start in range(1, len(folded)):
            endings.setdefault(folded[start:], []).append(file)
    above = path_parts(str(root)) if root else ()

    found: dict[str, str] = {}
    exact: set[str] = set()
    unmatched: list[str] = []
    ambiguous: list[str] = []
    by_name: list[str] = []
    key_of: dict[str, _Parts] = {}
    for path in dict.fromkeys(paths):
        parts = path_parts(path)
        if above and parts[: len(above)] == above:
            parts = parts[len(above) :]
        key_of[path] = folded = _folded(parts)
        if candidates := same.get(parts) or alike.get(folded):
            exact.add(path)
        else:
            candidates = endings.get(folded) or next(
                (alike[folded[start:]] for start in range(1, len(folded)) if folded[start:] in alike), []
            )
            if len(candidates) == 1 and min(len(folded), len(path_parts(candidates[0]))) == 1:
                by_name.append(path)
        if len(candidates) == 1:
            found[path] = candidates[0]
        else:
            (ambiguous if candidates else unmatched).append(path)

    rivals: dict[str, dict[_Parts, None]] = {}
    for path, file in found.items():
        if path not in exact:
            rivals.setdefault(file, {})[key_of[path]] = None
    taken = {found[path] for path in exact if path in found}
    lost = {path: None for path, f in found.items() if path not in exact and (f in taken or len(rivals[f]) > 1)}
    return Matches(
        {path: file for path, file in found.items() if path not in lost} if lost else found,
        tuple(unmatched),
        (*ambiguous, *lost),
        tuple(path for path in by_name if path not in lost),
    )


def path_parts(path: str) -> _Parts:
    """The names that a path is made of, composed; what leads up (..) takes the name before it away, and what only
    begins it (/, ./, C:) is left out.
    """
    plain = re.sub(r"^[A-Za-z]:(?=[\\/])", "", unicodedata.normalize("NFC", path.strip())).replace("\\", "/")
    parts: list[str] = []
    for part in plain.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def _folded(parts: _Parts) -> _Parts:
    return tuple(map(name_key, parts))
