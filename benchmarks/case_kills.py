"""Is a decision that was acknowledged ever lost? A writer is killed (SIGKILL) at random moments, again and again.

Each writer opens the store, decides about drawn cells (one at a time, several at once, taking back, adding cells) and
tells of each decision when the store has acknowledged it. After each kill every decision told of so far must be in the
log as it was told, and the case as it was written down. ``python -m benchmarks.case_kills [--kills 200]`` does it on
SQLite and, where Debian's server is installed, on PostgreSQL.
"""

import argparse
import os
import random
import signal
import tempfile
import time
import uuid
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.postgresql import find_postgresql, new_schema, postgresql
from core.cases.case import CaseCell, CasePicture, CellPrediction, Decision, NewDecision, Reader
from core.cases.sprites import TILE, tile_bytes
from core.cases.store import CaseStore

CODES = ("BA", "EO", "ERB", "IG", "LY", "MO", "NE", "PLT")
CELLS = 60
MOST_TOLD, LONGEST = 8, 0.03  # decisions, and seconds after that, at which a writer is killed at the latest


def kill_writers(url: str, folder: Path, kills: int, seed: int = 0) -> dict[str, Any]:
    """Kill ``kills`` writers to the store at ``url``, ``folder``, and look after each: how many decisions were told of,
    ``lost`` of them, how many are there that nobody was told of, and after how many kills the case was ``altered``.
    """
    rng, context = random.Random(seed), get_context("fork")
    case_id = _in_a_process(context, _create, url, folder)
    told: dict[str, str] = {}
    lost = altered = 0
    for number in range(kills):
        here, there = context.Pipe(duplex=False)
        writer = context.Process(target=_write, args=(url, folder, case_id, there, seed + number), daemon=True)
        writer.start()
        there.close()
        here.recv()  # its store is open
        for _ in range(rng.randint(0, MOST_TOLD)):
            client, digest = here.recv()
            told[client] = digest
        time.sleep(rng.uniform(0, LONGEST))
        assert writer.pid
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        told |= _all_told(here)
        stored, is_altered = _in_a_process(context, _look, url, folder, case_id)
        lost += sum(stored.get(client) != digest for client, digest in told.items())
        altered += is_altered
    return {
        "kills": kills,
        "acknowledged": len(told),
        "lost": lost,
        "written_untold": len(stored) - len(told) - 1,  # but for the row that opens the case
        "altered": altered,
    }


def _all_told(pipe: Connection) -> dict[str, str]:
    told = {}
    try:
        while True:
            client, digest = pipe.recv()
            told[client] = digest
    except (EOFError, OSError):
        return told


def _in_a_process(context: Any, work: Any, *arguments: Any) -> Any:
    """What ``work`` returns in a process of its own: a store mustn't be forked."""
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=lambda: there.send(work(*arguments)), daemon=True)
    process.start()
    there.close()
    found = here.recv()
    process.join()
    return found


def _create(url: str, folder: Path) -> str:
    said = CellPrediction("NE", "sure", (0.01,) * 6 + (0.93, 0.01), ("NE",))
    field = CasePicture(1, "field.png", "A", "0" * 64, "field", 4_000, 4_000)
    cells = [CaseCell(k + 1, 1, (50 * k, 0, 50 * k + 50, 50), said) for k in range(CELLS)]
    return CaseStore(url, folder).create(
        Reader("Ann"), sample="kills", pictures=[field], cells=cells, codes=CODES, run="drawn"
    )


def _look(url: str, folder: Path, case_id: str) -> tuple[dict[str, str], bool]:
    store = CaseStore(url, folder)
    stored = {decision.client: decision.hash for decision in store.decisions(case_id)}
    return stored, store.verify(case_id) is not None or len(store.case(case_id).decisions) != len(stored)


def _write(url: str, folder: Path, case_id: str, told: Connection, seed: int) -> None:
    store, reader, rng = CaseStore(url, folder), Reader(f"reader {seed % 3}"), random.Random(seed)
    store.case(case_id)
    told.send("ready")
    while True:
        for decision in _decide(store, case_id, reader, rng):
            told.send((decision.client, decision.hash))


def _decide(store: CaseStore, case_id: str, reader: Reader, rng: random.Random) -> list[Decision]:
    what = rng.random()
    if what < 0.05:
        tile = np.full((TILE, TILE, 3), rng.randrange(256), np.uint8)
        client, box = uuid.uuid4().hex, (0, 100, 50, 150)
        store.add_cell(case_id, reader, 1, box, CellPrediction("LY", "unsure"), tile_bytes(tile), client)
        return [decision for decision in store.decisions(case_id) if decision.client == client]
    if what < 0.15:
        of_cells = [decision for decision in store.case(case_id).decisions if decision.action == "assign"]
        if of_cells:
            last = of_cells[-1]
            standing = store.case(case_id).readings[last.cell or 0].history[-1]
            return store.decide(case_id, reader, [_new("undo", undoes=standing.seq)])
    several = rng.choice((1, 1, 1, 2, 8))
    chosen = [(rng.randint(1, CELLS), rng.choice(CODES)) for _ in range(several)]
    return store.decide(case_id, reader, [_new("assign", cell=cell, new=code) for cell, code in chosen])


def _new(action: Any, **facts: Any) -> NewDecision:
    return NewDecision(action, client=uuid.uuid4().hex, **facts)


def main() -> None:
    from benchmarks.reporting import publish

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of each database (default: 200)")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'cases.sqlite3'}"
        rows.append({"database": "SQLite", **kill_writers(url, folder / "sqlite", options.kills)})
        if find_postgresql():
            with postgresql() as server:
                url = new_schema(server, "kills")
                rows.append({"database": "PostgreSQL", **kill_writers(url, folder / "postgresql", options.kills)})
    publish("case_kills", rows)


if __name__ == "__main__":
    main()
