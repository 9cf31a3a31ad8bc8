"""Tables as people really have them: of any spreadsheet and country, half filled in, contradicting themselves."""

import contextlib
import csv
import io
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.datasets import DatasetUnavailable, get_dataset
from core.datasets.matching import match_files
from core.datasets.tables import Table, column_of_files, map_labels, match_labels

ROWS = [("a/1.png", "Eosinófilo"), ("b/2.png", "Linfocito")]
FILES = [name for name, _ in ROWS]


def text(delimiter=",", head=("file", "label"), end="\r\n", first=""):
    return first + "".join(delimiter.join(row) + end for row in [head, *ROWS])


WRITTEN = {
    "commas": text().encode(),
    "semicolons and a mark": text(";").encode("utf-8-sig"),
    "tabs": text("\t").encode(),
    "sep= says it": text(";", first="sep=;\r\n").encode("utf-8-sig"),
    "sep= in quotes": text("|", first='"sep=|"\r\n').encode(),
    "capitals and spaces": text(head=(" File ", "LABEL")).encode(),
    "a space after the comma": text(", ").encode(),
    "quoted": text('","', end='"\n"').replace('file"', '"file"', 1).removesuffix('"').encode(),
    "a Macintosh of old": text(";", end="\r").encode(),
    "Windows-1252": text(";").encode("cp1252"),
    "UTF-16 with a mark": text("\t").encode("utf-16"),
    "UTF-16 without": text("\t").encode("utf-16-le"),
    "UTF-16, big end first": text("\t").encode("utf-16-be"),
    "empty lines": ("\n\n" + text().replace("\r\n", "\r\n\r\n,\r\n")).encode(),
    "columns that end in nothing": text(end=",,\n").replace("label,,", "label,,", 1).encode(),
    "accents decomposed": unicodedata.normalize("NFD", text()).encode(),
    "the end of a file under DOS": text().encode() + b"\x1a",
}


@pytest.mark.parametrize("data", WRITTEN.values(), ids=WRITTEN)
def test_a_table_reads_alike_whoever_wrote_it(data):
    assert column_of_files(Table.read(data), "label", FILES).entries == dict(ROWS)


