"""The picture that a world begins with.

Legend: B pictures, H height, W width in pixels.
"""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from vision.latents.cache import to_unit_range
from vision.media import to_tensor

#: A picture, several of one size, or pixels in [-1, 1] of shape (B, 3, H, W).
FirstFrame = Image.Image | Sequence[Image.Image] | Tensor


def first_frame_pixels(image: FirstFrame, size: tuple[int, int] | None, multiples: tuple[int, int]) -> Tensor:
    """Checks first frames and turns them into pixels.

    Args:
        image: the first frames.
        size: height and width that the model was made for; None for any.
        multiples: what height and width must be multiples of.

    Returns:
        float32 in [-1, 1], shape (B, 3, H, W).

    Raises:
        ValueError: pictures of another mode or size, of several sizes, or none; pixels of another shape, type
            or range.
    """
    pixels = _checked(image) if isinstance(image, Tensor) else _of_pictures(image)
    found = (pixels.shape[2], pixels.shape[3])
    if size is not None and found != size:
        raise ValueError(
            f"the first frame is {found[0]} x {found[1]} (height x width), this world was made for "
            f"{size[0]} x {size[1]}; scale and cut it with vision.media.resize_and_crop"
        )
    if found[0] % multiples[0] or found[1] % multiples[1]:
        raise ValueError(
            f"the first frame is {found[0]} x {found[1]} (height x width); height must be a multiple of "
            f"{multiples[0]}, width of {multiples[1]}; scale and cut it with vision.media.resize_and_crop"
        )
    return pixels


def _of_pictures(image: Image.Image | Sequence[Image.Image]) -> Tensor:
    pictures = [image] if isinstance(image, Image.Image) else list(image)
    if not pictures:
        raise ValueError("there is no first frame; give at least one picture")
    for picture in pictures:
        if picture.mode != "RGB":
            raise ValueError(f"a first frame has the mode {picture.mode}, expected RGB; convert('RGB') it")
    if len({picture.size for picture in pictures}) > 1:
        sizes = ", ".join(sorted({f"{picture.height} x {picture.width}" for picture in pictures}))
        raise ValueError(f"first frames of one call have one size, found {sizes}; scale and cut them alike")
    return to_unit_range(torch.stack([to_tensor(picture) for picture in pictures]))


def _checked(pixels: Tensor) -> Tensor:
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not len(pixels) or not pixels.is_floating_point():
        raise ValueError(
            f"first frames are a {pixels.dtype} tensor of shape {tuple(pixels.shape)}, expected floats in "
            "[-1, 1] of shape (pictures, 3, height, width)"
        )
    low, high = pixels.min().item(), pixels.max().item()
    if not (low >= -1 and high <= 1):  # also for NaN
        raise ValueError(f"the pixels of first frames lie in [{low:g}, {high:g}], expected [-1, 1]")
    return pixels.float()
