"""A ZIP in the place of a folder: unpacked whole or not at all, and only what belongs there."""

import stat
import zipfile

import pytest

from core.images.archives import ArchiveError, folder_or_archive, unpacked


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_folders_are_kept_and_a_second_time_costs_nothing(tmp_path, cache):
    path = write_zip(tmp_path / "my cells.zip", {"a/1.png": b"x", "b/é.png": b"y", "__MACOSX/._1.png": b"z"})
    folder, unused = unpacked(path)
    assert below(folder) == ["a/1.png", "b/é.png"]
    assert unused == ()
    assert cache in folder.parents
    before = (folder / "a" / "1.png").stat().st_mtime_ns
    assert unpacked(path) == (folder, ())
    assert (folder / "a" / "1.png").stat().st_mtime_ns == before


def test_what_leads_out_or_is_a_bomb_is_left_out_and_told(tmp_path, cache, capsys):
    path = write_zip(
        tmp_path / "hostile.zip",
        {
            "../out.png": b"x",
            "/etc/out.png": b"x",
            "C:\\out.png": b"x",
            "bomb.png": b"\0" * 40_000_000,
            "good.png": b"x",
        },
    )
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good.png/inner.png", b"x")
    folder = folder_or_archive(path)
    assert below(folder) == ["good.png"]
    assert not list(tmp_path.glob("out*")) + list(cache.rglob("out*"))
    assert "Left out: 6 files, such as " in capsys.readouterr().err


@pytest.mark.parametrize("files", [{}, {"../x.png": b"x"}, {".DS_Store": b"x"}])
def test_an_archive_without_use_is_told_and_nothing_stays(tmp_path, cache, files):
    with pytest.raises(ArchiveError, match="holds no file that can be used"):
        unpacked(write_zip(tmp_path / "x.zip", files))
    assert not below(cache)
    assert not list((cache / "unpacked").iterdir())


def test_what_is_no_archive_is_itself(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    for path in (tmp_path / "a.zip", tmp_path, tmp_path / "nowhere.zip"):
        assert folder_or_archive(path) == path
