"""Draws the studio's frames: background, person, garment and hands, with the cloth map.

Legend: H height, W width of the frames in pixels.
"""

from typing import NamedTuple

import cv2
import numpy as np

from vision.tryon.drawing.actions import ClothState
from vision.tryon.drawing.canvas import Canvas
from vision.tryon.drawing.cloth import Places, collar_flaps, flap_places, front, local
from vision.tryon.drawing.figure import (
    CLOTH_HEM,
    CLOTH_TOP,
    FOREARM,
    NECK,
    UPPER_ARM,
    Body,
    Figure,
)
from vision.tryon.drawing.garment import Garment
from vision.tryon.drawing.head import paint_back_of_hair, paint_head
from vision.tryon.drawing.sleeve import (
    ARM_WIDTHS,
    SLEEVE_WIDTHS,
    Limb,
    Sleeve,
    limb,
    limb_light,
    sleeve,
    width_along,
)
from vision.tryon.hand_render import shade_hand

#: A cloth map holds 1 + 65534 x (place in the garment's picture, 0 to 1); 0 is no cloth.
MAP_SCALE = 65534
_WHITE = np.ones(3)
_LOOKUPS = 4096


class Painted(NamedTuple):
    """A frame.

    Attributes:
        pixels: uint8, shape (H, W, 3).
        cloth: which place of the garment's picture each pixel shows, (x, y) as :data:`MAP_SCALE` says;
            uint16, shape (H, W, 2).
    """

    pixels: np.ndarray
    cloth: np.ndarray


def paint_frame(
    canvas: Canvas, background: np.ndarray, figure: Figure, garment: Garment, body: Body, state: ClothState
) -> Painted:
    """Draws a frame.

    Args:
        canvas: of the clip.
        background: float32 RGB in [0, 1], of the canvas' shape.
        figure: who is seen.
        garment: what they wear.
        body: where their joints are.
        state: how the garment is worn.
    """
    painting, flat = background.copy(), np.full((*canvas.shape, 2), -1, np.float32)
    x, y = canvas.x, canvas.y
    local_x, local_y = local(x, y, body)
    paint_back_of_hair(painting, x, y, figure, body)
    below = np.s_[int(np.searchsorted(y[:, 0], 0.15)) :]
    _paint_trunk(painting[below], local_x[below], local_y[below], figure, body)
    _dress(painting, flat, canvas, (local_x, local_y), figure, garment, body, state)
    flat[paint_head(painting, x, y, figure, body)] = -1
    for side in (-body.front, body.front):
        joints = (body.shoulders[side], body.elbows[side], body.wrists[side])
        window = canvas.window(joints)
        arm = limb(x[window], y[window], joints, side)
        worn = sleeve(arm, figure.arm, garment.cut, state.rolled[side])
        _paint_arm(painting[window], flat[window], arm, figure, garment, worn, side)
        _paint_hand(painting, flat, canvas, figure, body.hands[side])
    return Painted(canvas.reduced(painting), _cloth_map(canvas, flat))


def _paint_arm(
    painting: np.ndarray,
    flat: np.ndarray,
    arm: Limb,
    figure: Figure,
    garment: Garment,
    worn: Sleeve,
    side: int,
) -> None:
    across = arm.aside / (width_along(arm.along, ARM_WIDTHS) * figure.arm)
    skin = np.abs(across) < 1
    light = limb_light(arm, np.clip(across, -1, 1))
    painting[skin] = np.clip(light[skin][:, None] * figure.skin, 0, 1)
    flat[skin] = -1
    _paint_cloth(painting, garment.sleeve, garment.folds, worn.cloth)
    painting[worn.cuff] = np.clip(worn.cloth.light[worn.cuff][:, None] * garment.lining, 0, 1)
    flat[worn.cloth.covered] = _flat_sleeve(worn.cloth, side)
    flat[worn.cuff] = -1  # the lining, which the picture does not show


