"""What the review screen fetches and sends, as routes of the dashboard's own server: a case's cells, its pictures one
by one when they are looked at, what was decided since, and new decisions. Nothing of it is kept in memory for a
visitor, and no key waits for a rerun of the page.

An address begins with a pass, which the page writes for the reader whom it knows: which case, who reads, what is hidden
from that reader. It is signed with a key that this server alone has, so that nobody can write one, or read pictures by
guessing their addresses.
"""

import base64
import binascii
import hashlib
import hmac
import io
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from cachetools import LRUCache, cached
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from streamlit import config

from core.cases.case import (
    CELL_ACTIONS,
    Case,
    CaseCell,
    CaseError,
    CasePicture,
    CellReading,
    Decision,
    NewDecision,
    Reader,
    StoreUnavailable,
    UnknownCell,
    reading_of,
)
from core.cases.intake import add_cell, picture_of, predictor_of
from core.cases.sprites import TILES_A_SHEET, place
from core.cases.store import CaseStore, open_store
from core.datasets import UnknownDataset
from core.errors import HemaLensError
from core.formatting import is_unicode
from core.images.framing import cut_box
from dashboard.pictures import data_url
from dashboard.samples import samples

_PATH = "/case-data"
_KEY = "HEMALENS_PASS_KEY"  # in the environment: the same for all of a server's modules, also after one is loaded anew
_MOST_SENT, _MOST_BYTES, _MOST_TEXT = 500, 1_000_000, 300
_MOST_UNDOABLE = 200
_MOST_NUMBER = 2**31 - 1  # of a cell, picture, sheet or decision, as every database takes it
_CROP_SIDE, _PICTURE_SIDE = 640, 1600  # px: no cell or picture is sent larger
_REFERENCES, _REFERENCE_SIDE = 4, 64  # cells of a class to compare with; px
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_TABLES_KEPT = 8  # of cells as they were taken in: cases that several readers have open
_FIELDS_KEPT = 320 * 2**20  # bytes of decoded fields, of which many cells are cut one after another


# ---------------------------------------------------------------- who may see what
@dataclass(frozen=True)
class Pass:
    """``case``: its id; ``reader`` and whether ``verified``, with the ``subject``: as `Reader` has them.
    ``hides_readers``: what others decided is hidden from this reader; ``hides_model``: what the model said as well.
    """

    case: str
    reader: str
    verified: bool = False
    subject: str = ""
    hides_readers: bool = False
    hides_model: bool = False

    @property
    def who(self) -> Reader:
        """The reader."""
        return Reader(self.reader, self.verified, self.subject)

    @property
    def address(self) -> str:
        """Where the review screen fetches and sends, without the server's name."""
        content = base64.urlsafe_b64encode(json.dumps(asdict(self), sort_keys=True).encode()).decode().rstrip("=")
        return f"{_prefix()}{_PATH}/{content}.{_signature(content)}"

    @staticmethod
    def read(text: str) -> "Pass | None":
        """The pass that ``text`` is; None for one that this server didn't write."""
        content, _, signature = text.partition(".")
        if not (text.isascii() and hmac.compare_digest(_signature(content), signature)):
            return None
        try:
            return Pass(**json.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4))))
        except (binascii.Error, ValueError, TypeError):
            return None


def _signature(content: str) -> str:
    key = os.environ.setdefault(_KEY, secrets.token_hex(32))
    return hmac.new(key.encode(), content.encode(), hashlib.sha256).hexdigest()[:40]


def _prefix() -> str:
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}" if base else ""


