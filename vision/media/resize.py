"""Pictures at the size that a network takes."""

from PIL import Image


def resize_and_crop(image: Image.Image, height: int, width: int) -> Image.Image:
    """Scales a picture until it covers ``height`` x ``width``, then cuts out the centre.

    The aspect stays; what is cut off lies at two opposite sides.
    """
    if image.size == (width, height):
        return image
    scale = max(height / image.height, width / image.width)
    # The cut in coordinates of the original, so that the picture is resampled once.
    cut_width, cut_height = min(width / scale, image.width), min(height / scale, image.height)
    left, top = (image.width - cut_width) / 2, (image.height - cut_height) / 2
    box = (left, top, left + cut_width, top + cut_height)
    return image.resize((width, height), Image.Resampling.LANCZOS, box)
