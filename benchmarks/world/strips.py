"""Strips of what a press does: the engine's frames, a world's, and both responses.

Legend: T frames, H height, W width.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from vision.media import enlargement, image_grid
from vision.whole_file import written_aside
from vision.world.evaluation.judge import MadePairs
from vision.world.evaluation.truth_set import ONSET, PRESSES, TruthSet

SHOWN = ("fire", "reload", "melee", "switch", "aim", "jump")
_FRAMES = 8
#: A response of this share of the range is white.
_WHITE = 0.5


def write_strip(made: MadePairs, truth: TruthSet, path: Path) -> None:
    """Four rows a button, of its first start: engine, world, |g|, |D|, from the frame before t0 on."""
    rows, labels = [], []
    columns = range(ONSET - 1, min(ONSET - 1 + _FRAMES, truth.idle.shape[1]))
    for place, name in enumerate(PRESSES):
        found = np.flatnonzero(truth.visible[:, place])
        if name not in SHOWN or not len(found):
            continue
        n = found[0]
        engine, idle = (
            frames.astype(np.float32) / 255 for frames in (truth.pressed[n, place], truth.idle[n])
        )
        world = made.pressed[name][n]
        maps = [np.abs(engine - idle), np.abs(world - made.idle[n])]
        for label, frames in (
            (f"{name}: engine", engine),
            ("world", world),
            *zip(("engine's response", "world's response"), (m / _WHITE for m in maps), strict=True),
        ):
            rows.append([_picture(frames[column]) for column in columns])
            labels.append(label)
    if rows:
        grid = image_grid(
            rows, labels, [f"frame {column}" for column in columns], scale=enlargement(rows[0][0])
        )
        with written_aside(path) as aside:
            grid.save(aside)


def _picture(frame: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * frame.clip(0, 1)).round().astype(np.uint8))
