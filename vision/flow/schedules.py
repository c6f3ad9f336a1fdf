"""Grids of times that a solver walks along, from 1 down to 0.

A grid is a list of N + 1 strictly decreasing times, the last of which is 0: N steps, N network calls.
"""

from collections.abc import Sequence
from itertools import pairwise

from vision.flow.shift import TimeShift, shift_time

#: The four times, before the shift, of CDM's released students (arXiv 2605.06376).
FEW_STEP_GRID = (1.0, 0.75, 0.5, 0.25)


def shifted_schedule(times: Sequence[float], shift: TimeShift | float = 1.0) -> list[float]:
    """Shifts times and appends the final 0: ``(1, .75, .5, .25)`` and 3 give ``[1, .9, .75, .5, 0]``.

    Args:
        times: N times in (0, 1], strictly decreasing, before the shift.
        shift: a static shift, or any shift of :mod:`vision.flow.shift`.
    """
    falling = all(a > b for a, b in pairwise(times))
    if not times or not falling or not all(0 < t <= 1 for t in times):
        raise ValueError(
            f"the schedule is {list(times)}; expected one or more falling times above 0, at most 1"
        )
    if isinstance(shift, (int, float)):
        return [shift_time(float(t), shift) for t in times] + [0.0]
    return [shift(float(t)) for t in times] + [0.0]


def linear_schedule(num_steps: int, shift: TimeShift | float = 1.0) -> list[float]:
    """``1, 1 - 1/N, ..., 1/N, 0``, shifted: the usual grid of a many-step model."""
    if num_steps < 1:
        raise ValueError(f"a schedule of {num_steps} steps; expected 1 or more")
    return shifted_schedule([1 - i / num_steps for i in range(num_steps)], shift)
