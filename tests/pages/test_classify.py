"""The Classify page, driven as a visitor would: drops, samples, models, framing, downloads."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit import config
from streamlit.testing.v1 import AppTest

from core import paths
from core.images.cell_check import CellCheck
from core.images.remembered_scales import RememberedScale, remembered_scales
from core.inference import engine
from core.inference.predictor import Predictor
from dashboard.classify.results import as_csv, as_json, offer_text
from tests.core.images.test_framing import smear
from tests.pages.driving import PAGES, TIMEOUT, drop, opened, png, texts
from tests.stub_runs import (
    as_files,
    foreign_pictures,
    home_pictures,
    write_alarm,
    write_calibration,
    write_detector,
)

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)  # BA, EO and ERB to the stub model


@pytest.fixture
def page(run):
    return opened("classify")


def heading(page):
    return page.header[0].value


def button(page, label):
    return next(b for b in page.button if b.label == label)


def downloaded(page, make, runs):
    """What the download button's function gives (only a browser presses the button itself)."""
    assert {b.label for b in page.get("download_button")} == {"Download results (CSV)", "Download results (JSON)"}
    tray = page.session_state["classify_trays"]["bloodmnist"]
    readers = [Predictor(run) for run in runs]
    laboratories = [tray.laboratory(reader) for reader in readers]
    scale = tray.batch_scale(readers[0])
    return make(tray.results(readers), list(tray.failures.values()), readers, laboratories, scale)


def test_before_anything_there_are_a_drop_zone_and_samples(page):
    assert not page.exception
    assert len(page.file_uploader) == 2
    assert "whole folder" in page.file_uploader[0].label
    assert [b.label for b in page.button] == ["BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT", "Take all 8"]
    assert "drawn cells, not real" in texts(page)
    assert "never leave this computer" in texts(page)
    assert not page.header


def test_one_cell_goes_straight_to_its_card(page):
    drop(page, ("cell.png", png(RED)))
    assert heading(page) == "1 cell: 1 sure, 0 unsure"
    assert "BA  basophil, \\> 99 % :green-badge[sure]" in page.subheader[0].value
    said = texts(page)
    assert "Your picture, 360 x 363 px" in said
    assert "What the model saw, 64 px" in said
    assert "The central 200 x 200 px were used" in said
    assert " ms." in said
    assert "100 %" not in said
    assert not [b for b in page.button if b.label == "Next"]


def test_many_cells_are_counted_and_the_unsure_ones_come_first(page):
    grey = (156, 128, 126)
    drop(page, ("a.png", png(RED)), ("b.png", png(grey)), ("c.png", png(GREEN)), ("d.png", png(RED, mark=1)))
    assert heading(page) == "4 cells: 3 sure, 1 unsure"
    assert "unsure" in page.subheader[0].value
    assert "1 of 4" in texts(page)
    counts = page.dataframe[0].value.set_index("Code")
    assert counts.loc[["BA", "EO", "ERB"], "Cells"].tolist() == [3, 1, 0]
    assert counts["Unsure"].sum() == 1
    assert page.dataframe[1].value["File"].tolist()[0] == "b.png"


def test_the_buttons_step_through_and_around(page):
    drop(page, ("a.png", png(RED)), ("b.png", png(GREEN)), ("c.png", png(BLUE)))
    seen = []
    for _ in range(4):
        seen.append(page.subheader[0].value.split()[0])
        button(page, "Next").click().run()
    assert seen == ["BA", "EO", "ERB", "BA"]
    button(page, "Previous").click().run()
    assert page.subheader[0].value.startswith("BA")


def test_bad_files_are_listed_and_the_good_ones_answered(page):
    drop(page, ("good.png", png(RED)), ("notes.png", b"a text " * 50), ("empty.tif", b""), ("cut.png", png(RED)[:300]))
    assert heading(page).startswith("1 cell:")
    failed = page.dataframe[0].value
    assert failed["File"].tolist() == ["notes.png", "empty.tif", "cut.png"]
    assert all(failed["What to do"].str.len() > 10)


