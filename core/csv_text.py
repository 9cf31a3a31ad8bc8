"""Tables as CSV that a spreadsheet opens as they are meant: a row a line, no text taken for a formula."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and how East Asian keyboards write them


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The ``rows`` under their ``columns``, which need not all be there; further ones are left out."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\r\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def no_formula(text: str) -> str:
    """``text`` that a user chose; what a spreadsheet would take for a formula begins with an apostrophe."""
    text = text.replace("\0", "")
    begins = text.lstrip()
    return f"'{text}" if begins.startswith(_FORMULA) or text.startswith(("\t", "\r", "\n")) else text


def yes_no(value: bool | None) -> str:
    """'yes', 'no', or nothing where it isn't known."""
    return "" if value is None else "yes" if value else "no"
