"""From what was dropped to a case: every picture is kept, every cell found and answered, and its tile cut.

A picture whose bytes are there twice is answered once; both stay in the record. Which pictures show one cell and which
a whole field is told by their shape, and by what the cell check sees in large ones, unless a person says so.
"""

import os
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from core.adaptation.profile import find_profile, predictor_for, profile_path
from core.cases.case import (
    Case,
    CaseCell,
    CaseError,
    CasePicture,
    CellPrediction,
    Reader,
    UnusedFile,
)
from core.cases.drop import DroppedFile, dropped, read_dropped
from core.cases.files import content_hash
from core.cases.sprites import TILE, TILES_A_SHEET, cut_tile, sheet_bytes, tile_bytes
from core.cases.store import CaseStore
from core.datasets.base import DatasetSpec
from core.formatting import capitalized, natural_key, percent
from core.images.decode import CELL_LIMITS, FIELD_LIMITS, LONGEST_SIDE, DecodedPicture, DecodeError, decode, read_header
from core.images.fields import measure_field, red_cell_diameters
from core.images.framing import CropWindow, MeasuredPicture, cut_box, unit_by_shape
from core.images.red_cells import RED_CELL_MICROMETRES, RED_CELL_SHARE, side_of_pixel_size
from core.inference.confusion import errors_of
from core.inference.fields import AnsweredField, answer_fields
from core.inference.laboratory import Laboratory
from core.inference.predictor import Prediction, Predictor
from core.inference.serialise import remarks
from core.inference.specimen import find_specimen
from core.progress import Progress, Report, part, silent
from core.runs import Run, find_run

Kind = Literal["crop", "field"]
_BATCH = 64  # files that are written at once
_MIN_FIELD = 400  # px: of the shorter side of a picture that the cell check may call a field
_SHOWS_MORE = ("field", "several_cells")
Box = tuple[int, int, int, int]


@dataclass
class _Content:
    """What lies in files with one content: ``path`` of it, ``kind``, and what was found."""

    path: Path
    name: str
    kind: Kind
    width: int
    height: int
    pixel_size: float | None
    notes: tuple[str, ...] = ()
    cells: list[tuple[Box, Prediction]] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    error: DecodeError | None = None


def take_in(
    store: CaseStore,
    predictor: Predictor,
    files: Sequence[DroppedFile] | Iterable[Path],
    *,
    sample: str,
    reader: Reader,
    slide: str = "",
    note: str = "",
    kind: Kind | None = None,
    pixel_size: float | None = None,
    report: Report = silent,
) -> str:
    """Make a case of ``files`` (pictures, ZIP archives; paths of folders too) as ``predictor`` answers them; its id.

    ``slide``: the id of the slide of all pictures; '' takes for it the folders that tell the names apart. ``kind``:
    what all pictures show; None where they tell. ``pixel_size``: what a pixel spans, in µm; None where they tell. Where
    anything raises, also what ``report`` does, nothing is left. Raises `CaseError` where no file is of use.
    """
    given = list(files)
    drop = [file for file in given if isinstance(file, DroppedFile)]
    drop += dropped(file for file in given if isinstance(file, Path))
    draft = uuid.uuid4().hex
    try:
        intake = _Intake(store, predictor, draft, kind, pixel_size)
        intake.read(drop, part(report, 0, 0.1))
        intake.answer(part(report, 0.1, 0.8))
        return intake.write(sample, slide, note, reader, part(report, 0.9, 0.1))
    except BaseException:
        store.discard(draft)
        raise


