"""Pictures in and out.

Legend: C channels, H height, W width.
"""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from vision.whole_file import written_aside

#: Ends of names of pictures that are read: those of Pillow's that hold pixels alone.
READABLE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".tif", ".tiff", ".webp", ".bmp", ".dib"}
    | {".gif", ".jp2", ".j2k", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".pcx"}
)
#: What Pillow's decoders raise on damaged files, besides OSError.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


class UnreadableImageError(ValueError):
    """A file that is no picture, or a damaged one; the message names it."""


def read_image(path: Path | str, channels: int = 3) -> Image.Image:
    """A picture, upright, in 8 bits a channel.

    The camera's rotation (EXIF) is applied, transparency is laid over white, 16 bits become 8 by rounding.

    Args:
        path: a file of any format that Pillow reads.
        channels: 3 for mode "RGB", 1 for mode "L" (colours become grey by luminance).

    Raises:
        UnreadableImageError: there is no such file, it is no picture, or it is damaged.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{path}: {error.strerror}") from error
    return decode_image(content, str(path), channels)


def is_transparent(picture: Path | str | Image.Image) -> bool:
    """Whether something of a picture is transparent, which :func:`read_image` lays over white.

    Args:
        picture: or the file of one that :func:`read_image` reads.
    """
    if not isinstance(picture, Image.Image):
        with Image.open(picture) as opened:
            return is_transparent(opened)
    if not picture.has_transparency_data:
        return False
    least, _ = picture.convert("RGBA").getchannel("A").getextrema()
    return cast(int, least) < 255


def decode_image(content: bytes, name: str, channels: int = 3) -> Image.Image:
    """:func:`read_image` from the bytes of a file; ``name`` is for the error."""
    if channels not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, not {channels}")
    try:
        with Image.open(BytesIO(content)) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"{name}: {error} Cut it into parts") from error
    except DAMAGE as error:
        raise UnreadableImageError(f"{name}: not a whole picture ({error})") from error
    return _to_8_bits(image, name).convert("RGB" if channels == 3 else "L")


def image_size(content: bytes, name: str) -> tuple[int, int]:
    """Height and width of the upright picture, from the head of its file; see :func:`decode_image`."""
    try:
        with Image.open(BytesIO(content)) as opened:
            width, height = opened.size
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"{name}: not a whole picture ({error})") from error
    return (width, height) if turned else (height, width)


def write_image(image: Image.Image, path: Path | str) -> None:
    """Writes a picture in the format that the name's ending asks for, whole or not at all.

    Raises:
        ValueError: an ending that Pillow does not know.
        OSError: the file cannot be written; what was there before stays.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: unknown kind of picture {path.suffix!r}; use .png or .jpg")
    with written_aside(path) as aside:
        image.save(aside, kind)


def to_tensor(image: Image.Image) -> Tensor:
    """Pixels of a picture of mode "RGB" or "L": uint8, shape (C, H, W)."""
    pixels = np.array(image)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())


def to_image(pixels: Tensor) -> Image.Image:
    """The picture of pixels.

    Args:
        pixels: shape (C, H, W), C being 1 or 3; uint8, or floats in [-1, 1] (values outside are clamped).
    """
    if pixels.ndim != 3 or len(pixels) not in (1, 3):
        raise ValueError(f"expected pixels of shape (1, H, W) or (3, H, W), found {tuple(pixels.shape)}")
    values = to_bytes(pixels)
    return Image.fromarray(values[0].numpy() if len(values) == 1 else values.permute(1, 2, 0).numpy())


def to_bytes(pixels: Tensor) -> Tensor:
    """uint8 pixels on the CPU of uint8 pixels, or of floats in [-1, 1] (values outside are clamped)."""
    values = pixels.detach().cpu()
    if values.dtype == torch.uint8:
        return values
    return ((values.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def _to_8_bits(image: Image.Image, name: str) -> Image.Image:
    """Without transparency and in at most 8 bits a channel."""
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image, np.float64)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise UnreadableImageError(
                f"{name}: mode {image.mode} with values from {values.min():g} to {values.max():g} has no "
                "fixed white; save the picture with 8 or 16 bits a channel"
            )
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image
