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
    agnostic, timestamps, overlap, background.
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
        agnostic = videos.get("agnostic")
        fault = mask_fault(videos["mask"], name, videos.get("pose"), agnostic)
        if fault is None and agnostic is not None:
            fault = agnostic_fault(videos["mask"], agnostic, name)
        if fault is not None:
            yield fault
    for part in ("garment", "unpaired_garment"):
        if part == "garment" or sample.path(part) is not None:
            try:
                fault = background_fault(sample.garment(part), f"{name}, {part}")
            except BadItemError as error:
                fault = error
            if fault is not None:
                yield fault
    for part in ("truth", "unpaired_video"):
        path = sample.path(part)
        if path is not None and not path.exists():
            yield BadItemError("missing", f"{name}: its {part} {path} does not exist")


def mask_fault(
    mask: Tensor, name: str, pose: Tensor | None = None, agnostic: Tensor | None = None
) -> BadItemError | None:
    """What is wrong with a mask: empty, full or inverted.

    It is called inverted where the agnostic video is grey outside of it rather than inside, or where it
    covers most of the frames' borders and less than half of the skeletons, or of the middle where there are
    none.

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
    if _around_the_person(mask, pose) or (agnostic is not None and _grey_outside(mask, agnostic)):
        return BadItemError(
            "mask inverted",
            f"{name}: the mask is white around the person and black upon them; white is what is generated, "
            "so invert it",
        )
    return None


def agnostic_fault(mask: Tensor, agnostic: Tensor, name: str) -> BadItemError | None:
    """What is wrong with an agnostic video: where the mask is white it still shows the garment.

    Args:
        mask: bool, shape (1, F, H, W).
        agnostic: uint8, shape (3, F, H, W); one of another size is not judged.
        name: for the message.
    """
    grey = _grey(mask, agnostic)
    if grey is None or (share := grey[mask].float().mean().item()) > 0.5:
        return None
    return BadItemError(
        "agnostic",
        f"{name}: {share:.0%} of the agnostic video is grey ({GREY}) where the mask is white, expected all: "
        "it shows what is to be replaced. Leave it out to have it made from video and mask",
    )


def _grey(mask: Tensor, agnostic: Tensor) -> Tensor | None:
    """Where an agnostic video is grey, shape (1, F, H, W); None where it has another size."""
    if agnostic.shape[1:] != mask.shape[1:]:
        return None
    return ((agnostic.int() - GREY).abs() <= _TOLERANCE).all(0, keepdim=True)


def _grey_outside(mask: Tensor, agnostic: Tensor) -> bool:
    grey = _grey(mask, agnostic)
    return grey is not None and grey[~mask].float().mean().item() > 0.5 > grey[mask].float().mean().item()


def _around_the_person(mask: Tensor, pose: Tensor | None) -> bool:
    """Whether a mask covers the frames' borders, and not the person in the middle."""
    height, width = mask.shape[2:]
    rim = torch.ones(height, width, dtype=torch.bool)
    edge = max(1, min(height, width) // 32)
    rim[edge:-edge, edge:-edge] = False
    inner = torch.zeros(height, width, dtype=torch.bool)
    inner[height // 3 : height - height // 4, width // 3 : width - width // 3] = True
    limbs = None if pose is None or pose.shape[1:] != mask.shape[1:] else (pose > 64).any(0, keepdim=True)
    where = limbs if limbs is not None and limbs.any() else inner.expand_as(mask)
    return mask[..., rim].float().mean().item() > 0.5 > mask[where].float().mean().item()


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
