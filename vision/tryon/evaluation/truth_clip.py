"""One clip of the studio with everything that made ones are compared with.

Legend: T frames, H height, W width in pixels, A actions, G garments, R rows and C columns of cells.
"""

from dataclasses import dataclass, replace

import numpy as np

from vision.flow.draws import keyed_generator
from vision.tryon.drawing.actions import CAPTIONS, Action, cloth_states
from vision.tryon.drawing.canvas import Canvas
from vision.tryon.drawing.clip import StudioScene
from vision.tryon.drawing.garment import GARMENTS, garment
from vision.tryon.drawing.plan import StudioPlan, StudioSettings
from vision.tryon.drawing.rendering import garment_picture
from vision.tryon.evaluation.effect import Effect, effect_of, held_states, levels_of
from vision.tryon.evaluation.interval import Interval
from vision.tryon.evaluation.worn_garment import picture_cells

#: Garments that a made one is told from, the given one among them.
CHOICES = 20


@dataclass(frozen=True)
class TruthClip:
    """A test clip, its conditions and its truth.

    Attributes:
        plan: of the clip.
        moved: which of its actions the shuffle test commands elsewhere, and when; None without room.
        video: uint8, shape (T, H, W, 3).
        moved_video: the same with that action moved; without one the same again.
        unpaired_video: the same in another garment.
        garment: its picture, uint8, shape (H, W, 3).
        unpaired_garment: of the other one.
        mask: what is to be generated, bool, shape (T, H, W).
        pose: skeleton on black, uint8, shape (T, H, W, 3).
        hand: hands on black, likewise.
        cloth: which place of the garment's picture a pixel shows, uint16, shape (T, H, W, 2); see
            :class:`vision.tryon.drawing.clip.StudioClip`.
        effects: of each action.
        choices: cells of the pictures of garments of the same cut, the given one first, the other one second:
            float32, shape (G, R, C, 6); see :func:`vision.tryon.evaluation.worn_garment.picture_cells`.
    """

    plan: StudioPlan
    moved: tuple[int, Interval] | None
    video: np.ndarray
    moved_video: np.ndarray
    unpaired_video: np.ndarray
    garment: np.ndarray
    unpaired_garment: np.ndarray
    mask: np.ndarray
    pose: np.ndarray
    hand: np.ndarray
    cloth: np.ndarray
    effects: list[Effect]
    choices: np.ndarray

    def commands(self, moved: bool = False) -> list[tuple[int, int, str]]:
        """Actions as a pipeline is told them, as planned or with one moved."""
        return [
            (a.first, a.last, CAPTIONS[a.name])
            for a in moved_actions(self.plan, self.moved if moved else None)
        ]


def moved_actions(plan: StudioPlan, moved: tuple[int, Interval] | None) -> tuple[Action, ...]:
    """The actions of a plan, one of them at another time, in the order of time."""
    if moved is None:
        return plan.actions
    number, (first, last) = moved
    changed = [
        replace(action, first=first, last=last) if n == number else action
        for n, action in enumerate(plan.actions)
    ]
    return tuple(sorted(changed, key=lambda action: action.first))


def elsewhere(plan: StudioPlan, settings: StudioSettings) -> tuple[int, Interval] | None:
    """An action of a plan and another time for it, drawn by the plan: as long, apart from where it was.

    It stays between the same neighbours, a frame at least from each, so that what they do is unchanged; with
    aligned actions it begins where a group of four frames does. None where no action has such a place.
    """
    step = 4 if settings.aligned else 1
    found = []
    for number, action in enumerate(plan.actions):
        before = plan.actions[number - 1].last if number else 0
        after = plan.actions[number + 1].first if number + 1 < len(plan.actions) else settings.frames
        length = action.last - action.first + 1
        for first in range(1, settings.frames - length + 1, step):
            last = first + length - 1
            apart = last < action.first or first > action.last
            alone = (first > before + 1 or number == 0) and (
                last < after - 1 or number + 1 == len(plan.actions)
            )
            if apart and alone:
                found.append((number, (first, last)))
    if not found:
        return None
    return found[int(keyed_generator(plan.scene, "elsewhere").integers(len(found)))]


def drawn_clip(plan: StudioPlan, settings: StudioSettings, canvas: Canvas) -> TruthClip:
    """Draws a clip and all that it is compared with.

    Args:
        plan: of the clip.
        settings: of its data set.
        canvas: of that size.
    """
    scene = StudioScene(plan, settings, canvas=canvas)
    worn, other = (garment(plan.split, plan.cut, number) for number in (plan.garment, plan.other))
    video, cloth = scene.worn(worn)
    mask, pose, hand = scene.conditions()
    moved = elsewhere(plan, settings)
    states = cloth_states(moved_actions(plan, moved), plan.start, plan.cut, settings.frames)
    effects = []
    for n, action in enumerate(plan.actions):
        levels = levels_of(action.name, plan.cut)
        held = [held_states(plan.actions, n, at, plan.start, plan.cut, settings.frames) for at in levels]
        effects.append(effect_of([scene.worn(worn, states)[0] for states in held], levels))
    pictures = [garment_picture(canvas, worn), garment_picture(canvas, other)]
    cells = [picture_cells(picture) for picture in pictures]
    for number in _others(plan):
        cells.append(picture_cells(garment_picture(canvas, garment(plan.split, plan.cut, number))))
    return TruthClip(
        plan=plan,
        moved=moved,
        video=video,
        moved_video=scene.worn(worn, states)[0],
        unpaired_video=scene.worn(other)[0],
        garment=pictures[0],
        unpaired_garment=pictures[1],
        mask=mask,
        pose=pose,
        hand=hand,
        cloth=cloth,
        effects=effects,
        choices=np.stack(cells),
    )


def _others(plan: StudioPlan) -> list[int]:
    """Numbers of further garments of the cut."""
    drawn = keyed_generator(plan.scene, "choices").permutation(GARMENTS)
    return [int(n) for n in drawn if n not in (plan.garment, plan.other)][: CHOICES - 2]
