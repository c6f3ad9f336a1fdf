"""Pictures before and after, on one sheet."""

from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from infer.dehaze_files import Source, first_picture
from vision.media import image_grid, to_image, write_image

_SIDE = 256


def write_sheet(sources: Sequence[Source], made: Container[str], path: Path, count: int) -> Path | None:
    """Draws up to ``count`` of the sources that were made, evenly spaced, above each other.

    Args:
        sources: all of a job.
        made: names of those that were made.
        path: of the sheet.
        count: 0 for no sheet.

    Returns:
        The path; None where there is nothing to draw.
    """
    shown = [source for source in sources if source.name in made]
    if not shown or count == 0:
        return None
    chosen = np.linspace(0, len(shown) - 1, min(count, len(shown))).round().astype(int)
    rows = [[_small(shown[number], place) for place in ("path", "target")] for number in chosen]
    write_image(image_grid(rows, [shown[n].name[-24:] for n in chosen], ["before", "after"]), path)
    return path


def _small(source: Source, place: str) -> Image.Image:
    picture = to_image(2 * first_picture(getattr(source, place)).reduced(_SIDE)[0] - 1)
    return ImageOps.pad(picture, (_SIDE, _SIDE), color="white")
