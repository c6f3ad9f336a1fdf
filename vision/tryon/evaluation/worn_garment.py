"""Which garment a made clip shows: its cloth laid flat, compared with the pictures of several garments.

Legend: T frames, H height, W width in pixels, R rows and C columns of cells, G garments.
"""

import numpy as np

from vision.tryon.drawing.rendering import MAP_SCALE

#: Pixels of a cell's side in a picture of 96 rows.
_CELL = 8
# By how much a picture may be darker or brighter than the cloth; more would make dark garments light ones.
_BRIGHTER = (0.8, 1.25)
# A cell is compared where so many pixels of the clip show it.
_LEAST_SEEN = 12


def picture_cells(picture: np.ndarray) -> np.ndarray:
    """Colour and texture of a garment's picture.

    Args:
        picture: uint8, shape (H, W, 3).

    Returns:
        float32, shape (R, C, 6): mean colour and its deviation within cells, of values in [0, 1].
    """
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([(columns + 0.5) / width, (rows + 0.5) / height], -1)
    return _cells(picture.astype(np.float32) / 255, places, picture.shape[:2])[0]


def worn_cells(frames: np.ndarray, cloth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour and texture of the cloth of a clip, laid flat as in the garment's picture.

    Args:
        frames: made, float32 in [0, 1], shape (T, H, W, 3).
        cloth: the true clip's map, shape (T, H, W, 2).

    Returns:
        As :func:`picture_cells`, and which cells are seen, bool, shape (R, C).
    """
    covered = cloth[..., 0] > 0
    places = (cloth[covered].astype(np.float32) - 1) / MAP_SCALE
    cells, count = _cells(frames[covered], places, frames.shape[1:3])
    return cells, count >= _LEAST_SEEN


def nearest_garment(frames: np.ndarray, cloth: np.ndarray, choices: np.ndarray) -> int | None:
    """The garment whose picture is nearest to what a clip shows.

    Cells that are seen are compared by the squared differences of colour and texture. The clip's brightness
    is scaled towards each picture's by a quarter at most, since worn cloth has light and folds.

    Args:
        frames: made, float32 in [0, 1], shape (T, H, W, 3).
        cloth: the true clip's map, shape (T, H, W, 2).
        choices: cells of pictures, shape (G, R, C, 6).

    Returns:
        Its number; None where too little cloth is seen.
    """
    cells, seen = worn_cells(frames, cloth)
    if not seen.any():
        return None
    own, others = cells[seen], choices[:, seen]
    brightness = np.maximum(own[:, :3].mean(), 1e-3)
    scale = others[..., :3].mean((1, 2)) / brightness
    difference = others - np.clip(scale, *_BRIGHTER)[:, None, None] * own
    return int(np.square(difference).sum((1, 2)).argmin())


def _cells(colours: np.ndarray, places: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of colours by cell, shape (R, C, 6), and how many there are, (R, C).

    Args:
        colours: float32, shape (..., 3).
        places: x and y of each in [0, 1], shape (..., 2).
        size: H and W.
    """
    side = _CELL * size[0] / 96
    rows, columns = round(size[0] / side), round(size[1] / side)
    x = np.minimum((places[..., 0] * columns).astype(int), columns - 1)
    y = np.minimum((places[..., 1] * rows).astype(int), rows - 1)
    number = (y * columns + x).ravel()
    values = colours.reshape(-1, 3).astype(np.float64)
    count = np.bincount(number, minlength=rows * columns)

    def mean(of: np.ndarray) -> np.ndarray:
        sums = [np.bincount(number, of[:, c], minlength=rows * columns) for c in range(3)]
        return np.stack(sums, -1) / np.maximum(count, 1)[:, None]

    first = mean(values)
    deviation = np.sqrt(np.clip(mean(values**2) - first**2, 0, None))
    shape = (rows, columns)
    return np.concatenate([first, deviation], -1).reshape(*shape, 6).astype(np.float32), count.reshape(shape)
