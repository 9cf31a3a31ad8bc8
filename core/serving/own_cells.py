"""The very cells that a run was trained and scored on, or a sentence that says why not."""

from core.datasets import LoadedDataset, get_dataset
from core.errors import HemaLensError
from core.runs import Run


def own_cells(run: Run) -> LoadedDataset:
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