def test_only_bad_files_leave_the_samples_in_reach(page):
    drop(page, ("notes.png", b"a text " * 50))
    assert "None of the files could be used" in texts(page)
    assert page.dataframe[0].value["File"].tolist() == ["notes.png"]
    assert "Take all 8" in [b.label for b in page.button]


def test_the_same_file_twice_counts_once(page):
    drop(page, ("a.png", png(RED)), ("again.png", png(RED)))
    assert heading(page).startswith("1 cell:")
    assert "1 picture was here already and counted once" in texts(page)
    drop(page, ("b.png", png(GREEN)), ("a.png", png(RED)))
    assert heading(page).startswith("2 cells:")


def test_a_later_drop_adds_and_is_shown(page):
    drop(page, ("a.png", png(RED)), ("b.png", png(GREEN)))
    drop(page, ("c.png", png(BLUE)))
    assert heading(page).startswith("3 cells:")
    assert page.subheader[0].value.startswith("ERB")


def test_two_hundred_files_at_once(page):
    drop(page, *((f"{i:03d}.png", png([RED, GREEN, BLUE][i % 3], width=64, height=64, mark=i)) for i in range(200)))
    assert heading(page) == "200 cells: 200 sure, 0 unsure"
    assert len(page.get("imgs")) <= 4
    assert page.dataframe[0].value["Cells"].sum() == 200


def test_shares_are_of_the_white_cells_and_add_up(page):
    drop(page, *((f"{i}.png", png([RED, GREEN, BLUE][(i > 4) + (i > 6)], mark=i)) for i in range(9)))
    table = page.dataframe[0].value.set_index("Code")
    assert table["Cells"].sum() == 9
    assert table.loc[["BA", "EO"], "Share"].tolist() == [71.4, 28.6]
    assert round(table["Share"].sum(), 6) == 100
    assert table.loc[["ERB", "PLT"], "Share"].isna().all()
    low, high = (float(bound) for bound in table.loc["EO", "95 % interval"].split(" to "))
    assert 0 < low < 28.6 < high < 80
    said = texts(page)
    assert "7 white cells; 2 erythroblasts, 28.6 per 100 of them (" in said
    assert "review rule" not in said  # nobody said what the specimen is


def test_a_specimen_brings_its_review_rules(page):
    next(box for box in page.selectbox if "adult" in " ".join(map(str, box.options))).set_value("blood")
    drop(page, *((f"{i}.png", png([RED, GREEN][i % 2], mark=i)) for i in range(9)))
    said = texts(page)
    assert "BA 55.6 % (5 cells): above 3 %, review rule" in said
    assert "EO 44.4 % (4 cells): above 6 %, reference range" in said
    limits = paths.cache_root() / "limits.json"
    limits.parent.mkdir(parents=True, exist_ok=True)
    limits.write_text('{"version": 1, "limits": []}')
    page.run()
    assert "review rule" not in texts(page)
    limits.write_text("no table")
    page.run()
    assert "can't be read as a table of limits" in page.warning[0].value


def test_samples_are_answered_with_their_label(page):
    button(page, "NE").click().run()
    assert heading(page).startswith("1 cell:")
    assert "Labelled neutrophil (drawn, not real)" in texts(page)
    button(page, "Yes, clear all").click().run()
    button(page, "Take all 8").click().run()
    assert heading(page).startswith("8 cells:")


def test_clearing_and_removing(page):
    drop(page, ("a.png", png(RED)), ("b.png", png(GREEN)))
    button(page, "Remove").click().run()
    assert heading(page).startswith("1 cell:")
    button(page, "Remove").click().run()
    assert not page.exception
    assert "Take all 8" in [b.label for b in page.button]
    drop(page, ("a.png", png(RED)), ("bad.png", b"x" * 100))
    button(page, "Yes, clear all").click().run()
    assert not page.header
    assert not page.dataframe


