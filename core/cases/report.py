"""What a case's report says, apart from how it looks: one place for the web page, the PDF and the tables of both.

All follows from the case alone (its decisions replayed, its pictures), from the table of limits and from the date of
printing, so that the same log gives the same report.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from core.cases.agreement import Agreement, between_readers, readers_against_model
from core.cases.case import Case, CasePicture, CellReading, Decision, standing
from core.cases.differential import (
    BLASTS,
    ERYTHROBLASTS,
    WHITE,
    ClassCount,
    Differential,
    Interval,
    cells_to_see,
    is_differential,
    rounded_shares,
)
from core.cases.limits import Flag, Limit, limits_hash, raised_flags
from core.colours import class_colours
from core.datasets import UnknownDataset, get_dataset
from core.errors import HemaLensError
from core.formatting import RESEARCH_LINE, counted, exact_percent, listed, percent, printable
from core.images.decode import CELL_LIMITS, FIELD_LIMITS, decode
from core.inference.specimen import SPECIMENS
from core.probabilities import exact_interval

PictureBytes = Callable[[str], bytes]  # of a picture's file by its SHA-256
MOST_PICTURES = 60  # of alarms, and of corrected cells: a report is read, the table has them all
_LONGEST_SIDE = 192  # px of a cell's picture; a larger one is reduced
_STATES = {"open": "Draft, not signed", "reviewed": "Draft: reviewed, not signed", "signed": "Signed"}


@dataclass(frozen=True)
class ClassRow:
    """A line of the differential. ``count`` cells, ``reviewed`` of them by a person; ``value``: unrounded, in % of
    white cells, erythroblasts per 100 of them, None where there are no white cells, and ``percent`` with one decimal;
    ``exact`` and ``with_errors`` as `ClassCount` has them, None where there is none; ``reference``: low and high limit
    of the reference range, each None where there is none; ``side``: 'low' or 'high' where the value leaves it.
    """

    code: str
    name: str
    colour: str
    count: int
    reviewed: int
    value: float | None
    percent: float | None
    exact: Interval | None
    with_errors: Interval | None
    reference: tuple[float | None, float | None] = (None, None)
    side: str = ""

    @property
    def reference_text(self) -> str:
        """'40 to 80', 'up to 2', 'from 5', or nothing."""
        low, high = self.reference
        if low is None:
            return "" if high is None else f"up to {high:g}"
        return f"from {low:g}" if high is None else f"{low:g} to {high:g}"


@dataclass(frozen=True)
class FlagLine:
    """``text``: which limit is left by what; ``rule``: whose limit that is, and whether chance may have done it."""

    text: str
    rule: str
    is_review: bool


@dataclass(frozen=True)
class CellPicture:
    """A cell as it lies in its picture: ``pixels`` uint8 (H, W, 3) of its box, white beyond the picture, reduced to 192
    px where larger, None where its picture can't be read. ``title``, ``lines``: what is said of it, ``alt``: what one
    hears.
    """

    cell: int
    title: str
    lines: tuple[str, ...]
    alt: str
    colour: str
    pixels: np.ndarray | None


@dataclass(frozen=True)
class ReaderLine:
    """What a reader did: ``cells`` named that still stand as theirs, ``corrected`` of them against the model."""

    name: str
    identity: str
    cells: int
    corrected: int
    first: str
    last: str


@dataclass(frozen=True)
class Report:
    """All that a report says; texts are safe to print on one line, not escaped for any markup."""

    title: str
    state: str
    is_draft: bool
    version: int
    sample: str
    facts: tuple[tuple[str, str], ...]
    differential: Differential
    is_differential: bool
    rows: tuple[ClassRow, ...]
    erythroblasts: ClassRow | None
    apart: tuple[str, ...]
    interval_notes: tuple[str, ...]
    flags: tuple[FlagLine, ...]
    no_flags: str
    open_cells: tuple[tuple[str, str], ...]
    alarms: tuple[CellPicture, ...]
    alarms_in_all: int
    corrected: tuple[CellPicture, ...]
    corrected_in_all: int
    review_line: str
    readers: tuple[ReaderLine, ...]
    agreements: tuple[Agreement, ...]
    agreement_notes: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    history: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    unused: tuple[tuple[str, str], ...]
    caveats: tuple[str, ...]
    printed: str


def report_of(case: Case, picture_bytes: PictureBytes, limits: Sequence[Limit], printed_at: datetime) -> Report:
    """What the report of ``case`` says. ``picture_bytes``: gives a file by its SHA-256; ``limits``: reference ranges
    and review rules (`core.cases.limits`); ``printed_at``: the date of printing, with its time zone.
    """
    told, names = case.differential(), class_names(case)
    blood = is_differential(case.codes)
    rows, erythroblasts = (_class_rows if blood else _plain_rows)(case, told, names, limits)
    flags = flags_of(case, told, limits) if blood else []
    alarms = [reading for reading in case.counted if reading.cell.prediction.alarm]
    corrected = [reading for reading in case.counted if reading.corrected and not reading.cell.prediction.alarm]
    shown = [*alarms[:MOST_PICTURES], *corrected[:MOST_PICTURES]]
    pictures = _cell_pictures(case, shown, picture_bytes, names)
    model, between = readers_against_model(case), between_readers(case)
    return Report(
        title="Differential count" if blood else "Cell count",
        state=_STATES[case.state],
        is_draft=case.state != "signed",
        version=case.version,
        sample=printable(case.sample) or "no sample id",
        facts=tuple(_facts(case, names)),
        differential=told,
        is_differential=blood,
        rows=rows,
        erythroblasts=erythroblasts,
        apart=tuple(_apart(case, told, blood)),
        interval_notes=tuple(_interval_notes(told, blood)),
        flags=tuple(_flag_line(flag) for flag in flags),
        no_flags=_no_flags(case, told, limits, blood),
        open_cells=tuple(_open_cells(case)),
        alarms=tuple(pictures[: len(alarms[:MOST_PICTURES])]),
        alarms_in_all=len(alarms),
        corrected=tuple(pictures[len(alarms[:MOST_PICTURES]) :]),
        corrected_in_all=len(corrected),
        review_line=_review_line(case),
        readers=tuple(_reader_lines(case)),
        agreements=(*model, *between),
        agreement_notes=tuple(_agreement_notes(model, between)),
        notes=tuple(_notes(case)),
        history=tuple(_history(case)),
        provenance=tuple(_provenance(case, limits)),
        unused=tuple((printable(u.name), printable(f"{u.reason}. {u.way_out}")) for u in case.unused),
        caveats=tuple(_caveats(case, limits, blood)),
        printed=utc_text(printed_at.isoformat()),
    )


def class_names(case: Case) -> dict[str, str]:
    """The name of each class that a reader may give, by its code; the code itself where nobody knows the data set."""
    names = {code: code for code in case.assignable} | {"": "no cell"}
    for dataset in ("bloodmnist", case.dataset):
        try:
            known = get_dataset(dataset).names
        except UnknownDataset:
            continue
        if dataset == case.dataset or is_differential(case.codes):
            names |= {code: name for code, name in known.items() if code in names}
    return names | ({BLASTS: "blast"} if names.get(BLASTS) == BLASTS else {})


def utc_text(iso: str) -> str:
    """An ISO 8601 time as '2026-11-30 21:05 UTC'; one without a time zone is taken for UTC."""
    if not iso:
        return ""
    moment = datetime.fromisoformat(iso)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def signature_of(case: Case) -> Decision | None:
    """The decision that signed the case as it stands; None for one that isn't signed."""
    if case.state != "signed":
        return None
    return next(decision for decision in reversed(case.decisions) if decision.action == "sign")


