"""Colours of 16 bits a channel, which Pillow does not write.

Legend: H height, W width.
"""

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import tifffile

_HEADER = 33  # bytes of a PNG's signature and first chunk
_EXIF = b"Exif\0\0"


def encode_deep(pixels: np.ndarray, format: str, options: Mapping[str, Any]) -> bytes:
    """A PNG or TIFF file.

    Args:
        pixels: uint16, shape (H, W, 2, 3 or 4): grey or colours, then opacity where the number is even.
        format: "PNG" or "TIFF".
        options: ``exif`` and ``icc_profile`` as for Pillow; a TIFF keeps no ``exif``.
    """
    if pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    profile, exif = options.get("icc_profile"), options.get("exif")
    if format == "TIFF":
        file = BytesIO()
        samples = ["unassalpha"] if pixels.shape[2] == 4 else None
        tifffile.imwrite(
            file, pixels, photometric="rgb", extrasamples=samples, iccprofile=profile, compression="zlib",
            metadata=None,
        )  # fmt: skip
        return file.getvalue()
    code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, code))
    if not done:
        raise OSError("the PNG could not be encoded")
    file, extra = encoded.tobytes(), b""
    if profile:
        extra += _chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile))
    if exif:
        extra += _chunk(b"eXIf", exif.removeprefix(_EXIF))
    return file[:_HEADER] + extra + file[_HEADER:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
