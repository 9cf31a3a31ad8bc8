"""Data sets that the user added: a folder of pictures, a folder a class, and what was said of it.

What is kept is one JSON file a data set in the user's cache; the pictures stay where they are.
"""

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from core.datasets.base import CellClass, DatasetSpec, DatasetUnavailable, dataset_names, get_dataset, register_source
from core.datasets.folders import Folder, book, built_in, folder_dataset, registered
from core.datasets.mapping import map_labels
from core.datasets.scan import Scan, natural, scan_classes, scan_table
from core.datasets.splits import columns, read_table

UNITS = ("cell", "field")


def is_own(name: str) -> bool:
    """Whether ``name`` is a data set that the user defined (not one of ours whose folder was named)."""
    return "classes" in registered(name)


def define(
    name: str,
    folder: Path,
    *,
    title: str = "",
    domain: str = "",
    unit: str = "cell",
    squeezed: bool = False,
    groups_table: Path | None = None,
    table: Path | None = None,
    maps_to: str = "",
    mapping: Path | None = None,
) -> DatasetSpec:
    """Make the folder known as data set ``name``. Raises `DatasetUnavailable`.

    Its classes are the folder's subfolders, or the labels of ``table``, a CSV with the columns file, label and,
    where it has one, slide. ``maps_to`` names the data set whose classes these are under other names; see
    `core.datasets.mapping.map_labels` for ``mapping``. A data set of ours that is read from a folder (``all4``,
    ``bone_marrow``) is pointed to it instead.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_]{1,39}", name):
        raise DatasetUnavailable(
            f"{name!r} can't be a data set's name: use 2 to 40 small letters, digits and _, such as my_lab."
        )
    folder = folder.expanduser().resolve()
    ours = built_in(name)
    if ours is None and name in dataset_names() and not is_own(name):
        raise DatasetUnavailable(
            f"{name} is a data set of HemaLens that is not read from a folder: choose another name."
        )
    content: dict = {"name": name, "folder": str(folder)}
    if ours is None:
        paths = {"table": table, "groups_table": groups_table}
        content |= {key: str(path.expanduser().resolve()) for key, path in paths.items() if path is not None}
        names = list(_scan(content, folder).files)
        content |= {
            "title": title or name,
            "domain": domain or f"the pictures of {folder.name}; from where they come was not said",
            "unit": unit,
            "squeezed": squeezed,
            "classes": _mapped(names, get_dataset(maps_to), mapping) if maps_to else _as_named(names),
            "maps_to": maps_to,
        }
    else:
        ours.scan(folder)  # raises where it is another folder
    _write(name, content)
    return get_dataset(name)


def folder_of(name: str) -> Folder:
    """How the pictures of ``name`` lie in their folder, for a data set that is read from one."""
    ours = built_in(name)
    return ours if ours is not None else _folder(registered(name))


@contextmanager
def kept_on_failure(name: str) -> Iterator[None]:
    """Where what is done inside raises, ``name`` is again what it was before: unknown, or the former folder."""
    path = book(name)
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)
        raise


def forget(name: str) -> None:
    """Take the data set from the list; its pictures and the runs trained on it stay. Raises `DatasetUnavailable`."""
    if not book(name).is_file():
        raise DatasetUnavailable(f"{name} was not added here, so there is nothing to remove.")
    book(name).unlink()


def codes(names: Sequence[str]) -> list[str]:
    """A code of two or three capitals for each class name, all different: initials, else first letters."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().upper()
        words = re.findall(r"[A-Z0-9]+", plain)
        letters = "".join(words) or "C"
        tries = ["".join(word[0] for word in words)[:3], letters[:3]]
        tries += [letters[0] + letters[k : k + 2] for k in range(2, len(letters) - 1)]
        tries += [f"{letters[0]}{n}" for n in range(number, number + 99)]
        found.append(next(code for code in tries if 2 <= len(code) <= 3 and code not in found))
    return found


def _as_named(names: Sequence[str]) -> list[dict]:
    return [{"code": code, "name": _readable(n), "labels": [n]} for code, n in zip(codes(names), names, strict=True)]


def _mapped(names: Sequence[str], target: DatasetSpec, table: Path | None) -> list[dict]:
    """The target's classes that are there, in its order, each with the labels that mean it."""
    found = map_labels(names, target, table)
    return [
        {
            "code": cell.code,
            "name": cell.name,
            "description": cell.description,
            "labels": [label for label, code in found.items() if code == cell.code],
        }
        for cell in target.classes
        if cell.code in found.values()
    ]


def _readable(folder: str) -> str:
    return re.sub(r"[\s_]+", " ", folder).strip()


def _write(name: str, content: dict) -> None:
    path = book(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise DatasetUnavailable(
            f"{path} can't be written ({error.strerror}). Set HEMALENS_CACHE to a folder that can be written."
        ) from error


@lru_cache(maxsize=64)
def _spec(path: Path, changed: int) -> DatasetSpec | None:
    """The data set that the file describes; None where it describes none or is broken."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        classes = tuple(
            CellClass(
                c["code"],
                c["name"],
                c.get("description")
                or f"The pictures that are called '{c['labels'][0]}' here; nothing more was said of this class.",
            )
            for c in content["classes"]
        )
        folder = _folder(content)
        return folder_dataset(
            folder,
            title=content["title"],
            summary=f"{len(classes)} classes of your own, from {content['folder']}.",
            classes=classes,
            domain=content["domain"],
            licence="your own pictures",
            citation=content["folder"],
            url="",
            unit=content["unit"],
            squeezed=content["squeezed"],
            maps_to=content.get("maps_to", ""),
            cautions=() if folder.groups_table else (_NO_GROUPS,),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _folder(content: dict) -> Folder:
    labels = {c["code"]: c["labels"] for c in content["classes"]}
    table, groups_table = content.get("table"), content.get("groups_table")
    if not groups_table and table and "slide" in columns(Path(table)):
        groups_table, column = table, "slide"
    else:
        column = "group"
    return Folder(
        name=content["name"],
        scan=lambda root: _by_code(_scan(content, root), labels),
        groups_table=Path(groups_table) if groups_table else None,
        groups_column=column,
    )


def _scan(content: dict, root: Path) -> Scan:
    table = content.get("table")
    return scan_table(root, read_table(Path(table), "label")) if table else scan_classes(root)


_NO_GROUPS = (
    "No table says which pictures are of one person or slide: patient leakage can't be excluded. Add one with --groups."
)


def _by_code(scan: Scan, labels: dict[str, list[str]]) -> Scan:
    files = {
        code: tuple(sorted((f for n in names for f in scan.files.get(n, ())), key=natural))
        for code, names in labels.items()
    }
    return replace(scan, files=files)


def specs() -> dict[str, DatasetSpec]:
    """All data sets that the user defined, by name."""
    found = {}
    for path in sorted(book("x").parent.glob("*.json")):
        try:
            spec = _spec(path, path.stat().st_mtime_ns)
        except FileNotFoundError:  # removed at this moment
            continue
        if spec is not None:
            found[spec.name] = spec
    return found


register_source(specs)
