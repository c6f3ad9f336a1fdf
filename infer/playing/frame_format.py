"""Frames as one binary message to the page.

Legend: T frames, H height, W width.

A message is the length of its head (4 bytes, little endian), the head (JSON), and the frames one after the
other: the bytes of their pixels, or JPEG files whose lengths the head names.
"""

import json
import struct
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

# Bytes of a frame up to which it travels as it is: 147 x 147 pixels.
_MOST_RAW = 65536
_QUALITY = 92


def frame_message(frames: np.ndarray, facts: dict[str, Any]) -> bytes:
    """The message of frames.

    Args:
        frames: uint8, shape (T, H, W, 3).
        facts: more for the head.
    """
    count, height, width, _ = frames.shape
    head: dict[str, Any] = {**facts, "frames": count, "height": height, "width": width, "sizes": None}
    if frames[0].nbytes <= _MOST_RAW:
        parts = [frames.tobytes()]
    else:
        parts = [_jpeg(frame) for frame in frames]
        head["sizes"] = [len(part) for part in parts]
    text = json.dumps(head).encode()
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def read_frame_message(message: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """The head and the frames (T, H, W, 3) of a message, as a page reads it."""
    (length,) = struct.unpack_from("<I", message)
    head, body = json.loads(message[4 : 4 + length]), message[4 + length :]
    shape = (head["frames"], head["height"], head["width"], 3)
    if head["sizes"] is None:
        return head, np.frombuffer(body, np.uint8).reshape(shape)
    ends = np.cumsum(head["sizes"])
    files = [body[end - size : end] for end, size in zip(ends, head["sizes"], strict=True)]
    return head, np.stack([np.asarray(Image.open(BytesIO(file))) for file in files])


def _jpeg(frame: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()
