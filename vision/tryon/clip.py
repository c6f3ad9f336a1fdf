"""All that a call of the pipeline is given, checked against each other.

Legend: T frames, H height, W width.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vision.tryon.actions import Action, ordered_actions, retime
from vision.tryon.pixels import Frames, MaskFrames, garment_pixels, mask_pixels, video_pixels
from vision.tryon.segments import RATE

#: Actions as a user has them, or what finds them in a video.
ActionSource = str | Path | Iterable[Any] | Callable[[Tensor], Any]


@dataclass(frozen=True)
class TryOnClip:
    """A video with its conditions; all tensors are float32 on the CPU.

    Attributes:
        video: the person, in [-1, 1], shape (1, 3, T, H, W), T = 4n + 1.
        mask: 1 where the garment is made, 0 elsewhere, shape (1, 1, T, H, W).
        pose: skeleton on black, in [-1, 1], shape of ``video``.
        hands: shaded hands on black, in [-1, 1], shape of ``video``.
        garment: on white, in [-1, 1], shape (1, 3, 1, H, W).
        actions: ``(first frame, last frame, caption)``, in the order of time.
    """

    video: Tensor
    mask: Tensor
    pose: Tensor
    hands: Tensor
    garment: Tensor
    actions: list[Action]

    @property
    def num_frames(self) -> int:
        """T."""
        return self.video.shape[2]

    def part(self, start: int, stop: int) -> "TryOnClip":
        """Frames ``start`` up to, without, ``stop``, with the actions timed anew."""
        cut = {name: getattr(self, name)[:, :, start:stop] for name in ("video", "mask", "pose", "hands")}
        return replace(self, **cut, actions=retime(self.actions, start, stop))

    def knowing(self, shown: Tensor) -> "TryOnClip":
        """The same with its first frames known: they are shown and nothing is made there.

        Args:
            shown: the frames, in [-1, 1], shape (1, 3, K, H, W).
        """
        count = shown.shape[2]
        video = torch.cat([shown.to(self.video), self.video[:, :, count:]], dim=2)
        mask = torch.cat([torch.zeros_like(self.mask[:, :, :count]), self.mask[:, :, count:]], dim=2)
        return replace(self, video=video, mask=mask)


def make_clip(
    video: Frames,
    mask: MaskFrames,
    garment: Image.Image | Tensor,
    pose: Frames | None,
    hands: Frames | None,
    actions: ActionSource | None,
    multiples: tuple[int, int],
) -> TryOnClip:
    """Checks what a user gives and makes a clip of it.

    Without a pose the masked area is grey; without hands the hand video is black. Frames after the last
    whole group of four are cut off with a warning, and actions there with them.

    Args:
        video: the person.
        mask: white where the garment is made.
        garment: the new one, on white.
        pose: the skeleton.
        hands: shaded hands on black.
        actions: list, JSON or JSON file (see :func:`vision.tryon.actions.read_actions`), or a function that
            is given the pixels (3, T, H, W) of the video, float32 in [-1, 1], and returns one of these.
        multiples: what height and width must be multiples of.

    Raises:
        ValueError: videos of different lengths or sizes, a size or a mask that cannot be, bad actions. Those
            that overlap are split with a warning.
    """
    pixels = video_pixels(video, "the video")
    found: dict[str, Tensor] = {"video": pixels, "mask": mask_pixels(mask)}
    found["pose"] = torch.zeros_like(pixels) if pose is None else video_pixels(pose, "the pose video")
    found["hands"] = -torch.ones_like(pixels) if hands is None else video_pixels(hands, "the hand video")
    count, height, width = pixels.shape[2:]
    for name, values in found.items():
        if values.shape[2:] != pixels.shape[2:]:
            raise ValueError(
                f"the {name} has {values.shape[2]} frames of {values.shape[3]} x {values.shape[4]} (height x "
                f"width), the video {count} of {height} x {width}; all conditions have the video's"
            )
    if height % multiples[0] or width % multiples[1]:
        nearest = [max(1, side // unit) * unit for side, unit in zip((height, width), multiples, strict=True)]
        raise ValueError(
            f"the video is {height} x {width} (height x width); height must be a multiple of {multiples[0]}, "
            f"width of {multiples[1]}; scale and cut it and its conditions to {nearest[0]} x {nearest[1]}, "
            "by vision.media.resize_and_crop, or by --size on the command line"
        )
    covered = found["mask"].mean().item()
    if covered == 0:
        raise ValueError("the mask is empty, so nothing would be made; it is white where the garment is made")
    if covered == 1:
        warnings.warn(
            "the mask is full: nothing of the video is kept but the pose. It should be white only where the "
            "garment is made",
            stacklevel=3,
        )
    said: Any = actions(pixels[0]) if callable(actions) else actions
    timed = ordered_actions([] if said is None else said, count)
    clip = TryOnClip(**found, garment=garment_pixels(garment, height, width), actions=timed)
    kept = (count - 1) // RATE * RATE + 1
    if kept < count:
        lost = [caption for first, _, caption in timed if first >= kept]
        warnings.warn(
            f"the last {count - kept} of {count} frames are cut off, since latents hold {RATE}n + 1"
            + (f"; with them the actions {lost}" if lost else ""),
            stacklevel=3,
        )
    return clip.part(0, kept)
