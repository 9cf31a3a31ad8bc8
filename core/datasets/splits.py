"""Ways to split pictures into train, val and test, and how those that belong together stay together.

A random split of pictures that come in pairs, series or patients puts likenesses of test pictures into train,
and every model then looks better than it is. Grouping keeps what is alike on one side.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.datasets.base import SPLITS, DatasetUnavailable, Scheme

FOLDS = 10  # 80 / 10 / 10, as the published splits of such sets are
FEWEST = 3  # pictures, or groups, that a class needs to be in train, val and test
SEED = 0

GROUPED = Scheme(
    "grouped",
    "grouped split",
    "Pictures that are the same, nearly the same, or known to belong together are never in two splits: the figure to "
    "trust.",
)
RANDOM = Scheme(
    "random",
    "random split",
    "Every picture by itself, as most published figures were made: likenesses of test pictures are in train, which "
    "flatters every model.",
)
PUBLISHED = Scheme(
    "published",
    "published split",
    "The test list that came with the pictures: figures can be compared with others' on the same list.",
)


def random_split(labels: np.ndarray, seed: int = SEED) -> np.ndarray:
    """int64 (N,) with the index in SPLITS of each picture: 80 / 10 / 10 of every class, drawn by ``seed``.

    Of a class of few pictures at least one is in each split.
    """
    draws = np.random.default_rng(seed)
    splits = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = draws.permutation(np.flatnonzero(labels == label))
        tenth = max(1, round(len(members) / FOLDS))
        splits[members[:tenth]], splits[members[tenth : 2 * tenth]] = 2, 1
    return splits


def grouped_split(labels: np.ndarray, groups: np.ndarray, seed: int = SEED) -> np.ndarray:
    """int64 (N,) with the index in SPLITS of each picture, about 80 / 10 / 10, no group in two splits.

    ``groups`` int (N,). Raises `DatasetUnavailable` where a class is in fewer than three groups: it can't be in
    all three splits then.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    counts = {int(label): len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    fewest = min(counts.values())
    if fewest < FEWEST:
        raise DatasetUnavailable(
            f"One class has only {fewest} group{'s' if fewest > 1 else ''} of pictures that belong together, and needs "
            f"{FEWEST} to be in train, val and test. Add pictures of other people or slides, or use the random split."
        )
    folds = np.empty(len(labels), np.int64)
    cut = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    for fold, (_, members) in enumerate(cut.split(labels, labels, groups)):
        folds[members] = fold
    return _each_class_everywhere(np.select([folds == 0, folds == 1], [2, 1], 0), labels, groups)


def _each_class_everywhere(splits: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Folds of few groups may leave a split without a class: then its smallest group in train moves there."""
    for label in np.unique(labels):
        for split in (1, 2):
            if ((splits == split) & (labels == label)).any():
                continue
            spare, sizes = np.unique(groups[(splits == 0) & (labels == label)], return_counts=True)
            if len(spare) > 1:
                splits[groups == spare[sizes.argmin()]] = split
    return splits


def listed_split(files: Sequence[str], labels: np.ndarray, groups: np.ndarray, table: Path) -> np.ndarray:
    """int64 (N,) with the index in SPLITS: test as in ``table`` (columns file, split), val a tenth of its train.

    Where the table names val pictures itself they are val. Pictures that it does not name are in train. Val is cut
    by ``groups``, so that it is like nothing that is trained on.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    named = read_table(table, "split")
    given = np.array([SPLITS.index(_split_name(named.get(name, "train"), table)) for name in files], np.int64)
    if not (given == 2).any():
        raise DatasetUnavailable(f"{table} names no test picture of this folder. Its column 'file' must hold paths.")
    if not (given == 1).any():
        train = np.flatnonzero(given == 0)
        fewest = min(len(np.unique(groups[train][labels[train] == label])) for label in np.unique(labels[train]))
        cut = StratifiedGroupKFold(min(FOLDS, max(2, fewest)), shuffle=True, random_state=SEED)
        _, val = next(iter(cut.split(train, labels[train], groups[train])))
        given[train[val]] = 1
    return given


def read_table(table: Path, column: str, key: str = "file") -> dict[str, str]:
    """The entry of ``column`` by that of ``key``, from a CSV with (at least) these columns."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetUnavailable(f"{table} can't be read as a table ({error}). Save it as CSV in UTF-8.") from error
    if not rows or not {key, column} <= set(rows[0]):
        there = ", ".join(filter(None, rows[0])) if rows else "none"
        raise DatasetUnavailable(f"{table} needs the columns '{key}' and '{column}'; it has: {there}.")
    return {row[key].strip().replace("\\", "/"): (row[column] or "").strip() for row in rows if row[key]}


def columns(table: Path) -> tuple[str, ...]:
    """The names of a CSV's columns; () where it can't be read."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return tuple(filter(None, next(csv.reader(file), ())))
    except (OSError, UnicodeDecodeError, csv.Error):
        return ()


def _split_name(name: str, table: Path) -> str:
    name = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}.get(name.lower(), name.lower())
    if name not in SPLITS:
        raise DatasetUnavailable(f"{table} has the split {name!r}; it may be train, val or test.")
    return name


def joined(*groupings: np.ndarray) -> np.ndarray:
    """int64 (N,): pictures that any of the ``groupings`` (int (N,), -1 for no group) puts together are together."""
    n = len(groupings[0])
    left, right = [], []
    for grouping in groupings:
        members = np.flatnonzero(grouping >= 0)
        _, first, inverse = np.unique(grouping[members], return_index=True, return_inverse=True)
        left.append(members)
        right.append(members[first][inverse])
    rows, columns = np.concatenate(left), np.concatenate(right)
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def neighbours(labels: np.ndarray, length: int) -> np.ndarray:
    """int64 (N,): runs of ``length`` pictures that follow each other in the files' order, each of one class.

    They are shorter where a class has few pictures, so that it still has ten of them.
    """
    groups = np.empty(len(labels), np.int64)
    first = 0
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        run = min(length, max(1, len(members) // FOLDS))
        groups[members] = first + np.arange(len(members)) // run
        first = groups[members].max() + 1
    return groups
