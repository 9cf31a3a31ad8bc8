"""Tables of labels, slides and splits (CSV), read in one place; and another laboratory's names of classes, told in the
terms of a data set that models know.
"""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from core.datasets.base import DatasetSpec, DatasetUnavailable
from core.errors import plain_reason


def read_rows(table: Path | bytes) -> list[dict[str, str]]:
    """The rows of a CSV (a file or its content, UTF-8), each by the columns' names in small letters.

    Columns may be parted by commas, semicolons or tabs. Raises `DatasetUnavailable`.
    """
    try:
        text = (table if isinstance(table, bytes) else table.read_bytes()).decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=text.partition("\n")[0].count))
        columns = [name.strip().lower() for name in next(lines, [])]
        return [
            dict(zip(columns, [*map(str.strip, line), *[""] * len(columns)], strict=False)) for line in lines if line
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        name = "It" if isinstance(table, bytes) else table
        raise DatasetUnavailable(
            f"{name} can't be read as a table ({plain_reason(error)}). Save it as CSV in UTF-8."
        ) from error


def read_table(table: Path, column: str, key: str = "file") -> dict[str, str]:
    """The entry of ``column`` by that of ``key``, from a CSV with (at least) these columns.

    Raises `DatasetUnavailable`.
    """
    rows = read_rows(table)
    if not rows or not {key, column} <= set(rows[0]):
        present_columns = ", ".join(filter(None, rows[0])) if rows else "none"
        raise DatasetUnavailable(f"{table} needs the columns '{key}' and '{column}'; it has: {present_columns}.")
    return {row[key].replace("\\", "/"): row[column] for row in rows if row[key]}


def has_column(table: Path, column: str) -> bool:
    """Whether a CSV has that column; False where it can't be read."""
    try:
        return any(column in row for row in read_rows(table)[:1])
    except DatasetUnavailable:
        return False


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
    table_codes = {_normalized(k): v for k, v in read_table(table, "code", key="label").items()} if table else {}
    codes_by_name = {
        _normalized(name): cell.code
        for cell in target.classes
        for name in (cell.code, cell.name, cell.name.removesuffix("s"), *SYNONYMS.get(cell.code, ()))
    }
    codes_by_label: dict[str, str] = {}
    unmatched = []
    for label in dict.fromkeys(labels):
        name = _normalized(table_codes.get(_normalized(label), label))
        code = codes_by_name.get(name) or codes_by_name.get(name.removesuffix("s"))
        if code:
            codes_by_label[label] = code
        elif name or _normalized(label) not in table_codes:
            unmatched.append(label)
    if unmatched:
        raise DatasetUnavailable(
            f"No class of {target.title} is called {', '.join(map(repr, unmatched))}. Write a CSV with the columns "
            f"label,code that says what each is (one of {', '.join(target.codes)}; nothing leaves it out), and name it "
            "with --mapping."
        )
    if not codes_by_label:
        raise DatasetUnavailable(f"The mapping leaves out every class. At least one must be a class of {target.title}.")
    return codes_by_label


def _normalized(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.lower()).strip()
