"""The results of all shipped runs and studies, as Markdown, made from the files in ``pretrained`` alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.datasets import UnknownDataset, dataset_names, get_dataset
from core.errors import HemaLensError
from core.evaluation.left_out import FILE as LEFT_OUT
from core.evaluation.left_out import Area, LeftOutClass, LeftOutStudy, read_left_out
from core.evaluation.uncertainty import lowest_class, run_uncertainty
from core.models import get_model
from core.paths import shipped_runs_root
from core.runs import Run, list_runs
from core.storage import write_bytes
from core.studies import Study, Trial, list_studies, mean_interval

# By data set, way to split and model: what the public notebooks on these sets report for it.
_PUBLISHED = {
    ("all4", "random", "vgg19"): 0.965,
    ("all4", "random", "mobilenet_v2"): 0.98,
}
_PUBLISHED_IMAGES = {"bloodmnist": 3421, "all4": 326}  # test images behind the published figures
_LEVEL = 0.05  # a difference from a published figure that chance brings as often as this or more is none
# By data set: a published figure that looks like ours but is of another task, and why.
_OTHER_TASK = {
    "bone_marrow": (
        "93.94% of another task",
        "The public notebook's 93.94 % (95 % interval 88.5 % to 96.9 %) can't be compared: it is an EfficientNet-B5 "
        "begun at ImageNet weights, on the seven rarest classes (1,306 images), 124 of 132 right, and its test images "
        "are its validation images.",
    )
}


def begin_marker(block: str) -> str:
    """The line before the block of that name in a Markdown file."""
    return f"<!-- {block}: written by `python -m core report --write RESULTS.md` -->"


def end_marker(block: str) -> str:
    """The line behind the block of that name."""
    return f"<!-- end of {block} -->"


def one_line(run: Run) -> str:
    """A run's name and its accuracy on test (with its 95 % interval) and val, with the data they hold for."""
    test = run.metrics["test"]
    low, high = test["accuracy_interval"]
    return (
        f"{run.name}: test accuracy {test['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%}, "
        f"n = {test['n']:,}), val {run.metrics['val']['accuracy']:.2%}, on {run.provenance}"
    )


def published(run: Run) -> float | None:
    """The test accuracy (0 to 1) that a public notebook reports for this kind of model on this data; None for others.

    For BloodMNIST by model and size; for others by model and way to split, at the notebook's own size.
    """
    if run.dataset == "bloodmnist":
        return get_model(run.model).published.get(run.size)
    return _PUBLISHED.get((run.dataset, run.scheme, run.model))


def results_table(runs: list[Run]) -> str:
    """A Markdown table a data set, best val accuracy first within each picture size, with what the figures mean.

    Runs of a data set that is split in several ways stand together by way, the one to trust first, and say so in a
    column. Where there are several data sets each has a heading.
    """
    order = [*dataset_names(), *sorted({run.dataset for run in runs})]
    names = sorted({run.dataset for run in runs}, key=order.index)
    parts = []
    for name in names:
        dataset_runs = [run for run in runs if run.dataset == name]
        heading = f"## {dataset_runs[0].config['dataset']['title']}\n\n" if len(names) > 1 else ""
        parts.append(heading + _dataset_table(dataset_runs))
    return "\n\n".join(parts)


def _dataset_table(runs: list[Run]) -> str:
    """`results_table` of runs of one data set."""
    try:
        spec = get_dataset(runs[0].dataset)
        scheme_titles, cautions = {s.name: s.title for s in spec.schemes}, spec.cautions
    except UnknownDataset:  # a data set of the user's that is not here any more
        scheme_titles, cautions = {run.scheme: run.scheme for run in runs if run.scheme}, ()
    names = list(scheme_titles)

    def scheme_of(run: Run) -> str:
        return run.scheme or (names[0] if names else "")

    scheme_order = {name: number for number, name in enumerate(dict.fromkeys([*names, *map(scheme_of, runs)]))}
    ranked = sorted(runs, key=lambda r: (scheme_order[scheme_of(r)], -r.size, -r.metrics["val"]["accuracy"]))
    columns = "px | test accuracy (95 % interval) | published | macro F1 | ECE | parameters | MB | "
    columns += "training | ms an image, one / 64 at once | run |"
    lines = [
        f"| model | {'split | ' if scheme_titles else ''}{columns}",
        f"|---|{'---|' if scheme_titles else ''}--:|---|--:|--:|--:|--:|--:|---|---|---|",
        *(_row(run, scheme_titles.get(scheme_of(run), scheme_of(run)) if scheme_titles else None) for run in ranked),
    ]
    provenances = sorted({f"{r.provenance}, {r.metrics['test']['n']:,} test images" for r in runs})
    machines = sorted({machine for r in runs for machine in r.metrics["device"].split("; ")})
    split = "official split" if runs[0].dataset == "bloodmnist" else "split that it made itself"
    notes = (
        f"{runs[0].config['dataset']['title']}: {'; '.join(provenances)}. One seed each, one view of each "
        "picture unless several are named; val chose the epoch and the calibration, test was scored once. "
        "'published' is the test accuracy that a public notebook reports for this kind of model, on the "
        f"{split}; 'level' stands where chance may explain the difference (two proportions, p of .05 or more). The "
        "time of a run that was begun at another is that of all trainings behind it which are here. "
        f"Trained on {'; '.join(machines)}."
    )
    other_task = [_OTHER_TASK[runs[0].dataset][1]] if runs[0].dataset in _OTHER_TASK else []
    return "\n".join([*lines, "", " ".join([notes, *other_task, *cautions])])


