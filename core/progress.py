"""How long work reports on itself; the terminal and the page each draw it in their own way."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """One step of long work: ``done`` of ``total`` units, with a line a person can read.

    ``unit`` 'B' counts bytes, 's' seconds that the work was guessed to take.
    """

    done: int
    total: int
    message: str = ""
    unit: str = "step"
    details: dict[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report nothing."""


class TerminalBar:
    """A tqdm bar on stderr that is called with each `Progress`; also a context manager."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar = None
        self.unit = ""

    def __call__(self, step: Progress) -> None:
        from tqdm import tqdm

        if step.unit != self.unit:  # other work begins: pictures were read, now steps are trained
            self.close()
            self.unit = step.unit
        if self.bar is None:
            # Work that resumes begins in the middle: time left is reckoned from there.
            self.bar = tqdm(
                total=step.total,
                initial={"step": max(0, step.done - 1), "trial": step.done}.get(step.unit, 0),
                desc=self.title,
                unit=step.unit,
                unit_scale=step.unit == "B",
                bar_format="{l_bar}{bar}| [{elapsed}<{remaining}{postfix}]" if step.unit == "s" else None,
                dynamic_ncols=True,
                mininterval=0.5,
            )
        self.bar.total = step.total
        self.bar.update(step.done - self.bar.n)
        self.bar.set_postfix_str(step.message)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def __enter__(self) -> "TerminalBar":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def in_terminal(steps: Iterable[Progress], title: str) -> Iterator[Progress]:
    """Draw ``steps`` as a bar on stderr while passing them on unchanged."""
    with TerminalBar(title) as bar:
        for step in steps:
            bar(step)
            yield step
