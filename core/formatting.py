"""Numbers, counts and class names as text for a person: one place for the shell, cards, tables and pages."""

from collections.abc import Sequence

RESEARCH_LINE = "Research use only, not a medical device."


def percent(probability: float) -> str:
    """A probability as whole percents: '97 %', at the ends '> 99 %' and '< 1 %', never '100 %' or '0 %'."""
    if probability > 0.99:
        return "> 99 %"
    if probability < 0.01:
        return "< 1 %"
    return f"{probability * 100:.0f} %"


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
