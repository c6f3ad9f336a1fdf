"""How the studio's people move: they sway, turn, and bring their hands to the garment.

Legend: F frames; sides -1 and 1 are the viewer's left and right; places as in vision.tryon.drawing.figure.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from vision.flow.draws import keyed_generator
from vision.tryon.drawing.actions import Action, ClothState
from vision.tryon.drawing.figure import (
    CLOTH_HEM,
    CLOTH_TOP,
    FOREARM,
    HAND,
    UPPER_ARM,
    Body,
    Figure,
    trunk_to_picture,
)
from vision.tryon.drawing.garment import BUTTONS, SLEEVE_ENDS, Cut
from vision.tryon.hand_shape import GRIPS, hand_landmarks, placed_hand

#: "none": hands rest between actions. "gaps": between actions a hand hovers over the garment. "always": a
#: hand hovers in every frame, in a way that no action changes, so that only the text tells what happens when.
#: "mixed": half of the clips as "none", half as "always".
Decoy = Literal["none", "gaps", "always", "mixed"]
#: Frames that a hand takes to come and to go.
_REACH = 4
_TIP = 0.72


class _Touch:
    """What one hand does in a frame: where its fingers are, where they point, its grip, and how fully."""

    def __init__(self, place: np.ndarray, direction: np.ndarray, grip: str, weight: float) -> None:
        self.place, self.direction, self.weight = place, direction / np.hypot(*direction), weight
        self.curls = np.array(GRIPS[grip])


def decoy_of(decoy: Decoy, seed: int) -> Decoy:
    """What a clip of a data set has, for "mixed" by the seed of its motion."""
    if decoy == "mixed":
        return "always" if keyed_generator(seed, "decoy").random() < 0.5 else "none"
    return decoy


def hovering_side(seed: int) -> int:
    """Of the hand that hovers, by the seed of its motion."""
    return _drawn(seed)[3]


def _drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Phases and speeds of 16 waves, four sizes, and the side of the hand that hovers."""
    draws = keyed_generator(seed, "motion")
    phases, speeds = draws.uniform(0, 2 * np.pi, 16), draws.uniform(0.8, 1.3, 16)
    sizes = draws.uniform(0.4, 1.0, 4)
    return phases, speeds, sizes, int(draws.choice([-1, 1]))


def moving_bodies(
    figure: Figure, cut: Cut, actions: Sequence[Action], states: Sequence[ClothState], decoy: Decoy, seed: int
) -> list[Body]:
    """The body in each frame, a function of its arguments.

    Args:
        figure: who moves.
        cut: of the garment.
        actions: of the clip.
        states: how the garment is worn, one a frame.
        decoy: what a hand does that does not act. With "always" ``actions`` and ``states`` change nothing.
        seed: of sway, turn and hovering.
    """
    decoy = decoy_of(decoy, seed)
    phases, speeds, sizes, hovering = _drawn(seed)
    bodies = []
    for frame in range(len(states)):

        def wave(number: int, period: float, frame: int = frame) -> float:
            return float(np.sin(phases[number] + 2 * np.pi * frame * speeds[number] / period))

        shift = np.array([0.02 * sizes[0] * wave(0, 40), 0.004 * wave(1, 20)])
        lean, yaw, tilt = (
            0.05 * sizes[1] * wave(0, 40),
            0.5 * sizes[2] * wave(2, 50),
            0.09 * sizes[3] * wave(3, 36),
        )
        shoulders = {
            side: trunk_to_picture(np.array([side * figure.shoulder * 0.86, 0.362]), shift, lean)
            for side in (-1, 1)
        }
        touches: dict[int, list[_Touch]] = {-1: [], 1: []}
        front, most = hovering, 0.0
        if decoy != "always":
            for action in actions:
                weight = _engagement(action, frame)
                if weight > most:
                    front, most = action.side, weight
                if weight > 0:
                    for side, touch in _contacts(action, frame, states[frame], cut, weight):
                        touches[side].append(touch)
        if decoy != "none":
            # Slow loops over chest and belly, with a grip that opens and closes.
            place = np.array([hovering * (0.035 + 0.05 * wave(5, 22)), 0.55 + 0.13 * wave(6, 30)])
            hover = _Touch(place, np.array([-hovering, -0.35 + 0.3 * wave(7, 26)]), "rest", 1.0)
            hover.curls = hover.curls + (np.array(GRIPS["pinch"]) - hover.curls) * (0.5 + 0.5 * wave(8, 14))
            # A hand hovers, and is then drawn to what it acts upon.
            touches[hovering].insert(0, hover)
        elbows, wrists, hands = {}, {}, {}
        for side in (-1, 1):
            hang = np.array(
                [side * (figure.shoulder + 0.035 + 0.012 * wave(9 + side, 30)), 0.81 + 0.008 * wave(12, 24)]
            )
            direction = np.array([side * 0.05, 1.0])
            curls, wrist = np.array(GRIPS["rest"]), hang
            for touch in touches[side]:
                target = touch.place - touch.direction * HAND * _TIP
                wrist = wrist + touch.weight * (target - wrist)
                direction = direction + touch.weight * (touch.direction - direction)
                curls = curls + touch.weight * (touch.curls - curls)
            wrists[side] = trunk_to_picture(wrist, shift, lean)
            elbows[side] = _elbow(shoulders[side], wrists[side], side)
            roll = 0.25 * wave(13 + side, 28) - 0.25 * side
            shape = hand_landmarks(curls, roll) * HAND
            hands[side] = placed_hand(shape, wrists[side], direction, mirrored=side > 0)
        bodies.append(Body(shift, lean, yaw, tilt, shoulders, elbows, wrists, hands, front))
    return _with_calm_elbows(bodies)


