"""Points of body and hands over the frames of a video, with short gaps closed.

Legend: F frames.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def closed_gaps(track: Sequence[np.ndarray | None], most: int = 4) -> list[np.ndarray | None]:
    """A track with its short gaps filled by linear interpolation.

    Args:
        track: points in each frame, all of one shape; None where they were not found.
        most: longer gaps, and those at both ends, stay.

    Returns:
        A list of F.
    """
    known = [frame for frame, points in enumerate(track) if points is not None]
    filled = list(track)
    for before, after in pairwise(known):
        start, end = track[before], track[after]
        assert start is not None
        assert end is not None
        if after - before - 1 <= most:
            for frame in range(before + 1, after):
                filled[frame] = start + (frame - before) / (after - before) * (end - start)
    return filled


def held_ends(track: Sequence[np.ndarray | None]) -> tuple[list[np.ndarray], list[int]]:
    """A track whose gaps hold the nearest known points.

    Args:
        track: points in each frame, of which at least one is known.

    Returns:
        The track, and the frames that were filled.
    """
    known = np.array([frame for frame, points in enumerate(track) if points is not None])
    whole, filled = [], []
    for frame, points in enumerate(track):
        if points is None:
            filled.append(frame)
            points = track[known[np.abs(known - frame).argmin()]]
        assert points is not None
        whole.append(points)
    return whole, filled


def as_ranges(frames: Sequence[int]) -> str:
    """Frames in words: "0-3, 7"."""
    ranges: list[list[int]] = []
    for frame in frames:
        if ranges and frame == ranges[-1][1] + 1:
            ranges[-1][1] = frame
        else:
            ranges.append([frame, frame])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
