"""Four questions, one verdict: is it a cell, is the laboratory known, is the cell odd, may it be abnormal?"""

import csv
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.cli import main
from core.images.cell_check import CellCheck
from core.images.framing import MAX_SAMPLED, CropWindow
from core.inference import alarm
from core.inference import predictor as predictor_module
from core.inference.laboratory import (
    PROBABILITY_FLOOR,
    ExternalCalibration,
    InvalidCalibration,
    Laboratory,
    SpecimenCalibration,
    judge_laboratory,
)
from core.inference.ood import fit_detector
from core.inference.predictor import CAUTION_FROM, Evidence, Predictor
from core.inference.serialise import Answered, remarks, to_csv, to_json
from core.inference.specimen import ADULT_BLOOD, IMMATURE_AT_HOME, IMMATURE_ELSEWHERE, SPECIMENS
from core.probabilities import NEVER_SURE
from tests.stub_runs import NUCLEUS, foreign_pictures, home_pictures, write_alarm, write_calibration, write_detector

BLANK = np.full((64, 64, 3), 240, np.uint8)


def reddish(blue):
    """A picture with a nucleus that the stub takes for BA, ``blue`` (0 to 1) in the mean; the alarm goes by that."""
    pixels = home_pictures(1)[0]
    away = (pixels != NUCLEUS).any(2)
    pixels[away] = [255, 0, round(255 * (blue - (~away).mean()) / away.mean())]
    return pixels


def answer(predictor, pictures):
    """Its predictions for pictures that are framed already, and the laboratory that they come from."""
    laboratory, predictions = predictor.answer(pictures, CropWindow())
    return list(predictions), laboratory


class AsItIs:
    """A head of a laboratory that changes nothing."""

    def probabilities(self, embeddings, probabilities):
        return probabilities


def taught(run):
    """What answers with a profile."""
    return Predictor(run, head=AsItIs(), threshold=0.9, name="ward")


def test_a_blank_picture_is_no_cell_whatever_the_run(make_run):
    for predictor in (Predictor(make_run()), Predictor(make_run("trees", kind="classical")), taught(make_run("net"))):
        (found,) = predictor.predict([BLANK])
        assert (found.verdict.kind, found.verdict.check.kind, found.verdict.word) == (
            "not_a_cell",
            "blank",
            "not a cell",
        )
        assert (found.is_cell, found.sure, found.prediction_set, found.verdict.is_odd) == (False, False, (), False)


def test_no_cell_has_no_class_in_a_file_and_no_say_about_the_laboratory(make_run):
    predictor = Predictor(make_run())
    predictions, laboratory = answer(predictor, [BLANK])
    assert (laboratory.known, laboratory.pictures) == (None, 0)
    document = to_json([Answered(predictions)], [predictor], [laboratory])
    (result,) = document["results"]
    assert (result["class"], result["name"], result["is_cell"], result["verdict"]) == ("", "", False, "not_a_cell")
    assert (result["set"], result["shows"]) == ([], "blank")
    assert "Nothing is to be seen here" in result["notes"][0]
    assert document["laboratory"] == {"known": None, "score": 0.0, "note": ""}
    (row,) = csv.DictReader(io.StringIO(to_csv([Answered(predictions)], [predictor], [Laboratory()])))
    assert (row["class"], row["name"], row["is_cell"], row["verdict"], row["set"]) == ("", "", "no", "not_a_cell", "")


