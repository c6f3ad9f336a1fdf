"""The studio's garments: a cut, colours and a print, as textures of body and sleeve.

Legend: u across and v down the cloth, from 0 to 1; N the side of a texture. Body: v = 0 at the neck, 1 at the
hem. Sleeve: v = 0 at the shoulder, 1 at the wrist.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from vision.flow.draws import keyed_generator
from vision.tryon.drawing.prints import MOTIFS, PATTERNS, PHOTOGRAPHS, motif, pattern, photograph

Cut = Literal["jacket", "shirt", "polo"]
CUTS: tuple[Cut, ...] = ("jacket", "shirt", "polo")
#: v of the buttons of a cut, from the top; a jacket has a zip.
BUTTONS: dict[Cut, tuple[float, ...]] = {
    "jacket": (),
    "shirt": (0.12, 0.24, 0.36, 0.48, 0.60),
    "polo": (0.10, 0.21, 0.32),
}
#: Where a sleeve ends, in halves of the arm.
SLEEVE_ENDS: dict[Cut, float] = {"jacket": 1.92, "shirt": 1.88, "polo": 0.8}
#: Garments of each cut and split; a clip draws one of them.
GARMENTS = 5000
_SIZE = 224
# The cloth of a grown-up's body and sleeve, in heights of the frame.
_BODY, _SLEEVE = (0.33, 0.57), (0.13, 0.46)


@dataclass(frozen=True)
class Garment:
    """One garment.

    Attributes:
        name: its split, cut and number.
        cut: how it is sewn, which decides what can be done with it.
        body: texture, float32 RGB in [0, 1], shape (N, N, 3).
        sleeve: likewise.
        collar: RGB in [0, 1].
        lining: of cuffs that are rolled up.
        folds: brightness of the cloth's own folds around 1, float32, shape (N, N).
    """

    name: str
    cut: Cut
    body: np.ndarray
    sleeve: np.ndarray
    collar: np.ndarray
    lining: np.ndarray
    folds: np.ndarray


def garment(split: str, cut: Cut, number: int) -> Garment:
    """Garment ``number`` of those of a cut that a split may show; see :data:`GARMENTS`."""
    draws = keyed_generator("garment", split, cut, number)
    colours = _palette(draws)
    v, u = (np.mgrid[:_SIZE, :_SIZE].astype(np.float32) + 0.5) / _SIZE
    kind = draws.choice(["pattern", "photograph", "motif", "cloth"], p=[0.4, 0.3, 0.18, 0.12])
    kinds, key = draws.choice(PATTERNS), draws.integers(2**32)

    def drawn(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return pattern(str(kinds), x, y, colours, keyed_generator("pattern", int(key)))

    plain = np.broadcast_to(colours[0].astype(np.float32), (_SIZE, _SIZE, 3))
    body, sleeve = plain.copy(), plain.copy()
    contrast = draws.random() < 0.3
    if kind == "pattern":
        body = drawn((u - 0.5) * _BODY[0], v * _BODY[1])
        sleeve = drawn((u - 0.5) * _SLEEVE[0], v * _SLEEVE[1])
    elif kind == "cloth":
        picture = photograph(str(draws.choice(PHOTOGRAPHS[split])))
        side = min(picture.shape[:2])
        body = cv2.resize(picture[:side, :side], (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
        body = (0.75 * body + 0.25 * colours[0]).astype(np.float32)
        sleeve = np.ascontiguousarray(body[:, : _SIZE // 2])
        sleeve = cv2.resize(sleeve, (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
    else:
        _print_on_chest(body, kind, split, colours, draws)
    if contrast and kind != "cloth":
        sleeve = np.broadcast_to(colours[1].astype(np.float32), (_SIZE, _SIZE, 3)).copy()
    _sew(body, cut, colours)
    collar = colours[1] if contrast or cut == "polo" else colours[0] * 0.82
    lining = np.clip(0.55 * sleeve.mean((0, 1)) + 0.45, 0, 1)
    folds = _folds(draws)
    return Garment(f"{split}-{cut}-{number}", cut, body, sleeve, collar, lining, folds)


def _palette(draws: np.random.Generator) -> np.ndarray:
    """Three colours that can be told apart, RGB in [0, 1], shape (3, 3)."""
    hues = (draws.random() + np.array([0, draws.uniform(0.3, 0.7), draws.uniform(0.1, 0.9)])) % 1
    values = np.array([draws.uniform(0.45, 0.95), draws.uniform(0.3, 1), draws.uniform(0.75, 1)])
    values[1] = values[0] + (0.4 if values[0] < 0.6 else -0.4)
    saturations = np.array([draws.uniform(0.35, 0.9), draws.uniform(0.4, 1), draws.uniform(0, 0.5)])
    hsv = np.stack([360 * hues, saturations, np.clip(values, 0.12, 1)], axis=1).astype(np.float32)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def _print_on_chest(
    body: np.ndarray, kind: str, split: str, colours: np.ndarray, draws: np.random.Generator
) -> None:
    width, top = draws.uniform(0.17, 0.22), draws.uniform(0.13, 0.18)
    columns, rows = round(_SIZE * width / _BODY[0]), round(_SIZE * width / _BODY[1])
    left, first = (_SIZE - columns) // 2, round(_SIZE * top / _BODY[1])
    if kind == "photograph":
        picture = photograph(str(draws.choice(PHOTOGRAPHS[split])))
        side = int(min(picture.shape[:2]) * draws.uniform(0.75, 1))
        y, x = (int(draws.integers(length - side + 1)) for length in picture.shape[:2])
        drawn, where = picture[y : y + side, x : x + side], np.ones((side, side), np.float32)
    else:
        drawn, where = motif(str(draws.choice(MOTIFS)), 128, colours[1:], draws)
    drawn = cv2.resize(drawn, (columns, rows), interpolation=cv2.INTER_AREA)
    where = cv2.resize(where, (columns, rows), interpolation=cv2.INTER_AREA)[..., None]
    window = body[first : first + rows, left : left + columns]
    window[:] = where * drawn + (1 - where) * window


def _sew(body: np.ndarray, cut: Cut, colours: np.ndarray) -> None:
    """Draws the front's edge, the buttons and the hem."""
    seam = colours[0] * 0.45
    middle, one = _SIZE / 2, _SIZE / 100
    body[round(0.965 * _SIZE) :] *= 0.75
    if cut == "jacket":
        body[:, round(middle - 1.6 * one) : round(middle + 1.6 * one)] = seam
        body[:, round(middle - 0.6 * one) : round(middle + 0.6 * one)] = 0.8
        return
    end = 1.0 if cut == "shirt" else BUTTONS[cut][-1] + 0.07
    rows = slice(0, round(end * _SIZE))
    body[rows, round(middle - 3.2 * one) : round(middle + 3.2 * one)] *= 0.86
    body[rows, round(middle - 3.8 * one) : round(middle - 2.6 * one)] = seam
    for v in BUTTONS[cut] + ((0.72, 0.84) if cut == "shirt" else ()):
        centre, axes = (round(middle + 0.5 * one), round(v * _SIZE)), (round(2.9 * one), round(1.7 * one))
        cv2.ellipse(body, centre, axes, 0, 0, 360, (0.96, 0.95, 0.9), -1, cv2.LINE_AA)
        cv2.ellipse(body, centre, axes, 0, 0, 360, seam.tolist(), 1, cv2.LINE_AA)


def _folds(draws: np.random.Generator) -> np.ndarray:
    noise = draws.standard_normal((14, 5)).astype(np.float32)
    smooth = cv2.resize(noise, (_SIZE, _SIZE), interpolation=cv2.INTER_CUBIC)
    return 1 + 0.07 * np.clip(smooth, -2, 2)