# ---------------------------------------------------------------- what is told
def cells_table(case: Case, known: Pass, first: int = 0) -> dict[str, Any]:
    """The cells from place ``first`` on as columns; what the model said is left out where the reader may not see it."""
    codes = list(case.assignable)
    index = {code: k for k, code in enumerate(codes)}
    cells = case.cells[first:]
    told = [None if known.hides_model else cell.prediction for cell in cells]

    def column(value: Callable[[CaseCell, Any], Any]) -> list[Any]:
        return [value(cell, prediction) for cell, prediction in zip(cells, told, strict=True)]

    pictures = [] if first else case.pictures
    return {
        "codes": codes,
        "pictures": [[p.number, p.name, p.slide, p.kind, p.width, p.height] for p in pictures],
        "number": column(lambda cell, _: cell.number),
        "picture": column(lambda cell, _: cell.picture),
        "box": column(lambda cell, _: list(cell.box)),
        "code": column(lambda _, p: index.get(p.code, -1) if p else -1),
        "kind": column(lambda _, p: p.kind if p else "unsure"),
        "confidence": column(lambda _, p: round(p.confidence, 4) if p else 0),
        "second": column(lambda _, p: _second(p.probabilities, case.codes, index) if p else -1),
        "set": column(lambda _, p: [index[code] for code in p.prediction_set if code in index] if p else []),
        "alarm": column(lambda _, p: bool(p and p.alarm)),
        "score": column(lambda _, p: round(p.alarm_score or 0, 4) if p else 0),
        "look": column(lambda _, p: bool(p and p.asks_for_a_look)),
        "text": column(lambda _, p: p.text if p else ""),
        "notes": column(lambda _, p: list(p.notes) if p else []),
        "slot": column(lambda cell, _: _slot(case, cell.number)),
    }


def _slot(case: Case, number: int) -> int:
    """The place of a cell's tile among those of all sheets, from 0 on."""
    sheet, tile = place(case, number)
    return sheet * TILES_A_SHEET + tile


def _second(probabilities: tuple[float, ...], codes: tuple[str, ...], index: dict[str, int]) -> int:
    if len(probabilities) < 2:
        return -1
    likeliest = int(np.argsort(probabilities)[-2])
    return index.get(codes[likeliest], -1)


def news(case: Case, known: Pass, after: int) -> dict[str, Any]:
    """What decisions behind number ``after`` came to: readings of the cells that they are about, and added cells."""
    since = [decision for decision in case.decisions[after:] if not _is_hidden(decision, known)]
    touched = dict.fromkeys(decision.cell for decision in since if decision.cell is not None)
    readings = [(number, _reading(case, number, known)) for number in touched]
    added = [decision.cell for decision in since if decision.action == "add"]
    first = case.cells.index(case.readings[added[0]].cell) if added and added[0] is not None else len(case.cells)
    answer = {
        "seq": len(case.decisions),
        "state": case.state,
        "added": cells_table(case, known, first),
        "readings": [
            [number, read.code, read.status, read.by, read.at, read.skipped, read.withdrawn]
            for number, read in readings
            if read
        ],
    }
    return answer | ({"undoable": _undoable(case, known)} if not after else {})


def _is_hidden(decision: Decision, known: Pass) -> bool:
    others = decision.reader != known.who
    return known.hides_readers and others and decision.cell is not None and decision.action != "add"


def _reading(case: Case, number: int, known: Pass) -> CellReading | None:
    if not known.hides_readers:
        return case.readings.get(number)
    reading = case.readings[number]
    return reading_of(reading.cell, [d for d in reading.history if d.action == "add" or d.reader == known.who])


def _undoable(case: Case, known: Pass) -> list[list[int]]:
    """Number and cell of the last decisions of this reader that stand, the latest last."""
    undone, found = set(), []
    for decision in reversed(case.decisions):
        if decision.reader != known.who or decision.cell is None or decision.seq in undone:
            continue
        if decision.action == "undo":
            undone.add(decision.undoes)
        else:
            found.append([decision.seq, decision.cell])
        if len(found) == _MOST_UNDOABLE:
            break
    return found[::-1]


# ---------------------------------------------------------------- pictures
Asked = dict[str, Any]  # what the address, its query and the body of a request say


def _cells(store: CaseStore, known: Pass, asked: Asked) -> Response:
    return Response(_cells_json(store.case(known.case), known), media_type="application/json")


