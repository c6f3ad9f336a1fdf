"""What a player does, row by row.

Legend: B batch, T rows of actions.
"""

from dataclasses import dataclass

from torch import Tensor

#: Lanes of the sticks in their order: strafe, walk, yaw, pitch; the left stick first.
STICKS = ("left_x", "left_y", "right_x", "right_y")
#: Lanes of the buttons in their order, by their place on a pad.
BUTTONS = ("right_trigger", "left_trigger", "south", "right_thumb", "west", "north")


@dataclass(frozen=True)
class Actions:
    """The states of a gamepad, one row a frame of video (SCOPE, arXiv 2605.23345).

    Row ``t`` is what is held while frame ``t`` is shown: it drives the transition to frame ``t + 1``.

    Attributes:
        sticks: shape (B, T, 4), in the order of :data:`STICKS`, in [-1, 1].
        buttons: shape (B, T, 6), in the order of :data:`BUTTONS`, 0 released, 1 pressed.

    Raises:
        ValueError: other shapes, different numbers of samples or rows, numbers that are not finite.
    """

    sticks: Tensor
    buttons: Tensor

    def __post_init__(self) -> None:
        for name, value, lanes in (("sticks", self.sticks, STICKS), ("buttons", self.buttons, BUTTONS)):
            if value.ndim != 3 or value.shape[2] != len(lanes):
                raise ValueError(
                    f"{name} have shape {tuple(value.shape)}; expected (samples, rows, {len(lanes)}), "
                    f"the lanes {', '.join(lanes)}"
                )
            if not value.isfinite().all():
                raise ValueError(f"{name} hold numbers that are not finite; repair or drop those rows")
        if self.sticks.shape[:2] != self.buttons.shape[:2]:
            raise ValueError(
                f"sticks have (samples, rows) {tuple(self.sticks.shape[:2])}, buttons "
                f"{tuple(self.buttons.shape[:2])}; expected one row of each a frame"
            )

    def rows(self, first: int, end: int) -> "Actions":
        """The rows from ``first`` up to, without, ``end``."""
        return Actions(self.sticks[:, first:end], self.buttons[:, first:end])
