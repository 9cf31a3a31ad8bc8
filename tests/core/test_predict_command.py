"""``python -m core predict``: every file answered or told, and an exit status that says so."""

import csv
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core import paths, runs
from core.adaptation.active import ActiveLearner
from core.adaptation.head import encode_pictures
from core.adaptation.profile import make_profile, save_profile
from core.cli import main
from core.commands.predict import expand
from tests.fake_datasets import added, fake_spec
from tests.stub_runs import as_files, foreign_pictures, write_alarm, write_detector

pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def drawn(colour, width=64, height=64, at=(0.5, 0.5)):
    """A picture of ``colour`` with a dark nucleus ``at`` shares of its sides."""
    image, radius = Image.new("RGB", (width, height), COLOURS[colour]), 0.1 * height
    places = [a * side for a, side in zip(at, (width, height), strict=True)]
    ImageDraw.Draw(image).ellipse([*(p - radius for p in places), *(p + radius for p in places)], fill=(60, 0, 255))
    return image


@pytest.fixture
def cells(tmp_path):
    folder = tmp_path / "cells"
    (folder / "below").mkdir(parents=True)
    drawn("red", 360, 363).save(folder / "a red.jpg")
    drawn("green").save(folder / "green.png")
    drawn("blue", 300, 200).save(folder / "below" / "BLUE.TIF")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "broken.png").write_bytes((folder / "green.png").read_bytes()[:60])
    return folder


