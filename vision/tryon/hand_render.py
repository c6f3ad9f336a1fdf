"""Shaded hands from 21 points in space: the hand prior, blue-grey on black, which shows no garment.

Legend: H height, W width in pixels, 21 landmarks (vision.tryon.hand_shape).
"""

from typing import NamedTuple

import numpy as np

from vision.tryon.hand_shape import BONES, LENGTH_OF_PALMS, PALM

#: HaMeR's colour of a hand, RGB in [0, 1].
HAND_COLOUR = np.array([0.651, 0.741, 0.859], np.float32)
# Radii of the landmarks in lengths of a hand.
_RADII = np.array(
    [0.105, 0.085, 0.07, 0.06, 0.048]
    + [radius * scale for scale in (1.0, 1.03, 0.98, 0.86) for radius in (0.075, 0.058, 0.052, 0.043)]
)
_EDGES = np.array(BONES + PALM)
_LIGHT = np.array([-0.45, -0.55, 0.70])
_AMBIENT = 0.3


class ShadedHand(NamedTuple):
    """One hand in a picture.

    Attributes:
        covered: bool, shape (H, W).
        brightness: float32, shape (H, W), from 0 to 1; 0 outside.
        depth: float32, shape (H, W), larger is nearer; -inf outside.
    """

    covered: np.ndarray
    brightness: np.ndarray
    depth: np.ndarray


def shade_hand(landmarks: np.ndarray, height: int, width: int) -> ShadedHand:
    """Draws a hand as round bones of changing thickness, lit from the upper left.

    Args:
        landmarks: shape (21, 3) in pixels, y downwards, z towards the viewer. Parts outside are cut off.
        height: of the picture.
        width: likewise.
    """
    points = np.asarray(landmarks, np.float32)
    covered = np.zeros((height, width), bool)
    brightness = np.zeros((height, width), np.float32)
    depth = np.full((height, width), -np.inf, np.float32)
    palms = np.linalg.norm(points[[5, 9, 13, 17]] - points[0], axis=1).max()
    radii = (_RADII * LENGTH_OF_PALMS * palms).astype(np.float32)
    low = np.floor((points[:, :2] - radii[:, None]).min(0)).astype(int).clip(0)
    high = np.ceil((points[:, :2] + radii[:, None]).max(0)).astype(int) + 1
    high = np.minimum(high, (width, height))
    if (high <= low).any():
        return ShadedHand(covered, brightness, depth)
    x = np.arange(low[0], high[0], dtype=np.float32)[None, :, None] + 0.5
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None, None] + 0.5
    starts, ends = points[_EDGES[:, 0]], points[_EDGES[:, 1]]
    along = ends - starts
    length = np.maximum((along[:, :2] ** 2).sum(1), 1e-6)
    place = ((x - starts[:, 0]) * along[:, 0] + (y - starts[:, 1]) * along[:, 1]) / length
    place = np.clip(place, 0, 1)
    dx = x - starts[:, 0] - place * along[:, 0]
    dy = y - starts[:, 1] - place * along[:, 1]
    radius = radii[_EDGES[:, 0]] + place * (radii[_EDGES[:, 1]] - radii[_EDGES[:, 0]])
    rise = radius**2 - dx**2 - dy**2
    surface = np.where(rise > 0, starts[:, 2] + place * along[:, 2] + np.sqrt(np.maximum(rise, 0)), -np.inf)
    nearest = surface.argmax(-1)[..., None]

    def of_nearest(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, nearest, -1)[..., 0]

    front, size = of_nearest(surface), of_nearest(radius)
    inside = np.isfinite(front)
    normals = (of_nearest(dx) / size, of_nearest(dy) / size, np.sqrt(np.maximum(of_nearest(rise), 0)) / size)
    lit = sum(normal * light for normal, light in zip(normals, _LIGHT, strict=True))
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    covered[window] = inside
    brightness[window] = np.where(inside, _AMBIENT + (1 - _AMBIENT) * np.clip(lit, 0, 1), 0)
    depth[window] = front
    return ShadedHand(covered, brightness, depth)


def hand_picture(hands: list[np.ndarray], height: int, width: int, samples: int = 3) -> np.ndarray:
    """The hand prior of a frame.

    Args:
        hands: landmarks of each hand, shape (21, 3), in pixels; none gives a black picture.
        height: of the picture.
        width: likewise.
        samples: a pixel is the mean of so many squared.

    Returns:
        uint8, shape (H, W, 3).
    """
    total = np.zeros((height * samples, width * samples), np.float32)
    depth = np.full(total.shape, -np.inf, np.float32)
    for landmarks in hands:
        hand = shade_hand(np.asarray(landmarks) * samples, *total.shape)
        front = hand.depth > depth
        total[front], depth[front] = hand.brightness[front], hand.depth[front]
    mean = total.reshape(height, samples, width, samples).mean((1, 3))
    return np.round(255 * mean[..., None] * HAND_COLOUR).astype(np.uint8)
