"""The colours of pages and reports: grounds, inks and one hue for each class.

Those of text, lines and grounds are those of ``.streamlit/config.toml`` (a test compares them).
"""

from collections.abc import Sequence

LIGHT = {"background": "#ffffff", "panel": "#f5f3fa", "text": "#231d36", "quiet": "#6a6579", "line": "#ddd8e8"}
DARK = {"background": "#15131d", "panel": "#211e2d", "text": "#edeaf5", "quiet": "#a8a3b8", "line": "#3a3549"}
PRIMARY = {False: "#5b3fa8", True: "#b7a2f5"}

# One hue for each class; two shades, for the light and for the dark ground. Found by search for the
# largest smallest distance (CIEDE2000) between any two under full colour vision, deuteranopia,
# protanopia and tritanopia, at a contrast of at least 3:1; tests/dashboard/test_style.py checks both.
_CLASS_COLOURS = {
    "BA": ("#9477f3", "#977cf2"),
    "EO": ("#8e2406", "#be4021"),
    "ERB": ("#ec5385", "#d48e9f"),
    "IG": ("#728932", "#8fb01d"),
    "LY": ("#1954c1", "#a3c4fe"),
    "MO": ("#088d77", "#1c7867"),
    "NE": ("#613263", "#97559a"),
    "PLT": ("#4b4944", "#f7dbac"),
}

# A ninth that is told apart as well: nearly black, by night nearly white.
_NINTH = ("#100010", "#f0f0f8")
# Twelve more, in the families of hue of the eight, found one after another for the largest smallest distance to those
# before. So many can't all be told apart: codes and names must speak, the colours only help.
_FURTHER = {
    "ABE": ("#a05000", "#d0b098"),
    "ART": ("#103030", "#708080"),
    "FGC": ("#187068", "#c8f0d8"),
    "HAC": ("#302040", "#9080a0"),
    "KSC": ("#885060", "#a85060"),
    "LYI": ("#000040", "#8898c0"),
    "MMZ": ("#405030", "#f8f880"),
    "MYB": ("#706848", "#989060"),
    "NGB": ("#b078b0", "#c8b8c8"),
    "OTH": ("#888890", "#c0c8c0"),
    "PEB": ("#501018", "#c85880"),
    "PLM": ("#686088", "#3068d0"),
}
# What means the same has the same colour in every data set; bone marrow's promyelocyte is an immature granulocyte.
_SAME = {"BAS": "BA", "EBO": "ERB", "EOS": "EO", "LYT": "LY", "MON": "MO", "NGS": "NE", "NIF": "PLT", "PMO": "IG"}
_MARROW = {code: _CLASS_COLOURS[like] for code, like in _SAME.items()} | {"BLA": _NINTH} | _FURTHER
_ALL = {code: _CLASS_COLOURS[like] for code, like in {"BEN": "PLT", "EPB": "LY", "PRE": "ERB", "PRO": "EO"}.items()}
_BLOOD = _CLASS_COLOURS | {"BLA": _NINTH}  # no model names blasts there, a person does
_PALETTES = (_BLOOD, _ALL, _MARROW)
_IN_ORDER = (*_CLASS_COLOURS.values(), _NINTH, *_FURTHER.values())


def class_colours(codes: Sequence[str], dark: bool = False) -> dict[str, str]:
    """The colour (hex) of each class, the same everywhere.

    Classes of BloodMNIST, ALL and bone marrow have colours of their own, those of other data sets get theirs by
    position: nine are told apart by everyone, 21 are different.
    """
    for palette in _PALETTES:
        if all(code in palette for code in codes):
            return {code: palette[code][dark] for code in codes}
    return {code: _IN_ORDER[position % len(_IN_ORDER)][dark] for position, code in enumerate(codes)}
