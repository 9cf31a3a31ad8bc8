"""The scales that a user's own batches were found to have, so that single pictures of the same shape can be cut alike.

One picture shows too few red cells to be sure of its scale; the batches of its laboratory showed many. What they said
is kept in one small JSON file in the user's folder, numbers only, and offered by the pictures' shape; nothing is taken
unasked.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from core import paths
from core.images.framing import BatchScale
from core.storage import write_json

MIN_PICTURES = 8  # of a batch that is remembered; fewer are offered what is
MAX_REMEMBERED = 20
_MAX_ERROR = 0.05  # standard error of the red cells' diameter, as a share of it
_SAME_SHAPE = 0.03  # of the logarithm of each side
_SAME_SIDE = 0.05  # scales that differ by less, in pictures of one shape, are one laboratory's
_MIN_ALIKE = 0.9  # of a batch's pictures have the shape that it is remembered by
_MAX_SIDE, _MAX_BYTES = 10_000, 16_384
_MAX_SHARE = 2  # of a picture's shorter side


@dataclass(frozen=True)
class RememberedScale:
    """Squares of ``side`` px were right in ``pictures`` of ``shape`` (height, width), as measured on ``day``."""

    shape: tuple[int, int]
    side: int
    pictures: int
    day: date

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether a picture of ``shape`` may be of the same laboratory."""
        return bool(np.abs(np.log(np.array(shape) / self.shape)).max() < _SAME_SHAPE)


def remembered_scales() -> list[RememberedScale]:
    """The newest first; none where the file is missing, or not as it was written."""
    try:
        with _path().open("rb") as file:
            entries = json.loads(file.read(_MAX_BYTES))["scales"]
        return [_checked(entry) for entry in entries[:MAX_REMEMBERED]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []


def remember_scale(batch: BatchScale, shapes: Sequence[tuple[int, int]], today: date | None = None) -> None:
    """Keep what ``batch`` of pictures of ``shapes`` (height, width) was found to have, where that is beyond doubt: many
    pictures of one shape and one scale, whose red cells were measured well. Where the folder can't be written nothing
    is kept.
    """
    found, side = batch.red_cells, batch.scale.side
    if batch.scale.source != "red cells" or batch.groups or not found or not side or len(shapes) < MIN_PICTURES:
        return
    height, width = (int(length) for length in np.median(shapes, axis=0))
    new = RememberedScale((height, width), side, len(shapes), today or date.today())
    alike = sum(new.fits(shape) for shape in shapes)
    if found.standard_error > _MAX_ERROR * found.diameter or alike < max(MIN_PICTURES, _MIN_ALIKE * len(shapes)):
        return
    before = remembered_scales()
    others = [old for old in before if not (old.fits(new.shape) and abs(np.log(old.side / side)) < _SAME_SIDE)]
    scales = [new, *others][:MAX_REMEMBERED]
    if scales == before:
        return
    entries = [
        {"shape": scale.shape, "side": scale.side, "pictures": scale.pictures, "day": scale.day.isoformat()}
        for scale in scales
    ]
    try:
        write_json(_path(), {"scales": entries})
    except OSError:
        return


def offered_scales(batch: BatchScale, shapes: Sequence[tuple[int, int]]) -> list[RememberedScale]:
    """What few pictures of ``shapes`` (height, width) could be cut at instead of as ``batch`` says, the newest first:
    none where a person or the files said the scale.
    """
    if not 0 < len(shapes) < MIN_PICTURES or batch.scale.source in ("given", "stated"):
        return []
    return [
        scale
        for scale in remembered_scales()
        if scale.side != batch.scale.side and all(scale.fits(shape) for shape in shapes)
    ]


def _path() -> Path:
    return paths.cache_root() / "scales.json"


def _checked(entry: dict[str, object]) -> RememberedScale:
    """Raises ValueError, TypeError or KeyError for what `remember_scale` doesn't write."""
    shape, side, pictures, day = entry["shape"], entry["side"], entry["pictures"], entry["day"]
    numbers = [*shape, side] if isinstance(shape, list) else []
    if len(numbers) != 3 or not all(type(n) is int and 1 <= n <= _MAX_SIDE for n in numbers):
        raise ValueError("no shape and side")
    if numbers[2] > _MAX_SHARE * min(numbers[:2]):
        raise ValueError("a square far larger than its picture")
    if type(pictures) is not int or pictures < MIN_PICTURES or not isinstance(day, str):
        raise ValueError("no number of pictures, or no day")
    found = RememberedScale((numbers[0], numbers[1]), numbers[2], pictures, date.fromisoformat(day))
    if found.day > date.today() + timedelta(days=1):  # a day ahead is another time zone's
        raise ValueError("a day to come")
    return found
