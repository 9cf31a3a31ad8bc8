"""The tray: what was dropped, what failed, what the models said; and the files made of it."""

import csv
import io
import json
from collections import Counter
from dataclasses import replace
from weakref import WeakSet

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.datasets import get_dataset
from core.images.cell_check import CellCheck
from core.inference.laboratory import Laboratory
from core.inference.predictor import Predictor, Verdict
from dashboard.classify import grouped
from dashboard.classify.gallery import TILE, crop_tile
from dashboard.classify.results import as_csv, as_json
from dashboard.session import BATCH, UploadFraming, UploadSession
from tests.stub_runs import make_run, write_alarm

SPEC = get_dataset("bloodmnist")
RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (130, 128, 126)
NUCLEUS = (60, 0, 255)
__all__ = ["make_run"]
pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")


def png(colour, side=64, mark=0):
    image = Image.new("RGB", (side, side), colour)
    ImageDraw.Draw(image).ellipse([side * 0.4] * 2 + [side * 0.6] * 2, fill=NUCLEUS)
    image.putpixel((0, 0), (mark, 1, 2))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def finish(tray, runs):
    while tray.busy(runs):
        steps = list(tray.work(runs, SPEC))
    return steps


@pytest.fixture
def run(make_run):
    return Predictor(make_run())


def filled(*colours):
    tray = UploadSession()
    tray.enqueue([(f"{n}.png", png(c, mark=n)) for n, c in enumerate(colours)])
    return tray


def test_files_become_answered_cells_in_the_order_of_arrival(run):
    tray = filled(RED, GREEN, BLUE)
    last = finish(tray, [run])[-1]
    assert last.done == last.total
    assert last.message == "3 of 3 cells"
    answered = tray.results([run])
    assert [a.cell.name for a in answered] == ["0.png", "1.png", "2.png"]
    assert [SPEC.codes[a.lead.predicted] for a in answered] == ["BA", "EO", "ERB"]
    assert all(a.lead.sure and a.agree and not a.to_check for a in answered)
    assert answered[0].lead.crop.pixels.shape == (64, 64, 3)
    assert not tray.busy([run])


def test_work_stops_when_its_time_is_up_and_goes_on_later(run):
    tray = filled(*[RED] * (3 * BATCH))
    assert len(list(tray.work([run], SPEC, seconds=0))) == 1
    assert len(tray.results([run])) == BATCH
    assert tray.busy([run])
    finish(tray, [run])
    assert len(tray.results([run])) == 3 * BATCH


def test_stopping_keeps_what_is_done(run):
    tray = filled(*[RED] * (2 * BATCH))
    next(tray.work([run], SPEC))
    tray.stop()
    assert not tray.busy([run])
    assert tray.stats.unread == BATCH
    assert len(tray.results([run])) == BATCH


def test_a_second_model_answers_what_is_there(run, make_run):
    tray = filled(RED, GREEN)
    finish(tray, [run])
    swapped = np.zeros((3, 8))
    swapped[0, 0], swapped[1, 4] = 20, 20
    other = Predictor(make_run("other-28-111111", size=28, weights=swapped))
    assert tray.busy([run, other])
    assert tray.results([run, other]) == []
    finish(tray, [run, other])
    first, second = tray.results([run, other])
    assert first.agree
    assert not second.agree
    assert second.to_check
    assert second.predictions[1].crop.pixels.shape == (28, 28, 3)


def test_the_same_bytes_are_one_cell(run):
    tray = UploadSession()
    tray.enqueue([("a.png", png(RED)), ("b.png", png(RED))])
    finish(tray, [run])
    assert len(tray.cells) == 1
    assert tray.stats.duplicates == 1
    tray.enqueue([("c.png", png(GREEN))])
    finish(tray, [run])
    assert tray.stats.duplicates == 0
    assert tray.stats.last_id == list(tray.cells)[-1]


def test_failures_are_kept_once_with_reason_and_advice(run):
    tray = UploadSession()
    tray.enqueue([("bad.png", b"some text"), ("bad.png", b"some text"), ("good.png", png(RED))])
    finish(tray, [run])
    (failure,) = tray.failures.values()
    assert failure.name == "bad.png"
    assert failure.reason
    assert failure.advice
    assert len(tray.results([run])) == 1


def test_two_broken_files_of_one_name_are_two_failures():
    tray = UploadSession()
    tray.add_file("img.tif", b"some text")
    tray.add_file("img.tif", b"another text")
    assert [failure.name for failure in tray.failures.values()] == ["img.tif"] * 2


def test_a_full_tray_says_so(run, monkeypatch):
    monkeypatch.setattr("dashboard.session.KEPT_BYTES", 20_000)
    tray = filled(*[RED] * 4)
    finish(tray, [run])
    assert 1 < len(tray.cells) < 4
    assert "no room" in next(iter(tray.failures.values())).reason


def test_all_visitors_together_have_one_room(run, monkeypatch):
    others = [filled(RED), filled(RED)]
    for tray in others:
        finish(tray, [run])
    kept = sum(cell.pixels.nbytes for tray in others for cell in tray.cells.values())
    monkeypatch.setattr("dashboard.session._OPEN", WeakSet(others))
    monkeypatch.setattr("dashboard.session.ALL_KEPT_BYTES", kept - 1)
    tray = filled(RED)
    finish(tray, [run])
    assert "visitors together" in next(iter(tray.failures.values())).reason
    others[0].clear()
    another = filled(RED)
    finish(another, [run])
    assert not another.failures


