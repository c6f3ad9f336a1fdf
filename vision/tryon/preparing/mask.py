"""The agnostic mask of a real person: where a garment may be, from body points and the person's outline.

Legend: H height, W width in pixels; 18 body points as in vision.tryon.skeleton.
"""

from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

Part = Literal["upper", "lower", "dress"]
PARTS: tuple[Part, ...] = ("upper", "lower", "dress")
_ARMS = ((2, 3, 4), (5, 6, 7))
_LEGS = ((8, 9, 10), (11, 12, 13))
#: Points less visible than this lie behind something or out of the picture.
_VISIBLE = 0.3


def agnostic_mask(
    body: np.ndarray, hands: list[np.ndarray], person: np.ndarray, part: Part = "upper"
) -> np.ndarray:
    """Where pixels are to be generated.

    A band of the body that a garment of this part covers, arms or legs, and hands, all wider than the body,
    and what else of the person's outline lies beside that band; without the face. It is wide on purpose, so
    that the garment that was worn does not show in its shape.

    Args:
        body: (x, y, visibility), shape (18, 3).
        hands: landmarks, shape (21, 2 or more) each.
        person: how surely a pixel is of the person, shape (H, W).
        part: "upper" from the neck to below the hips with the arms, "lower" from the waist down with the
            legs, "dress" both.

    Returns:
        bool, shape (H, W).
    """
    height, width = person.shape
    drawn = np.zeros((height, width), np.uint8)
    points, seen = body[:, :2], body[:, 2] >= _VISIBLE
    shoulders, hips = points[[2, 5]], points[[8, 11]]
    # Seen from the side shoulders are narrow; a trunk is one and a half times as long as they are wide.
    trunk = np.linalg.norm(hips.mean(0) - shoulders.mean(0))
    size = float(max(np.linalg.norm(shoulders[0] - shoulders[1]), 0.6 * trunk, 1.0))
    down = (hips.mean(0) - shoulders.mean(0)) / max(trunk, 1e-6)
    if part in ("upper", "dress"):
        outline = np.concatenate([shoulders - 0.12 * size * down, hips[::-1] + 0.3 * size * down])
        _area(drawn, outline)
        _line(drawn, outline, 0.36 * size, closed=True)
        for arm in _ARMS:
            _limb(drawn, points, seen, arm, 0.42 * size)
        for hand in hands:
            hull = cv2.convexHull(np.round(hand[:, :2]).astype(np.int32))
            cv2.fillConvexPoly(drawn, hull, 1)
            cv2.polylines(drawn, [hull], True, 1, max(1, round(0.2 * size)))
    if part in ("lower", "dress"):
        waist = hips - 0.2 * size * down
        _area(drawn, np.concatenate([waist, hips[::-1] + 0.5 * size * down]))
        for leg in _LEGS:
            _limb(drawn, points, seen, leg, 0.62 * size)
    # Loose cloth of the same person beside the band.
    y, x = np.mgrid[:height, :width]
    along = (x - shoulders[:, 0].mean()) * down[0] + (y - shoulders[:, 1].mean()) * down[1]
    first = -0.1 * size if part != "lower" else trunk - 0.2 * size
    last = trunk + 0.35 * size if part == "upper" else np.inf
    outline = (person > 0.5) & (along > first) & (along < last)
    reach = max(1, round(0.1 * size)) * 2 + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    mask = cv2.dilate(np.maximum(drawn, outline.astype(np.uint8)), kernel) > 0
    return mask & ~_face(points, shoulders, size, (height, width))


def _face(points: np.ndarray, shoulders: np.ndarray, size: float, shape: tuple[int, int]) -> np.ndarray:
    """An ellipse from the nose and ears, down to the chin."""
    face = points[[0, 14, 15, 16, 17]]
    middle, up = face.mean(0), face.mean(0) - shoulders.mean(0)
    long = 0.62 * np.linalg.norm(up)
    wide = max(0.5 * np.linalg.norm(points[16] - points[17]), 0.3 * size * 0.5) * 1.25
    drawn = np.zeros(shape, np.uint8)
    angle = np.degrees(np.arctan2(up[1], up[0]))
    axes = (max(1, round(long)), max(1, round(wide)))
    cv2.ellipse(drawn, (round(middle[0]), round(middle[1])), axes, angle, 0, 360, 1, -1)
    return drawn > 0


def _limb(
    drawn: np.ndarray, points: np.ndarray, seen: np.ndarray, joints: tuple[int, int, int], thickness: float
) -> None:
    """The parts of a limb whose far end is seen."""
    for start, end in pairwise(joints):
        if not seen[end]:
            break
        _line(drawn, points[[start, end]], thickness, closed=False)


def _area(drawn: np.ndarray, corners: np.ndarray) -> None:
    cv2.fillConvexPoly(drawn, cv2.convexHull(np.round(corners).astype(np.int32)), 1)


def _line(drawn: np.ndarray, corners: np.ndarray, thickness: float, closed: bool) -> None:
    cv2.polylines(drawn, [np.round(corners).astype(np.int32)], closed, 1, max(1, round(thickness)))
