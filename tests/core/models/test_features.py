"""The features are those that well-known libraries compute, and do not depend on how the picture is turned."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.feature import graycomatrix, graycoprops
from skimage.filters import threshold_otsu
from skimage.measure import euler_number, regionprops

from core.datasets.synthetic import draw_cells
from core.models.classical.features import (
    ANGLES,
    FEATURE_SETS,
    PROPERTIES,
    Cooccurrence,
    NucleusShape,
    euler,
    histogram,
    histogram_percentiles,
    otsu_threshold,
    to_grey,
)

SIZE = 28


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Two noise pictures, a plain one and eight drawn cells, uint8 (11, 28, 28, 3)."""
    noise = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    return np.concatenate([noise, np.full((1, SIZE, SIZE, 3), 90, np.uint8), draw_cells(np.arange(8), SIZE, seed=1)])


def as_pixels(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float()


def test_grey_is_pillows(pictures) -> None:
    found = to_grey(as_pixels(pictures)).numpy()
    for picture, values in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(values, np.asarray(Image.fromarray(picture).convert("L")))


@pytest.mark.parametrize("levels", [8, 16])
def test_co_occurrence_is_that_of_scikit_image(pictures, levels: int) -> None:
    values = to_grey(as_pixels(pictures))
    texture = Cooccurrence(SIZE, levels, (1, 2, 4))
    found = texture.properties(values).numpy()
    shares = texture.matrices(values).numpy()
    for i, picture in enumerate(values.numpy()):
        quantised = (picture * levels // 256).astype(np.uint8)
        matrices = graycomatrix(quantised, (1, 2, 4), np.deg2rad(ANGLES), levels, symmetric=True, normed=True)
        np.testing.assert_allclose(shares[i].reshape(3, 4, levels, levels), matrices.transpose(2, 3, 0, 1), atol=1e-7)
        for k, name in enumerate(PROPERTIES):
            np.testing.assert_allclose(found[i, k], graycoprops(matrices, name), rtol=1e-4, atol=1e-5, err_msg=name)


def test_counts_percentiles_and_threshold_are_those_of_the_sorted_pixels(pictures) -> None:
    values = to_grey(as_pixels(pictures))
    counted = histogram(values)
    for i, picture in enumerate(values.numpy().astype(int)):
        np.testing.assert_array_equal(counted[i], np.bincount(picture.ravel(), minlength=256))
        wanted = (0, 10, 50, 99, 100)
        ranks = [round((SIZE * SIZE - 1) * p / 100) for p in wanted]
        np.testing.assert_array_equal(
            histogram_percentiles(counted, SIZE**2, wanted)[i], np.sort(picture.ravel())[ranks]
        )
        if picture.min() < picture.max():
            # Several thresholds between two values part the picture alike: what is compared is the parting.
            ours, theirs = float(otsu_threshold(counted, SIZE**2)[i]), threshold_otsu(hist=np.bincount(picture.ravel()))
            np.testing.assert_array_equal(picture <= ours, picture <= theirs)


def test_lobes_less_holes_are_those_of_scikit_image() -> None:
    masks = np.random.default_rng(1).random((20, 12, 12)) > 0.6
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    found = euler(torch.from_numpy(padded).float()).numpy()
    assert found.tolist() == [euler_number(mask, connectivity=2) for mask in masks]


def test_the_shape_of_a_tilted_ellipse_is_that_of_scikit_image() -> None:
    y, x = np.mgrid[:64, :64] - 30.0
    mask = ((x + y) / 30) ** 2 + ((x - y) / 14) ** 2 <= 1
    picture = np.where(mask[..., None], np.uint8([90, 20, 120]), np.uint8([230, 220, 230]))
    shape = NucleusShape(64)
    found = dict(zip(shape.names, shape(as_pixels(picture[None]))[0].tolist(), strict=True))
    region = regionprops(mask.astype(int))[0]
    assert found["Area of the nucleus"] == pytest.approx(mask.mean())
    assert found["Elongation of the nucleus"] == pytest.approx(region.eccentricity, abs=0.01)
    # scikit-image's axes are four deviations long and take each pixel for a square.
    assert 4 * 64 * found["Long axis of the nucleus"] == pytest.approx(region.axis_major_length, rel=0.02)
    assert found["Lobes less holes of the nucleus"] == 1
    assert found["Hollow centre of the nucleus"] == 1


@pytest.mark.parametrize("name", FEATURE_SETS)
@pytest.mark.parametrize("size", [28, 64])
def test_every_feature_has_a_name_of_its_own_a_group_and_a_number(name: str, size: int) -> None:
    described = FEATURE_SETS[name](size)
    plain = np.stack([np.full((size, size, 3), v, np.uint8) for v in (0, 130, 255)])
    table = described(as_pixels(np.concatenate([plain, draw_cells(np.arange(2), size, seed=0)])))
    assert table.shape == (5, len(described.names)) == (5, len(described.groups))
    assert len(set(described.names)) == len(described.names)
    assert torch.isfinite(table).all()


@pytest.mark.parametrize("name", FEATURE_SETS)
def test_a_turned_or_mirrored_cell_has_the_same_features(name: str, pictures) -> None:
    described = FEATURE_SETS[name](SIZE)
    expected = described(as_pixels(pictures))
    for turned in (np.rot90(pictures, 1, (1, 2)), np.rot90(pictures, 2, (1, 2)), pictures[:, :, ::-1]):
        np.testing.assert_allclose(described(as_pixels(turned)), expected, rtol=1e-3, atol=1e-3)


def test_the_second_set_goes_on_where_the_first_ends() -> None:
    grey_set, colour_set = (FEATURE_SETS[name](SIZE) for name in ("grey", "colour"))
    assert colour_set.names[: len(grey_set.names)] == grey_set.names
    assert {"Colour", "Shape of the nucleus"} <= set(colour_set.groups) - set(grey_set.groups)