def test_framing_can_be_changed_for_one_cell_and_for_all(page):
    drop(page, ("a.png", png(RED)), ("b.png", png(GREEN)))
    page.get("button_group")[0].set_value("whole").run()
    assert not page.exception
    assert "360 px was used, as you asked" in texts(page)
    button(page, "Next").click().run()
    assert "200 x 200 px were used" in texts(page)
    button(page, "Previous").click().run()
    button(page, "Use for all cells").click().run()
    button(page, "Next").click().run()
    assert "360 px was used, as you asked" in texts(page)


def test_another_framing_of_one_cell_keeps_it_on_the_card_and_says_what_changed(page):
    drop(page, ("a.png", ringed()), ("b.png", png(RED, mark=1)), ("c.png", png(RED, mark=2)))
    for _ in range(2):  # the first cell is shown because it is first, not because it was chosen
        page.run()
    shown = page.session_state["classify_cell"]
    before = page.subheader[0].value
    name = next(c.name for c in page.session_state["classify_trays"]["bloodmnist"].cells.values() if c.id == shown)
    while name != "a.png":
        button(page, "Next").click().run()
        shown, before = page.session_state["classify_cell"], page.subheader[0].value
        cells = page.session_state["classify_trays"]["bloodmnist"].cells
        name = cells[shown].name
    assert before.startswith("BA")
    assert "Its class changed" not in texts(page)
    page.get("button_group")[0].set_value("whole").run()
    assert page.session_state["classify_cell"] == shown
    assert page.subheader[0].value.startswith("EO")
    assert "Its class changed with what is cut out: before, it was **BA**, basophil." in texts(page)
    assert "Cut out so, 1 cell has another class: 1 from BA to EO." in texts(page)
    button(page, "Cut as before").click().run()
    assert page.session_state["classify_cell"] == shown
    assert page.subheader[0].value == before
    assert "another class" not in texts(page)


def ringed() -> bytes:
    """A picture that is red in the middle and green around: another class where all of it is cut out."""
    image = Image.open(io.BytesIO(png(GREEN, width=360, height=363)))
    image.paste(RED, (80, 81, 280, 282))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_framing_for_all_ends_with_the_pictures_that_it_was_for(page):
    drop(page, *strange_lab())
    page.toggle[0].set_value(False).run()
    assert "cut by their shape" in texts(page)
    button(page, "Yes, clear all").click().run()
    drop(page, *strange_lab())
    assert "cut by their shape" not in texts(page)
    assert page.toggle[0].value


def test_clearing_asks_first(page):
    drop(page, ("a.png", png(RED)), ("b.png", png(GREEN)))
    assert "This page forgets 2 pictures and all that was answered" in texts(page)
    assert page.session_state["_unsaved"] == {"pictures on Classify"}
    button(page, "Yes, clear all").click().run()
    assert not page.session_state["_unsaved"]


def test_a_folder_is_taken_whole_without_what_systems_leave_in_it(page):
    for name, data in (("slide/a.png", png(RED)), ("slide/in/b.png", png(GREEN)), ("slide/.DS_Store", b"x" * 99)):
        page.file_uploader[1].upload(name, data)
    page.run()
    assert heading(page) == "2 cells: 2 sure, 0 unsure"
    assert not [p for p in page.get("popover") if "not used" in str(p)]
    assert set(page.dataframe[1].value["File"]) == {"slide/a.png", "slide/in/b.png"}


PLACES = [(0.4, 0.5), (0.6, 0.4), (0.5, 0.6), (0.35, 0.35), (0.6, 0.6), (0.5, 0.5)]


def strange_lab():
    """Files of 300 x 300 px with a nucleus at each of `PLACES`."""
    return [(f"{n}.png", png(GREEN, width=300, height=300, at=at)) for n, at in enumerate(PLACES)]


def boxes(page):
    """Where the frames lie, by file."""
    tray = page.session_state["classify_trays"]["bloodmnist"]
    (predictions,) = tray._predictions.values()
    return {cell.name: predictions[cell.id].crop.box for cell in tray.cells.values()}


