"""A case as one file to give away or to keep: a ZIP of ``case.json``, which holds its rows, and its pictures.

What comes back may come from anywhere: rows are checked for their types and ranges, for their hashes and for what could
have been decided at all, files for their hashes and for what they are, before any of it is kept.
"""

import io
import json
import math
import re
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from core.cases import rows
from core.cases.case import Action, CaseError, CellPrediction
from core.cases.files import content_hash
from core.cases.rows import MOST_NAME, MOST_TEXT, Row
from core.cases.sprites import TILE, TILES_A_ROW, TILES_A_SHEET, sheet_size
from core.cases.tables import Base, CaseRow, CellRow, DecisionRow, HeadRow, PictureRow, SheetRow
from core.cases.verify import StoredCase, altered_row
from core.formatting import is_unicode
from core.images.archives import UNPACKING_ERRORS, UnusedFile
from core.images.decode import CELL_LIMITS, FIELD_LIMITS, DecodeError, decode
from core.inference.specimen import SPECIMENS
from core.storage import write_atomic

FORMAT, VERSION, MANIFEST = "hemalens-case", 1, "case.json"
_MOST_MANIFEST = 512 * 2**20  # bytes
_MOST_ROWS, _MOST_TEXT = 1_000_000, 2**20
_MOST_PX, _MOST_FILES = 1_000_000, 200_000
_MOST_BOX = 20_000  # px a side, of a cell
_TILE_SIZE = TILE, TILE
_SHORT = ("reader_name", "reader_subject", "reason")
_CLOCKS_DIFFER = timedelta(days=1)
_TABLES = {
    "pictures": PictureRow,
    "cells": CellRow,
    "sheets": SheetRow,
    "decisions": DecisionRow,
    "head": HeadRow,
}
_KINDS = {"sure", "unsure", "not_a_cell"}


class InvalidArchive(CaseError):
    """A file is no exported case, or not one as it was exported; the message says what is wrong."""


