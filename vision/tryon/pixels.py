"""Videos, masks and garments as a user has them, turned into pixels.

Legend: T frames, H height, W width.
"""

import warnings
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from vision.latents.cache import to_unit_range
from vision.media import is_transparent, resize_and_crop, resize_and_pad, to_image, to_tensor

#: Frames of one video: pictures of one size, or pixels (3, T, H, W), uint8 or floats in [-1, 1].
Frames = Sequence[Image.Image] | Tensor
#: Frames of a mask: pictures, or values (1, T, H, W) or (T, H, W), bool, uint8 or floats in [0, 1].
MaskFrames = Sequence[Image.Image] | Tensor


def video_pixels(frames: Frames, name: str) -> Tensor:
    """A video as float32 in [-1, 1], shape (1, 3, T, H, W).

    Args:
        frames: of the video.
        name: for the error.

    Raises:
        ValueError: no frames, frames of several sizes, pixels of another shape or range.
    """
    if not isinstance(frames, Tensor):
        return to_unit_range(_stacked(frames, name, "RGB"))[None]
    if frames.ndim != 4 or frames.shape[0] != 3 or not frames.numel():
        raise ValueError(f"{name} has shape {tuple(frames.shape)}; expected (3, frames, height, width)")
    if frames.dtype == torch.uint8:
        return to_unit_range(frames)[None]
    _check_range(frames, name, -1)
    return frames[None].float()


def mask_pixels(frames: MaskFrames, name: str = "the mask") -> Tensor:
    """A mask as float32, 0 or 1, shape (1, 1, T, H, W); values above the middle are 1.

    Args:
        frames: of the mask, white where the garment is made.
        name: for the error.

    Raises:
        ValueError: no frames, frames of several sizes, values of another shape or range.
    """
    if not isinstance(frames, Tensor):
        return is_white(_stacked(frames, name, "L")).float()[None]
    values = frames[None] if frames.ndim == 3 else frames
    if values.ndim != 4 or values.shape[0] != 1 or not values.numel():
        raise ValueError(f"{name} has shape {tuple(frames.shape)}; expected (1, frames, height, width)")
    if values.dtype == torch.uint8:
        # Masks of 0 and 1 are as common as those of 0 and 255.
        return (values > 0 if values.max() <= 1 else is_white(values)).float()[None]
    if values.dtype != torch.bool:
        _check_range(values, name, 0)
    return (values.float() > 0.5).float()[None]


def garment_pixels(garment: Image.Image | Tensor, height: int, width: int) -> Tensor:
    """The picture of a garment on white, as large as it fits into the frame: float32, (1, 3, 1, H, W).

    Args:
        garment: a picture (what is transparent becomes white, with a warning), or its pixels (3, height,
            width), uint8 or floats in [-1, 1]; those that have the frame's size are taken as they are.
        height: H.
        width: W.

    Raises:
        ValueError: pixels of another shape or range.
    """
    if isinstance(garment, Tensor):
        if garment.ndim != 3:
            raise ValueError(f"the garment has shape {tuple(garment.shape)}; expected (3, height, width)")
        pixels = video_pixels(garment[:, None], "the garment")
        if pixels.shape[3:] == (height, width):
            return pixels
        garment = to_image(pixels[0, :, 0])
    if not isinstance(garment, Image.Image):
        raise ValueError(
            f"the garment is {type(garment).__name__}; expected a picture of PIL, such as "
            "vision.media.read_image gives, or a tensor (3, height, width)"
        )
    if is_transparent(garment):
        warnings.warn("what is transparent in the garment's picture is shown as white", stacklevel=3)
        layer = garment.convert("RGBA")
        garment = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    garment = garment.convert("RGB")
    return to_unit_range(to_tensor(resize_and_pad(garment, height, width)))[None, :, None]


def covering(video: Tensor, height: int, width: int) -> Tensor:
    """Frames scaled until they cover the size, their centre cut out; uint8, shape (C, T, H, W).

    Videos of one size stay in step: all are cut at the same place.

    Args:
        video: uint8, shape (C, T, height, width).
        height: H.
        width: W.
    """
    if tuple(video.shape[2:]) == (height, width):
        return video
    frames = [to_tensor(resize_and_crop(to_image(frame), height, width)) for frame in video.unbind(1)]
    return torch.stack(frames, dim=1)


def is_white(values: Tensor) -> Tensor:
    """Where a mask's 8-bit values are white, which is generated; bool, same shape."""
    return values > 127


def _stacked(frames: Sequence[Image.Image], name: str, mode: str) -> Tensor:
    """uint8 of shape (C, T, H, W)."""
    known = isinstance(frames, Sequence) and not isinstance(frames, str)
    strange = [frame for frame in frames if not isinstance(frame, Image.Image)] if known else [frames]
    if strange:
        raise ValueError(
            f"{name} is of {type(strange[0]).__name__}; expected pictures of PIL, or a tensor "
            "(channels, frames, height, width) such as vision.media.read_video gives"
        )
    pictures = [picture.convert(mode) for picture in frames]
    if not pictures:
        raise ValueError(f"{name} has no frames")
    if len({picture.size for picture in pictures}) > 1:
        sizes = ", ".join(sorted({f"{picture.height} x {picture.width}" for picture in pictures}))
        raise ValueError(f"the frames of {name} have several sizes, {sizes}; scale and cut them alike")
    return torch.stack([to_tensor(picture) for picture in pictures], dim=1)


def _check_range(values: Tensor, name: str, low: int) -> None:
    least, most = values.min().item(), values.max().item()
    if not (values.is_floating_point() and least >= low and most <= 1):  # also for NaN
        raise ValueError(
            f"{name} is {values.dtype} with values in [{least:g}, {most:g}]; expected uint8, or floats in "
            f"[{low}, 1]"
        )