def test_a_drop_from_elsewhere_is_cut_at_one_size_round_its_cells(page):
    drop(page, *strange_lab())
    assert "Your pictures: red cells can't be measured, so squares of" in texts(page)
    assert len({right - left for left, _, right, _ in boxes(page).values()}) == 1
    for name, (left, top, right, bottom) in boxes(page).items():
        x, y = PLACES[int(name[0])]
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((300 * x, 300 * y), abs=4)


def test_the_side_can_be_set_by_hand_and_the_search_switched_off(page):
    drop(page, *strange_lab())
    page.number_input(key="classify_side").set_value(120).run()
    assert "squares of 120 px were cut round each cell, as you set it" in texts(page)
    assert {right - left for left, _, right, _ in boxes(page).values()} == {120}
    button(page, "Yes, clear all").click().run()
    drop(page, *strange_lab())
    assert "squares of 120 px" not in texts(page)  # the next drop may be of another microscope
    page.number_input(key="classify_side").set_value(120).run()
    button(page, "As measured").click().run()
    assert "squares of 120 px" not in texts(page)
    page.toggle[0].set_value(False).run()
    assert not page.exception
    assert "cut by their shape, without looking for the cell" in texts(page)
    assert set(boxes(page).values()) == {(0, 0, 300, 300)}
    assert not page.number_input


def test_a_picture_without_a_cell_says_so_on_the_card_and_in_the_list(page):
    blank = io.BytesIO()
    Image.new("RGB", (360, 363), RED).save(blank, "PNG")
    drop(page, ("blank.png", blank.getvalue()), ("cell.png", png(GREEN)))
    assert heading(page) == "2 cells: 1 sure, 1 unsure, no white cell found in 1"
    assert "no white cell found: look yourself" in page.subheader[0].value
    assert "No white cell was found here." in texts(page)
    table = page.dataframe[1].value.set_index("File")
    assert table["Look yourself"].to_dict() == {"blank.png": "no white cell found", "cell.png": ""}


def test_what_may_be_abnormal_comes_first_then_the_doubtful(page, run):
    write_alarm(run, bias=-30.0)  # raised where a picture is plainly blue
    mixed, blue = (156, 128, 126), (0, 0, 255)
    drop(page, ("a.png", png(GREEN)), ("b.png", png(mixed)), ("c.png", png(blue)), ("d.png", png(RED)))
    assert heading(page) == "4 cells: 2 sure, 2 unsure, 1 may be abnormal"
    assert page.subheader[0].value.startswith("ERB  erythroblast")
    assert ":red-badge[may be abnormal]" in page.subheader[0].value
    assert "This may be an abnormal cell" in page.warning[0].value
    counts = page.dataframe[0].value.set_index("Code")
    assert counts["May be abnormal"].to_dict() == {code: int(code == "ERB") for code in counts.index}
    assert page.dataframe[1].value["File"].tolist()[:2] == ["c.png", "b.png"]
    assert page.dataframe[1].value["Look yourself"].tolist() == ["may be abnormal", "", "", ""]
    rows = list(csv.DictReader(io.StringIO(downloaded(page, as_csv, [run]).decode("utf-8-sig"))))
    assert {r["file"]: (r["verdict"], r["alarm"]) for r in rows} == {
        "a.png": ("sure", "no"),
        "b.png": ("unsure", "no"),
        "c.png": ("unsure", "yes"),
        "d.png": ("sure", "no"),
    }
    answer = json.loads(downloaded(page, as_json, [run]))["results"][2]
    assert answer["alarm"] == {"score": pytest.approx(1, abs=0.01), "raised": True}
    assert answer["set"][0] == "ERB"


def test_an_odd_cell_says_so_and_comes_before_the_sure(page, run):
    write_detector(run)
    pictures = list(home_pictures(40))
    pictures[7] = np.clip(pictures[7].astype(int) + [0, 40, 90], 0, 255).astype(np.uint8)
    drop(page, *as_files(pictures))
    assert "odd among its like" in page.dataframe[1].value.set_index("File").loc["007.png", "Look yourself"]
    order = page.dataframe[1].value["File"].tolist()
    assert order.index("007.png") < 3
    assert "come from another microscope" not in texts(page)