def test_good_files_are_answered(run, cells, capsys):
    assert main(["predict", "--image-path", str(cells / "a red.jpg"), str(cells / "green.png")]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    head, *lines = [line for line in out.splitlines() if line]
    assert run.name in head
    assert "Research use only" in out
    assert "healthy people" in out
    rows = [line for line in lines if line.startswith(str(cells))]
    assert "BA  basophil" in rows[0]
    assert "> 99 %" in rows[0]
    assert "EO  eosinophil" in rows[1]
    assert all(row.endswith(" ms") for row in rows)
    assert rows[0].index("BA  ") == rows[1].index("EO  ")
    assert "100 %" not in out


def test_a_bad_file_has_its_own_line_and_the_others_are_answered(run, cells, capsys):
    files = ["missing.png", "notes.txt", "green.png", "broken.png", "a red.jpg"]
    assert main(["predict", "--image-path", *(str(cells / f) for f in files)]) == 1
    out, err = capsys.readouterr()
    assert "eosinophil" in out
    assert "basophil" in out
    lines = err.splitlines()
    assert len(lines) == 3
    assert "missing.png: there is no such file" in lines[0]
    assert "notes.txt: this is text" in lines[1]
    assert "broken.png: the file is damaged" in lines[2]


def test_json_holds_answers_errors_and_where_they_come_from(run, cells, capsys):
    status = main(["predict", "--json", "--image-path", str(cells / "a red.jpg"), str(cells / "broken.png")])
    out, err = capsys.readouterr()
    assert status == 1
    assert err == ""
    found = json.loads(out)
    (model,) = found["models"]
    assert found["schema_version"] == 3
    assert (model["run"], model["provenance"], model["profile"]) == (run.name, "made for tests", None)
    assert 0 < model["confidence_threshold"] <= 1
    assert "Barcelona" in found["domain"]
    assert "Research use only" in found["research_use"]
    good, bad = found["results"]
    assert good["class"] == "BA"
    assert good["name"] == "basophil"
    assert good["verdict"] == "sure"
    assert good["set"] == ["BA"]
    assert good["is_cell"] is True
    assert (good["ood_score"], good["unusual"]) == (0, [])  # the run has no detector
    assert good["alarm"] == {"score": None, "raised": False}  # and no alarm
    assert (model["alarm"], model["problems"]) == (False, [])
    assert found["laboratory"]["known"] is None
    assert "can't tell" in found["laboratory"]["note"]
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert list(good["probabilities"]) == ["BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT"]
    assert good["milliseconds"] > 0
    assert good["crop"]["box"] == [80, 82, 280, 282]
    assert set(bad) == {"file", "error", "advice"}


def test_json_is_written_even_when_nothing_could_be_read(run, cells, capsys):
    assert main(["predict", "--json", "--image-path", str(cells / "notes.txt")]) == 1
    assert len(json.loads(capsys.readouterr().out)["results"]) == 1


def test_folders_and_globs_stand_for_their_pictures(cells, monkeypatch, capsys):
    assert [p.name for p in expand([str(cells)])] == ["a red.jpg", "BLUE.TIF", "broken.png", "green.png"]
    assert capsys.readouterr().err == f"note: {cells}: Left out, since no picture ends so: 1 file: .txt (1).\n"
    assert [p.name for p in expand([str(cells / "*.png")])] == ["broken.png", "green.png"]
    assert [p.name for p in expand([str(cells / "**/*.TIF")])] == ["BLUE.TIF"]
    (cells / ".hidden.png").write_bytes(b"x")
    (cells / "cell 10.png").write_bytes(b"x")
    (cells / "cell 9.png").write_bytes(b"x")
    assert [p.name for p in expand([str(cells)])][2:5] == ["broken.png", "cell 9.png", "cell 10.png"]
    (cells / "cell 9.png").unlink()
    (cells / "cell 10.png").unlink()
    monkeypatch.chdir(cells)
    assert expand(["green.png", "*.png", "green.png"]) == [Path("green.png"), Path("broken.png")]
    bracketed = cells / "cell [1].png"
    Image.new("RGB", (64, 64)).save(bracketed)
    assert expand([str(bracketed)]) == [bracketed]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_can_be_read_once_is_answered(run, cells, tmp_path, capsys):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        writer.submit(pipe.write_bytes, (cells / "a red.jpg").read_bytes())
        assert main(["predict", "--image-path", str(pipe), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["class"] == "BA"


def test_a_line_stands_for_the_standard_input():
    assert expand(["-"]) == [Path("/dev/stdin")]


def test_a_broken_alarm_is_told_and_the_files_are_answered(run, cells, capsys):
    run.alarm_path.write_bytes(b"no graph")
    assert main(["predict", "--image-path", str(cells / "green.png")]) == 0
    out = capsys.readouterr().out
    assert "Careful: " in out
    assert "core alarm RUN. Until then no answer is sure." in out
    assert "EO  eosinophil" in out.splitlines()[-1]
    assert "unsure" in out.splitlines()[-1]


def test_another_laboratory_is_told_once_and_in_json(run, tmp_path, capsys):
    write_detector(run)
    write_alarm(run, bias=-8.0)
    for name, data in as_files(foreign_pictures(30)):
        (tmp_path / name).write_bytes(data)
    files = ["--framing", "whole", "--image-path", str(tmp_path)]
    assert main(["predict", *files]) == 0
    out = capsys.readouterr().out
    assert out.count("These 30 pictures come from another microscope or stain than the model's.") == 1
    assert "may be abnormal (a blast or another immature cell): look yourself" in out
    assert main(["predict", "--json", *files]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["laboratory"]["known"] is False
    assert found["laboratory"]["score"] == 1
    assert "another microscope" in found["laboratory"]["note"]
    assert {r["verdict"] for r in found["results"]} == {"unsure"}
    assert {(r["class"], r["alarm"]["raised"]) for r in found["results"]} == {
        ("BA", False),
        ("EO", False),
        ("ERB", True),
    }


def test_an_unsure_answer_names_what_it_may_be(make_run, cells, monkeypatch, capsys):
    shy = make_run("shy", weights=np.zeros((3, 8)))
    assert main(["predict", "--model", str(shy.path), "--image-path", str(cells / "green.png")]) == 0
    assert "unsure" in (line := capsys.readouterr().out.splitlines()[-1])
    assert "one of BA, EO" in line


@pytest.mark.parametrize("name", ["nothing*.png", "empty"])
def test_what_names_nothing_is_an_error_of_its_own(run, cells, capsys, name):
    (cells / "empty").mkdir()
    assert main(["predict", "--image-path", str(cells / name), str(cells / "green.png")]) == 1
    out, err = capsys.readouterr()
    assert "eosinophil" in out
    assert len(err.splitlines()) == 1


def test_more_files_than_a_batch_keep_their_order(run, tmp_path, capsys):
    names = list(COLOURS)
    files = []
    for number in range(70):
        path = tmp_path / f"{number:03d}.png"
        if number % 10 == 9:
            path.write_text("text")
        else:
            Image.new("RGB", (64, 64), COLOURS[names[number % 3]]).save(path)
        files.append(str(path))
    assert main(["predict", "--json", "--image-path", *files]) == 1
    results = json.loads(capsys.readouterr().out)["results"]
    assert [r["file"] for r in results] == files
    for number, result in enumerate(results):
        assert result.get("class") == (None if number % 10 == 9 else ["BA", "EO", "ERB"][number % 3])


def test_the_framing_can_be_chosen(run, cells, capsys):
    main(["predict", "--json", "--framing", "whole", "--image-path", str(cells / "a red.jpg")])
    assert json.loads(capsys.readouterr().out)["results"][0]["crop"]["box"] == [0, 2, 360, 362]


def test_a_named_run_and_a_missing_one(run, make_run, cells, capsys):
    small = make_run("small-28-000000", size=28)
    assert main(["predict", "--json", "--model", "small", "--image-path", str(cells / "green.png")]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["run"] == small.name
    assert main(["predict", "--model", "nosuch", "--image-path", str(cells / "green.png")]) == 1
    assert "nosuch" in capsys.readouterr().err


def test_a_profile_answers_as_it_was_taught(run, cells, capsys):
    """The run takes red for BA; its laboratory says that red cells are platelets."""
    pictures = np.stack([np.asarray(drawn("red")), np.asarray(drawn("green"))] * 20)
    learner = ActiveLearner(encode_pictures(run, pictures, side=64), np.ones(len(run.codes), bool))
    for cell in range(20):
        learner = learner.with_answer(cell, run.codes.index("PLT" if cell % 2 == 0 else "EO"))
    save_profile(make_profile("ward", run, learner))
    ask = ["predict", "--lab", "ward", "--image-path", str(cells / "green.png")]
    drawn("red").save(cells / "red.png")
    assert main(["predict", "--json", "--image-path", str(cells / "red.png")]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["class"] == "BA"
    assert main([*ask, str(cells / "red.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(model["run"], model["profile"]) for model in found["models"]] == [(run.name, "ward")]
    assert [result["class"] for result in found["results"]] == ["EO", "PLT"]
    assert main(ask) == 0
    out = capsys.readouterr().out
    assert "Answers as taught by your laboratory ward." in out
    assert "64 px of each picture were cut out round its cell, as your laboratory ward has it." in out
    assert main([*ask, "--side", "80"]) == 0
    assert "80 px of each picture were cut out round its cell, as you asked." in capsys.readouterr().out
    for more, reason in (
        (["--model", run.name], "leave --lab or --model out"),
        (["--dataset", "all4"], "was taught for bloodmnist, not for all4"),
        (["--profile", "nosuch"], "No laboratory is called"),
    ):
        assert main([*ask, *more]) == 1
        assert reason in capsys.readouterr().err


def test_a_broken_graph_is_told_in_one_line(run, cells, capsys):
    run.onnx_path.write_bytes(b"broken")
    assert main(["predict", "--image-path", str(cells / "green.png")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_another_data_set_answers_with_its_own_classes_and_domain(make_run, run, cells, monkeypatch, capsys):
    added(monkeypatch, fake_spec())
    make_run("stub-64-000001", dataset="smears", codes=("CCC", "AAA"))
    assert main(["predict", "--dataset", "smears", "--image-path", str(cells / "a red.jpg")]) == 0
    out = capsys.readouterr().out
    assert "CCC  third kind" in out
    assert "Domain: plain coloured squares. It knows 2 of 3 classes (CCC, AAA)" in out
    assert main(["predict", "--json", "--dataset", "smears", "--image-path", str(cells / "a red.jpg")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dataset"], list(found["results"][0]["probabilities"])) == ("smears", ["CCC", "AAA"])


def test_a_picture_of_another_domain_is_answered_and_told(make_run, run, tmp_path, capsys):
    Image.new("RGB", (1024, 768), COLOURS["red"]).save(tmp_path / "field.png")
    assert main(["predict", "--image-path", str(tmp_path / "field.png")]) == 0
    out = capsys.readouterr().out
    assert "BA  basophil" in out
    assert "shaped like a whole microscope field" in out


def test_a_data_set_or_model_that_is_not_there_is_refused_with_the_reason(make_run, run, cells, monkeypatch, capsys):
    added(monkeypatch, fake_spec())
    ask = ["predict", "--image-path", str(cells / "green.png"), "--dataset"]
    for name, reason in (("nosuch", "no data set is called"), ("smears", "no run for 'smears' yet")):
        assert main([*ask, name]) == 1
        assert reason in capsys.readouterr().err
    assert main([*ask, "smears", "--model", str(run.path)]) == 1
    assert "was trained on bloodmnist, not on smears" in capsys.readouterr().err


def test_the_shell_gets_the_exit_status(run, cells):
    command = [sys.executable, "-m", "core", "predict", "--json", "--image-path", str(cells / "notes.txt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=paths.__file__.rsplit(os.sep, 2)[0])
    assert done.returncode == 1
    assert json.loads(done.stdout)["results"][0]["error"].startswith("this is text")


def test_all_files_of_a_call_are_cut_at_one_size_round_their_cells(run, tmp_path, capsys):
    places = [(0.4, 0.5), (0.6, 0.4), (0.5, 0.6), (0.35, 0.35), (0.6, 0.6), (0.5, 0.5)]
    files = [str(tmp_path / f"{number}.png") for number in range(len(places))]
    for file, at in zip(files, places, strict=True):
        drawn("green", 300, 300, at).save(file)
    assert main(["predict", "--json", "--side", "120", "--image-path", *files]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scale"] == {
        "side_px": 120,
        "source": "given",
        "note": found["scale"]["note"],
        "red_cell_px": None,
    }
    for result, (x, y) in zip(found["results"], places, strict=True):
        left, top, right, bottom = result["crop"]["box"]
        assert right - left == bottom - top == 120
        assert (left + right) / 2 == pytest.approx(300 * x, abs=3)
        assert (top + bottom) / 2 == pytest.approx(300 * y, abs=3)
        assert result["crop"]["cell_found"] is True
    assert main(["predict", "--json", "--image-path", *files]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scale"]["source"] == "nuclei"
    assert len({r["crop"]["box"][2] - r["crop"]["box"][0] for r in found["results"]}) == 1
    assert main(["predict", "--json", "--framing", "shape", "--image-path", *files]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scale"] is None
    assert {tuple(r["crop"]["box"]) for r in found["results"]} == {(0, 0, 300, 300)}


def test_what_a_pixel_spans_gives_the_side(run, tmp_path, capsys):
    ask = ["predict", "--json", "--image-path", str(tmp_path / "cell.png")]
    drawn("green", 300, 300).save(tmp_path / "cell.png", dpi=(254_000, 254_000))
    assert main(ask) == 0
    scale = json.loads(capsys.readouterr().out)["scale"]
    assert (scale["side_px"], scale["source"]) == (200, "stated")
    assert scale["note"].startswith("0.1 µm a pixel, as the file says")
    assert main([*ask, "--um-per-px", "0.16"]) == 0
    scale = json.loads(capsys.readouterr().out)["scale"]
    assert (scale["side_px"], scale["source"]) == (125, "given")
    for more, reason in (
        (["--um-per-px", "2"], "2 µm a pixel is no light microscope's: give a number from 0.02 to 1"),
        (["--um-per-px", "nan"], "nan µm a pixel is no light microscope's"),
        (["--um-per-px", "0.1", "--framing", "whole"], "--um-per-px goes with --framing auto"),
    ):
        assert main([*ask, *more]) == 1
        assert reason in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*ask, "--um-per-px", "0.1", "--side", "200"])
    assert "--side: not allowed with argument --um-per-px" in capsys.readouterr().err


def test_a_typed_scale_is_that_of_the_files_also_where_large_ones_are_reduced(run, tmp_path, capsys):
    drawn("red", 2400, 2420).save(tmp_path / "large.png")
    drawn("red", 1200, 1210).save(tmp_path / "small.png")
    ask = ["predict", "--json", "--image-path", str(tmp_path / "large.png"), str(tmp_path / "small.png")]
    for option in (["--side", "800"], ["--um-per-px", "0.025"]):
        assert main([*ask, *option]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["scale"]["side_px"] == 800
        sides = {r["file"].rpartition("/")[2]: r["crop"]["box"][2] - r["crop"]["box"][0] for r in found["results"]}
        assert sides == {"large.png": 400, "small.png": 800}, "the large one is read at half its size"


def test_a_typed_scale_is_refused_where_whole_pictures_are_looked_at(make_run, tmp_path, capsys, monkeypatch):
    added(monkeypatch, fake_spec("smears", unit="field"))
    made = make_run("fields-64-1", dataset="smears")
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(made.path.parent.parent))
    drawn("red").save(tmp_path / "field.png")
    ask = ["predict", "--dataset", "smears", "--image-path", str(tmp_path / "field.png")]
    for option in ("--side", "--um-per-px"):
        assert main([*ask, option, "0.1" if option == "--um-per-px" else "100"]) == 1
        assert f"look at whole pictures, so {option} says nothing to them" in capsys.readouterr().err


def test_where_no_cell_is_found_that_is_said(run, tmp_path, capsys):
    Image.new("RGB", (360, 363), COLOURS["red"]).save(tmp_path / "empty.png")
    assert main(["predict", "--image-path", str(tmp_path / "empty.png")]) == 0
    assert "unsure" in (line := capsys.readouterr().out.splitlines()[-1])
    assert "(no white cell found: look yourself; one of BA, EO)" in line
    assert main(["predict", "--json", "--image-path", str(tmp_path / "empty.png")]) == 0
    crop = json.loads(capsys.readouterr().out)["results"][0]["crop"]
    assert crop["cell_found"] is False
    assert crop["box"] == [80, 82, 280, 282]


@pytest.mark.parametrize("side", ["0", "wide"])
def test_a_side_that_is_no_size_is_refused(capsys, side):
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "--side", side, "--image-path", "a.png"])
    assert "--side" in capsys.readouterr().err


def test_a_side_goes_with_looking_for_cells_only(run, cells, capsys):
    assert main(["predict", "--side", "100", "--framing", "whole", "--image-path", str(cells)]) == 1
    assert "--side goes with --framing auto" in capsys.readouterr().err


@pytest.mark.realdata
def test_originals_are_read_as_the_test_pictures_made_from_them(capsys):
    """Needs ``pbc_test_originals/`` with ``index.csv`` (file, id) in the data root, and a shipped run."""
    folder, index = paths.data_root() / "pbc_test_originals", paths.data_root() / "index.csv"
    if not (folder.is_dir() and index.exists() and runs.list_runs("bloodmnist")):
        pytest.skip("no parent originals with their index in the data root, or no run")
    with open(index, newline="", encoding="utf-8") as table:
        ids = {Path(row["file"]).name: row["id"] for row in csv.DictReader(table)}
    stored = runs.default_run("bloodmnist").predictions("test")
    answered = dict(zip(stored.ids, stored.logits.argmax(axis=1), strict=True))
    assert main(["predict", "--json", "--image-path", str(folder)]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    codes = list(results[0]["probabilities"])
    same = [codes.index(r["class"]) == answered[ids[Path(r["file"]).name]] for r in results]
    assert np.mean(same) >= 0.99  # answers are stored in half precision: one on the border may change sides


def test_a_zip_stands_for_the_pictures_in_it(cells, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    archive = shutil.make_archive(str(tmp_path / "cells"), "zip", cells)
    assert [p.name for p in expand([archive])] == [p.name for p in expand([str(cells)])]
    assert "is unpacked in" in capsys.readouterr().err
