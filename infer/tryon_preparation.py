"""Makes the sample of infer.prepare_tryon.

Legend: F frames, H height, W width in pixels.
"""

import warnings
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from infer.prepare_tryon import PrepareOptions
from vision.media import (
    is_transparent,
    read_image,
    read_video,
    resize_and_pad,
    to_tensor,
    write_image,
    write_video,
)
from vision.media.data_set import SHEET_NAME, write_contact_sheet
from vision.media.video import cut_to_groups
from vision.tryon.actions import Action, read_actions_file
from vision.tryon.contact_sheet import labelled_rows
from vision.tryon.faults import background_fault, mask_fault
from vision.tryon.index import INDEX_NAME, SampleRecord, record_line
from vision.tryon.pixels import covering, is_white
from vision.tryon.preparing.actions import caption_of, fitted_actions
from vision.tryon.preparing.conditions import estimated_conditions
from vision.tryon.sample import TryOnSample, agnostic_video
from vision.whole_file import folder_written_aside

#: Sides that the latents' patches divide: 8 pixels a latent, 2 latents a token.
_MULTIPLE = 16
_QUALITY = 8
_GIVEN = ("mask", "pose", "hand")


def prepare(options: PrepareOptions) -> None:
    """Writes the sample's folder, whole or not at all.

    Raises:
        ValueError: a file that cannot be used, or that does not fit the video; no person in it; a folder that
            is in the way. The message says what to change.
        ModuleNotFoundError: estimators are needed and not installed.
    """
    if options.out.exists() and not (options.overwrite and (options.out / INDEX_NAME).is_file()):
        raise ValueError(
            f"{options.out} exists; choose another --out, or give --overwrite where it is a sample"
        )
    name = options.video.stem
    raw, rate = read_video(options.video)
    wanted = raw if options.frames is None else raw[:, : options.frames]
    video = cut_to_groups(wanted, str(options.video))
    height, width = options.size or _rounded(raw.shape[2:], options.video)
    caption, named = (None, []) if options.actions is None else read_actions_file(options.actions)
    captions = [text for text in (options.caption, caption, caption_of(named)) if text is not None]
    actions = fitted_actions(named, raw.shape[1], video.shape[1], str(options.actions))
    garment = _garment(options.garment, height, width)

    shown = covering(video, height, width)
    given = {part: _given(getattr(options, part), part, raw, video, (height, width)) for part in _GIVEN}
    mask = None if given["mask"] is None else is_white(given["mask"][:1])
    if mask is not None and options.mask_inverted:
        mask = ~mask
    pose, hand = given["pose"], given["hand"]
    if mask is None or pose is None or hand is None:
        only_hands = mask is not None and pose is not None
        frames = shown.permute(1, 2, 3, 0).numpy()
        estimated = estimated_conditions(frames, options.part, str(options.video), only_hands)
        mask = estimated.mask if mask is None else mask
        pose = estimated.pose if pose is None else pose
        hand = estimated.hand if hand is None else hand
    _look_at_mask(mask, pose, options)

    record = _record(name, actions, captions[0], rate)
    with folder_written_aside(options.out) as new:
        write_image(garment, new / record.garment)
        white = torch.where(mask, torch.tensor(255, dtype=torch.uint8), torch.tensor(0, dtype=torch.uint8))
        files = {
            "video": shown,
            "mask": white,
            "agnostic": agnostic_video(shown, mask),
            "pose": pose,
            "hand": hand,
        }
        for part, pixels in files.items():
            write_video(pixels, new / getattr(record, part), rate, _QUALITY)
        (new / INDEX_NAME).write_text(record_line(record) + "\n", "utf-8")
        write_contact_sheet(labelled_rows(TryOnSample(record, new)), new / SHEET_NAME)


def _record(name: str, actions: list[Action], caption: str, rate: float) -> SampleRecord:
    files = {part: f"{part}.mp4" for part in ("video", "mask", "pose", "hand", "agnostic")}
    return SampleRecord(
        id=name,
        garment="garment.png",
        caption=caption,
        actions=tuple(actions),
        fps=rate,
        split="test",
        **files,
    )


def _rounded(size: tuple[int, ...], path: Path) -> tuple[int, int]:
    height, width = (side // _MULTIPLE * _MULTIPLE for side in size)
    if min(height, width) == 0:
        raise ValueError(f"{path}: frames of {size[0]}x{size[1]} are below {_MULTIPLE} pixels; give --size")
    if (height, width) != tuple(size):
        warnings.warn(
            f"{path}: frames of {size[0]}x{size[1]} (height x width) become {height}x{width}, since sides "
            f"must be multiples of {_MULTIPLE}",
            stacklevel=2,
        )
    return height, width


def _garment(path: Path, height: int, width: int) -> Image.Image:
    """The garment's picture, whole, on white."""
    picture = read_image(path)
    if is_transparent(path):
        warnings.warn(f"{path} is transparent in parts; it is laid on white", stacklevel=2)
    fault = background_fault(to_tensor(picture), str(path))
    if fault is not None:
        warnings.warn(f"{fault}. It is taken as it is", stacklevel=2)
    return resize_and_pad(picture, height, width)


def _given(path: Path | None, part: str, raw: Tensor, video: Tensor, size: tuple[int, int]) -> Tensor | None:
    """A user's own video, cut and scaled as the main one."""
    if path is None:
        return None
    own, _ = read_video(path)
    if own.shape[1:] != raw.shape[1:]:
        found, expected = (
            f"{value.shape[1]} frames of {value.shape[2]}x{value.shape[3]}" for value in (own, raw)
        )
        raise ValueError(
            f"--{part} {path} has {found}, the video {expected} (height x width); make it from the same "
            "frames"
        )
    return covering(own[:, : video.shape[1]], *size)


def _look_at_mask(mask: Tensor, pose: Tensor, options: PrepareOptions) -> None:
    name = str(options.mask or options.video)
    fault = mask_fault(mask, name, pose)
    if fault is not None:
        hint = ", or give --mask-inverted" if fault.kind == "mask inverted" and options.mask else ""
        raise ValueError(f"{fault}{hint}")
    empty = int((~mask.flatten(2).any(2)).sum())
    if empty:
        warnings.warn(
            f"{name}: the mask is empty in {empty} of {mask.shape[1]} frames; nothing is generated there",
            stacklevel=2,
        )
