"""Pairs of a hazy and a clear picture, in RESIDE's layout.

Legend: N pairs, H height, W width.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from vision.dehaze.picture_files import find_pictures, read_pixels

_CLEAR_FOLDERS = ("clear", "gt", "GT")


class Pair(NamedTuple):
    """Files of one pair."""

    hazy: Path
    clear: Path


class ClearPictures:
    """The clear versions of hazy pictures, found by name: of ``ID_anything.ext`` it is ``ID.ext``.

    Args:
        folder: flat.

    Raises:
        ValueError: no such folder, or no picture in it.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._by_stem: dict[str, list[Path]] = {}
        for path in find_pictures(self.folder):
            self._by_stem.setdefault(path.stem, []).append(path)

    def of(self, hazy: Path) -> Path:
        """The clear version of a picture; ValueError unless there is exactly one."""
        # A whole name first: where clear pictures have underscores too.
        identity = hazy.stem.partition("_")[0]
        found = self._by_stem.get(hazy.stem) or self._by_stem.get(identity) or []
        if len(found) != 1:
            number = "no clear picture" if not found else f"{len(found)} clear pictures"
            raise ValueError(f"{hazy}: {number} {self.folder / identity}.*")
        return found[0]


def border_of(hazy: tuple[int, int], clear: tuple[int, int], names: tuple[Path, Path]) -> int:
    """How many pixels a clear picture is wider than its hazy one at all sides, as in SOTS.

    Args:
        hazy, clear: height and width.
        names: of both, for the error.

    Raises:
        ValueError: the sizes are those of no pair.
    """
    down, across = (a - b for a, b in zip(clear, hazy, strict=True))
    if down != across or down < 0 or down % 2:
        raise ValueError(
            f"{names[0]} is {hazy[0]} x {hazy[1]} and {names[1]} {clear[0]} x {clear[1]} (height x width); a "
            "pair has one size"
        )
    return down // 2


class HazePairs:
    """``hazy/ID_anything.ext`` beside ``clear/ID.ext`` (or ``gt/``).

    Several hazy pictures may share a clear one.

    Args:
        folder: with ``hazy`` and ``clear`` in it, for instance a data set's ``train``.

    Attributes:
        pairs: in the order of the hazy pictures' names; the length of this object is theirs.
        bad: a line on each picture that is left out, and why; :meth:`each` adds to it.

    Raises:
        ValueError: no such folders, or no pair in them.
    """

    def __init__(self, folder: Path | str) -> None:
        folder = Path(folder)
        clear_folder = next((folder / n for n in _CLEAR_FOLDERS if (folder / n).is_dir()), None)
        if clear_folder is None or not (folder / "hazy").is_dir():
            inside = [name for name in ("train", "test") if (folder / name / "hazy").is_dir()]
            hint = f"; give {folder / inside[0]}" if inside else ""
            raise ValueError(f"{folder} holds no pairs: expected the folders hazy and clear in it{hint}")
        clear = ClearPictures(clear_folder)
        self.pairs: list[Pair] = []
        self.bad: list[str] = []
        for path in find_pictures(folder / "hazy"):
            try:
                self.pairs.append(Pair(path, clear.of(path)))
            except ValueError as error:
                self.bad.append(str(error))
        if not self.pairs:
            raise ValueError(
                f"{folder}: none of {len(self.bad)} hazy pictures has a clear one; {self.bad[0]}. Expected "
                "hazy/ID_anything.png beside clear/ID.png"
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """The hazy and the clear picture, raw pixels in [0, 1], float32, each of shape (3, H, W).

        A clear picture that is wider by the same number of pixels at all sides, as in SOTS, is cut.

        Raises:
            UnreadableImageError: a file is damaged.
            ValueError: the two have different sizes.
        """
        files = self.pairs[index]
        hazy, clear = read_pixels(files.hazy), read_pixels(files.clear)
        height, width = hazy.shape[1:]
        border = border_of((height, width), (clear.shape[1], clear.shape[2]), files)
        return hazy, clear[:, border : border + height, border : border + width]

    def each(self) -> Iterator[tuple[Pair, Tensor, Tensor]]:
        """All pairs one after the other; those that cannot be read are named in :attr:`bad`."""
        for index, files in enumerate(self.pairs):
            try:
                hazy, clear = self.read(index)
            except ValueError as error:
                self.bad.append(str(error))
                continue
            yield files, hazy, clear
