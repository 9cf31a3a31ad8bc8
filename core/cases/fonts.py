"""The font of reports: Source Sans, as on the pages, from its package (SIL Open Font License)."""

import io
import unicodedata
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Literal

import font_source_sans_pro
from fontTools import subset
from fontTools.ttLib import TTFont

from core.formatting import counted

Weight = Literal["Regular", "Semibold"]


def font_file(weight: Weight) -> Path:
    """The TrueType file of that ``weight``."""
    return Path(font_source_sans_pro.font_directory) / f"SourceSansPro-{weight}.ttf"


@cache
def characters() -> frozenset[str]:
    """All that both weights can print."""
    known = [TTFont(font_file(weight), lazy=True).getBestCmap().keys() for weight in ("Regular", "Semibold")]
    return frozenset(map(chr, known[0] & known[1]))


def subset_font(weight: Weight, text: str) -> bytes:
    """A WOFF file with the characters of ``text`` alone; the same ones give the same bytes."""
    return _subset(weight, "".join(sorted(set(text) & characters())))


@lru_cache(maxsize=16)
def _subset(weight: Weight, text: str) -> bytes:
    options = subset.Options(
        flavor="woff", layout_features=["kern"], name_IDs=[1, 2, 13, 14], notdef_outline=True, hinting=False
    )
    font = TTFont(font_file(weight), recalcTimestamp=False, lazy=True)
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text)
    subsetter.subset(font)
    content = io.BytesIO()
    subset.save_font(font, content, options)
    return content.getvalue()


def substituted(text: str) -> str:
    """``text`` with what the font can't print told instead: '[4 characters this font lacks]' for a Chinese name."""
    text = unicodedata.normalize("NFC", text)
    lacking = [character not in characters() for character in text]
    words = [
        lacks or (character == " " and 0 < i < len(text) - 1 and lacking[i - 1] and lacking[i + 1])
        for i, (character, lacks) in enumerate(zip(text, lacking, strict=True))
    ]
    shown = []
    for lacks, run in groupby(zip(text, words, strict=True), key=lambda pair: pair[1]):
        part = "".join(character for character, _ in run)
        shown.append(f"[{counted(len(part.replace(' ', '')), 'character')} this font lacks]" if lacks else part)
    return "".join(shown)
