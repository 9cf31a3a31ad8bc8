"""The model card: what a run is, how well it does, where its figures hold. Written by code, never by hand."""

from typing import Any

from core.datasets import DatasetSpec


def card(config: dict[str, Any], metrics: dict[str, Any], spec: DatasetSpec) -> str:
    """Markdown for ``card.md`` from the run's config, its metrics and its data set's spec."""
    train, model, data = config["train"], config["model"], config["dataset"]
    arguments = ", ".join(f"{k} {v}" for k, v in train["model_arguments"].items())
    lines = [
        f"# {model['title']}, {data['size']} px",
        "",
        f"{model['summary']} {metrics['parameters']:,} parameters ({arguments}). "
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
        "Val chose the epoch; test was scored once. One view of each picture, no averaging over views. "
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
        "## Training",
        "",
        f"{'Begun at the weights of ' + train['start'] + ', ' if train.get('start') else 'From scratch, '}"
        f"{metrics['epochs']} of at most {train['epochs']} epochs (best: {metrics['best_epoch']}), "
        f"{train['optimizer']}, peak learning rate {train['learning_rate']:g}, batches of {train['batch_size']}, "
        f"augmentation '{train['augment']}', seed {train['seed']}; {metrics['train_seconds']:,.0f} s on "
        f"{metrics['device']}{', bfloat16' if metrics['bf16'] else ''}. Probabilities were calibrated on val "
        f"(temperature {metrics['temperature']:.2f}, folded into the last layer).",
        "",
        "## Limits",
        "",
        "Research use, not a medical device. The figures hold for images made and stained like the training data; "
        "cells of another laboratory, microscope or stain can be misread with high confidence. One seed. "
        "No patient identities are known, so cells of one person may be in both train and test.",
        "",
    ]
    return "\n".join(lines)
