"""The eight views: exact, all different, and those that training draws from."""

import numpy as np
import pytest
import torch

from core.inference.engine import TTA_VIEWS, tta_views
from core.training import augment


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3), dtype=np.uint8)


def test_the_eight_views_are_all_there_are_and_keep_every_pixel(images):
    found = list(tta_views(images))
    assert len(found) == TTA_VIEWS == len({view.tobytes() for view in found})
    assert np.array_equal(found[0], images)
    for view in found:
        assert view.dtype == np.uint8
        assert view.shape == images.shape
        assert np.array_equal(np.sort(view.reshape(3, -1)), np.sort(images.reshape(3, -1)))
    again = {other.tobytes() for view in found for other in tta_views(view)}
    assert again == {view.tobytes() for view in found}, "turning a view gives another of the eight"


def test_one_view_is_the_picture_itself(images):
    assert [np.array_equal(view, images) for view in tta_views(images, 1)] == [True]


def test_training_draws_from_the_same_views(images, monkeypatch):
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    for kind, view in enumerate(tta_views(images)):
        monkeypatch.setattr(augment.torch, "randint", lambda *a, kind=kind, **k: torch.full((3,), kind))
        turned = augment._dihedral(pictures, torch.Generator())
        assert np.array_equal(turned.permute(0, 2, 3, 1).numpy(), view)
