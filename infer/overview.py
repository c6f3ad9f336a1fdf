"""One picture of many: the first prompts of a job as rows, their pictures as columns."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from infer.pictures import Picture
from vision.media import enlargement, image_grid, read_image, write_image

MAX_ROWS, MAX_COLUMNS = 16, 8


def write_overview(path: Path, folder: Path, pictures: Sequence[Picture]) -> None:
    """Writes a grid of the first pictures of a job.

    Args:
        path: PNG file to write.
        folder: where the pictures are.
        pictures: all pictures of the job, in its order.
    """
    rows: dict[tuple[str, int], list[Image.Image]] = {}
    for picture in pictures:
        row = rows.setdefault((picture.prompt, picture.occurrence), [])
        if len(rows) > MAX_ROWS:
            del rows[picture.prompt, picture.occurrence]
            break
        if len(row) < MAX_COLUMNS:
            row.append(read_image(folder / picture.file))
    labels = [textwrap.fill(textwrap.shorten(prompt, 120), 40) for prompt, _ in rows]
    shown = list(rows.values())
    grid = image_grid(shown, row_labels=labels, scale=enlargement(shown[0][0]))
    write_image(grid, path)
