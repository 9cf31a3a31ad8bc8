"""Embeddings drawn in two dimensions, and who is whose neighbour before anything is drawn."""

import importlib
import importlib.util
from dataclasses import dataclass

import numpy as np

SEED = 0
PCA_COMPONENTS = 50  # principal components that the slower ways begin with (van der Maaten and Hinton 2008)
MIN_POINTS = 5  # points for which a map says anything


@dataclass(frozen=True)
class Projection:
    """``points`` float32 (N, 2); ``explained_variance``: the share of the variance that the two axes hold, None where
    unknown.
    """

    points: np.ndarray
    explained_variance: float | None = None


def projection_methods() -> dict[str, str]:
    """The ways to draw a map, by key: PCA, then UMAP where it is installed, else t-SNE."""
    second = ("umap", "UMAP") if importlib.util.find_spec("umap") else ("tsne", "t-SNE")
    return {"pca": "PCA", second[0]: second[1]}


def project(vectors: np.ndarray, method: str = "pca") -> Projection:
    """``vectors`` (N, K), N at least `MIN_POINTS`, in two dimensions, the same each time.

    'pca' (https://doi.org/10.1080/14786440109462720) keeps distances as far as two axes can; 'tsne'
    (https://jmlr.org/papers/v9/vandermaaten08a.html) and 'umap' (https://arxiv.org/abs/1802.03426) keep
    neighbourhoods, not distances.
    """
    from sklearn.decomposition import PCA

    if len(vectors) < MIN_POINTS:
        raise ValueError(f"a map needs {MIN_POINTS} points or more, not {len(vectors)}")
    if method == "pca":
        pca = PCA(2, random_state=SEED, svd_solver="full")
        with np.errstate(invalid="ignore"):  # points that are all the same have no variance to share
            points = pca.fit_transform(vectors)
        explained_variance = float(np.nan_to_num(pca.explained_variance_ratio_).sum())
        return Projection(points.astype(np.float32), explained_variance)
    reduced = PCA(min(PCA_COMPONENTS, *vectors.shape), random_state=SEED).fit_transform(vectors)
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(vectors) - 1) / 3)
        points = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED).fit_transform(reduced)
    else:
        from umap import UMAP

        points = UMAP(n_neighbors=min(15, len(vectors) - 1), random_state=SEED).fit_transform(reduced)
    return Projection(np.asarray(points, np.float32))


def normalise(vectors: np.ndarray) -> np.ndarray:
    """``vectors`` (N, K) of length one; those of length zero stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


def nearest_neighbours(vectors: np.ndarray, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the ``k`` others that are most similar to ``row`` of ``vectors`` (N, K), and their cosines."""
    directions = normalise(vectors)
    cosines = directions @ directions[row]
    cosines[row] = -np.inf
    order = np.argsort(-cosines, kind="stable")[: min(k, len(vectors) - 1)]
    return order, cosines[order]


def neighbour_purity(vectors: np.ndarray, labels: np.ndarray, k: int = 10) -> np.ndarray:
    """For each of ``vectors`` (N, K) the share of its ``k`` nearest others that have its label, float (N,).

    Nearness is the cosine in all dimensions, not the distance on a map.
    """
    directions = normalise(vectors)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -np.inf)
    k = min(k, len(vectors) - 1)
    near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    return (labels[near] == labels[:, None]).mean(1)
