"""What a specimen usually holds, and what that makes of a model's answers.

A network's answers carry how common each class was among the cells that it learnt from: BloodMNIST has 17 % immature
granulocytes and 9 % erythroblasts, which no blood has. Where it is known what was dropped, the answers are divided by
those shares and multiplied by the specimen's (Saerens, Latinne and Decaestecker 2002, doi:10.1162/089976602753284446).
Of sorted cells nothing is usual; those of another laboratory are then read as if each class were as common as any
other. The specimen says what is named first; what the picture alone says still tells what somebody must look at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.errors import HemaLensError
from core.runs import Run

IMMATURE = frozenset({"IG", "ERB"})  # in blood somebody must look at them, whatever is named first
# Of what the picture alone says, the share for immature classes from which on somebody must look. Elsewhere networks
# take strangers' cells for immature ones more often.
IMMATURE_AT_HOME, IMMATURE_ELSEWHERE = 0.03, 0.6


@dataclass(frozen=True)
class Specimen:
    """``shares``: of each class by its code, 0 to 1, {} where nothing is known; ``source``: where they are from.

    ``key``: its word in the shell and in addresses, ``title``: what a person calls it. ``immature_is_usual``: whether
    cells of `IMMATURE` classes are nothing to look at there.
    """

    key: str
    title: str
    shares: Mapping[str, float]
    source: str
    immature_is_usual: bool = False

    def odds(self, run: Run, *, elsewhere: bool) -> np.ndarray:
        """How much commoner each class of ``run`` is here than among the cells that it learnt from: float64 (C,).

        Where nothing is known of the specimen: ones for cells of the run's own laboratory, all classes alike for those
        that come from ``elsewhere``. Raises `HemaLensError` for a run of other classes.
        """
        if not self.shares:
            return 1 / (len(run.codes) * home_shares(run)) if elsewhere else np.ones(len(run.codes))
        if not set(run.codes) <= set(self.shares):
            raise HemaLensError(
                f"{run.name} names other classes than a differential has, so what is usual in {self.title} says "
                "nothing of them: use the specimen 'any'."
            )
        return np.array([self.shares[code] for code in run.codes]) / home_shares(run)


def home_shares(run: Run) -> np.ndarray:
    """How common each class of ``run`` is where it learnt, as in val: float (C,), each above 0."""
    return _home_shares(run, run.version)


@lru_cache(maxsize=64)
def _home_shares(run: Run, version: str) -> np.ndarray:
    counts = np.maximum(np.bincount(run.predictions("val").labels, minlength=len(run.codes)), 1)
    shares = counts / counts.sum()
    shares.setflags(write=False)
    return shares


def immature_likelihood(run: Run, probabilities: np.ndarray) -> np.ndarray | None:
    """What the pictures alone say for `IMMATURE` classes in the ``probabilities`` (N, C) of ``run``: the share of their
    likelihood in that of all classes, float64 (N,) in 0 to 1; None for a run that has no such class.
    """
    immature = [k for k, code in enumerate(run.codes) if code in IMMATURE]
    if not immature:
        return None
    return weighed(probabilities, 1 / home_shares(run))[:, immature].sum(1)


# Of white cells, with erythroblasts beside them, within the reference ranges of the sources; the share of platelets is
# that of pictures that show one where a white cell was looked for.
_BAIN = "Bain 2015, Blood Cells, 5th ed., reference ranges"
ADULT_BLOOD = Specimen(
    "blood",
    "blood of an adult",
    {"NE": 0.575, "LY": 0.30, "MO": 0.07, "EO": 0.03, "BA": 0.008, "PLT": 0.008, "IG": 0.006, "ERB": 0.003},
    _BAIN,
)
ANY_SPECIMEN = Specimen(
    "any",
    "anything else",
    {},
    "no usual shares: sorted cells, teaching sets; elsewhere all classes alike",
    immature_is_usual=True,
)
SPECIMENS: dict[str, Specimen] = {
    specimen.key: specimen
    for specimen in (
        ADULT_BLOOD,
        Specimen(
            "child",
            "blood of a child",
            {"NE": 0.40, "LY": 0.47, "MO": 0.07, "EO": 0.035, "BA": 0.008, "PLT": 0.008, "IG": 0.006, "ERB": 0.003},
            f"{_BAIN}, one to six years",
        ),
        Specimen(
            "newborn",
            "blood of a newborn",
            {"NE": 0.52, "LY": 0.29, "MO": 0.08, "EO": 0.025, "BA": 0.007, "PLT": 0.008, "IG": 0.03, "ERB": 0.04},
            f"{_BAIN}, the first days of life",
        ),
        Specimen(
            "marrow",
            "bone marrow",
            {"NE": 0.32, "LY": 0.13, "MO": 0.013, "EO": 0.022, "BA": 0.002, "PLT": 0.003, "IG": 0.24, "ERB": 0.27},
            "within the ranges of Bain 1996, Br J Haematol 94:206, healthy adults",
            immature_is_usual=True,
        ),
        ANY_SPECIMEN,
    )
}


def find_specimen(key: str) -> Specimen:
    """The specimen called ``key``. Raises `HemaLensError`, which names those there are."""
    try:
        return SPECIMENS[key]
    except KeyError:
        raise HemaLensError(f"No specimen is called {key!r}; there are: {', '.join(SPECIMENS)}.") from None


def weighed(probabilities: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """``probabilities`` (N, C) where classes are commoner by ``odds`` (C,) than before: float64 (N, C)."""
    products = probabilities * odds
    return products / products.sum(1, keepdims=True)
