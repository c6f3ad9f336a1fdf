"""Draws planned clips and writes them in the layout of VVT-Interact.

Legend: F frames, H height, W width in pixels.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vision.media.data_set import SETTINGS_NAME
from vision.media.image import write_image
from vision.media.video import write_video
from vision.tryon.drawing.actions import CAPTIONS
from vision.tryon.drawing.canvas import Canvas
from vision.tryon.drawing.clip import StudioScene
from vision.tryon.drawing.garment import garment
from vision.tryon.drawing.plan import StudioPlan, StudioSettings
from vision.tryon.drawing.rendering import garment_picture
from vision.tryon.index import SampleRecord, record_line
from vision.whole_file import folder_written_aside

#: Frames a second, as Wan has them.
FRAME_RATE = 16
#: A clip's own line of the index, in its folder.
RECORD_NAME = "meta.json"
#: The exact truth: arrays "mask" (F, H, W), "action" (F,), "state" (F, N) and "cloth" (F, H, W, 2).
TRUTH_NAME = "truth.npz"
#: Changes when the same settings would draw other clips.
_VERSION = 2
# x264's constant rate factor and preset.
_QUALITY, _PRESET = 4, "veryfast"


def dataset_facts(settings: StudioSettings) -> dict[str, Any]:
    """The settings and all else on which the clips depend, for JSON."""
    return {**asdict(settings), "frame_rate": FRAME_RATE, "studio_version": _VERSION}


def dataset_settings(folder: Path) -> StudioSettings:
    """The settings of a data set, from which each of its clips can be drawn again.

    Raises:
        ValueError: the folder holds no data set of the studio, or one of another version of it.
    """
    path = folder / SETTINGS_NAME
    try:
        facts = json.loads(path.read_text("utf-8"))
        version = facts["studio_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not of a data set of the studio ({error})") from error
    if version != _VERSION:
        raise ValueError(f"{folder} was drawn by version {version} of the studio, this is {_VERSION}")
    names = {field.name for field in fields(StudioSettings)}
    values: dict[str, Any] = {name: value for name, value in facts.items() if name in names}
    for name in ("actions", "action_frames"):
        values[name] = tuple(values[name])
    return StudioSettings(**values)


class StudioWriter:
    """Draws clips of one size.

    Args:
        folder: of the data set.
        settings: of all clips.
    """

    def __init__(self, folder: Path, settings: StudioSettings) -> None:
        self.folder, self.settings = folder, settings
        self._canvas = Canvas(settings.height, settings.width)

    def record(self, plan: StudioPlan) -> None:
        """Draws a clip and writes its folder, whole or not at all."""
        scene = StudioScene(plan, self.settings, canvas=self._canvas)
        clip = scene.clip()
        with folder_written_aside(self.folder / plan.name) as new:
            write_image(Image.fromarray(clip.garment), new / "garment.png")
            _write(clip.video, new / "video.mp4")
            _write(clip.pose, new / "pose.mp4")
            _write(clip.hand, new / "hand.mp4")
            _write(np.where(clip.mask, np.uint8(255), np.uint8(0))[..., None], new / "mask.mp4")
            np.savez_compressed(
                new / TRUTH_NAME, mask=clip.mask, action=clip.action, state=clip.state, cloth=clip.cloth
            )
            record = self._record(plan)
            if record.unpaired_video is not None:
                other = garment(plan.split, plan.cut, plan.other)
                write_image(
                    Image.fromarray(garment_picture(self._canvas, other)), new / "unpaired_garment.png"
                )
                _write(scene.worn(other)[0], new / "unpaired.mp4")
            (new / RECORD_NAME).write_text(record_line(record, plan.name) + "\n", "utf-8")

    def close(self) -> None:
        """Nothing is held."""

    def _record(self, plan: StudioPlan) -> SampleRecord:
        unpaired = self.settings.unpaired in ("all", plan.split)
        return SampleRecord(
            id=plan.id,
            split=plan.split,
            video="video.mp4",
            garment="garment.png",
            mask="mask.mp4",
            pose="pose.mp4",
            hand="hand.mp4",
            caption=plan.caption,
            actions=tuple((action.first, action.last, CAPTIONS[action.name]) for action in plan.actions),
            fps=FRAME_RATE,
            truth=TRUTH_NAME,
            unpaired_garment="unpaired_garment.png" if unpaired else None,
            unpaired_video="unpaired.mp4" if unpaired else None,
        )


def joined_records(folder: Path, plans: list[StudioPlan]) -> str:
    """The index of a data set whose clips are all there: each is written whole, its line included."""
    lines = [(folder / plan.name / RECORD_NAME).read_text("utf-8") for plan in plans]
    return "".join(lines)


def _write(frames: np.ndarray, path: Path) -> None:
    pixels: Tensor = torch.from_numpy(frames).permute(3, 0, 1, 2)
    # A print of such a size does not survive colours of half the resolution.
    write_video(pixels, path, FRAME_RATE, _QUALITY, _PRESET, full_colour=True)