def test_another_laboratory_is_told_in_one_line(page, run):
    write_detector(run)
    write_calibration(run, confidence_threshold=0.5)
    drop(page, *as_files(foreign_pictures(30)))
    (told,) = [i.value for i in page.info if "another microscope" in i.value]
    assert told.startswith("These 30 pictures come from another microscope or stain than the model's.")
    assert "72 to 84 %" in told
    assert "Adapt HemaLens" not in texts(page)  # no such page here
    assert heading(page) == "30 cells: 20 sure, 10 unsure"  # blue ones are taken for erythroblasts
    assert "Weighed as blood of an adult, as nobody said otherwise. 10 cells must be seen" in texts(page)
    found = json.loads(downloaded(page, as_json, [run]))
    assert found["laboratory"]["known"] is False
    assert found["models"][0]["laboratory"] == found["laboratory"]


def test_a_link_to_no_specimen_says_none(page):
    page.query_params["specimen"] = "rubbish"
    page.run()
    assert page.selectbox(key="specimen").value == ""
    assert "specimen that isn't here: 'rubbish'; none is said" in texts(page)
    assert "specimen" not in page.query_params


def test_another_specimen_is_answered_without_reading_a_picture_again(page, run, monkeypatch):
    write_detector(run)
    write_calibration(run, confidence_threshold=0.5)
    drop(page, *as_files(foreign_pictures(30)))

    def fail(*_args, **_options):
        raise AssertionError("a picture was read again")

    for name in ("logits_and_embeddings", "encode"):
        monkeypatch.setattr(engine, name, fail)
    page.selectbox(key="specimen").set_value("newborn").run()
    assert "Weighed as blood of a newborn. 10 cells must be seen" in texts(page)
    assert heading(page) == "30 cells: 20 sure, 10 unsure"
    page.selectbox(key="specimen").set_value("any").run()
    assert heading(page) == "30 cells: 30 sure, 0 unsure"
    assert "Weighed as" not in texts(page)


def test_only_what_may_be_a_field_is_offered_to_the_models_of_fields(page, monkeypatch):
    wide = png(GREEN, width=1024, height=768)
    drop(page, ("field.png", wide))
    assert "1 picture (1024 x 768 px) shows a whole microscope field" in texts(page)
    button(page, "Yes, clear all").click().run()
    monkeypatch.setattr(
        "core.inference.predictor.check_pictures",
        lambda pictures, _crops, spec: [CellCheck("photograph", 0.0, spec.unit) for _ in pictures],
    )
    drop(page, ("page.png", wide))
    assert heading(page) == "0 cells: 0 sure, 0 unsure; 1 picture shows no cell"
    assert page.subheader[0].value.startswith("Not a cell")
    assert "microscope field" not in texts(page)


def test_small_squares_of_fields_are_offered_to_the_models_of_fields(page, run, monkeypatch):
    """By what they show: 224 px are as much as a crop has."""
    write_detector(run)
    monkeypatch.setattr(
        "core.inference.predictor.check_pictures",
        lambda pictures, _crops, spec: [CellCheck("field", 0.0, spec.unit) for _ in pictures],
    )
    drop(page, *((f"{n}.png", png(GREEN, n, width=224, height=224)) for n in range(12)))
    assert "12 pictures (224 x 224 px) show whole microscope fields" in texts(page)
    assert "another microscope" not in texts(page)


def test_a_broken_alarm_is_told_and_the_cells_are_answered(page, run):
    run.alarm_path.write_bytes(b"no graph")
    drop(page, ("a.png", png(RED)))
    assert heading(page) == "1 cell: 0 sure, 1 unsure"
    assert any("core alarm" in w.value and "no answer is sure" in w.value for w in page.warning)


