"""All conditions of a sample in rows, so that a person sees at a glance what is wrong.

Legend: F frames, H height, W width in pixels.
"""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from vision.media.data_set import spaced_frames
from vision.media.image import to_image
from vision.media.resize import resize_and_pad
from vision.tryon.actions import Action
from vision.tryon.sample import TryOnSample

_COLUMNS = 7
_ROWS = ("video", "mask", "agnostic", "pose", "hand", "unpaired_video")


def labelled_rows(
    sample: TryOnSample, prefix: str = "", names: tuple[str, ...] = _ROWS
) -> list[tuple[str, list[Image.Image]]]:
    """Rows of a contact sheet: the garment and evenly spaced frames, one row for each video of the sample.

    Args:
        sample: whose files are read.
        prefix: of each label.
        names: of the record's videos in order; those that it does not have are left out.

    Raises:
        vision.media.bad_item.BadItemError: a file is missing or damaged.
    """
    rows = []
    for name in names:
        if sample.path(name) is None:
            continue
        frames = sample.video_of(name).permute(1, 2, 3, 0).numpy()  # (F, H, W, 3)
        beside = "unpaired_garment" if name == "unpaired_video" else "garment" if name == "video" else None
        first = Image.new("RGB", frames.shape[2:0:-1], "white")
        if beside is not None:
            first = resize_and_pad(to_image(sample.garment(beside)), *frames.shape[1:3])
        rows.append(
            (
                prefix + name.replace("_", " "),
                [first, *spaced_frames(_of_row(sample, name, frames), _COLUMNS)],
            )
        )
    return rows


def marked(frames: np.ndarray, actions: Iterable[Action]) -> np.ndarray:
    """A copy with a bar below the frames of actions.

    Args:
        frames: uint8, shape (F, H, W, 3).
        actions: (first frame, last frame, caption), inclusive.
    """
    frames = frames.copy()
    for start, end, _ in actions:
        frames[max(start, 0) : end + 1, -max(2, frames.shape[1] // 32) :] = (255, 140, 0)
    return frames


def _of_row(sample: TryOnSample, name: str, frames: np.ndarray) -> np.ndarray:
    """With the bars in the row of the video itself."""
    return marked(frames, sample.record.actions) if name == "video" else frames
