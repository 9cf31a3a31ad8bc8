"""Ways to split pictures into train, val and test, and how those that belong together stay together.

A random split of pictures that come in pairs, series or patients puts likenesses of test pictures into train, and every
model then looks better than it is. Grouping keeps what is alike on one side.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.datasets.base import SPLITS, DatasetUnavailable, Scheme
from core.datasets.tables import Table, column_of_files
from core.formatting import counted

FOLDS = 10  # 80 / 10 / 10, as the published splits of such sets are
MIN_GROUPS = 3  # pictures, or groups, that a class needs to be in train, val and test
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
    "may flatter a model (between two pairs of runs on ALL no gap could be shown).",
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
    rng = np.random.default_rng(seed)
    splits = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold_size = max(1, round(len(members) / FOLDS))
        splits[members[:fold_size]], splits[members[fold_size : 2 * fold_size]] = 2, 1
    return splits


def grouped_split(labels: np.ndarray, groups: np.ndarray, seed: int = SEED) -> np.ndarray:
    """int64 (N,) with the index in SPLITS of each picture, about 80 / 10 / 10, no group in two splits.

    ``groups`` int (N,). Raises `DatasetUnavailable` where a class is in fewer than three groups: it can't be in
    all three splits then.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    counts = {int(label): len(np.unique(groups[labels == label])) for label in np.unique(labels)}
    fewest = min(counts.values())
    if fewest < MIN_GROUPS:
        raise DatasetUnavailable(
            f"One class has only {counted(fewest, 'group')} of pictures that belong together, and needs {MIN_GROUPS} "
            "to be in train, val and test. Add pictures of other people or slides, or use the random split."
        )
    folds = np.empty(len(labels), np.int64)
    splitter = StratifiedGroupKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    for fold, (_, members) in enumerate(splitter.split(labels, labels, groups)):
        folds[members] = fold
    return _fill_missing_classes(np.select([folds == 0, folds == 1], [2, 1], 0), labels, groups)


def _fill_missing_classes(splits: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
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

    column = column_of_files(Table.read(table), "split", files)
    if column.contradicting:
        raise DatasetUnavailable(" ".join(column.notes(unmatched=False)))
    listed = column.entries
    splits = np.array([SPLITS.index(_split_name(listed.get(name, "train"), table)) for name in files], np.int64)
    if not (splits == 2).any():
        raise DatasetUnavailable(f"{table} names no test picture of this folder. Its column 'file' must hold paths.")
    if not (splits == 1).any():
        train = np.flatnonzero(splits == 0)
        fewest = min(len(np.unique(groups[train][labels[train] == label])) for label in np.unique(labels[train]))
        splitter = StratifiedGroupKFold(min(FOLDS, max(2, fewest)), shuffle=True, random_state=SEED)
        _, val = next(iter(splitter.split(train, labels[train], groups[train])))
        splits[train[val]] = 1
    return splits


def _split_name(name: str, table: Path) -> str:
    name = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}.get(name.lower(), name.lower())
    if name not in SPLITS:
        raise DatasetUnavailable(f"{table} has the split {name!r}; it may be train, val or test.")
    return name


def join_groupings(*groupings: np.ndarray) -> np.ndarray:
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


def series_groups(labels: np.ndarray, length: int) -> np.ndarray:
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
