"""``python -m core lab``: teach a copy of a model to read your own laboratory's cells, and keep that as a profile."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from core.adaptation import profile as profiles
from core.adaptation.active import ActiveLearner
from core.adaptation.head import LabCells, base_run, cell_checks, encode_pictures, exemplars_of, make_exemplars
from core.adaptation.profile import LabProfile, make_profile
from core.adaptation.simulation import Simulation, simulate, summarize_estimates, summarize_simulations
from core.datasets import get_dataset
from core.datasets.pictures import UNLABELLED, LabPictures, read_folder_pictures
from core.errors import HemaLensError
from core.formatting import RESEARCH_LINE, printable
from core.images.archives import folder_or_archive
from core.images.red_cells import side_of_pixel_size
from core.inference.specimen import ADULT_BLOOD, ANY_SPECIMEN, SPECIMENS, find_specimen
from core.progress import TerminalBar
from core.runs import Run, find_run
from core.settings import add_scale_options

STAGES = {"base": "the model as it is", "adapted": "adapted without a label", "after": "after the answers"}


def add_parser(subparsers: Any) -> None:
    """Add ``lab`` to the command line."""
    parser = subparsers.add_parser("lab", help="read your own laboratory's cells", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    action = actions.add_parser("fit", help="fit a profile to a folder of pictures, and measure what it gains")
    action.add_argument("name", metavar="NAME", help="what the profile is called")
    action.add_argument(
        "folder", metavar="FOLDER", type=Path, help="pictures of one scale, in class folders or not; or a ZIP"
    )
    action.add_argument("--labels", metavar="CSV", type=Path, help="columns file,label[,slide]; may name some only")
    action.add_argument("--mapping", metavar="CSV", type=Path, help="columns label,code, where names don't tell")
    action.add_argument("--dataset", default="bloodmnist", help="whose classes and models (default: bloodmnist)")
    action.add_argument("--model", metavar="RUN", help="the run to teach (default: the one made for any laboratory)")
    add_scale_options(action)
    how = action.add_mutually_exclusive_group()
    how.add_argument("--budget", type=int, metavar="N", help="use N labels only, as if N questions were asked; 0: none")
    how.add_argument("--per-class", type=int, metavar="N", help="use N labels of each class, drawn at random")
    action.add_argument("--query", choices=("active", "random"), default="active", help="which N (default: active)")
    action.add_argument(
        "--sample", choices=("all", "natural"), default="all", help="the whole folder, or differentials"
    )
    action.add_argument(
        "--specimen",
        choices=tuple(SPECIMENS),
        help="what the cells are of: answers are weighed by what it usually holds (default: blood for differentials, "
        "any for a whole folder: they are not)",
    )
    former = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}  # the former names of these two
    action.add_argument("--choose", dest="query", choices=("active", "random"), **former)
    action.add_argument("--draw", dest="sample", choices=("all", "natural"), **former)
    action.add_argument("--repeats", type=int, default=1, metavar="N", help="repeat with other draws")
    action.add_argument("--json", action="store_true", help="print all figures as JSON")
    action.set_defaults(handler=fit)

    action = actions.add_parser(
        "exemplars", help="keep a few home cells with a run, so that laboratories don't spoil it"
    )
    action.add_argument("run", metavar="RUN")
    action.set_defaults(handler=keep_exemplars)

    action = actions.add_parser("list", help="the profiles on this computer")
    action.set_defaults(handler=show)

    action = actions.add_parser("export", help="copy a profile's file, to give it away")
    action.add_argument("name", metavar="NAME")
    action.add_argument("target", metavar="FILE", type=Path, help="a file or a folder")
    action.set_defaults(handler=export)

    action = actions.add_parser("import", help="take over a profile from another computer")
    action.add_argument("file", metavar="FILE", type=Path)
    action.add_argument("--name", help="what to call it here (default: its own name)")
    action.set_defaults(handler=import_profile)

    action = actions.add_parser("delete", help="delete a profile; no picture is deleted")
    action.add_argument("name", metavar="NAME")
    action.set_defaults(handler=delete)


def fit(options: argparse.Namespace) -> int:
    """Read, frame and look at the folder; measure by repeats where there are labels; keep the profile."""
    profiles.checked_name(options.name)
    if min(options.budget or 0, options.per_class or 0) < 0 or options.repeats < 1:
        raise HemaLensError("--budget and --per-class can't be below 0, and --repeats not below 1.")
    side = options.side if options.um_per_px is None else side_of_pixel_size(options.um_per_px)
    run = find_run(options.model, options.dataset) if options.model else base_run(options.dataset)
    spec = get_dataset(options.dataset).with_classes(run.codes)
    folder = folder_or_archive(options.folder)
    with TerminalBar(options.name) as bar:
        pictures = read_folder_pictures(folder, spec, options.labels, options.mapping, bar)
    with TerminalBar(options.name) as bar:
        cells = encode_pictures(run, pictures.pictures, pictures.slides, side, bar)
    pictures, cells, left_out = _cells_only(run, pictures, cells)
    labelled = np.flatnonzero(pictures.labels != UNLABELLED)
    limited = options.budget is not None or options.per_class is not None
    if limited and options.budget != 0 and not len(labelled):
        raise HemaLensError(
            f"No picture in {options.folder} has a label, so none can be used. Name a table (--labels), put the "
            "pictures into class folders, or answer questions on the page 'Your lab'."
        )
    specimen = find_specimen(options.specimen or (ADULT_BLOOD if options.sample == "natural" else ANY_SPECIMEN).key)
    odds, exemplars = specimen.odds(run, elsewhere=True), exemplars_of(run)
    if exemplars is None:
        print(
            f"note: {run.name} has no exemplars, so classes that you don't label may be forgotten; make them where its "
            f"own cells are: python -m core lab exemplars {run.name}",
            file=sys.stderr,
        )
    trials: list[Simulation] = []
    if limited and len(labelled):
        # Matrices are small here: several threads would wait for each other.
        with TerminalBar(options.name) as bar, threadpool_limits(1):
            trials = simulate(
                cells.subset(labelled),
                pictures.labels[labelled],
                run.codes,
                budget=options.budget,
                per_class=options.per_class,
                strategy=options.query,
                population=options.sample,
                repeats=options.repeats,
                exemplars=exemplars,
                odds=odds,
                report=bar,
            )
    used = labelled[trials[0].queried] if trials else labelled if not limited else np.array([], int)
    occurs = np.isin(np.arange(len(run.codes)), pictures.labels[labelled])
    present = occurs if occurs.any() else np.ones(len(run.codes), bool)
    learner = ActiveLearner(cells, present, exemplars=exemplars, specimen=specimen, odds=odds)
    for cell in used:
        learner = learner.with_answer(int(cell), int(pictures.labels[cell]))
    with threadpool_limits(1):
        profile = make_profile(options.name, run, learner)
    path = profiles.save_profile(profile)
    if options.json:
        print(json.dumps(_facts(options, run, pictures, left_out, cells, profile, trials), indent=1))
    else:
        _tell(run, pictures, cells, profile, trials)
        for file, sentence in left_out.items():
            print(f"  left out: {printable(file)}: {sentence}")
        print(f"kept in {path}. {RESEARCH_LINE}")
    return 0


def _cells_only(run: Run, pictures: LabPictures, cells: LabCells) -> tuple[LabPictures, LabCells, dict[str, str]]:
    """What shows a cell, or was given a class by a person; and by file what the others show. Raises `HemaLensError`
    where nothing is left.
    """
    checks = cell_checks(run, pictures.pictures, cells)
    kept = np.flatnonzero([check.is_cell for check in checks] | (pictures.labels != UNLABELLED))
    left_out = {pictures.files[i]: checks[i].sentence for i in np.setdiff1d(np.arange(len(checks)), kept)}
    if not len(kept):
        raise HemaLensError(f"No picture shows a single cell: {next(iter(left_out.values()))} Cut the cells out first.")
    slides = tuple(pictures.slides[i] for i in kept) if pictures.slides else None
    files, pixels = tuple(pictures.files[i] for i in kept), tuple(pictures.pixels[i] for i in kept)
    sizes = tuple(pictures.pixel_sizes[i] for i in kept)
    some = replace(pictures, pixels=pixels, files=files, labels=pictures.labels[kept], slides=slides, pixel_sizes=sizes)
    return some, cells.subset(kept), left_out


def _facts(
    options: argparse.Namespace,
    run: Run,
    pictures: LabPictures,
    left_out: dict[str, str],
    cells: LabCells,
    profile: LabProfile,
    trials: list[Simulation],
) -> dict[str, Any]:
    estimate: dict[str, Any] = {stage: _estimate(getattr(profile, stage)) for stage in ("before", "after")}
    estimate |= {"named": profile.named, "unnamed": profile.unnamed, "calibration_error": profile.calibration_error}
    return {
        "name": profile.name,
        "run": run.name,
        "codes": list(run.codes),
        "cells": len(cells),
        "notes": list(pictures.notes),
        "unreadable": pictures.unreadable,
        "not_a_cell": left_out,
        "no_cell_found": [pictures.files[i] for i in cells.missing],
        "side": profile.side,
        "framing": cells.scale.note,
        "labelled": dict(profile.labelled),
        "estimate": estimate,
        "confidence_threshold": profile.confidence_threshold,
        "in_distribution_share": profile.in_distribution_share,
        "cautions": list(profile.cautions),
        "population": options.sample,
        "specimen": profile.specimen,
        "query_strategy": options.query,
        "budget": options.budget,
        "per_class": options.per_class,
        "repeats": len(trials),
        **(summarize_simulations(trials) | {"estimates": summarize_estimates(trials)} if trials else {}),
    }


def _estimate(estimate: tuple[float, float, float] | None) -> dict[str, Any] | None:
    return {"accuracy": estimate[0], "interval": list(estimate[1:])} if estimate else None


def _tell(run: Run, pictures: LabPictures, cells: LabCells, profile: LabProfile, trials: list[Simulation]) -> None:
    print(f"{len(cells):,} cells, read by {run.title} ({run.name}). {cells.scale.note}")
    if (specimen := find_specimen(profile.specimen)).shares:
        print(f"  Specimen: {specimen.title}; answers are weighed by what it usually holds (--specimen).")
    if cells.missing:
        print(f"  no cell was found in {len(cells.missing)} pictures; their middle was taken")
    for note in pictures.notes:
        print(f"  note: {note}")
    for file, why in pictures.unreadable.items():
        print(f"  left out: {printable(file)}: {why}")
    if trials:
        size = round(np.mean([len(trial.batch) for trial in trials]))
        answers = round(np.mean([len(trial.queried) for trial in trials]))
        print(f"  {len(trials)} draws of {size} cells, {answers} answers each; right among the laboratory's classes:")
        for stage, figures in summarize_simulations(trials).items():
            line = ", ".join(
                f"{name.replace('_', ' ')} {f['mean']:.1%} +- {f['sd']:.1%} (worst {f['worst']:.1%}, n {f['n']})"
                for name, f in figures.items()
            )
            print(f"    {STAGES[stage]:24} {line}")
        if told := summarize_estimates(trials):
            print(
                f"    told of the unnamed cells {told['told']:.1%} right, true {told['true']:.1%}; the 95 % interval "
                f"holds it in {told['coverage']:.0%} of the draws"
            )
    labelled = ", ".join(f"{n} {code}" for code, n in profile.labelled.items()) or "none"
    print(f"  the profile {profile.name!r} was taught by: {labelled}")
    if profile.before and profile.after:
        print(
            f"  estimated of {profile.others}: {profile.before[0]:.0%} right before, {profile.after[0]:.0%} after "
            f"(95 % interval {profile.after[1]:.0%} to {profile.after[2]:.0%}); confidences miss the share right by "
            f"{profile.calibration_error:.0%} (calibration error); sure from {profile.confidence_threshold:.0%} on"
        )
    for caution in profile.cautions:
        print(f"  note: {caution}")


def keep_exemplars(options: argparse.Namespace) -> int:
    """Compute them from the run's own cells, which must be here."""
    run = find_run(options.run)
    with TerminalBar(run.name) as bar:
        exemplars = make_exemplars(run, bar)
    print(
        f"{len(exemplars.labels)} exemplars, {run.exemplars_path.stat().st_size / 1000:.0f} kB, in {run.exemplars_path}"
    )
    return 0


def show(options: argparse.Namespace) -> int:
    """A line a profile."""
    stored_profiles = profiles.list_profiles()
    for profile in stored_profiles:
        right = f"estimated {profile.after[0]:.0%} of {profile.others} right" if profile.after else "no estimate"
        print(
            f"{profile.name}: {profile.cells:,} cells, {profile.named} labelled, {right}; {profile.run}; "
            f"{profile.created}"
        )
        for caution in profile.cautions:
            print(f"  note: {caution}")
    if not stored_profiles:
        print("no laboratory yet: python -m core lab fit NAME FOLDER")
    return 0


def export(options: argparse.Namespace) -> int:
    """Copy the file."""
    print(f"written to {profiles.export_profile(options.name, options.target)}")
    return 0


def import_profile(options: argparse.Namespace) -> int:
    """Read a file that may come from anywhere, and keep it."""
    profile = profiles.import_profile(options.file, options.name)
    print(f"{profile.name} is here now: {profile.cells:,} cells, for the model {profile.run}")
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete the file."""
    profiles.delete_profile(options.name)
    print(f"{options.name} is deleted")
    return 0