def _with_calm_elbows(bodies: list[Body]) -> list[Body]:
    """Elbows averaged with those of the neighbouring frames: one swings fast while its hand is near."""
    calm = []
    for frame, body in enumerate(bodies):
        before, after = bodies[max(frame - 1, 0)], bodies[min(frame + 1, len(bodies) - 1)]
        elbows = {
            side: 0.3 * before.elbows[side] + 0.4 * body.elbows[side] + 0.3 * after.elbows[side]
            for side in (-1, 1)
        }
        calm.append(replace(body, elbows=elbows))
    return calm


def _engagement(action: Action, frame: int) -> float:
    """1 within the interval, falling smoothly to 0 over some frames before and after."""
    outside = max(action.first - frame, frame - action.last, 0)
    share = max(0.0, 1 - outside / (_REACH + 1))
    return share * share * (3 - 2 * share)


def _contacts(
    action: Action, frame: int, state: ClothState, cut: Cut, weight: float
) -> list[tuple[int, _Touch]]:
    side, done = action.side, action.progress(frame)

    def touch(side: int, x: float, y: float, dx: float, dy: float, grip: str = "pinch") -> tuple[int, _Touch]:
        return side, _Touch(np.array([x, y]), np.array([dx, dy]), grip, weight)

    if action.name == "collar":
        return [touch(s, s * 0.085, 0.35 - 0.06 * state.collar[s], -s, -0.5) for s in action.sides()]
    if action.name == "hem":
        return [touch(s, s * 0.075, 0.85 - 0.2 * state.lift[s], -s, 0.25, "grasp") for s in action.sides()]
    if action.name == "stretch":
        return [touch(s, s * (0.06 + 0.1 * state.pull[s]), 0.56, -s, -0.25, "grasp") for s in action.sides()]
    if action.name == "zip":
        y = CLOTH_TOP + (CLOTH_HEM - CLOTH_TOP) * (0.94 - 0.86 * state.closed)
        return [
            touch(side, side * 0.01, y, -side, -0.3),
            touch(-side, -side * 0.06, 0.86, side, 0.25, "grasp"),
        ]
    if action.name == "button":
        rows = BUTTONS[cut]
        row = rows[max(0, len(rows) - 1 - int(np.floor(min(done, 0.999) * len(rows))))]
        y = CLOTH_TOP + (CLOTH_HEM - CLOTH_TOP) * row
        return [touch(side, side * 0.02, y, -side, -0.4), touch(-side, -side * 0.035, y + 0.02, side, -0.3)]
    # A sleeve is rolled on a forearm held across the belly.
    elbow, wrist = np.array([-side * 0.215, 0.585]), np.array([-side * 0.03, 0.63])
    end = sleeve_end(cut, state.rolled[-side])
    place = elbow + (wrist - elbow) * np.clip(end - 1, 0, 1)
    held = wrist + np.array([side, 0.05]) / np.hypot(1, 0.05) * HAND * _TIP
    return [
        (-side, _Touch(held, np.array([side, 0.05]), "rest", weight)),
        touch(side, place[0], place[1] - 0.01, -side, 0.12, "grasp"),
    ]


def sleeve_end(cut: Cut, rolled: float) -> float:
    """Where a sleeve ends, in halves of the arm from the shoulder."""
    end = SLEEVE_ENDS[cut]
    return end - rolled * max(0.0, end - 1.08)


def _elbow(shoulder: np.ndarray, wrist: np.ndarray, side: int) -> np.ndarray:
    """The elbow, outwards and down; arms whose hand is near bend towards the viewer, hence look shorter."""
    reach = wrist - shoulder
    far = np.hypot(*reach)
    full = UPPER_ARM + FOREARM
    shorter = min(1.0, 0.5 + 0.5 * far / (0.8 * full))
    upper, fore = UPPER_ARM * shorter, FOREARM * shorter
    far = np.clip(far, abs(upper - fore) + 1e-3, (upper + fore) * 0.999)
    cosine = np.clip((upper**2 + far**2 - fore**2) / (2 * upper * far), -1, 1)
    angle = np.arctan2(reach[1], reach[0]) + np.arccos(cosine) * -side
    return shoulder + upper * np.array([np.cos(angle), np.sin(angle)])
