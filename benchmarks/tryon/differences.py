"""What differs from the main arm by more than noise."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.tables import pooled_runs, table

if TYPE_CHECKING:
    from benchmarks.tryon.report import Row

#: A difference of fewer standard errors is called noise.
ERRORS = 2.0
_MEASURES = {"iou": "temporal IoU", "leakage": "leakage", "moved_iou": "IoU, command moved"}


def difference_table(rows: Sequence["Row"], main: str, condition: str) -> list[str]:
    """Lines of the table of the arms' differences from the main one; none without it or without others.

    Args:
        rows: arms that were measured on the kind of clips.
        main: name of the main arm.
        condition: the kind.
    """
    chosen = next((row for row in rows if row.name == main), None)
    if chosen is None or len(rows) < 2:
        return []
    body = []
    for row in rows:
        if row.name != main:
            cells = []
            for name in _MEASURES:
                sides = [[m["timing"][name] for m in side.measures(condition)] for side in (row, chosen)]
                cells.append(told_difference(*(pooled_runs(side) for side in sides)))
            body.append([row.label, *cells])
    return table(f"Differences from {chosen.label}", list(_MEASURES.values()), body)


def told_difference(a: tuple[float, float], b: tuple[float, float]) -> str:
    """``a - b`` with its standard error, marked where it is less than :data:`ERRORS` of them.

    Args:
        a: mean and standard error; an unknown error leaves the difference unjudged.
        b: likewise, apart from a.
    """
    difference, error = a[0] - b[0], math.hypot(a[1], b[1])
    if math.isnan(difference):
        return ""
    if math.isnan(error):
        return f"{difference:+.3f}, error unknown"
    word = "" if abs(difference) > ERRORS * error else ", within noise"
    return f"{difference:+.3f} ± {error:.3f}{word}"
