"""How long work reports on itself; the terminal and the page each draw it in their own way."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """One step of long work: ``done`` of ``total`` units, with a line a person can read."""

    done: int
    total: int
    message: str = ""
    unit: str = "step"
    details: dict[str, float] = field(default_factory=dict)


def in_terminal(steps: Iterable[Progress], title: str) -> Iterator[Progress]:
    """Draw ``steps`` as a tqdm bar on stderr while passing them on unchanged."""
    from tqdm import tqdm

    bar = None
    try:
        for step in steps:
            if bar is None:
                is_bytes = step.unit == "B"
                bar = tqdm(total=step.total, desc=title, unit=step.unit, unit_scale=is_bytes, dynamic_ncols=True)
            bar.total = step.total
            bar.update(step.done - bar.n)
            bar.set_postfix_str(step.message)
            yield step
    finally:
        if bar is not None:
            bar.close()
