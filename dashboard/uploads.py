"""Where the frames of a visitor's own pictures lie: one scale for all of them, found while they still come in."""

from dataclasses import dataclass, field

import numpy as np

from core.datasets import DatasetSpec
from core.serving.framing import Picture, Place, Survey, survey

FIRST = 48  # pictures that are placed while others are unread, at the scale that these show by themselves


@dataclass
class Uploads:
    """Pictures by id, taken for one laboratory's, and what they say together for each ``side`` that is asked about.

    A ``side`` in px is one chosen for them; None stands for the one that their red cells or nuclei show. The result
    depends on the pictures and their order only, not on how they came.
    """

    pictures: dict[str, Picture] = field(default_factory=dict)
    _seen: frozenset[str] = frozenset()
    _surveys: dict[float | None, Survey] = field(default_factory=dict)
    _places: dict[tuple[str, float | None], Place] = field(default_factory=dict)

    def add(self, identity: str, pixels: np.ndarray) -> None:
        """Take in one picture, uint8 (H, W, 3)."""
        self.pictures.setdefault(identity, Picture(pixels))

    def remove(self, identity: str) -> None:
        """Forget one picture; the scale of the others stays."""
        self.pictures.pop(identity, None)
        self._places = {key: place for key, place in self._places.items() if key[0] != identity}

    def look(self, complete: bool) -> None:
        """Have the scale found anew where pictures have come since; unless ``complete``, over the `FIRST` only."""
        ids = list(self.pictures)[: None if complete else FIRST]
        if self._seen.issuperset(ids):
            return
        self._seen = frozenset(ids)
        self._surveys.clear()
        self._places.clear()

    def survey(self, side: float | None) -> Survey | None:
        """What the pictures say together; None where that isn't known yet."""
        return self._surveys.get(side)

    def known_place(self, identity: str, side: float | None) -> Place | None:
        """Where the frame lies in a picture; None where that isn't known yet. Costs nothing."""
        return self._places.get((identity, side))

    def place(self, identity: str, side: float | None, spec: DatasetSpec) -> Place | None:
        """Where the frame lies in a picture, found now if need be; None where it waits for the others to be read."""
        if identity not in self._seen:
            return None
        if side not in self._surveys:
            here = [picture for i, picture in self.pictures.items() if i in self._seen]
            self._surveys[side] = survey(here, spec, side)
        if (identity, side) not in self._places:
            self._places[identity, side] = self._surveys[side].place(self.pictures[identity])
        return self._places[identity, side]

    def place_beside(self, pixels: np.ndarray, side: float | None, spec: DatasetSpec) -> Place:
        """Where the frame lies in a picture that isn't among these, taken for one of the same laboratory."""
        picture = Picture(pixels)
        return (self._surveys.get(side) or survey([picture], spec, side)).place(picture)
