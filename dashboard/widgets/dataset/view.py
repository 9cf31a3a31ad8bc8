"""What every view of the Dataset page looks at: a data set at one size, split in one way."""

from dataclasses import dataclass

from core.datasets import CellClass, DatasetSpec, LoadedDataset
from core.datasets.summary import Summary
from core.serving.wording import count, of_class
from dashboard import stand_in


@dataclass(frozen=True)
class View:
    """The data set ``name`` at ``size`` px a side.

    ``spec`` names the classes that are there; of these ``code`` is the chosen one and ``split`` the chosen split.
    ``loaded`` are the images, None where they are not on this computer, with ``broken`` saying what is wrong where
    their file can't be read. ``summary`` are the statistics (None where there are none) and ``note`` a sentence where
    they are not those of just these images. ``dark`` tells the theme.
    """

    name: str
    spec: DatasetSpec
    size: int
    code: str
    split: str
    loaded: LoadedDataset | None
    summary: Summary | None
    dark: bool = False
    note: str | None = None
    broken: str | None = None

    @property
    def scheme(self) -> str:
        """The way in which the images are split; '' where there is one only, or no images."""
        return self.loaded.scheme if self.loaded else ""

    @property
    def content(self) -> str:
        """What the images are, for keys of what is computed from them; '' where they are not here."""
        return self.loaded.provenance.content_hash if self.loaded else ""

    @property
    def can_stand_in(self) -> bool:
        """Whether generated or drawn cells can stand in where the images are not here."""
        return stand_in.possible(self.spec)

    @property
    def cell(self) -> CellClass:
        """The chosen class."""
        return self.of(self.code)

    def of(self, code: str) -> CellClass:
        """The class with this code."""
        return self.spec.classes[self.spec.codes.index(code)]

    def some(self, code: str) -> str:
        """Several pictures of a class in words: 'lymphocytes', 'benign fields'."""
        return of_class(self.of(code).name, self.spec.unit)

    def count(self, number: int) -> str:
        """'1 cell', '1,234 fields'."""
        return count(number, self.spec.unit)
