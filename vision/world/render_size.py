"""The picture that the engine draws for a size that it does not offer."""

import cv2
import numpy as np
import vizdoom


def render_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the engine's smallest picture that covers a size.

    Raises:
        ValueError: the engine offers none.
    """
    offered = [_parsed(name) for name in vizdoom.ScreenResolution.__members__]
    covering = [size for size in offered if size[0] >= height and size[1] >= width]
    if height < 1 or width < 1 or not covering:
        largest = max(offered, key=np.prod)
        raise ValueError(
            f"the engine draws pictures of 1 x 1 to {largest[0]} x {largest[1]} (height x width), "
            f"found {height} x {width}"
        )
    return min(covering, key=lambda size: (np.prod(size), size))


def resolution(height: int, width: int) -> vizdoom.ScreenResolution:
    """The engine's name of a size that :func:`render_size` gave."""
    return vizdoom.ScreenResolution.__members__[f"RES_{width}X{height}"]


def fit(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cuts out the centre at the aspect of ``height`` x ``width`` and averages it down by area.

    Args:
        picture: uint8 or float32, shape (H, W, 3) or (H, W), at least of the size asked for.

    Returns:
        A copy of the same type, shape (height, width, 3) or (height, width).
    """
    scale = min(picture.shape[0] / height, picture.shape[1] / width)
    rows, columns = round(height * scale), round(width * scale)
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    cut = picture[top : top + rows, left : left + columns]
    if cut.shape[:2] == (height, width):
        return cut.copy()
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)


def _parsed(name: str) -> tuple[int, int]:
    width, height = name.removeprefix("RES_").split("X")
    return int(height), int(width)
