"""One whole clip of the studio, with its exact truth.

Legend: F frames, H height, W width in pixels, N columns of the garment's state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vision.flow.draws import keyed_generator
from vision.tryon.drawing.actions import ACTIONS, Action, ClothState, cloth_states
from vision.tryon.drawing.canvas import Canvas
from vision.tryon.drawing.figure import Body, Figure, figure
from vision.tryon.drawing.garment import Garment, garment
from vision.tryon.drawing.mask import agnostic_mask
from vision.tryon.drawing.motion import moving_bodies
from vision.tryon.drawing.plan import StudioPlan, StudioSettings
from vision.tryon.drawing.prints import PHOTOGRAPHS, photograph
from vision.tryon.drawing.rendering import garment_picture, paint_frame
from vision.tryon.hand_render import hand_picture
from vision.tryon.skeleton import draw_skeleton


@dataclass(frozen=True)
class StudioClip:
    """A clip.

    Attributes:
        video: uint8, shape (F, H, W, 3).
        garment: its picture, uint8, shape (H, W, 3).
        cloth: which place of that picture each pixel shows, uint16, shape (F, H, W, 2): 0 for none, else
            1 + 65534 (x, y) with x and y from 0 to 1.
        mask: what is to be generated, bool, shape (F, H, W).
        pose: skeleton and hands on black, uint8, shape (F, H, W, 3).
        hand: shaded hands on black, likewise.
        action: 0 for none, else 1 + the place in :data:`ACTIONS`; uint8, shape (F,).
        state: how the garment is worn, float32, shape (F, N); see :data:`STATE_NAMES`.
    """

    video: np.ndarray
    garment: np.ndarray
    cloth: np.ndarray
    mask: np.ndarray
    pose: np.ndarray
    hand: np.ndarray
    action: np.ndarray
    state: np.ndarray


class StudioScene:
    """Everything of a clip but the garment: a person who moves before a background, and what the hands do.

    Args:
        plan: of the clip.
        settings: of the data set.
        actions: others than the plan's, for what-if clips of the same motion.
        canvas: where to paint; one may serve many clips of a size.
    """

    def __init__(
        self,
        plan: StudioPlan,
        settings: StudioSettings,
        actions: tuple[Action, ...] | None = None,
        canvas: Canvas | None = None,
    ) -> None:
        self.plan, self.settings = plan, settings
        self.actions = plan.actions if actions is None else actions
        self.canvas = canvas or Canvas(settings.height, settings.width)
        self.figure: Figure = figure(plan.split, plan.figure)
        self.states: list[ClothState] = cloth_states(self.actions, plan.start, plan.cut, settings.frames)
        self.bodies: list[Body] = moving_bodies(
            self.figure, plan.cut, self.actions, self.states, settings.decoy, plan.scene
        )
        self.background = _background(self.canvas, plan.split, plan.scene)

    def worn(
        self, garment: Garment, states: Sequence[ClothState] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Video and cloth map with a garment of the plan's cut; see :class:`StudioClip`.

        Args:
            garment: any of that cut.
            states: how it is worn in each frame, where that is not what the actions do: the same motion with
                other effects, as templates to compare generated frames with.

        Raises:
            ValueError: a garment of another cut, with which the actions may be impossible.
        """
        if garment.cut != self.plan.cut:
            raise ValueError(f"the clip is of a {self.plan.cut}, found a {garment.cut}")
        painted = [
            paint_frame(self.canvas, self.background, self.figure, garment, body, state)
            for body, state in zip(self.bodies, states or self.states, strict=True)
        ]
        return np.stack([frame.pixels for frame in painted]), np.stack([frame.cloth for frame in painted])

    def conditions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mask, pose and hand videos, which know nothing of the garment; see :class:`StudioClip`."""
        height, width = self.settings.height, self.settings.width
        masks, poses, hands = [], [], []
        for body in self.bodies:
            landmarks = [self.canvas.landmarks(body.hands[side]) for side in (-body.front, body.front)]
            points = self.canvas.to_pixels(body.keypoints(self.figure))
            masks.append(agnostic_mask(self.canvas, self.figure, body))
            poses.append(draw_skeleton(points, landmarks, height, width))
            hands.append(hand_picture(landmarks, height, width))
        return np.stack(masks), np.stack(poses), np.stack(hands)

    def clip(self, number: int | None = None) -> StudioClip:
        """All of the clip, with garment ``number``; the plan's own by default."""
        worn = garment(self.plan.split, self.plan.cut, self.plan.garment if number is None else number)
        video, cloth = self.worn(worn)
        mask, pose, hand = self.conditions()
        action = np.zeros(len(video), np.uint8)
        for done in self.actions:
            action[done.first : done.last + 1] = 1 + ACTIONS.index(done.name)
        state = np.array([state.numbers() for state in self.states], np.float32)
        return StudioClip(video, garment_picture(self.canvas, worn), cloth, mask, pose, hand, action, state)


def _background(canvas: Canvas, split: str, seed: int) -> np.ndarray:
    """A wall with soft light, in a third of the clips with something out of focus: float32 RGB."""
    draws = keyed_generator(seed, "background")
    hue, value = draws.uniform(0, 360), draws.uniform(0.55, 0.92)
    hsv = np.array([[[hue, draws.uniform(0.03, 0.25), value]]], np.float32)
    colour = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]
    x, y = canvas.x, canvas.y
    light = 1 - 0.35 * np.clip(np.hypot(x - draws.uniform(-0.3, 0.3), y - draws.uniform(0, 0.5)) - 0.2, 0, 1)
    wall = light[..., None] * colour
    if draws.random() < 0.35:
        picture = photograph(str(draws.choice(PHOTOGRAPHS[split])))
        blurred = cv2.GaussianBlur(picture, (0, 0), 9)
        whole = cv2.resize(blurred, (canvas.shape[1], canvas.shape[0]), interpolation=cv2.INTER_LINEAR)
        wall = 0.5 * wall + 0.5 * whole
    return np.clip(wall, 0, 1).astype(np.float32)
