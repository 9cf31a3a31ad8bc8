"""What Home tells: an answered cell for its third door, and what is installed on this computer."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.datasets import DatasetSpec, dataset_names, get_dataset
from core.errors import HemaLensError
from core.evaluation import accuracy_interval
from core.runs import Run
from core.serving import predict
from core.serving.preprocess import frame
from core.serving.wording import count
from dashboard import catalogue
from dashboard.widgets.samples import Sample, samples


@dataclass(frozen=True)
class Example:
    """A sample cell and a run's probabilities (C,) for it."""

    cell: Sample
    probabilities: np.ndarray


def example(run: Run, spec: DatasetSpec) -> Example | None:
    """A sample cell that ``run`` knows for what it is, the surest such; None where it can't answer at all."""
    here = tuple(size for size in spec.sizes if catalogue.is_available(spec.name, size))
    try:
        return _example(str(run.path), run.path.stat().st_mtime_ns, here, run, spec)
    except (HemaLensError, OSError):  # a broken run: Compare and Classify say so, Home only shows less
        return None


@st.cache_resource(max_entries=8, show_spinner=False)
def _example(path: str, changed: int, here: tuple[int, ...], _run: Run, _spec: DatasetSpec) -> Example | None:
    cells = samples(_spec.name, _run.size)
    if not cells:
        return None
    framed = np.stack([frame(cell.pixels, _run.size, _spec, mode="whole").pixels for cell in cells])
    answers = predict.classify(framed, _run).probabilities
    right = [_run.codes[answer] == cell.truth for answer, cell in zip(answers.argmax(1), cells, strict=True)]
    chosen = int(np.argmax(answers.max(1) + right))  # a probability is 1 at most: right ones come first
    return Example(cells[chosen], answers[chosen])


def models_line(best: Run | None, single: bool) -> str:
    """'35 for BloodMNIST, 3 for ALL. The best on val, ..., names 98.7 % of 3,421 test cells rightly (...), on ...'.

    ``best`` is BloodMNIST's best run; ``single`` tells that combinations, which may be better, didn't compete.
    """
    here = [(get_dataset(name), number) for name, number in catalogue.datasets().items() if number]
    if not here:
        return "none yet. Train one in the terminal: `python -m core train`"
    many = "; ".join(
        f"{count(number, 'model') if not place else f'{number:,}'} for {spec.title}"
        for place, (spec, number) in enumerate(here)
    )
    if best is None:
        return many
    test = best.metrics["test"]
    low, high = accuracy_interval(round(test["accuracy"] * test["n"]), test["n"])
    which = f"best{' single one' if single else ''} for {get_dataset(best.dataset).title} on val"
    return (
        f"{many}. The {which}, **{best.title}**, names {100 * test['accuracy']:.1f} % of "
        f"{test['n']:,} test cells rightly (95 % interval {100 * low:.1f} to {100 * high:.1f}), on {best.provenance}"
    )


def data_line() -> str:
    """Which data sets' images are on this computer, at which sizes."""
    parts = []
    for name in dataset_names():
        spec = get_dataset(name)
        if spec.real:
            here = [str(size) for size in spec.sizes if catalogue.is_available(name, size)]
            absent = "not downloaded" if spec.download else "not on this computer"
            parts.append(f"{spec.title} at {', '.join(here)} px" if here else f"{spec.title} {absent}")
    return f"{'; '.join(parts)}. They never leave this computer, whose processor answers"