def flags_of(case: Case, told: Differential, limits: Sequence[Limit]) -> list[Flag]:
    """The limits that ``told`` leaves in the case's specimen, review rules first."""
    specimen = SPECIMENS.get(case.specimen)
    return raised_flags(told, specimen, limits) if specimen else []


def limits_note(case: Case, limits: Sequence[Limit]) -> str:
    """That a signed case was signed by other ``limits``, for a person; '' where it wasn't."""
    signature = signature_of(case)
    if signature is None or signature.digest in ("", limits_hash(case.specimen, limits)):
        return ""
    return "Limits were changed after the case was signed: ranges and flags here are by today's table."


def reference_of(case: Case, code: str, limits: Sequence[Limit]) -> Limit | None:
    """The reference range of ``code`` in the case's specimen; None where there is none."""
    of_class = (limit for limit in limits if (limit.specimen, limit.code) == (case.specimen, code))
    return next((limit for limit in of_class if limit.kind == "range"), None)


def interval_text(interval: Interval | None) -> str:
    """'1.2 to 3.4', without an end where there is none; '' for None."""
    if interval is None:
        return ""
    low, high = interval
    return f"{low:.1f} to {high:.1f}" if math.isfinite(high) else f"{low:.1f} and more"


def _class_rows(
    case: Case, told: Differential, names: dict[str, str], limits: Sequence[Limit]
) -> tuple[tuple[ClassRow, ...], ClassRow | None]:
    """A row a white class, and that of erythroblasts."""
    colours = class_colours(case.assignable)

    def row(of: ClassCount) -> ClassRow:
        value = 100 * of.count / told.white if told.white else None
        range_ = reference_of(case, of.code, limits)
        low, high = (range_.low, range_.high) if range_ else (None, None)
        side = ""
        if value is not None:
            side = "low" if low is not None and value < low else "high" if high is not None and value > high else ""
        share, exact = (None, None) if value is None else (of.percent, of.exact)
        with_errors = None if value is None else of.with_errors
        name, colour = names.get(of.code, of.code), colours.get(of.code, "#888888")
        return ClassRow(
            of.code, name, colour, of.count, of.reviewed, value, share, exact, with_errors, (low, high), side
        )

    return tuple(map(row, told.classes)), row(told.erythroblasts) if told.erythroblasts else None


