"""Where the studio paints its frames.

Legend: H height, W width of the frames in pixels; the canvas has ``samples`` pixels a pixel and side.
"""

from collections.abc import Sequence

import cv2
import numpy as np

#: The widest picture of the flat garment, in heights of the frame, fits frames from 3 : 4 on.
ASPECT = 0.75


class Canvas:
    """Where frames of one size are painted.

    Args:
        height: H.
        width: W.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.samples = 3 if height <= 128 else 2
        rows, columns = height * self.samples, width * self.samples
        #: Pixels of the canvas in a height of the frame of people.
        self.scale = min(rows, columns / ASPECT)
        self.shape = (rows, columns)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        # What is cut off or left free in wide or high frames lies at the sides and on top.
        self.x = (x + 0.5 - columns / 2) / self.scale
        self.y = (y + 0.5 - (rows - self.scale)) / self.scale

    def to_pixels(self, places: np.ndarray) -> np.ndarray:
        """Pixels of the frame, shape (..., 2), of places."""
        rows, columns = self.shape
        return (places * self.scale + (columns / 2, rows - self.scale)) / self.samples

    def window(self, joints: Sequence[np.ndarray]) -> tuple[slice, slice]:
        """Rows and columns of the canvas in which an arm and its sleeve lie."""
        places = self.to_pixels(np.stack(joints)) * self.samples
        margin = 0.1 * self.scale
        low = np.clip(places.min(0) - margin, 0, None).astype(int)
        high = np.clip(places.max(0) + margin, 1, None).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def reduced(self, canvas: np.ndarray) -> np.ndarray:
        """The frame, uint8 (H, W, 3), of a canvas with values in [0, 1]."""
        small = cv2.resize(canvas, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.round(255 * np.clip(small, 0, 1)).astype(np.uint8)

    def landmarks(self, places: np.ndarray) -> np.ndarray:
        """Points in space (..., 3) in pixels of the frame."""
        depth = places[..., 2:] * self.scale / self.samples
        return np.concatenate([self.to_pixels(places[..., :2]), depth], axis=-1)
