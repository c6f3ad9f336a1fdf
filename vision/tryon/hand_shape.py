"""Hands as 21 points in space, in the order of MediaPipe, bent by a skeleton.

Legend: 21 landmarks: the wrist, then four a finger from its base to its tip, from the thumb to the little
finger.
"""

import numpy as np

#: The bones between landmarks.
BONES = tuple((0 if joint % 4 == 1 else joint - 1, joint) for joint in range(1, 21))
#: The edges across the palm.
PALM = ((5, 9), (9, 13), (13, 17), (1, 5))
#: From the wrist to the tip of the middle finger, where the wrist to its base is 1.
LENGTH_OF_PALMS = 2.0

# In lengths of the hand, with y along the fingers, x towards the thumb and z out of the back of the hand.
_BASES = np.array([[0.12, 0.50], [0.03, 0.52], [-0.06, 0.49], [-0.14, 0.44]])
_SPREAD = np.radians([7, 1, -6, -14])
_PHALANGES = np.array([[0.21, 0.14, 0.11], [0.23, 0.15, 0.12], [0.21, 0.14, 0.11], [0.16, 0.10, 0.09]])
_FLEXION = np.radians([65, 80, 50])
_THUMB = np.array([[0.11, 0.12], [0.23, 0.26], [0.32, 0.38], [0.37, 0.49]])
_THUMB_BENT = np.array([[0.10, 0.14, -0.03], [0.17, 0.31, -0.09], [0.19, 0.45, -0.15], [0.16, 0.56, -0.20]])

#: How far each finger is bent, from 0 (straight) to 1 (to the palm), from the thumb to the little finger.
GRIPS: dict[str, tuple[float, float, float, float, float]] = {
    "open": (0.0, 0.08, 0.06, 0.08, 0.12),
    "rest": (0.4, 0.22, 0.28, 0.33, 0.38),
    "pinch": (1.0, 0.52, 0.62, 0.72, 0.8),
    "grasp": (0.9, 0.68, 0.72, 0.76, 0.8),
}


def hand_landmarks(curls: np.ndarray, roll: float = 0.0) -> np.ndarray:
    """The landmarks of a hand of length 1 whose wrist is the origin.

    Args:
        curls: how far each finger is bent, shape (5,), from 0 to 1; see :data:`GRIPS`.
        roll: turn about the axis of the fingers, in radians.

    Returns:
        float64, shape (21, 3): x towards the thumb, y along the fingers, z out of the back of the hand.
    """
    points = np.zeros((21, 3))
    straight = np.concatenate([_THUMB, np.zeros((4, 1))], axis=1)
    points[1:5] = straight + curls[0] * (_THUMB_BENT - straight)
    for finger in range(4):
        start = np.array([*_BASES[finger], 0.0])
        across = np.array([np.sin(_SPREAD[finger]), np.cos(_SPREAD[finger])]) * (1 - 0.5 * curls[finger + 1])
        across /= np.hypot(*across)
        bends = np.cumsum(_FLEXION * curls[finger + 1])
        steps = _PHALANGES[finger][:, None] * np.stack(
            [across[0] * np.cos(bends), across[1] * np.cos(bends), -np.sin(bends)], axis=1
        )
        points[5 + 4 * finger] = start
        points[6 + 4 * finger : 9 + 4 * finger] = start + np.cumsum(steps, axis=0)
    cosine, sine = np.cos(roll), np.sin(roll)
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return points @ turn.T


def placed_hand(
    landmarks: np.ndarray, wrist: np.ndarray, direction: np.ndarray, mirrored: bool
) -> np.ndarray:
    """A hand in the picture, seen from its back.

    Args:
        landmarks: of :func:`hand_landmarks`, scaled as wanted.
        wrist: its place (x, y), y downwards.
        direction: of the fingers (dx, dy), of any length above 0.
        mirrored: False for the hand whose thumb lies to the right where its fingers point downwards.

    Returns:
        Shape (21, 3), z towards the viewer.
    """
    dx, dy = direction / np.hypot(*direction)
    thumb = (-1 if mirrored else 1) * np.array([dy, -dx])
    x = wrist[0] + landmarks[:, 0] * thumb[0] + landmarks[:, 1] * dx
    y = wrist[1] + landmarks[:, 0] * thumb[1] + landmarks[:, 1] * dy
    return np.stack([x, y, landmarks[:, 2]], axis=1)