def test_the_shell_says_what_shows_no_cell(make_run, tmp_path, capsys):
    Image.fromarray(BLANK).save(tmp_path / "blank.png")
    ask = ["predict", "--model", str(make_run().path), "--image-path", str(tmp_path / "blank.png")]
    assert main(ask) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert "not a cell" in line
    assert "(Nothing is to be seen here: no cell; " in line
    assert "%" not in line
    assert main([*ask, "--json"]) == 0
    (empty,) = json.loads(capsys.readouterr().out)["results"]
    assert (empty["class"], empty["is_cell"], empty["verdict"], empty["set"]) == ("", False, "not_a_cell", [])


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_a_raised_alarm_is_never_sure(make_run):
    run = make_run()
    plain = Predictor(run).predict([reddish(0.6)])[0]
    assert (plain.sure, plain.verdict.alarm.score, plain.verdict.alarm.raised) == (True, None, False)
    write_alarm(run)
    predictor = Predictor(run)
    assert predictor.has_alarm
    calm, raised = predictor.predict([reddish(0.2), reddish(0.6)])
    assert calm.sure
    assert calm.verdict.alarm.score < CAUTION_FROM
    assert (raised.verdict.kind, raised.verdict.alarm.raised, raised.predicted) == ("unsure", True, 0)
    assert raised.prediction_set[0] == 0
    assert len(raised.prediction_set) >= 2


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_no_profile_silences_the_alarm(make_run):
    run = make_run()
    head = taught(run).head
    assert Predictor(run, head=head, threshold=0.5).predict([reddish(0.6)])[0].sure
    write_alarm(run)
    raised = Predictor(run, head=head, threshold=0.5).predict([reddish(0.6)])[0]
    assert (raised.verdict.kind, raised.verdict.alarm.raised) == ("unsure", True)


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_a_score_near_the_limit_is_unsure_and_raises_nothing(make_run):
    run = make_run()
    write_alarm(run)
    predictor = Predictor(run)
    (near,) = predictor.predict([reddish(0.482)])
    assert CAUTION_FROM < near.verdict.alarm.score < alarm.RAISED_FROM
    assert (near.verdict.kind, near.verdict.alarm.raised, near.verdict.is_near_alarm) == ("unsure", False, True)
    assert remarks(near, predictor.spec)[0] == "a little like an abnormal cell"


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_an_odd_cell_among_home_cells_is_unsure(make_run):
    run = make_run()
    write_detector(run)
    pictures = list(home_pictures(20))
    pictures[7] = np.clip(pictures[7].astype(int) + [0, 40, 90], 0, 255).astype(np.uint8)
    predictions, laboratory = answer(Predictor(run), pictures)
    assert laboratory.known
    assert predictions[7].verdict.is_odd
    assert predictions[7].verdict.kind == "unsure"
    assert np.mean([p.sure for p in predictions]) > 0.9


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_where_no_white_cell_was_found_nothing_is_sure(make_run):
    (found,) = Predictor(make_run()).predict([np.tile(np.uint8([255, 0, 0]), (363, 360, 1))])
    assert (found.cell_missing, found.verdict.kind) == (True, "unsure")


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_another_laboratory_is_told_and_nothing_is_sure_that_nobody_measured(make_run):
    run = make_run()
    write_detector(run)
    predictor = Predictor(run)
    predictions, laboratory = answer(predictor, foreign_pictures(20))
    assert (laboratory.known, laboratory.pictures) == (False, 20)
    assert {p.verdict.kind for p in predictions} == {"unsure"}
    assert {p.threshold for p in predictions} == {NEVER_SURE}
    assert [p.predicted for p in predictions[:3]] == [0, 1, 2]  # each keeps its likeliest class
    note = predictor.laboratory_note(laboratory)
    assert note.startswith("These 20 pictures come from another microscope or stain")
    assert "nobody measured" in note
    home, known = answer(predictor, home_pictures(20, seed=5))
    assert known.known
    assert predictor.laboratory_note(known) == ""
    assert any(p.sure for p in home)


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_at_another_laboratory_probabilities_are_those_that_hold_there(make_run):
    run = make_run()
    write_detector(run)
    write_calibration(run, temperature=1.25, confidence_threshold=0.9)
    predictor, pictures = Predictor(run), foreign_pictures(20)
    predictions, laboratory = answer(predictor, pictures)
    raw = predictor.predict_crops(pictures).probabilities
    tempered = (raw + PROBABILITY_FLOOR) ** 0.8 * ADULT_BLOOD.odds(run, elsewhere=True)
    tempered /= tempered.sum(1, keepdims=True)
    np.testing.assert_allclose([p.probabilities for p in predictions], tempered)
    assert {p.threshold for p in predictions} == {0.9}
    for prediction in predictions:
        assert not prediction.sure or (prediction.confidence >= 0.9 and not prediction.verdict.is_odd)
    assert True in {p.sure for p in predictions}
    assert "were named rightly in 72 to 84 %" in predictor.laboratory_note(laboratory)


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_a_profile_brings_no_calibration_of_other_laboratories(make_run):
    run = make_run()
    write_calibration(run)
    predictor = taught(run)
    _, threshold = predictor.thresholds_at(Laboratory(known=False, pictures=20))
    assert threshold == NEVER_SURE


