"""What one run of the engine gives.

Legend: T frames, H height, W width.
"""

from dataclasses import dataclass

import numpy as np

#: What the engine reports at each frame: position in map units, angle in degrees counter-clockwise from the
#: east, pitch in degrees (up is positive), horizontal field of view in degrees, slot of the weapon in hand,
#: and whether the player stands on the ground (0 or 1).
STATE_COLUMNS = (
    "position_x",
    "position_y",
    "position_z",
    "angle",
    "pitch",
    "field_of_view",
    "weapon",
    "on_ground",
)


@dataclass(frozen=True)
class Footage:
    """Frames and the states that they show.

    Attributes:
        frames: uint8, shape (T, H, W, 3). Frame 0 is the start; row t of the controls leads to frame t + 1.
        states: float64, shape (T, 8), columns :data:`STATE_COLUMNS`; row t belongs to frame t.
    """

    frames: np.ndarray
    states: np.ndarray

    def state(self, name: str) -> np.ndarray:
        """One column of the states, shape (T,)."""
        return self.states[:, STATE_COLUMNS.index(name)]
