"""Clips of CrossFPS (SCOPE, arXiv 2605.23345), as published or as recorded by ``vision.world.record``.

Legend: T frames and rows of controls, H height, W width. A clip is a folder with ``video.mp4``, a table of
telemetry and ``metadata.json``; row t of the table leads from frame t to frame t + 1.
"""

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vision.media.resize import resize_and_crop
from vision.media.video import UnreadableVideoError, frame_count, read_video
from vision.world.bad_clip import BadClipError
from vision.world.telemetry import TELEMETRY_NAMES, read_telemetry

VIDEO_NAME = "video.mp4"
METADATA_NAME = "metadata.json"


@dataclass(frozen=True)
class CrossFPSClip:
    """One clip; its video is decoded when it is asked for.

    Attributes:
        folder: of the clip.
        sticks: float32, shape (T, 4), in [-1, 1], LY < 0 walks forward.
        buttons: float32, shape (T, 6), 0 or 1.
        metadata: the content of ``metadata.json``.
    """

    folder: Path
    sticks: Tensor
    buttons: Tensor
    metadata: dict[str, Any]

    def frames(self, height: int, width: int) -> Tensor:
        """The first T frames of the video.

        Each is scaled until it covers the size and its centre is cut out.

        Returns:
            uint8, shape (T, height, width, 3).

        Raises:
            BadClipError: the video is damaged or has fewer frames.
        """
        frames = decoded(self.folder)[: len(self.sticks)]
        if len(frames) < len(self.sticks):
            raise BadClipError(
                "counts",
                f"{self.folder / VIDEO_NAME}: {len(frames)} frames for {len(self.sticks)} rows of controls",
            )
        sized = [np.array(resize_and_crop(Image.fromarray(frame.numpy()), height, width)) for frame in frames]
        return torch.from_numpy(np.stack(sized))


def find_clips(root: Path | str) -> list[Path]:
    """The folders below ``root`` that hold a table of telemetry or a video, sorted; hidden ones are left out.

    Linked folders count as folders; a link to a folder that it lies in is left out.

    Raises:
        ValueError: there is no such folder, or no clip in it.
    """
    root = Path(root)
    wanted = {*TELEMETRY_NAMES, VIDEO_NAME}
    clips = []
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        here = folder.resolve()
        folders[:] = [
            each
            for each in folders
            if not each.startswith(".") and not here.is_relative_to((folder / each).resolve())
        ]
        if wanted & set(files):
            clips.append(folder)
    if not clips:
        raise ValueError(
            f"{root} holds no clips; expected folders with {VIDEO_NAME} and {' or '.join(TELEMETRY_NAMES)}"
        )
    return sorted(clips)


def read_clip(folder: Path | str, frames: int = 81, forward_sign: int = -1) -> CrossFPSClip:
    """Reads the controls of one clip and looks at the head of its video.

    T is the largest 4n + 1 that neither ``frames`` nor the video exceeds. A shorter table is continued with
    its last row, rows of a longer one are left out.

    Args:
        folder: of the clip.
        frames: at most so many. CrossFPS has 100 a clip, SCOPE takes 81.
        forward_sign: the sign of LY that walks forward in the table. Sources disagree; SCOPE's examples
            have -1.

    Raises:
        BadClipError: a file is missing, damaged, or holds other columns or values than expected.
        ValueError: no such sign, or ``frames`` below 1.
    """
    folder = Path(folder)
    if frames < 1:
        raise ValueError(f"a clip has at least 1 frame, found frames={frames}")
    telemetry = read_telemetry(telemetry_path(folder), forward_sign)
    shown = _frame_count(folder / VIDEO_NAME)
    kept = (min(frames, shown) - 1) // 4 * 4 + 1
    if frames % 4 != 1:
        warnings.warn(
            f"frames={frames} is lowered to {(frames - 1) // 4 * 4 + 1}, since latents hold 4n + 1",
            stacklevel=2,
        )
    if shown < frames:
        warnings.warn(
            f"{folder}: its video has {shown} frames of the {frames} asked for; {kept} are used", stacklevel=2
        )
    return CrossFPSClip(
        folder,
        torch.from_numpy(fit_rows(telemetry.sticks, kept)),
        torch.from_numpy(fit_rows(telemetry.buttons, kept)),
        read_metadata(folder),
    )


def fit_rows(rows: np.ndarray, count: int) -> np.ndarray:
    """The first ``count`` rows of (T, C), the last one repeated where T is smaller."""
    return rows[np.minimum(np.arange(count), len(rows) - 1)]


def telemetry_path(folder: Path) -> Path:
    """The table of a clip; BadClipError where there is none."""
    for name in TELEMETRY_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise BadClipError(
        "unreadable", f"{folder}: no table of telemetry; expected {', '.join(TELEMETRY_NAMES)}"
    )


def read_metadata(folder: Path) -> dict[str, Any]:
    """The content of a clip's ``metadata.json``; BadClipError where it is missing or no JSON object."""
    path = folder / METADATA_NAME
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadClipError("unreadable", f"{path}: {error.strerror}") from error
    except ValueError as error:  # of the JSON or of its UTF-8
        raise BadClipError("unreadable", f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise BadClipError("unreadable", f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def decoded(folder: Path) -> Tensor:
    """All frames of a clip's video, uint8 (F, H, W, 3); BadClipError where it is damaged."""
    try:
        pixels, _ = read_video(folder / VIDEO_NAME)  # (3, F, H, W)
    except UnreadableVideoError as error:
        raise BadClipError("unreadable", str(error)) from error
    return pixels.permute(1, 2, 3, 0)


def _frame_count(path: Path) -> int:
    try:
        return frame_count(path)
    except UnreadableVideoError as error:
        raise BadClipError("unreadable", str(error)) from error
