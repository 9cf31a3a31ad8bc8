"""How long work reports on itself; the terminal and the page each draw it in their own way."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


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


def batches(
    n: int,
    size: int,
    report: Report = silent,
    message: str = "",
    unit: str = "step",
    *,
    at_least_one: bool = False,
) -> Iterator[slice]:
    """Slices of at most ``size`` that cover 0 to ``n`` in their order; each is reported when the caller is done.

    ``at_least_one`` yields one empty slice where ``n`` is 0, for work whose result has a shape even of nothing.
    """
    for start in range(0, max(n, 1) if at_least_one else n, size):
        end = min(start + size, n)
        yield slice(start, end)
        report(Progress(end, n, message, unit))


def part(
    report: Report, start: float, share: float, *, total: int = 100, prefix: str = "", unit: str = "step"
) -> Report:
    """The report of one stage of longer work, counted in ``total`` units from ``start`` to ``start + share`` (0 to 1).

    ``prefix`` goes before the stage's own message; its details are passed on.
    """

    def tell(step: Progress) -> None:
        done = round(total * (start + share * min(1.0, step.done / max(1, step.total))))
        report(Progress(done, total, f"{prefix}{step.message}", unit, step.details))

    return tell


def time_left(done: float, total: float, seconds: float, begun_at: float = 0) -> str:
    """How long the rest takes, as '40 s' or '3 min': '' in the first second, before any is done, and at the end.

    ``seconds`` went by since ``begun_at`` units were done (what was there before costs nothing now).
    """
    if seconds < 1 or not begun_at < done < total:
        return ""
    left = seconds / (done - begun_at) * (total - done)
    return f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min"


class TerminalBar:
    """A tqdm bar on stderr that is called with each `Progress`; also a context manager."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar: tqdm | None = None
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
        """End the bar; the next `Progress` begins another."""
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
