"""Active learning on a laboratory's cells: which cells to ask about, what the answers and the model's own confident
answers (pseudo-labels) make of the head.

Query strategy: ten medoids of clusters tell what kinds of cells there are (as in Hacohen, Dekel and Weinshall 2022,
arXiv:2202.02794); after that the most uncertain cells, spread over their kinds (Zhdanov 2019, arXiv:1901.05954), where
a cell is uncertain too if what is usual and what its picture says are at odds.
Self-training without any label (Scudder 1965, doi:10.1109/TIT.1965.1053799; class by class as in Zou et al. 2018,
arXiv:1810.07911) is done only where no class makes up most of the batch, because the commonest class would swallow the
others; there pseudo-labels and moved exemplars speak for rare classes instead.

Where the specimen is known the run's answers are weighed by its odds, before teaching and after. Before, by a power of
them above 1: elsewhere a run is surer than it is right, so what its answers say counts for less beside what is usual.
The labelled cells were chosen and are balanced by class, so that they are nearer to equal shares than the specimen is:
half of the odds (their root) is taken for theirs while the head is fitted.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from core.adaptation.estimate import PRIOR, AccuracyEstimate, ReliabilityPrior, estimate_accuracy
from core.adaptation.head import Head, LabCells, LabelledCells, fit_head, move_exemplars, untaught_head
from core.inference.specimen import ANY_SPECIMEN, Specimen, weighed
from core.runs import Run

SELF_TRAINING_MIN_CELLS = 100  # cells
MAJORITY_LIMIT = 0.4  # share of the batch from which on one class is too common
SELF_TRAINING_PENALTY = 0.1
_CONFIDENT_SHARES = (0.3, 0.5, 0.7)  # of each class's answers, the surest first, that are believed in each round
_MIN_OF_CLASS = 3


@dataclass(frozen=True)
class SelfTraining:
    """``head`` after adapting; ``done`` says whether anything was done, ``why`` in one sentence why or why not."""

    head: Head
    done: bool
    why: str


def self_train(start: Head, embeddings: np.ndarray, probabilities: np.ndarray) -> SelfTraining:
    """Adapt ``start`` to a batch: ``embeddings`` (N, K), ``probabilities`` (N, C) of the run."""
    posterior = start.probabilities(embeddings, probabilities)
    majority = majority_share(posterior)
    if len(posterior) < SELF_TRAINING_MIN_CELLS:
        return SelfTraining(
            start, False, f"Nothing was adapted without labels: that needs {SELF_TRAINING_MIN_CELLS} cells or more."
        )
    if majority > MAJORITY_LIMIT:
        why = f"One class seems to make up {majority:.0%} of these cells: adapting without labels would favour it."
        return SelfTraining(start, False, why)
    head = start
    for confident_share in _CONFIDENT_SHARES:
        pseudo_labelled, labels = _most_confident(posterior, confident_share)
        head = fit_head(
            start, embeddings[pseudo_labelled], probabilities[pseudo_labelled], labels, penalty=SELF_TRAINING_PENALTY
        )
        posterior = head.probabilities(embeddings, probabilities)
    return SelfTraining(head, True, "The surest answers about these cells taught the model their stain.")


def majority_share(probabilities: np.ndarray) -> float:
    """The commonest class's share of ``probabilities`` (N, C)."""
    return float(np.bincount(probabilities.argmax(1)).max() / len(probabilities))


