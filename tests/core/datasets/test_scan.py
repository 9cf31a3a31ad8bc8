"""Folders as people really have them: nested, wrapped, littered, oddly named, linked in circles."""

import pytest

from core.datasets import DatasetUnavailable
from core.datasets.folders import natural_key, scan_classes, scan_layout

LAYOUT = {"BEN": ("Benign",), "PRE": ("Pre", "[Malignant] Pre-B")}


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_a_class_and_any_nesting_below(tmp_path):
    touch(tmp_path, "a/1.png", "a/deep/er/2.JPG", "b/3.webp")
    found = scan_classes(tmp_path)
    assert found.files == {"a": ("a/1.png", "a/deep/er/2.JPG"), "b": ("b/3.webp",)}
    assert sum(map(len, found.files.values())) == 3


def test_files_follow_each_other_as_people_count(tmp_path):
    touch(tmp_path, *(f"a/cell{n}.png" for n in (10, 9, 1)), "b/x.png")
    assert scan_classes(tmp_path).files["a"] == ("a/cell1.png", "a/cell9.png", "a/cell10.png")
    assert sorted(["b10", "B9", "a"], key=natural_key) == ["a", "B9", "b10"]


def test_a_folder_that_only_wraps_is_passed_through(tmp_path):
    touch(tmp_path, "archive/Blood cells/a/1.png", "archive/Blood cells/b/2.png")
    assert set(scan_classes(tmp_path).files) == {"a", "b"}


def test_folders_named_after_splits_are_joined(tmp_path):
    touch(tmp_path, "train/a/1.png", "train/b/2.png", "Test/a/3.png")
    assert scan_classes(tmp_path).files["a"] == ("Test/a/3.png", "train/a/1.png")


def test_litter_and_tables_are_left_alone(tmp_path):
    touch(tmp_path, "a/1.png", "a/labels.csv", "a/._1.png", "a/.DS_Store", "a/Thumbs.db", "b/2.png", "__MACOSX/a/1.png")
    touch(tmp_path, "README.md")
    found = scan_classes(tmp_path)
    assert found.files == {"a": ("a/1.png",), "b": ("b/2.png",)}
    assert found.other_files == ("a/labels.csv", "README.md")


def test_links_that_lead_in_circles_end(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    found = scan_classes(tmp_path)
    assert found.files["a"].count("a/1.png") == 1
    assert not any("again" in name for name in found.files["a"])
    assert found.files["b"] == ("b/2.png",)


def test_a_link_to_pictures_elsewhere_is_followed(tmp_path):
    touch(tmp_path, "elsewhere/1.png", "set/b/2.png")
    (tmp_path / "set" / "a").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert scan_classes(tmp_path / "set").files["a"] == ("a/1.png",)


def test_spaces_accents_and_other_scripts(tmp_path):
    touch(tmp_path, "Éosinophile géant/a b.png", "中性粒/1.png")
    assert scan_classes(tmp_path).files["Éosinophile géant"] == ("Éosinophile géant/a b.png",)


@pytest.mark.parametrize("names", [[], ["a/1.png"], ["1.png", "2.png"]])
def test_fewer_than_two_classes_is_told(tmp_path, names):
    touch(tmp_path, *names)
    with pytest.raises(DatasetUnavailable, match="folder of its own"):
        scan_classes(tmp_path)


def test_no_folder_at_all_is_told(tmp_path):
    with pytest.raises(DatasetUnavailable, match="is not a folder"):
        scan_classes(tmp_path / "nothing")


@pytest.mark.parametrize("names", [("Original/Benign", "Original/Pre"), ("x/Benign", "x/[Malignant] Pre-B")])
def test_a_known_set_is_found_in_either_layout(tmp_path, names):
    touch(tmp_path, *(f"{name}/1.jpg" for name in names), "Segmented/Benign/1.jpg", "Segmented/Pre/1.jpg")
    found = scan_layout(tmp_path, LAYOUT, excluded=("Segmented",))
    assert found.files == {code: (f"{name}/1.jpg",) for code, name in zip(("BEN", "PRE"), names, strict=True)}


def test_a_known_set_with_fewer_classes_and_with_none(tmp_path):
    touch(tmp_path, "Benign/1.jpg")
    assert set(scan_layout(tmp_path, LAYOUT).files) == {"BEN"}
    with pytest.raises(DatasetUnavailable, match="Benign, Pre"):
        scan_layout(tmp_path / "Benign", LAYOUT)
