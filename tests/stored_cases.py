"""Drawn cases in a store. No real data."""

from core.cases.case import NewDecision, Reader
from core.cases.sprites import cut_tile, sheet_bytes, tile_bytes
from core.cases.store import CaseStore
from tests.drawn_cases import ANNA, CODES, LUKASZ, DrawnCase, picture_of, said

ANSWERS = (
    *(said("NE") for _ in range(4)),
    said("LY"),
    said("MO", kind="unsure"),
    said("IG", must_be_seen=True),
    said("LY", kind="unsure", alarm=True, alarm_score=0.91),
    said("", check="blank"),
)


class Stored:
    """A drawn case, of nine crops and a field of three cells, kept in ``store``."""

    def __init__(self, store: CaseStore, reader: Reader = ANNA, sample: str = "S-1", answers=ANSWERS):
        self.store, self.reader = store, reader
        drawn = DrawnCase(answers)
        case = drawn.case
        contents = [drawn.picture_bytes(picture.sha256) for picture in case.pictures]
        store.keep_files(contents, sample)
        tiles = [cut_tile(picture_of(cell.prediction.code, cell.number), (0, 0, 120, 120)) for cell in case.cells]
        sheets = store.keep_files([sheet_bytes(tiles)], sample)
        self.id = store.create(
            reader,
            sample=sample,
            note="drawn",
            pictures=case.pictures,
            cells=case.cells,
            codes=CODES,
            run=case.run,
            run_hash=case.run_hash,
            errors=case.errors,
            unused=case.unused,
            sheets=sheets,
            draft=sample,
        )

    @property
    def case(self):
        """As it is now."""
        return self.store.case(self.id)

    def decide(self, action, cell=None, new="", **facts):
        """Write one decision down, and return its row."""
        reader = facts.pop("reader", self.reader)
        return self.store.decide(self.id, reader, [NewDecision(action, cell, new, **facts)])[0]

    def confirm_all(self):
        """Name every cell that asks for a look as the model does."""
        case = self.case
        new = [NewDecision("assign", n, case.readings[n].cell.prediction.code) for n in sorted(case.open_cells)]
        return self.store.decide(self.id, self.reader, new)

    def go_through_all(self):
        """Decide, take back, add a cell, sign, amend and sign again."""
        self.decide("assign", 1, "EO", reason="size", text="Łódź 🩸")
        self.decide("undo", undoes=2)
        self.add_cell()
        self.confirm_all()
        self.store.sign(self.id, ANNA)
        self.store.amend(self.id, LUKASZ, "a slip")
        self.decide("assign", 3, "MO")
        self.store.sign(self.id, LUKASZ)

    def add_cell(self, **facts):
        """Add a cell to the field."""
        tile = tile_bytes(cut_tile(picture_of("LY", 77), (0, 0, 120, 120)))
        field = next(picture.number for picture in self.case.pictures if picture.kind == "field")
        return self.store.add_cell(
            self.id, self.reader, field, (10, 10, 100, 100), said("LY", kind="unsure"), tile, **facts
        )