class _Intake:
    """One drop on its way to a case."""

    def __init__(self, store: CaseStore, predictor: Predictor, draft: str, kind: Kind | None, pixel_size: float | None):
        self._store, self._predictor, self._draft = store, predictor, draft
        self._kind, self._pixel_size = kind, pixel_size
        self._names: list[tuple[str, str]] = []  # of the pictures, with the hash of each
        self._contents: dict[str, _Content] = {}
        self._unused: list[UnusedFile] = []
        self._tiles = _TileFile()
        self._laboratory, self._scale = Laboratory(), ""

    def read(self, files: Sequence[DroppedFile], report: Report) -> None:
        """Keep what can be read, and note why the rest can't."""
        waiting: list[bytes] = []
        for done, found in enumerate(read_dropped(files), 1):
            if isinstance(found, UnusedFile):
                self._unused.append(found)
                continue
            name, data = found
            sha256 = content_hash(data)
            try:
                if sha256 not in self._contents:
                    self._contents[sha256] = self._content(name, sha256, data)
                    waiting.append(data)
                self._names.append((name, sha256))
            except DecodeError as error:
                self._unused.append(UnusedFile(name, error.reason, error.advice))
            if len(waiting) >= _BATCH or sum(map(len, waiting)) > FIELD_LIMITS.file_bytes // 4:
                self._store.keep_files(waiting, self._draft)
                waiting.clear()
            report(Progress(done, max(done, len(files)), f"{done:,} files read", "picture"))
        self._store.keep_files(waiting, self._draft)
        if not self._names:
            raise CaseError(_nothing_of_use(self._unused))

    def _content(self, name: str, sha256: str, data: bytes) -> _Content:
        """Raises `DecodeError`."""
        height, width = read_header(data, name, FIELD_LIMITS).shape
        spec, kind = self._predictor.spec, self._kind
        if kind is None:
            is_large = max(width, height) > LONGEST_SIDE or unit_by_shape(width, height, spec) == "field"
            kind = "field" if spec.unit == "cell" and is_large else "crop"
        header = read_header(data, name, FIELD_LIMITS if kind == "field" else CELL_LIMITS)
        height, width = header.shape
        path = self._store.files.path(sha256)
        return _Content(path, name, kind, width, height, self._pixel_size or header.pixel_size)

    def answer(self, report: Report) -> None:
        """Find and answer the cells of all pictures, first of those that show one each."""
        crops = [content for content in self._contents.values() if content.kind == "crop"]
        self._answer_crops(crops, report)
        if self._kind is None and self._predictor.spec.unit == "cell":
            for content in crops:
                if self._shows_more(content):
                    content.kind = "field"
        fields = [content for content in self._contents.values() if content.kind == "field"]
        if fields:
            self._answer_fields(fields, report)

    def _shows_more(self, content: _Content) -> bool:
        """Whether a picture taken for one cell's is a field: a large one in which the check sees one, or many cells."""
        if content.error or min(content.width, content.height) < _MIN_FIELD:
            return False
        return content.cells[0][1].verdict.check.kind in _SHOWS_MORE

    def _answer_crops(self, contents: Sequence[_Content], report: Report) -> None:
        predictor = self._predictor
        pictures = [MeasuredPicture(content.path, content.name) for content in contents]
        if not pictures:
            return
        report(Progress(0, len(pictures), "measuring the scale of the cells", "picture"))
        scale = predictor.scale(pictures, side_of_pixel_size(self._pixel_size) if self._pixel_size else None)
        answered: list[Prediction | DecodeError] = []
        stream = predictor.stream(pictures, scale, Laboratory())
        for content, picture, prediction in zip(contents, pictures, stream, strict=True):
            answered.append(prediction)
            if isinstance(prediction, DecodeError):
                content.error = prediction
            else:  # its pixels are still there
                content.notes = picture.notes
                content.tiles = [self._tiles.add(cut_tile(picture.pixels, prediction.crop.box))]
            report(Progress(len(answered), len(pictures), f"{len(answered):,} of {len(pictures):,} cells", "cell"))
        self._laboratory = predictor.laboratory_of(p for p in answered if isinstance(p, Prediction))
        self._scale = scale.note
        for content, prediction in zip(contents, predictor.decide_again(answered, self._laboratory), strict=True):
            if isinstance(prediction, Prediction):
                content.cells = [(_whole_numbers(prediction.crop.box), prediction)]

    def _answer_fields(self, contents: Sequence[_Content], report: Report) -> None:
        tiles: dict[int, dict[int, int]] = {}

        def keep(number: int, place: int, pixels: np.ndarray) -> None:
            tiles.setdefault(number, {})[place] = self._tiles.add(cut_tile(pixels, (0, 0, *pixels.shape[1::-1])))

        paths = [content.path for content in contents]
        laboratory, answers = answer_fields(self._predictor, paths, self._pixel_size, keep, report)
        for number, (content, answer) in enumerate(zip(contents, answers, strict=True)):
            if isinstance(answer, DecodeError):
                content.error, content.cells = answer, []
                continue
            content.error, content.notes = None, answer.notes
            content.height, content.width = answer.shape
            content.cells = [(_whole_numbers(p.crop.box), p) for p in answer.predictions]
            content.tiles = [tiles[number][place] for place in range(len(answer.predictions))]
        found = [answer for answer in answers if isinstance(answer, AnsweredField)]
        if sum(len(answer.predictions) for answer in found) > self._laboratory.pictures:
            self._laboratory = laboratory
        sizes = sorted({f"{answer.field.red_cell:.0f}" for answer in found}, key=float)
        if sizes:
            self._scale = f"{self._scale} Red cells of fields are {' to '.join(sizes[:: len(sizes) - 1 or 1])} px."

    def write(self, sample: str, slide: str, note: str, reader: Reader, report: Report) -> str:
        """Cut the sheets and write the case down."""
        pictures: list[CasePicture] = []
        found: list[tuple[int, Box, CellPrediction, int]] = []
        first: dict[str, str] = {}
        slides = _slides([name for name, _ in self._names])
        for name, sha256 in self._names:
            content = self._contents[sha256]
            if content.error:
                self._unused.append(UnusedFile(name, content.error.reason, content.error.advice))
                continue
            copies = (f"the same picture as {first[sha256]}",) if sha256 in first else ()
            first.setdefault(sha256, name)
            number = len(pictures) + 1
            pictures.append(
                CasePicture(
                    number,
                    name,
                    slide or slides[name],
                    sha256,
                    content.kind,
                    content.width,
                    content.height,
                    (*copies, *content.notes),
                    content.pixel_size,
                )
            )
            for (box, prediction), tile in zip(content.cells, content.tiles, strict=True):
                kept = kept_prediction(prediction, self._predictor.spec)
                found.append((number, box, replace(kept, notes=(*kept.notes, *copies)), tile))
        if not pictures:
            raise CaseError(_nothing_of_use(self._unused))
        # In the order in which they are looked at, so that the first sheets hold what is seen first.
        found.sort(key=lambda cell: _place_in_line(cell[2], self._predictor.spec.codes))
        cells = [CaseCell(place, number, box, kept) for place, (number, box, kept, _) in enumerate(found, 1)]
        tiles = [tile for *_, tile in found]
        predictor = self._predictor
        return self._store.create(
            reader,
            sample=sample,
            note=note,
            pictures=pictures,
            cells=cells,
            codes=predictor.spec.codes,
            dataset=predictor.run.dataset,
            run=predictor.run.name,
            run_hash=run_hash(predictor.run),
            profile=predictor.name,
            profile_hash=profile_hash(predictor.name),
            specimen=predictor.specimen_at(self._laboratory).key,
            unused=sorted(self._unused, key=lambda file: natural_key(file.name)),
            errors=errors_of(predictor, self._laboratory),
            laboratory=predictor.laboratory_note(self._laboratory),
            scale=self._scale.strip(),
            sheets=self._sheets(tiles, report),
            draft=self._draft,
        )

    def _sheets(self, tiles: Sequence[int], report: Report) -> list[str]:
        hashes: list[str] = []
        for start in range(0, len(tiles), TILES_A_SHEET):
            sheet = sheet_bytes([self._tiles.read(tile) for tile in tiles[start : start + TILES_A_SHEET]])
            hashes += self._store.keep_files([sheet], self._draft)
            report(Progress(min(start + TILES_A_SHEET, len(tiles)), len(tiles), "drawing the cells", "cell"))
        return hashes


