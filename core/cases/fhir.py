"""A case's differential as an HL7 FHIR R4 `DiagnosticReport`, its specimen, device and observations contained in it.

Shares carry the LOINC codes of a differential without a method, which are those that LOINC's own manual differential
panel (24318-8) is made of: cells that a model named and a person confirmed are neither a manual nor an automated count,
so that the method stands as text. How many cells of a class were seen has no code (LOINC's counts are per volume); it
is a component of the share. LOINC's codes here are those of blood; bone marrow carries names alone. No patient is
named: who uses the document links it.
"""

import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from core.cases.case import Case
from core.cases.differential import ERYTHROBLASTS, ClassCount, Differential, Interval, is_differential
from core.cases.limits import Limit
from core.cases.report import class_names, flags_of, limits_note, reference_of, signature_of
from core.errors import HemaLensError
from core.formatting import RESEARCH_LINE, capitalized, counted, printable
from core.inference.specimen import SPECIMENS

_LOINC, _UCUM = "http://loinc.org", "http://unitsofmeasure.org"
_TERMS = "http://terminology.hl7.org/CodeSystem"
_PANEL = ("69738-3", "Differential panel, method unspecified - Blood")
_CELLS_COUNTED = ("11282-1", "Cells Counted Total [#] in Blood")
_SHARES = {  # of white cells, in %
    "BA": ("30180-4", "Basophils/100 leukocytes in Blood"),
    "EO": ("26450-7", "Eosinophils/100 leukocytes in Blood"),
    "IG": ("38518-7", "Immature granulocytes/100 leukocytes in Blood"),
    "LY": ("26478-8", "Lymphocytes/100 leukocytes in Blood"),
    "MO": ("26485-3", "Monocytes/100 leukocytes in Blood"),
    "NE": ("26511-6", "Neutrophils/100 leukocytes in Blood"),
    "BLA": ("26446-5", "Blasts/100 leukocytes in Blood"),
    ERYTHROBLASTS: ("19048-8", "Nucleated erythrocytes/100 leukocytes [Ratio] in Blood"),
}
_PER_CENT, _PER_WHITE = ("%", "%"), ("/100 WBC", "/100{WBCs}")
_INTERPRETATIONS = {"L": "Low", "H": "High", "N": "Normal", "A": "Abnormal"}


class NoDifferential(HemaLensError):
    """The case's classes are not those of a differential, so that no such document can be made of it."""


def to_fhir(case: Case, limits: Sequence[Limit]) -> bytes:
    """The document as UTF-8 JSON: 'preliminary' until the case is signed, then 'final', from the second version on
    'amended'. Raises `NoDifferential`.
    """
    return json.dumps(diagnostic_report(case, limits), indent=1, ensure_ascii=False, allow_nan=False).encode()


def status_of(case: Case) -> str:
    """Of the report and its observations: 'preliminary', 'final' or 'amended'."""
    if case.state != "signed":
        return "preliminary"
    return "final" if case.version == 1 else "amended"


def diagnostic_report(case: Case, limits: Sequence[Limit]) -> dict[str, Any]:
    """The resource as JSON has it."""
    if not is_differential(case.codes):
        raise NoDifferential("The classes of this case are no differential: there is nothing to tell by LOINC codes.")
    told = case.differential()
    observations = list(_observations(case, told, limits))
    contained = [_specimen(case), _device(case), *observations]
    signature = signature_of(case)
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "id": case.id,
        "meta": {"versionId": str(case.version)},
        "language": "en",
        "text": {"status": "generated", "div": _narrative(case, told)},
        "contained": contained,
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{_uuid(case.id)}"}],
        "status": status_of(case),
        "category": [{"coding": [{"system": f"{_TERMS}/v2-0074", "code": "HM", "display": "Hematology"}]}],
        "code": _code(case, _PANEL, "Differential count"),
        "effectiveDateTime": _instant(case.created),
        "issued": _instant(signature.at if signature else _changed(case)),
        "specimen": [{"reference": "#specimen"}],
        "result": [{"reference": f"#{observation['id']}"} for observation in observations],
        "conclusion": _conclusion(case, told, limits),
    }
    if readers := list(dict.fromkeys(d.reader.text for d in case.decisions if d.cell is not None)):
        report["performer"] = [{"display": _string(name)} for name in readers]
    if signature:
        report["resultsInterpreter"] = [{"display": _string(signature.reader.text)}]
    return report


