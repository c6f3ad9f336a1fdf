"""A world model and the pictures that it begins with, as the command lines name them."""

from pathlib import Path

import diffusers
from PIL import Image

from infer.batch import DTYPES
from vision import WorldPipeline
from vision.media import read_image, read_video, resize_and_crop, to_image
from vision.processes import chosen_device


def load_world(model: str, dtype: str | None, device: str | None) -> WorldPipeline:
    """A pipeline where it computes, without progress bars.

    Args:
        model: folder or hub id.
        dtype: name of a type; None for bfloat16 on CUDA and float32 elsewhere.
        device: None for the best there is.
    """
    place = chosen_device(device)
    kind = DTYPES[dtype or ("bfloat16" if place.type == "cuda" else "float32")]
    diffusers.utils.logging.disable_progress_bar()
    pipeline = WorldPipeline.from_pretrained(model, dtype=kind).to(place)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def read_first_frame(path: Path) -> Image.Image:
    """The picture of a file, or the first frame of an .mp4."""
    return to_image(read_video(path)[0][:, 0]) if path.suffix.lower() == ".mp4" else read_image(path)


def fitted(picture: Image.Image, pipeline: WorldPipeline) -> Image.Image:
    """The picture, scaled and cut to the size that the model was made for."""
    height, width = pipeline.config["default_height"], pipeline.config["default_width"]
    return picture if None in (height, width) else resize_and_crop(picture, height, width)
