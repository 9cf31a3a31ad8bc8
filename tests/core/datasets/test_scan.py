"""Folders as people really have them: nested, wrapped, littered, oddly named, linked in circles."""

import os
import unicodedata

import pytest

from core.datasets import DatasetUnavailable
from core.datasets.folders import natural_key, scan_classes, scan_layout, scan_table

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


SPLITS_AS_FOLDERS = [
    (["TRAIN", "TEST", "TEST_SIMPLE"], ["EOSINOPHIL", "LYMPHOCYTE"]),
    (["Train", "Test-A", "Test-B"], ["eosinophil", "lymphocyte"]),
    ([f"fold_{k}" for k in range(5)], ["eosinophil", "lymphocyte"]),
    (["train", "valid", "test"], ["1", "2"]),
    (["Labelled", "Unlabelled later"], ["eosinophil", "lymphocyte"]),  # no names of a split, but the same classes
]


@pytest.mark.parametrize(("parts", "classes"), SPLITS_AS_FOLDERS)
@pytest.mark.parametrize("wrapped", ["", "images/"])
def test_an_existing_split_is_told_and_no_class(tmp_path, parts, classes, wrapped):
    touch(tmp_path, *(f"{wrapped}{part}/{name}/{part}.png" for part in parts for name in classes))
    touch(tmp_path, "annotations/a.xml", f"{wrapped}{parts[0]}/list.txt")
    found = scan_classes(tmp_path)
    assert sorted(found.files) == sorted(classes)
    assert all(len(files) == len(parts) for files in found.files.values())
    assert found.notes[0].startswith("Taken for an existing split: the folders ")
    assert all(part in found.notes[0] for part in parts)


def test_pictures_beside_a_split_are_told(tmp_path):
    touch(
        tmp_path, "train/a/1.png", "train/b/1.png", "test/a/2.png", "test/b/2.png", "docs/figure.png", "extra/a/3.png"
    )
    found = scan_classes(tmp_path)
    assert {name: len(files) for name, files in found.files.items()} == {"a": 3, "b": 2}
    assert found.notes[1] == "Left out, beside the split: the folders docs."


@pytest.mark.parametrize("inner", [["slide1", "slide2"], ["P 01", "P 02"], ["train", "test"], ["a", "b"]])
def test_slides_and_splits_within_classes_are_no_classes(tmp_path, inner):
    touch(tmp_path, *(f"{name}/{part}/1.png" for name in ("neutrophil", "lymphocyte") for part in inner))
    assert set(scan_classes(tmp_path).files) == {"neutrophil", "lymphocyte"}


def test_parts_of_a_split_without_classes_are_refused(tmp_path):
    touch(tmp_path, "train/1.png", "test/2.png")
    with pytest.raises(DatasetUnavailable, match=r"parts of a split \(test and train\).*--table"):
        scan_classes(tmp_path)


def test_names_that_differ_in_case_or_accents_are_one_class(tmp_path):
    composed, apart = "Eosinófilo", unicodedata.normalize("NFD", "Eosinófilo")
    touch(tmp_path, f"{composed}/1.png", f"{apart}/2.png", "Linfocito/1.png", "linfocito /2.png")
    found = scan_classes(tmp_path)
    assert {name: len(files) for name, files in found.files.items()} == {composed: 2, "Linfocito": 2}
    assert any("'Linfocito', 'linfocito '" in note for note in found.notes)
    assert any("two ways" in note for note in found.notes)


@pytest.mark.parametrize("wrapped", ["neutrophil", "set/neutrophil", "set/x/neutrophil"])
def test_an_only_class_is_named(tmp_path, wrapped):
    touch(tmp_path, f"{wrapped}/1.png")
    with pytest.raises(DatasetUnavailable, match="one folder of pictures only, neutrophil,"):
        scan_classes(tmp_path)


def test_pictures_in_no_class_are_counted(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png", "logo.png", "cover.JFIF")
    found = scan_classes(tmp_path)
    assert found.notes == ("In no class's folder, not used: 2 pictures, such as cover.JFIF.",)
    assert not found.other_files


def test_names_that_are_not_utf8_are_refused_by_name(tmp_path):
    touch(tmp_path, "klein/1.png")
    folder = os.fsencode(tmp_path) + b"/gro\xdf"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with open(folder + b"/1.png", "wb"):
        pass
    with pytest.raises(DatasetUnavailable, match=r"not UTF-8, such as gro\?") as error:
        scan_classes(tmp_path)
    assert str(error.value).isprintable()


def test_a_table_tells_of_what_it_leaves_out(tmp_path):
    touch(tmp_path, *(f"a/{n}.png" for n in range(6)), "b/0.png")
    table = tmp_path.parent / f"{tmp_path.name}.csv"
    table.write_text("File;Label\na/0.PNG;x\n./a/1.png;X\na/2.png;y\na/3.png;\na/4.png;x\na/4.png;y\nno.png;x\n")
    found = scan_table(tmp_path, table)
    assert found.files == {"x": ("a/0.png", "a/1.png"), "y": ("a/2.png",)}
    assert found.missing == ("no.png",)
    told = " ".join(found.notes)
    for words in ("twice", "1 picture of", "Taken for one name", "2 pictures in the folder that"):
        assert words in told


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
