"""Strips of what a try-on makes: the truth, the made clip, and the same with the action commanded elsewhere.

Legend: T frames, H height, W width.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from vision.media import enlargement, image_grid
from vision.tryon.evaluation.request import Request
from vision.whole_file import written_aside

_CLIPS, _COLUMNS = 1, 9


class Strip:
    """Collects the first clips that it is shown."""

    def __init__(self) -> None:
        self._rows: list[list[Image.Image]] = []
        self._labels: list[str] = []
        self._columns: list[str] = []
        self._clips: set[int] = set()

    def look(self, request: Request, made: np.ndarray) -> None:
        """A row of what was made, float32 in [0, 1], shape (T, H, W, 3), beside a row of the truth."""
        if request.clip.plan.number not in self._clips and len(self._clips) == _CLIPS:
            return
        self._clips.add(request.clip.plan.number)
        count = len(made)
        columns = np.linspace(0, count - 1, min(_COLUMNS, count)).round().astype(int)
        self._columns = [f"frame {column}" for column in columns]
        told = "; ".join(f"{caption} {first}-{last}" for first, last, caption in request.commands)
        frames = {
            f"{request.kind}, wanted: {told}": request.truth,
            "made": np.round(255 * made.clip(0, 1)).astype(np.uint8),
        }
        for label, video in frames.items():
            self._rows.append([Image.fromarray(video[column]) for column in columns])
            self._labels.append(label)

    def write(self, path: Path) -> None:
        """Writes what was collected as one picture."""
        scale = enlargement(self._rows[0][0])
        grid = image_grid(self._rows, self._labels, self._columns, scale=scale)
        with written_aside(path) as aside:
            grid.save(aside)
