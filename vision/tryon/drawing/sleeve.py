"""How the studio's arms and sleeves lie in a frame.

Legend: H, W of the canvas; places in heights of the frame.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vision.tryon.drawing.cloth import LIGHT, Places
from vision.tryon.drawing.garment import Cut
from vision.tryon.drawing.motion import sleeve_end

#: Half the width of a sleeve at the shoulder, elbow and wrist, and of the arm in it.
SLEEVE_WIDTHS, ARM_WIDTHS = (0.057, 0.053, 0.044), (0.046, 0.042, 0.030)


class Limb(NamedTuple):
    """Pixels beside an arm.

    Attributes:
        along: 0 at the shoulder, 1 at the elbow, 2 at the wrist; float32, shape (H, W).
        aside: signed distance from the arm's middle, in heights of the frame.
        normal_x: direction across the arm, in the picture.
        normal_y: likewise.
    """

    along: np.ndarray
    aside: np.ndarray
    normal_x: np.ndarray
    normal_y: np.ndarray


def limb(x: np.ndarray, y: np.ndarray, joints: tuple[np.ndarray, np.ndarray, np.ndarray], side: int) -> Limb:
    """Where pixels lie along an arm and beside it; the nearer half of the arm decides.

    Args:
        x: places in the picture, float32, shape (H, W).
        y: likewise.
        joints: shoulder, elbow and wrist.
        side: of the arm; ``aside`` is above 0 on the outer side.
    """
    found = []
    for start, end in pairwise(joints):
        dx, dy = (end - start).astype(np.float32)
        length = np.hypot(dx, dy)
        t = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / length**2, 0, 1)
        off_x, off_y = x - start[0] - t * dx, y - start[1] - t * dy
        turn = np.sign(off_x * dy - off_y * dx) * side
        found.append((t, np.hypot(off_x, off_y), turn, dy / length * side, -dx / length * side))
    lower = found[1][1] < found[0][1]
    upper, fore = found
    along = np.where(lower, 1 + fore[0], upper[0])
    aside = np.where(lower, fore[1] * fore[2], upper[1] * upper[2])
    normal_x, normal_y = (np.where(lower, fore[i], upper[i]) for i in (3, 4))
    return Limb(along, aside, normal_x, normal_y)


def width_along(along: np.ndarray, widths: tuple[float, float, float]) -> np.ndarray:
    """Half the width of an arm or sleeve."""
    return np.interp(along, (0, 1, 2), widths).astype(np.float32)


def limb_light(limb: Limb, across: np.ndarray) -> np.ndarray:
    """Brightness around 1 of a round limb; ``across`` from -1 to 1."""
    up = np.sqrt(np.clip(1 - across**2, 0, 1))
    lit = across * (limb.normal_x * LIGHT[0] + limb.normal_y * LIGHT[1]) + up * LIGHT[2]
    return 0.6 + 0.5 * np.clip(lit, 0, 1)


class Sleeve(NamedTuple):
    """A sleeve and its cuff where it is rolled up.

    Attributes:
        cloth: see :class:`Places`; the cuff included.
        cuff: bool, shape (H, W).
    """

    cloth: Places
    cuff: np.ndarray


def sleeve(arm: Limb, thickness: float, cut: Cut, rolled: float) -> Sleeve:
    """One sleeve.

    Args:
        arm: of :func:`limb`.
        thickness: of the arm over the usual one.
        cut: of the garment.
        rolled: how far the sleeve is rolled up, 0 to 1.
    """
    end = sleeve_end(cut, rolled)
    width = width_along(arm.along, SLEEVE_WIDTHS) * thickness
    roll = min(1.0, 4 * rolled) if cut != "polo" else 0.0
    cuff = (arm.along > end - 0.2 * roll) & (arm.along < end)
    width = width * (1 + 0.16 * roll * cuff)
    across = arm.aside / width
    covered = (np.abs(across) < 1) & (arm.along < end)
    across = np.clip(across, -1, 1)
    light = limb_light(arm, across)
    edge = cuff & ((arm.along < end - 0.2 * roll + 0.035) | (arm.along > end - 0.03))
    light = np.where(edge & (roll > 0), light * 0.8, light)
    return Sleeve(Places(covered, 0.5 + 0.5 * across, arm.along / 2, light), cuff & covered)
