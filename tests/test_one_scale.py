"""One folder is cut at one scale however its pictures come: predict, evaluate --on, lab fit, Classify, Your lab."""

import json
import random

import numpy as np
import pytest
from PIL import Image

from core.adaptation.head import encode_pictures
from core.cli import main
from core.datasets import get_dataset, user
from core.datasets.pictures import read_dataset_pictures, read_folder_pictures
from core.evaluation.external import validate_externally
from core.images import framing, red_cells
from core.inference.predictor import Predictor
from dashboard.session import UploadSession
from tests.core.images.test_framing import smear
from tests.stub_runs import make_run

__all__ = ["make_run"]
pytestmark = pytest.mark.usefixtures("any_picture_is_a_cell")
SPEC = get_dataset("bloodmnist")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eighty smears in two class folders, the later ones at a larger scale, and what a computer leaves behind."""
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "smears"
    for number in range(80):
        place = root / ("LY" if number % 3 else "EO") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smear(number, 44 + 0.2 * number, (100, 100), side=200)).save(place)
    (root / "LY" / "._1.png").write_bytes(b"left behind")
    return root


def test_what_the_files_say_is_taken_however_they_come(folder, make_run, capsys):
    for path in list(folder.rglob("[0-9]*.png")):
        Image.open(path).save(path, dpi=(211_667, 211_667))
    run = make_run()
    predictor, lab = Predictor(run), read_folder_pictures(folder, SPEC)
    cells = encode_pictures(run, lab.pictures)
    assert (cells.scale.side, cells.scale.source) == (167, "stated")
    assert main(["predict", "--json", "--model", str(run.path), "--image-path", str(folder)]) == 0
    assert json.loads(capsys.readouterr().out)["scale"]["side_px"] == 167
    user.add_dataset("smears", folder, maps_to="bloodmnist")
    assert validate_externally(run, read_dataset_pictures("smears"))[1] == cells.scale
    session = UploadSession()
    session.enqueue([(name, (folder / name).read_bytes()) for name in lab.files])
    while session.busy([predictor]):
        list(session.work([predictor], SPEC))
    assert session.batch_scale(predictor).scale == cells.scale


def test_one_folder_has_one_scale(folder, make_run, monkeypatch, capsys):
    # Few are sampled, so that which ones are makes a difference.
    monkeypatch.setattr(red_cells, "MAX_MEASURED", 8)
    monkeypatch.setattr(framing, "MAX_SAMPLED", 8)
    run = make_run()
    predictor = Predictor(run)
    cells = encode_pictures(run, (lab := read_folder_pictures(folder, SPEC)).pixels)
    boxes = dict(zip(lab.files, cells.boxes, strict=True))
    assert len(boxes) == 80
    assert cells.scale.source == "red cells"

    assert main(["predict", "--json", "--model", str(run.path), "--image-path", str(folder)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["scale"]["side_px"] == cells.scale.side
    relative = {r["file"].removeprefix(f"{folder}/"): tuple(r["crop"]["box"]) for r in document["results"]}
    assert relative == boxes
    assert list(relative) == list(lab.files)

    user.add_dataset("smears", folder, maps_to="bloodmnist")
    assert validate_externally(run, read_dataset_pictures("smears"))[1] == cells.scale

    names = list(lab.files)
    random.Random(0).shuffle(names)
    session = UploadSession()
    session.enqueue([(name, (folder / name).read_bytes()) for name in names])
    while session.busy([predictor]):
        list(session.work([predictor], SPEC))
    assert session.batch_scale(predictor).scale == cells.scale
    assert {entry.cell.name: entry.lead.crop.box for entry in session.results([predictor])} == boxes

    measured = [framing.MeasuredPicture(np.asarray(Image.open(folder / name)), name) for name in names]
    assert encode_pictures(run, measured).scale == cells.scale
