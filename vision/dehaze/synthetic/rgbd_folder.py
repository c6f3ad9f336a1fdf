"""Clear pictures with depth from a user's folder.

Legend: H height, W width.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from vision.dehaze.picture_files import find_pictures, read_pixels
from vision.dehaze.synthetic.scene import Scene, relative_depth

DEPTH_ENDINGS = (".npy", ".png", ".tiff", ".tif")


def find_rgbd(folder: Path | str) -> list[tuple[Path, Path]]:
    """Pictures ``clear/NAME.ext`` with their depth ``depth/NAME.ext``, in the order of their names.

    Raises:
        ValueError: no such folders, or no picture. A picture without depth is found by :func:`read_rgbd`.
    """
    folder = Path(folder)
    for name in ("clear", "depth"):
        if not (folder / name).is_dir():
            raise ValueError(
                f"{folder} has no folder {name!r}; expected clear/NAME.png (or .jpg) beside depth/NAME.png"
            )
    pairs = []
    for picture in find_pictures(folder / "clear"):
        candidates = [folder / "depth" / f"{picture.stem}{ending}" for ending in DEPTH_ENDINGS]
        pairs.append((picture, next((path for path in candidates if path.is_file()), candidates[1])))
    return pairs


def read_rgbd(picture: Path, depth: Path) -> Scene:
    """One picture with its depth, in any unit, 0 or NaN where it is not known.

    Args:
        picture: of any format that Pillow reads.
        depth: .npy, .png (8 or 16 bits) or .tiff with one channel, as large as the picture.

    Raises:
        ValueError: a file is missing or damaged, or the two have different sizes.
    """
    clear = read_pixels(picture)
    values = _read_depth(depth)
    if values.shape != clear.shape[1:]:
        raise ValueError(
            f"{depth} has shape {values.shape} and {picture} {tuple(clear.shape[1:])} (height, width); a "
            "picture and its depth have one size, before any rotation that the camera noted"
        )
    return Scene(picture.stem, clear, relative_depth(values, str(depth)))


def _read_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:  # which advises to trust the file
        raise ValueError(f"{path}: no array of numbers as numpy.save writes it, or a damaged one") from error


def _read_depth(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".npy":
            return _read_array(path)
        with Image.open(path) as opened:
            opened.load()
            if len(opened.getbands()) != 1 or opened.mode == "P":
                raise ValueError(f"{path} has mode {opened.mode}; depth has one channel")
            return np.array(opened, np.float64)
    except (OSError, EOFError, SyntaxError) as error:
        raise ValueError(f"{path}: no depth can be read ({error})") from error
