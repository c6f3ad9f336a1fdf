"""Hazy photographs and videos from folders.

Legend: H height, W width.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from PIL import Image
from torch import Tensor

from vision.media import UnreadableImageError, read_image, to_tensor

VIDEO_ENDINGS = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"))


def is_picture(path: Path) -> bool:
    """Whether a file's ending is one of a picture that Pillow reads."""
    Image.init()
    ending = path.suffix.lower()
    return ending in Image.EXTENSION and ending not in VIDEO_ENDINGS


def find_pictures(place: Path | str) -> list[Path]:
    """The pictures of a flat folder, in the order of their names; a file is a list of itself.

    Files that are no pictures by their ending, hidden files and subfolders are passed over.

    Raises:
        ValueError: there is no such place, or no picture in it.
    """
    return _found(Path(place), is_picture, "pictures such as .png or .jpg")


def find_videos(place: Path | str) -> list[Path]:
    """As :func:`find_pictures`, for videos; read them with :func:`vision.media.read_video`."""
    return _found(Path(place), lambda path: path.suffix.lower() in VIDEO_ENDINGS, "videos such as .mp4")


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


def _found(place: Path, wanted: Callable[[Path], bool], expected: str) -> list[Path]:
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