def write_archive(path: Path, stored: StoredCase, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write ``path`` whole or not at all; ``contents``: the files that the case needs, by SHA-256."""
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "case": stored.case,
        **{name: list(getattr(stored, name)) for name in _TABLES},
    }

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:
            archive.writestr(MANIFEST, json.dumps(manifest, indent=1).encode(), zipfile.ZIP_DEFLATED)
            for sha256, content in contents:
                archive.writestr(f"files/{sha256}", content)  # pictures are packed already

    try:
        write_atomic(path, write)
    except OSError as error:
        raise CaseError(f"{path} can't be written ({error.strerror}).") from error


class CaseArchive:
    """An exported case in the file ``path``. Raises `InvalidArchive`; a context manager."""

    def __init__(self, path: Path):
        try:
            self._zip = zipfile.ZipFile(path)
        except UNPACKING_ERRORS as error:
            raise InvalidArchive(f"{path} is no exported case that can be read ({error}).") from error
        self._path = path

    def __enter__(self) -> "CaseArchive":
        return self

    def __exit__(self, *exception: object) -> None:
        self._zip.close()

    def stored(self, case_id: str | None = None, imported: str = "") -> StoredCase:
        """Its rows, checked, as those of the case ``case_id`` (None: its own). Raises `InvalidArchive`."""
        try:
            manifest = json.loads(self._read(MANIFEST, _MOST_MANIFEST), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise self._invalid(f"its {MANIFEST} can't be read ({error})") from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise self._invalid("it is none")
        if manifest.get("version") != VERSION:
            raise self._invalid("another version of HemaLens wrote it")
        try:
            case = _checked_row(CaseRow, manifest["case"])
            own = case["id"] if case_id is None else case_id
            if not re.fullmatch(r"[0-9a-f]{32}", own):
                raise ValueError(f"its id is {own!r:.40}")
            tables = {name: _checked_rows(table, manifest[name], own) for name, table in _TABLES.items()}
            stored = StoredCase({**case, "id": own, "imported": imported}, **tables)
            _check(stored)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise self._invalid(f"its rows are not those of a case ({error})") from error
        if altered := altered_row(stored):
            raise self._invalid(f"it was altered: {altered.text.rstrip('.')}")
        return stored

    def contents(self, stored: StoredCase) -> Iterator[bytes]:
        """The files that the case needs, each once, one in memory at a time. Raises `InvalidArchive`."""
        used: dict[str, list[tuple[str, int]]] = {}
        for table, number, sha256 in stored.files:
            used.setdefault(sha256, []).append((table, number))
        for sha256, places in used.items():
            content = self._read(f"files/{sha256}", FIELD_LIMITS.file_bytes)
            for table, number in places:
                if content_hash(content) != sha256:
                    raise self._invalid(f"the file of {table}, row {number} was altered")
                if table == "pictures":
                    self._check_picture(stored.pictures[number - 1], content)
                elif _webp_size(content) != (sheet_size(stored.taken_in, number) if table == "sheets" else _TILE_SIZE):
                    raise self._invalid(f"the file of {table}, row {number} is no picture of cells")
            yield content

    def _check_picture(self, row: Row, content: bytes) -> None:
        limits = FIELD_LIMITS if row["kind"] == "field" else CELL_LIMITS
        try:
            height, width = decode(content, row["name"], limits).pixels.shape[:2]
        except DecodeError as error:
            raise self._invalid(f"picture {row['number']} can't be read ({error.reason})") from error
        if (width, height) != (row["width"], row["height"]):
            raise self._invalid(f"picture {row['number']} has {width} x {height} px, which its row doesn't say")

    def _read(self, name: str, most: int) -> bytes:
        try:
            with self._zip.open(name) as file:
                content = file.read(most + 1)
        except KeyError as error:
            raise self._invalid(f"{name} is not in it") from error
        except UNPACKING_ERRORS as error:
            raise self._invalid(f"{name} can't be unpacked ({error})") from error
        if len(content) > most:
            raise self._invalid(f"{name} is far larger than it can be")
        return content

    def _invalid(self, reason: str) -> InvalidArchive:
        return InvalidArchive(f"{self._path} is no exported case that can be taken over: {reason}.")


def new_id() -> str:
    """An id that no case has."""
    return uuid.uuid4().hex


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _checked_rows(table: type[Base], found: Any, case_id: str) -> tuple[Row, ...]:
    if not isinstance(found, list) or len(found) > _MOST_ROWS:
        raise ValueError(f"{table.__tablename__} is no list of rows")
    return tuple({**_checked_row(table, row), "case_id": case_id} for row in found)


def _checked_row(table: type[Base], row: Any) -> Row:
    """``row`` with just the columns of ``table``, each of its type. Raises ValueError."""
    columns = {column.name: column for column in table.__table__.columns}
    if not isinstance(row, dict) or set(row) != set(columns):
        raise ValueError(f"a row of {table.__tablename__} has other columns")
    checked: Row = {}
    for name, column in columns.items():
        value, wanted = row[name], column.type.python_type
        if value is None and column.nullable:
            checked[name] = None
            continue
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted or (wanted is float and not math.isfinite(value)):
            raise ValueError(f"{table.__tablename__}.{name} is no {wanted.__name__}")
        if wanted is int and not -(2**31) <= value < 2**31:
            raise ValueError(f"{table.__tablename__}.{name} is out of its range")
        if wanted is str and (len(value) > _MOST_TEXT or "\0" in value or not is_unicode(value)):
            raise ValueError(f"{table.__tablename__}.{name} is no text")
        checked[name] = value
    return checked


def _check(stored: StoredCase) -> None:
    """What types don't tell. Raises ValueError and the like."""
    case = stored.case
    codes = _texts(case["codes"])
    _texts(case["slides"])
    for file in json.loads(case["unused"]):
        UnusedFile(**file)
        if not all(isinstance(value, str) for value in file.values()):
            raise ValueError("unused files are named by texts")
    errors = json.loads(case["errors"])
    if errors is not None:
        known, numbers = tuple(errors["codes"]), errors["cells"]
        if set(errors) != {"codes", "cells"} or known != codes or len(numbers) != 2 * len(codes) ** 2:
            raise ValueError("the model's errors don't fit its classes")
        if not all(_is_number(number) and number >= 0 for number in numbers):
            raise ValueError("the model's errors are no counts")
    if not re.fullmatch(r"[0-9a-f]{32}", case["origin"]):
        raise ValueError("its origin is no id")
    for row in stored.pictures:
        _texts(row["notes"])
        size = row["pixel_size"]
        if row["kind"] not in ("crop", "field") or (size is not None and not 0 < size < 1_000):
            raise ValueError(f"picture {row['number']} is none")
        if not (0 < row["width"] <= _MOST_PX and 0 < row["height"] <= _MOST_PX):
            raise ValueError(f"picture {row['number']} has no size")
    for row in stored.cells:
        _check_cell(row, codes, stored.pictures)
    if len(stored.sheets) != -(-stored.taken_in // TILES_A_SHEET):
        raise ValueError("its sheets aren't those of its cells")
    if not case["sample"].strip() or case["specimen"] not in SPECIMENS or not _is_moment(case["created"]):
        raise ValueError("it has no sample, specimen or date")
    if len(stored.head) != 1:
        raise ValueError("it has not one end")
    answered = {"model": f"{case['run']} {case['run_hash']}".strip()}
    answered["profile"] = f"{case['profile']} {case['profile_hash']}".strip()
    latest = (datetime.now(UTC) + _CLOCKS_DIFFER).isoformat(timespec="milliseconds")
    for row in stored.decisions:
        if not _is_moment(row["at"]) or row["at"] > latest:
            raise ValueError(f"decision {row['seq']} has no date")
        if not row["reader_name"].strip() or max(len(row[key]) for key in _SHORT) > MOST_NAME:
            raise ValueError(f"decision {row['seq']} is nobody's")
        if len(row["text"]) > MOST_TEXT or (row["action"] == "amend" and not row["text"].strip()):
            raise ValueError(f"decision {row['seq']} doesn't say why")
        if any(row[key] != value for key, value in answered.items()):
            raise ValueError(f"decision {row['seq']} is about another model's answers")
        if row["action"] == "sign" and not re.fullmatch(r"(?:[0-9a-f]{64})?", row["digest"]):
            raise ValueError(f"decision {row['seq']} has no hash of its limits")
        if row["action"] not in get_args(Action) or row["reader_verified"] not in (0, 1):
            raise ValueError(f"decision {row['seq']} is none")
    hashes = [sha256 for _, _, sha256 in stored.files]
    if len(hashes) > _MOST_FILES or not all(re.fullmatch(r"[0-9a-f]{64}", sha256) for sha256 in hashes):
        raise ValueError("its files are not named by their content")
    if len({row["client"] for row in stored.decisions}) != len(stored.decisions):
        raise ValueError("two decisions have one id")


def _is_moment(text: str) -> bool:
    """Whether it is a time as the store writes one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    return moment.tzinfo is not None and moment.astimezone(UTC).isoformat(timespec="milliseconds") == text


def _check_cell(row: Mapping[str, Any], codes: tuple[str, ...], pictures: Sequence[Row]) -> None:
    left, top, right, bottom = row["left"], row["top"], row["right"], row["bottom"]
    if not 1 <= row["picture"] <= len(pictures) or left >= right or top >= bottom:
        raise ValueError(f"cell {row['number']} lies nowhere")
    width, height = pictures[row["picture"] - 1]["width"], pictures[row["picture"] - 1]["height"]
    is_near = -width <= left and -height <= top and right <= 2 * width and bottom <= 2 * height
    if not is_near or max(right - left, bottom - top) > _MOST_BOX:
        raise ValueError(f"cell {row['number']} lies outside its picture")
    facts = json.loads(row["prediction"])
    if set(facts) != set(CellPrediction.__dataclass_fields__):
        raise ValueError(f"the prediction of cell {row['number']} has other parts")
    prediction = rows.prediction_of(row["prediction"])
    shares, score = prediction.probabilities, prediction.alarm_score
    is_cell = prediction.kind != "not_a_cell"
    flags = prediction.alarm, prediction.must_be_seen, prediction.is_odd
    texts = prediction.check, prediction.text, *prediction.notes, *prediction.prediction_set
    if not (
        prediction.kind in _KINDS
        and (prediction.code in codes if is_cell else prediction.code == "")
        and (len(shares) == len(codes) if is_cell else not shares)
        and all(_is_number(share) and 0 <= share <= 1 for share in shares)
        and (score is None or (_is_number(score) and 0 <= score <= 1))
        and all(isinstance(flag, bool) for flag in flags)
        and all(isinstance(text, str) for text in texts)
        and set(prediction.prediction_set) <= set(codes)
        and bool(row["tile"]) == bool(row["added_by"])
    ):
        raise ValueError(f"the prediction of cell {row['number']} is none")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _texts(content: str) -> tuple[str, ...]:
    found = json.loads(content)
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise ValueError("a list of texts is none")
    return tuple(found)


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Width and height in px; None for what is no WebP that can be read."""
    try:
        with Image.open(io.BytesIO(content), formats=("WEBP",)) as image:
            if max(image.size) > TILE * TILES_A_ROW:
                return None
            image.load()
            return image.size
    except Exception:  # whatever is wrong with it
        return None
