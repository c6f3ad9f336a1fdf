"""The heads of the studio's people.

Legend: H, W of the canvas; places in heights of the frame.
"""

import numpy as np

from vision.tryon.drawing.figure import HEAD, Body, Figure, rotation

_LIPS, _EYE_WHITE = np.array([0.72, 0.3, 0.3]), np.array([0.97, 0.97, 0.95])

# Everything of a head lies so near to its middle.
_REACH = (0.13, 0.15)


def paint_back_of_hair(canvas: np.ndarray, x: np.ndarray, y: np.ndarray, figure: Figure, body: Body) -> None:
    """What hangs behind the neck and shoulders."""
    fx, fy = _face_places(x, y, body)
    width = 0.078 * figure.face
    if figure.hair_style == "long":
        hangs = (np.abs(fx) < width + 0.12 * np.clip(fy, 0, 0.15)) & (fy > -0.05) & (fy < 0.155 - 2 * fx**2)
        canvas[hangs] = figure.hair * 0.75
    elif figure.hair_style == "bun":
        canvas[np.hypot(fx, fy + 0.115) < 0.036] = figure.hair * 0.85


def paint_head(canvas: np.ndarray, x: np.ndarray, y: np.ndarray, figure: Figure, body: Body) -> np.ndarray:
    """Face, ears and hair over what is painted already.

    Returns:
        Where they are: bool, shape (H, W).
    """
    painted = np.zeros(x.shape, bool)
    middle = body.to_picture(HEAD)
    columns = np.flatnonzero(np.abs(x[0] - middle[0]) < _REACH[0])
    rows = np.flatnonzero(np.abs(y[:, 0] - middle[1]) < _REACH[1])
    whole = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    covered = painted[whole]
    canvas, (fx, fy) = canvas[whole], _face_places(x[whole], y[whole], body)
    turn = 0.028 * body.yaw
    rx, ry = 0.07 * figure.face, 0.098
    # The jaw is narrower than the forehead.
    squeeze = 1 + np.clip(fy, 0, None) * 2.2
    sx, sy = fx / rx * squeeze, fy / ry
    face = sx**2 + sy**2 < 1
    covered |= face
    for side in (-1, 1):
        ear = np.hypot((fx - side * rx * 0.98 - turn * 0.3) / 0.6, fy - 0.008) < 0.018
        canvas[ear] = figure.skin * 0.82
        covered |= ear
    up = np.sqrt(np.clip(1 - sx**2 - sy**2, 0, 1))
    light = 0.66 + 0.42 * np.clip(-0.42 * sx - 0.35 * sy + 0.75 * up, 0, 1)
    canvas[face] = np.clip(light[face][:, None] * figure.skin, 0, 1)

    def paint(where: np.ndarray, colour: np.ndarray, strength: float = 1.0) -> None:
        chosen = where & face
        canvas[chosen] = (1 - strength) * canvas[chosen] + strength * colour

    for side in (-1, 1):
        ex, ey = fx - side * 0.028 - turn, fy + 0.008
        paint((ex / 0.0155) ** 2 + (ey / 0.0085) ** 2 < 1, _EYE_WHITE)
        paint(np.hypot(ex - 0.2 * turn, ey) < 0.0078, figure.hair * 0.35)
        brow = (np.abs(ex) < 0.018) & (np.abs(ey + 0.025 - 6 * ex**2) < 0.0042)
        paint(brow, figure.hair * 0.7, 0.85)
    paint((np.abs(fx - turn * 1.4 - 0.007) < 0.0045) & (np.abs(fy - 0.018) < 0.022), figure.skin * 0.66, 0.6)
    paint(np.hypot((fx - turn * 1.3) / 1.6, fy - 0.036) < 0.007, figure.skin * 0.62, 0.6)
    smile = fy - 0.06 + 7 * (fx - turn * 1.1) ** 2
    paint((np.abs(fx - turn * 1.1) < 0.024) & (np.abs(smile) < 0.0058), _LIPS * (0.4 + 0.6 * figure.skin))
    if figure.hair_style == "bald":
        return painted
    outer = (fx / (rx * 1.13)) ** 2 + ((fy + 0.012) / (ry * 1.06)) ** 2 < 1
    line = (
        -0.048 + 6 * (fx - 0.02 - turn * 0.6) ** 2 if figure.hair_style != "short" else -0.052 + 1.5 * fx**2
    )
    low = {"short": 0.0, "bun": -0.005, "long": 0.07}[figure.hair_style]
    sides = (np.abs(fx) > rx * 0.9) & (fy < low)
    hair = outer & ((fy < line) | sides)
    shine = 0.85 + 0.35 * np.exp(-(((fx + 0.03) / 0.03) ** 2 + ((fy + 0.08) / 0.02) ** 2))
    canvas[hair] = np.clip(shine[hair][:, None] * figure.hair, 0, 1)
    covered |= hair
    return painted


def _face_places(x: np.ndarray, y: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Upright places from the middle of the face."""
    middle = body.to_picture(HEAD)
    turn = rotation(-(body.lean + body.tilt))
    dx, dy = x - middle[0], y - middle[1]
    return turn[0, 0] * dx + turn[0, 1] * dy, turn[1, 0] * dx + turn[1, 1] * dy
