"""A run asked about spoilt pictures of its own test cells."""

from typing import Any

import numpy as np

from core.datasets import LoadedDataset
from core.errors import HemaLensError
from core.evaluation import softmax
from core.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from core.evaluation.robustness import ALEXNET, stratified, summarize
from core.progress import Progress, Report, silent
from core.runs import Run
from core.serving import engine

CELLS = 800
_PAPER = "bloodmnist"  # the data set that the paper's own figures are of


def evaluate_corrupted(
    run: Run,
    data: LoadedDataset,
    cells: int = CELLS,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Figures of ``run`` on ``cells`` test pictures of ``data`` (0: all), clean and spoilt; see `summarize`.

    The pictures are drawn by class with ``seed``, the same ones for every run of the data set. Beside the figures
    stand which pictures they are of: ``split``, ``of`` (how many there are), ``seed``, ``size``, ``provenance``,
    ``content_hash``. Raises `HemaLensError` where there are no test pictures or ``cells`` is negative.
    """
    test = data["test"]
    if cells < 0 or not len(test):
        raise HemaLensError(
            f"{run.name} can't be asked about {cells} of {len(test)} test pictures: give a number from 1, or 0 for all."
        )
    chosen = stratified(test.labels, cells or len(test), seed)
    images, labels = np.stack([test.images[place] for place in chosen]), np.asarray(test.labels)[chosen]
    total, done = len(labels) * (1 + len(CORRUPTIONS) * len(SEVERITIES)), 0

    def answers(name: str = "", severity: int = 0) -> np.ndarray:
        nonlocal done
        parts = []
        for start in range(0, len(images), engine.BATCH):
            part = images[start : start + engine.BATCH]
            parts.append(engine.logits(run, corrupt(part, name, severity, seed) if severity else part))
            done += len(part)
            title = f"{CORRUPTIONS[name].title} {severity}" if severity else "clean"
            report(Progress(done, total, title, "image"))
        return softmax(np.concatenate(parts))

    clean = answers()
    spoilt = {name: [answers(name, severity) for severity in SEVERITIES] for name in CORRUPTIONS}
    facts = {
        "split": "test",
        "of": len(test),
        "seed": seed,
        "size": run.size,
        "provenance": data.provenance.label,
        "content_hash": data.provenance.content_hash,
    }
    relative = run.dataset == _PAPER and set(spoilt) == set(ALEXNET)
    return facts | summarize(labels, clean, spoilt, relative=relative)
