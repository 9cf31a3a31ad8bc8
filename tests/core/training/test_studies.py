"""Trains small networks on drawn cells, in seconds."""

import pytest
import torch

from core import paths
from core.cli import main
from core.models import build, get_model
from core.progress import Progress
from core.training import TrainConfig, TrainingFailed, studies
from core.training.config import with_params
from core.training.studies import (
    ABLATION_BASE,
    ABLATION_MODEL,
    ABLATION_VARIANTS,
    StudyMismatch,
    TrialResult,
    Variant,
    run_ablation,
    run_seeds,
    run_trial,
    run_variants,
    summary_text,
)
from tests.fake_studies import stored_study

NAMED = {"name": "three", "kind": "ablation", "title": "Three"}


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch) -> None:
    for name in ("CACHE", "DATA", "PRETRAINED"):
        monkeypatch.setenv(f"HEMALENS_{name}", str(tmp_path / name.lower()))


def tiny(**choices) -> TrainConfig:
    settings = {"dataset": "synthetic", "size": 28, "epochs": 1, "device": "cpu", "learning_rate": 0.02}
    settings["model_arguments"] = {"width": 4, "layers": 2}
    return TrainConfig.for_model(ABLATION_MODEL, **settings | choices)


@pytest.fixture
def pretended(monkeypatch) -> list[TrainConfig]:
    """Stands in for the training; what was asked for."""
    asked = []

    def pretend(config, data, *, test=False, report=None, on_epoch=None) -> TrialResult:
        asked.append(config)
        return TrialResult(0.8 + 0.01 * config.seed, 2.0, config.epochs, 0.7 if test else None)

    monkeypatch.setattr(studies, "run_trial", pretend)
    return asked


def test_a_trial_scores_the_best_epoch_on_val_and_test() -> None:
    from core.datasets import get_dataset

    epochs = []
    outcome = run_trial(
        tiny(epochs=3),
        get_dataset("synthetic").load(28),
        test=True,
        on_epoch=lambda n, value, seconds: epochs.append((n, value)),
    )
    assert [n for n, _ in epochs] == [1, 2, 3]
    assert outcome.score == max(value for _, value in epochs)
    assert outcome.test == pytest.approx(outcome.score, abs=0.2)
    assert outcome.epochs == 3
    assert outcome.seconds > 0
    assert not paths.checkpoints_root().exists()


def test_a_trial_ends_when_its_epochs_are_watched_and_stopped() -> None:
    from core.datasets import get_dataset

    class Enough(Exception):
        pass

    def stop(epoch: int, accuracy: float, seconds: float) -> None:
        if epoch == 2:
            raise Enough

    steps: list[Progress] = []
    with pytest.raises(Enough):
        run_trial(tiny(epochs=4), get_dataset("synthetic").load(28), report=steps.append, on_epoch=stop)
    assert steps[-1].details["finished"] == 2


def test_out_of_memory_fails_the_trial_and_another_error_is_told(monkeypatch) -> None:
    from core.datasets import get_dataset
    from core.training import studies as trials

    def fail(*arguments, **named):
        raise RuntimeError(message)

    monkeypatch.setattr(trials, "fit_network", fail)
    data = get_dataset("synthetic").load(28)
    message = "DefaultCPUAllocator: can't allocate memory"
    with pytest.raises(TrainingFailed, match="batches of 128"):
        run_trial(tiny(), data)
    message = "mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(RuntimeError, match="mat1"):
        run_trial(tiny(), data)


def test_what_is_there_is_not_trained_again(pretended) -> None:
    variants = [Variant("a"), Variant("b", {"dropout": 0.5})]
    first = run_variants(tiny(), variants, 1, **NAMED)
    assert [(t.label, t.seed) for t in first.trials] == [("a", 0), ("b", 0)]
    steps: list[Progress] = []
    both = run_variants(tiny(), variants, 2, **NAMED, report=steps.append)
    assert [(t.number, t.label, t.seed) for t in both.trials] == [(0, "a", 0), (1, "b", 0), (2, "a", 1), (3, "b", 1)]
    assert [c.seed for c in pretended] == [0, 0, 1, 1]
    assert [c.all_model_arguments()["dropout"] for c in pretended] == [0.0, 0.5, 0.0, 0.5]
    assert (steps[-1].done, steps[-1].total) == (4, 4)
    assert run_variants(tiny(), variants, 2, **NAMED) == both
    assert stored_study("three").trials == both.trials
    assert both.trials[0].test == 0.7
    assert "2 s" in summary_text(both)


def test_a_variant_that_means_something_else_now_is_trained(pretended) -> None:
    run_variants(tiny(), [Variant("a", {"dropout": 0.5})], 1, **NAMED)
    changed = run_variants(tiny(), [Variant("a", {"dropout": 0.4})], 1, **NAMED)
    assert [t.params for t in changed.trials] == [{"dropout": 0.5}, {"dropout": 0.4}]


