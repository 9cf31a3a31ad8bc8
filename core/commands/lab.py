"""``python -m core lab``: teach a copy of a model to read your own laboratory's cells, and keep that as a profile."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from core.datasets import get_dataset
from core.errors import HemaLensError
from core.lab import profile as profiles
from core.lab.base import base_run, home_anchors, make_anchors
from core.lab.cells import LabCells, read_cells
from core.lab.pictures import UNKNOWN, Pictures, read_pictures
from core.lab.profile import LabProfile, make_profile
from core.lab.teaching import Teaching
from core.lab.trial import Trial, run_trials, summary
from core.progress import TerminalBar
from core.runs import Run, find_run
from core.serving.wording import RESEARCH_LINE

STAGES = {"base": "the model as it is", "adapted": "adapted without a label", "after": "after the answers"}


def add_parser(subparsers: Any) -> None:
    """Add ``lab`` to the command line."""
    parser = subparsers.add_parser("lab", help="read your own laboratory's cells", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    action = actions.add_parser("fit", help="fit a profile to a folder of pictures, and measure what it gains")
    action.add_argument("name", metavar="NAME", help="what the profile is called")
    action.add_argument("folder", metavar="FOLDER", type=Path, help="pictures of one scale, in class folders or not")
    action.add_argument("--labels", metavar="CSV", type=Path, help="columns file,label[,slide]; may name some only")
    action.add_argument("--mapping", metavar="CSV", type=Path, help="columns label,code, where names don't tell")
    action.add_argument("--dataset", default="bloodmnist", help="whose classes and models (default: bloodmnist)")
    action.add_argument("--model", metavar="RUN", help="the run to teach (default: the one made for any laboratory)")
    action.add_argument("--side", type=float, metavar="PX", help="the square round a cell (default: found)")
    how = action.add_mutually_exclusive_group()
    how.add_argument("--budget", type=int, metavar="N", help="use N labels only, as if N questions were asked; 0: none")
    how.add_argument("--per-class", type=int, metavar="N", help="use N labels of each class, drawn at random")
    action.add_argument("--choose", choices=("active", "random"), default="active", help="which N (default: active)")
    action.add_argument("--draw", choices=("all", "natural"), default="all", help="the whole folder, or differentials")
    action.add_argument("--repeats", type=int, default=1, metavar="N", help="repeat with other draws")
    action.add_argument("--json", action="store_true", help="print all figures as JSON")
    action.set_defaults(handler=fit)

    action = actions.add_parser("anchors", help="keep a few home cells with a run, so that laboratories don't spoil it")
    action.add_argument("run", metavar="RUN")
    action.set_defaults(handler=anchors)

    action = actions.add_parser("list", help="the profiles on this computer")
    action.set_defaults(handler=show)

    action = actions.add_parser("export", help="copy a profile's file, to give it away")
    action.add_argument("name", metavar="NAME")
    action.add_argument("target", metavar="FILE", type=Path, help="a file or a folder")
    action.set_defaults(handler=export)

    action = actions.add_parser("import", help="take over a profile from another computer")
    action.add_argument("file", metavar="FILE", type=Path)
    action.add_argument("--name", help="what to call it here (default: its own name)")
    action.set_defaults(handler=take_over)

    action = actions.add_parser("delete", help="delete a profile; no picture is deleted")
    action.add_argument("name", metavar="NAME")
    action.set_defaults(handler=delete)


def fit(options: argparse.Namespace) -> int:
    """Read, frame and look at the folder; measure by repeats where there are labels; keep the profile."""
    profiles.checked_name(options.name)
    if min(options.budget or 0, options.per_class or 0) < 0 or options.repeats < 1:
        raise HemaLensError("--budget and --per-class can't be below 0, and --repeats not below 1.")
    run = find_run(options.model, options.dataset) if options.model else base_run(options.dataset)
    spec = get_dataset(options.dataset).with_classes(run.codes)
    with TerminalBar(options.name) as bar:
        pictures = read_pictures(options.folder, spec, options.labels, options.mapping, bar)
    with TerminalBar(options.name) as bar:
        cells = read_cells(run, pictures.pixels, pictures.groups, options.side, bar)
    labelled = np.flatnonzero(pictures.labels != UNKNOWN)
    limited = options.budget is not None or options.per_class is not None
    if limited and options.budget != 0 and not len(labelled):
        raise HemaLensError(
            f"No picture in {options.folder} has a label, so none can be used. Name a table (--labels), put the "
            "pictures into class folders, or answer questions on the page 'Your lab'."
        )
    known = home_anchors(run)
    if known is None:
        print(
            f"note: {run.name} has no anchors, so classes that you don't label may be forgotten; make them where its "
            f"own cells are: python -m core lab anchors {run.name}",
            file=sys.stderr,
        )
    trials: list[Trial] = []
    if limited and len(labelled):
        # Matrices are small here: several threads would wait for each other.
        with TerminalBar(options.name) as bar, threadpool_limits(1):
            trials = run_trials(
                cells.some(labelled),
                pictures.labels[labelled],
                run.codes,
                budget=options.budget,
                per_class=options.per_class,
                choose=options.choose,
                draw=options.draw,
                repeats=options.repeats,
                anchors=known,
                report=bar,
            )
    used = labelled[trials[0].asked] if trials else labelled if not limited else np.array([], int)
    occurs = np.isin(np.arange(len(run.codes)), pictures.labels[labelled])
    taught = Teaching(cells, occurs if occurs.any() else np.ones(len(run.codes), bool), anchors=known)
    for cell in used:
        taught = taught.answered(int(cell), int(pictures.labels[cell]))
    with threadpool_limits(1):
        profile = make_profile(options.name, run, taught)
    path = profiles.save(profile)
    if options.json:
        print(json.dumps(_facts(options, run, pictures, cells, profile, trials), indent=1))
    else:
        _tell(run, pictures, cells, profile, trials)
        print(f"kept in {path}. {RESEARCH_LINE}")
    return 0


def _facts(
    options: argparse.Namespace,
    run: Run,
    pictures: Pictures,
    cells: LabCells,
    profile: LabProfile,
    trials: list[Trial],
) -> dict[str, Any]:
    estimate = {stage: _estimate(getattr(profile, stage)) for stage in ("before", "after")}
    return {
        "name": profile.name,
        "run": run.name,
        "codes": list(run.codes),
        "cells": len(cells),
        "unreadable": pictures.unreadable,
        "no_cell_found": [pictures.files[i] for i in cells.missing],
        "side": profile.side,
        "framing": cells.scale.note,
        "labelled": dict(profile.labelled),
        "estimate": estimate,
        "draw": options.draw,
        "choose": options.choose,
        "budget": options.budget,
        "per_class": options.per_class,
        "repeats": len(trials),
        **(summary(trials) if trials else {}),
    }


def _estimate(share: tuple[float, float, float] | None) -> dict[str, Any] | None:
    return {"accuracy": share[0], "interval": list(share[1:])} if share else None


def _tell(run: Run, pictures: Pictures, cells: LabCells, profile: LabProfile, trials: list[Trial]) -> None:
    print(f"{len(cells):,} cells, read by {run.title} ({run.name}). {cells.scale.note}")
    if cells.missing:
        print(f"  no cell was found in {len(cells.missing)} pictures; their middle was taken")
    for file, why in pictures.unreadable.items():
        print(f"  left out: {file}: {why}")
    if trials:
        size = round(np.mean([len(trial.batch) for trial in trials]))
        asked = round(np.mean([len(trial.asked) for trial in trials]))
        print(f"  {len(trials)} draws of {size} cells, {asked} answers each; right among the laboratory's classes:")
        for stage, figures in summary(trials).items():
            line = ", ".join(
                f"{name.replace('_', ' ')} {f['mean']:.1%} +- {f['sd']:.1%} (worst {f['worst']:.1%}, n {f['n']})"
                for name, f in figures.items()
            )
            print(f"    {STAGES[stage]:24} {line}")
    taught = ", ".join(f"{n} {code}" for code, n in profile.labelled.items()) or "none"
    print(f"  the profile {profile.name!r} was taught by: {taught}")
    if profile.after:
        print(
            f"  estimated: {profile.before[0]:.0%} right before, {profile.after[0]:.0%} after "
            f"(95 % interval {profile.after[1]:.0%} to {profile.after[2]:.0%})"
        )


def anchors(options: argparse.Namespace) -> int:
    """Compute them from the run's own cells, which must be here."""
    run = find_run(options.run)
    with TerminalBar(run.name) as bar:
        found = make_anchors(run, bar)
    print(f"{len(found.labels)} anchors, {run.anchors_path.stat().st_size / 1000:.0f} kB, in {run.anchors_path}")
    return 0


def show(options: argparse.Namespace) -> int:
    """A line a profile."""
    found = profiles.list_profiles()
    for profile in found:
        right = f"estimated {profile.after[0]:.0%} right" if profile.after else "no estimate"
        taught = sum(profile.labelled.values())
        print(f"{profile.name}: {profile.cells:,} cells, {taught} labelled, {right}; {profile.run}; {profile.created}")
    if not found:
        print("no laboratory yet: python -m core lab fit NAME FOLDER")
    return 0


def export(options: argparse.Namespace) -> int:
    """Copy the file."""
    print(f"written to {profiles.export(options.name, options.target)}")
    return 0


def take_over(options: argparse.Namespace) -> int:
    """Read a file that may come from anywhere, and keep it."""
    profile = profiles.import_profile(options.file, options.name)
    print(f"{profile.name} is here now: {profile.cells:,} cells, for the model {profile.run}")
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete the file."""
    profiles.delete(options.name)
    print(f"{options.name} is deleted")
    return 0
