"""Two runs on the same cells, computed once and shared between visitors: nobody may write into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from core.evaluation import softmax
from core.evaluation.compare import (
    Agreement,
    NotComparable,
    PairedComparison,
    Resampled,
    agreement,
    bootstrap,
    by_similarity,
    compare_answers,
    match,
    same_answers,
    shared_errors,
    why_not_comparable,
)
from core.evaluation.hardest import Votes
from core.runs import Run
from dashboard import catalogue

WHO = ("first", "second")


@dataclass(frozen=True)
class Pair:
    """Two runs' answers to the same N test cells; equal positions are the same cell.

    ``ids`` str (N,), ``labels`` int (N,), ``shares`` two float arrays (N, C), the runs' probabilities in 0 to 1;
    ``places`` two int arrays (N,), where the cells stand in the runs' stored predictions; ``unshared`` is how many
    test cells only the first, only the second was scored on.
    """

    ids: np.ndarray
    labels: np.ndarray
    shares: tuple[np.ndarray, np.ndarray]
    places: tuple[np.ndarray, np.ndarray]
    unshared: tuple[int, int]
    comparison: PairedComparison
    resampled: Resampled
    agreement: Agreement

    @property
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """What each run says, class indices (N,)."""
        return self.shares[0].argmax(axis=1), self.shares[1].argmax(axis=1)


def compare(first: Run, second: Run) -> Pair | str:
    """The two runs on the test split, or the sentence that says why they can't be compared."""
    return _compare(*catalogue.mark(first), *catalogue.mark(second))


@st.cache_resource(max_entries=64, show_spinner=False)
def _compare(first: str, first_changed: int, second: str, second_changed: int) -> Pair | str:
    runs = Run(Path(first)), Run(Path(second))
    one, two = (catalogue.predictions(run) for run in runs)
    try:
        reason = why_not_comparable(*runs)
        if reason:
            raise NotComparable(reason)
        rows, others = match(one, two)
    except NotComparable as refusal:
        return str(refusal)
    labels, shares = one.labels[rows], (softmax(one.logits[rows]), softmax(two.logits[others]))
    comparison = compare_answers(labels, *(share.argmax(axis=1) for share in shares))
    said = agreement(shares[0].argmax(axis=1), shares[1].argmax(axis=1), shares[0].shape[1])
    unshared = len(one.ids) - len(rows), len(two.ids) - len(rows)
    return Pair(one.ids[rows], labels, shares, (rows, others), unshared, comparison, bootstrap(comparison), said)


def only_one_right(pair: Pair, who: str, codes: Sequence[str]) -> pd.DataFrame:
    """The cells that only the 'first' or only the 'second' run names right, the surest error first.

    Columns: id, label, and for each run '<first|second> answer' (code), '<...> p' (probability of its answer)
    and '<...> p label' (of the true class), in 0 to 1.
    """
    right = [answers == pair.labels for answers in pair.answers]
    keep = right[WHO.index(who)] & ~right[1 - WHO.index(who)]
    rows, names = np.arange(int(keep.sum())), np.asarray(codes)
    labels = pair.labels[keep]
    table = {"id": pair.ids[keep], "label": names[labels]}
    for name, shares, answers in zip(WHO, pair.shares, pair.answers, strict=True):
        table[f"{name} answer"] = names[answers[keep]]
        table[f"{name} p"] = shares[keep].max(axis=1) if len(rows) else np.zeros(0)
        table[f"{name} p label"] = shares[keep][rows, labels]
    wrong = WHO[1 - WHO.index(who)]
    return pd.DataFrame(table).sort_values(f"{wrong} p", ascending=False, kind="stable").reset_index(drop=True)


def together(votes: Votes, names: Sequence[str], labels: Mapping[str, str], *, errors: bool) -> pd.DataFrame:
    """How alike each two of R runs are, in percent, a row for each two, runs that are alike side by side.

    ``names`` are the runs behind ``votes.answers``. With ``errors``, of the cells that either of two gets
    wrong the share that both do; else the share of cells to which both give the same answer. Columns: one,
    other (names), one_model, other_model (labels), value.
    """
    alike = shared_errors(votes.answers, votes.labels) if errors else same_answers(votes.answers)
    order = by_similarity(alike)
    sorted_names = np.asarray(names)[order]
    one, other = (part.ravel() for part in np.meshgrid(sorted_names, sorted_names, indexing="ij"))
    table = pd.DataFrame({"one": one, "other": other})
    for side in ("one", "other"):
        table[f"{side}_model"] = [labels[name] for name in table[side]]
    return table.assign(value=100 * alike[np.ix_(order, order)].ravel())
