"""Numbers, counts and class names as text for a person: one place for the shell, cards, tables and pages."""

import math
import re
import unicodedata
from collections.abc import Sequence

RESEARCH_LINE = "Research use only, not a medical device."


def percent(probability: float) -> str:
    """A probability as whole percents: '97 %', at the ends '> 99 %' and '< 1 %', never '100 %' or '0 %'."""
    if probability > 0.99:
        return "> 99 %"
    if probability < 0.01:
        return "< 1 %"
    return f"{probability * 100:.0f} %"


def exact_percent(share: float, digits: int = 1) -> str:
    """A share (0 to 1) as percents with ``digits`` decimals, for what was counted: '98.7 %', '100.0 %'."""
    return f"{100 * share:.{digits}f} %"


def percent_or_nan(share: float | None) -> float:
    """A share (0 to 1) in percents for a table; NaN, which a table leaves empty, where there is None."""
    return math.nan if share is None else 100 * share


def range_text(low: str, high: str) -> str:
    """Two figures as they are written: '1.2 to 3.4'; only one of them where both read alike."""
    return low if low == high else f"{low} to {high}"


def markdown_text(text: str, most: int | None = 60) -> str:
    """``text`` for Markdown: a file called '*a*' reads as it is called. Beyond ``most`` letters it is cut."""
    if most is not None and len(text) > most:
        return f"{markdown_text(text[: most - 3])}..."
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~$:.-])", r"\\\1", text)


def milliseconds(value: float) -> str:
    """A duration in milliseconds with its unit, two digits that mean something: '0.84 ms', '3.2 ms', '120 ms'."""
    digits = 2 if value < 1 else 1 if value < 10 else 0
    return f"{value:.{digits}f} ms"


def counted(number: int, noun: str) -> str:
    """'1 cell', '1,234 cells'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def plural(name: str) -> str:
    """The plural of a class name ('lymphocyte' to 'lymphocytes'); one that is plural already stays."""
    if name.startswith("not "):  # 'not identifiable' is said of cells, it names none
        return f"cells {name}"
    return name if name.endswith("s") else f"{name}s"


def of_class(name: str, unit: str = "cell") -> str:
    """Several pictures of the class ``name``: 'lymphocytes'; 'pre-B ALL fields' where one shows a field."""
    return plural(name) if unit == "cell" else f"{name.partition(' (')[0]} {unit}s"


def capitalized(text: str) -> str:
    """``text`` with a capital at its start; the other letters stay ('early pre-B' to 'Early pre-B')."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """'A', 'A and B', 'A, B and C'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts 'a2' before 'a10', without regard to case."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name.lower())]


def name_key(name: str) -> str:
    """What two spellings of one name have in common: without regard to case, to the space in and around it, and to how
    its accents are written (Unicode normalization form C).
    """
    return unicodedata.normalize("NFC", " ".join(unicodedata.normalize("NFC", name).casefold().split()))


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Lines of ``rows`` of equal length, their columns two spaces apart and flush left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def printable(text: str) -> str:
    """``text`` without characters that could steer a terminal or turn its direction: a file's name is the uploader's
    choice.
    """
    return "".join(c if c.isprintable() or c in _JOINERS else "?" for c in text)


def file_stem(text: str, most: int = 120) -> str:
    """``text`` as the beginning of a file's name that every file system takes: of letters, digits, '.', '_' and '-', at
    most ``most`` bytes; 'case' where nothing is left.
    """
    plain = re.sub(r"[^\w.-]+", "-", text).strip("-.")
    return plain.encode()[:most].decode("utf-8", "ignore") or "case"


def is_unicode(text: str) -> bool:
    """Whether it holds no half of a letter (a lone surrogate), which no file and no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_JOINERS = "\u200c\u200d"  # part of words in some scripts
