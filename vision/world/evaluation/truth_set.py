"""The engine's own clips of one split, which a world's are compared with.

Legend: N starts of pairs, P kinds of presses, S starts of held sticks, K = 4 sticks, V values of a stick,
T frames and rows, H height, W width.
"""

from dataclasses import dataclass, replace

import numpy as np

from vision.world.gamepad import BUTTONS, STICKS

#: What is pressed, and for how many rows: the six buttons, and both triggers tapped and held.
PRESSES: dict[str, tuple[str, int]] = {
    "fire": ("fire", 2),
    "aim": ("aim", 16),
    "jump": ("jump", 2),
    "melee": ("melee", 2),
    "reload": ("reload", 2),
    "switch": ("switch", 2),
    "fire held": ("fire", 16),
    "aim tapped": ("aim", 2),
}
#: The frame that first shows a press: the first of a group of four that one latent frame holds, so that a
#: world which makes latent frames in turn cannot show it earlier.
ONSET = 5


@dataclass(frozen=True)
class TruthSet:
    """Clips that begin at rest: row 0 holds nothing, since to a world row 0 has always been held.

    Attributes:
        idle: uint8, shape (N, T, H, W, 3): sticks of a policy, no button.
        pressed: uint8, shape (N, P, T, H, W, 3): the same with a press, first seen in frame :data:`ONSET`.
        sticks: float32, shape (N, T, 4), of both.
        buttons: float32, shape (N, P, T, 6), of ``pressed``.
        visible: bool, shape (N, P): False where the engine shows no effect there; such a pair is not judged.
        held: uint8, shape (S, K, V, T, H, W, 3): one stick held at a value of the grid, all else at rest.
        turned: float32, shape (S, K, V, T): degrees between the view and the first frame's.
    """

    idle: np.ndarray
    pressed: np.ndarray
    sticks: np.ndarray
    buttons: np.ndarray
    visible: np.ndarray
    held: np.ndarray
    turned: np.ndarray

    def first(self, starts: int) -> "TruthSet":
        """The pairs of the first so many starts, and all held sticks."""
        pairs = {
            name: getattr(self, name)[:starts] for name in ("idle", "pressed", "sticks", "buttons", "visible")
        }
        return replace(self, **pairs)


def held_rows(stick: int, value: float, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (T, 4) and (T, 6) with one stick held from row 1 on."""
    sticks = np.zeros((frames, len(STICKS)), np.float32)
    sticks[1:, stick] = value
    return sticks, np.zeros((frames, len(BUTTONS)), np.float32)