def test_what_was_guessed_of_letters_is_told():
    assert "Windows-1252" in Table.read(WRITTEN["Windows-1252"], "t.csv").notes[0]
    assert not Table.read(WRITTEN["commas"]).notes


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"file,label\na.png,\x1b[31mred\n", "line 2 holds the control character 0x1b"),
        (b"file,label\na.png,x\0y\n", "control character 0x0"),
        (b"PK\x03\x04 and so on", "a spreadsheet or an archive"),
        (b'file,label\n"a.png,x\nb.png,y\n', "never closed"),
        (b'file,label\n"a"b.png,x\n', "after its closing quotation mark"),
        (b"file,label\na,b.png,neutrophil\n", "line 2 has 3 entries, the first line names 2 columns"),
        (b"file,label\n" + b"x" * 200_000 + b",y\n", "far too long"),
        (b"file,label,Label\na,b,c\n", "two columns called 'label'"),
        (b"name;what\na;b\n", "it has: name, what"),
        (b"file,label\n", "no rows"),
        (b"", "it has: none"),
        (b"file,label\n\x81\x8d,\x9d\n", "no encoding that is known"),
        (b"\xff\xfef\0i\0l", "goes on as something else"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(data, told):
    with pytest.raises(DatasetUnavailable, match="t.csv") as error:
        column_of_files(Table.read(data, "t.csv"), "label", FILES)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


def test_a_folder_in_the_place_of_a_table_is_told(tmp_path):
    with pytest.raises(DatasetUnavailable, match="can't be read as a table"):
        Table.read(tmp_path)


@pytest.mark.parametrize(
    "path",
    ["a/1.png", "./a/1.png", "/data/set/a/1.png", "set/a/1.png", r"C:\x\set\a\1.png", r".\a\1.png", "A/1.PNG"]
    + ["a//1.png", "b/../a/1.png", "../set/a/1.png", " a/1.png "],
)
def test_a_path_is_found_however_it_is_written(path, tmp_path):
    assert match_files([path], ["a/1.png", "b/1.png", "b/a.png"]).files == {path: "a/1.png"}
    absolute = str(tmp_path / "a" / "1.png")
    assert match_files([absolute], ["a/1.png", "x/a/1.png"], tmp_path).files == {absolute: "a/1.png"}


def test_accents_are_one_whether_composed_or_not():
    composed, apart = "é/1.png", unicodedata.normalize("NFD", "é/1.png")
    assert match_files([apart], [composed]).files == {apart: composed}
    assert match_files([composed], [apart]).files == {composed: apart}


def test_a_files_name_alone_never_decides_between_two():
    found = match_files(["1.png", "2.png"], ["a/1.png", "b/1.png", "b/2.png"])
    assert (found.files, found.ambiguous, found.by_name) == ({"2.png": "b/2.png"}, ("1.png",), ("2.png",))
    found = match_files(["s1/1.png", "s2/1.png", "s3/2.png"], ["1.png", "2.png"])
    assert (found.files, found.ambiguous) == ({"s3/2.png": "2.png"}, ("s1/1.png", "s2/1.png"))
    assert match_files(["1.png"], ["1.png", "1.png"]).ambiguous == ("1.png",)
    assert match_files(["A.png"], ["a.png", "A.png"]).files == {"A.png": "A.png"}
    assert match_files(["a.PNG"], ["a.png", "A.png"]).ambiguous == ("a.PNG",)


def test_what_fits_nothing_contradicts_or_is_blank_is_counted():
    files = ["a/1.png", "a/2.png", "a/3.png", "b/1.png"]
    rows = ["a/1.png,neutrophil", "./a/1.png,lymphocyte", "a/2.png,", "a/3.png,Mono", "zz.png,mono", "1.png,mono"]
    rows += [",mono", "b/1.png,mono", r"b\1.png,MONO"]
    column = column_of_files(Table.read("\n".join(["file,label", *rows]).encode(), "t.csv"), "label", files)
    assert column.entries == {"a/3.png": "Mono", "b/1.png": "Mono"}
    assert column.contradicting == {"a/1.png": "'neutrophil' (line 2) and 'lymphocyte' (line 3)"}
    told = " ".join(column.notes())
    for words in (
        "1 path of t.csv match no picture, such as zz.png",
        "1 path of t.csv may mean several pictures",
        "names 1 picture twice",
        "1 picture of t.csv without an entry",
        "1 row of t.csv without a file",
        "Taken for one name",
    ):
        assert words in told


def test_a_mapping_that_contradicts_itself_is_refused(tmp_path):
    path = tmp_path / "mapping.csv"
    path.write_text("label;code\nblast;IG\nBlast;LY\n")
    with pytest.raises(DatasetUnavailable, match=r"twice what 'Blast' is: 'IG' \(line 2\) and 'LY' \(line 3\)"):
        map_labels(["blast"], get_dataset("bloodmnist"), path)


def test_labels_that_fit_nothing_are_told_beside_the_others():
    composed, apart = "Eosinophil é", unicodedata.normalize("NFD", "Eosinophil é")
    codes, rest = match_labels(["NEUTROPHIL", "artefacts", apart], get_dataset("bloodmnist"))
    assert (codes, rest) == ({"NEUTROPHIL": "NE"}, ["artefacts", apart])
    assert composed != apart


CELL = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(st.binary(max_size=400))
def test_any_bytes_are_a_table_or_one_clear_line(data):
    for content in (data, b"file,label\n" + data, "file;label\n".encode("utf-16") + data):
        with contextlib.suppress(_OneClearLine), _clear_errors():
            table = Table.read(content, "t.csv")
            assert all(set(row) == set(table.columns) for row in table.rows)
            assert len(table.rows) == len(table.lines)


class _OneClearLine(Exception):
    pass


@contextlib.contextmanager
def _clear_errors():
    try:
        yield
    except DatasetUnavailable as error:
        if str(error).isprintable():  # which a line's end is not
            raise _OneClearLine from error
        raise


@QUICK
@given(
    st.lists(
        st.tuples(CELL, CELL).filter(lambda row: any(c.strip("\ufeff\u200b\u2060").strip() for c in row)), min_size=1
    ),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\r\n", "\n", "\r"]),
)
def test_what_is_written_is_what_is_read(rows, delimiter, encoding, end):
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [("file", "label"), *rows]
    )
    read = Table.read(written.getvalue().encode(encoding)).rows
    plain = [
        {
            k: unicodedata.normalize("NFC", v.strip("\ufeff\u200b\u2060").strip())
            for k, v in zip(("file", "label"), r, strict=True)
        }
        for r in rows
    ]
    assert read == plain


PART = st.text("aAbé1.", min_size=1, max_size=3).filter(lambda part: set(part) != {"."})
PATH = st.lists(PART, min_size=1, max_size=3).map("/".join)


@QUICK
@given(st.lists(PATH, unique=True), st.lists(PATH, max_size=8))
def test_a_match_is_one_file_to_one_path_and_an_exact_one_always_wins(files, paths):
    found = match_files(paths, files)
    assert set(found.files) | set(found.unmatched) | set(found.ambiguous) == set(paths)
    assert len(found.files) + len(found.unmatched) + len(found.ambiguous) == len(set(paths))
    assert set(found.files.values()) <= set(files)
    for path in set(paths) & set(files):
        assert found.files[path] == path
    for path, file in found.files.items():
        one, other = sorted([path.lower().split("/"), file.lower().split("/")], key=len)
        assert other[len(other) - len(one) :] == one


@QUICK
@given(
    st.lists(st.tuples(PATH, st.sampled_from(["x", "X", "y", ""])), min_size=1, max_size=8), st.lists(PATH, unique=True)
)
def test_no_file_gets_an_entry_that_no_row_gives_it(rows, files):
    data = "\n".join(["file,label", *(f"{path},{entry}" for path, entry in rows)]).encode()
    try:
        column = column_of_files(Table.read(data), "label", files)
    except DatasetUnavailable:
        return
    for file, entry in column.entries.items():
        said = {e.lower() for path, e in rows if path.lower().split("/")[-1] == file.lower().split("/")[-1]}
        assert entry.lower() in said
    assert not set(column.entries) & set(column.contradicting)
