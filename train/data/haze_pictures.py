"""Hazy pictures in memory, with or without their clear versions.

Legend: H height, W width.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from train.data.bad_samples import report_bad
from vision.dehaze.haze_pairs import HazePairs
from vision.dehaze.picture_files import find_pictures, read_pixels
from vision.processes import process_state

#: Pictures by name, uint8 (3, H, W): "hazy" and, of pairs, "clear".
Sample = dict[str, Tensor]
# Pixels that are held in memory; what is beyond is read again from its file.
_KEPT_BYTES = 4 * 2**30
# From so many pictures on, reading shows its progress.
_LONG = 500


class HazePictures(Sequence[Sample]):
    """The readable pictures of a folder, each read once to know that it is, and held while there is room.

    Args:
        folder: of pairs, or flat.
        paired: which.
        max_bad_share: see :func:`train.data.bad_samples.report_bad`.

    Raises:
        ValueError: no such folder, no pictures, or too many that cannot be read.
    """

    def __init__(self, folder: str | Path, paired: bool, max_bad_share: float) -> None:
        self._pairs = HazePairs(folder) if paired else None
        self._paths = [] if paired else find_pictures(folder)
        count = len(self._pairs or self._paths)
        self._kept: dict[int, Sample] = {}
        self._numbers: list[int] = []
        bad = [] if self._pairs is None else list(self._pairs.bad)
        room = _KEPT_BYTES
        quiet = count < _LONG or not process_state().is_main_process
        for number in tqdm(range(count), "reading", unit="picture", disable=quiet):
            try:
                sample = self._read(number)
            except ValueError as error:
                bad.append(str(error))
                continue
            self._numbers.append(number)
            room -= sum(picture.nbytes for picture in sample.values())
            if room >= 0:
                self._kept[number] = sample
        report_bad("pairs" if paired else "pictures", bad, len(self._numbers), max_bad_share)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Sample:  # pyright: ignore[reportIncompatibleMethodOverride]
        number = self._numbers[index]
        return self._kept.get(number) or self._read(number)

    def _read(self, number: int) -> Sample:
        if self._pairs is None:
            return {"hazy": _bytes(read_pixels(self._paths[number]))}
        hazy, clear = self._pairs.read(number)
        return {"hazy": _bytes(hazy), "clear": _bytes(clear)}


def _bytes(pixels: Tensor) -> Tensor:
    return (255 * pixels).round().to(torch.uint8)
