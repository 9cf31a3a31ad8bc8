"""Tables of labels, slides and splits (CSV), read in one place: what a column says of the files of a folder; and
another laboratory's names of classes, told in the terms of a data set that models know.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.datasets.base import DatasetSpec, DatasetUnavailable
from core.datasets.matching import match_files
from core.errors import plain_reason
from core.formatting import counted, name_key, printable
from core.schema import read_bytes

MAX_BYTES = 64 * 2**20
_DELIMITERS = ",;\t|"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_BYTE_ORDER_MARKS = {  # of UTF-32 first, since that of UTF-16 begins as it does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_NO_TABLES = {
    b"PK\x03\x04": "a spreadsheet or an archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old",
    b"%PDF": "a PDF",
}
_CSV_ERRORS = {  # what the csv module says, and what a person should look for
    "unexpected end": "a quotation mark is opened and never closed",
    "expected after": "an entry goes on after its closing quotation mark",
    "field limit": "an entry is far too long, as where a quotation mark is never closed",
}
_INVISIBLE = "\ufeff\u200b\u2060"  # what is copied along with text, and no space


@dataclass(frozen=True)
class Table:
    """A CSV called ``name``: ``rows`` by the columns' names in small letters, ``lines`` where each ends (from 1 on).

    Rows in which nothing stands are left out. ``notes``: what was done to read it, in sentences.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, str]]
    lines: list[int]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, source: Path | bytes, name: str = "") -> "Table":
        """The table in a file, or in its content called ``name``. Raises `DatasetUnavailable`.

        Text may be UTF-8, UTF-16, or else Windows-1252; columns are parted by commas, semicolons, tabs or strokes, or
        as a first line ``sep=;`` says; lines end as on any computer.
        """
        name = name or ("The table" if isinstance(source, bytes) else printable(source.name))
        try:
            data = source if isinstance(source, bytes) else read_bytes(source, MAX_BYTES)
            text, notes = _decoded(data, name)
            columns, rows, lines = _parsed(text)
        except (OSError, ValueError) as error:
            raise DatasetUnavailable(
                f"{name} can't be read as a table ({plain_reason(error)}). Save it as CSV in UTF-8."
            ) from error
        if twice := [column for column, number in Counter(filter(None, columns)).items() if number > 1]:
            raise DatasetUnavailable(f"{name} has two columns called '{printable(twice[0])}': leave one out.")
        return cls(name, columns, rows, lines, notes)

    def need(self, *columns: str) -> None:
        """Raises `DatasetUnavailable` where one of ``columns`` is not there."""
        if not set(columns) <= set(self.columns):
            needed = " and ".join(f"'{column}'" for column in columns)
            present = printable(", ".join(filter(None, self.columns))) or "none"
            raise DatasetUnavailable(
                f"{self.name} needs the columns {needed} in its first line; it has: {present[:300]}."
            )
        if not self.rows:
            raise DatasetUnavailable(f"{self.name} has no rows below the names of its columns.")

    def has_entries(self, column: str) -> bool:
        """Whether anything stands in that column."""
        return any(row.get(column) for row in self.rows)


def read_rows(table: Path | bytes) -> list[dict[str, str]]:
    """The rows of a CSV, as `Table.read` has them. Raises `DatasetUnavailable`."""
    return Table.read(table).rows


