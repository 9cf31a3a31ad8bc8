"""Grad-CAM against maps computed by hand with numpy; hooks and state after success and after failures."""

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import HemaLensError
from core.explain.gradcam import cam_stages, grad_cam, normalise_map
from core.models import build, model_names
from core.models.base import ImageClassifier, pooled_head

MIX = np.array([[1, -1, 0], [0, 1, 1]], np.float32)  # channels of the first map from R, G, B
DEEP = np.array([[1, -2], [-1, 1]], np.float32)  # channels of the second map from the first's
VOTES = np.array([[1, -0.5], [-1, 2], [-1, -1]], np.float32)  # class scores from the second map's means


def by_hand() -> ImageClassifier:
    """6x6 pixels -> 1x1 conv, ReLU (6x6) -> 2x2 mean -> 1x1 conv, ReLU (3x3) -> mean -> three scores."""
    first, second = nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 2, 1, bias=False)
    body = nn.Sequential(first, nn.ReLU(), nn.AvgPool2d(2), second, nn.ReLU())
    network = ImageClassifier(body, pooled_head(2, 3)).eval()
    with torch.no_grad():
        first.weight.copy_(torch.from_numpy(MIX)[:, :, None, None])
        second.weight.copy_(torch.from_numpy(DEEP)[:, :, None, None])
        network.head[-1].weight.copy_(torch.from_numpy(VOTES))
        network.head[-1].bias.zero_()
    return network


@pytest.fixture
def network():
    return by_hand()


@pytest.fixture
def picture():
    return np.random.default_rng(5).integers(0, 256, (6, 6, 3), dtype=np.uint8)


def maps_by_numpy(picture):
    """The hand-made network's maps: first (2, 6, 6), second before its ReLU (2, 3, 3)."""
    x = (picture.astype(np.float64) / 255 - 0.5) / 0.25
    first = np.maximum(np.einsum("kc,hwc->khw", MIX, x), 0)
    pooled = first.reshape(2, 3, 2, 3, 2).mean((2, 4))
    return first, np.einsum("kj,jhw->khw", DEEP, pooled)


def hooks(network):
    return [m for m in network.modules() if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks]


@pytest.mark.parametrize("target", [0, 1])
def test_last_map_by_hand(network, picture, target):
    """The gradient of a score with respect to a field of the last map is its vote / 9."""
    _, second = maps_by_numpy(picture)
    raw = np.maximum(np.einsum("k,khw->hw", VOTES[target] / 9, np.maximum(second, 0)), 0)
    assert raw.max() > 0
    answer = grad_cam(network, picture, target)
    assert answer.values.shape == (3, 3)
    assert answer.values.dtype == np.float32
    assert answer.peak == pytest.approx(raw.max(), rel=1e-5)
    np.testing.assert_allclose(answer.values, raw / raw.max(), rtol=1e-5, atol=1e-6)
    assert not answer.is_empty


def test_earlier_map_by_hand(network, picture):
    """One layer further down, the chain rule: through the ReLU where the unit is on, the 1x1 conv and the 2x2 mean."""
    first, second = maps_by_numpy(picture)
    on = (second > 0).astype(float)  # (2, 3, 3)
    to_pooled = np.einsum("k,khw,kj->jhw", VOTES[1] / 9, on, DEEP)  # gradient at the pooled map
    to_first = to_pooled.repeat(2, 1).repeat(2, 2) / 4
    raw = np.maximum(np.einsum("k,khw->hw", to_first.mean((1, 2)), first), 0)
    assert raw.max() > 0
    fine = cam_stages(network, 6)[0]
    answer = grad_cam(network, picture, 1, fine.layer)
    assert answer.values.shape == (6, 6)
    np.testing.assert_allclose(answer.values, raw / raw.max(), rtol=1e-5, atol=1e-6)


def test_nothing_speaks_for_a_class_with_negative_votes(network, picture):
    answer = grad_cam(network, picture, 2)
    assert answer.is_empty
    assert answer.peak == 0
    assert not answer.values.any()


def test_scaled_keeps_place_and_drops_strength():
    one, other = normalise_map(np.array([[0, 1.0], [2, 4]]), 0), normalise_map(np.array([[0, 10.0], [20, 40]]), 0)
    assert np.array_equal(one.values, other.values)
    assert (one.peak, other.peak) == (4, 40)
    assert normalise_map(np.array([[np.nan, 1.0]]), 0).is_empty


def test_stages_tell_their_true_resolution(network):
    found = cam_stages(network, 6)
    assert [(s.name, s.channels, s.depth, s.last) for s in found] == [("6 x 6", 2, 1, False), ("3 x 3", 2, 2, True)]
    assert found[0].layer is network.body[1]  # after the ReLU, not the convolution of the same size
    assert found[-1].layer is network.cam_layer


@pytest.mark.parametrize("name", model_names("network"))
def test_every_model_has_maps_of_the_sides_it_says(name):
    network = build(name, 8, 28).eval()
    picture = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    found = cam_stages(network, 28)
    assert [s.last for s in found] == [False] * (len(found) - 1) + [True]
    assert len({(s.height, s.width) for s in found}) == len(found)
    for stage in found:
        assert grad_cam(network, picture, 3, stage.layer).values.shape == (stage.height, stage.width)
    assert not hooks(network)


def test_a_body_that_is_no_sequence_offers_its_last_map():
    class Body(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, stride=2)

        def forward(self, x):
            return self.conv(x)

    assert [(s.name, s.last) for s in cam_stages(ImageClassifier(Body(), pooled_head(4, 2)), 9)] == [("4 x 4", True)]


@pytest.mark.parametrize("target", [3, -1, 99])
def test_a_wrong_class_is_told_and_leaves_no_hook(network, picture, target):
    with pytest.raises(HemaLensError, match="knows 3 classes"):
        grad_cam(network, picture, target)
    assert not hooks(network)


def test_success_leaves_no_hook_gradient_or_flag(network, picture):
    network.requires_grad_(False)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    grad_cam(network, picture, 0)
    assert not hooks(network)
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert not network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_a_crash_behind_the_layer_leaves_no_hook(network, picture):
    class Broken(nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    network.head = Broken()
    with pytest.raises(ZeroDivisionError):
        grad_cam(network, picture, 0)
    assert not hooks(network)


def test_a_layer_that_is_not_in_the_network_leaves_no_hook(network, picture):
    stranger = nn.ReLU()
    with pytest.raises(Exception, match=r".+"):
        grad_cam(network, picture, 0, stranger)
    assert not hooks(network)
    assert not stranger._forward_hooks


def test_works_inside_no_grad(network, picture):
    """The caller's setting is neither obeyed, which would break the map, nor changed."""
    with torch.no_grad():
        inside = grad_cam(network, picture, 0)
        assert not torch.is_grad_enabled()
    assert np.array_equal(inside.values, grad_cam(network, picture, 0).values)
