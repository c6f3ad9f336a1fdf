"""The studio's people: looks and proportions, and a body's joints in a frame.

Legend: places (x, y) in heights of the frame, x from the middle of the picture, y downwards. Local places are
those of the body standing upright in the middle.
"""

from dataclasses import dataclass

import numpy as np

from vision.flow.draws import keyed_generator

#: People of each split; a clip draws one of them.
FIGURES = 2000
#: Landmarks of an upright body.
PELVIS, NECK, HEAD = np.array([0, 0.88]), np.array([0, 0.285]), np.array([0, 0.155])
#: The cloth's neck and hem in an upright body.
CLOTH_TOP, CLOTH_HEM = 0.285, 0.87
UPPER_ARM, FOREARM, HAND = 0.25, 0.215, 0.135
_SKINS = ((0.98, 0.85, 0.76), (0.93, 0.75, 0.62), (0.82, 0.61, 0.46), (0.63, 0.43, 0.31), (0.44, 0.29, 0.21))
_HAIRS = (
    (0.1, 0.08, 0.07),
    (0.28, 0.17, 0.1),
    (0.5, 0.33, 0.18),
    (0.8, 0.65, 0.38),
    (0.55, 0.2, 0.1),
    (0.6, 0.6, 0.62),
)


@dataclass(frozen=True)
class Figure:
    """One person.

    Attributes:
        name: its split and number.
        skin: RGB in [0, 1], like the other colours.
        hair: likewise.
        inner: of what is worn below the garment.
        trousers: likewise.
        hair_style: "short", "long", "bun" or "bald".
        shoulder: half the width, in heights of the frame.
        waist: likewise.
        hip: likewise.
        face: width of the face over the usual one.
        arm: thickness of the arms over the usual one.
    """

    name: str
    skin: np.ndarray
    hair: np.ndarray
    inner: np.ndarray
    trousers: np.ndarray
    hair_style: str = "short"
    shoulder: float = 0.165
    waist: float = 0.14
    hip: float = 0.155
    face: float = 1.0
    arm: float = 1.0

    def half_width(self, y: np.ndarray) -> np.ndarray:
        """Of the clothed body at local heights."""
        places = (0.28, 0.335, 0.43, 0.64, 0.87, 1.2)
        widths = (
            self.shoulder * 0.93, self.shoulder, self.shoulder * 0.93, self.waist, self.hip, self.hip * 1.02
        )  # fmt: skip
        return np.interp(y, places, widths).astype(np.float32)


@dataclass(frozen=True)
class Body:
    """Where a person's joints are in a frame.

    Attributes:
        shift: of the pelvis, (x, y).
        lean: of the trunk, in radians; above 0 to the right.
        yaw: turn about the vertical, from -1 to 1; above 0 the front shows to the right.
        tilt: of the head, in radians.
        shoulders: (x, y) at the viewer's left and right, keys -1 and 1; so the next three.
        elbows: likewise.
        wrists: likewise.
        hands: landmarks of each hand, shape (21, 3).
        front: the side of the arm that lies over the other one.
    """

    shift: np.ndarray
    lean: float
    yaw: float
    tilt: float
    shoulders: dict[int, np.ndarray]
    elbows: dict[int, np.ndarray]
    wrists: dict[int, np.ndarray]
    hands: dict[int, np.ndarray]
    front: int = 1

    def to_picture(self, local: np.ndarray) -> np.ndarray:
        """Places (..., 2) of an upright body in this one."""
        return trunk_to_picture(np.asarray(local), self.shift, self.lean)

    def keypoints(self, figure: Figure) -> np.ndarray:
        """The 18 points of vision.tryon.skeleton, shape (18, 2); knees and ankles are below the picture."""
        points = np.full((18, 2), np.nan)
        turn = 0.03 * self.yaw
        face = {0: (turn * 1.4, 0.02), 14: (-0.025 + turn, -0.015), 15: (0.025 + turn, -0.015)}
        face |= {16: (-0.068 + turn / 3, 0.005), 17: (0.068 + turn / 3, 0.005)}
        for number, place in face.items():
            points[number] = self.head_to_picture(np.array(place))
        points[1] = (self.shoulders[-1] + self.shoulders[1]) / 2
        # The person faces the viewer: their right is at the viewer's left.
        for side, first in ((-1, 2), (1, 5)):
            points[first : first + 3] = self.shoulders[side], self.elbows[side], self.wrists[side]
        for side, number in ((-1, 8), (1, 11)):
            points[number] = self.to_picture(PELVIS + np.array([side * 0.6 * figure.hip, 0]))
        return points

    def head_to_picture(self, place: np.ndarray) -> np.ndarray:
        """Places (..., 2) from the middle of the face, in the picture."""
        turned = np.asarray(place) @ rotation(self.tilt).T
        return self.to_picture(HEAD + turned)


def rotation(angle: float) -> np.ndarray:
    """The matrix that turns upright places to the right by an angle, y downwards."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def trunk_to_picture(local: np.ndarray, shift: np.ndarray, lean: float) -> np.ndarray:
    """Places (..., 2) of an upright body, leant about the pelvis and shifted."""
    return PELVIS + shift + (local - PELVIS) @ rotation(lean).T


def figure(split: str, number: int) -> Figure:
    """Person ``number`` of those that a split may show; see :data:`FIGURES`."""
    draws = keyed_generator("figure", split, number)

    def near(colour: tuple[float, float, float], spread: float = 0.05) -> np.ndarray:
        return np.clip(np.array(colour) + draws.uniform(-spread, spread), 0.02, 1)

    skin = near(_SKINS[draws.integers(len(_SKINS))])
    hair = near(_HAIRS[draws.integers(len(_HAIRS))])
    build = draws.uniform(0.9, 1.08)
    return Figure(
        name=f"{split}-{number}",
        skin=skin,
        hair=hair,
        inner=np.clip(draws.uniform(0.75, 1) + draws.uniform(-0.08, 0.08, 3), 0, 1),
        trousers=draws.uniform(0.08, 0.42) + draws.uniform(-0.06, 0.12, 3),
        hair_style=str(draws.choice(["short", "long", "bun", "bald"], p=[0.4, 0.35, 0.15, 0.1])),
        shoulder=0.163 * build * draws.uniform(0.95, 1.05),
        waist=0.138 * build * draws.uniform(0.9, 1.05),
        hip=0.152 * build * draws.uniform(0.95, 1.05),
        face=draws.uniform(0.9, 1.08),
        arm=build * draws.uniform(0.92, 1.08),
    )