def _decoded(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """The text, and what is to be said of how it was read."""
    if kind := next((kind for start, kind in _NO_TABLES.items() if data.startswith(start)), None):
        raise ValueError(f"it is {kind}, no text")
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    head = data[:400]
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if not marked and zeros and zeros.count(0) > len(zeros) // 2:
            marked = encoding
    if marked:
        try:
            return _without_controls(data.decode(marked)), ()
        except UnicodeDecodeError as error:
            raise ValueError(f"it begins as {marked.upper()} and goes on as something else") from error
    try:
        return _without_controls(data.decode("utf-8")), ()
    except UnicodeDecodeError as error:
        try:
            text = _without_controls(data.decode("cp1252"))
        except UnicodeDecodeError:
            raise ValueError("its letters are in no encoding that is known") from error
        return text, (f"{name} is not UTF-8: its letters were read as Windows-1252. Look at names with accents.",)


def _without_controls(text: str) -> str:
    text = text.removesuffix("\x1a").replace("\r\n", "\n").replace("\r", "\n")  # ^Z ended files once
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(
            f"line {line} holds the control character {ord(found.group()):#04x}, so it is no table of text"
        )
    return text


def _parsed(text: str) -> tuple[tuple[str, ...], list[dict[str, str]], list[int]]:
    """Names of the columns, the rows by them, and the lines of the file on which they end."""
    start = len(text) - len(text.lstrip("\n\ufeff"))
    first, _, rest = text[start:].partition("\n")
    skipped = text.count("\n", 0, start)
    if said := re.fullmatch(r'"?sep=(.)"?[,;\t]*', first.strip(" "), re.IGNORECASE):
        delimiter, body, skipped = said[1], rest, skipped + 1
    else:
        body = text[start:]
        delimiter = max(_DELIMITERS, key=lambda d: len(_first_row(first, d)))
    if delimiter in '"\n ' or not delimiter.isprintable() and delimiter != "\t":
        raise ValueError(f"its first line says that {delimiter!r} parts the columns")
    reader = csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        columns = tuple(name_key(_cell(name)) for name in next(reader, []))
        rows, lines = [], []
        for entries in reader:
            cells = [_cell(entry) for entry in entries]
            if not any(cells):
                continue
            line = reader.line_num + skipped
            if any(cells[len(columns) :]):
                raise ValueError(f"line {line} has {len(cells)} entries, the first line names {len(columns)} columns")
            rows.append(dict(zip(columns, [*cells, *[""] * len(columns)], strict=False)))
            lines.append(line)
    except csv.Error as error:
        why = next(
            (said for begins, said in _CSV_ERRORS.items() if begins in str(error)), "its quotation marks don't fit"
        )
        raise ValueError(f"line {reader.line_num + skipped}: {why}") from error
    return columns, rows, lines


def _first_row(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def _cell(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip(_INVISIBLE).strip())


@dataclass(frozen=True)
class FileColumn:
    """What one column of a table says of the files of a folder: ``entries`` by file.

    Of no effect, and told by `notes`: ``unmatched`` and ``ambiguous`` paths of the table, files whose rows are
    ``contradicting`` (with what is said of them), ``blank`` files without an entry, rows ``without_file``. ``by_name``:
    number of paths whose folders are not those of their files. ``spellings``: of names that are one but for case,
    accents or space, the one that is used first.
    """

    column: str = ""
    entries: dict[str, str] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    contradicting: dict[str, str] = field(default_factory=dict)
    blank: int = 0
    without_file: int = 0
    by_name: int = 0
    spellings: tuple[tuple[str, ...], ...] = ()
    table: str = ""
    read: tuple[str, ...] = ()

    def notes(self, unmatched: bool = True) -> list[str]:
        """All that a person should know of it, a sentence each; ``unmatched``: also of paths that mean no file."""
        told = list(self.read)
        if self.unmatched and unmatched:
            told.append(
                f"{counted(len(self.unmatched), 'path')} of {self.table} match no picture, such as "
                f"{printable(self.unmatched[0])}."
            )
        if self.ambiguous:
            told.append(
                f"{counted(len(self.ambiguous), 'path')} of {self.table} may mean several pictures, or one that "
                f"another row means too, and are not used, such as {printable(self.ambiguous[0])}: write paths below "
                "the folder."
            )
        if self.contradicting:
            file, said = next(iter(self.contradicting.items()))
            told.append(
                f"{self.table} names {counted(len(self.contradicting), 'picture')} twice, with different entries of "
                f"'{self.column}', and none is used: {printable(file)} is {said}."
            )
        if self.blank:
            told.append(f"{counted(self.blank, 'picture')} of {self.table} without an entry of '{self.column}'.")
        if self.without_file:
            told.append(f"{counted(self.without_file, 'row')} of {self.table} without a file.")
        if self.by_name:
            told.append(
                f"{counted(self.by_name, 'path')} of {self.table} found by the file's name alone, which no other file "
                "has: the folders are not the same."
            )
        told += [spelling_note(names) for names in self.spellings]
        return told


def spelling_note(names: Sequence[str]) -> str:
    """Says that ``names`` were taken for one."""
    return (
        f"Taken for one name, since only case, space or the writing of accents differ: {', '.join(map(repr, names))} "
        f"(used: {names[0]!r})."
    )


def column_of_files(table: Table, column: str, files: Sequence[str], root: Path | None = None) -> FileColumn:
    """What ``column`` of ``table`` says of ``files`` (paths below ``root``), which its column 'file' names.

    Raises `DatasetUnavailable` where a column is missing, or no row means any file.
    """
    table.need("file", column)
    paths = [row["file"] for row in table.rows if row["file"]]
    matches = match_files(paths, files, root)
    if not matches.files:
        where = f"in {printable(str(root))}" if root else "here"
        first = matches.ambiguous[0] if matches.ambiguous else paths[0] if paths else "nothing"
        why = " Names that several files have say of none of them what it is." if matches.ambiguous else ""
        raise DatasetUnavailable(
            f"None of the files that {table.name} names is {where} (it names {printable(first)}).{why} The column "
            "'file' must hold paths below that folder."
        )
    said: dict[str, dict[str, str]] = {}
    spelt: dict[str, dict[str, None]] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        file = matches.files.get(row["file"])
        if file is None:
            continue
        of_file = said.setdefault(file, {})
        if entry := row[column]:
            key = name_key(entry)
            spelt.setdefault(key, {})[entry] = None
            of_file.setdefault(key, f"{printable(entry)!r} (line {line})")
    return FileColumn(
        column=column,
        entries={file: next(iter(spelt[next(iter(keys))])) for file, keys in said.items() if len(keys) == 1},
        unmatched=matches.unmatched,
        ambiguous=matches.ambiguous,
        contradicting={file: " and ".join(keys.values()) for file, keys in said.items() if len(keys) > 1},
        blank=sum(not keys for keys in said.values()),
        without_file=sum(not row["file"] for row in table.rows),
        by_name=len(matches.by_name),
        spellings=tuple(tuple(map(printable, names)) for names in spelt.values() if len(names) > 1),
        table=table.name,
        read=table.notes,
    )


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
    codes_by_label, unmatched = match_labels(labels, target, table)
    if unmatched:
        raise DatasetUnavailable(
            f"No class of {target.title} is called {', '.join(repr(printable(label)) for label in unmatched)}. Write a "
            f"CSV with the columns label,code that says what each is (one of {', '.join(target.codes)}; nothing leaves "
            "it out), and name it with --mapping."
        )
    if not codes_by_label:
        raise DatasetUnavailable(f"The mapping leaves out every class. At least one must be a class of {target.title}.")
    return codes_by_label


def match_labels(
    labels: Iterable[str], target: DatasetSpec, table: Path | None = None
) -> tuple[dict[str, str], list[str]]:
    """As `map_labels`, but labels that nothing fits are returned beside the codes of the others."""
    table_codes = _mapped_names(table) if table else {}
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
    return codes_by_label, unmatched


def _mapped_names(path: Path) -> dict[str, str]:
    """What a CSV with the columns label and code says that each label is. Raises `DatasetUnavailable`."""
    table = Table.read(path)
    table.need("label", "code")
    names: dict[str, str] = {}
    lines: dict[str, int] = {}
    for row, line in zip(table.rows, table.lines, strict=True):
        label, code = _normalized(row["label"]), row["code"]
        if not label:
            continue
        if label in names and _normalized(names[label]) != _normalized(code):
            raise DatasetUnavailable(
                f"{table.name} says twice what '{printable(row['label'])}' is: {printable(names[label])!r} (line "
                f"{lines[label]}) and {printable(code)!r} (line {line}). Leave one out."
            )
        names[label], lines[label] = code, line
    return names


def _normalized(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name_key(name)).strip()
