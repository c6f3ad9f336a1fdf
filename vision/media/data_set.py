"""What the data sets have in common that this package makes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vision.media.grid import enlargement, image_grid
from vision.media.image import write_image
from vision.whole_file import written_aside

SETTINGS_NAME = "dataset.json"
SHEET_NAME = "contact_sheet.png"
_COLUMNS = 8
_WIDEST = 192


def keep_settings(folder: Path, facts: dict[str, Any]) -> None:
    """Writes the settings of a new data set, or compares them to those of the one that is there.

    Raises:
        ValueError: the folder holds a data set with other settings.
    """
    path = folder / SETTINGS_NAME
    facts = json.loads(json.dumps(facts))
    if path.is_file():
        try:
            found = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged ({error}); choose another --out, or remove the folder"
            ) from error
        if found != facts:
            other = [name for name in facts if found.get(name) != facts[name]]
            told = ", ".join(f"{name} {found.get(name)!r} (now {facts[name]!r})" for name in other)
            raise ValueError(
                f"{folder} holds clips recorded with {told}; choose another --out or the same settings"
            )
        return
    with written_aside(path) as aside:
        aside.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def spaced_frames(frames: np.ndarray, count: int = _COLUMNS) -> list[Image.Image]:
    """At most ``count`` evenly spaced frames of a video, uint8 (F, H, W, 3), with the first and the last."""
    numbers = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    return [Image.fromarray(frames[number]) for number in numbers]


def write_contact_sheet(rows: Sequence[tuple[str, Sequence[Image.Image]]], path: Path) -> None:
    """Draws labelled rows of pictures of one size; small ones are enlarged, large ones made smaller.

    Args:
        rows: at least one, each with a label and its pictures.
        path: of the PNG.
    """
    first = rows[0][1][0]
    scale = enlargement(first)
    if first.width > _WIDEST:
        size = _WIDEST, round(_WIDEST * first.height / first.width)
        rows = [(label, [picture.resize(size) for picture in shown]) for label, shown in rows]
    write_image(
        image_grid([list(shown) for _, shown in rows], [label for label, _ in rows], scale=scale), path
    )
