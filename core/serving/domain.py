"""What a run knows: the classes and the domain of its pictures; and pictures that are plainly of another domain."""

from collections.abc import Sequence
from dataclasses import replace

from core.datasets.base import CellClass, DatasetSpec, UnknownDataset, get_dataset
from core.runs import Run

# Fields come in the camera's own shape, 4:3 or 5:4, and larger than any crop of one cell.
_OBLONG = 1.2
_FIELD_SIDE = 400
# Crops of one cell are nearly square: 360 x 363 px from a CellaVision DM96, 250 x 250 from bone marrow.
_NEARLY_SQUARE = 1.03
_CROP_SIDE = 450


def known(run: Run) -> DatasetSpec:
    """The spec of ``run``'s data set with just the classes that the run knows, in the order of its answers.

    A class that the data set has no more goes by its code. Raises `UnknownDataset` where the data set is gone.
    """
    try:
        spec = get_dataset(run.dataset)
    except UnknownDataset:
        raise UnknownDataset(
            f"{run.name} was trained on the data set {run.dataset!r}, which is not here any more. Add its folder "
            f"again (`python -m core datasets add {run.dataset} FOLDER`), or choose another model."
        ) from None
    return with_codes(spec, run.codes)


def with_codes(spec: DatasetSpec, codes: tuple[str, ...]) -> DatasetSpec:
    """``spec`` with the classes ``codes``, in their order; those that it hasn't go by their codes."""
    if spec.codes == codes:
        return spec
    there = {c.code: c for c in spec.classes}
    return replace(spec, classes=tuple(there.get(code) or CellClass(code, code, "") for code in codes))


def trusted(runs: Sequence[Run]) -> list[Run]:
    """Those of ``runs`` (of one data set) under the way to split that is to be trusted, where there are any; else all.

    Scores on val under several ways don't compare: a split that flatters would always win.
    """
    try:
        schemes = get_dataset(runs[0].dataset).schemes if runs else ()
    except UnknownDataset:
        schemes = ()
    first = schemes[0].name if schemes else ""
    return [run for run in runs if run.scheme in ("", first)] or list(runs)


def share_of_classes(run: Run) -> str:
    """'7 of 21 classes (BLA, EOS, ...)' where the run knows some of its data set's classes only, else ''."""
    every = get_dataset(run.dataset).codes
    if not set(every) - set(run.codes):
        return ""
    return f"{len(run.codes)} of {len(every)} classes ({', '.join(run.codes)})"


def says_what_it_knows(run: Run) -> str:
    """One clause on a run's domain: 'knows single cells from smears of ...; 7 of 21 classes (BLA, EOS, ...)'."""
    some = share_of_classes(run)
    return f"knows {get_dataset(run.dataset).domain}" + (f"; {some}" if some else "")


def looks_like(width: int, height: int, spec: DatasetSpec) -> str:
    """'cell' or 'field': what a picture of this shape shows, as far as that is plain; else what ``spec``'s do."""
    shorter, longer = sorted((width, height))
    if spec.unit == "cell" and shorter >= _FIELD_SIDE and longer >= _OBLONG * shorter:
        return "field"
    own = width == height and width in spec.sizes
    if spec.unit == "field" and not own and shorter <= _CROP_SIDE and longer <= _NEARLY_SQUARE * shorter:
        return "cell"
    return spec.unit


def stranger(width: int, height: int, spec: DatasetSpec) -> str | None:
    """The sentence for a picture whose shape is plainly of another domain than ``spec``'s; None for any other."""
    shape = looks_like(width, height, spec)
    if shape == spec.unit:
        return None
    if shape == "field":
        return (
            f"A picture of {width} x {height} px is shaped like a whole microscope field, but {spec.title} teaches "
            "single cells: cut the cells out, or choose a data set of fields."
        )
    return (
        f"A picture of {width} x {height} px is shaped like the crop of one cell, but {spec.title} teaches whole "
        "microscope fields: choose a data set of cells."
    )
