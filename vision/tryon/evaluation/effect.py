"""How far an action has come in each frame of a made clip, by what the cloth looks like.

Legend: T frames, H height, W width in pixels, K levels, P pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from vision.tryon.drawing.actions import Action, ClothState, cloth_states
from vision.tryon.drawing.garment import BUTTONS, Cut

_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Actions after which the garment is as before.
SPRINGING = ("hem", "stretch")
#: Actions that go on in as many steps as there are buttons.
STEPWISE = ("button",)
# Made frames are softer than drawn ones; both are compared at this blur (sigma in rows of 96).
_BLUR = 1.0
# A pixel shows an action where its colour differs by so much between levels; so many make it visible.
_DIFFERENCE, _LEAST_PIXELS = 25, 12


@dataclass(frozen=True)
class _Held(Action):
    """An action that stands still at a level."""

    level: float = 0.0

    def progress(self, frame: int) -> float:
        return self.level

    def strength(self, frame: int) -> float:
        return self.level


@dataclass(frozen=True)
class Effect:
    """What one action does to the cloth, in every frame of a clip whether it acts there or not.

    Attributes:
        pixels: places in a frame of those that show the action in any frame, int32, shape (P,).
        templates: softened colours there at each level, uint8, shape (K, T, P, 3). All else is as in the true
            clip.
        levels: how far the action has come, or how strongly it acts, in each template, rising from 0 to 1;
            float64, shape (K,).
    """

    pixels: np.ndarray
    templates: np.ndarray
    levels: np.ndarray

    @property
    def visible(self) -> bool:
        """Whether enough pixels show it; a clip is not judged by an action that nobody sees."""
        return len(self.pixels) >= _LEAST_PIXELS

    def errors(self, frames: np.ndarray) -> "LevelErrors":
        """Compares made frames with all levels.

        Args:
            frames: float32 in [0, 1], shape (T, H, W, 3).
        """
        made = softened(frames).reshape(len(frames), -1, 3)[:, self.pixels]
        return LevelErrors(self.levels, *self._products(made), *self._products(self._level(0)))

    def _level(self, number: int) -> np.ndarray:
        return self.templates[number].astype(np.float32) / 255

    def _products(self, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`LevelErrors`; of colours (T, P, 3)."""
        rest = [shown - self._level(number) for number in range(len(self.levels))]
        own = [np.einsum("tpc,tpc->t", one, one) for one in rest]
        across = [np.einsum("tpc,tpc->t", one, other) for one, other in pairwise(rest)]
        return np.stack(own, 1), np.stack(across, 1)


@dataclass(frozen=True)
class LevelErrors:
    """Squared differences of frames from an action's levels, summed over its pixels.

    Attributes:
        levels: as of the effect, shape (K,).
        own: from each level, shape (T, K).
        across: product of the differences from a level and from the next, shape (T, K - 1).
        rest_own: ``own`` of the garment at rest, level 0.
        rest_across: likewise.
    """

    levels: np.ndarray
    own: np.ndarray
    across: np.ndarray
    rest_own: np.ndarray
    rest_across: np.ndarray

    def at(self, levels: np.ndarray) -> np.ndarray:
        """Squared difference of each frame from levels in [0, 1], of which the neighbours are mixed.

        Args:
            levels: shape (..., T).

        Returns:
            The same shape.
        """
        return _mixed(self.levels, self.own, self.across, levels)

    def from_rest(self, levels: np.ndarray) -> np.ndarray:
        """:meth:`at` of the garment at rest instead of the made frames: what levels would change."""
        return _mixed(self.levels, self.rest_own, self.rest_across, levels)

    def nearest(self) -> np.ndarray:
        """Of each frame the nearest of 0, about 1/2 and 1, shape (T,): coarse, so that noise does little."""
        chosen = [0, len(self.levels) // 2, len(self.levels) - 1]
        return self.levels[chosen][self.own[:, chosen].argmin(1)]


def levels_of(name: str, cut: Cut) -> np.ndarray:
    """The levels at which an action is drawn: buttons close one by one, all else goes smoothly."""
    if name in STEPWISE:
        return np.linspace(0, 1, len(BUTTONS[cut]) + 1)
    return np.array(_LEVELS)


def _mixed(known: np.ndarray, own: np.ndarray, across: np.ndarray, levels: np.ndarray) -> np.ndarray:
    place = np.interp(levels, known, np.arange(len(known)))
    below = np.minimum(place.astype(int), len(known) - 2)
    share = place - below
    frame = np.arange(len(own))
    return (
        (1 - share) ** 2 * own[frame, below]
        + share**2 * own[frame, below + 1]
        + 2 * share * (1 - share) * across[frame, below]
    )


def held_states(
    actions: Sequence[Action], number: int, level: float, start: ClothState, cut: Cut, frames: int
) -> list[ClothState]:
    """How the garment is worn in each frame where one action stands still at a level.

    Args:
        actions: of the clip.
        number: which of them stands still.
        level: from 0 to 1.
        start: before the first of them.
        cut: of the garment.
        frames: T.
    """
    own = actions[number]
    held = _Held(own.name, own.first, own.last, own.side, own.both, level)
    changed = tuple(held if n == number else action for n, action in enumerate(actions))
    return cloth_states(changed, start, cut, frames)


def effect_of(drawn: Sequence[np.ndarray], levels: np.ndarray) -> Effect:
    """The effect of an action from its clip drawn at each level, uint8 (T, H, W, 3)."""
    soft = np.stack([softened(clip.astype(np.float32) / 255) for clip in drawn])
    quantised = np.round(255 * soft).astype(np.uint8).reshape(*soft.shape[:2], -1, 3)
    spread = np.ptp(quantised.astype(np.int16), axis=0).max((0, 2))
    pixels = np.flatnonzero(spread >= _DIFFERENCE).astype(np.int32)
    return Effect(pixels, np.ascontiguousarray(quantised[:, :, pixels]), levels)


def softened(frames: np.ndarray) -> np.ndarray:
    """Frames, float32 (T, H, W, 3), blurred a little."""
    sigma = _BLUR * frames.shape[1] / 96
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])
