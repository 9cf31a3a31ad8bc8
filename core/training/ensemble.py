"""Makes a run of kind 'combination' from stored runs: a soft vote of several, or one run over eight views.

Nothing is trained. Val chooses the temperature (and, where asked, the members); test is scored once.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core import paths
from core.datasets import get_dataset
from core.errors import HemaLensError
from core.inference import engine
from core.inference.engine import TTA_VIEWS
from core.inference.ood import make_detector
from core.models import get_model
from core.probabilities import fit_temperature, softmax
from core.progress import Report, batches, part, silent
from core.runs import Run, existing_run, write_run
from core.training.export_run import SCORED_SPLITS, build_info, model_card, model_facts, score_splits

MAX_MEMBERS = 16


class BadCombination(HemaLensError):
    """Runs that can't be combined; the message says which and why."""


def combine(
    members: Sequence[Run],
    *,
    tta_views: int = TTA_VIEWS,
    title: str = "",
    selected_on_val: bool = False,
    force: bool = False,
    root: Path | None = None,
    report: Report = silent,
) -> Run:
    """The run that averages the probabilities of ``members`` over ``tta_views`` (1 or 8) views of a picture.

    One member makes an 'averaged_views', several an 'ensemble'. A combination that exists is returned untouched
    unless ``force``. ``title`` is what a person reads in place of the usual one, ``selected_on_val`` says that
    `select_members` found the members, ``root`` is the folder that gets ``<dataset>/<run>`` (the user's, if None).
    Raises `BadCombination` or `DatasetUnavailable`.
    """
    members, root = tuple(members), root or paths.user_runs_root()
    _check(members, tta_views)
    _check_members_findable(members, root)
    first = members[0].config["dataset"]
    model = get_model("ensemble" if len(members) > 1 else "averaged_views")
    names = sorted(member.name for member in members)
    identity = json.dumps([model.name, names, tta_views, first["provenance"]["content_hash"]])
    name = f"{model.name}-{first['size']}-{hashlib.sha256(identity.encode()).hexdigest()[:6]}"
    existing = existing_run(first["name"], name)
    if existing and not force:
        return existing

    data = get_dataset(first["name"]).load(first["size"], content_hash=first["provenance"]["content_hash"])
    if data.provenance.content_hash != first["provenance"]["content_hash"]:
        raise BadCombination(
            f"the images that {names[0]} was scored on (content {first['provenance']['content_hash']}) are not on "
            f"this computer; only {data.provenance.label}, content {data.provenance.content_hash}, is"
        )
    log_probabilities, done, total = {}, 0, sum(len(data[split]) for split in SCORED_SPLITS)
    for split in SCORED_SPLITS:
        n = len(data[split])
        tell = part(report, done / total, n / total, total=total, unit="image")
        log_probabilities[split] = np.concatenate(
            [
                np.log(engine.mean_probabilities(members, tta_views, data[split].images[rows]))
                for rows in batches(n, engine.BATCH, tell, split)
            ]
        )
        done += n
    temperature = round(fit_temperature(data["val"].labels, log_probabilities["val"]), 4)
    predictions, figures = score_splits(
        data, {split: (each / temperature).astype("f4") for split, each in log_probabilities.items()}
    )
    metrics = figures | {
        "parameters": sum(member.metrics["parameters"] or 0 for member in members),
        "train_seconds": round(sum(member.metrics["train_seconds"] for member in members), 1),
        "device": "; ".join(dict.fromkeys(member.metrics["device"] for member in members)),
        "temperature": temperature,
    }
    config = {
        "name": name,
        "kind": "combination",
        "members": names,
        "tta_views": tta_views,
        "selected_on_val": selected_on_val,
        "train": {"dataset": first["name"], "size": first["size"], "model": model.name, "model_arguments": {}},
        "model": model_facts(model.name, title=title or _combination_title(members, tta_views)),
        "dataset": first,
        **build_info("onnxruntime", "numpy"),
    }
    return write_run(
        root,
        name,
        config=config,
        metrics=metrics,
        predictions=predictions,
        card=lambda run: model_card(run, data.spec),
        complete=lambda run: make_detector(run, data),
    )