@pytest.mark.usefixtures("any_picture_is_a_cell")
@pytest.mark.parametrize("content", [b"", b"no graph", "other size", "two scores"])
def test_with_a_broken_alarm_the_run_answers_and_nothing_is_sure(make_run, content):
    run = make_run()
    if content == "other size":
        write_alarm(run, weights=(1, 2, 3))
    elif content == "two scores":
        write_alarm(run)
        run.alarm_path.write_bytes(run.alarm_path.read_bytes().replace(b"score", b"store"))
    else:
        run.alarm_path.write_bytes(content)
    predictor = Predictor(run)
    predictions, laboratory = answer(predictor, [reddish(0.1)])
    assert (predictions[0].predicted, predictions[0].verdict.kind, predictor.has_alarm) == (0, "unsure", False)
    (problem,) = predictor.problems
    assert "core alarm" in problem
    assert problem.endswith("Until then no answer is sure.")
    document = to_json([Answered(predictions)], [predictor], [laboratory])
    assert document["models"][0]["problems"] == [problem]


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_with_a_broken_detector_the_run_answers_and_nothing_is_sure(make_run):
    run = make_run()
    run.ood_path.write_bytes(b"no detector")
    predictor = Predictor(run)
    predictions, laboratory = answer(predictor, [reddish(0.1)])
    assert (predictions[0].predicted, predictions[0].verdict.kind, laboratory.known) == (0, "unsure", None)
    assert "core ood" in predictor.problems[0]


BROKEN_CALIBRATIONS = {
    "no JSON": "{",
    "a list": "[]",
    "a text for a number": {"temperature": "warm"},
    "NaN": {"temperature": float("nan")},
    "a huge number": {"temperature": 10**400},
    "a share above one": {"set_threshold": 3},
    "a word": {"confidence_threshold": "high"},
}


@pytest.mark.usefixtures("any_picture_is_a_cell")
@pytest.mark.parametrize("how", BROKEN_CALIBRATIONS)
def test_with_a_broken_calibration_only_other_laboratories_suffer(make_run, how):
    run, change = make_run(), BROKEN_CALIBRATIONS[how]
    write_detector(run)
    write_calibration(run)
    content = json.loads(run.external_calibration_path.read_text())
    if isinstance(change, dict):
        content["any"] |= change
    run.external_calibration_path.write_text(change if isinstance(change, str) else json.dumps(content))
    with pytest.raises(InvalidCalibration, match="core calibrate stub"):
        ExternalCalibration.load(run.external_calibration_path)
    predictor = Predictor(run)
    assert any(p.sure for p in answer(predictor, home_pictures(20, seed=5))[0])
    assert {p.verdict.kind for p in answer(predictor, foreign_pictures(20))[0]} == {"unsure"}
    assert "at other laboratories" in predictor.problems[0]


@pytest.mark.usefixtures("any_picture_is_a_cell")
@pytest.mark.parametrize(("pictures", "known"), [(home_pictures, True), (foreign_pictures, False)])
def test_a_stream_says_what_a_list_says(make_run, pictures, known):
    """Few pictures, as the shell answers them, and more than are sampled."""
    run = make_run(size=28)
    write_detector(run)
    write_calibration(run)
    predictor = Predictor(run)
    for count in (20, MAX_SAMPLED + 10):
        batch = list(pictures(count, 28))
        at_once = predictor.decide_again(list(predictor.stream(batch, CropWindow(), Laboratory())))
        laboratory, of_stream = predictor.answer(batch, CropWindow())
        assert (laboratory.known, laboratory.pictures) == (known, count)
        assert predictor.sample_laboratory(batch, CropWindow()).known is known
        for one, other in zip(at_once, of_stream, strict=True):
            assert one.verdict == other.verdict
            np.testing.assert_array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("colours", ["tell", "don't tell"])
