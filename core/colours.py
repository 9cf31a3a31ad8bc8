"""The colours of pages and reports: grounds, inks and one hue for each class.

Those of text, lines and grounds are those of ``.streamlit/config.toml`` (a test compares them).
"""

from collections.abc import Sequence

LIGHT = {"background": "#ffffff", "panel": "#f5f3fa", "text": "#17112a", "quiet": "#6a6579", "line": "#ddd8e8"}
DARK = {"background": "#15131d", "panel": "#211e2d", "text": "#edeaf5", "quiet": "#a8a3b8", "line": "#3a3549"}
PRIMARY = {False: "#5b3fa8", True: "#b7a2f5"}

# One colour for each class, by day and by night: one that changed with the theme would be learnt twice. Found by search
# for the largest smallest distance (CIEDE2000) between any two under full colour vision, deuteranopia, protanopia and
# tritanopia, at a contrast of at least 3:1 to the grounds of both themes; tests/dashboard/test_style.py checks both.
_CLASS_COLOURS = {
    code: (colour, colour)
    for code, colour in {
        "BA": "#685bc3",
        "EO": "#b6824e",
        "ERB": "#d02768",
        "IG": "#826800",
        "LY": "#7582f7",
        "MO": "#347568",
        "NE": "#82759c",
        "PLT": "#828f8f",
    }.items()
}

# A ninth that is told apart as well: nearly black, by night nearly white.
_NINTH = ("#100010", "#f0f0f8")
# Twelve more, each in two shades of one hue, as by day and by night no one shade is left: found one after another for
# the largest smallest distance to those before. So many can't all be told apart: codes and names must speak, the
# colours only help.
_FURTHER = {
    "ABE": ("#602060", "#d0a0c0"),
    "ART": ("#904080", "#d0c0c0"),
    "FGC": ("#103020", "#a0f0c0"),
    "HAC": ("#404010", "#f0f070"),
    "KSC": ("#0030b0", "#70b0f0"),
    "LYI": ("#605040", "#b0b000"),
    "MMZ": ("#000050", "#c0d0f0"),
    "MYB": ("#702040", "#f09090"),
    "NGB": ("#607040", "#a0d070"),
    "OTH": ("#301030", "#707040"),
    "PEB": ("#001000", "#00b070"),
    "PLM": ("#7000f0", "#b080c0"),
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
