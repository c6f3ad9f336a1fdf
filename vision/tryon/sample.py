"""One sample for try-on, and its pixels.

Legend: C channels, F frames, H height, W width in pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vision.media.bad_item import BadItemError
from vision.media.image import UnreadableImageError, read_image, to_tensor
from vision.media.video import UnreadableVideoError, cut_to_groups, read_video
from vision.tryon.index import INDEX_NAME, SampleRecord, read_index
from vision.tryon.pixels import is_white

#: What a pixel of the agnostic video is where the mask is white.
GREY = 127


@dataclass(frozen=True)
class Conditions:
    """A sample's pixels.

    Attributes:
        video: uint8, shape (3, F, H, W).
        mask: bool, shape (1, F, H, W); True is to be generated.
        pose: uint8, shape (3, F, H, W); black where there is none.
        hand: likewise.
        garment: uint8, shape (3, H', W'), as it is in its file.
    """

    video: Tensor
    mask: Tensor
    pose: Tensor
    hand: Tensor
    garment: Tensor


@dataclass(frozen=True)
class TryOnSample:
    """One sample; its files are read when they are asked for.

    Attributes:
        record: what the index says.
        root: folder that its files are relative to.
        frames: the first frame and the one after the last that are used; None for all.
        inverted: whether the mask's file is black where pixels are to be generated.
    """

    record: SampleRecord
    root: Path
    frames: tuple[int, int] | None = None
    inverted: bool = False

    @classmethod
    def of_folder(cls, folder: Path | str) -> "TryOnSample":
        """The sample of a clip's own folder, with its line of the index in ``meta.json`` or ``meta.jsonl``.

        Raises:
            ValueError: there is no such line; BadItemError where it is damaged.
        """
        folder = Path(folder)
        own = folder / "meta.json"
        found = next(read_index(own if own.is_file() else folder / INDEX_NAME))
        if isinstance(found, BadItemError):
            raise found
        # A line tells files from the data set's folder; those of a clip lie in its own.
        up = len(Path(found.video).parts) - 1
        return cls(found, folder.parents[up - 1] if up else folder)

    def path(self, name: str) -> Path | None:
        """Where a file of the record is: "video", "mask", ...; None where the record has none."""
        value = getattr(self.record, name)
        return None if value is None else self.root / value

    def video_of(self, name: str) -> Tensor:
        """A video of the record, the frames that are used; uint8, shape (3, F, H, W).

        Raises:
            BadItemError: it is missing or damaged, or has too few frames.
        """
        path = self.path(name)
        if path is None:
            raise BadItemError("missing", f"{self.record.id}: the index names no {name}")
        try:
            pixels, _ = read_video(path)
        except UnreadableVideoError as error:
            raise BadItemError("unreadable", f"{self.record.id}: {error}") from error
        if self.frames is not None:
            first, end = self.frames
            if pixels.shape[1] < end:
                raise BadItemError(
                    "frames",
                    f"{self.record.id}: {path} has {pixels.shape[1]} frames, "
                    f"the list asks for {first} to {end - 1}",
                )
            pixels = cut_to_groups(pixels[:, first:end], str(path))
        return pixels

    def mask(self) -> Tensor:
        """The mask; bool, shape (1, F, H, W), True where pixels are to be generated.

        Raises:
            BadItemError: see :meth:`video_of`.
        """
        white = is_white(self.video_of("mask")[:1])
        return ~white if self.inverted else white

    def garment(self, name: str = "garment") -> Tensor:
        """The picture of the garment, on white where it is transparent; uint8, shape (3, H', W').

        Raises:
            BadItemError: it is missing or damaged.
        """
        path = self.path(name)
        if path is None:
            raise BadItemError("missing", f"{self.record.id}: the index names no {name}")
        try:
            return to_tensor(read_image(path))
        except UnreadableImageError as error:
            raise BadItemError("unreadable", f"{self.record.id}: {error}") from error

    def load(self) -> Conditions:
        """The pixels that a try-on sees and is shown. A sample without pose or hands has black ones.

        Raises:
            BadItemError: files that are missing, damaged, or of several sizes or lengths.
        """
        video, mask = self.video_of("video"), self.mask()
        given = {name: self.video_of(name) for name in ("pose", "hand") if self.path(name) is not None}
        for name, pixels in {"mask": mask, **given}.items():
            fault = self.misfit(name, pixels, video)
            if fault is not None:
                raise fault
        black = torch.zeros_like(video)
        return Conditions(
            video=video,
            mask=mask,
            pose=given.get("pose", black),
            hand=given.get("hand", black),
            garment=self.garment(),
        )

    def misfit(self, name: str, pixels: Tensor, video: Tensor) -> BadItemError | None:
        """What is wrong where a video has another size or length than the sample's main one."""
        if pixels.shape[2:] != video.shape[2:]:
            found, expected = ("x".join(map(str, value.shape[2:])) for value in (pixels, video))
            return BadItemError(
                "sizes",
                f"{self.record.id}: the {name} is {found} (height x width), its video {expected}; "
                "make both from the same frames",
            )
        if pixels.shape[1] != video.shape[1]:
            return BadItemError(
                "frames",
                f"{self.record.id}: the {name} has {pixels.shape[1]} frames, its video {video.shape[1]}; "
                "make both from the same frames",
            )
        return None


def agnostic_video(video: Tensor, mask: Tensor) -> Tensor:
    """The video with :data:`GREY` where pixels are to be generated.

    Args:
        video: uint8, shape (3, F, H, W).
        mask: bool, shape (1, F, H, W).
    """
    return torch.where(mask, torch.tensor(GREY, dtype=torch.uint8), video)
