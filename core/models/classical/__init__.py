"""Classical models: trees that are grown on features of the image, instead of a network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.models.classical.features import FEATURE_SETS, FeatureSet

if TYPE_CHECKING:  # scikit-learn takes a second to import, which listing the models needn't wait for
    from sklearn.ensemble import RandomForestClassifier

FOREST_TUNABLE: dict[str, tuple[Any, ...]] = {
    "trees": ("int", 20, 150, "log"),
    "leaves": ("int", 50, 600, "log"),
    "smallest": ("int", 1, 16, "log"),
    "rows": ("float", 0.3, 1.0),
}


@dataclass(frozen=True)
class ClassicalModel:
    """An untrained or fitted ``estimator`` and the set of features that it decides by, at one picture size."""

    estimator: "RandomForestClassifier"
    features: str
    size: int

    def feature_set(self) -> FeatureSet:
        """The features as a module: float pictures (N, 3, S, S), 0 to 255, to (N, K)."""
        return FEATURE_SETS[self.features](self.size).eval()


def build_forest(
    features: str, size: int, *, trees: int, leaves: int, smallest: int, tried: float, rows: float
) -> ClassicalModel:
    """Trees on the set ``features``, each grown on a draw of pictures with replacement, that vote with their shares.

    ``leaves`` is the most that a tree may have and ``smallest`` the fewest pictures in one (both bound the
    file's size); ``tried`` the share of features among which each split chooses; ``rows`` the size of the draw
    as a share of the training pictures.
    """
    from sklearn.ensemble import RandomForestClassifier

    estimator = RandomForestClassifier(
        n_estimators=trees,
        max_leaf_nodes=leaves,
        min_samples_leaf=smallest,
        max_features=tried,
        max_samples=None if rows == 1 else rows,
    )
    return ClassicalModel(estimator, features, size)
