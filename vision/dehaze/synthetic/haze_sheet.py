"""A picture that shows which hazes were made."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from vision.dehaze.synthetic.synthesis import SampleFiles, read_truth
from vision.media import image_grid, read_image, resize_and_crop, to_image, write_image

_SCENES, _WIDTH, _HEIGHT = 6, 160, 120


def write_haze_sheet(shown: Sequence[dict[str, SampleFiles]], path: Path) -> None:
    """Draws the first scenes, two rows each: clear and hazy pictures, and below these their transmission.

    Args:
        shown: files of each scene by the kind of haze; at least one.
        path: of the PNG.
    """
    rows: list[list[Image.Image | None]] = []
    labels: list[str] = []
    for files in shown[:_SCENES]:
        first = next(iter(files.values()))
        rows.append([_small(read_image(first.clear)), *(_small(read_image(f.hazy)) for f in files.values())])
        labels.append(first.clear.stem)
        rows.append([None, *(_small(to_image(read_truth(f.truth)[0] * 2 - 1)) for f in files.values())])
        labels.append("transmission")
    write_image(image_grid(rows, labels, ["clear", *shown[0]]), path)


def _small(image: Image.Image) -> Image.Image:
    return resize_and_crop(image, _HEIGHT, _WIDTH)
