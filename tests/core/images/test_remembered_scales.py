"""What batches were found to have is kept, offered to few pictures of their shape, and survives any file."""

from dataclasses import replace
from datetime import date

import pytest

from core.datasets import get_dataset
from core.images import red_cells
from core.images.framing import BatchScale
from core.images.red_cells import RedCellSize, Scale, given_scale
from core.images.remembered_scales import MAX_REMEMBERED, offered_scales, remember_scale, remembered_scales

SPEC = get_dataset("bloodmnist")
DAY = date(2026, 11, 12)
ONE = [(300, 300)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEMALENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def measured(side=244, error=0.01) -> BatchScale:
    diameter = red_cells.RED_CELL_SHARE * side
    red = RedCellSize(diameter, error * diameter, 20, 0.5)
    return BatchScale(SPEC, Scale(side, "red cells", ""), red, 0.0)


def sides():
    return [scale.side for scale in remembered_scales()]


def test_a_batch_is_remembered_and_offered_to_few_of_its_shape():
    remember_scale(measured(), [(300, 302)] * 200, DAY)
    by_shape = replace(measured(), scale=red_cells.OFFICIAL, red_cells=None)
    (found,) = offered_scales(by_shape, [(296, 300), (304, 305)])
    assert (found.side, found.pictures, found.day) == (244, 200, DAY)
    assert offered_scales(by_shape, [(300, 302), (330, 302)]) == []  # one has another shape
    assert offered_scales(by_shape, [(300, 302)] * 8) == []  # so many tell themselves
    assert offered_scales(by_shape, []) == []
    assert offered_scales(measured(), ONE) == []  # cut so already
    for known in (given_scale(100), red_cells.stated_scale(0.1, 1, None)):
        assert offered_scales(replace(by_shape, scale=known), ONE) == []


@pytest.mark.parametrize(
    ("batch", "shapes"),
    [
        (measured(), ONE * 7),
        (measured(error=0.06), ONE * 20),
        (measured(), [(200 + 10 * n, 300) for n in range(20)]),
        (replace(measured(), scale=Scale(244, "nuclei", "")), ONE * 20),
        (replace(measured(), scale=given_scale(244)), ONE * 20),
        (replace(measured(), scale=red_cells.OFFICIAL), ONE * 20),
    ],
    ids=["few", "uncertain", "many shapes", "by nuclei", "by hand", "official"],
)
def test_what_is_in_doubt_is_not_remembered(batch, shapes, cache):
    remember_scale(batch, shapes)
    assert not cache.exists()


def test_a_laboratory_is_remembered_once_and_two_of_one_shape_are_two():
    remember_scale(measured(244), ONE * 200, DAY)
    remember_scale(measured(180), ONE * 50, DAY)
    remember_scale(measured(240), ONE * 30, date(2026, 12, 1))
    assert [(scale.side, scale.pictures) for scale in remembered_scales()] == [(240, 30), (180, 50)]


def test_the_oldest_go_first(cache):
    for n in range(MAX_REMEMBERED + 5):
        remember_scale(measured(), [(200 + 30 * n, 300)] * 10, DAY)
    kept = remembered_scales()
    assert len(kept) == MAX_REMEMBERED
    assert kept[0].shape == (920, 300)
    assert kept[-1].shape == (350, 300)
    written = (cache / "scales.json").stat().st_mtime_ns
    remember_scale(measured(), [(920, 300)] * 10, DAY)
    assert (cache / "scales.json").stat().st_mtime_ns == written  # the same again


GOOD = '{"shape": [300, 300], "side": 244, "pictures": 200, "day": "2026-11-12"}'


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "\x00\xff",
        '{"scales": 3}',
        '{"scales": [3]}',
        "[" * 5000,
        *(
            f'{{"scales": [{GOOD}, {GOOD.replace(*change)}]}}'
            for change in (
                ("244", "0"),
                ("244", "1e9"),
                ("244", "true"),
                ("244", '"244"'),
                ("[300, 300]", "[300]"),
                ("[300, 300]", "300"),
                ("[300, 300]", "[300, -1]"),
                ("200", "2"),
                ("2026-11-12", "yesterday"),
                ("2026-11-12", "9999-12-31"),  # a day to come
                ("244", "9000"),  # a square far larger than its picture
                ('"day"', '"date"'),
            )
        ),
    ],
)
def test_a_broken_file_says_nothing_and_is_replaced(content, cache):
    cache.mkdir()
    (cache / "scales.json").write_text(content)
    assert remembered_scales() == []
    remember_scale(measured(), ONE * 10, DAY)
    assert sides() == [244]


def test_a_file_as_it_was_written_is_read(cache):
    cache.mkdir()
    (cache / "scales.json").write_text(f'{{"scales": [{GOOD}]}}')
    assert sides() == [244]


def test_where_nothing_can_be_written_nothing_is_kept(cache):
    cache.write_text("a file where the folder should be")
    remember_scale(measured(), ONE * 10, DAY)
    assert remembered_scales() == []
