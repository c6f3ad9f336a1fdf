"""What a player held, as the rows that a world takes.

Legend: N rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vision.world.gamepad import BUTTONS, STICKS

_STICKS = len(STICKS)
#: A row: four sticks in [-1, 1], then six buttons 0 or 1.
WIDTH = _STICKS + len(BUTTONS)
# More changes than that between two chunks are no player's; the newest takes the place of the last one.
_MOST_CHANGES = 512


@dataclass(frozen=True)
class _Change:
    time: float
    held: np.ndarray
    stamp: float


class Controls:
    """Gathers what is held over time and gives it out as rows, the time since the last ones in equal parts.

    A row's sticks are their mean over its part of the time. A button is pressed in a row where it was pressed
    anew or held for at least half of the part: a tap is never lost. Nothing new means that all is held on.

    Args:
        now: seconds, of any clock that the other calls use too.
    """

    def __init__(self, now: float) -> None:
        self._held = np.zeros(WIDTH, np.float32)
        self._since = now
        self._changes: list[_Change] = []

    def hold(self, sticks: Sequence[float], buttons: Sequence[int], stamp: float, now: float) -> None:
        """What is held from ``now`` on.

        Args:
            sticks: four in [-1, 1].
            buttons: six, 0 or 1.
            stamp: the player's own time of it, given back with the row that it is in.
            now: seconds.
        """
        held = np.array([*sticks, *buttons], np.float32)
        if len(self._changes) == _MOST_CHANGES:
            self._changes.pop()
        self._changes.append(_Change(now, held, stamp))

    def skip(self, now: float) -> None:
        """Gives out nothing of the time before ``now``, but what is still held."""
        if self._changes:
            self._held = self._changes[-1].held
        self._changes, self._since = [], now

    def take(self, count: int, now: float) -> tuple[np.ndarray, list[float | None]]:
        """The rows of the time since the last ones.

        Args:
            count: N.
            now: seconds.

        Returns:
            float32, shape (N, 10); and for each row the stamp of the first change in it, None where there
            was none.
        """
        edges = np.linspace(self._since, now, count + 1)
        rows = np.empty((count, WIDTH), np.float32)
        stamps: list[float | None] = [None] * count
        changes = iter([*self._changes, None])
        coming = next(changes)
        for number, (start, end) in enumerate(pairwise(edges)):
            is_last = number == count - 1
            spans: list[tuple[np.ndarray, float]] = []
            pressed = np.zeros(WIDTH - _STICKS, bool)
            at = start
            while coming is not None and (coming.time < end or is_last):
                time = min(max(coming.time, at), end)
                spans.append((self._held, time - at))
                pressed |= (coming.held > self._held)[_STICKS:]
                if stamps[number] is None:
                    stamps[number] = coming.stamp
                self._held, at, coming = coming.held, time, next(changes)
            spans.append((self._held, end - at))
            rows[number] = _mean(spans)
            buttons = rows[number, _STICKS:]
            buttons[:] = pressed | (buttons >= 0.5)
        self._changes, self._since = [], now
        return rows, stamps


def _mean(spans: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """The mean over time of what was held for so many seconds each; of no time at all, the last."""
    total = sum(seconds for _, seconds in spans)
    if total <= 0:
        return spans[-1][0]
    return sum((held * (seconds / total) for held, seconds in spans), np.zeros(WIDTH, np.float32))