def test_framing_is_each_cells_own_or_everyones(run):
    tray = UploadSession()
    identity = tray.add_cell("big", np.zeros((363, 360, 3), np.uint8), None, "uploaded")
    other = tray.add_cell("other", np.ones((363, 360, 3), np.uint8), None, "uploaded")
    finish(tray, [run])
    tray.set_mode(identity, "whole")
    assert list(tray.pending(run)) == [identity]
    finish(tray, [run])
    boxes = {a.cell.id: a.lead.crop.box for a in tray.results([run])}
    assert boxes == {identity: (0, 2, 360, 362), other: (80, 82, 280, 282)}
    tray.use_mode_for_all("whole")
    assert list(tray.pending(run)) == [other]


def test_removing_and_clearing(run):
    tray = filled(RED, GREEN)
    finish(tray, [run])
    tray.remove(next(iter(tray.cells)))
    assert [a.cell.name for a in tray.results([run])] == ["1.png"]
    tray.clear()
    assert not tray.cells
    assert not tray.results([run])


def test_the_wall_begins_with_what_to_check_and_goes_on_by_class(run):
    tray = filled(BLUE, RED, GREY, GREEN, RED)
    finish(tray, [run])
    groups = grouped(tray.results([run]))
    assert [(number, [a.cell.name for a in cells]) for number, cells in groups] == [
        ("check", ["2.png"]),
        (0, ["1.png", "4.png"]),
        (1, ["3.png"]),
        (2, ["0.png"]),
    ]


def test_by_class_the_doubtful_stand_first_in_their_class(run):
    tray = filled(BLUE, RED, (255, 228, 228), GREEN, RED)
    finish(tray, [run])
    groups = grouped(tray.results([run]), by_class=True)
    assert [(number, [a.cell.name for a in cells]) for number, cells in groups] == [
        (0, ["2.png", "1.png", "4.png"]),
        (1, ["3.png"]),
        (2, ["0.png"]),
    ]


def test_any_models_alarm_comes_first_and_what_is_no_cell_last(run, make_run):
    second = make_run("careful-64-000000")
    write_alarm(second)
    tray = filled(GREEN, RED, BLUE)
    runs = [run, Predictor(second)]
    finish(tray, runs)
    results = tray.results(runs)
    assert results[2].lead.sure
    assert (results[2].is_urgent, results[2].kind, results[2].to_check) == (True, "unsure", True)
    blank = replace(results[0].lead, verdict=Verdict("not_a_cell", (), check=CellCheck("blank", 0.0)))
    groups = grouped([replace(results[0], predictions=(blank, blank)), *results[1:3]])
    assert [(number, [a.cell.name for a in cells]) for number, cells in groups] == [
        ("alarm", ["2.png"]),
        (0, ["1.png"]),
        ("not_a_cell", ["0.png"]),
    ]


def test_a_tile_shows_what_lies_in_the_frame(run):
    tray = UploadSession()
    pixels = np.zeros((363, 360, 3), np.uint8)
    pixels[82:282, 80:280] = (255, 0, 0)
    tray.add_cell("framed", pixels, None, "uploaded")
    finish(tray, [run])
    (answered,) = tray.results([run])
    assert crop_tile(answered).shape == (TILE, TILE, 3)
    assert (crop_tile(answered) == (255, 0, 0)).all()


def test_files_to_keep(run):
    tray = filled(RED, GREY)
    tray.enqueue([("@formula.png", b"text text")])
    tray.add_cell("sample", np.full((64, 64, 3), (0, 255, 0), np.uint8), "EO", "drawn, not real")
    finish(tray, [run])
    answered, failures = tray.results([run]), list(tray.failures.values())
    rows = list(csv.DictReader(io.StringIO(as_csv(answered, failures, [run], [Laboratory()]).decode("utf-8-sig"))))
    by_file = {r["file"]: r for r in rows}
    assert by_file["0.png"]["class"] == "BA"
    assert by_file["0.png"]["verdict"] == "sure"
    assert by_file["1.png"]["verdict"] == "unsure"
    assert by_file["sample"]["class"] == "EO"
    assert by_file["'@formula.png"]["error"].startswith("this is text")
    assert sum(float(by_file["1.png"][f"p_{c}"]) for c in SPEC.codes) == pytest.approx(1, abs=1e-3)
    found = json.loads(as_json(answered, failures, [run], [tray.laboratory(run)]))
    assert {result["file"]: result.get("true_class") for result in found["results"]} == {
        "0.png": None,
        "1.png": None,
        "sample": "EO",
        "@formula.png": None,
    }
    assert found["results"][-1]["error"].startswith("this is text")
    assert found["classes"]["NE"] == "neutrophil"


@pytest.mark.parametrize("count", [64, 256])
def test_a_picture_of_a_large_drop_is_placed_as_often_as_one_of_a_small_drop(run, count, monkeypatch):
    calls = Counter()

    def count_calls(owner, method):
        original = getattr(owner, method)

        def counted(*arguments):
            calls[f"{owner.__name__}.{method}"] += 1
            return original(*arguments)

        monkeypatch.setattr(owner, method, counted)

    for owner, method in ((UploadSession, "_window"), (UploadFraming, "window"), (UploadFraming, "known_window")):
        count_calls(owner, method)
    tray = UploadSession()
    tray.enqueue([(f"{n}.png", png(RED, mark=n, side=99)) for n in range(count)])  # a side that is no data set's
    finish(tray, [run])
    assert len(tray.results([run])) == count
    assert calls["UploadFraming.window"] >= count
    assert max(calls.values()) <= 3 * count


def test_the_bytes_kept_are_those_of_the_pictures(run):
    tray, other = filled(RED, GREEN, BLUE), UploadSession()
    finish(tray, [run])
    tray.move_to(list(tray.cells.values())[:1], other)
    tray.remove(next(iter(tray.cells)))
    for session in (tray, other):
        assert session._bytes == sum(cell.pixels.nbytes for cell in session.cells.values()) == 64 * 64 * 3