def _observations(case: Case, told: Differential, limits: Sequence[Limit]) -> Iterable[dict[str, Any]]:
    names = class_names(case)
    yield _observation(case, "white-cells", _code(case, _CELLS_COUNTED, "White cells counted")) | {
        "valueQuantity": _cells(told.white)
    }
    classes = (*told.classes, *([told.erythroblasts] if told.erythroblasts else []))
    for of in classes:
        yield _share(case, of, told, names, limits)
    for key, name, count in (
        ("platelets", "Platelets among the cells shown, no concentration", told.platelets),
        ("alarms", "Cells that may be abnormal and that no person has looked at, outside of the count", told.alarms),
        ("unidentified", "Counted cells that a person must still look at", told.unidentified),
        ("not-cells", "Pictures without a cell", told.not_cells),
    ):
        yield _observation(case, key, {"text": name}) | {"valueQuantity": _cells(count)}


def _observation(case: Case, key: str, code: dict[str, Any]) -> dict[str, Any]:
    category = {"system": f"{_TERMS}/observation-category", "code": "laboratory", "display": "Laboratory"}
    return {
        "resourceType": "Observation",
        "id": key,
        "status": status_of(case),
        "category": [{"coding": [category]}],
        "code": code,
        "effectiveDateTime": _instant(case.created),
        "method": {"text": _method(case)},
        "specimen": {"reference": "#specimen"},
        "device": {"reference": "#device"},
    }


def _share(
    case: Case, of: ClassCount, told: Differential, names: dict[str, str], limits: Sequence[Limit]
) -> dict[str, Any]:
    per_white = of.code == ERYTHROBLASTS
    unit = _PER_WHITE if per_white else _PER_CENT
    name = capitalized(names.get(of.code, of.code))
    text = f"{name} per 100 white cells" if per_white else f"{name}, % of white cells"
    observation = _observation(case, f"share-{of.code}", _code(case, _SHARES[of.code], text))
    if told.white:
        observation["valueQuantity"] = _quantity(of.percent, unit)
    else:
        unknown = {"system": f"{_TERMS}/data-absent-reason", "code": "not-performed", "display": "Not Performed"}
        observation["dataAbsentReason"] = {"coding": [unknown], "text": "no white cell was counted"}
    codes: list[str] = []  # of the interpretation: against the reference range, and whether a review rule is left
    if limit := reference_of(case, of.code, limits):
        bounds = {
            side: _quantity(value, unit)
            for side, value in (("low", limit.low), ("high", limit.high))
            if value is not None
        }
        normal = {"system": f"{_TERMS}/referencerange-meaning", "code": "normal", "display": "Normal Range"}
        observation["referenceRange"] = [bounds | {"type": {"coding": [normal]}, "text": _string(limit.source)}]
        if told.white:
            value = 100 * of.count / told.white
            low, high = limit.low is not None and value < limit.low, limit.high is not None and value > limit.high
            codes.append("L" if low else "H" if high else "N")
    if any(flag.limit.kind == "review" and flag.limit.code == of.code for flag in flags_of(case, told, limits)):
        codes = [code for code in codes if code != "N"] + ["A"]
    if codes:
        system = f"{_TERMS}/v3-ObservationInterpretation"
        observation["interpretation"] = [
            {"coding": [{"system": system, "code": code, "display": _INTERPRETATIONS[code]}]} for code in codes
        ]
    components = [_component("Cells of this class", "valueQuantity", _cells(of.count))]
    components.append(_component("Of these named by a person", "valueQuantity", _cells(of.reviewed)))
    if told.white:
        components.append(_component("95 % interval of the count (exact)", "valueRange", _range(of.exact, unit)))
        if of.with_errors:
            title = "95 % interval that also holds the model's errors"
            components.append(_component(title, "valueRange", _range(of.with_errors, unit)))
    return observation | {"component": components}