def _row(run: Run, scheme_title: str | None = None) -> str:
    metrics = run.metrics
    test = metrics["test"]
    low, high = test["accuracy_interval"]
    latency = metrics.get("latency")
    speed = f"{latency['batch1_ms']:.1f} / {latency['batch64_ms_per_image']:.2f}" if latency else "–"
    cells = (
        run.config["model"]["title"],
        *([] if scheme_title is None else [scheme_title]),
        str(run.size),
        f"**{test['accuracy']:.2%}** ({low:.2%} to {high:.2%})",
        _published_text(run),
        f"{test['macro_f1']:.4f}",
        f"{test['ece']:.3f}",
        f"{metrics['parameters']:,}",
        f"{run.model_bytes / 1e6:.1f}",
        _training_text(run),
        speed,
        f"`{run.name}`",
    )
    return "| " + " | ".join(cells) + " |"


def _published_text(run: Run) -> str:
    """The published figure, what it is where it is no accuracy on test, and 'level' where chance may explain it."""
    reported = published(run)
    if reported is None:
        return _OTHER_TASK[run.dataset][0] if run.dataset in _OTHER_TASK else "–"
    kind = get_model(run.model).published_as if run.dataset == "bloodmnist" else ""
    if not kind and is_level(run, reported):
        kind = "level"
    return f"{reported:.2%}{f' ({kind})' if kind else ''}"


def is_level(run: Run, reported: float) -> bool:
    """Whether chance alone may explain how far ``run`` is from the accuracy ``reported`` (0 to 1) of other test images.

    By the two-sided test of two proportions (Pearson's chi-squared without correction) at the 5 % level.
    """
    from scipy.stats import chi2_contingency

    test, images = run.metrics["test"], _PUBLISHED_IMAGES[run.dataset]
    hits = [round(test["accuracy"] * test["n"]), round(reported * images)]
    table = [hits, [test["n"] - hits[0], images - hits[1]]]
    return bool(chi2_contingency(table, correction=False).pvalue >= _LEVEL)


def _training_text(run: Run) -> str:
    """How it came to be: '60 epochs, 36 min', '12 s', '5 members'."""
    if run.members:
        return f"{len(run.members)} members" if len(run.members) > 1 else f"of `{run.members[0].name}`"
    seconds = run.training_seconds
    time = f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
    epochs = f"{run.metrics['epochs']} epochs, " if "epochs" in run.metrics else ""
    train = run.config["train"]
    warm_start = f", begun at `{train['warm_start']}`" if train.get("warm_start") else ""
    return f"{epochs}{time}{warm_start}" + (", begun at ImageNet weights" if train.get("weights") else "")


def shipped_table() -> str:
    """`results_table` of the runs that ship."""
    return results_table(list_runs(shipped_only=True))


