"""Pictures and videos in and out, grids, strips and curves."""

from vision.media.curves import Curve, curves_of, plot_curves, plot_panels
from vision.media.grid import enlargement, image_grid, strip
from vision.media.image import (
    UnreadableImageError,
    decode_image,
    image_size,
    is_transparent,
    read_image,
    to_image,
    to_tensor,
    write_image,
)
from vision.media.resize import resize_and_crop, resize_and_pad
from vision.media.video import UnreadableVideoError, cut_to_groups, read_video, write_video

__all__ = [
    "Curve",
    "UnreadableImageError",
    "UnreadableVideoError",
    "curves_of",
    "cut_to_groups",
    "decode_image",
    "enlargement",
    "image_grid",
    "image_size",
    "is_transparent",
    "plot_curves",
    "plot_panels",
    "read_image",
    "read_video",
    "resize_and_crop",
    "resize_and_pad",
    "strip",
    "to_image",
    "to_tensor",
    "write_image",
    "write_video",
]
