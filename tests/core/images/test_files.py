"""One way to walk folders: what computers leave there is passed over, what is no picture is counted."""

import os

import pytest

from core.images.files import FolderError, files_below, has_pictures, is_system_file, left_out_text, odd_names


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "a/._b.png",
        "__MACOSX/a/b.png",
        "x/Thumbs.db",
        ".thumbs/a.png",
        "$RECYCLE.BIN/a.png",
        "@eaDir/a.png",
    ],
)
def test_what_computers_leave_behind(name, tmp_path):
    touch(tmp_path, name, "cell.png")
    assert is_system_file(name)
    assert files_below(tmp_path).pictures == ("cell.png",)
    assert files_below(tmp_path).others == ()
    assert not is_system_file("../a/b.png")


def test_pictures_by_all_their_endings_and_the_others_counted(tmp_path):
    touch(tmp_path, "c10.jfif", "c9.JPE", "a/b.png", "notes.txt", "a/more.TXT", "a/README", "a/b.xml")
    below = files_below(tmp_path)
    assert below.pictures == ("a/b.png", "c9.JPE", "c10.jfif")
    told = left_out_text(below.others)
    assert told == "Left out, since no picture ends so: 4 files: .txt (2), .xml (1), no ending (1)."
    assert left_out_text([]) == ""


def test_links_pipes_and_empty_folders(tmp_path):
    touch(tmp_path / "other", "1.png")
    (tmp_path / "set" / "empty").mkdir(parents=True)
    assert not has_pictures(tmp_path / "set")
    (tmp_path / "set" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "set" / "up").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "set" / "pipe.png")
    assert files_below(tmp_path / "set").pictures == ("link/1.png",)
    assert has_pictures(tmp_path / "set")


def test_a_folder_that_can_not_be_read_is_told(tmp_path):
    with pytest.raises(FolderError, match="can't be read"):
        files_below(tmp_path / "nowhere")


def test_names_in_other_bytes_are_found():
    assert odd_names(["gut.png", os.fsdecode(b"gro\xdf.png")]) == [os.fsdecode(b"gro\xdf.png")]
