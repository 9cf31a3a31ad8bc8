"""``python -m core lab``: fit, list, export, import and delete, on folders of plain pictures that a stub run reads."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from core.adaptation import profile as profiles
from core.cli import main
from core.images.cell_check import KINDS, CellCheck

COLOURS = {"eosinophil": (220, 40, 40), "neutrophil": (40, 220, 40)}  # the stub takes red for BA, green for EO


@pytest.fixture(autouse=True)
def stub(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path))
    return make_run("cnn_se-64-abc123")


def write(path, rgb, rng):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(np.array(rgb) + rng.normal(0, 8, (64, 64, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, rgb in COLOURS.items():
        for i in range(20):
            write(tmp_path / "lab" / name / f"{i}.png", rgb, rng)
    return tmp_path / "lab"


@pytest.fixture
def table(folder):
    """All pictures in one folder, half of them in a table, with slides; (folder, table)."""
    flat = folder.parent / "flat"
    flat.mkdir()
    rows = []
    for name in COLOURS:
        for path in sorted((folder / name).iterdir()):
            path.rename(flat / f"{name[0]}{path.name}")
            if int(path.stem) % 2:
                rows.append({"file": f"{name[0]}{path.name}", "label": name, "slide": f"s{int(path.stem) % 3}"})
    target = folder.parent / "labels.csv"
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "label", "slide"])
        writer.writeheader()
        writer.writerows(rows)
    return flat, target


def run(capsys, *arguments):
    status = main(["lab", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out, err


def test_fit_measures_with_the_labels_of_folders(capsys, folder):
    status, out, _ = run(capsys, "fit", "ward", folder, "--budget", 10, "--repeats", 3, "--query", "random", "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["cells"], found["repeats"]) == (40, 3)
    assert (found["population"], found["query_strategy"]) == ("all", "random")
    assert set(found["labelled"]) == {"EO", "NE"}
    assert sum(found["labelled"].values()) == 10
    assert found["base"]["accuracy"]["mean"] < 0.7
    assert found["after"]["accuracy"] == {"mean": 1.0, "sd": 0.0, "worst": 1.0, "n": 30}
    assert set(found["adapted"]) == set(found["base"]) >= {"accuracy", "accuracy_eight", "balanced"}


def test_options_under_their_former_names(capsys, folder):
    _, out, _ = run(capsys, "fit", "ward", folder, "--budget", 5, "--choose", "random", "--draw", "natural", "--json")
    found = json.loads(out)
    assert (found["population"], found["query_strategy"]) == ("natural", "random")


def test_differentials_are_taken_for_blood_unless_another_specimen_is_named(capsys, folder):
    told = {}
    for options in (["--sample", "natural"], ["--sample", "all"], ["--sample", "natural", "--specimen", "newborn"]):
        _, out, _ = run(capsys, "fit", "ward", folder, "--budget", 8, *options, "--json")
        told[options[-1]] = found = json.loads(out)
        assert profiles.find_profile("ward").specimen == found["specimen"]
    assert {name: found["specimen"] for name, found in told.items()} == {
        "natural": "blood",
        "all": "any",
        "newborn": "newborn",
    }
    assert set(told["natural"]["after"]["accuracy_eight"]) == {"mean", "sd", "worst", "n"}


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_all_labels_of_a_table_are_used_without_a_budget(capsys, table):
    pictures, labels = table
    status, out, _ = run(capsys, "fit", "ward", pictures, "--labels", labels)
    assert status == 0
    assert "taught by: 10 EO, 10 NE" in out
    assert "40 cells" in out
    assert "not a medical device" in out
    _, out, _ = run(capsys, "list")
    assert "ward: 40 cells, 20 labelled" in out


def test_active_questions_and_so_many_of_each_class(capsys, folder):
    for choice in (["--budget", 15], ["--per-class", 4]):
        status, out, _ = run(capsys, "fit", "ward", folder, *choice, "--json")
        assert status == 0
        assert json.loads(out)["after"]["accuracy"]["mean"] > 0.95


def test_what_shows_no_cell_is_left_out_and_named(capsys, table):
    """A person's label says that a picture shows one; what nobody labelled must look like it."""
    pictures, labels = table
    status, out, _ = run(capsys, "fit", "ward", pictures, "--labels", labels, "--json")
    assert status == 0
    found = json.loads(out)
    assert (found["cells"], len(found["not_a_cell"])) == (20, 20)
    reasons = {CellCheck(kind, 0.0).sentence for kind in KINDS if kind != "cell"}
    assert all(any(reason in told for reason in reasons) for told in found["not_a_cell"].values())
    status, _, err = run(capsys, "fit", "ward", pictures, "--budget", 0)
    assert status == 1
    assert "No picture shows a single cell" in err


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_the_side_may_be_said_by_the_files_or_typed(capsys, folder):
    for path in folder.rglob("*.png"):
        Image.open(path).save(path, dpi=(63_500, 63_500))
    ask = ["fit", "ward", folder, "--budget", 0, "--json"]
    found = json.loads(run(capsys, *ask)[1])
    assert (found["side"], found["framing"].partition(",")[0]) == (50, "0.4 µm a pixel")
    assert json.loads(run(capsys, *ask, "--um-per-px", 0.5)[1])["side"] == 40
    assert json.loads(run(capsys, *ask, "--side", 30)[1])["side"] == 30
    status, _, err = run(capsys, *ask, "--um-per-px", 7)
    assert status == 1
    assert "7 µm a pixel is no light microscope's" in err