def test_another_recipe_does_not_mix_with_what_is_there(pretended) -> None:
    run_variants(tiny(), [Variant("a")], 1, **NAMED)
    with pytest.raises(StudyMismatch, match="another recipe"):
        run_variants(tiny(epochs=2), [Variant("a")], 1, **NAMED)


def test_what_is_made_of_other_runs_has_no_seed(capsys) -> None:
    assert main(["repeat", "ensemble", "--dataset", "synthetic"]) == 1
    assert "made of other runs" in capsys.readouterr().err


def test_a_classical_model_is_grown_anew_for_each_seed() -> None:
    config = TrainConfig.for_model("random_forest", dataset="synthetic", size=28, model_arguments={"trees": 3})
    study = run_seeds(config, 2)
    assert len({t.score for t in study.trials} | {t.test for t in study.trials}) > 2
    assert all(t.seconds > 0 for t in study.trials)


def test_a_failed_trial_is_kept_and_tried_again(pretended, monkeypatch) -> None:
    good = studies.run_trial

    def fail(*arguments, **named):
        raise TrainingFailed("too high")

    monkeypatch.setattr(studies, "run_trial", fail)
    broken = run_variants(tiny(), [Variant("a")], 2, **NAMED)
    assert [t.state for t in broken.trials] == ["failed", "failed"]
    assert "2 failed" in summary_text(broken)
    monkeypatch.setattr(studies, "run_trial", good)
    assert [t.state for t in run_variants(tiny(), [Variant("a")], 2, **NAMED).trials] == ["complete", "complete"]


def test_stopped_by_hand_the_finished_trials_are_there(monkeypatch, pretended, capsys) -> None:
    good = studies.run_trial

    def stop_at_the_third(config, *arguments, **named):
        if len(pretended) == 2:
            raise KeyboardInterrupt
        return good(config, *arguments, **named)

    monkeypatch.setattr(studies, "run_trial", stop_at_the_third)
    assert main(["repeat", ABLATION_MODEL, "--dataset", "synthetic", "--seeds", "3"]) == 130
    assert len(stored_study(f"seeds-{ABLATION_MODEL}-28").trials) == 2
    monkeypatch.setattr(studies, "run_trial", good)
    assert main(["repeat", ABLATION_MODEL, "--dataset", "synthetic", "--seeds", "3"]) == 0
    assert [t.seed for t in stored_study(f"seeds-{ABLATION_MODEL}-28").trials] == [0, 1, 2]
    assert "val 81.00% (78.52% to 83.48%)" in capsys.readouterr().out


def test_the_shell_ablates(pretended, capsys) -> None:
    options = ["--dataset", "synthetic", "--epochs", "2", "--seeds", "2", "--set", "width=8"]
    assert main(["ablate", *options]) == 0
    study = stored_study("ablation-28")
    assert list(study.by_label()) == [v.label for v in ABLATION_VARIANTS]
    assert study.base["model_arguments"]["width"] == 8
    assert study.base["epochs"] == 2
    out = capsys.readouterr().out
    assert all(v.label in out for v in ABLATION_VARIANTS)


def test_each_variant_departs_from_its_base_in_one_thing() -> None:
    by_label = {v.label: dict(v.params) for v in ABLATION_VARIANTS}
    assert len(by_label) == len(ABLATION_VARIANTS)
    assert by_label.pop("base: 4 layers") == {}
    for label, params in by_label.items():
        reference = by_label[studies.BATCH_NORM] if label.startswith(f"{studies.BATCH_NORM} + ") else {}
        assert len(params.items() - reference.items()) == 1, label
        assert all(ABLATION_BASE[name] != value for name, value in params.items()), label


@pytest.mark.parametrize("variant", ABLATION_VARIANTS, ids=lambda v: v.label)
def test_each_variant_is_a_network_of_its_own(variant: Variant) -> None:
    base = with_params(tiny(), ABLATION_BASE)
    config = with_params(base, variant.params)
    network = build(ABLATION_MODEL, 8, 28, **config.model_arguments)
    assert network(torch.rand(2, 3, 28, 28)).shape == (2, 8)
    if variant.params:
        assert config != base


def test_the_ablation_s_base_is_the_plain_cnn() -> None:
    arguments = {k: v for k, v in ABLATION_BASE.items() if k in get_model(ABLATION_MODEL).arguments}
    ours = build(ABLATION_MODEL, 8, 28, **arguments)
    plain = build("cnn_4", 8, 28)
    assert sorted(p.shape for p in ours.parameters()) == sorted(p.shape for p in plain.parameters())


def test_an_ablation_learns(capsys) -> None:
    study = run_ablation(with_params(tiny(), {**ABLATION_BASE, "epochs": 1, "width": 4}), 1)
    assert {t.state for t in study.trials} == {"complete"}
    assert all(0 <= t.score <= 1 and 0 <= t.test <= 1 and t.seconds > 0 for t in study.trials)
