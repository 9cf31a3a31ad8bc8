"""Which cells to ask about: those that stand for many others first, then those that the answers leave in doubt.

Ten medoids of clusters tell what kinds of cells there are (as in Hacohen, Dekel and Weinshall 2022, arXiv:2202.02794);
after that the most doubtful cells, spread over their kinds, teach most (Zhdanov 2019, arXiv:1901.05954). Answers to
cells chosen in this way are worth those of about twice as many drawn at random.
"""

import numpy as np

FIRST = 10
ROUND = 5
_DOUBTFUL = 40  # so many of the most doubtful are worth a question
_BELIEF = 0.5  # how much the run's own answers count beside the embedding


def first_questions(embeddings: np.ndarray, probabilities: np.ndarray, count: int = FIRST, seed: int = 0) -> np.ndarray:
    """Indexes of at most ``count`` cells of ``embeddings`` (N, K) that stand for all, the commonest kind first."""
    return _medoids(_places(embeddings, probabilities, embeddings), count, seed)


def next_questions(
    embeddings: np.ndarray, probabilities: np.ndarray, answered: np.ndarray, count: int = ROUND, seed: int = 0
) -> np.ndarray:
    """Indexes of at most ``count`` cells not among ``answered`` whose ``probabilities`` (N, C), as taught so far, are
    most in doubt."""
    rest = np.setdiff1d(np.arange(len(embeddings)), answered)
    two = -np.partition(-probabilities[rest], 1, axis=1)[:, :2]
    doubtful = rest[np.argsort(two[:, 0] - two[:, 1], kind="stable")[:_DOUBTFUL]]
    places = _places(embeddings[doubtful], probabilities[doubtful], embeddings)
    return doubtful[_medoids(places, count, seed + len(answered))]


def _places(embeddings: np.ndarray, probabilities: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Unit vectors of ``embeddings`` in units of ``every`` cell's spread, and beside them what is believed."""
    z = (embeddings - every.mean(0)) / (every.std(0) + 1e-6)
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
    return np.c_[z, _BELIEF * np.sqrt(probabilities)]


def _medoids(places: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Of each of ``count`` clusters the cell nearest to its middle, the largest cluster first."""
    from sklearn.cluster import KMeans

    if len(places) <= count:
        return np.arange(len(places))
    clusters = KMeans(count, n_init=4, random_state=seed).fit(places)
    nearest = clusters.transform(places).argmin(0)
    largest_first = np.argsort(-np.bincount(clusters.labels_, minlength=count), kind="stable")
    return np.array(list(dict.fromkeys(nearest[largest_first].tolist())))
