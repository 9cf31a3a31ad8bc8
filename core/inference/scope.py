"""What a run's predictions are about: the classes it knows, the split it was trained on, the very data it came from."""

from collections.abc import Sequence
from dataclasses import replace

from core.datasets import LoadedDataset, get_dataset
from core.datasets.base import CellClass, DatasetSpec, UnknownDataset
from core.errors import HemaLensError
from core.runs import Run


def spec_for(run: Run) -> DatasetSpec:
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
    return spec_with_codes(spec, run.codes)


def spec_with_codes(spec: DatasetSpec, codes: tuple[str, ...]) -> DatasetSpec:
    """``spec`` with the classes ``codes``, in their order; those that it hasn't go by their codes."""
    if spec.codes == codes:
        return spec
    classes_by_code = {c.code: c for c in spec.classes}
    return replace(spec, classes=tuple(classes_by_code.get(code) or CellClass(code, code, "") for code in codes))


def on_trusted_split(runs: Sequence[Run]) -> list[Run]:
    """Those of ``runs`` (of one data set) under the way to split that is to be trusted, where there are any; else all.

    Scores on val under several ways don't compare: a split that flatters would always win.
    """
    try:
        schemes = get_dataset(runs[0].dataset).schemes if runs else ()
    except UnknownDataset:
        schemes = ()
    first = schemes[0].name if schemes else ""
    return [run for run in runs if run.scheme in ("", first)] or list(runs)


def class_scope_text(run: Run) -> str:
    """'7 of 21 classes (BLA, EOS, ...)' where the run knows some of its data set's classes only, else ''."""
    dataset_codes = get_dataset(run.dataset).codes
    if not set(dataset_codes) - set(run.codes):
        return ""
    return f"{len(run.codes)} of {len(dataset_codes)} classes ({', '.join(run.codes)})"


def scope_text(run: Run) -> str:
    """One clause on a run's domain: 'knows single cells from smears of ...; 7 of 21 classes (BLA, EOS, ...)'."""
    class_scope = class_scope_text(run)
    return f"knows {get_dataset(run.dataset).domain}" + (f"; {class_scope}" if class_scope else "")


def training_data(run: Run) -> LoadedDataset:
    """The data set of ``run`` at its size, split as it was then.

    Raises `DatasetUnavailable` where it is not on this computer, `HemaLensError` where other cells of it are.
    """
    dataset = run.config["dataset"]
    content = dataset["provenance"]["content_hash"]
    data = get_dataset(run.dataset).load(run.size, content_hash=content, scheme=run.scheme)
    if data.provenance.content_hash != content:
        raise HemaLensError(
            f"the cells that {run.name} was trained on ({run.provenance}, content {content}) are not on this "
            f"computer, only {data.provenance.label}, content {data.provenance.content_hash}, is: what is made of "
            "others would not fit the run"
        )
    return data