def _component(text: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"code": {"text": text}, kind: value}


def _quantity(value: float, unit: tuple[str, str]) -> dict[str, Any]:
    return {"value": round(value, 4), "unit": unit[0], "system": _UCUM, "code": unit[1]}


def _cells(count: int) -> dict[str, Any]:
    return {"value": count, "unit": "cells", "system": _UCUM, "code": "{cells}"}


def _range(interval: Interval, unit: tuple[str, str]) -> dict[str, Any]:
    ends = zip(("low", "high"), interval, strict=True)
    return {side: _quantity(end, unit) for side, end in ends if math.isfinite(end)}


def _code(case: Case, coded: tuple[str, str], text: str) -> dict[str, Any]:
    """By LOINC where that is blood's, and as text."""
    if case.specimen == "marrow":
        return {"text": text}
    return {"coding": [{"system": _LOINC, "code": coded[0], "display": coded[1]}], "text": text}


def _specimen(case: Case) -> dict[str, Any]:
    known = SPECIMENS.get(case.specimen)
    title = known.title if known and known.shares else "not stated"
    specimen: dict[str, Any] = {
        "resourceType": "Specimen",
        "id": "specimen",
        "identifier": [{"value": _string(case.sample)}],
        "type": {"text": title},
    }
    if case.slides:
        specimen["container"] = [
            {"identifier": [{"value": _string(slide)}], "description": "slide"} for slide in case.slides
        ]
    return specimen


def _device(case: Case) -> dict[str, Any]:
    model = f"{case.run} {case.run_hash}".strip()
    versions = [("software", case.software), ("model", model)]
    versions += [("profile", f"{case.profile} {case.profile_hash}".strip())] if case.profile else []
    return {
        "resourceType": "Device",
        "id": "device",
        "deviceName": [{"name": "HemaLens", "type": "user-friendly-name"}],
        "type": {"text": "software that classifies blood cells"},
        "version": [{"type": {"text": kind}, "value": _string(value)} for kind, value in versions],
        "safety": [{"text": RESEARCH_LINE}],
    }


def _method(case: Case) -> str:
    cells = case.counted
    reviewed = sum(reading.reviewed for reading in cells)
    if cells and reviewed == len(cells):
        return f"classes proposed by a model, each of {len(cells)} cells named by a person"
    return f"classified by a model; {reviewed} of {len(cells)} cells named by a person"


def _conclusion(case: Case, told: Differential, limits: Sequence[Limit]) -> str:
    flags = [flag.text for flag in flags_of(case, told, limits)]
    said = f"Flags: {'; '.join(flags)}." if flags else "No flag."
    waiting = len(case.unreviewed)
    open_line = f" {counted(waiting, 'cell')} must still be looked at." if waiting else ""
    imported = f"Imported {printable(case.imported)}: readers were not verified here." if case.imported else ""
    return _string(" ".join(filter(None, (f"{said}{open_line}", limits_note(case, limits), imported, RESEARCH_LINE))))


def _narrative(case: Case, told: Differential) -> str:
    shares = [f"{of.code} {of.percent:.1f} % ({of.count})" if told.white else f"{of.code} 0" for of in told.classes]
    if told.erythroblasts:
        shares.append(f"{ERYTHROBLASTS} {told.erythroblasts.count}")
    counts = "; ".join(shares)
    line = f"Differential count of sample {_string(case.sample)}, {told.white} white cells: {counts}. {RESEARCH_LINE}"
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(line)}</p></div>'


def _changed(case: Case) -> str:
    return case.decisions[-1].at if case.decisions else case.created


def _instant(iso: str) -> str:
    """With a time zone, which an instant needs."""
    return iso if iso.endswith("Z") or "+" in iso[10:] or "-" in iso[10:] else f"{iso}Z"


def _uuid(hexadecimal: str) -> str:
    parts = (hexadecimal[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
    return "-".join(parts)


def _string(text: str) -> str:
    """A FHIR string: no control characters, never empty."""
    return printable(" ".join(text.split())) or "none"
