"""The agnostic mask of the studio: what a try-on model has to draw anew, whatever the garment does.

Legend: H height, W width in pixels.
"""

import numpy as np

from vision.tryon.drawing.canvas import Canvas
from vision.tryon.drawing.cloth import local
from vision.tryon.drawing.figure import HEAD, Body, Figure
from vision.tryon.drawing.sleeve import limb, width_along
from vision.tryon.hand_render import shade_hand

_MARGIN, _ARM_WIDTHS = 0.075, (0.095, 0.085, 0.07)
_TOP, _BOTTOM = 0.145, 0.955


def agnostic_mask(canvas: Canvas, figure: Figure, body: Body) -> np.ndarray:
    """Trunk, arms and hands with a margin; the face is left alone where no arm lies before it.

    It depends on the body's joints alone, so that neither the garment nor how it is worn shows in it.

    Returns:
        bool, shape (H, W), True where pixels are to be generated.
    """
    step = canvas.samples
    window = np.s_[step // 2 :: step, step // 2 :: step]
    x, y = canvas.x[window], canvas.y[window]
    local_x, local_y = local(x, y, body)
    # Shoulders slope; where a collar can stand up, the margin is wider.
    top = _TOP + 0.9 * np.clip(np.abs(local_x) - 0.1, 0, None)
    # Cloth that is stretched reaches out at the waist.
    margin = _MARGIN + 0.035 * np.exp(-(((local_y - 0.56) / 0.13) ** 2))
    wide = figure.half_width(local_y) + margin
    mask = (np.abs(local_x) < wide) & (local_y > top) & (local_y < _BOTTOM)
    mask &= np.hypot(local_x / (0.078 * figure.face), (local_y - HEAD[1]) / 0.102) >= 1
    # Arms and hands can lie before the face.
    for side in (-1, 1):
        arm = limb(x, y, (body.shoulders[side], body.elbows[side], body.wrists[side]), side)
        mask |= np.abs(arm.aside) < width_along(arm.along, _ARM_WIDTHS) * figure.arm
        hand = canvas.landmarks(body.hands[side])
        thicker = hand[0] + (hand - hand[0]) * 1.12
        mask |= shade_hand(thicker, canvas.height, canvas.width).covered
        wrist = canvas.to_pixels(body.wrists[side])
        far = np.hypot(
            np.arange(canvas.width) + 0.5 - wrist[0], np.arange(canvas.height)[:, None] + 0.5 - wrist[1]
        )
        mask |= far < 0.05 * canvas.scale / canvas.samples
    return mask
