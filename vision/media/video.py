"""Videos in and out, by PyAV.

Legend: C channels, F frames, H height, W width.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from torch import Tensor

from vision.media.image import to_bytes
from vision.whole_file import written_aside

#: Of x264. What it learns of how blocks are referred to later ("mbtree") differs from time to time on
#: processors with AVX-512, and with it the bytes of every second encoding of a clip of 96 x 72.
SAME_BYTES = {"x264-params": "mbtree=0"}
#: Ends of names of videos that are read.
VIDEO_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"))


class UnreadableVideoError(ValueError):
    """A file that is no video, or a damaged one; the message names it."""


def read_video(path: Path | str) -> tuple[Tensor, float]:
    """All frames of a video, upright, and its frame rate.

    A camera's rotation, which the file's head tells of each frame, is applied.

    Returns:
        uint8 of shape (3, F, H, W), and frames a second.

    Raises:
        UnreadableVideoError: there is no such file, it is no video, it is cut short, or its frames have
            several sizes.
    """
    with _pictures(path) as stream:
        frames, rate = list(_decoded(stream, path)), stream.average_rate
    if rate is None:
        raise UnreadableVideoError(f"{path}: its head names no frame rate; write it anew as .mp4")
    for number, frame in enumerate(frames):
        if frame.shape != frames[0].shape:
            before, now = (f"{value.shape[0]}x{value.shape[1]}" for value in (frames[0], frame))
            raise UnreadableVideoError(
                f"{path} changes its size at frame {number}, from {before} to {now} (height x width); "
                "write it anew with frames of one size"
            )
    pixels = torch.from_numpy(np.stack(frames))  # (F, H, W, C)
    return pixels.permute(3, 0, 1, 2).contiguous(), float(rate)


def read_frames(path: Path | str) -> Iterator[np.ndarray]:
    """The frames of a video one by one, upright, uint8 (H, W, 3).

    Raises:
        UnreadableVideoError: there is no such file, it is no video, or it is cut short; this is known at its
            end.
    """
    with _pictures(path) as stream:
        yield from _decoded(stream, path)


@contextmanager
def _pictures(path: Path | str) -> Iterator[Any]:
    """The stream of pictures of a file that is open; what its library raises becomes UnreadableVideoError."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UnreadableVideoError(f"{path} holds no video stream")
            yield container.streams.video[0]
    except FFmpegError as error:
        raise UnreadableVideoError(f"{path}: not a whole video ({error.strerror})") from error


def _decoded(stream: Any, path: Path | str) -> Iterator[np.ndarray]:
    stream.thread_type = "AUTO"
    count = 0
    for frame in stream.container.decode(stream):
        count += 1
        yield upright(frame)
    if count == 0 or count < stream.frames:
        raise UnreadableVideoError(f"{path} is cut short: {count} of {stream.frames} frames can be decoded")


def upright(frame: av.VideoFrame) -> np.ndarray:
    """A frame as it is meant to be seen: cameras note how they were held. uint8, shape (H, W, 3)."""
    pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))  # against the clock
    return np.ascontiguousarray(pixels)


def frame_count(path: Path | str) -> int:
    """How many frames a video has by its head; nothing is decoded.

    Raises:
        UnreadableVideoError: there is no such file, it is no video, or its head does not say.
    """
    with _pictures(path) as stream:
        count = stream.frames
    if count < 1:
        raise UnreadableVideoError(f"{path}: its head names no frames; write it anew as .mp4")
    return count


def write_video(
    pixels: Tensor,
    path: Path | str,
    frame_rate: float,
    quality: int = 18,
    preset: str = "medium",
    full_colour: bool = False,
) -> None:
    """Writes an H.264 video, whole or not at all; equal frames give equal bytes.

    Args:
        pixels: shape (C, F, H, W), C being 1 or 3; uint8, or floats in [-1, 1] (values outside are clamped).
        path: with the ending ``.mp4``.
        frame_rate: frames a second.
        quality: x264's constant rate factor, from 0 (lossless but for the colour space) to 51; 18 looks
            like the original.
        preset: x264's; from "ultrafast" to "veryslow", files of one quality get smaller.
        full_colour: keep colours at full resolution, which browsers do not play. By default they have half of
            it, as players expect, unless a side is odd.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path}: videos are written as .mp4, found {path.suffix!r}")
    if pixels.ndim != 4 or pixels.shape[0] not in (1, 3) or pixels.shape[1] == 0:
        raise ValueError(f"expected pixels (1 or 3, F, H, W) with F >= 1, found shape {tuple(pixels.shape)}")
    frames = to_bytes(pixels).expand(3, -1, -1, -1).permute(1, 2, 3, 0).contiguous().numpy()  # (F, H, W, C)
    with written_aside(path) as aside, av.open(str(aside), "w") as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(frame_rate).limit_denominator(1001))
        stream.height, stream.width = frames.shape[1:3]
        whole = full_colour or frames.shape[1] % 2 or frames.shape[2] % 2
        stream.pix_fmt = "yuv444p" if whole else "yuv420p"
        stream.options = {"crf": str(quality), "preset": preset} | SAME_BYTES
        for frame in frames:
            container.mux(stream.encode(frame_for(stream, frame)))
        container.mux(stream.encode())


def frame_for(stream: Any, pixels: np.ndarray) -> av.VideoFrame:
    """A picture in the pixel format of a stream that will encode it.

    The stream would convert it too, but by several threads, and was seen to give the first frame of a clip
    other bytes once in some hundred times.

    Args:
        stream: of PyAV, with its format set.
        pixels: uint8 RGB of shape (H, W, 3).
    """
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=stream.pix_fmt, threads=1)


def cut_to_groups(pixels: Tensor, name: str, group: int = 4) -> Tensor:
    """Cuts a video of shape (C, F, H, W) at its end to ``group * n + 1`` frames, with a warning if it must.

    Video latents hold the first frame alone and then groups of ``group`` frames.
    """
    count = pixels.shape[1]
    kept = (count - 1) // group * group + 1
    if kept < count:
        warnings.warn(
            f"{name}: the last {count - kept} of {count} frames are cut off, since latents hold {group}n + 1",
            stacklevel=2,
        )
    return pixels[:, :kept]
