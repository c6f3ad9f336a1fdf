"""How the studio's cloth lies in a frame: which pixels it covers, and which point of the garment each shows.

Legend: H, W of the canvas. A place of cloth is (u, v) of a texture of vision.tryon.drawing.garment.
Everything is computed backwards, from the pixel to the cloth, so that it is exact at any size.
"""

from typing import NamedTuple

import cv2
import numpy as np

from vision.tryon.drawing.actions import ClothState
from vision.tryon.drawing.figure import CLOTH_HEM, CLOTH_TOP, PELVIS, Body, Figure, rotation
from vision.tryon.drawing.garment import BUTTONS, Cut

_EASE = 0.012
#: Where the light comes from: left, above and in front.
LIGHT = np.array([-0.42, -0.45, 0.79])


class Places(NamedTuple):
    """Pixels of a part of the garment.

    Attributes:
        covered: bool, shape (H, W).
        u: float32, shape (H, W), where covered.
        v: likewise.
        light: brightness around 1, likewise.
    """

    covered: np.ndarray
    u: np.ndarray
    v: np.ndarray
    light: np.ndarray


class Front(NamedTuple):
    """The body of the garment, and what is seen through its opening.

    Attributes:
        cloth: see :class:`Places`.
        opening: bool, shape (H, W).
        height: v of the lowest point of the opening.
    """

    cloth: Places
    opening: np.ndarray
    height: float


def opening_height(cut: Cut, closed: float) -> float:
    """v down to which a front is open."""
    rows = BUTTONS[cut]
    if not rows:
        return 0.94 - 0.86 * closed
    shut = round(closed * len(rows))
    return 0.03 if shut == len(rows) else rows[len(rows) - 1 - shut] + 0.06


def front(x: np.ndarray, y: np.ndarray, figure: Figure, body: Body, cut: Cut, state: ClothState) -> Front:
    """The body of the garment.

    Args:
        x: local places of the pixels (:meth:`local`), float32, shape (H, W).
        y: likewise.
        figure: who wears it.
        body: of the frame.
        cut: of the garment.
        state: how it is worn.
    """
    folds = np.zeros_like(x)
    pulled_x = x
    for side in (-1, 1):
        pull = state.pull[side]
        if pull > 0:
            far_x, far_y = x - side * (0.06 + 0.1 * pull), y - 0.56
            near = np.exp(-(far_x**2 + far_y**2) / (2 * 0.085**2))
            pulled_x = pulled_x - side * 0.1 * pull * near
            folds += pull * 0.3 * near * np.sin(14 * np.arctan2(far_y, far_x))
    hem = np.full_like(x, CLOTH_HEM)
    for side in (-1, 1):
        if state.lift[side] > 0:
            raised = 0.2 * state.lift[side] * np.exp(-(((x - side * 0.075) / 0.1) ** 2))
            hem = np.minimum(hem, CLOTH_HEM - raised)
            folds += raised * np.sin(90 * x) * np.clip((y - 0.55) * 6, 0, 1)
    half = figure.half_width(y) + _EASE
    across = pulled_x / half
    top = CLOTH_TOP + 0.012 + 0.045 * (x / figure.shoulder) ** 2
    neck = (x / 0.06) ** 2 + ((y - CLOTH_TOP) / 0.05) ** 2 < 1
    covered = (np.abs(across) < 1) & (y > top) & (y < hem) & ~neck
    across = np.clip(across, -1, 1)
    middle = (CLOTH_TOP + CLOTH_HEM) / 2
    low = np.clip(y, middle, None)
    v = (np.minimum(y, middle) - CLOTH_TOP) / (CLOTH_HEM - CLOTH_TOP)
    v = v + 0.5 * (low - middle) / (hem - middle)
    u = 0.5 + 0.5 * (across - 0.3 * body.yaw * (1 - across**2))
    depth = opening_height(cut, state.closed)
    widest, reach = (0.17, 0.55) if cut == "jacket" else (0.15, 0.4)
    gap = widest * np.clip((depth - v) / reach, 0, 1) ** 0.75
    aside = u - 0.5
    opening = covered & (np.abs(aside) < gap)
    edge = np.exp(-(((np.abs(aside) - gap) / 0.035) ** 2)) * (gap > 0.01)
    u = 0.5 + np.sign(aside) * np.clip(np.abs(aside) - gap, 0, None) * 0.5 / (0.5 - gap)
    bow = np.sqrt(np.clip(1 - (0.92 * across) ** 2, 0, 1))
    light = 0.62 + 0.46 * np.clip(LIGHT[0] * 0.92 * across + LIGHT[2] * bow - LIGHT[1] * 0.25, 0, 1.2)
    light = light * (1 + folds) - 0.18 * edge
    return Front(Places(covered & ~opening, u, np.clip(v, 0, 1), light), opening, depth)


def local(x: np.ndarray, y: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """The local places of places in the picture; the inverse of :meth:`Body.to_picture`."""
    turn = rotation(-body.lean)
    dx, dy = x - PELVIS[0] - body.shift[0], y - PELVIS[1] - body.shift[1]
    there_x = turn[0, 0] * dx + turn[0, 1] * dy + PELVIS[0]
    there_y = turn[1, 0] * dx + turn[1, 1] * dy + PELVIS[1]
    return there_x.astype(np.float32), there_y.astype(np.float32)


def collar_flaps(state: ClothState) -> dict[int, np.ndarray]:
    """The corners of the collar at each side, local, shape (4, 2), lying down or standing up."""
    flaps = {}
    for side in (-1, 1):
        up = state.collar[side]
        down = np.array([[0.066, 0.258], [0.010, 0.345], [0.070, 0.408], [0.130, 0.330]])
        stood = np.array([[0.05, 0.258], [0.02, 0.348], [0.120, 0.310], [0.112, 0.178]])
        flaps[side] = (down + up * (stood - down)) * (side, 1)
    return flaps


def flap_places(corners: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of a collar's flap and the map from pixels to its unit square.

    Args:
        corners: in pixels, shape (4, 2).
        shape: of the canvas.

    Returns:
        bool, shape (H, W), and the homography, shape (3, 3).
    """
    drawn = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.round(corners * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return drawn > 0, cv2.getPerspectiveTransform(corners.astype(np.float32), square)
