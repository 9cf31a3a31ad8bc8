"""What every view of the Compare page looks at: the runs that the filters left, their names, the ticked ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.datasets import DatasetSpec, Scheme
from core.runs import Run
from dashboard.schemes import scheme_of


@dataclass(frozen=True)
class Bench:
    """The runs on the bench.

    ``spec`` is the data set, with all its classes. ``runs`` are those of it that passed the filters, most accurate
    on test first; ``every`` is all there are of it. ``names`` gives each run's short name by its full one. ``chosen``
    are the names of the ticked runs (filtered away or not), the last ticked last. ``dark`` tells the theme.
    """

    spec: DatasetSpec
    runs: tuple[Run, ...]
    every: tuple[Run, ...]
    names: Mapping[str, str]
    chosen: tuple[str, ...]
    dark: bool = False

    @property
    def unit(self) -> str:
        """What one picture shows: 'cell' or 'field'."""
        return self.spec.unit

    @property
    def ways(self) -> tuple[Scheme, ...]:
        """The ways to split the data set, where runs under more than one are here; else ()."""
        return self.spec.schemes if len({scheme_of(run, self.spec.schemes) for run in self.every}) > 1 else ()

    @property
    def picked(self) -> list[Run]:
        """The ticked runs."""
        return self.find(self.chosen)

    def find(self, names: tuple[str, ...] | list[str]) -> list[Run]:
        """The runs of these names, in their order; names that aren't here are left out."""
        by_name = {run.name: run for run in self.every}
        return [by_name[name] for name in names if name in by_name]
