"""A part of a sample as the pipeline takes it, and as training does.

Legend: T frames, H height, W width in pixels.
"""

import re
from typing import Any

import torch
from torch import Tensor

from vision.tryon.actions import Action, check_times, retime, split_overlaps
from vision.tryon.pixels import covering, is_white
from vision.tryon.sample import Conditions, TryOnSample

_SIDES = {"left": "right", "right": "left"}


def sample_inputs(
    sample: TryOnSample,
    pixels: Conditions,
    size: tuple[int, int] | None = None,
    window: tuple[int, int] | None = None,
    mirrored: bool = False,
) -> dict[str, Any]:
    """Arguments of :class:`vision.TryOnPipeline` and of :func:`vision.tryon.clip.make_clip`.

    Videos are scaled until they cover the size and their centre is cut out; all are cut, mirrored and timed
    alike. The garment is mirrored with them. What the sample has no video of is None.

    Args:
        sample: whose names and actions.
        pixels: of the sample.
        size: H and W; None for its own.
        window: the first frame and the one after the last; None for all. Actions are counted from the first.
        mirrored: left and right are exchanged.

    Returns:
        ``video``, ``mask``, ``pose``, ``hands``, ``garment`` and ``actions``. Actions that overlap are split.

    Raises:
        BadItemError: actions that are reversed, without a caption, or outside the whole video; a window that
            goes past its end.
    """
    count = pixels.video.shape[1]
    actions = timed_actions(sample, count, window, mirrored)
    height, width = size or (pixels.video.shape[2], pixels.video.shape[3])
    start, stop = window or (0, count)

    def fitted(video: Tensor) -> Tensor:
        cut = covering(video[:, start:stop], height, width)
        return cut.flip(-1) if mirrored else cut

    return {
        "video": fitted(pixels.video),
        "mask": is_white(fitted(255 * pixels.mask.to(torch.uint8))),
        "pose": None if sample.path("pose") is None else fitted(pixels.pose),
        "hands": None if sample.path("hand") is None else fitted(pixels.hand),
        "garment": pixels.garment.flip(-1) if mirrored else pixels.garment,
        "actions": actions,
    }


def timed_actions(
    sample: TryOnSample, count: int | None, window: tuple[int, int] | None = None, mirrored: bool = False
) -> list[Action]:
    """The actions of a window, in order and apart from each other.

    Args:
        sample: whose actions.
        count: frames of its video; None where it is not known.
        window: see :func:`sample_inputs`.
        mirrored: likewise; captions follow.

    Raises:
        BadItemError: see :func:`sample_inputs`.
    """
    record = sample.record
    check_times(record.actions, count, record.id)
    within = list(record.actions) if window is None else retime(record.actions, *window)
    pieces = split_overlaps(within)
    if not mirrored:
        return pieces
    return [(first, last, mirrored_text(caption)) for first, last, caption in pieces]


def mirrored_text(text: str) -> str:
    """A caption of the same video in the mirror: "left" and "right" are exchanged."""

    def other(match: re.Match[str]) -> str:
        word = match[0]
        swapped = _SIDES[word.lower()]
        return swapped.capitalize() if word[0].isupper() else swapped

    return re.sub(r"\b(left|right)\b", other, text, flags=re.IGNORECASE)
