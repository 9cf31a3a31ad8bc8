"""How long does a large case take to open, to list and to decide about, and does memory stay flat?

A case of drawn answers, one picture a cell, in SQLite: seconds of the processor (so that other work on the machine
doesn't count) and of the clock, the least of several. ``python -m benchmarks.large_case [--cells 10000]``
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from core.cases.case import CaseCell, CasePicture, CellPrediction, NewDecision, Reader
from core.cases.store import CaseStore

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
REPEATS, OPENINGS, OTHERS = 7, 10, 10
READER = Reader("Ann")


def create(store: CaseStore, cells: int) -> str:
    """A case of so many ``cells``, a third of which ask for a look."""
    shares = (*(0.012345,) * 6, 0.901585, 0.024345)
    pictures, found = [], []
    for number in range(1, cells + 1):
        kind: Literal["sure", "unsure"] = "unsure" if number % 3 == 0 else "sure"
        text, notes = f"Neutrophil, 90 %, {kind}; one of NE, LY.", ("one of NE, LY",)
        said = CellPrediction("NE", kind, shares, ("NE", "LY"), alarm_score=0.0012, notes=notes, text=text)
        pictures.append(CasePicture(number, f"slide/{number}.png", "S1", f"{number:064x}", "crop", 360, 363))
        found.append(CaseCell(number, number, (80, 82, 280, 282), said))
    return store.create(READER, sample="large", pictures=pictures, cells=found, codes=CODES, run="drawn")


def least(work: Callable[[], object], repeats: int = REPEATS) -> dict[str, float]:
    """The fewest seconds that ``work`` took, of the processor and of the clock."""
    processor, clock = [], []
    for _ in range(repeats):
        at = time.process_time(), time.perf_counter()
        work()
        processor.append(time.process_time() - at[0])
        clock.append(time.perf_counter() - at[1])
    return {"processor_s": min(processor), "clock_s": min(clock)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'cases.sqlite3'}"
        case_id = create(CaseStore(url, folder), options.cells)
        store = CaseStore(url, folder)
        store.list()
        fresh = [CaseStore(url, folder) for _ in range(REPEATS)]
        for other in fresh:
            other.list()  # connects
        rows: list[dict[str, Any]] = []
        rows.append({"what": "open, nothing in memory", **least(lambda: fresh.pop().case(case_id))})
        rows.append({"what": "open again", **least(lambda: store.case(case_id))})
        rows.append({"what": "list", **least(store.list)})
        decide = least(lambda: store.decide(case_id, READER, [NewDecision("assign", cell=3, new="LY")]), 50)
        rows.append({"what": "one decision", **decide})
        rows.append({"what": "verify", **least(lambda: store.verify(case_id), 3)})
        case = store.case(case_id)
        rows.append({"what": "differential", **least(lambda: case.differential())})
        others = [create(store, 10) for _ in range(OTHERS)]
        memory = []
        for _ in range(OPENINGS):
            for other_id in others:  # so many that the large one is let go of
                store.case(other_id)
            store.case(case_id)
            memory.append(_megabytes())
    from benchmarks.reporting import publish  # brings PyTorch, which is no part of it

    publish("large_case", rows, cells=options.cells, memory_mb=memory)
    print(f"memory after each of {OPENINGS} openings: {', '.join(f'{value:.0f}' for value in memory)} MB")


def _megabytes() -> float:
    """What the process has taken at most by now."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
