"""From a trained model to a whole run: its configuration, its model card and, for networks, calibration and scores.

Val calibrates, val and test are scored once. The card is written by code, never by hand: what a run is, how well it
does, where its figures hold.
"""

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import __version__
from core.datasets import DatasetSpec, LoadedDataset, UnknownDataset, get_dataset
from core.evaluation.external import validation_section
from core.evaluation.metrics import score
from core.evaluation.uncertainty import lowest_class, run_uncertainty
from core.explain.gates import class_gate_means
from core.formatting import listed
from core.inference.alarm import alarm_figures_of
from core.inference.laboratory import external_calibration_of
from core.inference.ood import make_detector
from core.models import ImageClassifier, get_model
from core.models.export import export_graph, round_to_stored, stored_tensors
from core.probabilities import fit_temperature
from core.runs import STAIN_AUGMENTATION, Predictions, Run, write_run
from core.training.checkpoint import TrainState
from core.training.config import TrainConfig
from core.training.data import AuxiliaryData, network_logits
from core.training.optim import device_name, uses_bf16

SCORED_SPLITS = ("val", "test")  # the splits on which every run is scored


def run_config(config: TrainConfig, name: str, data: LoadedDataset, *packages: str) -> dict[str, Any]:
    """The content of ``config.json``: all that is needed to train the run again, with the ``packages`` used."""
    model = get_model(config.model)
    # What sets the run apart from others of its kind that were trained for home.
    title = f"{model.title}, any laboratory" if config.augment == STAIN_AUGMENTATION else ""
    return {
        "name": name,
        **({} if model.kind == "network" else {"kind": model.kind}),
        "train": config.as_json(),
        "model": model_facts(config.model, config.all_model_arguments(), title),
        "dataset": {
            "name": data.spec.name,
            "title": data.spec.title,
            "size": data.size,
            "provenance": data.provenance.as_json(),
            **({"scheme": data.scheme} if data.scheme else {}),
            "codes": list(data.spec.codes),
            "counts": {split: len(part) for split, part in data.splits.items()},
        },
        **build_info(*packages),
    }


def score_splits(
    data: LoadedDataset, logits: Mapping[str, np.ndarray]
) -> tuple[dict[str, Predictions], dict[str, Any]]:
    """By split what a run stores of its ``logits`` (N, C), in half precision, and the figures computed from that."""
    predictions = {
        split: Predictions(data[split].ids, data[split].labels, of_split).rounded()
        for split, of_split in logits.items()
    }
    return predictions, {split: score(answers.labels, answers.logits) for split, answers in predictions.items()}


def model_facts(name: str, arguments: Mapping[str, Any] | None = None, title: str = "") -> dict[str, str]:
    """What a person reads of the registered model ``name`` built with ``arguments``, under ``title`` if it has one."""
    model = get_model(name)
    return {
        "name": model.name,
        "title": title or model.title,
        "family": model.family,
        "summary": model.describe(arguments),
        "paper": model.paper,
        "paper_url": model.paper_url,
    }


