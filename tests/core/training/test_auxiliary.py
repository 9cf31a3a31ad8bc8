"""Cells of a second laboratory that train beside a data set's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.cli import main
from core.datasets import LoadedDataset, Provenance, Split, get_dataset
from core.datasets import base as datasets
from core.datasets.base import AuxiliaryFor
from core.progress import silent
from core.training import BadConfig, TrainConfig, train
from core.training.data import concatenate_auxiliary, epoch_order, load_auxiliary
from core.training.sweep import plan_sweep

NAME = "elsewhere"


def cells(count: int, label: int, grey: int) -> Split:
    """Pictures 64 px of a bright middle (the central half) in ``grey`` surroundings."""
    images = np.full((count, 64, 64, 3), grey, np.uint8)
    images[:, 16:48, 16:48] = 200
    return Split(images, np.full(count, label), np.array([f"{grey}_{i}" for i in range(count)]))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set with three classes, of which two are BloodMNIST's under other names."""
    spec = get_dataset("synthetic")
    kin = AuxiliaryFor("synthetic", {"EOS": "EO", "LYT": "LY"}, crop=0.5)
    classes = tuple(
        replace(cell, code=code) for cell, code in zip(spec.classes[:3], ("EOS", "BLAST", "LYT"), strict=True)
    )

    def load(size: int, content_hash: str | None = None, scheme: str = "", report=silent) -> LoadedDataset:
        assert size == 64, "the smallest size whose cut still has every pixel"
        splits = {"train": cells(6, 0, 10), "val": cells(4, 2, 20), "test": cells(5, 2, 30)}
        splits["train"].labels[:2] = 1
        return LoadedDataset(known, size, Provenance("folder", "Elsewhere", "abc123"), splits)

    known = replace(
        spec,
        name=NAME,
        title="Elsewhere",
        classes=classes,
        sizes=(28, 64, 128),
        load=load,
        auxiliary_for=kin,
        real=True,
    )
    monkeypatch.setitem(datasets._REGISTRY, NAME, known)
    return NAME


def config(**choices) -> TrainConfig:
    chosen = {"dataset": "synthetic", "size": 28, "model_arguments": {"width": 8}, "epochs": 1, **choices}
    return TrainConfig.for_model("light", **chosen)


def test_guests_are_cut_to_scale_and_named_as_at_home(elsewhere: str) -> None:
    wanted = config(auxiliary=elsewhere)
    guests = load_auxiliary(wanted, wanted.load_data(), silent)
    assert guests.split.images.shape == (8, 28, 28, 3)
    assert (guests.split.images == 200).all(), "the surroundings are cut off"
    assert guests.facts["counts"] == {"EO": 4, "LY": 4}, "two of a class that is not known here are left out"
    assert not any(name.startswith("30_") for name in guests.split.ids), "test cells stay away"


def test_guests_of_other_classes_only_are_refused(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = replace(datasets._REGISTRY[elsewhere], auxiliary_for=AuxiliaryFor("synthetic", {"XYZ": "EO"}, crop=0.5))
    monkeypatch.setitem(datasets._REGISTRY, elsewhere, strangers)
    wanted = config(auxiliary=elsewhere)
    known = datasets._REGISTRY[elsewhere].load

    def load(*args, **options) -> LoadedDataset:
        return replace(known(*args, **options), spec=strangers)

    monkeypatch.setitem(datasets._REGISTRY, elsewhere, replace(strangers, load=load))
    with pytest.raises(BadConfig, match="none of its classes"):
        load_auxiliary(wanted, wanted.load_data(), silent)


def test_nobody_is_invited_where_none_is_named() -> None:
    wanted = config()
    data = wanted.load_data()
    assert load_auxiliary(wanted, data, silent) is None
    assert concatenate_auxiliary(data["train"], None) is data["train"]


def test_each_batch_has_its_share_of_guests() -> None:
    wanted = config(batch_size=16, auxiliary_fraction=0.25)
    order = epoch_order(100, 10, wanted, torch.Generator().manual_seed(0)).view(-1, 16)
    assert order.shape == (6, 16)
    assert ((order >= 100).sum(1) == 4).all()
    assert order.max() < 110
    at_home = order[order < 100]
    assert len(at_home.unique()) == len(at_home), "no own cell twice in an epoch"


def test_without_guests_the_order_is_the_one_it_always_was() -> None:
    draws = torch.Generator().manual_seed(3)
    expected = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    assert torch.equal(epoch_order(50, 0, config(), draws), expected)


def test_a_run_says_who_trained_beside(elsewhere: str, tmp_path) -> None:
    run = train(config(auxiliary=elsewhere, auxiliary_fraction=0.5, device="cpu"), root=tmp_path)
    assert run.config["auxiliary"]["counts"] == {"EO": 4, "LY": 4}
    assert run.config["train"]["auxiliary"] == elsewhere
    assert "50% of each batch were cells of Elsewhere" in run.card
    assert "content abc123 (4 EO, 4 LY" in run.card
    again = TrainConfig.from_json(run.config["train"])
    assert (again.auxiliary, again.auxiliary_fraction) == (elsewhere, 0.5)


def test_guests_are_part_of_the_identity_only_where_there_are_some(elsewhere: str) -> None:
    assert "auxiliary" not in config().as_json()
    assert "beside_share" not in config().as_json()
    names = {
        config().run_name("x"),
        config(auxiliary=elsewhere).run_name("x", "a"),
        config(auxiliary=elsewhere).run_name("x", "b"),
        config(auxiliary=elsewhere, auxiliary_fraction=0.5).run_name("x", "a"),
    }
    assert len(names) == 4


def test_a_run_with_guests_is_there_when_many_are_to_be_trained(elsewhere: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path))
    wanted = config(auxiliary=elsewhere, device="cpu")
    made = train(wanted)
    assert [job.existing and job.existing.name for job in plan_sweep([wanted])] == [made.name]
    assert plan_sweep([config(device="cpu")])[0].existing is None, "without guests it is another run"


@pytest.mark.parametrize(
    "option", ["--auxiliary-fraction=0.1", "--distill-alpha=0.5", "--beside-share=0.1", "--teaching=0.5"]
)
def test_a_share_of_nothing_is_refused(option: str, capsys) -> None:
    assert main(["train", "--dataset", "synthetic", option]) == 1
    assert "which is not given" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["bloodmnist", "nowhere"])
def test_cells_that_are_no_kin_are_refused(name: str) -> None:
    with pytest.raises(BadConfig, match="auxiliary"):
        config(auxiliary=name)


def test_bone_marrow_is_kin_to_bloodmnist() -> None:
    known, home = get_dataset("bone_marrow"), get_dataset("bloodmnist")
    assert set(known.auxiliary_for.classes) <= set(known.codes)
    assert set(known.auxiliary_for.classes.values()) <= set(home.codes)
    TrainConfig.for_model("cnn_se", auxiliary="bone_marrow")