@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_home_and_another_laboratory_in_one_drop_are_taken_apart(make_run, monkeypatch, colours):
    run = make_run()
    write_detector(run)
    write_calibration(run)
    predictor = Predictor(run)
    monkeypatch.setattr(predictor_module, "stain_groups", lambda crops: object() if colours == "tell" else None)
    own, other = list(home_pictures(30)), list(foreign_pictures(20))
    alone = predictor.predict(own)
    together = predictor.predict([*own, *other])
    laboratory = predictor.laboratory_of(together)
    assert laboratory.is_mixed
    assert "About 20 of these 50 pictures come from another microscope" in predictor.laboratory_note(laboratory)
    assert [p.verdict.kind for p in together[:30]] == [p.verdict.kind for p in alone]
    np.testing.assert_array_equal(together[0].probabilities, alone[0].probabilities)
    assert {p.threshold for p in together[30:]} == {predictor.thresholds_at(Laboratory(False))[1]}
    assert [p.verdict.is_stranger for p in together] == [False] * 30 + [True] * 20
    assert "of another microscope" in remarks(together[30], predictor.spec)[-1]


def test_cells_of_one_laboratory_near_home_are_not_taken_apart():
    """Half of them lie just beyond what home's do: one heap round the limit."""

    class Near:
        usual_score, embedding_gaussians, statistics_gaussians = 0.5, None, None

        def ood_score_of(self, embeddings, statistics, energies=None):
            return embeddings[:, 0]

    for scores, mixed in (
        (np.linspace(0.7, 1.5, 40), False),
        (np.r_[np.linspace(0.3, 0.75, 14), np.linspace(0.76, 2.2, 26)], False),
        (np.r_[np.linspace(0.3, 0.75, 20), np.linspace(1.2, 2.5, 20)], True),
    ):
        laboratory = judge_laboratory(Near(), scores[:, None], None, np.ones(40, bool))
        assert laboratory.is_foreign
        assert laboratory.is_mixed == mixed


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_two_stains_of_other_laboratories_are_said(make_run, monkeypatch):
    run = make_run()
    write_detector(run)
    monkeypatch.setattr(predictor_module, "stain_groups", lambda crops: object())
    predictor = Predictor(run)
    laboratory = predictor.laboratory_of(predictor.predict(foreign_pictures(20)))
    assert not laboratory.is_mixed
    assert "They have two stains" in predictor.laboratory_note(laboratory)


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_where_the_check_for_cells_is_gone_it_is_said_and_nothing_is_sure(make_run, tmp_path, monkeypatch):
    run, picture = make_run(), reddish(0.6)
    assert Predictor(run).predict([picture])[0].sure
    for broken in (tmp_path / "none.onnx", tmp_path / "broken.onnx"):
        (tmp_path / "broken.onnx").write_bytes(b"no graph")
        monkeypatch.setattr("core.images.cell_check.NETWORK_PATH", broken)
        predictor = Predictor(run)
        assert "hardly noticed" in predictor.problems[0]
        assert not predictor.predict([picture])[0].sure


def evidence_of(*probabilities, immature=None):
    """What was measured of cells that show nothing but ``probabilities``."""
    count = len(probabilities)
    share = np.array(immature, float) if immature else None
    return Evidence(np.array(probabilities), (CellCheck("cell", 1.0),) * count, np.zeros(count, bool), immature=share)


@pytest.fixture
def differential_run(make_run):
    """A run of a differential's classes, each as common where it learnt."""
    return make_run(codes=("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT"), cells=800)


def test_a_specimen_says_what_is_named_first_and_both_are_told_where_it_overrules(differential_run):
    plain = np.full(8, 0.01)
    plain[[3, 6]] = 0.5, 0.44  # an immature granulocyte, or a neutrophil
    for specimen, named in ((None, 3), (SPECIMENS["any"], 3), (ADULT_BLOOD, 6), (SPECIMENS["marrow"], 6)):
        predictor = Predictor(differential_run, specimen=specimen)
        probabilities, (verdict,), _ = predictor.decide(evidence_of(plain), Laboratory(known=True))
        assert probabilities.argmax() == named
        assert probabilities.sum() == pytest.approx(1)
        assert (verdict.kind, set(verdict.classes) >= {3, 6}) == ("unsure", True)