def _plain_rows(
    case: Case, told: Differential, names: dict[str, str], limits: Sequence[Limit]
) -> tuple[tuple[ClassRow, ...], None]:
    """A row a class of what is no differential: cells, and their share of all that are counted."""
    seen = [reading for reading in case.counted if reading.code and (reading.reviewed or not reading.counted.alarm)]
    counts, reviewed = Counter(r.code for r in seen), Counter(r.code for r in seen if r.reviewed)
    codes = [*case.codes, *sorted(counts.keys() - set(case.codes))]
    colours, total = class_colours(codes), sum(counts.values())
    shares = rounded_shares([counts[code] for code in codes])
    rows = []
    for code, share in zip(codes, shares, strict=True):
        low, high = exact_interval(counts[code], total)
        value = 100 * counts[code] / total if total else None
        exact = (100 * low, 100 * high) if total else None
        told_share = share if total else None
        name = names.get(code, code)
        rows.append(ClassRow(code, name, colours[code], counts[code], reviewed[code], value, told_share, exact, None))
    return tuple(rows), None


def _facts(case: Case, names: dict[str, str]) -> Iterable[tuple[str, str]]:
    yield "Sample", printable(case.sample) or "no id given"
    yield "Slides", printable(", ".join(case.slides)) or "none named"
    specimen = SPECIMENS.get(case.specimen)
    yield "Specimen", specimen.title if specimen else printable(case.specimen) or "not stated"
    kinds: Counter[str] = Counter(picture.kind for picture in case.pictures)
    pictures = [counted(kinds[kind], noun) for kind, noun in (("field", "field"), ("crop", "crop")) if kinds[kind]]
    yield "Pictures", listed(pictures) if pictures else "none"
    yield "State", f"{_STATES[case.state]}, version {case.version}"
    if signature := signature_of(case):
        yield "Signed by", f"{printable(signature.reader.text)}, {utc_text(signature.at)}"
    yield "Taken in", utc_text(case.created)
    yield "Case", case.id
    if case.note:
        yield "Note", printable(" ".join(case.note.split()))


