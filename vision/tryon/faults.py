"""What can be wrong with a try-on sample, and how it is found.

Legend: F frames, H height, W width in pixels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from vision.media.bad_item import BadItemError
from vision.tryon.actions import action_faults
from vision.tryon.sample import GREY, TryOnSample

#: A pixel of a garment's picture is background from this value on, in every channel.
_WHITE = 225
_LEAST_WHITE = 0.6
_TOLERANCE = 10


def faults(sample: TryOnSample) -> Iterator[BadItemError]:
    """Everything that is wrong with a sample, each with its kind and what to do about it.

    Kinds: missing, unreadable, sizes, frames, length (not 4n + 1), mask empty, mask full, mask inverted,
    timestamps, overlap, background.
    """
    name = sample.record.id
    videos: dict[str, Tensor] = {}
    for part in ("video", "mask", "pose", "hand", "agnostic"):
        if part in ("video", "mask") or sample.path(part) is not None:
            try:
                videos[part] = sample.mask() if part == "mask" else sample.video_of(part)
            except BadItemError as error:
                yield error
    video = videos.get("video")
    if video is not None:
        for part, pixels in videos.items():
            misfit = sample.misfit(part, pixels, video)
            if misfit is not None:
                yield misfit
        count = video.shape[1]
        if count % 4 != 1:
            yield BadItemError(
                "length",
                f"{name}: {count} frames, expected 4n + 1; cut the last {(count - 1) % 4} from every video",
            )
        yield from action_faults(sample.record.actions, count, name)
    else:
        yield from action_faults(sample.record.actions, None, name)
    if "mask" in videos:
        fault = mask_fault(videos["mask"], name, videos.get("pose"), videos.get("agnostic"))
        if fault is not None:
            yield fault
    try:
        fault = background_fault(sample.garment(), name)
    except BadItemError as error:
        fault = error
    if fault is not None:
        yield fault


def mask_fault(
    mask: Tensor, name: str, pose: Tensor | None = None, agnostic: Tensor | None = None
) -> BadItemError | None:
    """What is wrong with a mask: empty, full or inverted.

    It is called inverted where the agnostic video is grey outside of it rather than inside, or, without such
    a video, where it covers most of the frames' borders and less than half of the skeletons, or of the middle
    where there are none.

    Args:
        mask: bool, shape (1, F, H, W), True where pixels are to be generated.
        name: for the message.
        pose: skeletons on black, uint8, shape (3, F, H, W).
        agnostic: uint8, shape (3, F, H, W).
    """
    share = mask.float().mean().item()
    if share == 0:
        return BadItemError("mask empty", f"{name}: the mask is black everywhere; white is what is generated")
    if share == 1:
        return BadItemError("mask full", f"{name}: the mask is white everywhere, so that no person is left")
    inverted = False
    if agnostic is not None and agnostic.shape[1:] == mask.shape[1:]:
        grey = ((agnostic.int() - GREY).abs() <= _TOLERANCE).all(0, keepdim=True)
        inverted = grey[~mask].float().mean().item() > 0.5 > grey[mask].float().mean().item()
    else:
        height, width = mask.shape[2:]
        rim = torch.ones(height, width, dtype=torch.bool)
        edge = max(1, min(height, width) // 32)
        rim[edge:-edge, edge:-edge] = False
        inner = torch.zeros(height, width, dtype=torch.bool)
        inner[height // 3 : height - height // 4, width // 3 : width - width // 3] = True
        limbs = None if pose is None or pose.shape[1:] != mask.shape[1:] else (pose > 64).any(0, keepdim=True)
        where = limbs if limbs is not None and limbs.any() else inner.expand_as(mask)
        inverted = mask[..., rim].float().mean().item() > 0.5 > mask[where].float().mean().item()
    if inverted:
        return BadItemError(
            "mask inverted",
            f"{name}: the mask is white around the person and black upon them; white is what is generated, "
            "so invert it",
        )
    return None


def background_fault(garment: Tensor, name: str) -> BadItemError | None:
    """What is wrong with a garment's picture: no white around it, or nothing on it.

    Args:
        garment: uint8, shape (3, H, W).
        name: for the message.
    """
    height, width = garment.shape[1:]
    edge = max(1, min(height, width) // 50)
    rim = torch.ones(height, width, dtype=torch.bool)
    rim[edge:-edge, edge:-edge] = False
    white = (garment >= _WHITE).all(0)
    share = white[rim].float().mean().item()
    if share < _LEAST_WHITE:
        colour = tuple(round(value) for value in garment[:, rim].float().median(1).values.tolist())
        return BadItemError(
            "background",
            f"{name}: {share:.0%} of the garment's border is white, around RGB {colour}; cut the garment out "
            "and lay it on white",
        )
    if white.float().mean().item() > 0.98:
        return BadItemError(
            "background", f"{name}: the garment's picture is white all over; nothing is on it"
        )
    return None
