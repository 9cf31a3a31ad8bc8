"""The FHIR document: valid by the R4 classes of a library that is made from the standard, states and codes right."""

import json
from dataclasses import replace

import pytest

from core.cases.fhir import NoDifferential, diagnostic_report, status_of, to_fhir
from core.cases.limits import shipped_limits
from tests.drawn_cases import ANNA, LUKASZ, DrawnCase, drawn_case, reviewed_case, said, signed_case

r4 = pytest.importorskip("fhirclient.models.diagnosticreport", reason="fhirclient (R4) is not installed")
LOINC = "http://loinc.org"


def resource(drawn):
    told = json.loads(to_fhir(drawn.case, shipped_limits()))
    assert r4.DiagnosticReport(told).as_json() == told  # raises for what R4 doesn't know, misses or types otherwise
    return told


def observations(told):
    return {part["id"]: part for part in told["contained"] if part["resourceType"] == "Observation"}


def test_a_signed_case_is_valid_and_final():
    told = resource(signed_case())
    assert told["status"] == "final"
    assert {part["status"] for part in observations(told).values()} == {"final"}
    assert told["code"]["coding"][0] == {
        "system": LOINC,
        "code": "69738-3",
        "display": "Differential panel, method unspecified - Blood",
    }
    assert told["resultsInterpreter"] == [{"display": "Łukasz Żak (identity not verified)"}]
    assert {"display": "Anna Müller"} in told["performer"]
    assert "subject" not in told


def test_an_imported_case_says_so():
    drawn = signed_case()
    assert "Imported" not in resource(drawn)["conclusion"]
    drawn.case = replace(drawn.case, imported="2026-11-30T20:00:00.000+00:00 by Ben")
    assert (
        "Imported 2026-11-30T20:00:00.000+00:00 by Ben: readers were not verified here."
        in (resource(drawn)["conclusion"])
    )


@pytest.mark.parametrize(
    ("drawn", "status"),
    [
        (drawn_case, "preliminary"),
        (reviewed_case, "preliminary"),
        (signed_case, "final"),
        (lambda: signed_case().decide(ANNA, "amend"), "preliminary"),
        (lambda: signed_case().decide(ANNA, "amend").decide(LUKASZ, "sign"), "amended"),
    ],
)
def test_states_map(drawn, status):
    made = drawn()
    assert status_of(made.case) == status
    assert resource(made)["status"] == status


def test_each_class_has_its_code_share_and_count():
    drawn = signed_case()
    told, found = drawn.case.differential(), observations(resource(drawn))
    codes = {
        "BA": "30180-4",
        "EO": "26450-7",
        "IG": "38518-7",
        "LY": "26478-8",
        "MO": "26485-3",
        "NE": "26511-6",
        "BLA": "26446-5",
        "ERB": "19048-8",
    }
    for code, loinc in codes.items():
        share = found[f"share-{code}"]
        assert (share["code"]["coding"][0]["system"], share["code"]["coding"][0]["code"]) == (LOINC, loinc)
        assert share["valueQuantity"]["value"] == told.of(code).percent
        assert share["valueQuantity"]["code"] == ("/100{WBCs}" if code == "ERB" else "%")
        parts = {part["code"]["text"]: part for part in share["component"]}
        assert parts["Cells of this class"]["valueQuantity"]["value"] == told.of(code).count
        low = parts["95 % interval of the count (exact)"]["valueRange"]["low"]["value"]
        assert low == pytest.approx(told.of(code).exact[0], abs=1e-3)
    assert found["white-cells"]["valueQuantity"]["value"] == told.white
    assert found["white-cells"]["code"]["coding"][0]["code"] == "11282-1"


def test_ranges_and_what_leaves_them():
    drawn = DrawnCase([said("NE")] * 30 + [said("LY")] * 60 + [said("IG")] * 10, field=False)
    found = observations(resource(drawn))
    ranges = {code: found[f"share-{code}"]["referenceRange"][0] for code in ("NE", "LY", "BA")}
    assert (ranges["NE"]["low"]["value"], ranges["NE"]["high"]["value"]) == (40, 80)
    assert "low" not in ranges["BA"]
    assert "Dacie" in ranges["NE"]["text"]

    def interpreted(code):
        return [part["coding"][0]["code"] for part in found[f"share-{code}"].get("interpretation", [])]

    assert [interpreted(code) for code in ("NE", "LY", "BA", "IG", "ERB")] == [["L"], ["H"], ["N"], ["A"], []]


def test_everything_contained_is_referred_to():
    told = resource(drawn_case())
    text = json.dumps(told)
    for part in told["contained"]:
        assert f'"reference": "#{part["id"]}"' in text


def test_the_specimen_is_the_sample_with_its_slides():
    told = resource(drawn_case())
    specimen = next(part for part in told["contained"] if part["resourceType"] == "Specimen")
    assert specimen["identifier"][0]["value"] == "S-2026-0815"
    assert [box["identifier"][0]["value"] for box in specimen["container"]] == ["A-1", "A-2"]


def test_marrow_carries_no_codes_of_blood():
    told = resource(drawn_case(specimen="marrow"))
    assert "coding" not in told["code"]
    assert LOINC not in json.dumps(told)


def test_no_white_cell_is_told_as_absent():
    found = observations(resource(DrawnCase([said("PLT")], field=False)))
    assert "valueQuantity" not in found["share-NE"]
    assert found["share-NE"]["dataAbsentReason"]["coding"][0]["code"] == "not-performed"


def test_hostile_names_are_valid_strings():
    drawn = DrawnCase([said("NE")], field=False, sample="<b>\x07\u202e </b>&", run="\x00")
    told = resource(drawn)
    assert "&lt;b&gt;" in told["text"]["div"]
    assert "\x07" not in json.dumps(told, ensure_ascii=False)


def test_other_classes_have_no_such_document():
    drawn = DrawnCase([], field=False, codes=("BEN", "PRE"), errors=None)
    with pytest.raises(NoDifferential):
        diagnostic_report(drawn.case, shipped_limits())
