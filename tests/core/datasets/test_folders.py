"""Folders become data sets: decoded once, split without leaks, and every trouble told in words."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from core.datasets import DatasetUnavailable, dataset_names, folders, get_dataset, user
from core.datasets.base import SPLITS, ImageRows
from core.datasets.user import check_folder, folder_report_text
from core.images.crop import crop_by_shape
from core.images.decode import decode
from tests.drawn_folders import drawn_folder, write_pictures


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return drawn_folder(tmp_path / "my lab")


@pytest.fixture
def spec(folder):
    return user.add_dataset("my_lab", folder)


def everything(loaded):
    return {str(i): int(n) for part in loaded.splits.values() for i, n in zip(part.ids, part.labels, strict=True)}


def test_a_users_set_is_one_of_the_data_sets(spec):
    assert "my_lab" in dataset_names()
    assert get_dataset("my_lab").codes == ("ALP", "BET", "GAM")
    assert [s.name for s in spec.schemes] == ["grouped", "random"]
    loaded = spec.load(28)
    assert len(everything(loaded)) == 54
    assert loaded.provenance.label == "my_lab (grouped split)"
    for part in loaded.splits.values():
        assert isinstance(part.images, ImageRows)
        assert part.images.shape == (len(part), 28, 28, 3)
        assert set(part.labels) == {0, 1, 2}
    user.remove_dataset("my_lab")
    assert "my_lab" not in dataset_names()
    with pytest.raises(DatasetUnavailable, match="nothing to remove"):
        user.remove_dataset("my_lab")


def test_pixels_are_those_that_an_upload_would_get(folder, spec):
    train = spec.load(28)["train"]
    path = folder / str(train.ids[3])
    assert (train.images[3] == crop_by_shape(decode(path.read_bytes(), path.name).pixels, 28, spec).pixels).all()


def test_a_split_is_the_same_at_every_size_and_found_again_by_its_content(spec):
    small, large = spec.load(28), spec.load(64)
    for name in SPLITS:
        assert small[name].ids.tolist() == large[name].ids.tolist()
    assert small.provenance.content_hash != large.provenance.content_hash
    random = spec.load(28, scheme="random")
    assert random.provenance.content_hash != small.provenance.content_hash
    assert random["test"].ids.tolist() != small["test"].ids.tolist()
    again = spec.load(28, content_hash=random.provenance.content_hash)
    assert again.scheme == "random"
    with pytest.raises(DatasetUnavailable, match=r"grouped split.*random split"):
        spec.load(28, content_hash="0" * 12)


def test_copies_never_span_splits(folder, tmp_path):
    for number in range(1, 19):  # every other picture of alpha twice, under another name
        shutil.copy(folder / "alpha" / f"cell {number}.png", folder / "alpha" / f"copy of {number}.png")
    loaded = user.add_dataset("twice", folder).load(28)
    split_of = {str(i): name for name, part in loaded.splits.items() for i in part.ids}
    for number in range(1, 19):
        assert split_of[f"alpha/cell {number}.png"] == split_of[f"alpha/copy of {number}.png"]
    random = user.add_dataset("twice", folder).load(28, scheme="random")
    split_of = {str(i): name for name, part in random.splits.items() for i in part.ids}
    assert any(split_of[f"alpha/cell {n}.png"] != split_of[f"alpha/copy of {n}.png"] for n in range(1, 19))


def test_a_table_of_people_keeps_each_in_one_split(folder, tmp_path):
    table = tmp_path / "people.csv"
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))
    person = {name: f"P{number % 9}" for number, name in enumerate(files)}
    table.write_text("file,group\n" + "".join(f"{name},{who}\n" for name, who in person.items()))
    spec = user.add_dataset("people", folder, groups_table=table)
    assert not spec.cautions
    seen = {}
    for name, part in spec.load(28).splits.items():
        for identity in part.ids:
            seen.setdefault(person[str(identity)], set()).add(name)
    assert all(len(splits) == 1 for splits in seen.values())
    assert {split for splits in seen.values() for split in splits} == set(SPLITS)


GROUPED_PATHS = {
    "a folder in front": "my lab/{}",
    "another case": "./{}".upper(),
    "Windows": "D:\\cells\\my lab\\{}",
}


@pytest.mark.parametrize("way", GROUPED_PATHS.values(), ids=GROUPED_PATHS)
def test_people_stay_together_however_their_table_writes_paths(folder, tmp_path, way):
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))
    person = {name: f"P{number % 9}" for number, name in enumerate(files)}
    rows = (f"{way.format(name if way[0] != '.' else name.upper())};{who}\r\n" for name, who in person.items())
    (tmp_path / "people.csv").write_bytes(("File;Group\r\n" + "".join(rows)).encode("utf-16"))
    spec = user.add_dataset("people", folder, groups_table=tmp_path / "people.csv")
    assert not spec.cautions
    where = {}
    for name, part in spec.load(28).splits.items():
        for identity in part.ids:
            where.setdefault(person[str(identity)], set()).add(name)
    assert all(len(splits) == 1 for splits in where.values())


@pytest.mark.parametrize("rows", ["zz/cell 1.png,P1", "cell 1.png,P1\ncell 2.png,P2", "alpha/cell 1.png,", ",P1"])
def test_a_table_of_people_that_says_nothing_is_refused(folder, tmp_path, rows):
    (tmp_path / "people.csv").write_text(f"file,group\n{rows}\n")
    with pytest.raises(DatasetUnavailable, match=r"people\.csv"):
        user.add_dataset("people", folder, groups_table=tmp_path / "people.csv")
    assert "people" not in dataset_names()


def test_people_of_some_pictures_only_keep_the_caution(folder, tmp_path):
    rows = "".join(f"alpha/cell {n}.png,P{n % 5}\n" for n in range(1, 25)) + "alpha/gone.png,P1\n"
    (tmp_path / "people.csv").write_text("file,group\n" + rows)
    spec = user.add_dataset("people", folder, groups_table=tmp_path / "people.csv")
    assert "which person or slide 30 pictures are" in spec.cautions[0]
    text = folder_report_text(check_folder(spec, user.layout_of("people")), spec)
    assert "1 path of people.csv match no picture, such as alpha/gone.png" in text
    assert "30 pictures in no group of people.csv" in text


def test_a_class_written_in_two_ways_is_found_again(tmp_path):
    write_pictures(tmp_path / "set" / "train" / "Linfocito", 4)
    write_pictures(tmp_path / "set" / "test" / "linfocito", 4, seed=3)
    write_pictures(tmp_path / "set" / "train" / "Eosin\u00f3filo", 4, 1)
    write_pictures(tmp_path / "set" / "test" / "Eosino\u0301filo", 4, 1, seed=3)
    spec = user.add_dataset("accents", tmp_path / "set")
    assert spec.class_names == ("Eosin\u00f3filo", "linfocito")
    assert len(everything(spec.load(28))) == 16
    text = folder_report_text(check_folder(spec, user.layout_of("accents")), spec)
    assert "Taken for an existing split: the folders test and train" in text
    assert "'linfocito', 'Linfocito'" in text


def test_decoding_is_done_once_and_again_where_a_file_changed(folder, spec, monkeypatch):
    before = spec.load(28).provenance.content_hash
    calls = []
    real = folders.decode
    monkeypatch.setattr(folders, "decode", lambda *a: calls.append(a[1]) or real(*a))
    assert spec.load(28).provenance.content_hash == before
    assert not calls
    Image.new("RGB", (48, 48), "red").save(folder / "beta" / "cell 1.png")
    assert spec.load(28).provenance.content_hash != before
    assert "beta/cell 1.png" in calls


def test_bad_files_and_classes_are_told_and_left_out(folder):
    (folder / "empty").mkdir()
    write_pictures(folder / "single", 1)
    (folder / "alpha" / "cell 1.png").write_bytes(b"\x89PNG broken")
    (folder / "alpha" / "cell 2.png").write_bytes(b"")
    (folder / "alpha" / "values.csv").write_text("a,b\n1,2\n")
    Image.new("RGB", (9, 9)).save(folder / "alpha" / "tiny.png")
    write_pictures(folder / "beta" / "wide", 3, 1, side=96, seed=9)
    spec = user.add_dataset("messy", folder)
    found = check_folder(spec, user.layout_of("messy"))
    assert found.counts == {"ALP": 22, "BET": 21, "GAM": 12}
    assert found.left_out["EMP"] == "its folder holds no pictures"
    assert found.left_out["SIN"].startswith("only 1 picture")
    assert set(found.unreadable) == {"alpha/cell 1.png", "alpha/cell 2.png", "alpha/tiny.png"}
    assert found.shapes == {(48, 48): 52, (96, 96): 3}
    assert found.imbalance == pytest.approx(22 / 12)
    text = folder_report_text(found, spec)
    for said in ("3 classes (of 5)", "2 different sizes", "values.csv", "the file is empty", "Left out: single"):
        assert said in text
    loaded = spec.load(28)
    assert loaded.spec.codes == ("ALP", "BET", "GAM")
    assert "3 of 5 classes" in loaded.provenance.label
    assert not any("cell 1.png" in str(i) and "alpha" in str(i) for part in loaded.splits.values() for i in part.ids)


def test_nothing_but_broken_files_is_told_with_names(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.png").write_text("no picture")
    with pytest.raises(DatasetUnavailable, match=r"a/0.png \(.*text"):
        user.add_dataset("broken", tmp_path).load(28)


def test_mixed_formats_and_names_in_any_script(tmp_path):
    root = tmp_path / "Hôpital n° 3"
    write_pictures(root / "Éosinophile géant", 6, 1, suffix="jpg")
    write_pictures(root / "中性粒", 6, 2, suffix="webp")
    write_pictures(root / "中性粒 2", 6, 3, suffix="tif")
    spec = user.add_dataset("scripts", root)
    assert len(set(spec.codes)) == 3
    assert all(2 <= len(code) <= 3 and code.isascii() for code in spec.codes)
    assert "Éosinophile géant" in spec.class_names
    assert len(everything(spec.load(28))) == 18


def test_a_place_that_can_not_be_written_is_told(spec, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "arrays_root", lambda: tmp_path / "file" / "arrays")
        with pytest.raises(DatasetUnavailable, match="HEMALENS_CACHE"):
            spec.load(28)
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "file"))
    with pytest.raises(DatasetUnavailable, match="HEMALENS_CACHE"):
        user.add_dataset("other", tmp_path / "my lab")


def test_a_full_disk_is_told_before_anything_is_written(spec, monkeypatch):
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 10**8))
    with pytest.raises(DatasetUnavailable, match="MB free"):
        spec.load(28)


def test_a_broken_book_and_a_vanished_folder(folder, spec, tmp_path):
    shutil.move(folder, tmp_path / "moved")
    assert not spec.available(28)
    with pytest.raises(DatasetUnavailable, match="is gone"):
        get_dataset("my_lab").load(28)
    (tmp_path / "cache" / "datasets" / "my_lab.json").write_text("{")
    assert "my_lab" not in dataset_names()


@pytest.mark.parametrize("name", ["", "A", "my lab", "../x", "bloodmnist", "synthetic"])
def test_names_that_will_not_do(folder, name):
    with pytest.raises(DatasetUnavailable, match=r"can't be|choose another"):
        user.add_dataset(name, folder)


def test_ours_are_pointed_to_a_folder(tmp_path):
    root = tmp_path / "kaggle"
    for label, name in enumerate(("Benign", "[Malignant] Early Pre-B", "[Malignant] Pre-B", "[Malignant] Pro-B")):
        write_pictures(root / "Blood cell Cancer [ALL]" / name, 50, label, side=64)
    spec = user.add_dataset("all4", root)
    assert json.loads((tmp_path / "cache" / "datasets" / "all4.json").read_text())["folder"] == str(root)
    loaded = spec.load(28)
    assert loaded.spec.codes == ("BEN", "EPB", "PRE", "PRO")
    assert loaded.scheme == "grouped"
    with pytest.raises(DatasetUnavailable, match="holds none of the folders"):
        user.add_dataset("all4", tmp_path / "cache")


def test_oblong_fields_are_squeezed_and_cells_cut(tmp_path):
    spec = get_dataset("all4")
    wide = np.zeros((75, 100, 3), np.uint8)
    wide[:, :10] = 255
    assert crop_by_shape(wide, 28, spec).pixels[:, 0].all()
    assert not crop_by_shape(wide, 28, get_dataset("bone_marrow")).pixels.any()


def test_fewer_classes_than_there_are(tmp_path):
    assert get_dataset("bone_marrow").schemes[0].name == "published"  # as shipped runs were trained
    root = tmp_path / "data" / "bone_marrow"
    for label, code in enumerate(("BLA", "EOS", "PMO")):
        write_pictures(root / code, 12, label)
    spec = get_dataset("bone_marrow")
    assert len(spec.codes) == 21
    loaded = spec.load(28)
    assert loaded.spec.codes == ("BLA", "EOS", "PMO")
    assert loaded.provenance.label == "Bone marrow, 3 of 21 classes (grouped split)"
    names = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*.png"))]
    rows = "".join(f"{name},{'test' if n % 4 == 0 else 'train'}\n" for n, name in enumerate(names))
    (root / "published_split.csv").write_text("file,split\n" + rows)
    published = get_dataset("bone_marrow").load(28)
    assert published.scheme == "published"
    assert sorted(published["test"].ids) == [name for n, name in enumerate(names) if n % 4 == 0]


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        (["neutrophil", "neutrophil band"], ["NEU", "NB"]),
        (["a", "b"], ["A1", "B2"]),
        (["cell one", "cell ones", "cell only"], ["CO", "CEL", "CLL"]),
        (["123", "12 3"], ["123", "13"]),
    ],
)
def test_codes_are_short_and_all_different(names, codes):
    assert user.make_codes(names) == codes


def write_table(path, rows, header="file,label,slide"):
    path.write_text(header + "\n" + "".join(",".join(row) + "\n" for row in rows))
    return path


def test_another_laboratorys_cells_by_a_table_in_our_classes(tmp_path):
    write_pictures(tmp_path / "lab" / "images", 30)
    label = ["Neutrophils", "lymphocyte", "MO"]
    rows = [(f"images/cell {n}.png", label[n % 3], f"S{n // 3}") for n in range(1, 31)]
    table = write_table(tmp_path / "labels.csv", [*rows, ("images/gone.png", "MO", "S1")])
    spec = user.add_dataset("lab", tmp_path / "lab", table=table, maps_to="bloodmnist")
    assert spec.codes == ("LY", "MO", "NE")
    assert spec.class_names == ("lymphocyte", "monocyte", "neutrophil")
    assert spec.maps_to == "bloodmnist"
    assert not spec.cautions  # the table names slides
    found = check_folder(spec, user.layout_of("lab"))
    assert found.counts == {"LY": 10, "MO": 10, "NE": 10}
    assert found.missing == ("images/gone.png",)
    assert "not there: images/gone.png" in folder_report_text(found, spec)
    slide = {name: where for name, _, where in rows}
    loaded = spec.load(28)
    splits = {}
    for name, part in loaded.splits.items():
        for identity in part.ids:
            splits.setdefault(slide[str(identity)], set()).add(name)
    assert all(len(s) == 1 for s in splits.values())


def test_labels_that_fit_nothing_are_asked_for(tmp_path):
    write_pictures(tmp_path / "lab", 12)
    labels = ["band", "myelocyte", "smudge", "Thrombozyt"]
    rows = [(f"cell {n}.png", labels[n % 4]) for n in range(1, 13)]
    table = write_table(tmp_path / "labels.csv", rows, "file,label")
    with pytest.raises(DatasetUnavailable, match=r"'smudge', 'Thrombozyt'.*--mapping"):
        user.add_dataset("lab", tmp_path / "lab", table=table, maps_to="bloodmnist")
    mapping = write_table(tmp_path / "mapping.csv", [("smudge", ""), ("Thrombozyt", "platelet")], "label,code")
    spec = user.add_dataset("lab", tmp_path / "lab", table=table, maps_to="bloodmnist", mapping=mapping)
    assert spec.codes == ("IG", "NE", "PLT")
    table.write_text("file,label\nnowhere.png,band\n")
    with pytest.raises(DatasetUnavailable, match="None of the files"):
        user.add_dataset("lab", tmp_path / "lab", table=table, maps_to="bloodmnist")


def test_a_data_set_added_by_an_older_version_loads(folder, spec, tmp_path):
    path = tmp_path / "cache" / "datasets" / "my_lab.json"
    content = json.loads(path.read_text())
    assert content["stretched"] is False
    for key, value in (("squeezed", True), ("stretched", True), ("neither", True)):
        path.write_text(json.dumps({k: v for k, v in content.items() if k != "stretched"} | {key: value}))
        assert get_dataset("my_lab").stretched is (key != "neither")
    assert len(everything(get_dataset("my_lab").load(28))) == 54
