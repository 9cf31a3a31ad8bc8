"""Tables as CSV that a spreadsheet opens as they are meant: a row a line, no text taken for a formula."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and how East Asian keyboards write them


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The ``rows`` under their ``columns``, which need not all be there; further ones are left out, texts `guarded`."""
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\r\n", extrasaction="ignore")
    table.writeheader()
    table.writerows({column: guarded(value) for column, value in row.items()} for row in rows)
    return text.getvalue()


def guarded(value: Any) -> Any:
    """``value`` for a cell of a table: a text that a spreadsheet would take for a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "")
    is_formula = text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\r", "\n"))
    return f"'{text}" if is_formula else text


def yes_no(value: bool | None) -> str:
    """'yes', 'no', or nothing where it isn't known."""
    return "" if value is None else "yes" if value else "no"