def _apart(case: Case, told: Differential, blood: bool) -> Iterable[str]:
    """What is not among the white cells, and what still waits."""
    if blood:
        yield f"Platelets among the cells shown: {told.platelets}, outside of the count, and no platelet count."
    if told.not_cells:
        yield f"{counted(told.not_cells, 'picture')} without a cell: outside of the count."
    if told.alarms:
        alarms = counted(told.alarms, "cell")
        yield f"{alarms} that may be abnormal: outside of the count until a person has looked."
    if told.unidentified:
        yield f"Not final: {counted(told.unidentified, 'counted cell')} must still be looked at."


def _interval_notes(told: Differential, blood: bool) -> Iterable[str]:
    yield "Exact: 95 % interval of the count alone (Clopper and Pearson), as if each cell had been named rightly."
    if not blood:
        return
    if any(row.with_errors for row in told.classes):
        yield (
            "With model errors: 95 % interval that also holds how often the model takes each class for another, as "
            "measured on cells that it did not learn from; cells that a person named count as certain."
        )
    elif told.white and sum(row.reviewed for row in told.classes) == told.white:
        yield "Each counted white cell was named by a person, so that the model adds no error of its own."
    else:
        yield "How often the model errs on such cells was not measured, so that the interval holds chance only."
    yield f"To see a class of 1 % with 95 % certainty, count {cells_to_see(0.01)} white cells; here {told.white}."


def _flag_line(flag: Flag) -> FlagLine:
    chance = ""
    if flag.exact is not None and flag.limit.kind == "range":
        chance = "beyond chance" if flag.beyond_chance else "chance may have done it: the 95 % interval reaches within"
    rule = f"{flag.limit.source}{'; ' if chance else ''}{chance}"
    return FlagLine(flag.text, rule, flag.limit.kind == "review")


def _no_flags(case: Case, told: Differential, limits: Sequence[Limit], blood: bool) -> str:
    if not blood:
        return "These classes are no differential: no rule applies."
    if not any(limit.specimen == case.specimen for limit in limits):
        return "The table of limits has no rule and no reference range for this specimen: nothing was checked."
    return "No review rule and no reference range is left." if told.white else "Nothing was counted."


def _open_cells(case: Case) -> Iterable[tuple[str, str]]:
    """Why the case can't be signed yet: a reason, and the numbers of the cells."""
    by_reason: dict[str, list[int]] = {}
    for reading in case.unreviewed:
        by_reason.setdefault(reading.open_reason, []).append(reading.cell.number)
    for reason, numbers in by_reason.items():
        some = ", ".join(map(str, numbers[:20])) + (" ..." if len(numbers) > 20 else "")
        yield f"{counted(len(numbers), 'cell')}: {reason}", f"number {some}" if len(numbers) == 1 else f"numbers {some}"


def _cell_pictures(
    case: Case, readings: Sequence[CellReading], picture_bytes: PictureBytes, names: dict[str, str]
) -> list[CellPicture]:
    """In the order of ``readings``; each picture is decoded once."""
    colours = class_colours(case.assignable)
    cut: dict[int, np.ndarray | None] = {}
    for number in dict.fromkeys(reading.cell.picture for reading in readings):
        pixels = _pixels(case.picture(number), picture_bytes)
        for reading in readings:
            if reading.cell.picture == number:
                cut[reading.cell.number] = None if pixels is None else cut_out(pixels, reading.cell.box)
    shown = []
    for reading in readings:
        cell, said = reading.cell, reading.cell.prediction
        picture = case.picture(cell.picture)
        by_model = names.get(said.code, said.code)
        if reading.reviewed:
            title = f"{reading.code}: {names.get(reading.code, reading.code)}" if reading.code else "no cell"
            who = f"{printable(reading.by)}, {utc_text(reading.at)}"
        else:
            title, who = "not looked at", ""
        model = f"model: {said.code or 'no cell'}"
        if said.code:
            model += f" {percent(said.confidence)}"
        model += ", alarm" if said.alarm else ""
        why = printable("; ".join(part for part in (reading.reason, " ".join(reading.text.split())) if part))
        where = (f"cell {cell.number}", printable(picture.name))
        lines = tuple(line for line in (model, who, why, *where) if line)
        spoken = f"Cell {cell.number}: {by_model} by the model"
        spoken += ", may be abnormal" if said.alarm else ""
        spoken += f", {names.get(reading.code, reading.code)} by {printable(reading.by)}" if reading.reviewed else ""
        colour = colours.get(reading.code, "#888888")
        shown.append(CellPicture(cell.number, title, lines, spoken, colour, cut[cell.number]))
    return shown


