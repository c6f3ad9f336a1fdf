"""How many grey levels a picture uses.

Legend: H height, W width.
"""

import numpy as np
from torch import Tensor

from vision.media.image import to_bytes


def entropy(pixels: Tensor) -> float:
    """Shannon entropy of a picture's grey levels in bits: -sum p log2 p over the 256 bins of its histogram.

    Grey is 0.2989 R + 0.587 G + 0.114 B, rounded.

    Args:
        pixels: uint8, or floats in [-1, 1], shape (3, H, W), any size from 1 x 1.

    Returns:
        From 0 (one level) to 8 (all levels alike).
    """
    if pixels.ndim != 3 or len(pixels) != 3 or not pixels.numel():
        raise ValueError(f"entropy needs a picture (3, H, W), found shape {tuple(pixels.shape)}")
    red, green, blue = to_bytes(pixels).numpy().astype(np.float64)
    grey = np.rint(0.2989 * red + 0.5870 * green + 0.1140 * blue).astype(np.int64)
    counts = np.bincount(grey.ravel(), minlength=256)
    share = counts[counts > 0] / grey.size
    return float(0 - (share * np.log2(share)).sum())