def build_info(*packages: str) -> dict[str, Any]:
    """The entries ``versions`` (HemaLens, Python and ``packages``) and ``created`` (UTC, ISO 8601)."""
    return {
        "versions": {
            "hemalens": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


_NO_PATIENTS = "No patient identities are known, so cells of one person may be in both train and test."


def model_card(run: Run, spec: DatasetSpec) -> str:
    """Markdown for ``card.md`` of ``run``, whose classes are those of ``spec``."""
    config, metrics = run.config, run.metrics
    model, data = config["model"], config["dataset"]
    title, describe_making = _MAKING_SECTIONS[run.kind]
    arguments = ", ".join(f"{k} {v}" for k, v in config["train"]["model_arguments"].items())
    views = run.tta_views
    views_line = "One view of each picture, no averaging over views." if views == 1 else f"{views} views averaged."
    lines = [
        f"# {model['title']}, {data['size']} px",
        "",
        f"{model['summary']} {metrics['parameters']:,} parameters{f' ({arguments})' if arguments else ''}. "
        f"Paper: [{model['paper']}]({model['paper_url']}).",
        "",
        "## Figures",
        "",
        "| split | images | accuracy | 95 % interval | balanced | macro F1 | macro AUROC | calibration error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for split in ("val", "test"):
        m = metrics[split]
        low, high = m["accuracy_interval"]
        auroc = "–" if m["macro_auroc"] is None else f"{m['macro_auroc']:.4f}"
        lines.append(
            f"| {split} | {m['n']:,} | {m['accuracy']:.2%} | {low:.2%} to {high:.2%} | {m['balanced_accuracy']:.2%} "
            f"| {m['macro_f1']:.4f} | {auroc} | {m['ece']:.3f} |"
        )
    lines += [
        "",
        f"Val made every choice; test was scored once. {views_line} "
        "The interval (Wilson) covers the draw of test images only, not the draw of the seed.",
        "",
        "| class | sensitivity | specificity | precision |",
        "|---|---|---|---|",
    ]
    measures = metrics["test"]["per_class"]
    for i, cell in enumerate(spec.classes):
        figures = [measures[k][i] for k in ("sensitivity", "specificity", "precision")]
        shown = " | ".join("–" if f is None else f"{f:.1%}" for f in figures)
        lines.append(f"| {cell.code} {cell.name} | {shown} |")
    lines += [
        "",
        "## What is told",
        "",
        _told_text(run, spec),
        "",
        "## Data",
        "",
        f"{data['provenance']['label']}, content {data['provenance']['content_hash']}: "
        + ", ".join(f"{n:,} {split}" for split, n in data["counts"].items())
        + f". Domain: {spec.domain}",
        "",
        *_auxiliary_lines(config),
        *_dataset_lines(data, spec),
        f"## {title}",
        "",
        describe_making(run),
        "",
        *([validation_section(run.external_validation())] if run.external_validation() else []),
        *_vigilance_section(run, spec),
        "## Limits",
        "",
        "Research use, not a medical device. The figures hold for images made and stained like the training data; "
        f"{spec.unit}s of another laboratory, microscope or stain can be misread with high confidence. "
        f"{'' if run.members else 'One seed. '}" + (" ".join(spec.cautions) if spec.cautions else _NO_PATIENTS),
        "",
    ]
    return "\n".join(lines)


def _told_text(run: Run, spec: DatasetSpec) -> str:
    """What a person is told of the test pictures, how often that holds the right class, and what is promised."""
    test, val = (run_uncertainty(run, split) for split in ("test", "val"))
    share, lowest = lowest_class(test, spec.codes)
    right = "" if test["sure_accuracy"] is None else f" ({test['sure_accuracy']:.2%} of these right)"
    return (
        f"Of a sure answer one class is told, of any other a list of two or more. Of the test {spec.unit}s "
        f"{test['sure']:.1%} are sure{right}. What is told holds the right class of {test['told']['overall']:.2%} "
        f"(lowest class: {lowest}, {share:.2%}) and is {test['told']['mean_size']:.2f} classes long on average. Aimed "
        f"at is {test['nominal_coverage']:.0%} of each class's {spec.unit}s like those of val, whose answers set the "
        "thresholds from which a class is told; nothing is guaranteed. Val had chosen the epoch and the temperature "
        f"before: of its own {spec.unit}s what is told holds {val['told']['overall']:.2%}, and where that is above the "
        "figure on test, choosing and chance made it so."
    )


def _auxiliary_lines(config: dict[str, Any]) -> list[str]:
    """Which cells of another laboratory took part in training, and how many of each class."""
    auxiliary = config.get("auxiliary")
    if not auxiliary:
        return []
    cells = ", ".join(f"{n:,} {code}" for code, n in auxiliary["counts"].items())
    try:
        domain = f"; {get_dataset(auxiliary['name']).domain}"
    except UnknownDataset:
        domain = ""
    return [
        f"Trained beside cells of another laboratory: {auxiliary['provenance']['label']}, content "
        f"{auxiliary['provenance']['content_hash']} ({cells}{domain}). Its test cells stayed away, and no figure "
        "here is about its cells.",
        "",
    ]


def _dataset_lines(data: dict[str, Any], spec: DatasetSpec) -> list[str]:
    """What else must be known of a data set's figures: the split, what a picture shows, classes that are missing."""
    lines = []
    if scheme := spec.scheme(data.get("scheme", "")):
        lines.append(f"- Split '{scheme.name}' ({scheme.title}): {scheme.description}")
    if spec.unit == "field":
        lines.append("- A picture is a microscope field with several cells: an answer is about the field, not a cell.")
    try:
        all_codes = get_dataset(spec.name).codes
    except UnknownDataset:
        all_codes = spec.codes
    if len(all_codes) > len(spec.codes):
        lines.append(
            f"- It knows {len(spec.codes)} of the {len(all_codes)} classes ({', '.join(spec.codes)}); "
            f"a {spec.unit} of any other gets one of these all the same."
        )
    return [*lines, ""] if lines else []


def _vigilance_section(run: Run, spec: DatasetSpec) -> list[str]:
    """What the run can tell beside classes: another laboratory, odd cells, abnormal ones."""
    lines = ["## What it can tell beside the class", ""]
    lines.append(
        f"- Another laboratory, and odd {spec.unit}s: "
        + (
            "yes, measured against the train and val cells."
            if run.ood_path.exists()
            else "no. It was never asked how such pictures look to it, so its answers don't say it."
        )
    )
    calibration = external_calibration_of(run)
    if calibration:
        blood, alike = (
            f"{part.lowest_accuracy:.1%} to {part.highest_accuracy:.1%}"
            for part in (calibration.blood, calibration.any)
        )
        lines.append(
            f"- What its answers are worth elsewhere: measured at {listed(calibration.laboratories)}, each left out of "
            f"the fit in turn; {blood} right in an adult's blood, {alike} where all classes there are as common."
        )
    else:
        lines.append("- What its answers are worth elsewhere: nobody measured it, so no answer there is sure.")
    figures = alarm_figures_of(run)
    if not figures:
        return [*lines, f"- Abnormal {spec.unit}s: it has no alarm.", ""]
    areas = "; ".join(f"{name}: AUROC {area:.3f}" for name, area in figures["auroc"].items())
    lines.append(f"- Abnormal cells: an alarm (seed {figures['seed']}). On test cells, {areas}. It is raised by:")
    for name, share in figures["test"].items():
        lines.append(f"  - {share['raised']:.1%} of {share['cells']:,} cells: {name}")
    for name, share in figures["left_out"].items():
        lines.append(
            f"  - {share['raised']:.1%} of {share['cells']:,} normal cells of {name}, while left out of the fit"
        )
    return [*lines, ""]


def _network_section(run: Run) -> str:
    config, metrics, train = run.config, run.metrics, run.config["train"]
    teachers = " and ".join(f"`{name}`" for name in train.get("distill_from", "").split(",") if name)
    distillation_phrase = f"{train['distill_alpha']:.0%} of the labels came from {teachers}; " if teachers else ""
    initial_weights, earlier = "From scratch", ""
    if train.get("warm_start"):
        initial_weights = f"Begun at the weights of {train['warm_start']}"
        with_earlier = run.training_seconds
        earlier = (
            f" ({with_earlier:,.0f} s with the trainings that it goes on from)"
            if with_earlier > metrics["train_seconds"]
            else " (the training that it goes on from not counted: that run is not here)"
        )
    if train.get("weights"):
        initial_weights = (
            f"Begun at torchvision's weights of {get_model(train['model']).imagenet}, learned from ImageNet's "
            "photographs (all layers of the same shapes)"
        )
    auxiliary = config.get("auxiliary")
    auxiliary_phrase = (
        f"{train['auxiliary_fraction']:.0%} of each batch were cells of {auxiliary['title']}, " if auxiliary else ""
    )
    device = f"{metrics['device']}{', bfloat16' if metrics['bf16'] else ''}"
    return (
        f"{initial_weights}, {metrics['epochs']} of at most {train['epochs']} epochs (best: {metrics['best_epoch']}), "
        f"{train['optimizer']}, peak learning rate {train['learning_rate']:g}, batches of {train['batch_size']}, "
        f"augmentation '{train['augment']}', {auxiliary_phrase}{distillation_phrase}"
        f"seed {train['seed']}; {metrics['train_seconds']:,.0f} s on {device}{earlier}. Probabilities were "
        f"calibrated on val (temperature {metrics['temperature']:.2f}, folded into the last layer)."
    )


def _classical_section(run: Run) -> str:
    config, metrics = run.config, run.metrics
    return (
        "Features of every picture were computed and trees grown on those of the training pictures, seed "
        f"{config['train']['seed']}; {metrics['train_seconds']:,.0f} s on {metrics['device']}. Flips and quarter turns "
        "do not change the features, so that turned copies would add nothing. Parameters are the feature and the "
        "threshold of each split and the shares of the classes in each leaf. Probabilities were calibrated on val "
        f"(temperature {metrics['temperature']:.2f}, folded into the graph)."
    )


def _combination_section(run: Run) -> str:
    config, metrics = run.config, run.metrics
    members = config["members"]
    several = f"the {len(members)} runs" if len(members) > 1 else "the run"
    tta_phrase = f", each over {run.tta_views} flips and quarter turns of the picture" if run.tta_views > 1 else ""
    chosen = "The members were chosen one by one by their log loss on val. " if config["selected_on_val"] else ""
    return (
        f"Mean probability of {several} {', '.join(f'`{m}`' for m in members)}{tta_phrase}. {chosen}"
        f"Nothing was trained for it; training {'them' if len(members) > 1 else 'it'} took "
        f"{metrics['train_seconds']:,.0f} s on {metrics['device']}. Probabilities were calibrated on val (temperature "
        f"{metrics['temperature']:.2f}). Parameters and file size are those of all members together."
    )


# By kind of run: the section's title, and the function that writes it.
_MAKING_SECTIONS: dict[str, tuple[str, Callable[[Run], str]]] = {
    "network": ("Training", _network_section),
    "classical": ("Training", _classical_section),
    "combination": ("Members", _combination_section),
}


def export_run(
    config: TrainConfig,
    name: str,
    data: LoadedDataset,
    network: ImageClassifier,
    state: TrainState,
    device: torch.device,
    root: Path,
    devices: int = 1,
    auxiliary: AuxiliaryData | None = None,
) -> Run:
    """Calibrate the network on val, round it to the precision that is stored, score it, write the run under ``root``.

    The temperature is folded into the last layer, so that whatever serves the weights gives calibrated
    probabilities; classes and their order stay the same. ``devices`` like ``device`` trained it, with the
    cells ``auxiliary`` beside.
    """
    temperature = fit_temperature(data["val"].labels, network_logits(network, data["val"].images, device).numpy())
    network.divide_logits(temperature)
    round_to_stored(network)
    predictions, figures = score_splits(
        data, {split: network_logits(network, data[split].images, device).numpy() for split in SCORED_SPLITS}
    )
    images_seen = len(data["train"]) * state.epoch
    metrics = figures | {
        "parameters": sum(p.numel() for p in network.parameters()),
        "train_seconds": round(state.seconds, 1),
        "images_per_second": round(images_seen / max(1e-9, state.seconds), 1),
        "device": device_name(device) if devices == 1 else f"{devices} x {device_name(device)}",
        "bf16": uses_bf16(config.precision, device),
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "temperature": round(temperature, 4),
    }
    stored_config = run_config(config, name, data, "torch", "torchvision", "numpy", "onnx")
    if auxiliary:
        stored_config["auxiliary"] = auxiliary.facts
    network = network.cpu()
    return write_run(
        root,
        name,
        config=stored_config,
        metrics=metrics,
        history=state.history,
        predictions=predictions,
        weights=stored_tensors(network),
        gate_means=class_gate_means(network, data["val"].images, data["val"].labels, len(data.spec.classes)),
        card=lambda run: model_card(run, data.spec),
        export=lambda graph, weights: export_graph(network, config.size, graph, weights),
        complete=lambda run: make_detector(run, data),
    )
