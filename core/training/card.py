"""The model card: what a run is, how well it does, where its figures hold. Written by code, never by hand."""

from collections.abc import Callable
from typing import Any

from core.datasets import DatasetSpec, UnknownDataset, get_dataset
from core.models import get_model

_NO_PATIENTS = "No patient identities are known, so cells of one person may be in both train and test."


def card(config: dict[str, Any], metrics: dict[str, Any], spec: DatasetSpec) -> str:
    """Markdown for ``card.md`` from the run's config, its metrics and its data set's spec."""
    model, data = config["model"], config["dataset"]
    title, made = _MADE[config.get("kind", "network")]
    chosen = ", ".join(f"{k} {v}" for k, v in config["train"]["model_arguments"].items())
    views = config.get("views", 1)
    seen = "One view of each picture, no averaging over views." if views == 1 else f"{views} views averaged."
    lines = [
        f"# {model['title']}, {data['size']} px",
        "",
        f"{model['summary']} {metrics['parameters']:,} parameters{f' ({chosen})' if chosen else ''}. "
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
        f"Val made every choice; test was scored once. {seen} "
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
        "## Data",
        "",
        f"{data['provenance']['label']}, content {data['provenance']['content_hash']}: "
        + ", ".join(f"{n:,} {split}" for split, n in data["counts"].items())
        + f". Domain: {spec.domain}",
        "",
        *_beside(config),
        *_particulars(data, spec),
        f"## {title}",
        "",
        made(config, metrics),
        "",
        "## Limits",
        "",
        "Research use, not a medical device. The figures hold for images made and stained like the training data; "
        f"{spec.unit}s of another laboratory, microscope or stain can be misread with high confidence. "
        f"{'' if config.get('members') else 'One seed. '}"
        + (" ".join(spec.cautions) if spec.cautions else _NO_PATIENTS),
        "",
    ]
    return "\n".join(lines)


def _beside(config: dict[str, Any]) -> list[str]:
    """Which cells of another laboratory took part in training, and how many of each class."""
    guests = config.get("beside")
    if not guests:
        return []
    cells = ", ".join(f"{n:,} {code}" for code, n in guests["counts"].items())
    try:
        domain = f"; {get_dataset(guests['name']).domain}"
    except UnknownDataset:
        domain = ""
    return [
        f"Trained beside cells of another laboratory: {guests['provenance']['label']}, content "
        f"{guests['provenance']['content_hash']} ({cells}{domain}). Its test cells stayed away, and no figure here is "
        "about its cells.",
        "",
    ]


def _particulars(data: dict[str, Any], spec: DatasetSpec) -> list[str]:
    """What else must be known of a data set's figures: the split, what a picture shows, classes that are missing."""
    lines = []
    if scheme := spec.scheme(data.get("scheme", "")):
        lines.append(f"- Split '{scheme.name}' ({scheme.title}): {scheme.description}")
    if spec.unit == "field":
        lines.append("- A picture is a microscope field with several cells: an answer is about the field, not a cell.")
    try:
        known = get_dataset(spec.name).codes
    except UnknownDataset:
        known = spec.codes
    if len(known) > len(spec.codes):
        lines.append(
            f"- It knows {len(spec.codes)} of the {len(known)} classes ({', '.join(spec.codes)}); "
            f"a {spec.unit} of any other gets one of these all the same."
        )
    return [*lines, ""] if lines else []


def _trained(config: dict[str, Any], metrics: dict[str, Any]) -> str:
    train = config["train"]
    teachers = " and ".join(f"`{name}`" for name in train.get("teacher", "").split(",") if name)
    taught = f"{train['teaching']:.0%} of the labels came from {teachers}; " if teachers else ""
    begun = "From scratch"
    if train.get("start"):
        begun = f"Begun at the weights of {train['start']}"
    if train.get("weights"):
        begun = (
            f"Begun at torchvision's weights of {get_model(train['model']).imagenet[0]}, learned from ImageNet's "
            "photographs (all layers of the same shapes)"
        )
    guests = config.get("beside")
    beside = f"{train['beside_share']:.0%} of each batch were cells of {guests['title']}, " if guests else ""
    device = f"{metrics['device']}{', bfloat16' if metrics['bf16'] else ''}"
    return (
        f"{begun}, {metrics['epochs']} of at most {train['epochs']} epochs (best: {metrics['best_epoch']}), "
        f"{train['optimizer']}, peak learning rate {train['learning_rate']:g}, batches of {train['batch_size']}, "
        f"augmentation '{train['augment']}', {beside}{taught}"
        f"seed {train['seed']}; {metrics['train_seconds']:,.0f} s on {device}. Probabilities were calibrated on val "
        f"(temperature {metrics['temperature']:.2f}, folded into the last layer)."
    )


def _fitted(config: dict[str, Any], metrics: dict[str, Any]) -> str:
    return (
        "Features of every picture were computed and trees grown on those of the training pictures, seed "
        f"{config['train']['seed']}; {metrics['train_seconds']:,.0f} s on {metrics['device']}. Flips and quarter turns "
        "do not change the features, so that turned copies would add nothing. Parameters are the feature and the "
        "threshold of each split and the shares of the classes in each leaf. Probabilities were calibrated on val "
        f"(temperature {metrics['temperature']:.2f}, folded into the graph)."
    )


def _combined(config: dict[str, Any], metrics: dict[str, Any]) -> str:
    members = config["members"]
    several = f"the {len(members)} runs" if len(members) > 1 else "the run"
    views = f", each over {config['views']} flips and quarter turns of the picture" if config["views"] > 1 else ""
    chosen = "The members were chosen one by one by their log loss on val. " if config["chosen_on_val"] else ""
    return (
        f"Mean probability of {several} {', '.join(f'`{m}`' for m in members)}{views}. {chosen}"
        f"Nothing was trained for it; training {'them' if len(members) > 1 else 'it'} took "
        f"{metrics['train_seconds']:,.0f} s on {metrics['device']}. Probabilities were calibrated on val (temperature "
        f"{metrics['temperature']:.2f}). Parameters and file size are those of all members together."
    )


# By kind of run: the section's title, and the function that writes it.
_MADE: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Any]], str]]] = {
    "network": ("Training", _trained),
    "classical": ("Training", _fitted),
    "combination": ("Members", _combined),
}
