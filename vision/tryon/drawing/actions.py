"""What hands do with a garment in the studio, and what stays of it.

Legend: F frames; actions are inclusive intervals of frames.
"""

from dataclasses import dataclass, field

import numpy as np

from vision.tryon.drawing.garment import BUTTONS, CUTS, Cut

#: Actions by the name that the renderer uses, with the caption of each.
CAPTIONS = {
    "collar": "Adjusting the collar",
    "hem": "Adjusting the hem",
    "roll": "Rolling/Unrolling sleeves",
    "zip": "Zipping/Unzipping",
    "stretch": "Stretching the fabric",
    "button": "Buttoning up",
}
ACTIONS = tuple(CAPTIONS)
#: What can be done with a cut.
POSSIBLE: dict[Cut, tuple[str, ...]] = {
    "jacket": ("collar", "hem", "roll", "zip", "stretch"),
    "shirt": ("collar", "hem", "roll", "stretch", "button"),
    "polo": ("collar", "hem", "stretch", "button"),
}


def cuts_for(action: str) -> tuple[Cut, ...]:
    """The cuts with which an action is possible."""
    return tuple(cut for cut in CUTS if action in POSSIBLE[cut])


@dataclass(frozen=True)
class Action:
    """One action of a clip.

    Attributes:
        name: one of :data:`ACTIONS`.
        first: its first frame.
        last: its last frame.
        side: of the hand that acts: -1 at the viewer's left, 1 at the right. It rolls the other arm's sleeve.
        both: whether the other hand does the same on its side (collar, hem and stretch).
    """

    name: str
    first: int
    last: int
    side: int
    both: bool = False

    def progress(self, frame: int) -> float:
        """0 before, 1 from the last frame on, between them rising at every frame."""
        share = np.clip((frame - self.first + 1) / (self.last - self.first + 1), 0, 1)
        return float(share * share * (3 - 2 * share))

    def strength(self, frame: int) -> float:
        """Of what springs back: 0 outside the interval, above 0 at each of its frames, 1 in the middle."""
        share = np.clip((frame - self.first + 1) / (self.last - self.first + 2), 0, 1)
        return float(np.sin(np.pi * share)) ** 0.6

    def sides(self) -> tuple[int, ...]:
        """The hands that act."""
        return (self.side, -self.side) if self.both else (self.side,)


@dataclass
class ClothState:
    """How a garment is worn in a frame.

    Attributes:
        closed: how far a zip or a row of buttons is closed, from the bottom, 0 to 1.
        rolled: of the sleeves at the viewer's left and right, 0 to 1.
        collar: 0 lies down, 1 stands up, at the left and right.
        lift: of the hem at the left and right, 0 to 1.
        pull: of the cloth to the left and right, 0 to 1.
    """

    closed: float = 1.0
    rolled: dict[int, float] = field(default_factory=lambda: {-1: 0.0, 1: 0.0})
    collar: dict[int, float] = field(default_factory=lambda: {-1: 0.0, 1: 0.0})
    lift: dict[int, float] = field(default_factory=lambda: {-1: 0.0, 1: 0.0})
    pull: dict[int, float] = field(default_factory=lambda: {-1: 0.0, 1: 0.0})

    def numbers(self) -> list[float]:
        """All of it in one row, in the order of :data:`STATE_NAMES`."""
        pairs = (self.rolled, self.collar, self.lift, self.pull)
        return [self.closed, *(pair[side] for pair in pairs for side in (-1, 1))]


#: The columns of :meth:`ClothState.numbers`.
STATE_NAMES = (
    "closed",
    *(f"{what}_{side}" for what in ("rolled", "collar", "lift", "pull") for side in ("left", "right")),
)


def cloth_states(actions: tuple[Action, ...], start: ClothState, cut: Cut, frames: int) -> list[ClothState]:
    """How the garment is worn in each frame.

    Closing, rolling and the collar stay as they are left and turn round with the next action of their kind;
    the hem and the cloth spring back.

    Args:
        actions: of the clip.
        start: before the first of them.
        cut: of the garment; buttons close one by one.
        frames: F.
    """
    states = []
    for frame in range(frames):
        state = ClothState(start.closed, *(dict(start.__dict__[name]) for name in ("rolled", "collar")))
        for action in actions:
            done, held = action.progress(frame), action.strength(frame)
            if action.name in ("zip", "button"):
                state.closed = _turned(state.closed, done)
            elif action.name == "roll":
                state.rolled[-action.side] = _turned(state.rolled[-action.side], done)
            for side in action.sides():
                if action.name == "collar":
                    state.collar[side] = _turned(state.collar[side], done)
                elif action.name == "hem":
                    state.lift[side] = max(state.lift[side], held)
                elif action.name == "stretch":
                    state.pull[side] = max(state.pull[side], held)
        if BUTTONS[cut]:
            count = len(BUTTONS[cut])
            state.closed = np.ceil(state.closed * count - 1e-6) / count
        states.append(state)
    return states


def _turned(value: float, done: float) -> float:
    """From a resting value, 0 or 1, to the other one."""
    return value + (1 - 2 * value) * done
