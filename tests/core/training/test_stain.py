"""Pictures as other laboratories might have them: varied, in range, and the same for the same seed."""

from dataclasses import fields, replace

import pytest
import torch

from core.training.augment import StainJitter, jitter_stain

NONE = StainJitter(**{f.name: 0.0 for f in fields(StainJitter)})


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.8 + 0.1


def drawn(pictures, stain, seed=0):
    return jitter_stain(pictures, stain, torch.Generator().manual_seed(seed))


def test_without_any_variation_nothing_changes(pictures):
    assert torch.allclose(drawn(pictures, NONE), pictures, atol=1e-5)


@pytest.mark.parametrize("name", [f.name for f in fields(StainJitter)])
def test_each_kind_of_variation_changes_pictures_and_stays_in_range(pictures, name):
    varied = drawn(pictures, replace(NONE, **{name: getattr(StainJitter(), name)}))
    assert (varied - pictures).abs().mean() > 1e-3
    assert varied.min() >= 0
    assert varied.max() <= 1


def test_the_same_seed_draws_the_same(pictures):
    assert torch.equal(drawn(pictures, StainJitter()), drawn(pictures, StainJitter()))
    assert not torch.equal(drawn(pictures, StainJitter()), drawn(pictures, StainJitter(), seed=1))


def test_a_blur_takes_detail_from_half_of_the_pictures(pictures):
    varied = drawn(pictures, replace(NONE, blur=0.1))
    detail = varied.diff(dim=3).abs().mean((1, 2, 3)) / pictures.diff(dim=3).abs().mean((1, 2, 3))
    assert 0.3 < (detail > 0.99).float().mean() < 0.7
    assert detail.min() < 0.6


def test_grey_takes_colour_from_its_share_of_the_pictures(pictures):
    varied = drawn(pictures, replace(NONE, grey=0.35))
    colour = varied.std(1).mean((1, 2)) / pictures.std(1).mean((1, 2))
    assert 0.2 < (colour < 0.99).float().mean() < 0.5
