"""Hazy photographs and videos from folders.

Legend: H height, W width.
"""

from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from torch import Tensor

from vision.media import UnreadableImageError, read_image, to_tensor
from vision.media.image import READABLE_SUFFIXES
from vision.media.video import VIDEO_SUFFIXES


def find_pictures(place: Path | str) -> list[Path]:
    """The pictures of a flat folder, in the order of their names; a file is a list of itself.

    Files that are no pictures by their ending, hidden files and subfolders are passed over.

    Raises:
        ValueError: there is no such place, or no picture in it.
    """
    return _found(Path(place), READABLE_SUFFIXES, "pictures such as .png or .jpg")


def find_pictures_and_videos(place: Path | str) -> tuple[list[Path], list[Path]]:
    """As :func:`find_pictures`, for pictures and for videos, of which one may be missing."""
    found = _found(Path(place), READABLE_SUFFIXES | VIDEO_SUFFIXES, "pictures or videos such as .png or .mp4")
    pictures = [path for path in found if path.suffix.lower() in READABLE_SUFFIXES]
    return pictures, [path for path in found if path.suffix.lower() in VIDEO_SUFFIXES]


def read_pixels(path: Path | str) -> Tensor:
    """A picture of any kind as raw pixels.

    Turned upright (EXIF), grey repeated three times, transparency laid over white, 16 bits rounded to 8.

    Returns:
        In [0, 1], float32, shape (3, H, W).

    Raises:
        UnreadableImageError: it is no picture, or it is damaged.
    """
    return to_tensor(read_image(path)).float() / 255


def read_each(paths: Iterable[Path], bad: list[str]) -> Iterator[tuple[Path, Tensor]]:
    """Reads pictures one after the other; those that cannot be read are named in ``bad``, a line each."""
    for path in paths:
        try:
            pixels = read_pixels(path)
        except UnreadableImageError as error:
            bad.append(str(error))
            continue
        yield path, pixels


def _found(place: Path, suffixes: Container[str], expected: str) -> list[Path]:
    def wanted(path: Path) -> bool:
        return path.suffix.lower() in suffixes

    if place.is_file():
        if not wanted(place):
            raise ValueError(f"{place} is of another kind; expected {expected}")
        return [place]
    if not place.is_dir():
        raise ValueError(f"{place} does not exist; give a folder or a file with {expected}")
    paths = sorted(p for p in place.iterdir() if p.is_file() and wanted(p) and not p.name.startswith("."))
    if not paths:
        raise ValueError(f"{place} holds no {expected}; files in subfolders are not read")
    return paths
