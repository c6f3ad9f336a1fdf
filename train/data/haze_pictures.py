"""Hazy pictures in memory, with or without their clear versions.

Legend: H height, W width.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from train.data.bad_samples import report_bad
from vision.dehaze.haze_pairs import HazePairs
from vision.dehaze.picture_files import find_pictures_and_videos, read_pixels
from vision.media.video import UnreadableVideoError, read_frames
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
        video_every: of videos in a flat folder, every so many frames one is a picture.

    Raises:
        ValueError: no such folder, no pictures, or too many that cannot be read.
    """

    def __init__(self, folder: str | Path, paired: bool, max_bad_share: float, video_every: int = 25) -> None:
        self._pairs, videos = (HazePairs(folder), []) if paired else (None, [])
        self._paths: list[Path] = []
        if not paired:
            self._paths, videos = find_pictures_and_videos(folder)
        count = len(self._pairs or self._paths)
        self._kept: dict[int, Sample] = {}
        #: Where each is read again: the number of a pair or picture, or a video and its frame.
        self._places: list[int | tuple[Path, int]] = []
        self._room = _KEPT_BYTES
        bad = [] if self._pairs is None else list(self._pairs.bad)
        quiet = count < _LONG or not process_state().is_main_process
        for number in tqdm(range(count), "reading", unit="picture", disable=quiet):
            try:
                self._add(number, self._read(number))
            except ValueError as error:
                bad.append(str(error))
        for path in videos:
            try:
                for frame, pixels in enumerate(read_frames(path)):
                    if frame % video_every == 0:
                        self._add((path, frame), _sample_of(pixels))
            except UnreadableVideoError as error:
                bad.append(str(error))
        report_bad("pairs" if paired else "pictures", bad, len(self._places), max_bad_share)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:  # pyright: ignore[reportIncompatibleMethodOverride]
        index = range(len(self))[index]
        return self._kept.get(index) or self._read(self._places[index])

    def _add(self, place: int | tuple[Path, int], sample: Sample) -> None:
        self._room -= sum(picture.nbytes for picture in sample.values())
        if self._room >= 0:
            self._kept[len(self._places)] = sample
        self._places.append(place)

    def _read(self, place: int | tuple[Path, int]) -> Sample:
        if isinstance(place, tuple):
            path, frame = place
            return _sample_of(next(islice(read_frames(path), frame, None)))
        if self._pairs is None:
            return {"hazy": _bytes(read_pixels(self._paths[place]))}
        hazy, clear = self._pairs.read(place)
        return {"hazy": _bytes(hazy), "clear": _bytes(clear)}


def _sample_of(frame: np.ndarray) -> Sample:
    return {"hazy": torch.from_numpy(frame).permute(2, 0, 1)}


def _bytes(pixels: Tensor) -> Tensor:
    return (255 * pixels).round().to(torch.uint8)