def test_several_models_side_by_side_and_where_they_disagree(run, make_run):
    swapped = np.zeros((3, 8))
    swapped[0, 0], swapped[1, 4] = 20, 20  # red BA as before, green LY instead of EO
    other = make_run("other-28-111111", size=28, weights=swapped)
    page = AppTest.from_file(str(PAGES / "classify.py"), default_timeout=TIMEOUT)
    page.query_params["model"] = f"{run.name},{other.name}"
    page.run()
    drop(page, ("a.png", png(RED)), ("b.png", png(GREEN)))
    assert heading(page) == "2 cells: 2 sure, 0 unsure, models disagree on 1"
    assert page.subheader[0].value.startswith("EO")
    assert ":orange-badge[models disagree]" in page.subheader[0].value
    said = texts(page)
    assert "What the model saw, 64 px" in said
    assert "What the model saw, 28 px" in said
    assert len(page.get("plotly_chart")) == 2  # each model's bars
    rows = list(csv.DictReader(io.StringIO(downloaded(page, as_csv, [run, other]).decode("utf-8-sig"))))
    assert [(r["file"], r["class"], r["models_agree"]) for r in rows if r["model"] == other.name] == [
        ("a.png", "BA", "yes"),
        ("b.png", "LY", "no"),
    ]


def test_a_link_to_a_model_that_is_not_there_is_told(run):
    page = AppTest.from_file(str(PAGES / "classify.py"), default_timeout=TIMEOUT)
    page.query_params["model"] = "nosuchmodel"
    page.run()
    assert not page.exception
    assert "nosuchmodel" in texts(page)
    drop(page, ("a.png", png(RED)))
    assert heading(page).startswith("1 cell:")


def test_results_can_be_kept(page, run):
    drop(page, ("=cmd.png", png(RED)), ("bad.png", b"x" * 100))
    rows = list(csv.DictReader(io.StringIO(downloaded(page, as_csv, [run]).decode("utf-8-sig"))))
    assert rows[0]["file"] == "'=cmd.png"
    assert rows[0]["class"] == "BA"
    assert float(rows[0]["p_BA"]) > 0.99
    assert rows[0]["trained_on"] == "made for tests"
    assert rows[0]["specimen"] == "any"
    assert rows[1]["file"] == "bad.png"
    assert rows[1]["error"]
    found = json.loads(downloaded(page, as_json, [run]))
    assert found["results"][0]["file"] == "=cmd.png"
    assert found["results"][0]["class"] == "BA"
    assert found["models"][0]["run"] == run.name
    assert found["results"][1]["file"] == "bad.png"
    assert "Research use only" in found["research_use"]


def test_a_cell_is_handed_to_explain_and_the_results_stay(page):
    drop(page, ("a.png", png(RED)), ("b.png", png(GREEN)))
    button(page, "Explain this cell").click().run()
    assert not page.exception
    handed = page.session_state["_handed_image"]
    assert handed.name == "a.png"
    assert handed.pixels.shape == (363, 360, 3)
    page.run()
    assert heading(page).startswith("2 cells:")


def test_stopping_keeps_what_is_done(page):
    drop(page, ("a.png", png(RED)))
    tray = page.session_state["classify_trays"]["bloodmnist"]
    tray.enqueue([(f"{i}.png", png(GREEN, mark=i)) for i in range(5)])
    tray.stop()
    page.run()
    assert heading(page).startswith("1 cell:")
    assert "Stopped: 5 files not read" in texts(page)


