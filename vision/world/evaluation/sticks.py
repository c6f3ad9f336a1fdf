"""Which value of a stick a world's clip looks like, by comparison with the engine's clips of all values.

Legend: S starts, K sticks, V values of the grid, C commanded values, T frames, H height, W width. Frames are
float in [0, 1].
"""

from dataclasses import dataclass

import numpy as np

from vision.metrics.pooled import Pooled

#: V values that the engine is played with, and the places among them of the C that a world is played with.
VALUES = np.linspace(-1, 1, 9)
COMMANDS = (0, 2, 6, 8)
#: Frames are judged from this one on, the fifth: before, little has happened.
FIRST_JUDGED = 4
#: Height to which frames are averaged down before they are compared: the detail that a world blurs would put
#: its frames beside the smoothest of the engine's.
HEIGHT = 32
#: Degrees that the view may have turned in a judged frame: beyond, it shows next to nothing of the first
#: frame (the picture spans 74 degrees), so that no world could know what the engine shows there.
MOST_TURNED = 60.0
#: Root mean square by which the engine's frame must differ from those of the neighbouring values, of the
#: opposite value and of the stick at rest.
SEPARABLE = 0.02
#: A clip that looks like a smaller value, either way, looks at rest and has no sign.
AT_REST = 0.05


@dataclass(frozen=True)
class StickScore:
    """Scores of one stick.

    Attributes:
        sign: share of the clips that look like a value with the commanded sign, beyond :data:`AT_REST`.
        gain: slope, through 0, of the value that a clip looks like on the commanded one.
        left_out: clips that cannot be judged, since the engine itself hardly moves (a wall, say).
    """

    sign: Pooled
    gain: Pooled
    left_out: int


def judged_frames(candidates: np.ndarray, turned: np.ndarray, command: int) -> np.ndarray:
    """The frames of a clip in which the commanded value can be told from the others, bool (T,).

    Args:
        candidates: the engine's frames for all values, shape (V, T, H, W, 3).
        turned: degrees by which the view differs from the first frame's, shape (V, T).
        command: place of the commanded value in :data:`VALUES`.
    """
    last = len(candidates) - 1
    others = {command - 1, command + 1, last - command, last // 2} & set(range(last + 1))
    judged = turned[command] <= MOST_TURNED
    judged[:FIRST_JUDGED] = False
    for other in others:
        distance = ((candidates[command] - candidates[other]) ** 2).mean((1, 2, 3)) ** 0.5
        judged &= distance >= SEPARABLE
    return judged


def estimates(clip: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """The value that each frame looks like, float64 (T,).

    That of the nearest candidate, moved towards the nearer of its neighbours: the three are weighted by the
    inverse of their squared distance.

    Args:
        clip: shape (T, H, W, 3).
        candidates: the engine's frames for all values, shape (V, T, H, W, 3).
    """
    squared = ((candidates - clip) ** 2).mean((2, 3, 4), dtype=np.float64)  # (V, T)
    found = []
    for distances in squared.T:
        nearest = int(distances.argmin())
        around = slice(max(0, nearest - 1), nearest + 2)
        weights = distances[nearest] / np.maximum(distances[around], 1e-12) if distances[nearest] else None
        found.append(VALUES[nearest] if weights is None else np.average(VALUES[around], weights=weights))
    return np.array(found)


def stick_score(clips: np.ndarray, candidates: np.ndarray, turned: np.ndarray) -> StickScore:
    """Scores of one stick over all starts.

    Args:
        clips: the world's, shape (S, C, T, H, W, 3), for the values at :data:`COMMANDS`.
        candidates: the engine's, shape (S, V, T, H, W, 3).
        turned: see :func:`judged_frames`; shape (S, V, T).
    """
    clips, candidates = _averaged(clips), _averaged(candidates)
    commands, found = [], []
    for ours, theirs, angles in zip(clips, candidates, turned, strict=True):
        for clip, command in zip(ours, COMMANDS, strict=True):
            judged = judged_frames(theirs, angles, command)
            if judged.any():
                commands.append(VALUES[command])
                found.append(np.median(estimates(clip[judged], theirs[:, judged])))
    said, looked = np.array(commands), np.array(found)
    return StickScore(
        Pooled.mean(looked * np.sign(said) > AT_REST),
        Pooled(said * looked, said**2),
        clips.shape[0] * clips.shape[1] - len(said),
    )


def _averaged(frames: np.ndarray) -> np.ndarray:
    """Frames (..., H, W, 3) in means of square cells, as many as fit, about :data:`HEIGHT` in a column."""
    *shape, height, width, colours = frames.shape
    cell = max(1, height // HEIGHT)
    rows, columns = height // cell, width // cell
    cut = frames[..., : rows * cell, : columns * cell, :]
    return cut.reshape(*shape, rows, cell, columns, cell, colours).mean((-4, -2))
