"""Shared fixtures: every test runs on folders of its own, and one tiny run is trained for real."""

from pathlib import Path

import pytest


@pytest.fixture
def any_picture_is_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture is turned away: for runs that go by colour, and are shown plain squares of it."""
    from core.images.cell_check import CellCheck

    def check(pictures, unit="cell"):
        return [CellCheck("cell", 1.0, unit) for _ in pictures]

    monkeypatch.setattr("core.inference.predictor.check_crops", check)
    for module in ("core.inference.predictor", "core.adaptation.head"):
        monkeypatch.setattr(f"{module}.check_pictures", lambda pictures, _crops, spec: check(pictures, spec.unit))


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``<root>/synthetic/<run>`` with a tiny CNN + SE and a tiny CNN + CBAM trained on drawn cells."""
    from core.training import TrainConfig, train

    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEMALENS_CACHE", str(tmp_path_factory.mktemp("training")))
        patch.setenv("HEMALENS_PRETRAINED", str(root))
        for model in ("cnn_se", "cnn_cbam"):
            train(
                TrainConfig.for_model(
                    model,
                    dataset="synthetic",
                    size=28,
                    model_arguments={"width": 8},
                    epochs=3,
                    learning_rate=0.1,
                    device="cpu",
                ),
                root=root,
            )
    return root


@pytest.fixture
def tiny_runs(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """The two tiny runs, shipped as far as the code under test can see; data and cache are empty folders."""
    from core.runs import list_runs

    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tiny_root))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    return list_runs()


@pytest.fixture
def tiny_run(tiny_runs: list):
    """The tiny CNN + SE run on drawn cells, 28 px."""
    return next(run for run in tiny_runs if run.model == "cnn_se")
