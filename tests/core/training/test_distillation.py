"""Learning from another run's answers."""

import numpy as np
import pytest
import torch

from core.datasets import get_dataset
from core.inference import engine
from core.probabilities import softmax
from core.training import BadConfig, TrainConfig, train
from core.training.data import DISTILL_TEMPERATURE, training_targets


def pupil(**choices) -> TrainConfig:
    chosen = {"dataset": "synthetic", "size": 28, "model_arguments": {"width": 8}, "epochs": 1, **choices}
    return TrainConfig.for_model("light", **chosen)


def test_without_a_teacher_the_targets_are_the_smoothed_labels() -> None:
    data = get_dataset("synthetic").load(28)
    wanted = training_targets(pupil(label_smoothing=0.2), data)
    labels = torch.tensor(data["train"].labels)
    assert wanted.shape == (len(labels), 8)
    torch.testing.assert_close(wanted.sum(1), torch.ones(len(labels)))
    torch.testing.assert_close(wanted[torch.arange(len(labels)), labels], torch.full((len(labels),), 0.825))


def test_a_teacher_gives_its_share(tiny_run) -> None:
    data = get_dataset("synthetic").load(28)
    wanted = training_targets(pupil(distill_from=tiny_run.name, distill_alpha=1.0), data).numpy()
    answers = softmax(engine.logits(tiny_run, data["train"].images) / DISTILL_TEMPERATURE)
    np.testing.assert_allclose(wanted, answers, atol=1e-6)
    half = training_targets(pupil(distill_from=tiny_run.name, distill_alpha=0.5), data).numpy()
    alone = training_targets(pupil(), data).numpy()
    np.testing.assert_allclose(half, (answers + alone) / 2, atol=1e-6)


def test_a_teacher_of_another_size_sees_the_same_cells(tiny_run, tmp_path) -> None:
    run = train(pupil(size=64, distill_from=tiny_run.name, device="cpu"), root=tmp_path)
    assert run.config["train"]["distill_from"] == tiny_run.name
    assert tiny_run.name in run.card


def test_the_teacher_is_part_of_the_identity_only_where_there_is_one() -> None:
    assert "distill_from" not in pupil().as_json()
    assert "teaching" not in pupil().as_json()
    assert pupil(distill_from="a").run_name("x") != pupil(distill_from="b").run_name("x") != pupil().run_name("x")


def test_a_share_outside_its_range_is_refused() -> None:
    with pytest.raises(BadConfig, match="distill_alpha"):
        pupil(distill_alpha=0.0)