def _pixels(picture: CasePicture, picture_bytes: PictureBytes) -> np.ndarray | None:
    try:
        limits = FIELD_LIMITS if picture.kind == "field" else CELL_LIMITS
        return decode(picture_bytes(picture.sha256), picture.name, limits).pixels
    except HemaLensError:
        return None  # the report says so in the picture's place


def cut_out(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of ``pixels`` uint8 (H, W, 3) in ``box`` (left, top, right, bottom), white beyond them: uint8, reduced
    so that no side is longer than 192 px.
    """
    left, top, right, bottom = box
    height, width = pixels.shape[:2]
    part = np.full((max(1, bottom - top), max(1, right - left), 3), 255, np.uint8)
    inside = pixels[max(0, top) : max(0, min(bottom, height)), max(0, left) : max(0, min(right, width))]
    y, x = max(0, -top), max(0, -left)
    part[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    if max(part.shape) <= _LONGEST_SIDE:
        return part
    image = Image.fromarray(part)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _review_line(case: Case) -> str:
    cells = case.counted
    reviewed, corrected = sum(r.reviewed for r in cells), sum(r.corrected for r in cells)
    added, withdrawn = sum(bool(r.cell.added_by) for r in cells), len(case.readings) - len(cells)
    line = f"{reviewed} of {counted(len(cells), 'cell')} reviewed by a person, {corrected} of them corrected"
    line += f"; {added} added in fields by a person" if added else ""
    line += f"; {withdrawn} added and taken away again" if withdrawn else ""
    return f"{line}."


def _reader_lines(case: Case) -> Iterable[ReaderLine]:
    stand = [(reading, _last_naming(reading)) for reading in case.counted if reading.reviewed]
    by_reader: dict[tuple[str, bool], list[Decision]] = {}
    for decision in case.decisions:
        by_reader.setdefault((decision.reader.name, decision.reader.verified), []).append(decision)
    for (name, verified), decisions in by_reader.items():
        mine = [r for r, naming in stand if (naming.reader.name, naming.reader.verified) == (name, verified)]
        identity = "verified (signed in)" if verified else "identity not verified"
        first, last = utc_text(decisions[0].at), utc_text(decisions[-1].at)
        yield ReaderLine(printable(name), identity, len(mine), sum(r.corrected for r in mine), first, last)


def _last_naming(reading: CellReading) -> Decision:
    return next(d for d in reversed(standing(reading.history)) if d.action == "assign")


def _agreement_notes(model: Sequence[Agreement], between: Sequence[Agreement]) -> Iterable[str]:
    if model:
        yield (
            "Model against readers: of the cells that a person named, and people name the doubtful ones first, so that "
            "this is no estimate of how often the model is right."
        )
    if between:
        yield "Readers who saw each other's decisions agree more than readers who didn't."
    if model or between:
        yield "Kappa: agreement beyond chance (Cohen), 1 at best, 0 by chance, with its 95 % interval."
    by_caution: dict[str, list[str]] = {}
    for told in (*model, *between):
        if told.caution:
            by_caution.setdefault(told.caution, []).append(pair_text(told))
    for caution, pairs in by_caution.items():
        yield f"{'; '.join(pairs)}: {caution}"


def agreement_text(told: Agreement) -> str:
    """'9 of 19 cells alike, 47.4 % (24.4 to 71.1); kappa 0.41 (0.16 to 0.60)'."""
    low, high = told.interval
    line = f"{told.agreed} of {counted(told.cells, 'cell')} alike, {exact_percent(told.share)}"
    line += f" ({100 * low:.1f} to {100 * high:.1f})"
    if told.kappa is not None and told.kappa_interval:
        line += f"; kappa {told.kappa:.2f} ({told.kappa_interval[0]:.2f} to {told.kappa_interval[1]:.2f})"
    return line


def differing_text(told: Agreement, most: int = 12) -> str:
    """'MO against LY: 5; LY against BLA: 2', the first named first; '' where all is alike."""
    some = [f"{one or 'no cell'} against {other or 'no cell'}: {n}" for one, other, n in told.differing[:most]]
    return "; ".join(some) + ("; ..." if len(told.differing) > most else "")


def axis_end(rows: Iterable[ClassRow]) -> float:
    """The next ten % above all that is drawn of ``rows``."""
    ends = [end for row in rows for interval in (row.exact, row.with_errors) if interval for end in interval]
    return float(min(100, max(10, 10 * math.ceil(max(ends, default=100.0) / 10))))


def pair_text(told: Agreement) -> str:
    """'model and readers', 'Anna and Ben'."""
    return printable(f"{told.first} and {told.second}")


def _notes(case: Case) -> Iterable[tuple[str, str]]:
    for decision in case.decisions:
        if decision.action == "note" and decision.text:
            who = f"{printable(decision.reader.text)}, {utc_text(decision.at)}"
            yield who, printable(" ".join(decision.text.split()))


def _history(case: Case) -> Iterable[str]:
    version = 1
    words = {"sign": "signed", "amend": "opened again to amend it", "review": "reviewed", "reopen": "opened again"}
    for decision in case.decisions:
        if decision.action in words:
            version += decision.action == "amend"
            why = printable(" ".join(f"{decision.reason} {decision.text}".split()))
            who = f"by {printable(decision.reader.text)}, {utc_text(decision.at)}"
            yield f"Version {version} {words[decision.action]} {who}{f': {why}' if why else ''}."


def _provenance(case: Case, limits: Sequence[Limit]) -> Iterable[tuple[str, str]]:
    yield "Model", printable(case.run)
    yield "Model's hash", case.run_hash
    yield "Profile", printable(case.profile) or "none"
    if case.profile:
        yield "Profile's hash", case.profile_hash
    yield "Classes of", _title(case.dataset)
    if case.laboratory:
        yield "Laboratory", printable(case.laboratory)
    if case.scale:
        yield "Scale", printable(case.scale)
    if case.imported:
        yield "Imported", printable(case.imported)
    yield "Software", f"HemaLens {printable(case.software)}"
    sources = dict.fromkeys(limit.source for limit in limits if limit.specimen == case.specimen)
    if sources:
        yield "Ranges and rules", printable("; ".join(sources))
    yield "Decisions", f"{len(case.decisions)}, each with the hash of the one before"
    yield "Head of the chain", case.head or "no decision yet"


def _title(dataset: str) -> str:
    try:
        return get_dataset(dataset).title
    except UnknownDataset:
        return printable(dataset)


def _caveats(case: Case, limits: Sequence[Limit], blood: bool) -> Iterable[str]:
    if blood and (note := limits_note(case, limits)):
        yield note
    yield f"{RESEARCH_LINE} Nothing here replaces a look through the microscope by a qualified person."
    try:
        domain = get_dataset(case.dataset).domain
        yield f"The model knows {domain}; other stains, microscopes and diseases can mislead it."
    except UnknownDataset:
        yield "Stains, microscopes and diseases that the model has not met can mislead it."
    if blood:
        others = listed([name for code, name in class_names(case).items() if code in WHITE or code == ERYTHROBLASTS])
        yield f"Classes told: {others}. Whatever else a smear may hold has no class, and blasts only a person names."
        yield "Shares are of the cells in these pictures, not concentrations, and red cells were not judged."
    yield "Only what was photographed was counted: the choice of fields and cells is not part of the intervals."