def told_table(runs: list[Run]) -> str:
    """What a person is told by each run of its test pictures, a Markdown table with what is promised under it."""
    lines = [
        "| model | data set | px | sure | right when sure | told holds the right class | ... on val | lowest class "
        "| classes told | run |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    order = [*dataset_names(), *sorted({run.dataset for run in runs})]
    ranked = sorted(runs, key=lambda r: (order.index(r.dataset), -r.size, -r.metrics["val"]["accuracy"]))
    on_test, on_val = ([run_uncertainty(run, split) for run in ranked] for split in ("test", "val"))
    for run, test, val in zip(ranked, on_test, on_val, strict=True):
        share, code = lowest_class(test, run.codes)
        right = "–" if test["sure_accuracy"] is None else f"{test['sure_accuracy']:.2%}"
        lines.append(
            f"| {run.config['model']['title']} | {run.config['dataset']['title']} | {run.size} | {test['sure']:.1%} "
            f"| {right} | {test['told']['overall']:.2%} | {val['told']['overall']:.2%} | {share:.2%} {code} "
            f"| {test['told']['mean_size']:.2f} | `{run.name}` |"
        )
    lowest = [
        np.array([lowest_class(one, run.codes)[0] for run, one in zip(ranked, of, strict=True)])
        for of in (on_test, on_val)
    ]
    overall = [np.mean([one["told"]["overall"] for one in of]) for of in (on_test, on_val)]
    note = (
        "Of a sure answer one class is told, of any other a list of two or more: the likeliest two, and each class "
        f"from a threshold on. The thresholds aim at {on_test[0]['nominal_coverage']:.0%} of each class's pictures "
        f"like those of val, which set them; nothing is guaranteed. In {(lowest[0] >= _NEARLY_KEPT).sum()} of "
        f"{len(ranked)} runs each class of test reaches {_NEARLY_KEPT:.0%}. Val had chosen epoch and temperature "
        f"before: what is told holds the right class of {overall[1]:.2%} of its pictures and of {overall[0]:.2%} of "
        f"test's, of the lowest class {lowest[1].mean():.1%} and {lowest[0].mean():.1%} (means over the runs). A run "
        "of lower accuracy tells longer lists, and is sure of fewer pictures."
    )
    return "\n".join([*lines, "", note])


_NEARLY_KEPT = 0.98  # of each class, where 99 % are aimed at: of some hundred pictures chance takes one point or more


def shipped_told() -> str:
    """`told_table` of the runs that ship."""
    return told_table(list_runs(shipped_only=True))


def studies_table(studies: list[Study]) -> str:
    """What each study found, data set by data set: tuning, ingredients against their base, seeds of one recipe."""
    names = list(dict.fromkeys(study.dataset for study in studies))
    parts = []
    for name in names:
        if len(names) > 1:
            parts.append(f"### Studies on {_title(name)}")
        parts += _studies_of([study for study in studies if study.dataset == name])
    return "\n\n".join(parts)


def _title(dataset: str) -> str:
    try:
        return get_dataset(dataset).title
    except UnknownDataset:
        return dataset


def _studies_of(studies: list[Study]) -> list[str]:
    """The tables of studies on one data set."""
    tuned = [study for study in studies if study.kind == "tune" and study.best]
    repeated = [study for study in studies if study.kind == "seeds"]
    parts = [_ablation_table(study) for study in studies if study.kind == "ablation"]
    if repeated:
        lines = ["| recipe | px | seeds | val, mean (95 % interval of the mean) | test, mean | run time a seed |"]
        lines += ["|---|--:|--:|---|---|--:|", *(_seeds_row(s) for s in repeated if len(s.complete) > 1)]
        parts.append("Seeds of one recipe:\n\n" + "\n".join(lines))
    if tuned:
        lines = ["| tuned | px | trials (pruned) | best score | measured as | best settings | run time of all |"]
        lines += ["|---|--:|--:|--:|---|---|--:|", *map(_tuned_row, tuned)]
        parts.append("Searches (scores on val or by cross-validation on train, never on test):\n\n" + "\n".join(lines))
    return parts


def _ablation_table(study: Study) -> str:
    groups = study.by_label()
    base = mean_interval(_scores(next(iter(groups.values()))))[0] if groups else 0.0
    lines = ["| variant | seeds | val, mean (95 % interval of the mean) | against the base | run time a seed |"]
    lines.append("|---|--:|---|--:|--:|")
    for label, trials in groups.items():
        against = 100 * (sum(_scores(trials)) / len(trials) - base)
        lines.append(f"| {label} | {len(trials)} | {_mean_text(trials)} | {against:+.2f} | {_time_text(trials)} |")
    return "\n".join([f"{study.title}, {study.base['epochs']} epochs:", "", *lines, "", study.note])


def _scores(trials: tuple[Trial, ...]) -> list[float]:
    """Of complete trials, which all have one."""
    return [t.score for t in trials if t.score is not None]


def _mean_text(trials: tuple[Trial, ...]) -> str:
    scores = _scores(trials)
    if len(scores) < 2:
        return f"{scores[0]:.2%}"
    mean, low, high = mean_interval(scores)
    return f"{mean:.2%} ({low:.2%} to {high:.2%})"


def _time_text(trials: tuple[Trial, ...]) -> str:
    return f"{sum(t.seconds for t in trials) / len(trials):.0f} s"


def _seeds_row(study: Study) -> str:
    tests = [t.test for t in study.complete if t.test is not None]
    test = f"{sum(tests) / len(tests):.2%}" if tests else "–"
    return (
        f"| {get_model(study.model).title}, {study.base['epochs']} epochs | {study.size} | {len(study.complete)} "
        f"| {_mean_text(study.complete)} | {test} | {_time_text(study.complete)} |"
    )


def _tuned_row(study: Study) -> str:
    best = study.best
    assert best is not None  # a search without one has no row
    pruned = sum(t.state == "pruned" for t in study.trials)
    settings = ", ".join(f"{k} {f'{v:.3g}' if isinstance(v, float) else v}" for k, v in best.params.items())
    return (
        f"| {get_model(study.model).title} | {study.size} | {len(study.trials)} ({pruned}) | {best.score:.2%} "
        f"| {study.metric} | {settings} | {study.seconds / 60:.0f} min |"
    )


def shipped_studies() -> str:
    """`studies_table` of the studies that ship."""
    return studies_table(list_studies(shipped_only=True))


def left_out_table(study: LeftOutStudy) -> str:
    """How well a network tells a class that it never met, class by class, with what the figures mean."""
    columns = ["left out", "cells", *study.scores, "flagged / false alarms", "accuracy on the others"]
    lines = ["| " + " | ".join(columns) + " |", "|---|--:|" + "--:|" * (len(columns) - 2)]
    lines += [_left_out_row(entry, study) for entry in study.classes]
    means = [sum(entry.areas[title].value for entry in study.classes) / len(study.classes) for title in study.scores]
    lines.append(f"| mean | | {' | '.join(f'{mean:.3f}' for mean in means)} | | |")
    train, times = study.train, [entry.train_seconds for entry in study.classes]
    ms, half = study.milliseconds, f", of which it sees {study.size // 2}" if train["half"] else ""
    notes = (
        "Area under the ROC curve (95 % interval) of test cells of the class against those of the others, on "
        f"{study.provenance['label']}. Each row is a {get_model(train['model']).title} of {study.parameters:,} "
        f"parameters, {study.size} px{half}, trained from scratch without the class ({train['epochs']} epochs, seed "
        f"{train['seed']}, {min(times) / 60:.0f} to {max(times) / 60:.0f} min on {study.machine}); no network, no "
        f"distance and no threshold saw one of its cells. {_score_sentences(study)} 'Flagged': the share of the "
        "class's cells that the detector calls out of distribution at its threshold, under which 99 % of val lie; "
        f"'false alarms': that of the other test cells. Network and detector take {ms['one']:.1f} ms for one cell and "
        f"{ms['batch']:.2f} ms a cell for 64 at once, on one core."
    )
    return "\n".join([*lines, "", notes])


def _score_sentences(study: LeftOutStudy) -> str:
    return " ".join(f"'{title}': {text}." for title, text in study.scores.items())


def _left_out_row(entry: LeftOutClass, study: LeftOutStudy) -> str:
    low, high = entry.accuracy_interval
    areas = " | ".join(_area_text(entry.areas[title]) for title in study.scores)
    return (
        f"| {entry.code} | {entry.cells} | {areas} | {entry.flagged:.0%} / {entry.false_alarms:.1%} "
        f"| {entry.accuracy:.2%} ({low:.2%} to {high:.2%}) |"
    )


def _area_text(area: Area) -> str:
    return f"{area.value:.3f} ({area.low:.3f} to {area.high:.3f})"


def shipped_left_out() -> str:
    """`left_out_table` of the figures that ship, a data set each."""
    return "\n\n".join(
        left_out_table(read_left_out(path)) for path in sorted(shipped_runs_root().glob(f"*/{LEFT_OUT}"))
    )


BLOCKS: dict[str, Callable[[], str]] = {
    "results": shipped_table,
    "told": shipped_told,
    "left out": shipped_left_out,
    "studies": shipped_studies,
}


def write_into(path: Path) -> None:
    """Replace what stands between the marks of each block of ``path``; raises where a mark is missing."""
    text = path.read_text(encoding="utf-8")
    for block, content in BLOCKS.items():
        first, last = begin_marker(block), end_marker(block)
        if first not in text or last not in text:
            raise HemaLensError(f"{path} has no place for the {block}: it needs the lines {first} and {last}")
        before, after = text.split(first, 1)
        text = f"{before}{first}\n\n{content()}\n\n{last}{after.split(last, 1)[1]}"
    write_bytes(path, text.encode())
