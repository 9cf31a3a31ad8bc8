"""The look holds: class colours are told apart by everyone, and stand out from both grounds."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from core.datasets import get_dataset
from dashboard import style

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
ALL = ("BEN", "EPB", "PRE", "PRO")
MARROW = (
    *("ABE", "ART", "BAS", "BLA", "EBO", "EOS", "FGC", "HAC", "KSC", "LYI", "LYT"),
    *("MMZ", "MON", "MYB", "NGB", "NGS", "NIF", "OTH", "PEB", "PLM", "PMO"),
)
SEVEN = ("BLA", "EOS", "LYT", "MON", "NGS", "NIF", "PMO")
OWN = tuple(f"own {number}" for number in range(9))
THEME = tomllib.loads((Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml").read_text())["theme"]

# Severity 1.0 of Machado, Oliveira and Fernandes 2009 (doi:10.1109/TVCG.2009.113), on linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(colour):
    v = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    t = RGB_TO_XYZ @ rgb / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one, other):
    """CIEDE2000: Sharma, Wu and Dalal 2005 (doi:10.1002/col.20070)."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean_c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean_c**7 / (mean_c**7 + 25**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    lightness, chroma, hue = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    sl = 1 + 0.015 * (lightness - 50) ** 2 / np.sqrt(20 + (lightness - 50) ** 2)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    twist = -np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    rt = 2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * twist
    return float(np.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh)))


