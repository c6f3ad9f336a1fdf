"""Skeletons on black in the manner of OpenPose: 18 points of the body, 21 of each hand.

Legend: 18 body points in COCO's order with a neck (nose, neck, right shoulder, elbow, wrist, left ones, right
hip, knee, ankle, left ones, right eye, left eye, right ear, left ear); right is the person's right.
"""

from functools import cache

import cv2
import numpy as np

from vision.tryon.hand_shape import BONES

#: Limbs between body points, from the neck outwards.
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
_SHIFT = 4


def draw_skeleton(body: np.ndarray | None, hands: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """The pose picture of a frame.

    Args:
        body: shape (18, 2 or more) in pixels; NaN where a point is not known; None where there is nobody.
        hands: landmarks of each hand, shape (21, 2 or more), in pixels.
        height: of the picture.
        width: likewise.

    Returns:
        uint8, shape (H, W, 3), black where nothing is.
    """
    picture = np.zeros((height, width, 3), np.uint8)
    thick, thin = max(1, round(height / 64)), max(1, round(height / 192))
    if body is not None:
        for number, (start, end) in enumerate(LIMBS):
            colour = tuple(int(0.6 * value) for value in _hue(number, len(LIMBS)))
            _line(picture, body[start, :2], body[end, :2], colour, thick)
        for number, point in enumerate(body[:, :2]):
            if np.isfinite(point).all():
                cv2.circle(
                    picture, _fixed(point), (thick << _SHIFT) * 3 // 4, _hue(number, 18), -1, 16, _SHIFT
                )
    for hand in hands:
        for number, (start, end) in enumerate(BONES):
            _line(picture, hand[start, :2], hand[end, :2], _hue(number, len(BONES)), thin)
    return picture


@cache
def _hue(number: int, count: int) -> tuple[int, int, int]:
    """A saturated colour, evenly spaced around the circle."""
    sixth = 6 * number / count
    return tuple(round(255 * float(np.clip(abs((sixth + shift) % 6 - 3) - 1, 0, 1))) for shift in (0, 4, 2))  # type: ignore[return-value]


def _line(picture: np.ndarray, start: np.ndarray, end: np.ndarray, colour: tuple, thickness: int) -> None:
    if np.isfinite(start).all() and np.isfinite(end).all():
        cv2.line(picture, _fixed(start), _fixed(end), colour, thickness, cv2.LINE_AA, _SHIFT)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    x, y = np.round((np.clip(point, -1e4, 1e4) - 0.5) * (1 << _SHIFT)).astype(int)
    return int(x), int(y)
