"""Exact truth that only an engine can give: which pixels are the weapon's, and which a button changes.

Legend: T frames, H height, W width.
"""

from dataclasses import dataclass

import numpy as np

from vision.world.engine import Engine
from vision.world.footage import Footage
from vision.world.gamepad import BUTTONS


@dataclass(frozen=True)
class Counterfactual:
    """What was shown, what would have been shown with one button pressed otherwise, and where they differ.

    Attributes:
        actual: the footage of the controls as they are.
        other: that of the controls with the button changed; same map, seed and sticks.
        changed: bool, shape (T, H, W): the pixels of frame t in which the two differ.
    """

    actual: Footage
    other: Footage
    changed: np.ndarray


def counterfactual(
    engine: Engine,
    map_name: str,
    seed: int,
    sticks: np.ndarray,
    buttons: np.ndarray,
    button: str,
    presses: np.ndarray,
) -> Counterfactual:
    """Plays the same controls twice, the second time with one button changed.

    Args:
        engine: of any size.
        map_name: see :meth:`Engine.start`.
        seed: see :meth:`Engine.start`.
        sticks: shape (T, 4), in [-1, 1].
        buttons: shape (T, 6), 0 or 1.
        button: one of :data:`vision.world.gamepad.BUTTONS`.
        presses: shape (T,), 0 or 1: what the button does the second time.

    Raises:
        ValueError: no such button, presses of another shape, or presses that change nothing; and as
            :meth:`Engine.play`.
    """
    if button not in BUTTONS:
        raise ValueError(f"buttons are {', '.join(BUTTONS)}; found {button!r}")
    column = BUTTONS.index(button)
    if presses.shape != (len(buttons),) or (presses == buttons[:, column]).all():
        raise ValueError(
            f"presses of {button!r} have a value for each of {len(buttons)} rows and differ from what the "
            f"buttons do; found shape {presses.shape}"
        )
    others = buttons.copy()
    others[:, column] = presses
    actual = engine.play(map_name, seed, sticks, buttons)
    other = engine.play(map_name, seed, sticks, others)
    return Counterfactual(actual, other, differing(actual.frames, other.frames))


def weapon_mask(
    engine: Engine, bare: Engine, map_name: str, seed: int, sticks: np.ndarray, buttons: np.ndarray
) -> tuple[Footage, np.ndarray]:
    """The footage of some controls and the pixels on which the weapon is.

    Args:
        engine: one that draws the weapon.
        bare: one of the same game and size with ``weapon_drawn=False``. It goes through the same states.
        map_name: see :meth:`Engine.start`.
        seed: see :meth:`Engine.start`.
        sticks: shape (T, 4), in [-1, 1].
        buttons: shape (T, 6), 0 or 1.

    Returns:
        The footage with the weapon, and bool of shape (T, H, W).

    Raises:
        ValueError: the engines do not show the same states; and as :meth:`Engine.play`.
    """
    footage = engine.play(map_name, seed, sticks, buttons)
    without = bare.play(map_name, seed, sticks, buttons)
    if footage.frames.shape != without.frames.shape or not (footage.states == without.states).all():
        raise ValueError(
            "the two engines went through other states or show other sizes; give both the same game, size "
            "and sign of LY"
        )
    return footage, differing(footage.frames, without.frames)


def differing(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The pixels that differ in any channel: bool (T, H, W) of two uint8 (T, H, W, 3)."""
    return (frames != others).any(-1)