def garment_picture(canvas: Canvas, garment: Garment) -> np.ndarray:
    """The garment by itself, closed and flat on white: uint8, shape (H, W, 3)."""
    painting = np.ones((*canvas.shape, 3), np.float32)
    flat = np.full((*canvas.shape, 2), -1, np.float32)
    local_x, local_y = local(canvas.x, canvas.y, FLAT)
    back = (local_x / 0.06) ** 2 + ((local_y - CLOTH_TOP) / 0.05) ** 2 < 1
    painting[back & (local_y > 0.262)] = garment.lining * 0.7
    for side in (-1, 1):
        joints = (FLAT.shoulders[side], FLAT.elbows[side], FLAT.wrists[side])
        worn = sleeve(limb(canvas.x, canvas.y, joints, side), 1.0, garment.cut, 0.0)
        _paint_cloth(painting, garment.sleeve, garment.folds, worn.cloth)
    _dress(painting, flat, canvas, (local_x, local_y), MANNEQUIN, garment, FLAT, ClothState())
    return canvas.reduced(painting)


def _flat_body() -> Body:
    shift, angle = np.array([0, -0.075]), np.radians(24)
    ends = {side: np.array([side * np.sin(angle), np.cos(angle)]) for side in (-1, 1)}
    shoulders = {side: np.array([side * 0.165 * 0.86, 0.362]) + shift for side in (-1, 1)}
    elbows = {side: shoulders[side] + UPPER_ARM * ends[side] for side in (-1, 1)}
    wrists = {side: elbows[side] + FOREARM * ends[side] for side in (-1, 1)}
    return Body(shift, 0.0, 0.0, 0.0, shoulders, elbows, wrists, {})


#: The body of the flat garment.
FLAT = _flat_body()
MANNEQUIN = Figure("mannequin", _WHITE, _WHITE, _WHITE, _WHITE)


def _paint_trunk(painting: np.ndarray, x: np.ndarray, y: np.ndarray, figure: Figure, body: Body) -> None:
    """Neck, chest, what is worn below, and trousers."""
    half = figure.half_width(y)
    inside = np.abs(x) < half
    light = 0.66 + 0.4 * np.sqrt(np.clip(1 - (x / half) ** 2, 0, 1)) - 0.1 * x / half
    neck = (np.abs(x - 0.004 * body.yaw) < 0.042) & (y > 0.2) & (y < 0.34)
    chest = inside & (y > NECK[1] + 0.02 + 0.045 * (x / figure.shoulder) ** 2)
    shade = np.where(y < 0.275, 0.72, 0.92)
    for where, colour, bright in (
        (neck | chest, figure.skin, np.where(neck & (y < 0.32), shade, light)),
        (chest & (y > 0.42 - 1.6 * (0.09 - np.minimum(np.abs(x), 0.09)) ** 2 * 8), figure.inner, light),
        (inside & (y > 0.72), figure.skin, light),
        (inside & (y > 0.79) & (y < 0.815), figure.trousers * 0.5, light),
        (inside & (y >= 0.815), figure.trousers, light),
    ):
        painting[where] = np.clip(bright[where][:, None] * colour, 0, 1)