def select_members(runs: Sequence[Run], max_members: int) -> list[Run]:
    """Up to ``max_members`` of ``runs`` whose mean probability is likeliest on val, found one by one.

    Forward selection (Caruana et al. 2004, doi:10.1145/1015330.1015432), without repetition: each step adds
    the run that lowers the log loss on val most and stops where none does. Log loss rather than accuracy,
    because few val images are misread by good runs, so that accuracy is a coarse judge. It asks the stored
    answers only; combinations among ``runs`` are passed over. Raises `BadCombination`.
    """
    pool = [run for run in runs if run.kind != "combination"]
    if not pool:
        raise BadCombination("there is no run to choose from: train some first, with `python -m core train --all`")
    _check_same_images(pool)
    labels = pool[0].predictions("val").labels
    probabilities = {run.name: softmax(run.predictions("val").logits) for run in pool}
    rows = np.arange(len(labels))
    chosen: list[Run] = []
    total, lowest = np.zeros_like(probabilities[pool[0].name]), np.inf
    while len(chosen) < max_members:
        losses = {
            run.name: -np.log(
                np.maximum((total + probabilities[run.name])[rows, labels] / (len(chosen) + 1), 1e-12)
            ).mean()
            for run in pool
            if run not in chosen
        }
        best = min(losses, key=lambda name: losses[name], default=None)
        if best is None or losses[best] >= lowest:
            break
        lowest = losses[best]
        total += probabilities[best]
        chosen.append(next(run for run in pool if run.name == best))
    return chosen


def _combination_title(members: Sequence[Run], tta_views: int) -> str:
    what = members[0].config["model"]["title"] if len(members) == 1 else f"Ensemble of {len(members)}"
    return what if tta_views == 1 else f"{what}, {tta_views} views"


def _check(members: Sequence[Run], tta_views: int) -> None:
    if tta_views not in (1, TTA_VIEWS):
        raise BadCombination(
            f"views can't be {tta_views}: 1 is the picture as it is, {TTA_VIEWS} are all its flips and turns"
        )
    if not members or (len(members) == 1 and tta_views == 1):
        raise BadCombination(
            f"one run and one view are that run itself: name several runs, or ask for {TTA_VIEWS} views"
        )
    if len(members) > MAX_MEMBERS:
        raise BadCombination(f"{len(members)} runs are too many to answer in good time: at most {MAX_MEMBERS}")
    nested = [member.name for member in members if member.kind == "combination"]
    if nested:
        raise BadCombination(f"{nested[0]} is a combination itself: name its members instead")
    if len({member.name for member in members}) < len(members):
        raise BadCombination("a run is named twice: each has one vote")
    _check_same_images(members)


def _check_members_findable(members: Sequence[Run], root: Path) -> None:
    """Raises `BadCombination` where a combination under ``root`` would not find a member by its name.

    What ships must not lean on a user's own runs, which stay behind.
    """
    folders = [root.resolve(), paths.shipped_runs_root().resolve()]
    if folders[0] != folders[1]:
        folders.append(paths.user_runs_root().resolve())
    unreachable = next((member for member in members if member.path.resolve().parents[1] not in folders), None)
    if unreachable is not None:
        raise BadCombination(
            f"{unreachable.name} lies in {unreachable.path.parent}, where a combination in {root} would not find it: "
            f"copy its folder to {root / unreachable.dataset} first"
        )


def _check_same_images(runs: Sequence[Run]) -> None:
    """Raises `BadCombination` unless ``runs`` were trained and scored on the same images."""

    def data(run: Run) -> tuple[Any, ...]:
        return run.dataset, run.size, run.config["dataset"]["provenance"]["content_hash"]

    mismatch = next((run for run in runs if data(run) != data(runs[0])), None)
    if mismatch is not None:
        raise BadCombination(
            f"{runs[0].name} and {mismatch.name} can't be combined: the one was trained on {runs[0].provenance} at "
            f"{runs[0].size} px, the other on {mismatch.provenance} at {mismatch.size} px"
            + (", of another content" if runs[0].size == mismatch.size and runs[0].dataset == mismatch.dataset else "")
        )
