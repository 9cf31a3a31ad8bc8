"""One verdict: a picture of a batch is answered alike on Classify, on Explain and in the shell."""

import json

import pytest

from core.cli import main
from core.inference.predictor import Predictor
from tests.pages.driving import drop, opened, png, texts
from tests.stub_runs import (
    as_files,
    foreign_pictures,
    home_pictures,
    write_alarm,
    write_calibration,
    write_detector,
)


@pytest.fixture
def doubting(make_run, tmp_path, monkeypatch):
    """The one shipped run, which doubts by all there is to doubt by; no network, so that nothing of it is drawn."""
    run = make_run(kind="classical")
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(run.path.parent.parent))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    write_detector(run)
    write_calibration(run, temperature=3.0, confidence_threshold=0.8)
    write_alarm(run, bias=-16.0)
    return run


def explained(classify, run):
    """Explain, as one comes to it from the cell that ``classify`` shows."""
    next(b for b in classify.button if b.label == "Explain this cell").click().run()
    state = {key: classify.session_state[key] for key in ("_handed_image", "classify_trays", "_kept")}
    return opened("explain", state, models=run.name)


@pytest.mark.usefixtures("any_picture_is_a_cell")
@pytest.mark.parametrize("pictures", [home_pictures, foreign_pictures])
def test_every_way_says_the_same_of_a_batch(doubting, tmp_path, capsys, pictures):
    files = as_files(pictures(31))
    classify = opened("classify")
    drop(classify, *files)
    session = classify.session_state["classify_trays"]["bloodmnist"]
    on_page = {r.cell.name: r.lead for r in session.results([Predictor(doubting)])}
    listed = Predictor(doubting).predict([data for _, data in files])
    for (name, _), prediction in zip(files, listed, strict=True):
        assert on_page[name].verdict == prediction.verdict
        assert (on_page[name].probabilities == prediction.probabilities).all()
    for name, data in files:
        (tmp_path / name).write_bytes(data)
    assert main(["predict", "--json", "--image-path", str(tmp_path / "*.png")]) == 0
    document = json.loads(capsys.readouterr().out)
    told = {result["file"].rsplit("/", 1)[1]: result for result in document["results"]}
    for name, lead in on_page.items():
        assert told[name]["verdict"] == lead.verdict.kind
        assert told[name]["set"] == [doubting.codes[k] for k in lead.prediction_set]
        assert told[name]["alarm"]["raised"] == lead.verdict.alarm.raised
    assert {lead.verdict.alarm.raised for lead in on_page.values()} == {True, False}
    assert document["laboratory"]["known"] is (pictures is home_pictures)
    shown = on_page[session.cells[classify.session_state["classify_cell"]].name]
    said = texts(explained(classify, doubting))
    assert f"**Stub, 64 px**: {doubting.codes[shown.predicted]}," in said
    assert f", {shown.verdict.word}" in said


def test_what_is_no_cell_on_classify_is_none_on_explain(doubting):
    classify = opened("classify")
    drop(classify, ("blank.png", png((240, 240, 240), nucleus=(240, 240, 240))))
    assert classify.header[0].value.startswith("0 cells: 0 sure, 0 unsure")
    assert classify.subheader[0].value.startswith("Not a cell")
    assert "**Stub, 64 px**: not a cell" in texts(explained(classify, doubting))
