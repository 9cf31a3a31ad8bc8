"""Maps in two dimensions, and neighbours in all of them."""

import numpy as np
import pytest

from core.evaluation.embeddings import nearest_neighbours, neighbour_purity, normalise, project, projection_methods


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three far groups of twenty vectors in eight dimensions."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], 20)
    return (10 * np.eye(8)[labels] + rng.normal(0, 0.5, (60, 8))).astype(np.float32), labels


@pytest.mark.parametrize("method", list(projection_methods()))
def test_groups_stay_groups(blobs, method):
    vectors, labels = blobs
    drawn = project(vectors, method)
    assert drawn.points.shape == (60, 2)
    assert (drawn.explained_variance is not None) == (method == "pca")
    middles = np.stack([drawn.points[labels == label].mean(0) for label in range(3)])
    nearest_middle = np.linalg.norm(drawn.points[:, None] - middles, axis=2).argmin(1)
    assert np.array_equal(nearest_middle, labels)


def test_pca_is_the_same_each_time_and_says_how_much_it_keeps(blobs):
    drawn = project(blobs[0])
    assert 0.9 < drawn.explained_variance <= 1
    assert np.array_equal(drawn.points, project(blobs[0]).points)


def test_too_few_points_are_refused_and_equal_ones_are_not():
    with pytest.raises(ValueError, match="5 points"):
        project(np.zeros((4, 3)))
    assert np.isfinite(project(np.ones((6, 3))).points).all()


def test_nearest_goes_by_direction_and_leaves_the_asked_one_out():
    vectors = np.array([[1.0, 0], [100, 1], [1, 1], [-1, 0], [0, 0]])
    rows, cosines = nearest_neighbours(vectors, 0, 3)
    assert rows.tolist() == [1, 2, 4]
    assert cosines[0] == pytest.approx(1, abs=1e-3)
    assert cosines[1] == pytest.approx(np.sqrt(0.5))
    assert len(nearest_neighbours(vectors, 0, 99)[0]) == 4
    assert np.linalg.norm(normalise(vectors), axis=1).tolist() == pytest.approx([1, 1, 1, 1, 0])


def test_share_of_the_own_class_among_the_nearest(blobs):
    vectors, labels = blobs
    assert neighbour_purity(vectors, labels).tolist() == [1] * 60
    stranger = labels.copy()
    stranger[0] = 1
    assert neighbour_purity(vectors, stranger)[0] == 0
    assert neighbour_purity(vectors[:3], labels[:3]).tolist() == [1] * 3
