"""A video whose frames are changed one by one.

Legend: H height, W width.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import torch
from av.error import FFmpegError
from torch import Tensor

from vision.media.video import SAME_BYTES, UnreadableVideoError, frame_for, upright
from vision.whole_file import written_aside

#: Ends of names of videos that are written as they were read.
WRITTEN_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".mkv"))


def rewrite_video(
    source: Path | str, target: Path | str, change: Callable[[Tensor], Tensor], quality: int = 18
) -> int:
    """Writes a video with other pictures, at the same times and with the same sound, whole or not at all.

    One frame is held at a time. Pictures are written as H.264.

    Args:
        source: the video.
        target: its name ends as that of the source.
        change: a frame (3, H, W), uint8, to another of the same size, in order.
        quality: as of :func:`vision.media.write_video`.

    Returns:
        How many frames.

    Raises:
        UnreadableVideoError: there is no such file, it is no video, it is cut short, or of a format that is
            not written here.
    """
    source, count = Path(source), 0
    if source.suffix.lower() not in WRITTEN_SUFFIXES:
        raise UnreadableVideoError(
            f"{source} is a {source.suffix}, which is not written here; convert it to "
            f"{', '.join(sorted(WRITTEN_SUFFIXES))}"
        )
    try:
        with av.open(str(source)) as inside, written_aside(Path(target)) as aside:
            if not inside.streams.video:
                raise UnreadableVideoError(f"{source} holds no video stream")
            pictures = inside.streams.video[0]
            with av.open(str(aside), "w") as outside:
                written: Any = None
                sound = {
                    stream.index: outside.add_stream_from_template(stream) for stream in inside.streams.audio
                }
                for packet in inside.demux([pictures, *inside.streams.audio]):
                    if packet.stream.index in sound:
                        if packet.dts is not None:
                            packet.stream = sound[packet.stream.index]
                            outside.mux(packet)
                        continue
                    for frame in packet.decode():
                        changed = change(torch.from_numpy(upright(frame)).permute(2, 0, 1))
                        if written is None:
                            written = _add_stream(outside, pictures, changed, quality)
                        shown = frame_for(written, changed.permute(1, 2, 0).contiguous().numpy())
                        shown.pts, shown.time_base = frame.pts, frame.time_base
                        outside.mux(written.encode(shown))
                        count += 1
                if written is not None:
                    outside.mux(written.encode())
            if count == 0 or count < pictures.frames:
                raise UnreadableVideoError(
                    f"{source} is cut short: {count} of {pictures.frames} frames can be decoded"
                )
    except FFmpegError as error:
        raise UnreadableVideoError(f"{source}: not a whole video ({error.strerror})") from error
    return count


def _add_stream(container: Any, like: Any, pixels: Tensor, quality: int) -> Any:
    stream = container.add_stream("libx264", rate=like.average_rate)
    stream.height, stream.width = pixels.shape[1:]
    stream.pix_fmt = "yuv444p" if stream.height % 2 or stream.width % 2 else "yuv420p"
    stream.codec_context.time_base = like.time_base
    stream.options = {"crf": str(quality)} | SAME_BYTES
    return stream