@pytest.mark.usefixtures("any_picture_is_a_cell")
def test_without_labels_it_only_adapts(capsys, table):
    pictures, _ = table
    status, out, _ = run(capsys, "fit", "ward", pictures, "--budget", 0)
    assert status == 0
    assert "taught by: none" in out
    status, _, err = run(capsys, "fit", "ward", pictures, "--budget", 25)
    assert status == 1
    assert "No picture" in err
    assert "--labels" in err


def test_export_import_delete(capsys, folder, tmp_path):
    run(capsys, "fit", "ward", folder)
    target = tmp_path / "given.safetensors"
    assert run(capsys, "export", "ward", target)[0] == 0
    assert run(capsys, "delete", "ward")[0] == 0
    assert "no laboratory yet" in run(capsys, "list")[1]
    assert run(capsys, "import", target, "--name", "ward 2")[0] == 0
    assert run(capsys, "list")[1].startswith("ward 2:")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fit", "a/b", "."], "can't be called"),
        (["fit", "ward", "nowhere"], "not a folder"),
        (["fit", "ward", ".", "--budget", "-3"], "below 0"),
        (["export", "ward", "x"], "No laboratory is called"),
        (["delete", "ward"], "No laboratory is called"),
    ],
)
def test_what_can_not_be_is_told(capsys, arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *arguments)
    assert status == 1
    assert told in err


def test_unreadable_pictures_are_listed_and_the_others_used(capsys, folder):
    (folder / "eosinophil" / "broken.png").write_bytes(b"no picture")
    status, out, _ = run(capsys, "fit", "ward", folder)
    assert status == 0
    assert "left out: eosinophil/broken.png" in out


def test_a_table_that_names_other_files_is_told(capsys, table):
    pictures, labels = table
    labels.write_text("file,label\nelsewhere/1.png,neutrophil\n")
    status, _, err = run(capsys, "fit", "ward", pictures, "--labels", labels)
    assert status == 1
    assert "None of the files" in err


def test_a_folder_that_is_no_class_costs_no_label_of_the_others(capsys, folder):
    write(folder / "artefacts" / "1.png", (40, 40, 220), np.random.default_rng(1))
    (folder / "notes.txt").write_text("x")
    status, out, _ = run(capsys, "fit", "ward", folder, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["labelled"] == {"EO": 20, "NE": 20}
    assert any("'artefacts': 1 picture in that folder without a label" in note for note in found["notes"])
    assert any(".txt (1)" in note for note in found["notes"])


def test_a_table_half_filled_in_and_at_odds_with_itself(capsys, table):
    pictures, labels = table
    rows = ["./e1.png;eosinophil", "e3.PNG;eosinophil", "n1.png;neutrophil", "n3.png;", "e5.png;eosinophil"]
    labels.write_bytes("\r".join(["File;Label", *rows, "e5.png;neutrophil", "x.png;neutrophil"]).encode())
    status, out, _ = run(capsys, "fit", "ward", pictures, "--labels", labels, "--json")
    found = json.loads(out)
    assert status == 0
    assert found["labelled"] == {"EO": 2, "NE": 1}
    told = " ".join(found["notes"])
    for words in ("e5.png is 'eosinophil' (line 6) and 'neutrophil' (line 7)", "1 picture of", "such as x.png"):
        assert words in told