class _TileFile:
    """Tiles on their way to a sheet, in a file without a name, so that thousands need no memory."""

    def __init__(self) -> None:
        self._file, self._count = tempfile.TemporaryFile(), 0  # noqa: SIM115 - closed with the intake

    def add(self, tile: np.ndarray) -> int:
        """Keep a ``tile`` uint8 (96, 96, 3); its number."""
        self._file.seek(self._count * TILE * TILE * 3)
        self._file.write(np.ascontiguousarray(tile, np.uint8).data)
        self._count += 1
        return self._count - 1

    def read(self, number: int) -> np.ndarray:
        """The tile ``number``."""
        self._file.seek(number * TILE * TILE * 3)
        return np.frombuffer(self._file.read(TILE * TILE * 3), np.uint8).reshape(TILE, TILE, 3)


def kept_prediction(prediction: Prediction, spec: DatasetSpec, added_by: str = "") -> CellPrediction:
    """What a case keeps of ``prediction`` by a model of ``spec``; what ``added_by``, a reader, took for a cell is one,
    and asks for a look until somebody names it.
    """
    verdict, added = prediction.verdict, (f"added by {added_by}",) if added_by else ()
    notes = (*added, *remarks(prediction, spec), *prediction.notes)
    if not prediction.is_cell and not added:
        return CellPrediction("", "not_a_cell", check=verdict.check.kind, notes=notes, text=f"No cell: {notes[0]}.")
    name, code = capitalized(spec.class_names[prediction.predicted]), spec.codes[prediction.predicted]
    said = "".join(f"; {note}" for note in notes)
    return CellPrediction(
        code=code,
        kind="unsure" if added else verdict.kind,
        probabilities=tuple(prediction.probabilities.tolist()),
        prediction_set=tuple(spec.codes[k] for k in prediction.prediction_set) or (code,),
        alarm=verdict.alarm.raised,
        alarm_score=verdict.alarm.score,
        must_be_seen=verdict.must_be_seen,
        is_odd=verdict.is_odd,
        check=verdict.check.kind,
        notes=notes,
        text=f"{name}, {percent(prediction.confidence)}, {verdict.word}{said}.",
    )


