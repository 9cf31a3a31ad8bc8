"""Overlays against values worked out by hand."""

import subprocess
import sys

import numpy as np
import pytest

from core.explain.overlay import COLOUR_MAPS, apply_colour_map, colour_table, overlay, upsample_map


def test_blocks_show_the_true_resolution():
    values = np.array([[0.0, 0.25], [0.5, 1.0]])
    assert np.array_equal(upsample_map(values, 4, 6, "blocks"), values.repeat(2, 0).repeat(3, 1).astype(np.float32))


def test_smooth_is_bilinear_between_centres():
    """Two fields over eight pixels: centres at 1.5 and 5.5, linear between them, constant outside."""
    row = upsample_map(np.array([[0.0, 1.0]]), 1, 8)[0]
    np.testing.assert_allclose(row, [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], atol=1e-6)


def test_smooth_against_numpy_in_two_directions():
    values = np.random.default_rng(0).random((3, 4))

    def weights(small, large):
        place = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
        low = np.minimum(place.astype(int), small - 2)
        out = np.zeros((large, small))
        out[np.arange(large), low] = 1 - (place - low)
        out[np.arange(large), low + 1] = place - low
        return out

    expected = weights(3, 12) @ values @ weights(4, 20).T
    np.testing.assert_allclose(upsample_map(values, 12, 20), expected, atol=1e-6)


def test_ends_of_the_colour_scales():
    assert colour_table("viridis")[0].tolist() == [0x44, 0x01, 0x54]
    assert colour_table("viridis")[-1].tolist() == [0xFD, 0xE7, 0x25]
    assert apply_colour_map(np.array([[-1.0, 2.0, np.nan]]), "magma").tolist() == [
        [[0, 0, 4], [252, 253, 191], [0, 0, 4]]
    ]
    with pytest.raises(ValueError, match="jet"):
        colour_table("jet")


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_lightness_rises_evenly(name):
    """CIE lightness grows at every step and never by more than four times its mean step: no false edges."""
    rgb = colour_table(name)[::8] / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)
    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert steps.max() < 4 * steps.mean()


def test_overlay_by_hand():
    picture = np.array([[[200, 100, 0], [10, 20, 30]]], np.uint8)
    out = overlay(picture, np.array([[0.0, 1.0]]), colour_map="viridis", opacity=0.25, interpolation="blocks")
    # .75 x (200, 100, 0) + .25 x (68, 1, 84) = (167, 75.25, 21); .75 x (10, 20, 30) + .25 x (253, 231, 37)
    assert out.dtype == np.uint8
    assert out.tolist() == [[[167, 75, 21], [71, 73, 32]]]


def test_fading_leaves_the_picture_where_the_map_says_nothing():
    picture = np.full((1, 3, 3), 200, np.uint8)
    out = overlay(
        picture, np.array([[0.0, 0.25, 0.75]]), colour_map="viridis", opacity=0.5, interpolation="blocks", fade=True
    )
    quarter, three = (apply_colour_map(np.array([[v]]), "viridis")[0, 0] for v in (0.25, 0.75))
    assert out[0, 0].tolist() == [200, 200, 200]
    # Weight .5 x 2 x .25 = .25, and .5 x 1 from the middle of the scale on.
    np.testing.assert_allclose(out[0, 1], 150 + 0.25 * quarter, atol=0.5)
    np.testing.assert_allclose(out[0, 2], 100 + 0.5 * three, atol=0.5)


@pytest.mark.parametrize(("opacity", "what"), [(0, "picture"), (1, "map")])
def test_opacity_at_its_ends(opacity, what):
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    values = np.random.default_rng(2).random((5, 7))
    wanted = picture if what == "picture" else apply_colour_map(values, "magma")
    assert np.array_equal(overlay(picture, values, colour_map="magma", opacity=opacity, interpolation="blocks"), wanted)


def test_opacity_out_of_range():
    with pytest.raises(ValueError, match="opacity"):
        overlay(np.zeros((2, 2, 3), np.uint8), np.zeros((1, 1)), opacity=1.5)


def test_the_picture_is_left_alone():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture.setflags(write=False)
    overlay(picture, np.ones((2, 2)))
    assert not picture.any()


def test_needs_no_torch():
    code = "import sys, core.explain.overlay; sys.exit('torch' in sys.modules or 'captum' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