@cached(LRUCache(_TABLES_KEPT), key=lambda case, known: (case.id, len(case.cells), known.hides_model), lock=Lock())
def _cells_json(case: Case, known: Pass) -> bytes:
    return json.dumps(cells_table(case, known), separators=(",", ":")).encode()


def _news(store: CaseStore, known: Pass, asked: Asked) -> Response:
    return JSONResponse(news(store.case(known.case), known, _number(asked.get("after"))))


def _sheet(store: CaseStore, known: Pass, asked: Asked) -> Response:
    return Response(store.sheet(known.case, asked["number"]), 200, _FOREVER, "image/webp")


def _crop(store: CaseStore, known: Pass, asked: Asked) -> Response:
    """A cell in the pixels of its picture."""
    case = store.case(known.case)
    if asked["number"] not in case.readings:
        raise UnknownCell("There is no such cell.")
    cell = case.readings[asked["number"]].cell
    return _jpeg(cut_box(_pixels(store, case.picture(cell.picture)), cell.box), _CROP_SIDE, 95)


def _picture(store: CaseStore, known: Pass, asked: Asked) -> Response:
    """A whole picture, reduced where it is larger than a screen."""
    picture = store.case(known.case).picture(asked["number"])
    return _jpeg(_pixels(store, picture), _PICTURE_SIDE, 88)


def _jpeg(pixels: np.ndarray, side: int, quality: int) -> Response:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return Response(buffer.getvalue(), 200, _FOREVER, "image/jpeg")


def _pixels(store: CaseStore, picture: CasePicture) -> np.ndarray:
    return _field_pixels(store, picture) if picture.kind == "field" else picture_of(store, picture).pixels


@cached(
    LRUCache(_FIELDS_KEPT, getsizeof=lambda pixels: pixels.nbytes),
    key=lambda store, picture: picture.sha256,
    lock=Lock(),
)
def _field_pixels(store: CaseStore, picture: CasePicture) -> np.ndarray:
    return picture_of(store, picture).pixels


def _references(store: CaseStore, known: Pass, asked: Asked) -> Response:
    """Cells to compare with: a row a class, beside each other as one picture, and what they are."""
    case = store.case(known.case)
    return JSONResponse(_reference_sheet(case.dataset, case.codes))