def test_an_immature_cell_in_blood_is_never_sure_and_must_be_seen(differential_run):
    plain = np.full(8, 1e-9)
    plain[3] = 1 - 7e-9
    for key, at, must_be_seen in (
        ("blood", 0.95, True),
        ("newborn", IMMATURE_AT_HOME, True),
        ("blood", 0.02, False),
        ("marrow", 0.95, False),
        ("any", 0.95, False),
    ):
        predictor = Predictor(differential_run, specimen=SPECIMENS[key])
        evidence = evidence_of(plain, immature=[at])
        (verdict,) = predictor.decide(evidence, Laboratory(known=True))[1]
        assert (verdict.immature, verdict.must_be_seen) == (must_be_seen, must_be_seen), key
        assert verdict.kind == ("unsure" if must_be_seen else "sure"), key
        (elsewhere,) = predictor.decide(evidence, Laboratory(known=False))[1]
        assert elsewhere.immature is (must_be_seen and at >= IMMATURE_ELSEWHERE)


def test_the_documents_tell_the_specimen_and_what_must_be_seen(differential_run):
    predictor = Predictor(differential_run, specimen=ADULT_BLOOD)
    predictions, laboratory = answer(predictor, [reddish(0.1)])
    (prediction,) = predictions
    seen = replace(prediction, verdict=replace(prediction.verdict, kind="unsure", classes=(0, 3), immature=True))
    document = to_json([Answered([seen])], [predictor], [laboratory])
    assert document["specimen"] == {"key": "blood", "title": "blood of an adult", "said": True}
    assert document["results"][0]["must_be_seen"] is True
    assert "look yourself" in document["results"][0]["notes"][0]
    unsaid = to_json([Answered([prediction])], [Predictor(differential_run)], [laboratory])
    assert (unsaid["specimen"]["key"], unsaid["specimen"]["said"]) == ("any", False)


def test_a_calibration_or_a_detector_of_another_kind_of_run_is_told(make_run):
    run, other = make_run(), make_run("other-64-000001")
    (other.path / "weights.safetensors").write_bytes(b"of another")
    write_calibration(run)
    shutil.copy(run.external_calibration_path, other.external_calibration_path)
    assert "made for another run" in Predictor(other).problems[0]
    assert not Predictor(run).problems
    pictures = home_pictures(60, run.size)
    fit_detector(None, np.arange(30) % 3, None, pictures[:30], pictures[30:]).save(run.ood_path)  # as a combination's
    assert "made for another run" in Predictor(run).problems[0]


def test_marrow_is_calibrated_as_anything_and_told_so(make_run):
    run = make_run(codes=("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT"), cells=800)
    blood, anything = (SpecimenCalibration(1.0, threshold, 0.1, 0.5, 0.6) for threshold in (0.7, 0.9))
    ExternalCalibration(("a", "b"), blood, anything).save(run.external_calibration_path)
    place = Laboratory(known=False, pictures=20)
    for key, threshold, mixed in (("newborn", 0.7, "adult's blood"), ("marrow", 0.9, "as many of each class")):
        predictor = Predictor(run, specimen=SPECIMENS[key])
        assert predictor.thresholds_at(place)[1] == threshold
        assert mixed in predictor.laboratory_note(place)


def test_with_a_profile_immature_is_told_as_at_another_laboratory(differential_run):
    plain = np.full(8, 1e-9)
    plain[3] = 1 - 7e-9
    evidence = evidence_of(plain, immature=[(IMMATURE_AT_HOME + IMMATURE_ELSEWHERE) / 2])
    for options, immature in (({}, True), ({"head": AsItIs(), "threshold": 0.9, "name": "ward"}, False)):
        predictor = Predictor(differential_run, specimen=ADULT_BLOOD, **options)
        assert predictor.decide(evidence, Laboratory(known=True))[1][0].immature is immature
