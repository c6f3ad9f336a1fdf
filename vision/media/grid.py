"""Grids of pictures with labels."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_INK, _PAPER = "black", "white"


def image_grid(
    rows: Sequence[Sequence[Image.Image | None]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    *,
    scale: int = 1,
    gap: int = 2,
    font_size: int = 12,
) -> Image.Image:
    """Pictures in rows, with labels at the left and on top.

    Args:
        rows: pictures of one size, row by row; None leaves a place empty, and so does a shorter row.
        row_labels: one a row.
        column_labels: one a column; broken into lines where it is wider than its column.
        scale: each pixel becomes so many, for small pictures.
        gap: pixels between pictures.
        font_size: in pixels.

    Returns:
        A picture of mode "RGB".

    Raises:
        ValueError: no picture, pictures of several sizes, or labels that do not fit the rows and columns.
    """
    sizes = {image.size for row in rows for image in row if image is not None}
    if len(sizes) != 1:
        found = ", ".join(f"{width} x {height}" for width, height in sorted(sizes)) or "none"
        raise ValueError(f"a grid takes pictures of one size, found {found}")
    width, height = (side * scale for side in sizes.pop())
    columns = max(len(row) for row in rows)
    for name, labels, count in (("row", row_labels, len(rows)), ("column", column_labels, columns)):
        if labels is not None and len(labels) != count:
            raise ValueError(f"a grid of {count} {name}s needs as many labels, found {len(labels)}")

    font = ImageFont.load_default(font_size)
    broken = [_break(label, width, font) for label in column_labels or []]
    left = 0 if row_labels is None else max(_size(label, font)[0] for label in row_labels) + 2 * gap + 4
    top = 0 if column_labels is None else max(_size(label, font)[1] for label in broken) + 2 * gap + 4
    grid = Image.new(
        "RGB", (left + columns * (width + gap) + gap, top + len(rows) * (height + gap) + gap), _PAPER
    )
    draw = ImageDraw.Draw(grid)
    for j, label in enumerate(broken):
        x = left + gap + j * (width + gap) + width / 2
        draw.multiline_text((x, top - 2), label, _INK, font, anchor="md", align="center")
    for i, row in enumerate(rows):
        y = top + gap + i * (height + gap)
        if row_labels is not None:
            draw.multiline_text(
                (left - 4, y + height / 2), row_labels[i], _INK, font, anchor="rm", align="right"
            )
        for j, image in enumerate(row):
            if image is not None:
                enlarged = image.resize((width, height), Image.Resampling.NEAREST)
                grid.paste(enlarged.convert("RGB"), (left + gap + j * (width + gap), y))
    return grid


def enlargement(picture: Image.Image) -> int:
    """The ``scale`` that brings a small picture to about 84 pixels, for the eye; 1 for others."""
    return max(1, 84 // picture.width)


def strip(
    frames: Sequence[Image.Image], count: int | None = None, *, scale: int = 1, gap: int = 2
) -> Image.Image:
    """Frames of a video side by side: all, or ``count`` evenly spaced ones with the first and the last."""
    if not frames:
        raise ValueError("a strip needs at least one frame")
    count = len(frames) if count is None else min(count, len(frames))
    numbers = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return image_grid([[frames[i] for i in numbers]], scale=scale, gap=gap)


def _size(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> tuple[int, int]:
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font)
    return round(box[2] - box[0]) + 1, round(box[3]) + 1


def _break(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Breaks a label at spaces so that its lines fit ``width``; a longer word stays whole."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _size(longer, font)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)
