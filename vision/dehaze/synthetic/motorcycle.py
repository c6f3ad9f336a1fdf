"""A photograph with measured depth that is always there: scikit-image's stereo pair.

Middlebury 2014, "Motorcycle" (Scharstein et al. 2014), at a quarter of its size.
"""

import numpy as np
import torch

from vision.dehaze.synthetic.scene import Scene, relative_depth

_FOCAL_LENGTH = 994.978  # pixels
_BASELINE = 0.193001  # metres
_PRINCIPAL_POINTS_APART = 31.086  # pixels


def motorcycle_depth(disparity: np.ndarray) -> np.ndarray:
    """Depth in metres of a disparity in pixels: Z = f B / (d + doffs); NaN where the disparity is unknown."""
    known = np.isfinite(disparity) & (disparity > 0)
    return np.where(
        known, _FOCAL_LENGTH * _BASELINE / (np.where(known, disparity, 1) + _PRINCIPAL_POINTS_APART), np.nan
    )


def motorcycle_scene() -> Scene:
    """The left picture, 500 x 741, with its depth."""
    from skimage.data import stereo_motorcycle

    left, _, disparity = stereo_motorcycle()
    clear = torch.from_numpy(left.copy()).permute(2, 0, 1).float() / 255
    return Scene("motorcycle", clear, relative_depth(motorcycle_depth(disparity), "motorcycle"))
