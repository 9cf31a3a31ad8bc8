"""Gates of one picture and class means."""

import numpy as np
import pytest
import torch
from torch import nn

from core.explain.gates import class_gate_means, has_gates, image_gates
from core.models import build


@pytest.fixture
def pictures():
    return np.random.default_rng(3).integers(0, 256, (11, 28, 28, 3), dtype=np.uint8)


def network_of(name):
    torch.manual_seed(1)
    network = build(name, 8, 28, width=8).eval()
    for module in network.modules():  # residual branches start at zero, and a gate over zero tells nothing
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return network


@pytest.mark.parametrize(("name", "spatial"), [("cnn_se", False), ("cnn_cbam", True)])
def test_gates_of_one_picture(name, spatial, pictures):
    gates = image_gates(network_of(name), pictures[0])
    assert [g.stage for g in gates] == [f"stage {i}" for i in range(1, 6)]
    assert [g.channel.shape for g in gates] == [(8,), (16,), (16,), (32,), (32,)]
    for gate in gates:
        assert ((gate.channel > 0) & (gate.channel < 1)).all()
        assert (gate.spatial is not None) == spatial
    if spatial:
        assert [g.spatial.shape for g in gates] == [(28, 28), (14, 14), (14, 14), (7, 7), (7, 7)]


def test_means_are_the_mean_of_single_pictures(pictures):
    network = network_of("cnn_se")
    labels = np.array([0, 2, 2, 0, 1, 1, 1, 2, 0, 0, 2])
    means = class_gate_means(network, pictures, labels, ["a", "b", "c"], batch=4)
    assert list(means) == [f"stage {i}" for i in range(1, 6)]
    for index, stage in enumerate(means):
        single = np.stack([image_gates(network, p)[index].channel for p in pictures])
        for label in range(3):
            np.testing.assert_allclose(means[stage][label], single[labels == label].mean(0), atol=1e-5)


def test_a_class_without_pictures_has_nan(pictures):
    means = class_gate_means(network_of("cnn_se"), pictures[:2], np.array([0, 0]), 2)
    assert np.isfinite(means["stage 1"][0]).all()
    assert np.isnan(means["stage 1"][1]).all()


def test_no_attention_no_gates(pictures):
    network = build("cnn_bn", 8, 28).eval()
    assert not has_gates(network)
    assert image_gates(network, pictures[0]) == []
    assert class_gate_means(network, pictures, np.zeros(11, int), 8) == {}


def test_means_leave_the_mode_as_it_was(pictures):
    network = network_of("cnn_cbam").train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    class_gate_means(network, pictures, np.zeros(11, int), 1)
    assert network.training
    # Read in eval mode: batch statistics were neither used nor updated.
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
