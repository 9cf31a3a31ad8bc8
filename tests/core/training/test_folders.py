"""Training on a folder of pictures: by the same command, streamed from disk, from scratch or from another set's run."""

import numpy as np
import pytest
import torch

from core.cli import main
from core.datasets import user
from core.datasets.base import ImageRows
from core.runs import list_runs
from core.training import BadConfig, TrainConfig, train
from core.training.data import DeviceImages
from core.training.init_weights import load_warm_start
from tests.drawn_folders import drawn_folder

OPTIONS = ["--size", "28", "--arg", "width=8", "--epochs", "2", "--batch-size", "16", "--device", "cpu"]


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    return user.add_dataset("my_lab", drawn_folder(tmp_path / "lab"), title="My lab")


def test_the_usual_commands_train_and_score_it(lab, capsys):
    assert main(["train", "--dataset", "my_lab", "--model", "cnn_se", *OPTIONS]) == 0
    assert "on My lab (grouped split)" in capsys.readouterr().out
    run = list_runs("my_lab")[0]
    assert run.codes == lab.codes
    assert run.scheme == "grouped"
    assert run.predictions("test").ids[0].endswith(".png")
    assert main(["evaluate", run.name]) == 0
    assert main(["train", "--dataset", "my_lab", "--model", "cnn_se", "--scheme", "random", *OPTIONS]) == 0
    other = next(r for r in list_runs("my_lab") if r.name != run.name)
    assert other.scheme == "random"
    assert "random split" in other.provenance


def test_trees_train_on_it_too(lab):
    assert (
        main(["train", "--dataset", "my_lab", "--model", "random_forest_colour", "--size", "28", "--arg", "trees=5"])
        == 0
    )
    assert list_runs("my_lab")[0].kind == "classical"


def test_it_begins_at_a_run_on_other_cells(lab, tiny_run):
    config = TrainConfig.for_model(
        "cnn_se",
        dataset="my_lab",
        size=28,
        model_arguments={"width": 8},
        epochs=1,
        learning_rate=1e-6,
        batch_size=16,
        ema=0.0,
        warm_start=tiny_run.name,
        device="cpu",
    )
    run = train(config)
    begun, source = run.weights(), tiny_run.weights()
    body = next(name for name in source if name.startswith("body") and source[name].ndim == 4)
    assert np.abs(begun[body] - source[body]).max() < 0.01
    assert begun["head.3.weight"].shape[0] == 3
    assert not np.allclose(begun["mean"], source["mean"], atol=1e-4)
    assert tiny_run.name in run.card
    with pytest.raises(BadConfig, match="fit its own model"):
        train(TrainConfig.for_model("cnn_bn", dataset="my_lab", size=28, epochs=1, warm_start=tiny_run.name))


def test_trees_are_no_place_to_begin_at(lab, tiny_run, monkeypatch):
    monkeypatch.setattr(type(tiny_run), "kind", "classical")
    with pytest.raises(BadConfig, match="is no network"):
        load_warm_start(torch.nn.Identity(), tiny_run, tiny_run.codes)


def test_a_scheme_that_is_not_there_is_refused(lab, capsys):
    assert main(["train", "--dataset", "my_lab", "--scheme", "published", *OPTIONS]) == 1
    assert "grouped, random" in capsys.readouterr().err
    assert main(["train", "--dataset", "synthetic", "--scheme", "random", *OPTIONS]) == 1
    assert "comes split" in capsys.readouterr().err


def test_rows_on_disk_are_read_batch_by_batch(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    pictures = DeviceImages(ImageRows(tmp_path / "images.npy", np.arange(20)[::-1]), torch.device("cpu"))
    assert pictures.held is None
    chosen = torch.tensor([3, 0, 19])
    assert (pictures[chosen].numpy() == images[[16, 19, 0]]).all()
    assert (DeviceImages(images[::-1], torch.device("cpu"))[chosen].numpy() == images[[16, 19, 0]]).all()
