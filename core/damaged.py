"""What on this computer can't be used, and why: runs, laboratories, studies, data sets, the table of limits, each with
the way to be rid of it. Nothing of it stops what is sound.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core import paths
from core.adaptation.profile import ProfileError, damaged_profiles
from core.cases.limits import LimitsError, current_limits, limits_path
from core.datasets.user import damaged_records
from core.errors import HemaLensError, plain_reason
from core.runs import damaged_runs
from core.storage import sweep_leftovers
from core.studies import damaged_studies


@dataclass(frozen=True)
class DamagedThing:
    """A ``kind`` of thing ('run'), the file or folder that holds it, and the ``reason`` why it can't be used."""

    kind: str
    path: Path
    reason: str

    @property
    def name(self) -> str:
        """Where it lies under the cache, by which `find_damaged` finds it."""
        return self.path.relative_to(paths.cache_root()).as_posix()


def damaged_things() -> list[DamagedThing]:
    """All that lies in the user's folders and can't be used; what ships is not looked at."""
    return list(_damaged_things())


def _damaged_things() -> Iterator[DamagedThing]:
    for kind, found in (("run", damaged_runs), ("study", damaged_studies), ("data set", damaged_records)):
        for path, reason in found().items():
            yield DamagedThing(kind, path, reason)
    try:
        for path, reason in damaged_profiles().items():
            yield DamagedThing("laboratory", path, reason)
    except ProfileError as error:
        yield DamagedThing("laboratories", paths.cache_root() / "labs", str(error))
    try:
        current_limits()
    except LimitsError as error:
        yield DamagedThing("limits", limits_path(), str(error))


def find_damaged(name: str) -> DamagedThing:
    """The one of `damaged_things` of that ``name``. Raises `HemaLensError`."""
    found = next((thing for thing in damaged_things() if thing.name == name), None)
    if found is None:
        raise HemaLensError(f"nothing that is damaged is called {name!r}: python -m core check lists what is")
    return found


def delete_damaged(name: str) -> DamagedThing:
    """Delete the one of `damaged_things` of that ``name``, for good; a link goes, not what it leads to. Raises
    `HemaLensError`.
    """
    thing = find_damaged(name)
    try:
        if thing.path.is_dir() and not thing.path.is_symlink():
            shutil.rmtree(thing.path)
        else:
            thing.path.unlink()
    except OSError as error:
        raise HemaLensError(f"{thing.path} can't be deleted: {plain_reason(error)}") from error
    return thing


def sweep() -> None:
    """Delete what killed processes left half made in the user's folders, once it is a day old."""
    sweep_leftovers(paths.cache_root())
