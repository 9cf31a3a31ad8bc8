"""The Compare page's view of doubt, at home and on another laboratory's cells, driven as a visitor would."""

import pytest
from PIL import Image

from core.datasets import user
from core.evaluation.external import cache_validation, cached_validation
from core.progress import Progress
from dashboard.compare.uncertainty import home_uncertainty
from tests.pages.driving import opened, shown, texts


@pytest.fixture
def lab(three, tmp_path):
    """A laboratory with four pictures, registered for BloodMNIST."""
    folder = tmp_path / "lab"
    folder.mkdir()
    rows = ["file,label"]
    for number in range(4):
        Image.new("RGB", (80, 80), (230, 20, 20)).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{'baso' if number % 2 else 'mono'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    user.add_dataset("my_lab", folder, title="My lab", table=folder / "labels.csv", maps_to="bloodmnist")
    return "my_lab"


def test_at_home_the_ticked_runs_stand_side_by_side(three):
    page = opened("compare", view="doubt", runs="fair-64-1,good-64-1")
    table = page.dataframe[0].value
    assert table["name"].tolist() == ["Fair, 64 px", "Good, 64 px"]
    home = home_uncertainty(three[0])
    assert table["size"].iloc[1] == pytest.approx(home["told"]["mean_size"])
    assert "99 % of each class" in texts(page)
    assert not [box for box in page.selectbox if box.key == "cells"]  # there is no laboratory


def test_nothing_ticked_says_what_to_do(three):
    page = opened("compare", view="doubt", runs="none")
    if not page.dataframe:
        assert "Choose a run above" in texts(page)


def test_a_laboratory_is_asked_by_a_button_and_then_drawn(three, lab, monkeypatch):
    page = opened("compare", view="doubt", runs="good-64-1", cells=lab)
    assert "has not been asked about My lab yet" in texts(page)
    assert not page.dataframe
    asked = []

    def fake(run, pictures, report):
        asked.append((run.name, len(pictures)))
        report(Progress(4, 4, "asking the model", "picture"))
        return {"uncertainty": home_uncertainty(run)}, None

    monkeypatch.setattr("core.evaluation.external.validate_externally", fake)
    monkeypatch.setattr("dashboard.compare.uncertainty.validate_externally", fake)
    shown(page.button(key="ask_elsewhere").click().run())
    assert asked == [("good-64-1", 4)]
    assert len(page.dataframe[0].value) == 1
    assert "nothing is promised" in texts(page)
    assert list(cached_validation(three[0])) == [lab]


def test_what_was_asked_in_the_shell_is_there(three, lab):
    cache_validation(three[1], lab, {"uncertainty": home_uncertainty(three[1])})
    page = opened("compare", view="doubt", runs="good-64-1,fair-64-1", cells=lab)
    assert page.dataframe[0].value["name"].tolist() == ["Fair, 64 px"]
    assert "Good, 64 px has not been asked" in texts(page)
