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


def resize_and_pad(image: Image.Image, height: int, width: int, colour: str = "white") -> Image.Image:
    """Scales a picture until it fits whole into ``height`` x ``width``, in the middle of one colour.

    Returns:
        A picture of mode "RGB".
    """
    scale = min(height / image.height, width / image.width)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    whole = Image.new("RGB", (width, height), colour)
    resized = image.resize(size, Image.Resampling.LANCZOS)
    whole.paste(resized, ((width - size[0]) // 2, (height - size[1]) // 2))
    return whole
