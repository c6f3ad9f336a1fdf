"""The sheet and the video of :mod:`infer.tryon_sheet`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from infer.clip_record import record_of
from infer.model_hash import file_hash
from infer.tryon_videos import video_file
from vision.media import read_video, resize_and_pad, to_image, write_video
from vision.media.data_set import spaced_frames, write_contact_sheet
from vision.tryon.actions import Action
from vision.tryon.contact_sheet import marked
from vision.tryon.pixels import covering
from vision.tryon.readers import read_samples
from vision.tryon.sample import TryOnSample
from vision.weights import read_json

_COLUMNS = 8


@dataclass(frozen=True)
class _Row:
    label: str
    garment: Tensor  # uint8, (3, H', W')
    frames: Tensor  # uint8, (3, T, H, W)
    actions: Sequence[Action]


def write_sheet(
    index: Path, videos: Path, out: Path, split: str | None = None, limit: int | None = None
) -> None:
    """Writes ``out`` and, beside it, the same as an mp4: filmed videos at the left, one below the other.

    A video that is shorter than others stays on its last frame.

    Args:
        index: of the samples.
        videos: folder of their videos.
        out: PNG to write.
        split: only samples of this split.
        limit: only so many samples, the first.

    Raises:
        ValueError: a sample has no video, or one that is not alone.
    """
    groups: dict[str, list[_Row]] = {}
    samples = read_samples(index, split)[:limit]
    for sample in samples:
        path = sample.path("video")
        assert path is not None
        made = _made(sample, videos)
        groups.setdefault(file_hash(path), [_filmed(sample, made.frames)]).append(made)
    rows = [row for group in groups.values() for row in group]
    write_contact_sheet([(row.label, _pictures(row)) for row in rows], out)
    longest = max(row.frames.shape[1] for row in rows)
    lines = [torch.cat([_held(_framed(row), longest) for row in group], dim=3) for group in groups.values()]
    widest = max(line.shape[3] for line in lines)
    padded = [torch.nn.functional.pad(line, (0, widest - line.shape[3]), value=255) for line in lines]
    video = out.with_suffix(".mp4")
    write_video(torch.cat(padded, dim=2), video, samples[0].record.fps, full_colour=True)
    print(f"sheet  {out}\nvideo  {video}")


def _filmed(sample: TryOnSample, made: Tensor) -> _Row:
    done = ", ".join(f"{caption} [{first}, {last}]" for first, last, caption in sample.record.actions)
    frames = covering(sample.video_of("video")[:, : made.shape[1]], *made.shape[2:])
    return _Row(f"filmed: {done}" if done else "filmed", sample.garment(), frames, sample.record.actions)


def _made(sample: TryOnSample, videos: Path) -> _Row:
    path = video_file(videos, sample.record)
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; make it with infer.tryon --alone --out {videos}, or give the --split "
            "and --limit that videos were made with"
        )
    fact = read_json(record_of(path))
    if not fact.get("alone"):
        raise ValueError(f"{path} shows the filmed video, too; make it anew with infer.tryon --alone")
    garment = sample.garment("unpaired_garment" if fact.get("unpaired") else "garment")
    return _Row("made", garment, read_video(path)[0], sample.record.actions)


def _framed(row: _Row) -> Tensor:
    """The frames with the bars of actions, uint8, shape (3, T, H, W)."""
    frames = row.frames.permute(1, 2, 3, 0).numpy()
    return torch.from_numpy(np.ascontiguousarray(marked(frames, row.actions))).permute(3, 0, 1, 2)


def _held(video: Tensor, count: int) -> Tensor:
    """The video with its last frame repeated until there are ``count``, shape (3, T, H, W)."""
    return torch.cat([video, video[:, -1:].expand(-1, count - video.shape[1], -1, -1)], dim=1)


def _pictures(row: _Row) -> list[Image.Image]:
    height, width = row.frames.shape[2:]
    frames = _framed(row).permute(1, 2, 3, 0).numpy()
    return [resize_and_pad(to_image(row.garment), height, width), *spaced_frames(frames, _COLUMNS)]
