"""What is dropped: folders kept in the names, archives that may come from anywhere."""

import io
import random
import zipfile

import pytest

from core.cases.drop import DroppedFile, dropped, read_dropped
from core.images.archives import SYSTEM_FILE, UnusedFile
from core.images.decode import FIELD_LIMITS


def archive(entries):
    """A ZIP of ``entries``: (name or ZipInfo, content)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            made.writestr(name, content)
    return file.getvalue()


def read(*files):
    """Names read with their content, and the reason for each of the others."""
    found = list(read_dropped([DroppedFile(*file) for file in files]))
    good = [entry for entry in found if not isinstance(entry, UnusedFile)]
    return good, {entry.name: entry.reason for entry in found if isinstance(entry, UnusedFile)}


def test_a_folder_is_taken_whole_with_the_names_of_its_folders(tmp_path):
    for name in ("S1/b10.png", "S1/b9.png", "S2/deep/c.png", ".hidden/d.png", "e.txt"):
        path = tmp_path / "slides" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "alone.png").write_bytes(b"alone")
    files = dropped([tmp_path / "slides", tmp_path / "alone.png"])
    names = [entry[0] for entry in read_dropped(files) if not isinstance(entry, UnusedFile)]
    assert names == ["alone.png", "slides/e.txt", "slides/S1/b9.png", "slides/S1/b10.png", "slides/S2/deep/c.png"]


def test_equal_names_and_equal_contents_all_come(tmp_path):
    assert read(("a.png", b"1"), ("a.png", b"2"), ("b.png", b"1"))[0] == [
        ("a.png", b"1"),
        ("a.png", b"2"),
        ("b.png", b"1"),
    ]


def test_an_archive_stands_for_what_is_in_it(tmp_path):
    content = archive([("S2/b.png", b"b"), ("S1/a.png", b"a"), ("S1/", b"")])
    (tmp_path / "drop.zip").write_bytes(content)
    for source in (content, tmp_path / "drop.zip"):
        assert read(("drop.zip", source))[0] == [("drop.zip/S1/a.png", b"a"), ("drop.zip/S2/b.png", b"b")]


def test_what_an_archive_should_not_hold_is_left_out_with_a_reason():
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    entries = [
        ("../up.png", b"x"), ("/root.png", b"x"), ("C:\\w.png", b"x"), ("a\\..\\..\\b.png", b"x"), (link, b"/etc"),
        ("inner.zip", archive([("a", b"a")])), ("__MACOSX/._a.png", b"x"), ("good.png", b"good"),
    ]  # fmt: skip
    good, unused = read(("d.zip", archive(entries)))
    assert good == [("d.zip/good.png", b"good")]
    assert len(unused) == len(entries) - 1
    assert "leads out" in unused["d.zip/../up.png"]
    assert "leads out" in unused["d.zip//root.png"]
    assert "link" in unused["d.zip/link.png"]
    assert "archive within" in unused["d.zip/inner.zip"]
    assert unused["d.zip/__MACOSX/._a.png"] == SYSTEM_FILE


def test_a_bomb_is_not_unpacked():
    good, unused = read(("d.zip", archive([("bomb.bmp", bytes(30_000_000)), ("a.png", b"a")])))
    assert good == [("d.zip/a.png", b"a")]
    assert "far more" in unused["d.zip/bomb.bmp"]


def test_a_header_that_lies_about_its_size_does_not_fill_memory(monkeypatch):
    content = bytearray(archive([("a.png", b"x" * 5_000)]))
    for start in (content.find(b"PK\x03\x04") + 22, content.find(b"PK\x01\x02") + 24):
        content[start : start + 4] = (10).to_bytes(4, "little")
    good, unused = read(("d.zip", bytes(content)))
    assert not good or len(good[0][1]) <= FIELD_LIMITS.file_bytes
    assert good or unused


def test_too_many_files_are_refused_at_once(monkeypatch):
    monkeypatch.setattr("core.images.archives._MOST_FILES", 2)
    good, unused = read(("d.zip", archive([(f"{k}.png", b"x") for k in range(3)])))
    assert good == []
    assert "too much" in unused["d.zip"]


@pytest.mark.parametrize("cut", [30, 60, 100])
def test_a_damaged_archive_is_told(cut):
    whole = archive([("a.png", bytes(range(256)) * 4), ("b.png", b"b" * 100)])
    good, unused = read(("d.zip", whole[:cut]))  # without its directory it is no archive: a picture that can't be read
    assert len(good) + len(unused) == 1
    broken = bytearray(whole)
    broken[60] ^= 0xFF
    good, unused = read(("d.zip", bytes(broken)))
    assert "damaged" in unused["d.zip/a.png"]
    assert good == [("d.zip/b.png", b"b" * 100)]


def test_a_locked_entry_is_told():
    content = bytearray(archive([("a.png", b"a")]))
    for start in (content.find(b"PK\x03\x04") + 6, content.find(b"PK\x01\x02") + 8):
        content[start] |= 1
    assert "password" in read(("d.zip", bytes(content)))[1]["d.zip/a.png"]


def test_files_that_are_gone_or_the_computers_own_are_told(tmp_path):
    _, unused = read(("gone.png", tmp_path / "gone.png"), (".DS_Store", b"x"), ("a/Thumbs.db", b"x"))
    assert unused == {"gone.png": "there is no such file", ".DS_Store": SYSTEM_FILE, "a/Thumbs.db": SYSTEM_FILE}


class _Named(zipfile.ZipInfo):
    """An entry of any name, as `zipfile` itself writes none."""

    def is_dir(self):
        return False


@pytest.mark.parametrize("name", ["", ".", "./.", ".\\."])
def test_an_entry_without_a_name_is_told(name):
    good, unused = read(("d.zip", archive([(_Named(name), b"x"), ("good.png", b"good")])))
    assert good == [("d.zip/good.png", b"good")]
    (reason,) = unused.values()
    assert "no name" in reason


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str)
def test_an_entry_that_is_spoilt_is_one_file_with_a_reason(packing):
    """However it is packed and wherever it is spoilt."""
    file, content = io.BytesIO(), random.Random(packing).randbytes(300) + bytes(300)
    with zipfile.ZipFile(file, "w", packing) as made:
        made.writestr("a.png", content)
        made.writestr("good.png", b"good")
    whole = file.getvalue()
    end, told = whole.index(b"PK\x03\x04", 4), 0
    for place in range(35, end, 7):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0xFF
        good, unused = read(("d.zip", bytes(spoilt)))
        assert good[-1] == ("d.zip/good.png", b"good")
        assert list(unused) == ["d.zip/a.png"] or good[0] == ("d.zip/a.png", content)  # not every byte tells something
        told += len(unused)
    assert told > 10


def test_an_entry_that_is_packed_in_an_unknown_way_is_told():
    content = bytearray(archive([("a.png", b"a"), ("good.png", b"good")]))
    for start in (content.find(b"PK\x03\x04") + 8, content.find(b"PK\x01\x02") + 10):
        content[start] = 77
    good, unused = read(("d.zip", bytes(content)))
    assert good == [("d.zip/good.png", b"good")]
    assert "damaged" in unused["d.zip/a.png"]