def _place_in_line(kept: CellPrediction, codes: Sequence[str]) -> tuple[bool, bool, int, float]:
    """Alarms first, then the doubtful, then class by class, the least sure first; what is no cell comes last."""
    if kept.asks_for_a_look:
        return not kept.alarm, False, 0, -(kept.alarm_score or 0) if kept.alarm else kept.confidence
    return True, True, codes.index(kept.code) if kept.code else len(codes), kept.confidence


def picture_of(store: CaseStore, picture: CasePicture) -> DecodedPicture:
    """A picture of a case, decoded as its boxes refer to it. Raises `CaseError`, `DecodeError`."""
    limits = FIELD_LIMITS if picture.kind == "field" else CELL_LIMITS
    return decode(store.picture_bytes(picture.sha256), picture.name, limits)


def add_cell(
    store: CaseStore,
    predictor: Predictor,
    case: Case,
    reader: Reader,
    picture: int,
    point: tuple[float, float],
    client: str = "",
) -> CaseCell:
    """Add the cell that ``reader`` clicked at ``point`` (x, y) in the field ``picture``, answered by ``predictor``
    (`predictor_of`). It asks for a look until somebody names it. Raises `CaseError`.
    """
    seen = case.picture(picture)
    pixels = picture_of(store, seen).pixels
    side = _side_in(case, seen, predictor, pixels)
    left, top = round(point[0] - side / 2), round(point[1] - side / 2)
    if not (0 <= point[0] < seen.width and 0 <= point[1] < seen.height):
        raise CaseError("The cell must lie in the field.")
    box = left, top, left + side, top + side
    square = cut_box(pixels, box)
    (prediction,) = predictor.stream([MeasuredPicture(square, seen.name)], CropWindow(side), Laboratory())
    if isinstance(prediction, DecodeError):
        raise prediction
    kept = kept_prediction(prediction, predictor.spec, reader.name)
    return store.add_cell(case.id, reader, picture, box, kept, tile_bytes(cut_tile(pixels, box)), client)


