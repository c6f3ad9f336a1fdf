"""Prints for the studio's garments: photographs of scikit-image and generated patterns.

Legend: h, w of the patch in pixels; lengths are in heights of the frame, so that a pattern has one scale on
sleeve and body.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from vision.media.image import read_image, to_tensor

#: Photographs by the split that may use them.
PHOTOGRAPHS = {
    "train": (
        "astronaut",
        "coffee",
        "hubble_deep_field",
        "motorcycle_left",
        "brick",
        "retina",
        "ihc",
        "coins",
    ),
    "test": ("chelsea", "rocket", "gravel", "moon"),
}
PATTERNS = ("stripes", "check", "dots", "zigzag", "tartan", "blotches", "rings")
MOTIFS = ("star", "heart", "ring", "number", "flower")


@cache
def photograph(name: str) -> np.ndarray:
    """A photograph that scikit-image carries: float32 RGB in [0, 1], its shorter side 128 pixels."""
    folder = Path(skimage.data.__file__).parent
    path = next(
        folder / f"{name}{ending}" for ending in (".png", ".jpg") if (folder / f"{name}{ending}").is_file()
    )
    pixels = to_tensor(read_image(path)).permute(1, 2, 0).numpy()
    scale = 128 / min(pixels.shape[:2])
    return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def pattern(
    kind: str, x: np.ndarray, y: np.ndarray, colours: np.ndarray, draws: np.random.Generator
) -> np.ndarray:
    """An all-over pattern at places.

    Args:
        kind: one of :data:`PATTERNS`.
        x: in heights of the frame.
        y: likewise.
        colours: shape (3, 3), RGB in [0, 1].
        draws: for its scale, direction and details. As many draws whatever the places.

    Returns:
        float32, the shape of ``x`` and 3.
    """
    period, angle, details = draws.uniform(0.075, 0.12), draws.uniform(-0.5, 0.5), draws.uniform(size=(12, 4))
    if kind in ("stripes", "zigzag"):
        angle += np.pi / 2 * draws.integers(2)
    along = (x * np.cos(angle) + y * np.sin(angle)) / period
    across = (y * np.cos(angle) - x * np.sin(angle)) / period
    if kind == "stripes":
        places = along % 1
        chosen = np.where(places < 0.45, 0, np.where(places < 0.6, 2, 1))
    elif kind == "check":
        chosen = (np.floor(along * 1.4) + np.floor(across * 1.4)) % 2
    elif kind == "dots":
        row = np.floor(across)
        shifted = along + 0.5 * (row % 2)
        far = np.hypot(shifted % 1 - 0.5, across % 1 - 0.5)
        chosen = np.where(far < 0.3, np.where((np.floor(shifted) + row) % 3 == 0, 2, 1), 0)
    elif kind == "zigzag":
        chosen = np.floor((along + 0.6 * np.abs(across % 1 - 0.5) * 2) * 2) % 3
    elif kind == "rings":
        far = np.hypot(along % 2 - 1, across % 2 - 1)
        chosen = np.floor(far * 4) % 3
    elif kind == "tartan":
        bands = [np.abs(value % 1 - 0.5) for value in (along, across)]
        mixed = sum(np.where(band[..., None] < 0.2, colours[1], colours[0]) for band in bands) / 2
        lines = (np.abs(bands[0] - 0.35) < 0.05) | (np.abs(bands[1] - 0.35) < 0.05)
        return np.where(lines[..., None], colours[2], mixed).astype(np.float32)
    elif kind == "blotches":
        waves = [
            np.sin(2 * np.pi * ((2 * a - 1) * along + (2 * b - 1) * across) + 7 * c) for a, b, c, _ in details
        ]
        height = sum(waves)
        chosen = np.where(height > 1.3, 2, np.where(height > -0.8, 0, 1))
    else:
        raise ValueError(f"no pattern {kind!r}; there are {', '.join(PATTERNS)}")
    return colours[chosen.astype(int)].astype(np.float32)


def motif(
    kind: str, size: int, colours: np.ndarray, draws: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A figure to print on a chest.

    Args:
        kind: one of :data:`MOTIFS`.
        size: its side in pixels.
        colours: shape (2, 3), RGB in [0, 1].
        draws: for its details.

    Returns:
        float32 RGB of shape (size, size, 3), and where it is printed, float32 in [0, 1], shape (size, size).
    """
    number, petals = str(draws.integers(10, 100)), int(draws.integers(5, 8))
    y, x = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    far, angle = np.hypot(x, y), np.arctan2(x, -y)
    core = far < 0.3
    if kind == "star":
        turn = (angle / (2 * np.pi) * 5 + 0.5) % 1 - 0.5
        shape = far * (1 + 1.6 * np.abs(turn) * 2) < 0.98
    elif kind == "heart":
        sx, sy = x * 1.2, -y * 1.2 + 0.15
        shape = (sx**2 + sy**2 - 0.7) ** 3 - 1.6 * sx**2 * sy**3 < 0
    elif kind == "ring":
        shape, core = far < 0.95, far < 0.55
    elif kind == "flower":
        shape = far < 0.62 + 0.33 * np.cos(petals * angle)
        core = far < 0.28
    elif kind == "number":
        canvas = np.zeros((size, size), np.uint8)
        scale = size / 44
        cv2.putText(
            canvas, number, (round(size * 0.03), round(size * 0.8)), cv2.FONT_HERSHEY_DUPLEX, scale, 255,
            max(2, size // 11), cv2.LINE_AA,
        )  # fmt: skip
        shape, core = canvas > 100, np.zeros((size, size), bool)
    else:
        raise ValueError(f"no motif {kind!r}; there are {', '.join(MOTIFS)}")
    return np.where((core & shape)[..., None], colours[1], colours[0]).astype(np.float32), shape.astype(
        np.float32
    )
