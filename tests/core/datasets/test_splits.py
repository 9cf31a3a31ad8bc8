"""No group in two splits, every class in each, and the published list kept to the letter."""

import numpy as np
import pytest

from core.datasets import DatasetUnavailable
from core.datasets.splits import grouped_split, join_groupings, listed_split, random_split, series_groups
from core.datasets.tables import Table, column_of_files

LABELS = np.repeat([0, 1, 2], [300, 200, 60])


def shares(where):
    return np.bincount(where, minlength=3) / len(where)


def test_random_is_80_10_10_of_each_class():
    where = random_split(LABELS)
    for label in range(3):
        assert shares(where[label == LABELS]) == pytest.approx([0.8, 0.1, 0.1], abs=0.01)
    assert (random_split(LABELS) == where).all()
    assert (random_split(LABELS, seed=1) != where).any()


def test_grouped_keeps_groups_whole_and_classes_everywhere():
    groups = np.arange(len(LABELS)) // 5
    where = grouped_split(LABELS, groups)
    assert all(len(np.unique(where[groups == group])) == 1 for group in np.unique(groups))
    assert shares(where) == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    for label in range(3):
        assert set(where[label == LABELS]) == {0, 1, 2}


def test_three_groups_are_enough_and_two_are_not():
    labels = np.repeat([0, 1], 30)
    three = np.tile(np.repeat([0, 1, 2], 10), 2) + 3 * labels
    where = grouped_split(labels, three)
    for label in (0, 1):
        assert set(where[labels == label]) == {0, 1, 2}
    with pytest.raises(DatasetUnavailable, match="only 2 groups"):
        grouped_split(labels, np.where(labels == 0, three, 10 + np.arange(60) % 2))


def test_joined_puts_together_what_any_grouping_does():
    found = join_groupings(np.array([0, 0, 1, 2, 3]), np.array([-1, 7, 7, -1, -1]))
    assert found[0] == found[1] == found[2]
    assert len(np.unique(found)) == 3


def test_neighbours_are_runs_of_one_class():
    found = series_groups(np.repeat([0, 1], [45, 20]), 4)
    assert np.bincount(found[:45]).tolist() == [4] * 11 + [1]
    assert found[45:].tolist() == (np.arange(20) // 2 + 12).tolist()  # ten runs even of a small class


def test_the_published_list_decides_test_and_val_comes_from_its_train(tmp_path):
    files = [f"a/{n}.png" for n in range(100)]
    table = tmp_path / "list.csv"
    table.write_text(
        "file,split\n" + "".join(f"{f},{'test' if n % 3 == 0 else 'train'}\n" for n, f in enumerate(files))
    )
    groups = np.arange(100) // 4
    where = listed_split(files, np.arange(100) % 2, groups, table)
    assert ((where == 2) == (np.arange(100) % 3 == 0)).all()
    val_groups = set(groups[where == 1])
    assert val_groups
    assert not val_groups & set(groups[where == 0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,split\nx,test\n", "it has: name, split"),
        ("", "it has: none"),
        ("file,split\na/0.png,somewhere\n", "may be train, val or test"),
        ("file,split\nother.png,test\n", "None of the files"),
    ],
)
def test_a_table_that_will_not_do_is_told(tmp_path, text, said):
    table = tmp_path / "list.csv"
    table.write_text(text)
    with pytest.raises(DatasetUnavailable, match=said):
        listed_split(["a/0.png"], np.array([0]), np.array([0]), table)


def test_tables_of_windows_are_read(tmp_path):
    table = tmp_path / "groups.csv"
    table.write_bytes(b"\xef\xbb\xbffile,group\r\na\\b.png,P1\r\n")
    assert column_of_files(Table.read(table), "group", ["a/b.png"]).entries == {"a/b.png": "P1"}
