"""The command that makes cells: files that say what they are, and errors in words."""

import pytest
from PIL import Image

from core.cli import main
from tests.fake_generator import write_generator


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_PRETRAINED", str(tmp_path / "shipped"))
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "shipped"


def test_cells_are_written_by_class_and_say_what_they_are(root, tmp_path, capsys):
    write_generator(root)
    out = tmp_path / "cells"
    assert main(["generate", "sample", str(out), "--class", "LY", "--class", "MO", "--count", "2", "--seed", "7"]) == 0
    files = sorted(str(file.relative_to(out)) for file in out.rglob("*.png"))
    assert files == [f"{code}/{code}_generated_7_000{i}.png" for code in ("LY", "MO") for i in (0, 1)]
    with Image.open(out / files[0]) as picture:
        assert picture.size == (32, 32)
        assert "not a patient's cell" in picture.text["Description"]
    assert "4 cells" in capsys.readouterr().out


def test_a_class_that_it_can_not_make_is_told(root, tmp_path, capsys):
    write_generator(root)
    assert main(["generate", "sample", str(tmp_path), "--class", "XX"]) == 1
    assert "makes no XX; it makes BA, EO" in capsys.readouterr().err


def test_the_card_is_shown(root, capsys):
    write_generator(root)
    assert main(["generate", "show"]) == 0
    assert "# A card" in capsys.readouterr().out


def test_without_a_generator_the_way_to_one_is_told(capsys):
    assert main(["generate", "show", "--dataset", "bone_marrow"]) == 1
    assert "python -m core generate train" in capsys.readouterr().err