def _dress(
    painting: np.ndarray,
    flat: np.ndarray,
    canvas: Canvas,
    places: tuple[np.ndarray, np.ndarray],
    figure: Figure,
    garment: Garment,
    body: Body,
    state: ClothState,
) -> None:
    """The garment's body and collar."""
    worn = front(*places, figure, body, garment.cut, state)
    _paint_cloth(painting, garment.body, garment.folds, worn.cloth)
    painting[worn.opening] *= 0.88
    covered = worn.cloth.covered
    flat[covered] = _flat_front(worn.cloth.u[covered], worn.cloth.v[covered])
    if garment.cut == "jacket":
        slider = (
            (np.abs(worn.cloth.u - 0.5) < 0.022)
            & (np.abs(worn.cloth.v - worn.height - 0.02) < 0.022)
            & covered
        )
        painting[slider] = (0.95, 0.93, 0.75)
    flaps = collar_flaps(state)
    rests = collar_flaps(ClothState())
    for side, corners in flaps.items():
        pixels = canvas.to_pixels(body.to_picture(corners)) * canvas.samples
        drawn, to_square = flap_places(pixels, canvas.shape)
        light = 1.0 - 0.16 * state.collar[side] + 0.05 * -side
        painting[drawn] = np.clip(garment.collar * light, 0, 1)
        cv2.polylines(
            painting, [np.round(pixels * 16).astype(np.int32)], True, (garment.collar * 0.55).tolist(),
            max(1, canvas.samples // 2), cv2.LINE_8, 4,
        )  # fmt: skip
        rows, columns = np.nonzero(drawn)
        if len(rows):
            places_of = np.stack([columns, rows], axis=1)[None].astype(np.float32)
            square = cv2.perspectiveTransform(places_of, to_square)[0]
            flat[drawn] = _bilinear(FLAT.to_picture(rests[side]), square)


def _bilinear(corners: np.ndarray, square: np.ndarray) -> np.ndarray:
    a, b = np.clip(square[:, :1], 0, 1), np.clip(square[:, 1:], 0, 1)
    return (
        (1 - a) * (1 - b) * corners[0]
        + a * (1 - b) * corners[1]
        + a * b * corners[2]
        + (1 - a) * b * corners[3]
    )


def _paint_cloth(painting: np.ndarray, texture: np.ndarray, folds: np.ndarray, places: Places) -> None:
    rows, columns = np.nonzero(places.covered)
    if len(rows) == 0:
        return
    u, v = places.u[rows, columns], places.v[rows, columns]
    bright = _looked_up(folds, u, v) * places.light[rows, columns]
    colours = _looked_up(texture, u, v)
    painting[rows, columns] = np.clip(colours * bright[:, None], 0, 1)


def _looked_up(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A texture at places (N,), between its pixels linearly."""
    # In rows of some thousands, since OpenCV takes no longer ones.
    rows = -(-len(u) // _LOOKUPS)
    places = np.zeros((2, rows * _LOOKUPS), np.float32)
    places[:, : len(u)] = u, v
    x, y = (places * len(texture) - 0.5).reshape(2, rows, _LOOKUPS)
    found = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, *texture.shape[2:])[: len(u)]


def _paint_hand(
    painting: np.ndarray, flat: np.ndarray, canvas: Canvas, figure: Figure, landmarks: np.ndarray
) -> None:
    hand = shade_hand(canvas.landmarks(landmarks) * canvas.samples, *canvas.shape)
    bright = 0.42 + 0.72 * hand.brightness[hand.covered]
    painting[hand.covered] = np.clip(bright[:, None] * figure.skin, 0, 1)
    flat[hand.covered] = -1


def _flat_front(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    y = CLOTH_TOP + v * (CLOTH_HEM - CLOTH_TOP)
    x = (2 * u - 1) * (MANNEQUIN.half_width(y) + 0.012)
    return FLAT.to_picture(np.stack([x, y], axis=1))


def _flat_sleeve(places: Places, side: int) -> np.ndarray:
    along = 2 * places.v[places.covered]
    across = (2 * places.u[places.covered] - 1) * width_along(along, SLEEVE_WIDTHS)
    start, middle, end = FLAT.shoulders[side], FLAT.elbows[side], FLAT.wrists[side]
    upper, fore = np.clip(along, 0, 1)[:, None], np.clip(along - 1, 0, 1)[:, None]
    dx, dy = (end - start) / np.hypot(*(end - start))
    normal = np.array([dy, -dx]) * side
    return start + upper * (middle - start) + fore * (end - middle) + across[:, None] * normal


def _cloth_map(canvas: Canvas, flat: np.ndarray) -> np.ndarray:
    """Of the middle of each pixel."""
    step = canvas.samples
    chosen = flat[step // 2 :: step, step // 2 :: step]
    there = chosen[..., :1] > -0.9
    places = canvas.to_pixels(chosen) / (canvas.width, canvas.height)
    return np.where(there, 1 + np.round(MAP_SCALE * np.clip(places, 0, 1)), 0).astype(np.uint16)