def test_no_model_yet(tmp_path, monkeypatch):
    for name in ("HEMALENS_PRETRAINED", "HEMALENS_CACHE", "HEMALENS_DATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    page = opened("classify")
    assert not page.exception
    assert "python -m core train" in texts(page)


def test_a_file_name_is_never_markup(page):
    drop(page, ("**bold** [x](http://a) $y$ <b>.png", png(RED)))
    assert "\\*\\*bold\\*\\* \\[x\\]\\(http\\://a\\) \\$y\\$ \\<b\\>\\.png" in texts(page)


def test_the_page_does_not_import_torch(run):
    script = (
        "import sys; from streamlit.testing.v1 import AppTest;"
        f"page = AppTest.from_file({str(PAGES / 'classify.py')!r}, default_timeout={TIMEOUT}).run();"
        "page.button[0].click().run();"
        "assert not page.exception and page.header;"
        "print([m for m in ('torch', 'torchvision', 'captum', 'medmnist') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, cwd=PAGES.parent
    )
    assert found.stdout.strip() == "[]", found.stdout + found.stderr


def test_nothing_is_written_on_the_page_but_what_is_meant(run):
    """Even for who switches Streamlit's magic on again, which shows the value of every bare expression."""
    assert not st.get_option("runner.magicEnabled")
    config.set_option("runner.magicEnabled", True)
    try:
        page = opened("classify")
        button(page, "Take all 8").click().run()
    finally:
        config.set_option("runner.magicEnabled", False)
    assert not page.exception
    assert "`None`" not in texts(page)


def test_a_typed_pixel_size_and_the_side_follow_each_other(page):
    drop(page, *strange_lab())
    size = page.number_input(key="classify_um")
    assert size.value == pytest.approx(20 / page.number_input(key="classify_side").value)
    size.set_value(0.125).run()
    assert page.number_input(key="classify_side").value == 160
    assert "squares of 160 px were cut round each cell, as you set it" in texts(page)
    page.number_input(key="classify_side").set_value(100).run()
    assert page.number_input(key="classify_um").value == pytest.approx(0.2)
    page.number_input(key="classify_um").set_value(0.02).run()  # beyond what is usual
    assert page.number_input(key="classify_side").value == 1000


def test_the_scale_that_files_say_is_taken_and_told(page):
    files = []
    for name, data in strange_lab():
        buffer = io.BytesIO()
        Image.open(io.BytesIO(data)).save(buffer, "PNG", dpi=(254_000, 254_000))
        files.append((name, buffer.getvalue()))
    drop(page, *files)
    assert "Your pictures: 0.1 µm a pixel, as the files say, so 200 px were cut out round each cell." in texts(page)
    assert {right - left for left, _, right, _ in boxes(page).values()} == {200}
    assert page.number_input(key="classify_um").value == pytest.approx(0.1)


def test_a_batch_of_many_is_remembered_and_its_scale_offered_to_few(page, run):
    many = [(f"{n}.png", smear_png(n)) for n in range(9)]
    drop(page, *many)
    side = page.number_input(key="classify_side").value
    (kept,) = remembered_scales()
    assert (kept.shape, kept.side, kept.pictures) == ((300, 300), side, 9)
    assert not [b for b in page.button if b.label.startswith("Cut as your")]
    button(page, "Yes, clear all").click().run()
    drop(page, *strange_lab()[:2])
    (offer,) = (b for b in page.button if b.label.startswith("Cut as your 9 pictures of"))
    assert offer.label.endswith(f": {side} px")
    assert {right - left for left, _, right, _ in boxes(page).values()} != {side}  # nothing is taken unasked
    offer.click().run()
    assert f"squares of {side} px were cut round each cell, as you set it" in texts(page)
    assert {right - left for left, _, right, _ in boxes(page).values()} == {side}
    assert not [b for b in page.button if b.label.startswith("Cut as your")]
    assert len(remembered_scales()) == 1
    found = json.loads(downloaded(page, as_json, [run]))
    assert found["scale"]["note"].endswith("as you set it.")
    rows = list(csv.DictReader(io.StringIO(downloaded(page, as_csv, [run]).decode("utf-8-sig"))))
    assert {row["scale"] for row in rows} == {found["scale"]["note"]}


def smear_png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(smear(number, 60)).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_offer_names_the_day_and_another_year():
    today = date.today()
    this = RememberedScale((300, 300), 244, 1200, today.replace(month=11, day=12))
    assert offer_text(this) == "Cut as your 1,200 pictures of 12 November: 244 px"
    before = replace(this, day=this.day.replace(year=today.year - 1))
    assert offer_text(before) == f"Cut as your 1,200 pictures of 12 November {today.year - 1}: 244 px"
