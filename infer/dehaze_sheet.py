"""Pictures before and after, on one sheet."""

from collections.abc import Container, Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps

from infer.dehaze_files import Source
from vision.media import image_grid, to_image, write_image
from vision.media.photograph import read_photograph
from vision.media.video import upright

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
    path = getattr(source, place)
    if source.is_video:
        with av.open(str(path)) as container:
            picture = Image.fromarray(upright(next(container.decode(video=0))))
    else:
        picture = to_image(2 * read_photograph(path).reduced(_SIDE)[0] - 1)
    return ImageOps.pad(picture, (_SIDE, _SIDE), color="white")