@lru_cache(maxsize=8)
def _reference_sheet(dataset: str, codes: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = samples(dataset, _REFERENCE_SIDE, _REFERENCES)
    except UnknownDataset:
        found = []
    rows = {code: [cell.pixels for cell in found if cell.truth == code] for code in codes}
    full = {code: np.concatenate(row, axis=1) for code, row in rows.items() if len(row) == _REFERENCES}
    if not full:
        return {"codes": [], "each": _REFERENCES, "url": "", "label": ""}
    sheet = data_url(np.concatenate(list(full.values())))
    return {"codes": list(full), "each": _REFERENCES, "url": sheet, "label": found[0].source}


# ---------------------------------------------------------------- decisions
def _decide(store: CaseStore, known: Pass, asked: Asked) -> Response:
    """Store what was sent, each decision once; tells which are stored, which are refused and why, and the news."""
    sent = asked.get("decisions")
    sent = [one for one in sent[:_MOST_SENT] if isinstance(one, dict)] if isinstance(sent, list) else []
    read = [(str(one.get("client", "")), _checked(one)) for one in sent]
    refused = [(client, "A decision can't be read.") for client, decision in read if decision is None]
    decisions = [decision for _, decision in read if decision]
    try:
        store.decide(known.case, known.who, decisions)
    except StoreUnavailable:  # nothing is refused: the browser keeps it and tries again
        raise
    except CaseError:  # one by one, so that the one that can't be stored stops no other
        for decision in decisions:
            try:
                store.decide(known.case, known.who, [decision])
            except StoreUnavailable:
                raise
            except CaseError as error:
                refused.append((decision.client, str(error)))
    failed = {client for client, _ in refused}
    stored = [decision.client for decision in decisions if decision.client not in failed]
    told = news(store.case(known.case), known, _number(asked.get("after")))
    return JSONResponse({"stored": stored, "refused": refused} | told)


def _checked(sent: Any) -> NewDecision | None:
    """A decision about a cell as the browser sent it; None where it is none."""
    if not isinstance(sent, dict) or sent.get("action") not in CELL_ACTIONS:
        return None
    texts = [sent.get(key, "") for key in ("client", "new", "reason", "text", "undoes_client")]
    numbers = [sent.get(key) for key in ("cell", "undoes", "seen")]
    if (
        not all(isinstance(text, str) and len(text) <= _MOST_TEXT and is_unicode(text) for text in texts)
        or not texts[0]
    ):
        return None
    if not all(number is None or type(number) is int for number in numbers) or numbers[0] is None:
        return None
    client, new, reason, text, undone = texts
    cell, undoes, seen = numbers
    return NewDecision(sent["action"], cell, new, reason, text, undoes, client, seen, undone)


def _add(store: CaseStore, known: Pass, asked: Asked) -> Response:
    """Add a cell that was clicked in a field; tells its number, and the news."""
    picture, x, y = (_number(asked.get(key)) for key in ("picture", "x", "y"))
    client = str(asked.get("client", ""))[:_MOST_TEXT]
    before = store.case(known.case)
    added = add_cell(store, predictor_of(before), before, known.who, picture, (x, y), client)
    case = store.case(known.case)
    told = {"cell": added.number, "added_seq": case.readings[added.number].history[0].seq}
    return JSONResponse(told | news(case, known, _number(asked.get("after"))))


def _number(value: Any) -> int:
    """``value`` as a whole number from 0 on; 0 where it is none."""
    try:
        return min(max(0, int(value)), _MOST_NUMBER)
    except (TypeError, ValueError, OverflowError):
        return 0


# ---------------------------------------------------------------- routes
def _route(path: str, answer: Callable[[CaseStore, Pass, Asked], Response], method: str = "GET") -> Route:
    """A route for a holder of a pass; what is asked is answered in a thread, as it waits for disk and database."""

    async def handle(request: Request) -> Response:
        asked = {**request.query_params, **request.path_params}
        if method == "POST":
            body = bytearray()
            async for part in request.stream():
                body += part
                if len(body) > _MOST_BYTES:
                    return JSONResponse({"error": "That is too much at once."}, 413)
            try:
                content = json.loads(body)
            except (ValueError, RecursionError):
                content = None
            if not isinstance(content, dict):
                return JSONResponse({"error": "What was sent can't be read."}, 400)
            asked |= content
        return await run_in_threadpool(_answered, request.path_params["pass"], answer, asked)

    return Route(f"{_prefix()}{_PATH}/{{pass}}/{path}", handle, methods=[method])


def _answered(text: str, answer: Callable[[CaseStore, Pass, Asked], Response], asked: Asked) -> Response:
    known = Pass.read(text)
    if known is None:
        return JSONResponse({"error": "This page is out of date. Reload it."}, 404)
    if isinstance(number := asked.get("number"), int) and number > _MOST_NUMBER:
        return JSONResponse({"error": "There is no such cell, picture or sheet."}, 409)
    try:
        return answer(open_store(), known, asked)
    except StoreUnavailable as error:
        return JSONResponse({"error": str(error)}, 503)
    except HemaLensError as error:
        return JSONResponse({"error": str(error)}, 409)


def routes() -> list[Route]:
    """All of them, for the server to take in."""
    return [
        _route("cells", _cells),
        _route("readings", _news),
        _route("sheet/{number:int}", _sheet),
        _route("crop/{number:int}", _crop),
        _route("picture/{number:int}", _picture),
        _route("references", _references),
        _route("decisions", _decide, "POST"),
        _route("add", _add, "POST"),
    ]
