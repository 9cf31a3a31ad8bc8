"""Reference ranges and review rules of a differential, by specimen: a table with a source in each row.

A laboratory has its own: its file in the user's folder stands in place of the table that ships, whole, or is refused.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from core import paths
from core.cases.differential import CODES, ERYTHROBLASTS, PLATELETS, ClassCount, Differential, Interval
from core.cases.files import content_hash
from core.errors import HemaLensError, plain_reason
from core.inference.specimen import SPECIMENS, Specimen

ALARM = "alarm"  # stands where a class does: cells that may be abnormal and that nobody has looked at
_KINDS = ("range", "review")
_LIMITED = CODES - {PLATELETS} | {ALARM}
_VERSION, _MAX_BYTES, _MAX_ROWS, _MAX_TEXT = 1, 65_536, 300, 300


class LimitsError(HemaLensError):
    """A table of limits can't be read; the message says what is wrong with it."""


@dataclass(frozen=True)
class Limit:
    """In ``specimen`` (a key) the class ``code`` is between ``low`` and ``high`` (None: no limit), both still within: %
    of white cells, erythroblasts per 100 of them, `ALARM` cells. ``kind``: a reference range, or a rule by which
    somebody looks at the slide. ``source``: who says so.
    """

    specimen: str
    code: str
    kind: Literal["range", "review"]
    low: float | None
    high: float | None
    source: str


@dataclass(frozen=True)
class Flag:
    """``limit`` is left by ``count`` cells, ``value`` in its unit; ``exact``: the count's 95 % interval in that unit,
    None for alarms, of which each one is a flag.
    """

    limit: Limit
    count: int
    value: float
    exact: Interval | None

    @property
    def beyond_chance(self) -> bool:
        """Whether the whole interval lies outside of the limit."""
        low, high = self.exact or (math.inf, math.inf)
        above = self.limit.high is not None and low > self.limit.high
        return above or (self.limit.low is not None and high < self.limit.low)

    @property
    def text(self) -> str:
        """'BA 3.5 % (7 cells): above 3 %, review rule'."""
        limit, count = self.limit, f"{self.count} cell{'' if self.count == 1 else 's'}"
        rule = "review rule" if limit.kind == "review" else "reference range"
        if limit.code == ALARM:
            return f"{count} that may be abnormal: {rule}"
        unit = "per 100 white cells" if limit.code == ERYTHROBLASTS else "%"
        below = limit.low is not None and self.value < limit.low
        side = f"below {limit.low:g}" if below else f"above {limit.high:g}"
        return f"{limit.code} {self.value:.1f} {unit} ({count}): {side} {unit}, {rule}"


def raised_flags(differential: Differential, specimen: Specimen, limits: Sequence[Limit]) -> list[Flag]:
    """Which of ``limits`` a ``differential`` of ``specimen`` leaves, in their order, review rules first."""
    flags = []
    for limit in sorted(limits, key=lambda limit: limit.kind != "review"):
        if limit.specimen != specimen.key:
            continue
        if limit.code == ALARM:
            count, value, exact = differential.alarms, float(differential.alarms), None
        elif differential.white and (counted := differential.of(limit.code)):
            count, value, exact = counted.count, _value(counted, differential.white), counted.exact
        else:
            continue
        if (limit.low is not None and value < limit.low) or (limit.high is not None and value > limit.high):
            flags.append(Flag(limit, count, value, exact))
    return flags


def _value(counted: ClassCount, white: int) -> float:
    """Before rounding, so that a limit is left by cells, not by decimals."""
    return 100 * counted.count / white


def shipped_limits() -> tuple[Limit, ...]:
    """The table that ships."""
    return read_limits(Path(__file__).with_suffix(".json"))


def current_limits() -> tuple[Limit, ...]:
    """The laboratory's own table, or, where it has none, that which ships. Raises `LimitsError`."""
    return read_limits(limits_path()) if os.path.lexists(limits_path()) else shipped_limits()


def limits_path() -> Path:
    """The laboratory's own table, which needn't exist."""
    return paths.cache_root() / "limits.json"


def limits_hash(specimen: str, limits: Sequence[Limit]) -> str:
    """The SHA-256 of those of ``limits`` that are of ``specimen``, a key."""
    return content_hash(json.dumps([asdict(limit) for limit in limits if limit.specimen == specimen]).encode())


def read_limits(path: Path) -> tuple[Limit, ...]:
    """The table in the file ``path``, whole. Raises `LimitsError`, which names the first row that is wrong."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES + 1)[:_MAX_BYTES])
    except (OSError, ValueError, RecursionError) as error:
        raise LimitsError(f"{path} can't be read as a table of limits ({plain_reason(error)}).") from error
    return _checked_table(content, str(path))


def _checked_table(content: object, name: str) -> tuple[Limit, ...]:
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise LimitsError(f"{name} is no table of limits of version {_VERSION}.")
    rows = content.get("limits")
    if not isinstance(rows, list) or len(rows) > _MAX_ROWS:
        raise LimitsError(f"{name} has no list of at most {_MAX_ROWS} 'limits'.")
    limits = []
    for number, row in enumerate(rows, start=1):
        if reason := _fault(row):
            raise LimitsError(f"{name}, limit {number}: {reason}. Mend it, or remove the file to use what ships.")
        limits.append(Limit(**row))
    keys = [(limit.specimen, limit.code, limit.kind) for limit in limits]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise LimitsError(f"{name} has more than one {twice[0][2]} of {twice[0][1]} in {twice[0][0]}.")
    return tuple(limits)


def _fault(row: object) -> str:
    """What is wrong with ``row``, '' where nothing is."""
    if not isinstance(row, dict) or set(row) != {field.name for field in fields(Limit)}:
        return f"it needs just {', '.join(field.name for field in fields(Limit))}"
    facts: Mapping[str, Any] = row
    for name, known in (("specimen", set(SPECIMENS)), ("code", _LIMITED), ("kind", set(_KINDS))):
        if not isinstance(facts[name], str) or facts[name] not in known:
            return f"{name} is none of {', '.join(sorted(known))}"
    if not isinstance(facts["source"], str) or not 0 < len(facts["source"]) <= _MAX_TEXT:
        return f"its source is no text of at most {_MAX_TEXT} letters"
    bounds = [facts[name] for name in ("low", "high") if facts[name] is not None]
    if not bounds or not all(type(bound) in (int, float) and 0 <= bound <= 1000 for bound in bounds):
        return "it needs low or high, numbers from 0 to 1000"
    return "low is above high" if bounds != sorted(bounds) else ""
