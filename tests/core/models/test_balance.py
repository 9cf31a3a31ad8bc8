"""Pictures are evened out by their own brightest and darkest pixels, and home pictures hardly change."""

import numpy as np
import pytest
import torch

from core.models import build
from core.models.cnn_se import TARGET_BRIGHT, TARGET_DARK, ColourBalance


def cell(bright=TARGET_BRIGHT, dark=TARGET_DARK, size=32):
    """A dark disc, a third of the picture, on a bright ground: float (1, 3, size, size)."""
    y, x = np.mgrid[:size, :size] - size / 2
    disc = torch.tensor((x**2 + y**2) < (size / 3) ** 2)
    return torch.where(disc, torch.tensor(dark).view(3, 1, 1), torch.tensor(bright).view(3, 1, 1)).float()[None]


@pytest.fixture
def balance():
    return ColourBalance().eval()


def test_a_home_picture_stays_as_it_is(balance):
    assert torch.allclose(balance(cell()), cell(), atol=2e-3)


@pytest.mark.parametrize(
    ("bright", "dark"), [((0.5, 0.45, 0.4), (0.2, 0.1, 0.3)), ((0.9, 0.9, 1.0), (0.5, 0.3, 0.6))], ids=["dim", "pale"]
)
def test_light_and_stain_of_another_laboratory_are_taken_away(balance, bright, dark):
    assert torch.allclose(balance(cell(bright, dark)), cell(), atol=2e-3)


def test_an_empty_picture_stays_empty(balance):
    plain = balance(torch.full((1, 3, 32, 32), 0.7))
    assert plain.std((2, 3)).max() < 1e-5


def test_each_picture_is_evened_out_by_itself(balance):
    both = torch.cat([cell(), cell((0.5, 0.5, 0.5))])
    assert torch.allclose(balance(both)[:1], balance(both[:1]), atol=1e-6)


def test_only_training_varies_the_ends():
    layer = ColourBalance()
    layer.train()
    torch.manual_seed(0)
    assert not torch.allclose(layer(cell()), layer(cell()), atol=1e-3)
    layer.eval()
    assert torch.equal(layer(cell()), layer(cell()))


def test_weights_of_a_network_without_it_fit():
    plain, balanced = (build("cnn_se", 8, 64, width=16, balanced=b) for b in (None, True))
    balanced.load_state_dict(plain.state_dict())
    assert set(plain.state_dict()) == set(balanced.state_dict())
