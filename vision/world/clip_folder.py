"""One clip's folder in CrossFPS's layout: video, table of telemetry, metadata.

Legend: T frames and rows of controls, H height, W width.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vision.media.video import write_video
from vision.whole_file import folder_written_aside
from vision.world.crossfps import METADATA_NAME, VIDEO_NAME
from vision.world.telemetry import TELEMETRY_NAMES, write_telemetry

# x264's constant rate factor and preset: at 64 x 64 what is lost is the colours' half resolution.
_QUALITY, _PRESET = 4, "veryfast"


def write_clip_folder(
    folder: Path,
    frames: np.ndarray,
    sticks: np.ndarray,
    buttons: np.ndarray,
    *,
    frame_rate: float,
    logged: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any],
) -> None:
    """Writes a clip's folder, whole or not at all.

    Args:
        folder: to make; what was there is replaced.
        frames: uint8, shape (T, H, W, 3).
        sticks: shape (T, 4), in [-1, 1]; row t leads from frame t to frame t + 1.
        buttons: shape (T, 6), 0 or 1.
        frame_rate: frames a second.
        logged: more columns of the table by name, each of shape (T,).
        metadata: for JSON.
    """
    pixels = torch.from_numpy(frames).permute(3, 0, 1, 2)
    with folder_written_aside(folder) as new:
        write_video(pixels, new / VIDEO_NAME, frame_rate, _QUALITY, _PRESET)
        write_telemetry(new / TELEMETRY_NAMES[0], sticks, buttons, logged)
        (new / METADATA_NAME).write_text(json.dumps(metadata, indent=1) + "\n", "utf-8")
