"""Clear pictures with depth.

Legend: H height, W width.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor


@dataclass(frozen=True)
class Scene:
    """A clear picture and how far away each of its pixels is.

    Attributes:
        name: unique in a data set.
        clear: in [0, 1], float32, shape (3, H, W).
        depth: relative, in [0, 1], float32, shape (1, H, W); see :func:`relative_depth`.
    """

    name: str
    clear: Tensor
    depth: Tensor


def relative_depth(depth: np.ndarray, name: str) -> Tensor:
    """Depth in units of the farthest point; unknown pixels take the depth of the nearest known one.

    Args:
        depth: in any unit, shape (H, W); values of 0 or below, infinite ones and NaN are unknown.
        name: for the error.

    Returns:
        In (0, 1], float32, shape (1, H, W).

    Raises:
        ValueError: another shape, or no depth is known.
    """
    values = np.asarray(depth, np.float64)
    if values.ndim != 2:
        raise ValueError(f"{name}: depth has shape {values.shape}, expected (height, width)")
    known = np.isfinite(values) & (values > 0)
    if not known.any():
        raise ValueError(f"{name}: no pixel has a depth above 0")
    if not known.all():
        nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
        values = values[tuple(nearest)]  # type: ignore[arg-type]
    return torch.from_numpy((values / values.max()).astype(np.float32))[None]