def test_the_distance_agrees_with_published_pairs():
    # Pairs 1 and 19 of the table of Sharma et al.
    assert distance((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert distance((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=1e-4)


def nearest(codes, vision, dark):
    """The least distance between the colours of any two of ``codes`` as ``vision`` sees them, and which these are."""
    colours = style.class_colours(codes, dark)
    seen = {c: lab(np.clip(np.array(VISION[vision]) @ linear(colours[c]), 0, 1)) for c in codes}
    closest = min(itertools.combinations(codes, 2), key=lambda pair: distance(seen[pair[0]], seen[pair[1]]))
    return distance(seen[closest[0]], seen[closest[1]]), closest


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("codes", [CODES, ALL, SEVEN, OWN], ids=["BloodMNIST", "ALL", "marrow, seven", "own, nine"])
def test_class_colours_are_told_apart(codes, vision, dark):
    least, pair = nearest(codes, vision, dark)
    assert least > 12, pair


@pytest.mark.parametrize("dark", [False, True])
def test_twenty_one_colours_differ_as_far_as_so_many_can(dark):
    assert len(set(style.class_colours(MARROW, dark).values())) == 21
    for vision in VISION:
        least, pair = nearest(MARROW, vision, dark)
        assert least > (9 if vision == "full" else 7), (vision, pair)


def test_what_means_the_same_has_the_same_colour_in_every_data_set():
    for dark in (False, True):
        blood, marrow = style.class_colours(CODES, dark), style.class_colours(MARROW, dark)
        for one, other in {"EOS": "EO", "LYT": "LY", "MON": "MO", "NGS": "NE", "BAS": "BA", "EBO": "ERB"}.items():
            assert marrow[one] == blood[other]


def test_the_palettes_are_those_of_the_registered_classes():
    assert set(get_dataset("all4").codes) == set(ALL)
    assert set(get_dataset("bone_marrow").codes) == set(MARROW)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("codes", [CODES, ALL, MARROW, OWN], ids=["BloodMNIST", "ALL", "marrow", "own"])
def test_class_colours_stand_out_from_ground_and_panels(codes, dark):
    colours = style.class_colours(codes, dark)
    for surface in ("background", "panel"):
        for code in codes:
            assert style.contrast(colours[code], style.ground(dark)[surface]) >= 3, (code, surface)


def test_a_class_keeps_its_hue_in_the_dark():
    light, dark = style.class_colours(CODES), style.class_colours(CODES, dark=True)
    light |= style.class_colours(MARROW)
    dark |= style.class_colours(MARROW, dark=True)
    for code in [c for c in light if c not in ("PLT", "NIF", "BLA", "ART", "OTH")]:  # nearly grey: no hue to keep
        one, other = lab(linear(light[code])), lab(linear(dark[code]))
        turn = np.degrees(np.arctan2(one[2], one[1]) - np.arctan2(other[2], other[1]))
        assert abs((turn + 180) % 360 - 180) < 40, code


def test_a_class_of_blood_has_one_colour_by_day_and_by_night():
    assert style.class_colours(CODES) == style.class_colours(CODES, dark=True)
    assert style.class_colours(ALL) == style.class_colours(ALL, dark=True)


def test_most_is_never_the_palest_of_the_page_by_night():
    for end in (style.sequential(True)[-1], *style.diverging(True)[:: len(style.diverging(True)) - 1]):
        assert lab(linear(end))[0] < 72 < lab(linear(style.DARK["text"]))[0]
        assert np.hypot(*lab(linear(end))[1:]) > 28, "vivid, not grey"


def test_what_is_chosen_and_what_is_pressed_are_read():
    """Streamlit writes white on the primary colour, and the chosen segment on a tenth of it; captions are at 60 %."""
    for name in ("light", "dark"):
        theme = THEME[name]
        assert style.contrast("#ffffff", theme["primaryColor"]) >= 4.5
        chosen = mixed(theme["primaryColor"], theme["backgroundColor"], 0.1)
        assert style.contrast(theme["violetColor"], chosen) >= 4.5
        for ground in (theme["backgroundColor"], theme["secondaryBackgroundColor"]):
            assert style.contrast(mixed(theme["textColor"], ground, 0.6), ground) >= 4.5
    assert style.option_label(":material/grid_view: Cells") == ":material/grid_view: :violet[Cells]"
    assert style.option_label("train") == ":violet[train]"


def mixed(colour, ground, share):
    """``colour`` at an opacity of ``share`` on ``ground``."""
    parts = ((int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * over + (1 - share) * under):02x}" for over, under in parts)


def test_colours_do_not_depend_on_which_classes_are_asked_for():
    assert style.class_colours(["LY", "BA"])["LY"] == style.class_colours(CODES)["LY"]


def test_classes_of_other_data_sets_get_colours_by_position():
    colours = style.class_colours(["Benign", "Early", "Pre", "Pro"])
    assert len(set(colours.values())) == 4
    assert len(set(style.class_colours([f"c{i}" for i in range(21)]).values())) == 21
    assert len(style.class_colours([f"c{i}" for i in range(40)])) == 40


def test_figures_and_theme_use_the_same_colours():
    for name, colours in (("light", style.LIGHT), ("dark", style.DARK)):
        theme = THEME[name]
        assert theme["backgroundColor"] == colours["background"]
        assert theme["secondaryBackgroundColor"] == colours["panel"]
        assert theme["textColor"] == colours["text"]
        assert theme["borderColor"] == colours["line"]
        assert theme["grayColor"] == colours["quiet"]


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_theme_is_readable(name):
    theme = THEME[name]
    for ground in (theme["backgroundColor"], theme["secondaryBackgroundColor"]):
        assert style.contrast(theme["textColor"], ground) >= 7
        assert style.contrast(theme["linkColor"], ground) >= 4.5
        assert style.contrast(theme["grayColor"], ground) >= 4.5
    assert style.contrast(theme["primaryColor"], theme["backgroundColor"]) >= 3


@pytest.mark.parametrize("dark", [False, True])
def test_scales_start_at_the_ground_and_grow_evenly(dark):
    scale, ground = style.sequential(dark), style.ground(dark)["background"]
    assert scale[0] == ground
    lightness = [lab(linear(c))[0] for c in scale]
    steps = np.diff(lightness)
    assert (steps < 0).all() if not dark else (steps > 0).all()
    assert np.abs(steps).max() < 2.5 * np.abs(steps).min()
    middle = style.diverging(dark)
    assert len(middle) % 2 == 1
    assert middle[len(middle) // 2] == ground


def test_finish_gives_title_height_and_font():
    fig = style.finish(go.Figure(), title="Neutrophils are the commonest", height=300, dark=True)
    assert fig.layout.title.text == "Neutrophils are the commonest"
    assert fig.layout.height == 300
    assert fig.layout.font.color == style.DARK["text"]


@pytest.mark.parametrize("dark", [False, True])
def test_the_colours_of_series_are_readable_and_no_two_the_same(dark):
    colours = style.series_colours(11, dark)
    assert len(set(colours)) == 11
    assert all(style.contrast(colour, style.ground(dark)["background"]) >= 3 for colour in colours)
