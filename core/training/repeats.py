"""Labelled recipes, several seeds each: what an ablation and a seeds study have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import paths
from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.models import get_model
from core.progress import Progress, Report, silent
from core.studies import Study, Trial, mean_interval, read_study, study_path, write_study
from core.training.config import BadConfig, TrainConfig
from core.training.device import choose_device, describe
from core.training.loop import TrainingFailed
from core.training.ranges import configured
from core.training.stopwatch import Stopwatch
from core.training.trials import run_trial


class StudyDiffers(HemaLensError):
    """A study of that name was made in another way; mixing the two would compare what can't be compared."""


@dataclass(frozen=True)
class Variant:
    """One recipe of a study: its ``label``, and the ``params`` in which it departs from the study's base."""

    label: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


def repeat(
    base: TrainConfig,
    variants: Sequence[Variant],
    seeds: int,
    *,
    name: str,
    kind: str,
    title: str,
    note: str = "",
    root: Path | None = None,
    report: Report = silent,
) -> Study:
    """Train each of ``variants`` of ``base`` with seeds 0 to ``seeds`` - 1; keep val and test accuracy of each.

    All variants get their first seed before any gets its second. The study's file under ``root`` (the
    user's, if None) is written after each trial; trials that are in it already are not run again, failed
    ones are. Raises `StudyDiffers` where a study of that name has another base or other data.
    """
    if get_model(base.model).kind == "combination":
        raise BadConfig(f"{base.model} can't be repeated: it is made of other runs and no seed changes it")
    root = root or paths.user_runs_root()
    data = base.load_data()
    study = _begun(base, data, root, name=name, kind=kind, title=title, note=note)
    trials = list(study.trials)
    wanted = [(variant, seed) for seed in range(seeds) for variant in variants]
    known = {(t.label, t.seed, _key(t.params)) for t in trials}
    missing = [(v, s) for v, s in wanted if (v.label, s, _key(v.params)) not in known]
    before = len(wanted) - len(missing)
    for done, (variant, seed) in enumerate(missing, before):
        what = ", ".join(part for part in (variant.label or base.model, f"seed {seed}") if part)

        def tell(step: Progress, done: int = done, what: str = what) -> None:
            report(Progress(done, len(wanted), f"{what}: {step.message}", "trial"))

        number = max((t.number for t in trials), default=-1) + 1
        trials.append(_one(configured(base, {**variant.params, "seed": seed}), data, number, variant, tell))
        study = replace(study, trials=tuple(trials))
        write_study(root, study)
        report(Progress(done + 1, len(wanted), what, "trial"))
    return study


def _one(config: TrainConfig, data: LoadedDataset, number: int, variant: Variant, report: Report) -> Trial:
    clock = Stopwatch(choose_device(config.device))
    facts = {"number": number, "params": dict(variant.params), "seed": config.seed, "label": variant.label}
    try:
        outcome = run_trial(config, data, test=True, report=report)
    except TrainingFailed:
        return Trial(**facts, score=None, seconds=clock.seconds(), epochs=0, state="failed")
    return Trial(**facts, score=outcome.score, seconds=outcome.seconds, epochs=outcome.epochs, test=outcome.test)


def _begun(base: TrainConfig, data: LoadedDataset, root: Path, *, name: str, kind: str, title: str, note: str) -> Study:
    settings = base.as_json()
    del settings["seed"]
    study = Study(
        name=name,
        kind=kind,
        title=title,
        dataset=base.dataset,
        size=base.size,
        model=base.model,
        provenance=data.provenance.as_json(),
        metric="accuracy on val",
        device=describe(choose_device(base.device)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        base=settings,
        note=note,
    )
    path = study_path(root, base.dataset, name)
    if not path.exists():
        return study
    old = read_study(path)
    if (old.kind, dict(old.base), dict(old.provenance)) != (kind, settings, dict(study.provenance)):
        raise StudyDiffers(
            f"{path} holds a study of that name with another recipe or other data: choose another --study name, "
            "or delete the file"
        )
    return replace(old, title=title, note=note, trials=tuple(t for t in old.trials if t.state != "failed"))


def _key(params: Mapping[str, Any]) -> tuple:
    return tuple(sorted((name, repr(value)) for name, value in params.items()))


def summary(study: Study) -> str:
    """A table for the terminal: mean of each variant with its 95 % interval by Student's t, and its time."""
    lines = []
    width = max((len(label or study.model) for label in study.by_label()), default=0)
    for label, trials in study.by_label().items():
        scores = [_interval([t.score for t in trials]), _interval([t.test for t in trials if t.test is not None])]
        seconds = sum(t.seconds for t in trials) / len(trials)
        lines.append(f"{label or study.model:{width}}  val {scores[0]}  test {scores[1]}  {seconds:.0f} s")
    failed = sum(t.state == "failed" for t in study.trials)
    if failed:
        lines.append(f"{failed} failed; the same command tries them again")
    return "\n".join(lines)


def _interval(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2%} (one seed)" if values else "–"
    mean, low, high = mean_interval(values)
    return f"{mean:.2%} ({max(0, low):.2%} to {min(1, high):.2%})"


def seeds_study(base: TrainConfig, seeds: int, name: str | None = None, **options: Any) -> Study:
    """`repeat` of one recipe: how far its accuracy depends on the seed."""
    return repeat(
        base,
        [Variant()],
        seeds,
        name=name or f"seeds-{base.model}-{base.size}",
        kind="seeds",
        title=f"{get_model(base.model).title}, {base.size} px: what the seed decides",
        **options,
    )
