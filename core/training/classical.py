"""Fits the trees of classical models: features once, then trees, calibration on val, a run like any other."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from core import paths
from core.datasets import LoadedDataset
from core.evaluation import fit_temperature, score
from core.evaluation.permutation import shuffled_losses
from core.models import build
from core.models.classical import Classical
from core.models.export_trees import FLOOR, export_trees
from core.progress import Progress, Report, silent
from core.runs import Predictions, Run, list_runs, write_run
from core.training.card import card
from core.training.config import TrainConfig
from core.training.device import describe
from core.training.record import SCORED, run_config
from core.training.stopwatch import Stopwatch

Tell = Callable[[float, str], None]  # the share done of one stage, and a line

BATCH = 256
STEP = 10  # trees between two reports
MAX_TABLES = 12
EXPLAINED_ON = "val"

# Stages of a fit and their usual shares of its time, in percent.
STAGES = {"features": 45, "trees": 35, "answers": 10, "importances": 10}

_tables: OrderedDict[tuple[str, int, str, str], np.ndarray] = OrderedDict()


def train(
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
    known = [run for run in list_runs(config.dataset) if run.name == name]
    if known and not force:
        return known[0]
    model = _build(config, data)
    stage = _Stages(report)
    clock = Stopwatch(torch.device("cpu"))
    tables = {split: features(data, model.features, split, stage("features")) for split in ("train", "val")}
    fit(model, tables["train"], data["train"].labels, seed=config.seed, tell=stage("trees"))
    seconds = clock.seconds()
    votes = _log_votes(model, tables["val"])
    temperature = round(fit_temperature(data["val"].labels, votes), 4)
    graph = export_trees(model, temperature)
    # Scored is what will be served, the graph, not the estimator it was made of.
    answers = {
        split: Predictions(
            data[split].ids, data[split].labels, _answers(graph, data[split].images, split, stage("answers"))
        )
        for split in SCORED
    }
    metrics: dict[str, Any] = {split: score(found.labels, found.logits) for split, found in answers.items()} | {
        "parameters": parameters(model),
        "train_seconds": round(seconds, 1),
        "images_per_second": round(len(data["train"]) / max(1e-9, seconds), 1),
        "device": describe(torch.device("cpu")),
        "temperature": temperature,
    }
    packages = ("torch", "torchvision", "numpy", "onnx", "scikit-learn", "skl2onnx")
    content = run_config(config, name, data, *packages)
    return write_run(
        root or paths.user_runs_root(),
        name,
        config=content,
        metrics=metrics,
        predictions=answers,
        importances=importances(
            model, tables[EXPLAINED_ON], data[EXPLAINED_ON].labels, config.seed, stage("importances")
        ),
        card=card(content, metrics, data.spec),
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
    table = features(
        data, _build(config, data).features, "train", lambda share, line: report(Progress(0, folds, line, "fold"))
    )
    accuracies: list[float] = []
    for known, asked in StratifiedKFold(folds, shuffle=True, random_state=config.seed).split(table, labels):
        model = _build(config, data)
        fit(model, table[known], labels[known], seed=config.seed)
        accuracies.append(float(model.estimator.score(table[asked], labels[asked])))
        mean = float(np.mean(accuracies))
        done = len(accuracies)
        report(Progress(done, folds, f"fold {done}/{folds}, accuracy {mean:.2%}", "fold", {"accuracy": mean}))
        if done < folds and should_prune(list(accuracies)):
            break
    return accuracies


def features(data: LoadedDataset, name: str, split: str = "train", tell: Tell = lambda share, line: None) -> np.ndarray:
    """The feature set ``name`` of each picture of ``split``, float32 (N, K), read-only, kept for the next who asks."""
    from core.models.features import FEATURE_SETS

    key = (data.provenance.content_hash, data.size, name, split)
    if key not in _tables:
        described = FEATURE_SETS[name](data.size).eval()
        images = data[split].images
        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                pixels = torch.from_numpy(images[start : start + BATCH].copy()).permute(0, 3, 1, 2).float()
                parts.append(described(pixels).numpy())
                done = min(start + BATCH, len(images))
                tell(done / len(images), f"features of {done:,} of {len(images):,} {split} pictures")
        _tables[key] = np.concatenate(parts)
        _tables[key].setflags(write=False)
        while len(_tables) > MAX_TABLES:
            _tables.popitem(last=False)
    _tables.move_to_end(key)
    return _tables[key]


def fit(
    model: Classical, table: np.ndarray, labels: np.ndarray, *, seed: int, tell: Tell = lambda share, line: None
) -> None:
    """Grow the trees of ``model`` on ``table`` (N, K) and ``labels`` (N,), a few at a time, in place."""
    trees = model.estimator.n_estimators
    model.estimator.set_params(random_state=seed, warm_start=True, n_jobs=torch.get_num_threads())
    for grown in [*range(STEP, trees, STEP), trees]:
        model.estimator.set_params(n_estimators=grown)
        model.estimator.fit(table, labels)
        tell(grown / trees, f"{grown} of {trees} trees")


def parameters(model: Classical) -> int:
    """What the trees have learnt: a feature and a threshold for each split, a share for each class in each leaf."""
    trees = [estimator.tree_ for estimator in model.estimator.estimators_]
    classes = len(model.estimator.classes_)
    return int(sum(2 * (t.node_count - t.n_leaves) + classes * t.n_leaves for t in trees))


def importances(
    model: Classical, table: np.ndarray, labels: np.ndarray, seed: int, tell: Tell = lambda share, line: None
) -> dict[str, Any]:
    """The content of ``importances.json``: losses of accuracy (0 to 1) when features are shuffled on val.

    ``features``, ``groups`` (the family of each) and ``importance`` have an entry a feature;
    ``group_importance`` one a family, all of whose features were shuffled together.
    """
    described = model.feature_set()
    families = list(dict.fromkeys(described.groups))
    single = [[k] for k in range(len(described.names))]
    together = [[k for k, group in enumerate(described.groups) if group == family] for family in families]
    total = len(single) + len(together)
    losses = shuffled_losses(
        table,
        lambda mixed: float(model.estimator.score(mixed, labels)),
        [*together, *single],
        seed=seed,
        report=lambda done: tell(done / total, "what the answers rest on"),
    )
    rounded = [round(loss, 5) for loss in losses]
    return {
        "features": list(described.names),
        "groups": list(described.groups),
        "importance": rounded[len(families) :],
        "group_importance": dict(zip(families, rounded, strict=False)),
        "split": EXPLAINED_ON,
        "images": len(labels),
    }


class _Stages:
    """One count of percent over all stages of a fit, which goes only up."""

    def __init__(self, report: Report) -> None:
        self.report, self.done = report, 0.0

    def __call__(self, name: str) -> Tell:
        """How the stage ``name`` tells of itself."""
        names = list(STAGES)
        before = sum(STAGES[stage] for stage in names[: names.index(name)])

        def tell(share: float, line: str) -> None:
            self.done = max(self.done, before + STAGES[name] * share)
            self.report(Progress(round(self.done), 100, line))

        return tell


def _build(config: TrainConfig, data: LoadedDataset) -> Classical:
    return build(config.model, len(data.spec.classes), config.size, **config.model_arguments)


def _log_votes(model: Classical, table: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(model.estimator.predict_proba(table), FLOOR))


def _answers(graph: bytes, images: np.ndarray, split: str, tell: Tell) -> np.ndarray:
    """Logits float32 (N, C) of the served ``graph`` for uint8 ``images`` (N, S, S, 3)."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    parts = []
    for start in range(0, len(images), BATCH):
        parts.append(session.run(["logits"], {"image": images[start : start + BATCH]})[0])
        tell(min(1.0, (start + BATCH) / len(images)), f"answers for {split}")
    return np.concatenate(parts)
