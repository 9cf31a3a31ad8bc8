"""The trainings: they lower their loss, go on where they were stopped, and stop when their minutes are over."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from core import paths
from core.datasets import LoadedDataset, get_dataset
from core.datasets.base import Provenance, Split
from core.generator import CARD, BadGenerator, find_generator, generate, generator_path, load_sheet
from core.generator.networks import Autoencoder, Flow
from core.generator.training import GeneratorConfig, Stage, optimize, train_generator
from core.runs import find_run
from tests.fake_generator import CONFIG, networks

NOTHING = 1e-9  # minutes after which one step is made


def regression(generator: torch.Generator, layer: nn.Linear) -> torch.Tensor:
    x = torch.randn(64, 3, generator=generator)
    return (layer(x) - x.sum(1, keepdim=True)).square().mean()


def test_a_stage_lowers_its_loss_and_ends_in_time(tmp_path):
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    stage = Stage(minutes=0.6 / 60, batch_size=64, learning_rate=0.1, warmup=5)
    told = []
    averaged, reached = optimize(layer, lambda g: regression(g, layer), stage, tmp_path / "s", 0, told.append)
    assert 0.6 <= reached.seconds < 2
    assert regression(torch.Generator().manual_seed(1), averaged) < 0.5
    assert told[-1].done == told[-1].total
    assert (tmp_path / "s").exists()


def test_a_stage_goes_on_where_it_was_stopped(tmp_path):
    layer = nn.Linear(3, 1)
    stage = Stage(minutes=NOTHING, batch_size=64, learning_rate=0.1)
    loss = [lambda g: regression(g, layer)]
    optimize(layer, loss[0], stage, tmp_path / "s", 0, lambda p: None)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    again = nn.Linear(3, 1)
    averaged, reached = optimize(again, lambda g: 1 / 0, stage, tmp_path / "s", 0, lambda p: None)
    assert reached.epoch == 1  # its time was over: nothing was done
    assert all(torch.equal(v, before[k]) for k, v in again.state_dict().items())
    assert all(torch.equal(v, before[k]) for k, v in averaged.state_dict().items())


def test_latents_have_one_size_whatever_the_pictures():
    network = Autoencoder(CONFIG.channels, CONFIG.width).train()
    pictures = torch.rand(16, 3, 32, 32) * 0.5 - 0.7
    for _ in range(3):
        latents = network.encode(pictures)
    assert latents.shape == (16, CONFIG.channels, 8, 8)
    assert latents.mean((0, 2, 3)).abs().max() < 1e-3
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.1
    assert network(pictures).shape == pictures.shape


@torch.inference_mode()
def test_the_flow_hears_time_and_class():
    _, flow = networks()
    latents = torch.randn(2, CONFIG.channels, 8, 8)
    here = flow(latents, torch.tensor([0.2, 0.2]), torch.tensor([1, 1]))
    assert here.shape == latents.shape
    assert not torch.allclose(here, flow(latents, torch.tensor([0.7, 0.7]), torch.tensor([1, 1])), atol=1e-4)
    assert not torch.allclose(here, flow(latents, torch.tensor([0.2, 0.2]), torch.tensor([8, 2])), atol=1e-4)
    alone = flow(latents[1:], torch.tensor([0.2]), torch.tensor([1]))
    np.testing.assert_allclose(alone[0], here[1], atol=1e-4)  # a cell knows nothing of its neighbours


def test_a_fresh_flow_says_nothing_and_is_no_larger_than_may_ship():
    config = GeneratorConfig()
    flow = Flow(config.channels, config.flow_width, 8)
    decoder = Autoencoder(config.channels, config.width).decoder
    assert not flow(torch.randn(1, 4, 16, 16), torch.ones(1), torch.zeros(1, dtype=torch.int64)).any()
    assert 2 * sum(p.numel() for n in (flow, decoder) for p in n.parameters()) < 4.5e6


def test_sizes_that_the_networks_can_not_halve_are_refused():
    with pytest.raises(BadGenerator, match="multiple of 16"):
        GeneratorConfig(size=28)


def test_a_generator_is_trained_measured_and_written_whole(tmp_path, monkeypatch):
    judge = find_run("cnn_se-64-4a7077")
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path))
    spec, images = get_dataset("synthetic"), np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), np.uint8)
    # Held-out cells that training has seen: nothing made can lie nearer to a training cell.
    known = Split(images, np.arange(16) % 8, np.arange(16).astype(str))
    data = LoadedDataset(spec, 64, Provenance("drawn", "noise", "0" * 12), {"train": known, "val": known})
    monkeypatch.setattr("core.generator.training.get_dataset", lambda name: SimpleNamespace(load=lambda size: data))
    stage = Stage(minutes=NOTHING, batch_size=4, learning_rate=1e-3)
    config = GeneratorConfig("synthetic", width=16, flow_width=8, judge=str(judge.path), autoencoder=stage, flow=stage)
    stages = []
    generator = train_generator(config, measured=2, report=lambda name: stages.append(name) or (lambda step: None))
    assert stages == ["Autoencoder", "Flow", "Cells to measure", "Nearest training cells"]
    assert generator.path == generator_path(paths.user_runs_root(), "synthetic")
    assert [path.name for path in generator.path.parent.iterdir()] == ["generator"]
    assert find_generator("synthetic").facts == generator.facts
    assert load_sheet(generator)[0].shape == (16, 64, 64, 3)
    assert generate(generator, [0], seed=0).shape == (1, 64, 64, 3)
    assert generator.facts["figures"]["agreement"][0]["run"] == judge.name
    card = (generator.path / CARD).read_text(encoding="utf-8")
    assert "16 cells, the same number of each class" in card
    assert f"| `{judge.name}` |" in card
    assert "{" not in card
