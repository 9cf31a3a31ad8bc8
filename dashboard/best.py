"""Which run is the best for an aim, chosen on val and with intervals in mind; pure functions over answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.evaluation.compare import behind_best
from core.evaluation.hardest import gather
from core.runs import Predictions

MARGIN = 1.0  # points: how far behind the most accurate run a faster or smaller one may be

# Aim: title, column of the leaderboard (None: accuracy itself), word for its best, word for better, unit of the value.
AIMS = {
    "accuracy": ("Accuracy", None, "Most accurate", "more accurate", ""),
    "speed": ("Speed", "latency_ms", "Fastest", "faster", "ms for one picture"),
    "size": ("Size", "megabytes", "Smallest", "smaller", "MB"),
}


@dataclass(frozen=True)
class Standing:
    """How runs stand to the most accurate one on the same cells.

    ``best`` is its position; ``lag`` and ``at_most`` (R,) are by how many points (of 100) each is behind and
    may be behind (upper end of the 95 % interval), NaN where it was scored on other cells; ``ties`` (R,) is
    True where chance could explain the lag. ``n`` cells.
    """

    best: int
    lag: np.ndarray
    at_most: np.ndarray
    ties: np.ndarray
    n: int


def standing(answers: Sequence[Predictions]) -> Standing:
    """How each of R runs stands to the most accurate of those that share the first one's cells; R is 1 or more."""
    votes, left_out = gather(answers)
    kept = [position for position in range(len(answers)) if position not in left_out]
    best, behind = behind_best(votes.labels, votes.answers)
    lag, at_most, ties = (np.full(len(answers), np.nan) for _ in range(3))
    for position, paired in zip(kept, behind, strict=True):
        lag[position] = 100 * paired.difference
        at_most[position] = 100 * paired.interval[1]
        ties[position] = paired.p_value >= 0.05
    at_most[kept[best]] = 0
    return Standing(kept[best], lag, at_most, np.nan_to_num(ties).astype(bool), len(votes.labels))


def arranged(table: pd.DataFrame, stand: Standing, aim: str) -> pd.DataFrame:
    """``table`` (of `leaderboard`) with the column 'behind', in the order of ``aim``.

    Accuracy: by accuracy on test. Else: first the runs that are surely within the margin, those with the least
    of the aim's cost first, then the others by accuracy.
    """
    table = table.assign(behind=stand.at_most)
    column = AIMS[aim][1]
    if column is None:
        return table.sort_values("accuracy", ascending=False, kind="stable").reset_index(drop=True)
    close = table["behind"] <= MARGIN
    near = table[close].sort_values(column, kind="stable")
    far = table[~close].sort_values("accuracy", ascending=False, kind="stable")
    return pd.concat([near, far]).reset_index(drop=True)


def advice(table: pd.DataFrame, stand: Standing, aim: str, unit: str = "cell") -> str:
    """What ``aim`` leads to, in words. ``table`` is `leaderboard`'s, in the order in which ``stand`` was made.

    ``unit`` is what one picture shows.
    """
    _, column, superlative, comparative, measure = AIMS[aim]
    best = table.iloc[stand.best]
    if column is None:
        return _most_accurate(table, stand, best, unit)
    close = table.assign(at_most=stand.at_most, lag=stand.lag)
    close = close[(close["at_most"] <= MARGIN) & close[column].notna()]
    if close.empty:
        return f"Nothing is known of this for **{best['model']}** and the runs close to it."
    winner = close.loc[close[column].idxmin()]
    digits = 2 if winner[column] < 1 else 1 if winner[column] < 10 else 0
    value = f"{winner[column]:,.{digits}f} {measure}"
    if winner["run"] == best["run"]:
        return (
            f"**{best['model']}** ({value}): no {comparative} run is surely within {MARGIN:g} point of it on the "
            f"{stand.n:,} val {unit}s, by which runs are chosen."
        )
    times = best[column] / winner[column]
    than = f", {times:.1f} times {comparative} than **{best['model']}**" if times >= 1.05 else ""
    behind = f"{winner['lag']:.1f} points behind it" if winner["lag"] >= 0.05 else "level with it"
    return (
        f"{superlative} surely within {MARGIN:g} point of the most accurate: **{winner['model']}** ({value}{than}). "
        f"On the same {stand.n:,} val {unit}s it is {behind}, at most {winner['at_most']:.1f} (95 % interval); "
        f"on test it reaches {winner['accuracy']:.2f} %."
    )


def _most_accurate(table: pd.DataFrame, stand: Standing, best: pd.Series, unit: str) -> str:
    opening = (
        f"Most accurate on the {stand.n:,} val {unit}s, by which runs are chosen: **{best['model']}**, "
        f"{best['accuracy']:.2f} % on test."
    )
    level = [name for place, name in enumerate(table["model"]) if stand.ties[place] and place != stand.best]
    if not level:
        return opening + (" Chance alone doesn't explain its lead over any other." if len(table) > 1 else "")
    named = ", ".join(level[:3]) + (f" and {len(level) - 3} more" if len(level) > 3 else "")
    return f"{opening} Chance could explain its lead over {named}."
