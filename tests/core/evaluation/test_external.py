"""A run on another laboratory's pictures: read as uploads are, scored in its own classes, by the shell too."""

import json

import numpy as np
import pytest
from PIL import Image

from core.cli import main
from core.datasets import DatasetUnavailable, user
from core.datasets.pictures import read_dataset_pictures
from core.evaluation.external import (
    cache_validation,
    cached_validation,
    clustered_interval,
    external_datasets,
    external_metrics,
    labels_for_run,
    validate_externally,
)
from core.evaluation.metrics import balanced_accuracy
from tests.stub_runs import make_run

__all__ = ["make_run"]
pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")
COLOURS = {"baso": (230, 20, 20), "Eosinophils": (20, 230, 20)}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Twelve plain pictures, red or green, of four slides; one file is broken."""
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "lab"
    folder.mkdir()
    rows = []
    for number in range(12):
        label = list(COLOURS)[number % 2]
        Image.new("RGB", (80, 80), COLOURS[label]).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{label},S{number // 3}")
    (folder / "broken.png").write_bytes(b"nothing")
    (folder / "lost.png").write_bytes(b"nothing")  # the only monocyte
    table = folder / "labels.csv"
    table.write_text("\n".join(["file,label,slide", *rows, "broken.png,baso,S0", "lost.png,mono,S1"]) + "\n")
    user.add_dataset("my_lab", folder, table=table, maps_to="bloodmnist")
    return "my_lab"


def test_pictures_come_with_labels_and_slides(lab):
    found = read_dataset_pictures(lab)
    assert len(found) == 12
    assert found.codes == ("BA", "EO", "MO")
    assert found.files == tuple(f"{number}.png" for number in range(12))  # natural order
    assert found.labels.tolist() == [0, 1] * 6
    assert len(set(found.slides)) == 4
    assert list(found.unreadable) == ["broken.png", "lost.png"]


def test_a_run_is_scored_in_its_own_classes(lab, make_run):
    figures, scale = validate_externally(make_run(), read_dataset_pictures(lab))
    assert figures["accuracy"] == figures["accuracy_present_classes"] == 1  # red is BA, green is EO for the stub
    assert figures["n"] == 12
    assert figures["slides"] == 4
    assert figures["present_codes"] == ["BA", "EO"]  # no monocyte can be read
    assert len(figures["confusion"]) == 2
    assert scale.source in ("whole", "nuclei", "official")
    blind = make_run("blind-64-1", weights=np.eye(3, 8)[:, [3, 0, 1, 2, 4, 5, 6, 7]])  # calls red EO, green ERB
    assert validate_externally(blind, read_dataset_pictures(lab))[0]["accuracy"] == 0


def test_a_class_that_the_run_does_not_know_is_told(lab, make_run):
    run = make_run()
    pictures = read_dataset_pictures(lab)
    object.__setattr__(pictures, "codes", ("BA", "XYZ", "MO"))
    with pytest.raises(DatasetUnavailable, match="does not know XYZ"):
        labels_for_run(pictures, run)


def test_the_shell_prints_it_and_gives_json(lab, make_run, tmp_path, monkeypatch, capsys):
    run = make_run()
    assert main(["evaluate", str(run.path), "--on", lab, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["present_codes"] == ["BA", "EO"]
    assert found["accuracy"] == 1
    assert main(["evaluate", str(run.path), "--on", lab]) == 0
    said = capsys.readouterr().out
    assert "over 4 slides" in said
    assert "broken.png" in said
    assert main(["evaluate", str(run.path), "--on", lab, "--um-per-px", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["framing"].startswith("40 px of each picture were cut out")
    assert main(["evaluate", str(run.path), "--um-per-px", "0.5"]) == 1
    assert "--um-per-px goes with --on" in capsys.readouterr().err
    assert main(["evaluate", str(run.path), "--on", "nowhere"]) == 1


def test_verdicts_and_uncertainty_stand_beside_the_figures(lab, make_run):
    figures, _ = validate_externally(make_run(), read_dataset_pictures(lab))
    assert sum(figures["verdicts"][kind] for kind in ("sure", "unsure", "not_a_cell")) == pytest.approx(1)
    assert figures["verdicts"]["confident_and_wrong"] == 0
    assert figures["uncertainty"]["n"] == 12
    assert figures["uncertainty"]["told"]["coverage"][:2] == [1, 1]


def test_what_a_run_was_asked_is_kept_by_laboratory(lab, make_run, capsys):
    run = make_run()
    assert cached_validation(run) == {}
    assert main(["evaluate", str(run.path), "--on", lab, "--json"]) == 0
    assert "uncertainty" not in json.loads(capsys.readouterr().out)
    cache_validation(run, "other", {"n": 1})
    assert set(cached_validation(run)) == {lab, "other"}
    assert cached_validation(run)[lab]["uncertainty"]["n"] == 12
    assert external_datasets(run) == [lab]
    assert external_datasets(make_run("narrow", codes=("EO", "ERB"))) == []


def test_an_answer_outside_the_laboratorys_classes_is_wrong_but_has_a_second_choice():
    labels = np.array([1, 1, 3, 3])
    probabilities = np.array(
        [[0.0, 0.95, 0.0, 0.05], [0.6, 0.3, 0.0, 0.1], [0.0, 0.0, 0.97, 0.03], [0.0, 0.7, 0.0, 0.3]]
    )
    found = external_metrics(labels, probabilities, [1, 3], confidence_threshold=0.9)
    assert found["accuracy"] == 0.25
    assert found["accuracy_present_classes"] == 0.75
    assert found["confusion"] == [[1, 1, 0, 0], [0, 1, 1, 0]]
    assert found["confident"] == 0.5
    assert found["confident_and_wrong"] == 0.25
    assert found["mean_confidence"] == pytest.approx((0.95 + 0.6 + 0.97 + 0.7) / 4)
    assert found["slides"] is None


def test_balanced_weighs_classes_alike():
    assert balanced_accuracy(np.array([0] * 9 + [1]), np.array([True] * 9 + [False])) == 0.5


def test_cells_that_stand_and_fall_with_their_slide_widen_the_interval():
    slides = np.repeat([f"S{k}" for k in range(10)], 20)
    hits = np.repeat(np.arange(10) % 2 == 0, 20)
    low, high = clustered_interval(hits, slides)
    wilson_low, wilson_high = clustered_interval(hits)
    assert low < wilson_low - 0.1
    assert high > wilson_high + 0.1
    mixed_low, mixed_high = clustered_interval(np.tile([True, False], 100), slides)
    assert mixed_high - mixed_low == 0  # each slide has the same share


def test_one_slide_tells_no_more_than_its_cells():
    hits = np.array([True, True, False, True])
    assert clustered_interval(hits, ["A"] * 4) == clustered_interval(hits)