def _side_in(case: Case, picture: CasePicture, predictor: Predictor, pixels: np.ndarray) -> int:
    """The side in px of the square round a cell of a field: that of its other cells, else as its file or red cells say.
    Raises `CaseError`.
    """
    others: Mapping[bool, list[int]] = {True: [], False: []}
    for cell in case.cells:
        if case.picture(cell.picture).kind == "field":
            others[cell.picture == picture.number].append(cell.box[2] - cell.box[0])
    if others[True]:
        return others[True][0]
    if picture.pixel_size:
        return round(RED_CELL_MICROMETRES / picture.pixel_size / RED_CELL_SHARE)
    if predictor.side:
        return round(predictor.side)
    (diameter,) = red_cell_diameters([measure_field(pixels)])
    if diameter:
        return round(diameter / RED_CELL_SHARE)
    if others[False]:
        return others[False][0]
    raise CaseError("No red cells can be measured in this field, so the size of its cells is not known.")


def predictor_of(case: Case) -> Predictor:
    """What answers as the case was answered. Raises `HemaLensError` where the model or profile is gone, or another."""
    specimen = find_specimen(case.specimen)
    if case.profile:
        predictor = predictor_for(find_profile(case.profile), specimen)
    else:
        predictor = Predictor(find_run(case.run, case.dataset), specimen=specimen)
    if run_hash(predictor.run) != case.run_hash or profile_hash(case.profile) != case.profile_hash:
        raise CaseError(
            f"Case {case.sample} was answered by {case.profile or case.run}, which has changed since. Cells can be "
            "named, but no new ones be added: make a new case for that."
        )
    return predictor


def run_hash(run: Run) -> str:
    """A hash of what answers: the network's weights, else its graph, of a combination all members'."""
    if run.members:
        return content_hash("\n".join(run_hash(member) for member in run.members).encode())[:16]
    return run.weights_hash or content_hash(run.onnx_path.read_bytes())[:16]


def profile_hash(name: str) -> str:
    """A hash of the file of the profile ``name``, '' for no name."""
    return content_hash(profile_path(name).read_bytes())[:16] if name else ""


def _whole_numbers(box: Sequence[float]) -> Box:
    left, top, right, bottom = (int(side) for side in box)
    return left, top, right, bottom


def _slides(names: Sequence[str]) -> dict[str, str]:
    """By the name of each file the folder that tells slides apart: the first one that not all of them lie in, else the
    last that all do; '' without folders.
    """
    folders = {name: name.split("/")[:-1] for name in names}
    depth = len(os.path.commonprefix(list(folders.values())))
    slides = {name: parts[depth] if len(parts) > depth else (parts or [""])[-1] for name, parts in folders.items()}
    return {name: slide.removesuffix(".zip") for name, slide in slides.items()}


def _nothing_of_use(unused: Sequence[UnusedFile]) -> str:
    reasons = "; ".join(f"{file.name}: {file.reason}" for file in unused[:3])
    more = f" and {len(unused) - 3:,} more" if len(unused) > 3 else ""
    return f"None of the files is a picture that can be read ({reasons}{more})." if unused else "There is no file."
