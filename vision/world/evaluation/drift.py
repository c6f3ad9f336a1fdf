"""How far the frames of a long stream are from recorded ones, and whether sticks still act in it.

Legend: N frames, T frames of a stream, W worlds beside each other, H height, w width, D features.
"""

import numpy as np
import torch
from torch import Tensor

from vision.metrics.frechet import frechet_distance
from vision.metrics.saturation import picture_statistics
from vision.metrics.statistics import FeatureStatistics

#: Cells a side of which a frame's features are means.
CELLS = 4
#: Frames of a bin.
BIN = 100
# Displacements that are tried, as a share of the width; what the weapon covers is left out.
_FARTHEST, _ABOVE_WEAPON = 0.25, 0.65


def frame_features(frames: np.ndarray) -> np.ndarray:
    """What a frame looks like from afar, and where it has detail.

    Args:
        frames: uint8, shape (N, H, w, 3), sides that :data:`CELLS` divides.

    Returns:
        float32, shape (N, 64): means of the three colours, and of the size of the gradient of the brightness,
        in 4 x 4 cells; in [0, 1].
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    maps = torch.cat([pixels, _gradient(pixels)[:, None]], 1)
    size = (frames.shape[1] // CELLS, frames.shape[2] // CELLS)
    return torch.nn.functional.avg_pool2d(maps, size).flatten(1).numpy()


def distance(features: np.ndarray, reference: np.ndarray) -> float:
    """Fréchet distance of two sets of features, each feature in units of its deviation in the reference.

    Args:
        features: shape (N, D), N > D.
        reference: likewise; of recorded frames.
    """
    deviation = reference.std(0) + 1e-6
    sides = []
    for values in (features, reference):
        side = FeatureStatistics(values.shape[1])
        side.update(torch.from_numpy(values / deviation))
        sides.append(side)
    return frechet_distance(*sides)


def sharpness(frames: np.ndarray) -> float:
    """Mean squared gradient of the brightness of uint8 (N, H, w, 3)."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    return float(_gradient(pixels).square().mean())


def saturation(frames: np.ndarray) -> float:
    """Share of the values of uint8 (N, H, w, 3) at the ends of the range."""
    return float(picture_statistics(torch.from_numpy(frames).permute(0, 3, 1, 2))["saturated"].mean())


def displacement(frames: np.ndarray) -> int:
    """Pixels by which the picture moves to the left from frame to frame, one number for all; negative: right.

    The one with the smallest mean squared difference of neighbouring frames where they overlap, above the
    weapon.

    Args:
        frames: uint8, shape (T, H, w, 3), T at least 2.
    """
    height, width = frames.shape[1:3]
    values = frames[:, : int(_ABOVE_WEAPON * height)].astype(np.float32)
    before, after = values[:-1], values[1:]
    most = int(_FARTHEST * width)

    def mismatch(d: int) -> float:
        if d < 0:
            return float(((after[:, :, -d:] - before[:, :, :d]) ** 2).mean())
        return float(((before[:, :, d:] - after[:, :, : width - d]) ** 2).mean())

    return min(range(-most, most + 1), key=lambda d: (mismatch(d), abs(d)))


def _gradient(pixels: Tensor) -> Tensor:
    """Size of the gradient of the brightness, (N, H, w) of (N, 3, H, w); 0 in the last row and column."""
    grey = pixels.mean(1)
    across = torch.nn.functional.pad(grey.diff(dim=2), (0, 1))
    down = torch.nn.functional.pad(grey.diff(dim=1), (0, 0, 0, 1))
    return (across.square() + down.square()).sqrt()
