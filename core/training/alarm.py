"""Fits a run's alarm for abnormal cells (`core.inference.alarm`) from blasts and normal cells of several data sets.

Blasts of the bone-marrow set and cells cut out of the malignant fields of ALL stand against the run's own cells, mature
marrow cells, haematogones of ALL's benign fields, and the normal cells of the laboratories that the user added: what is
learnt from one laboratory's blasts alone is that laboratory. Each source weighs alike, however many cells it has, and
each cell is shown at three scales, because a stranger's scale is measured with an error. Promyelocytes are immature
granulocytes at home, a class, and so on no side. A small perceptron reads the embedding: the network itself is not
trained, so every answer of the run stays what it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from scipy import ndimage
from torch import nn

from core.datasets import DatasetSpec, DatasetUnavailable, get_dataset
from core.datasets.pictures import read_dataset_pictures
from core.errors import HemaLensError
from core.evaluation.external import external_datasets
from core.evaluation.metrics import auroc
from core.images.crop import resize_crop
from core.images.framing import crop_batch, cut_box
from core.images.nucleus import optical_density, three_class_thresholds
from core.inference.alarm import INPUT, OUTPUT, RAISED_FROM
from core.inference.engine import logits_and_embeddings
from core.inference.scope import spec_for, training_data
from core.progress import Progress, Report, silent
from core.runs import Run
from core.storage import write_bytes, write_json

MARROW, FIELDS = "bone_marrow", "all4"
BLASTS, MATURE = ("BLA",), ("EOS", "LYT", "MON", "NGS")
BENIGN = "BEN"

_SCALES = (0.8, 1.0, 1.25)  # of the square that is cut out: a stranger's scale is measured with an error
_MOST_HOME = 4000  # of the run's own train cells
_MOST_OF_FIELDS = 3000  # of each side
_FIELD_SHAPE = (224, 299)  # px: the height and width that the squeezed fields of ALL had, 4:3
_FIELD_SIDE = 56  # px of these that span what a crop spans: red cells are 20 to 22 px across, measured by eye
_NUCLEUS = (14, 120, 0.45, 2.2)  # px across, square px, filled share of its box, longer side by shorter

_HIDDEN, _MEMBERS, _STEPS, _BATCH = 96, 3, 1500, 512
_NOISE, _DROPOUT, _SMOOTHING, _MAX_DEVIATION = 0.5, 0.4, 0.05, 4.0
# Of normal cells that must stay below the limit: of the run's own val cells, and of laboratories left out of the fit.
_HOME_SHARE, _LABORATORY_SHARE = 0.994, 0.96
_CAUTION_SHARE = 0.93  # of the latter that stay below the score from which nothing is sure


@dataclass(frozen=True)
class Source:
    """Cells of one kind from one place: ``views`` float32 (V, N, K), their embeddings at V scales (or turns).

    ``abnormal``: on which side they stand; ``part``: 'train' is learnt from, 'val' sets the limit, 'test' is only
    scored.
    """

    name: str
    views: np.ndarray
    abnormal: bool
    part: str

    def __len__(self) -> int:
        return self.views.shape[1]


def gather_sources(run: Run, report: Report = silent) -> tuple[list[Source], list[str]]:
    """Every source that is on this computer, as ``run`` sees it, and the names of those that are not.

    Raises `DatasetUnavailable` where the run's own cells are not here, `HemaLensError` where no blasts are.
    """
    sources, missing = [], []

    def add(name: str, crops: Sequence[np.ndarray], abnormal: bool, part: str) -> None:
        views = np.stack([_embeddings(run, view) for view in crops])
        sources.append(Source(name, views, abnormal, part))
        report(Progress(len(sources), 0, f"looking at {name}", "source"))

    data = training_data(run)
    for part in ("train", "val", "test"):
        images = data[part].images
        chosen = np.unique(np.linspace(0, len(images) - 1, _MOST_HOME if part == "train" else len(images)).astype(int))
        cells = np.asarray(images[chosen])
        add(f"home {part}", [_zoomed(cells, scale) for scale in _SCALES] if part == "train" else [cells], False, part)
    for load in (_marrow_cells, _field_cells):
        try:
            for name, crops, abnormal, part in load(run):
                add(name, crops, abnormal, part)
        except DatasetUnavailable as error:
            missing.append(str(error).splitlines()[0])
    for name in external_datasets(run):
        try:
            batch = crop_batch(read_dataset_pictures(name).pictures, spec_for(run), run.size)
        except DatasetUnavailable as error:
            missing.append(str(error).splitlines()[0])
            continue
        add(name, [_zoomed(batch.pixels, scale) for scale in _SCALES], False, "train")
    if not any(source.abnormal for source in sources):
        raise HemaLensError(
            f"No abnormal cells are on this computer to learn the alarm from ({'; '.join(missing)}). Add the folder of "
            f"{get_dataset(MARROW).title} or of {get_dataset(FIELDS).title}: python -m core datasets add NAME FOLDER"
        )
    return sources, missing


_PARTS = {"train": ("train", "val"), "test": ("test",)}
Cells = Iterator[tuple[str, list[np.ndarray], bool, str]]


def _marrow_cells(run: Run) -> Cells:
    """Blasts, and mature cells of marrow, by the published split; all of one scale, whatever the class."""
    spec, home = get_dataset(MARROW), spec_for(run)
    assert spec.auxiliary_for is not None
    data = spec.load(min((s for s in spec.sizes if s >= 1.5 * run.size), default=max(spec.sizes)))
    for codes, abnormal in ((BLASTS, True), *(((code,), False) for code in MATURE)):
        present = [data.spec.codes.index(code) for code in codes if code in data.spec.codes]
        for part, splits in _PARTS.items():
            chosen = [data[split].images[np.flatnonzero(np.isin(data[split].labels, present))] for split in splits]
            cells = np.concatenate(chosen)
            if not len(cells):
                continue
            sides = [scale * spec.auxiliary_for.crop * cells.shape[1] for scale in _SCALES]
            crops = [np.stack([_square(cell, side, run.size, home) for cell in cells]) for side in sides]
            yield f"marrow {codes[0]} {part}", crops, abnormal, part


def _field_cells(run: Run) -> Cells:
    """Cells cut out of the fields of ALL, malignant and benign, by the split that keeps neighbours together."""
    data, home = get_dataset(FIELDS).load(_FIELD_SHAPE[0]), spec_for(run)
    benign = data.spec.codes.index(BENIGN)
    for part, splits in _PARTS.items():
        for abnormal in (True, False):
            wanted = [(s, int(i)) for s in splits for i in np.flatnonzero((data[s].labels != benign) == abnormal)]
            crops: list[list[np.ndarray]] = [[] for _ in _SCALES]
            for number in np.random.default_rng(0).permutation(len(wanted)):
                split, row = wanted[number]
                field = np.asarray(Image.fromarray(data[split].images[row]).resize(_FIELD_SHAPE[::-1]))
                for x, y in _nuclei(field):
                    for of_scale, scale in zip(crops, _SCALES, strict=True):
                        of_scale.append(_square(field, scale * _FIELD_SIDE, run.size, home, (x, y)))
                if len(crops[0]) >= _MOST_OF_FIELDS:
                    break
            if crops[0]:
                name = f"ALL {'malignant' if abnormal else 'benign'} {part}"
                yield name, [np.stack(c) for c in crops], abnormal, part


def _nuclei(field: np.ndarray) -> list[tuple[float, float]]:
    """Middles of single whole nuclei in a field uint8 (H, W, 3); crowded and cut ones are passed over."""
    density = optical_density(field.astype(np.float32))
    stain = ndimage.gaussian_filter(2 * density[..., 1] - np.minimum(density[..., 0], density[..., 2]), 1.0)
    thresholds = three_class_thresholds(stain)
    if thresholds is None:
        return []
    labels, _ = ndimage.label(ndimage.binary_opening(stain > thresholds[1], iterations=2))
    found, (across, area, filled, oblong) = [], _NUCLEUS
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        size = int((labels[rows, columns] == number).sum())
        shorter, longer = sorted((height, width))
        whole = (
            rows.start > 1
            and columns.start > 1
            and rows.stop < labels.shape[0] - 1
            and columns.stop < labels.shape[1] - 1
        )
        if whole and longer >= across and size >= max(area, filled * height * width) and longer <= oblong * shorter:
            found.append(((columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2))
    return found


def _square(
    picture: np.ndarray, side: float, size: int, spec: DatasetSpec, middle: tuple[float, float] | None = None
) -> np.ndarray:
    """The square of ``side`` px round ``middle`` (x, y; None: the picture's) as runs of ``spec`` at ``size`` see it."""
    x, y = middle or (picture.shape[1] / 2, picture.shape[0] / 2)
    side = round(side)
    left, top = round(x - side / 2), round(y - side / 2)
    return resize_crop(cut_box(picture, (left, top, left + side, top + side)), size, spec)


def _zoomed(crops: np.ndarray, scale: float) -> np.ndarray:
    """``crops`` uint8 (N, S, S, 3) as if a square ``scale`` times as large had been cut; mirrored where nothing is."""
    if scale == 1:
        return crops
    size = crops.shape[1]
    side = round(scale * size)
    left = round((size - side) / 2)
    cut = [cut_box(crop, (left, left, left + side, left + side)) for crop in crops]
    return np.stack([np.asarray(Image.fromarray(c).resize((size, size), Image.Resampling.BILINEAR)) for c in cut])


def _embeddings(run: Run, crops: np.ndarray) -> np.ndarray:
    vectors = logits_and_embeddings(run, crops, with_deviation=True)[1]
    if vectors is None:
        raise HemaLensError(f"{run.name} is no single network: only a network's embedding can carry an alarm.")
    return vectors


@dataclass(frozen=True)
class FittedAlarm:
    """The perceptrons: ``centre``, ``spread`` float32 (K,) of the embeddings; ``layers``: for each its four arrays.

    ``logit(embeddings)`` is their mean; a score is the logistic function of ``slope`` times it less ``limit``.
    """

    centre: np.ndarray
    spread: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], ...]
    limit: float = 0.0
    slope: float = 1.0

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        """Float64 (N,) of ``embeddings`` (N, K), the higher the more abnormal."""
        z = np.clip((embeddings - self.centre) / self.spread, -_MAX_DEVIATION, _MAX_DEVIATION)
        members = [np.maximum(z @ a + b, 0) @ c + d for a, b, c, d in self.layers]
        return np.mean(members, axis=0)[:, 0].astype(np.float64)

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Float64 (N,) in 0 to 1; .5 or more raises the alarm."""
        return 1 / (1 + np.exp(-np.clip(self.slope * (self.logits(embeddings) - self.limit), -50, 50)))


def fit_perceptrons(sources: Sequence[Source], seed: int = 0) -> FittedAlarm:
    """Perceptrons that tell the abnormal of ``sources`` from the others; both sides, and all sources of a side, weigh
    alike. Dropout (Srivastava et al. 2014) and noise keep them from learning single cells.
    """
    rows = np.concatenate([source.views.reshape(-1, source.views.shape[-1]) for source in sources])
    truth = np.concatenate([np.full(source.views.shape[0] * len(source), source.abnormal) for source in sources])
    sides = {abnormal: sum(source.abnormal == abnormal for source in sources) for abnormal in (True, False)}
    weights = [np.full(n := s.views.shape[0] * len(s), 0.5 / sides[s.abnormal] / n) for s in sources]
    centre, spread = rows.mean(0), rows.std(0) + 1e-4
    inputs = torch.tensor(np.clip((rows - centre) / spread, -_MAX_DEVIATION, _MAX_DEVIATION), dtype=torch.float32)
    targets = torch.tensor(np.where(truth, 1 - _SMOOTHING, _SMOOTHING), dtype=torch.float32)
    chances = torch.tensor(np.concatenate(weights))
    layers = []
    for member in range(_MEMBERS):
        generator = torch.Generator().manual_seed(seed + member)
        with torch.random.fork_rng():
            torch.manual_seed(seed + member)
            network = nn.Sequential(
                nn.Linear(inputs.shape[1], _HIDDEN), nn.ReLU(), nn.Dropout(_DROPOUT), nn.Linear(_HIDDEN, 1)
            )
            optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=_STEPS)
            for _ in range(_STEPS):
                batch = torch.multinomial(chances, _BATCH, replacement=True, generator=generator)
                noise = _NOISE * torch.randn(_BATCH, inputs.shape[1], generator=generator)
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network(inputs[batch] + noise)[:, 0], targets[batch]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        parameters = [p.detach().numpy().astype(np.float16).astype(np.float32) for p in network.parameters()]
        layers.append((parameters[0].T, parameters[1], parameters[2].T, parameters[3]))
    return FittedAlarm(centre.astype(np.float32), spread.astype(np.float32), tuple(layers))


def fit_alarm(sources: Sequence[Source], seed: int = 0) -> tuple[FittedAlarm, dict[str, float]]:
    """The alarm of ``sources``: learnt from their train parts, its limit set so that normal cells hardly pass it.

    What other laboratories' normal cells reach is measured on each of them while it is left out of the fit, where there
    are two or more; the second value is the share of them, by laboratory, that pass the limit then.
    """
    train = [source for source in sources if source.part == "train"]
    laboratories, middle = normal_laboratories(sources), len(_SCALES) // 2
    alarm = fit_perceptrons(train, seed)
    home = np.concatenate([alarm.logits(s.views[0]) for s in sources if s.part == "val" and not s.abnormal])
    limit = caution = float(np.quantile(home, _HOME_SHARE))
    left_out = {}
    for laboratory in laboratories:
        others = [source for source in train if source is not laboratory]
        fitted = fit_perceptrons(others, seed) if len(laboratories) > 1 else alarm
        left_out[laboratory.name] = fitted.logits(laboratory.views[middle])
    if left_out:  # each weighs alike
        ranks = np.linspace(0, 1, 1001)
        pooled = np.concatenate([np.quantile(values, ranks) for values in left_out.values()])
        limit = max(limit, float(np.quantile(pooled, _LABORATORY_SHARE)))
        caution = float(np.quantile(pooled, _CAUTION_SHARE))
    slope = np.log(3) / max(0.1, limit - caution)  # so that caution's score is a quarter
    shares = {name: float((values >= limit).mean()) for name, values in left_out.items()}
    return replace(alarm, limit=limit, slope=float(slope)), shares


def normal_laboratories(sources: Sequence[Source]) -> list[Source]:
    """Those of ``sources`` that are the normal cells of a laboratory that the user added."""
    return [s for s in sources if s.part == "train" and not s.abnormal and s.name.split()[0] not in _OWN]


_OWN = ("home", "marrow", "ALL")


def alarm_figures(
    alarm: FittedAlarm, sources: Sequence[Source], left_out: Mapping[str, float], seed: int = 0
) -> dict[str, Any]:
    """What ``alarm`` does on test cells, ready for JSON: by source the share that raises it, and AUROCs.

    ``left_out``: the shares of laboratories' normal cells that `fit_alarm` gave.
    """
    train, middle = [source for source in sources if source.part == "train"], len(_SCALES) // 2
    test = {s.name: alarm.scores(s.views[min(middle, len(s.views) - 1)]) for s in sources if s.part == "test"}
    raised = {name: {"raised": float((v >= RAISED_FROM).mean()), "cells": len(v)} for name, v in test.items()}
    cells = {laboratory.name: len(laboratory) for laboratory in normal_laboratories(sources)}
    without = {name: {"raised": share, "cells": cells[name]} for name, share in left_out.items()}
    marrow = [v for name, v in test.items() if name.startswith("marrow") and not name.startswith("marrow BLA")]
    pairs = {
        "marrow: blasts against mature cells": (marrow, "marrow BLA test"),
        "ALL: malignant against benign": ([v for n, v in test.items() if n == "ALL benign test"], "ALL malignant test"),
    }
    areas = {
        name: auroc(np.concatenate(lower), test[higher])
        for name, (lower, higher) in pairs.items()
        if lower and higher in test
    }
    learnt = {source.name: len(source) for source in train}
    return {"seed": seed, "learnt_from": learnt, "test": raised, "left_out": without, "auroc": areas}


def alarm_graph(alarm: FittedAlarm) -> bytes:
    """The ONNX graph of ``alarm``: ``embedding`` float32 (n, K) to ``score`` float32 (n,), weights as float16."""
    constants: dict[str, np.ndarray] = {}
    nodes = []

    def constant(name: str, values: np.ndarray | float, kind: type = np.float32) -> str:
        constants[name] = np.asarray(values, kind)
        if kind is not np.float16:
            return name
        nodes.append(helper.make_node("Cast", [name], [f"{name}_full"], to=TensorProto.FLOAT))
        return f"{name}_full"

    nodes += [
        helper.make_node("Sub", [INPUT, constant("centre", alarm.centre)], ["shifted"]),
        helper.make_node("Div", ["shifted", constant("spread", alarm.spread)], ["scaled"]),
    ]
    bounds = constant("lowest", -_MAX_DEVIATION), constant("highest", _MAX_DEVIATION)
    nodes.append(helper.make_node("Clip", ["scaled", *bounds], ["z"]))
    for i, arrays in enumerate(alarm.layers):
        a, b, c, d = (constant(f"{name}{i}", array, np.float16) for name, array in zip("abcd", arrays, strict=True))
        nodes += [
            helper.make_node("Gemm", ["z", a, b], [f"hidden{i}"]),
            helper.make_node("Relu", [f"hidden{i}"], [f"active{i}"]),
            helper.make_node("Gemm", [f"active{i}", c, d], [f"logit{i}"]),
        ]
    shift = constant("limit", alarm.limit), constant("slope", alarm.slope)
    nodes += [
        helper.make_node("Mean", [f"logit{i}" for i in range(len(alarm.layers))], ["logit"]),
        helper.make_node("Sub", ["logit", shift[0]], ["above"]),
        helper.make_node("Mul", ["above", shift[1]], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], ["share"]),
        helper.make_node("Squeeze", ["share", constant("axes", np.array([1]), np.int64)], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "alarm",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", len(alarm.centre)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def make_alarm(run: Run, report: Report = silent, seed: int = 0) -> tuple[dict[str, Any], list[str]]:
    """Fit the alarm of ``run``, store it and its figures in the run's folder; the figures, and what data is missing."""
    sources, missing = gather_sources(run, report)
    alarm, left_out = fit_alarm(sources, seed)
    figures = alarm_figures(alarm, sources, left_out, seed)
    write_bytes(run.alarm_path, alarm_graph(alarm))
    write_json(run.alarm_path.with_suffix(".json"), figures)
    return figures, missing