def _most_confident(probabilities: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indexes and classes of the surest ``share`` of each class's answers (N, C)."""
    winners, top = probabilities.argmax(1), probabilities.max(1)
    chosen = []
    for label in np.unique(winners):
        of_class = np.flatnonzero(winners == label)
        if len(of_class) >= _MIN_OF_CLASS:
            chosen.append(of_class[np.argsort(-top[of_class], kind="stable")[: max(2, int(share * len(of_class)))]])
    rows = np.concatenate(chosen)
    return rows, winners[rows]


MIN_ANSWERS = 3  # answers: from these on a class speaks for itself
PSEUDO_LABELS_PER_CLASS = 3
MIN_PSEUDO_LABEL_CONFIDENCE = 0.8


def select_pseudo_labels(
    probabilities: np.ndarray, queried: np.ndarray, labels: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """Indexes of the at most `PSEUDO_LABELS_PER_CLASS` surest cells of each class with fewer than `MIN_ANSWERS` of the
    answers ``labels``.

    ``probabilities`` (N, C) of the batch before teaching, of which the cells ``queried`` int (m,) were shown already;
    ``labels`` int (n,) are the classes that were answered. A class that no answer named must be said to be present:
    ``present`` bool (C,), which says nothing where all do. None where no class makes up most of the
    batch: there answers find them all.
    """
    if majority_share(probabilities) <= MAJORITY_LIMIT:
        return np.array([], int)
    counts = np.bincount(labels, minlength=len(present))
    must_exist = (counts > 0) | (present & (not present.all()))
    unqueried = np.setdiff1d(np.arange(len(probabilities)), queried)
    predicted, confidence = probabilities[unqueried].argmax(1), probabilities[unqueried].max(1)
    chosen = [np.array([], int)]
    for rare in np.flatnonzero(must_exist & (counts < MIN_ANSWERS)):
        of_class = np.flatnonzero((predicted == rare) & (confidence > MIN_PSEUDO_LABEL_CONFIDENCE))
        chosen.append(unqueried[of_class[np.argsort(-confidence[of_class], kind="stable")[:PSEUDO_LABELS_PER_CLASS]]])
    return np.concatenate(chosen)


FIRST_QUERIES = 10
QUERIES_PER_ROUND = 5
_UNCERTAIN_POOL = 40  # so many of the most doubtful are worth a question
_PROBABILITY_WEIGHT = 0.5  # how much the run's own answers count beside the embedding


def first_queries(
    embeddings: np.ndarray, probabilities: np.ndarray, count: int = FIRST_QUERIES, seed: int = 0
) -> np.ndarray:
    """Indexes of at most ``count`` cells of ``embeddings`` (N, K) that stand for all, the commonest kind first."""
    return _medoids(_query_vectors(embeddings, probabilities, embeddings), count, seed)


def next_queries(
    embeddings: np.ndarray,
    probabilities: np.ndarray,
    answered: np.ndarray,
    count: int = QUERIES_PER_ROUND,
    seed: int = 0,
) -> np.ndarray:
    """Indexes of at most ``count`` cells not among ``answered`` whose ``probabilities`` (N, C) are most in doubt."""
    unanswered = np.setdiff1d(np.arange(len(embeddings)), answered)
    top_two = -np.partition(-probabilities[unanswered], 1, axis=1)[:, :2]
    uncertain = unanswered[np.argsort(top_two[:, 0] - top_two[:, 1], kind="stable")[:_UNCERTAIN_POOL]]
    vectors = _query_vectors(embeddings[uncertain], probabilities[uncertain], embeddings)
    return uncertain[_medoids(vectors, count, seed + len(answered))]


def _query_vectors(embeddings: np.ndarray, probabilities: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Unit vectors of ``embeddings`` in units of ``reference`` cell's spread, and beside them the probabilities."""
    z = (embeddings - reference.mean(0)) / (reference.std(0) + 1e-6)
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
    return np.c_[z, _PROBABILITY_WEIGHT * np.sqrt(probabilities)]


def _medoids(vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Of each of ``count`` clusters the cell nearest to its middle, the largest cluster first."""
    from sklearn.cluster import KMeans

    if len(vectors) <= count:
        return np.arange(len(vectors))
    clusters = KMeans(count, n_init=4, random_state=seed).fit(vectors)
    nearest = clusters.transform(vectors).argmin(0)
    largest_first = np.argsort(-np.bincount(clusters.labels_, minlength=count), kind="stable")
    return np.array(list(dict.fromkeys(nearest[largest_first].tolist())))


NOT_A_CELL, CANT_SAY = -1, -2  # answers that are no class
ABSENT_CLASS_ODDS = 0.02  # odds of a class that is said not to occur: seen plainly, it is still found
# Powers of the specimen's odds, by trials on three laboratories: before teaching, in the fit, after it.
UNTAUGHT_POWER, _LABELLED_POWER, _TAUGHT_POWER = 1.5, 0.5, 1.0


@dataclass(frozen=True)
class ActiveLearner:
    """The cells, which classes are there (``present_classes`` bool (C,)), and the answers so far: index of the cell to
    class or `NOT_A_CELL` or `CANT_SAY`, in the order given. Each answer makes a new object (`with_answer`,
    `without_last_answer`).

    ``self_trains``: whether what the cells teach without a label is used, where there is something. ``specimen``: what
    the cells are of, with its ``odds`` (C,) for the run (`of_specimen`), None where nothing is known of it.
    """

    cells: LabCells
    present_classes: np.ndarray
    answers: tuple[tuple[int, int], ...] = ()
    exemplars: LabelledCells | None = None
    seed: int = 0
    self_trains: bool = True
    specimen: Specimen = ANY_SPECIMEN
    odds: np.ndarray | None = None

    def of_specimen(self, specimen: Specimen, run: Run) -> "ActiveLearner":
        """With cells of ``specimen``, read by ``run``. Raises `HemaLensError` where it says nothing of its classes."""
        return replace(self, specimen=specimen, odds=specimen.odds(run, elsewhere=True))

    def with_answer(self, cell: int, answer: int) -> "ActiveLearner":
        """With one more answer; an earlier one about the same cell is replaced."""
        others = tuple(a for a in self.answers if a[0] != cell)
        return replace(self, answers=(*others, (cell, answer)))

    def without_last_answer(self) -> "ActiveLearner":
        """Without the last answer."""
        return replace(self, answers=self.answers[:-1])

    @cached_property
    def labelled(self) -> tuple[np.ndarray, np.ndarray]:
        """Indexes int (n,) and classes int (n,) of the cells that were given a class."""
        class_answers = [(cell, answer) for cell, answer in self.answers if answer >= 0]
        return np.array([c for c, _ in class_answers], int), np.array([a for _, a in class_answers], int)

    @property
    def _occurring(self) -> np.ndarray:
        """Which classes occur, bool (C,). One that an answer named does."""
        occurring = self.present_classes.copy()
        occurring[self.labelled[1]] = True
        return occurring

    def prior(self, power: float = UNTAUGHT_POWER) -> np.ndarray:
        """Odds (C,) with which each class occurs, against the cells that the run learnt from."""
        occurring = np.where(self._occurring, 1.0, ABSENT_CLASS_ODDS)
        return occurring if self.odds is None else occurring * self.odds**power

    @cached_property
    def untaught_head(self) -> Head:
        """The head before teaching and adapting: the run's answers, with the classes that occur and the specimen."""
        return untaught_head(self.cells.embeddings, self.prior())

    @cached_property
    def self_training(self) -> SelfTraining:
        """What the cells teach without a label."""
        return self_train(self.untaught_head, self.cells.embeddings, self.cells.probabilities)

    @cached_property
    def head(self) -> Head:
        """The head after teaching; while nothing was said, the run's own, adapted where that is safe and wanted."""
        chosen, labels = self.labelled
        if not len(chosen):
            return self.self_training.head if self.self_trains else self.untaught_head
        return self._taught(chosen, labels)

    def _taught(self, chosen: np.ndarray, labels: np.ndarray) -> Head:
        """The head that the cells ``chosen`` int (n,) with ``labels`` int (n,) teach."""
        cells = self.cells
        head = fit_head(
            replace(self.untaught_head, prior=self.prior(_LABELLED_POWER)),
            cells.embeddings[chosen],
            cells.probabilities[chosen],
            labels,
            self.exemplars,
            self.moved_exemplars,
            self.pseudo_labels,
        )
        return replace(head, prior=self.prior(_TAUGHT_POWER))

    @cached_property
    def _untaught(self) -> np.ndarray:
        return self.untaught_head.probabilities(self.cells.embeddings, self.cells.probabilities)

    @cached_property
    def moved_exemplars(self) -> LabelledCells | None:
        """The exemplars of the classes that occur, where the laboratory's cells lie; None where no class makes up most
        of the batch: there answers find them all.
        """
        if self.exemplars is None or majority_share(self._untaught) <= MAJORITY_LIMIT:
            return None
        of_occurring = self.exemplars.subset(self._occurring[self.exemplars.labels])
        return move_exemplars(of_occurring, self.cells.embeddings, self._untaught.argmax(1))

    @cached_property
    def pseudo_labels(self) -> LabelledCells:
        """Cells that speak for the classes that were hardly named, labelled by the model itself."""
        cells, predicted = self.cells, self._untaught
        queried = np.array([cell for cell, _ in self.answers], int)
        rows = select_pseudo_labels(predicted, queried, self.labelled[1], self.present_classes)
        return LabelledCells(cells.embeddings[rows], cells.probabilities[rows], predicted[rows].argmax(1))

    @cached_property
    def posterior(self) -> np.ndarray:
        """Probabilities as taught so far, float64 (N, C)."""
        return self.head.probabilities(self.cells.embeddings, self.cells.probabilities)

    @cached_property
    def queries(self) -> np.ndarray:
        """Indexes of the cells to ask about next; () when all are answered."""
        queried = np.array([cell for cell, _ in self.answers], int)
        if not len(queried):
            return first_queries(self.cells.embeddings, self.posterior, FIRST_QUERIES, self.seed)
        of_pictures = weighed(self.posterior, 1 / self.head.prior)
        doubted = (self.posterior + of_pictures) / 2
        return next_queries(self.cells.embeddings, doubted, queried, QUERIES_PER_ROUND, self.seed)

    def estimate(self, prior: ReliabilityPrior = PRIOR) -> AccuracyEstimate | None:
        """How well the cells that nobody named are read, before and after; None while too few are named."""
        cells = self.cells
        return estimate_accuracy(
            self.untaught_head,
            self.head,
            self._taught,
            cells.embeddings,
            cells.probabilities,
            *self.labelled,
            cells.groups,
            prior=prior,
        )
