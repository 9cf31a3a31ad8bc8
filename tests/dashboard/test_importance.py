import pytest

from dashboard.explain.importance import importance_figure, importance_table

GIVEN = {
    "features": [f"Feature {i}" for i in range(20)],
    "groups": ["Brightness"] * 12 + ["Size of the cell"] * 8,
    "importance": [i / 1000 for i in range(20)],
    "group_importance": {"Brightness": 0.05, "Size of the cell": 0.21},
    "split": "val",
    "images": 320,
}


def test_the_table_has_families_first_and_the_greatest_loss_first() -> None:
    table = importance_table(GIVEN)
    assert list(table["name"][:3]) == ["Size of the cell", "Brightness", "Feature 19"]
    assert len(table) == 22
    assert table["loss"][0] == pytest.approx(21)
    assert list(table["family"][2:4]) == ["Size of the cell"] * 2


@pytest.mark.parametrize("dark", [False, True])
def test_the_figure_shows_all_families_and_the_features_that_matter_most(dark: bool) -> None:
    fig = importance_figure(GIVEN, shown=15, dark=dark)
    families, features = fig.data
    assert list(families.y) == ["Size of the cell", "Brightness"]
    assert list(features.y) == [f"Feature {i}" for i in range(19, 4, -1)]
    assert features.x[0] == pytest.approx(1.9)
    assert "size of the cell" in fig.layout.title.text
    assert "21 points" in fig.layout.title.text


def test_losses_below_zero_are_shown_as_they_are() -> None:
    given = {**GIVEN, "importance": [-0.002] * 20, "group_importance": {"Brightness": 0.0, "Size of the cell": -0.01}}
    fig = importance_figure(given)
    assert min(fig.data[0].x) == pytest.approx(-1)
    assert fig.layout.xaxis.range[0] < -1
