"""Clear photographs without depth as scenes."""

from pathlib import Path

from vision.dehaze.picture_files import read_pixels
from vision.dehaze.synthetic.hazing import invented_depth
from vision.dehaze.synthetic.scene import Scene
from vision.latents.identity import named_generator


def read_photograph_scene(picture: Path, seed: int) -> Scene:
    """One clear photograph over an invented depth, the same for the same seed and name.

    Args:
        picture: of any format that Pillow reads.
        seed: of the depth.

    Raises:
        ValueError: the file is missing or damaged.
    """
    clear = read_pixels(picture)
    drawn = named_generator("depth", seed, picture.stem)
    height, width = clear.shape[1:]
    return Scene(picture.stem, clear, invented_depth(height, width, drawn))
