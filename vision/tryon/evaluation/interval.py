"""When a made clip shows an action: the interval whose course over the frames is nearest to what is seen.

Legend: T frames, N intervals. Intervals are inclusive at both ends.
"""

from functools import lru_cache

import numpy as np

from vision.tryon.drawing.actions import Action
from vision.tryon.evaluation.effect import SPRINGING, STEPWISE, LevelErrors

Interval = tuple[int, int]
# An interval counts as seen where it explains this share of what its action would change in full: an effect
# of about half its strength.
_LEAST_GAIN = 0.1


def course(name: str, interval: Interval, frames: int, steps: int | None = None) -> np.ndarray:
    """Level of an action in each frame, shape (T,): rises and falls, or rises and stays.

    Args:
        name: of the action.
        interval: when.
        frames: T.
        steps: in which it goes on; None goes smoothly.
    """
    action = Action(name, *interval, side=1)
    level = action.strength if name in SPRINGING else action.progress
    levels = np.array([level(frame) for frame in range(frames)])
    return levels if steps is None else np.ceil(levels * steps - 1e-6) / steps


@lru_cache(maxsize=8)
def _courses(springing: bool, frames: int, steps: int | None) -> tuple[np.ndarray, np.ndarray]:
    """All intervals (N, 2) and their courses (N, T)."""
    name = SPRINGING[0] if springing else "zip"
    intervals = [(first, last) for first in range(frames) for last in range(first, frames)]
    return np.array(intervals), np.stack([course(name, interval, frames, steps) for interval in intervals])


def shown_interval(name: str, errors: LevelErrors, commanded: Interval) -> Interval | None:
    """The interval whose course is nearest to a made clip in the sum of squares; None where none is seen.

    Of intervals that look alike (buttons close one by one) it is the one nearest to the command.

    Args:
        name: of the action.
        errors: of the clip's frames from the action's levels.
        commanded: when it was told to happen.
    """
    frames = len(errors.own)
    intervals, courses = _courses(
        name in SPRINGING, frames, len(errors.levels) - 1 if name in STEPWISE else None
    )
    costs = errors.at(courses).sum(1)
    resting = errors.at(np.zeros(frames)).sum()
    alike = np.flatnonzero(costs <= costs.min() + 1e-6 * (1 + abs(resting)))
    best = max(alike, key=lambda n: temporal_iou(tuple(intervals[n]), commanded))
    least = _LEAST_GAIN * errors.from_rest(courses[best]).sum()
    if resting - costs[best] < least or resting <= costs[best]:
        return None
    first, last = intervals[best]
    return int(first), int(last)


def temporal_iou(a: Interval | None, b: Interval) -> float:
    """Frames in both over frames in either; 0 where there is no first one."""
    if a is None:
        return 0.0
    both = min(a[1], b[1]) - max(a[0], b[0]) + 1
    either = max(a[1], b[1]) - min(a[0], b[0]) + 1
    return max(0, both) / (either if both > 0 else (a[1] - a[0] + 1) + (b[1] - b[0] + 1))


def boundary_error(a: Interval, b: Interval) -> float:
    """Frames between the two beginnings and between the two ends, their mean."""
    return (abs(a[0] - b[0]) + abs(a[1] - b[1])) / 2


def effect_by_frame(name: str, levels: np.ndarray) -> np.ndarray:
    """How much of an effect falls on each frame, shape (T,).

    Of what springs back the level itself, of what stays the size of its change since the frame before.

    Args:
        name: of the action.
        levels: of each frame, shape (T,).
    """
    if name in SPRINGING:
        return levels
    return np.abs(np.diff(levels, prepend=0.0))


def effect_outside(name: str, levels: np.ndarray, commanded: Interval) -> tuple[float, float]:
    """What of an effect falls on frames outside a command, and all of it."""
    shown = effect_by_frame(name, levels)
    inside = shown[commanded[0] : commanded[1] + 1].sum()
    return float(shown.sum() - inside), float(shown.sum())
