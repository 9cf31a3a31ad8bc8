"""Fits the trees of classical models: features once, then trees, calibration on val, a run like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from cachetools import LRUCache

from core import paths
from core.datasets import LoadedDataset
from core.evaluation.importance import permutation_importance
from core.inference.ood import make_detector
from core.models import build
from core.models.classical import ClassicalModel
from core.models.classical.export import MIN_VOTE_FRACTION, export_forest
from core.probabilities import fit_temperature
from core.progress import Progress, Report, batches, part, silent
from core.runs import Run, existing_run, write_run
from core.training.config import TrainConfig
from core.training.export_run import SCORED_SPLITS, model_card, run_config, score_splits
from core.training.optim import Stopwatch, device_name

BATCH = 256
TREES_PER_REPORT = 10  # trees between two reports
MAX_CACHED_TABLES = 12

_feature_tables: LRUCache[tuple[str, int, str, str], np.ndarray] = LRUCache(MAX_CACHED_TABLES)


def train_classical(
    config: TrainConfig,
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
    report: Report = silent,
) -> Run:
    """Fit ``config`` and return its run; a configuration that has a run is returned untouched unless ``force``.

    ``resume`` is accepted and means nothing here: a fit takes a minute or two and begins anew. ``root`` is the
    folder that gets ``<dataset>/<run>`` (the user's, if None). Raises `DatasetUnavailable`.
    """
    data = config.load_data(report)
    name = config.run_name(data.provenance.content_hash)
    existing = existing_run(config.dataset, name)
    if existing and not force:
        return existing
    model = _build(config, data)
    clock = Stopwatch(torch.device("cpu"))
    # Of the time of a fit the features take .45, the trees .35, the answers and what they rest on .1 each.
    table = compute_features(data, model.features, "train", part(report, 0, 0.4))
    val_table = compute_features(data, model.features, "val", part(report, 0.4, 0.05))
    grow_trees(model, table, data["train"].labels, seed=config.seed, report=part(report, 0.45, 0.35))
    seconds = clock.seconds()
    log_votes = np.log(np.maximum(model.estimator.predict_proba(val_table), MIN_VOTE_FRACTION))
    temperature = round(fit_temperature(data["val"].labels, log_votes), 4)
    graph = export_forest(model, temperature)
    # Scored is what will be served, the graph, not the estimator it was made of.
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    logits = {}
    for start, split in zip((0.8, 0.85), SCORED_SPLITS, strict=True):
        images = data[split].images
        rows = batches(len(images), BATCH, part(report, start, 0.05), f"answers for {split}")
        logits[split] = np.concatenate([session.run(["logits"], {"image": images[some]})[0] for some in rows])
    predictions, figures = score_splits(data, logits)
    metrics = figures | {
        "parameters": count_parameters(model),
        "train_seconds": round(seconds, 1),
        "images_per_second": round(len(data["train"]) / max(1e-9, seconds), 1),
        "device": device_name(torch.device("cpu")),
        "temperature": temperature,
    }
    packages = ("torch", "torchvision", "numpy", "onnx", "scikit-learn", "skl2onnx")
    content = run_config(config, name, data, *packages)
    return write_run(
        root or paths.user_runs_root(),
        name,
        config=content,
        metrics=metrics,
        predictions=predictions,
        importances=feature_importances(model, val_table, data["val"].labels, config.seed, part(report, 0.9, 0.1)),
        card=lambda run: model_card(run, data.spec),
        complete=lambda run: make_detector(run, data),
        export=lambda path, weights: path.write_bytes(graph),
    )


def cross_validate(
    config: TrainConfig,
    data: LoadedDataset,
    folds: int = 3,
    report: Report = silent,
    should_prune: Callable[[list[float]], bool] = lambda accuracies: False,
) -> list[float]:
    """Accuracy (0 to 1) on each of ``folds`` stratified parts of train, of trees fitted to the other parts.

    ``should_prune`` sees the accuracies so far after each fold but the last; where it says True, they are all
    that is returned. The folds depend on ``config.seed`` and the trees' settings do not change them. Features
    are computed once for a data set, a size and a feature set.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = data["train"].labels
    table = compute_features(data, _build(config, data).features, "train", part(report, 0, 0, total=folds, unit="fold"))
    accuracies: list[float] = []
    for train_rows, test_rows in StratifiedKFold(folds, shuffle=True, random_state=config.seed).split(table, labels):
        model = _build(config, data)
        grow_trees(model, table[train_rows], labels[train_rows], seed=config.seed)
        accuracies.append(float(model.estimator.score(table[test_rows], labels[test_rows])))
        mean = float(np.mean(accuracies))
        done = len(accuracies)
        report(Progress(done, folds, f"fold {done}/{folds}, accuracy {mean:.2%}", "fold", {"accuracy": mean}))
        if done < folds and should_prune(list(accuracies)):
            break
    return accuracies


def compute_features(data: LoadedDataset, name: str, split: str = "train", report: Report = silent) -> np.ndarray:
    """The feature set ``name`` of each picture of ``split``, float32 (N, K), read-only, kept for the next who asks."""
    from core.models.classical.features import FEATURE_SETS

    key = (data.provenance.content_hash, data.size, name, split)
    if key not in _feature_tables:
        feature_set = FEATURE_SETS[name](data.size).eval()
        images = data[split].images
        parts = []
        with torch.inference_mode():
            for rows in batches(len(images), BATCH, report, f"features of {len(images):,} {split} pictures"):
                parts.append(feature_set(torch.from_numpy(images[rows].copy()).permute(0, 3, 1, 2).float()).numpy())
        table = np.concatenate(parts)
        table.setflags(write=False)
        _feature_tables[key] = table
    return _feature_tables[key]


def grow_trees(
    model: ClassicalModel,
    table: np.ndarray,
    labels: np.ndarray,
    *,
    seed: int,
    report: Report = silent,
) -> None:
    """Grow the trees of ``model`` on ``table`` (N, K) and ``labels`` (N,), a few at a time, in place."""
    trees = model.estimator.n_estimators
    model.estimator.set_params(random_state=seed, warm_start=True, n_jobs=torch.get_num_threads())
    for grown in [*range(TREES_PER_REPORT, trees, TREES_PER_REPORT), trees]:
        model.estimator.set_params(n_estimators=grown)
        model.estimator.fit(table, labels)
        report(Progress(grown, trees, f"{grown} of {trees} trees"))


def count_parameters(model: ClassicalModel) -> int:
    """What the trees have learnt: a feature and a threshold for each split, a share for each class in each leaf."""
    trees = [estimator.tree_ for estimator in model.estimator.estimators_]
    classes = len(model.estimator.classes_)
    return int(sum(2 * (t.node_count - t.n_leaves) + classes * t.n_leaves for t in trees))


def feature_importances(
    model: ClassicalModel,
    table: np.ndarray,
    labels: np.ndarray,
    seed: int,
    report: Report = silent,
) -> dict[str, Any]:
    """The content of ``importances.json``: losses of accuracy (0 to 1) when features are shuffled on val.

    ``compute_features``, ``groups`` (the family of each) and ``importance`` have an entry a feature;
    ``group_importance`` one a family, all of whose features were shuffled together.
    """
    feature_set = model.feature_set()
    families = list(dict.fromkeys(feature_set.groups))
    single = [[k] for k in range(len(feature_set.names))]
    together = [[k for k, group in enumerate(feature_set.groups) if group == family] for family in families]
    total = len(single) + len(together)
    losses = permutation_importance(
        table,
        lambda mixed: float(model.estimator.score(mixed, labels)),
        [*together, *single],
        seed=seed,
        report=lambda done: report(Progress(done, total, "what the answers rest on")),
    )
    rounded = [round(loss, 5) for loss in losses]
    return {
        "features": list(feature_set.names),
        "groups": list(feature_set.groups),
        "importance": rounded[len(families) :],
        "group_importance": dict(zip(families, rounded, strict=False)),
        "split": "val",
        "images": len(labels),
    }


def _build(config: TrainConfig, data: LoadedDataset) -> ClassicalModel:
    return build(config.model, len(data.spec.classes), config.size, **config.model_arguments)
