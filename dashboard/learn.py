"""What the Dataset page teaches of features: the numbers of its pictures, and which of them tells classes apart."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import LoadedDataset, get_dataset
from core.datasets import texture_statistics as texture
from core.datasets.texture_statistics import FEATURES, TextureStatistics
from core.evaluation.separation import separation
from dashboard import catalogue
from dashboard.explore import kept


def statistics(name: str, size: int, loaded: LoadedDataset | None) -> tuple[TextureStatistics | None, str | None]:
    """The features to show, and a sentence where they are not those of just these pictures.

    Stored ones where they were measured on the same build, else measured now; without images those stored for this
    size, else for the nearest.
    """
    stored = _stored(name, size)
    if loaded is not None:
        content = loaded.provenance.content_hash
        if stored is not None and stored.provenance.content_hash == content:
            return stored, None
        return _measured(name, size, content, loaded.scheme), None
    sizes = sorted(get_dataset(name).sizes, key=lambda other: abs(other - size))
    found = next(filter(None, (_stored(name, other) for other in sizes)), None)
    if found is None or found.size == size:
        return found, None
    return found, f"Measured at {found.size} px: texture depends on the size."


@st.cache_resource(max_entries=16, show_spinner=False)
def _stored(name: str, size: int) -> TextureStatistics | None:
    return texture.load(name, size)


@st.cache_resource(max_entries=4, show_spinner="Measuring brightness and texture")
def _measured(name: str, size: int, content: str, scheme: str) -> TextureStatistics:
    folder = kept(content)
    found = texture.load(name, size, folder)
    if found is None:
        found = texture.measure(catalogue.loaded(name, size, scheme=scheme))
        with suppress(OSError):
            texture.save(found, folder)
    return found


def values(found: TextureStatistics, codes: Sequence[str], key: str, split: str) -> dict[str, np.ndarray]:
    """The values of a feature by class, of the classes that have any in the split."""
    by_class = {code: found.of(code, key, split) for code in codes}
    return {code: some for code, some in by_class.items() if len(some)}


def ranking(found: TextureStatistics, codes: Sequence[str], split: str) -> pd.DataFrame:
    """How well each feature alone tells the classes ``codes`` apart, the best first; empty for fewer than two.

    Columns: feature (its key), title, mean (over the pairs of classes: the chance, .5 to 1, that the feature puts two
    pictures, one of each class, in the right order), best and worst (of a pair), best_pair and worst_pair (codes).
    """
    rows = []
    for feature in FEATURES:
        pairs = separation(values(found, codes, feature.key, split))
        if pairs:
            best, worst = max(pairs, key=pairs.get), min(pairs, key=pairs.get)
            mean = float(np.mean(list(pairs.values())))
            rows.append((feature.key, feature.title, mean, pairs[best], pairs[worst], best, worst))
    columns = ["feature", "title", "mean", "best", "worst", "best_pair", "worst_pair"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)
