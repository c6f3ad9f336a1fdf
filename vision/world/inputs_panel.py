"""The gamepad below the frames that it made.

Legend: T frames, H height, W width in pixels.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from vision.world.gamepad import BUTTONS

_PAPER, _LINE, _HELD = (24, 24, 28), (120, 120, 130), (255, 170, 40)
#: Width from which a frame is not enlarged, and that over the height of the panel.
_WIDTH, _ASPECT = 256, 5


def with_inputs(pixels: Tensor, sticks: Tensor, buttons: Tensor) -> Tensor:
    """Frames with a panel below each: two sticks in their circles, a field for each button, lit when pressed.

    Small frames are enlarged, each pixel to a square. Row t is what is held while frame t is shown.

    Args:
        pixels: uint8, shape (3, T, H, W).
        sticks: rows in [-1, 1], shape (T or more, 4); below 0 is left and up.
        buttons: rows of 0 and 1, shape (T or more, 6).

    Returns:
        uint8, shape (3, T, H', W'), both sides even.

    Raises:
        ValueError: fewer rows than frames.
    """
    count = pixels.shape[1]
    if min(len(sticks), len(buttons)) < count:
        raise ValueError(
            f"there are {len(sticks)} rows of sticks and {len(buttons)} of buttons for {count} frames; give "
            "a row a frame"
        )
    scale = max(1, -(-_WIDTH // pixels.shape[3]))
    large = pixels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    width = large.shape[3]
    rows = zip(sticks[:count], buttons[:count], strict=True)
    panels = [_panel(width // _ASPECT, width, *row) for row in rows]
    below = torch.from_numpy(np.stack(panels)).permute(3, 0, 1, 2)  # (3, T, h, W')
    whole = torch.cat([large, below], dim=2)
    return whole[:, :, : whole.shape[2] // 2 * 2, : whole.shape[3] // 2 * 2]


def _panel(height: int, width: int, sticks: Tensor, buttons: Tensor) -> np.ndarray:
    """uint8, shape (height, width, 3)."""
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    margin = max(1, height // 12)
    radius = (height - 2 * margin) / 2
    for place, (x, y) in ((0, sticks[:2].tolist()), (1, sticks[2:].tolist())):
        centre = (margin + radius if place == 0 else width - margin - radius, height / 2)
        _circle(draw, *centre, radius, outline=_LINE)
        knob = radius / 3
        _circle(draw, centre[0] + x * (radius - knob), centre[1] + y * (radius - knob), knob, fill=_HELD)
    left, right = 2 * (radius + margin), width - 2 * (radius + margin)
    step = (right - left) / len(BUTTONS)
    for place, (name, pressed) in enumerate(zip(BUTTONS, buttons.tolist(), strict=True)):
        box = (left + place * step + 1, margin, left + (place + 1) * step - 1, height - margin)
        draw.rectangle(box, fill=_HELD if pressed else None, outline=_LINE)
        centre = ((box[0] + box[2]) / 2, height / 2)
        draw.text(centre, name, _PAPER if pressed else _LINE, anchor="mm", font_size=max(6, step / 3.6))
    return np.asarray(image)


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, **style: Any) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), **style)
