"""How other laboratories' cells are read with a run: kept with it, and told on its card."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.runs import CARD, Run, keep_elsewhere

_TITLE, _NEXT = "## Other laboratories", "## Limits"


def keep(run: Run, laboratories: Sequence[Mapping[str, Any]]) -> None:
    """Store ``laboratories`` (entries as of `Run.elsewhere`) and write them on the card, in place of older ones."""
    keep_elsewhere(run, laboratories)
    before, _, rest = run.card.partition(_TITLE)
    if rest:
        _, _, after = rest.partition(_NEXT)
    else:
        before, _, after = run.card.partition(_NEXT)
    (run.path / CARD).write_text(f"{before}{section(laboratories)}\n{_NEXT}{after}", encoding="utf-8")


def section(laboratories: Sequence[Mapping[str, Any]]) -> str:
    """The card's section, Markdown."""
    lines = [
        _TITLE,
        "",
        "Cells of laboratories that no training saw, framed at a scale that was found without labels. Mean share that "
        "is right, among the classes that occur there, of the cells of drawn natural differentials that nobody named.",
        "",
        "| laboratory | draws | cells scored in each | as it is | after the answers | answers |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {found['laboratory']} | {found['draws']} | {found['cells']} | {found['before']:.1%} | {found['after']:.1%} "
        f"| {found['answers']} |"
        for found in laboratories
    ]
    return "\n".join([*lines, ""])
