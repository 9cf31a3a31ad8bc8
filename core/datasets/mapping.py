"""Another laboratory's names of classes, told in the terms of a data set that models know."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.datasets.base import DatasetSpec, DatasetUnavailable
from core.datasets.splits import read_table

# What laboratories call the classes of BloodMNIST, which joins the stages of granulocytes.
SYNONYMS = {
    "BA": ("baso", "basophile"),
    "EO": ("eos", "eosino", "eosinophile"),
    "ERB": ("normoblast", "nrbc", "nucleated red cell", "nucleated red blood cell"),
    "IG": ("immature granulocyte", "promyelocyte", "myelocyte", "metamyelocyte", "pmy", "my", "mmy"),
    "LY": ("lym", "lymph", "lymphozyt"),
    "MO": ("mono", "monozyt"),
    "NE": ("neu", "neut", "segmented neutrophil", "band neutrophil", "neutrophil segmented", "neutrophil band")
    + ("seg", "band", "sne", "bne"),
    "PLT": ("thrombocyte", "plt", "platelets"),
}


def map_labels(labels: Iterable[str], target: DatasetSpec, table: Path | None = None) -> dict[str, str]:
    """Code of ``target`` for each label that has one; labels that ``table`` maps to nothing are left out.

    ``table`` is a CSV with the columns 'label' and 'code' (a code or a class's name; empty to leave a label out).
    Labels that it doesn't name are matched by code, name or a usual synonym. Raises `DatasetUnavailable` with the
    labels that nothing fits.
    """
    given = {_plain(k): v for k, v in read_table(table, "code", key="label").items()} if table else {}
    known = _names(target)
    found: dict[str, str] = {}
    strange = []
    for label in dict.fromkeys(labels):
        wanted = given.get(_plain(label), label)
        code = known.get(_plain(wanted)) or known.get(_plain(wanted).removesuffix("s"))
        if code:
            found[label] = code
        elif wanted or _plain(label) not in given:
            strange.append(label)
    if strange:
        raise DatasetUnavailable(
            f"No class of {target.title} is called {', '.join(repr(s) for s in strange)}. Write a CSV with the columns "
            f"label,code that says what each is (one of {', '.join(target.codes)}; nothing leaves it out), and name it "
            "with --mapping."
        )
    if not found:
        raise DatasetUnavailable(f"The mapping leaves out every class. At least one must be a class of {target.title}.")
    return found


def _names(target: DatasetSpec) -> Mapping[str, str]:
    names: dict[str, str] = {}
    for cell in target.classes:
        for name in (cell.code, cell.name, cell.name.removesuffix("s"), *SYNONYMS.get(cell.code, ())):
            names[_plain(name)] = cell.code
    return names


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.lower()).strip()
