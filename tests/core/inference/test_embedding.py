"""Where a network puts pictures."""

import numpy as np
import pytest

from core.inference.engine import EngineError, embed, has_embedding
from tests.stub_runs import make_run  # noqa: F401


def test_a_vector_is_the_mean_over_places(make_run):  # noqa: F811
    run, steps = make_run(size=8), []
    images = np.zeros((70, 8, 8, 3), np.uint8)
    images[:, :4, :, 0] = 255
    vectors = embed(run, images, steps.append)
    assert has_embedding(run)
    assert vectors.shape == (70, 3)
    assert vectors == pytest.approx(np.tile([0.5, 0, 0], (70, 1)))
    assert [step.done for step in steps] == [64, 70]
    assert embed(run, images[:0]).shape == (0, 3)


def test_a_graph_without_a_feature_map_is_told(make_run):  # noqa: F811
    with pytest.raises(EngineError):
        embed(make_run(size=8, features=False), np.zeros((1, 8, 8, 3), np.uint8))
